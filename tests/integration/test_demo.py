"""`edgeproxy demo` and `edgeproxy run --origin` as a newcomer meets them: real processes, real requests."""

import json
import signal
import socket
from collections.abc import Iterator

import pytest

from edgeproxy.demo.shops import open_shops
from tests.command import WAIT, Running, free_address, started


@pytest.fixture(scope="module")
def demo() -> Iterator[Running]:
    listen, admin = free_address(), free_address()
    with started(listen, admin, "demo", "--admin", admin, "--shops", "0", "0") as running:
        yield running


def test_what_to_try_is_printed_with_its_addresses(demo: Running) -> None:
    text = "".join(demo.printed)
    assert f"curl -i http://{demo.listen}/product/17" in text
    assert f"http://{demo.admin}/metrics" in text


def test_the_second_request_is_a_hit_and_reaches_no_shop(demo: Running) -> None:
    first = demo.ask("/product/101")
    assert (first.status, "stored" in first.cache_status) == (200, True), first
    second = demo.ask("/product/101")
    assert "; hit" in second.cache_status
    assert "age" in second.fields
    assert second.body == first.body


def test_the_account_is_never_stored(demo: Running) -> None:
    for _ in range(2):
        answer = demo.ask("/account")
        assert "hit" not in answer.cache_status
        assert "stored" not in answer.cache_status
        assert "session=" in answer.fields["set-cookie"]


def test_a_write_is_seen_at_once_and_its_page_after_a_purge_by_tag(demo: Running) -> None:
    page = demo.ask("/product/102").body
    demo.ask("/api/products/102")
    form = "application/x-www-form-urlencoded"
    assert demo.ask("/api/products/102/price", "POST", "price=4321.09", Content_Type=form).status == 200
    assert json.loads(demo.ask("/api/products/102").body)["price"] == 4321.09
    assert demo.ask("/product/102").body == page
    demo.command("purge", "--tag", "product-102")
    assert "4321.09" in demo.ask("/product/102").body


def test_explain_tells_of_a_stored_response(demo: Running) -> None:
    demo.ask("/product/103")
    told = json.loads(demo.command("explain", f"http://{demo.listen}/product/103"))
    assert told["route"] == "pages"


def test_events_pass_as_they_come(demo: Running) -> None:
    answer = demo.ask("/events?count=1")
    assert answer.body == "event: beat\ndata: 1\n\n"


def test_ctrl_c_stops_proxy_and_shops() -> None:
    listen, admin = free_address(), free_address()
    with started(listen, admin, "demo", "--admin", admin, "--shops", "0", "0") as running:
        shop = [json.loads(running.ask("/stats").body)]
        assert shop[0]["queries"] == 0
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(WAIT) == 0, "".join(running.printed)
    for address in (listen, admin):
        host, port = address.split(":")
        socket.create_server((host, int(port))).close()


def test_run_serves_one_origin_without_a_file() -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", 9900))
        except OSError:
            pytest.skip("port 9900, the default of the admin API, is taken on this machine")
    listen = free_address()
    with (
        open_shops([0], 0.0, 150) as (origin,),
        started(listen, "127.0.0.1:9900", "run", "--origin", origin, "--workers", "1") as running,
    ):
        assert "fwd=uri-miss" in running.ask("/product/17").cache_status
        assert "; hit" in running.ask("/product/17").cache_status
        running.process.terminate()
        assert running.process.wait(WAIT) == 0
