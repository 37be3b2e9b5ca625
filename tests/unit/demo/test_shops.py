"""Shops as processes of their own: they start, say where, and end with their owner."""

import json
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from edgeproxy.demo.shops import ShopFailed, open_shops


def test_shops_run_on_one_database_and_end_with_the_block() -> None:
    with open_shops([0, 0], query_delay=0.0, products=30) as urls:
        assert len(set(urls)) == 2
        request = urllib.request.Request(f"{urls[0]}/api/products/7/price", data=b"price=1.5")
        urllib.request.urlopen(request, timeout=10).close()
        with urllib.request.urlopen(f"{urls[1]}/api/products/7", timeout=10) as answer:
            assert json.load(answer)["price"] == 1.5
    for url in urls:
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(url, timeout=10)


def test_a_busy_port_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(ShopFailed, match=f"cannot listen on 127.0.0.1:{port}"),
            open_shops([port], 0.0, 30),
        ):
            pass


@pytest.mark.parametrize("told", ["terminate", "interrupt"])
def test_a_shop_on_its_own_stops_cleanly_on_signals(tmp_path: Path, told: str) -> None:
    database = tmp_path / "shop.sqlite"
    command = [sys.executable, "-m", "edgeproxy.demo", "--port=0", "--products=30", f"--database={database}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("shop on http://127.0.0.1:")
        if told == "terminate":
            process.terminate()
        else:
            process.send_signal(2)
        assert process.wait(20) == 0
    assert database.exists()
