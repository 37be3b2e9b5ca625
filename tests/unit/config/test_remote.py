"""A control plane is asked by HTTP caching rules, within bounds, and its credentials are shown nowhere."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from edgeproxy.config import remote
from edgeproxy.config.remote import ControlPlane, Unreachable, mask_source
from tests.control_plane import ControlPlane as Served


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served("version: 1\n")
    yield made
    made.close()


def plane(served: Served) -> ControlPlane:
    return ControlPlane(served.url, time.monotonic)


def test_what_is_fresh_is_not_asked_for_again_unless_it_is_to_be_validated(served: Served) -> None:
    served.cache_control = "max-age=60"
    asking = plane(served)
    assert asking.fetch().body == b"version: 1\n"
    assert asking.fetch().lifetime == pytest.approx(60, abs=5)
    assert served.asked == [200]
    assert asking.fetch(validate=True).body == b"version: 1\n"
    assert served.asked == [200, 304]


def test_what_is_stale_is_validated_and_a_change_is_seen(served: Served) -> None:
    asking = plane(served)
    assert asking.fetch().lifetime is None
    assert asking.fetch().body == b"version: 1\n"
    served.text = "version: 2\n"
    assert asking.fetch().body == b"version: 2\n"
    assert served.asked == [200, 304, 200]


@pytest.mark.parametrize("date", ["garbage", "", "Thu, 99 Jan 2026 00:00:00 GMT"])
def test_a_date_that_is_none_is_a_control_plane_out_of_order_and_no_crash(date: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                fields = f"Date: {date}\r\nCache-Control: max-age=5\r\nContent-Length: 2"
                connection.sendall(f"HTTP/1.1 200 OK\r\n{fields}\r\n\r\nok".encode())

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            body = (
                ControlPlane(f"http://127.0.0.1:{listening.getsockname()[1]}/", time.monotonic).fetch().body
            )
        except Unreachable:
            body = b"ok"
        thread.join()
    assert body == b"ok"


@pytest.mark.parametrize(
    ("fields", "lifetime"),
    [
        ({}, None),
        ({"Cache-Control": "max-age=60", "Age": "20"}, 40),
        ({"Cache-Control": "max-age=60", "Age": "90"}, 0),
        ({"Cache-Control": "max-age=60", "Age": "much"}, 60),
        ({"Cache-Control": "no-cache, max-age=60"}, None),
        ({"Cache-Control": "no-store"}, None),
        (
            {"Expires": "Thu, 01 Jan 2026 00:01:00 GMT", "Date": "Thu, 01 Jan 2026 00:00:00 GMT"},
            60,
        ),
        ({"Expires": "0", "Date": "Thu, 01 Jan 2026 00:00:00 GMT"}, None),
    ],
)
def test_the_lifetime_is_what_the_answer_says(fields: dict[str, str], lifetime: float | None) -> None:
    import requests

    assert remote._lifetime(requests.structures.CaseInsensitiveDict(fields)) == lifetime


def test_an_answer_without_a_configuration_says_its_status(served: Served) -> None:
    served.status = 503
    with pytest.raises(Unreachable, match="answers 503"):
        plane(served).fetch()


def test_a_body_without_end_is_given_up(served: Served) -> None:
    served.text = "#" * (2**20 + 1)
    with pytest.raises(Unreachable, match="sends more than 1048576 bytes"):
        plane(served).fetch()


def test_a_body_that_takes_too_long_is_given_up(served: Served) -> None:
    times = iter([0.0, 16.0])
    with pytest.raises(Unreachable, match="within 15 s"):
        ControlPlane(served.url, lambda: next(times)).fetch()


def test_a_body_that_only_ends_with_the_connection_is_not_believed(served: Served) -> None:
    served.length = False
    with pytest.raises(Unreachable, match="where its body ends"):
        plane(served).fetch()


def test_redirects_are_bounded(served: Served) -> None:
    served.status, served.fields = 302, {"Location": "/edge.yaml"}
    with pytest.raises(Unreachable, match="redirects more than 3 times"):
        plane(served).fetch()


def test_a_hung_control_plane_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "READ_TIMEOUT", 0.1)
    served.hang.clear()
    with pytest.raises(Unreachable, match="does not answer in time"):
        plane(served).fetch()


def test_an_error_tells_no_credentials(served: Served) -> None:
    served.close()
    url = served.url.replace("://", "://me:secret@") + "?token=hidden"
    with pytest.raises(Unreachable) as caught:
        ControlPlane(url, time.monotonic).fetch()
    assert str(caught.value) == "cannot be reached, or breaks off"


def test_credentials_are_sent(served: Served) -> None:
    ControlPlane(served.url.replace("://", "://me:secret@"), time.monotonic).fetch()
    assert served.authorization == ["Basic bWU6c2VjcmV0"]


@pytest.mark.parametrize("url", ["ftp://control/a", "http:///a", "http://a:b/", "http://[::1/"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        ControlPlane(url, time.monotonic)


def test_users_passwords_and_queries_are_masked() -> None:
    assert (
        mask_source("https://me:p@ss@control/edge.yaml?token=a&b=c#d") == "https://***@control/edge.yaml?***"
    )
    assert mask_source("https://control/edge.yaml") == "https://control/edge.yaml"
    assert mask_source("/etc/edge.yaml") == "/etc/edge.yaml"
