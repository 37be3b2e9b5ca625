"""Open files: what is asked for, and what is told where they do not suffice."""

import subprocess
import sys

import pytest

from edgeproxy.server.descriptors import KEPT, room_for_clients, too_few

PRINT = "from edgeproxy.server.descriptors import open_files, raise_limit; print(raise_limit(), open_files())"


@pytest.mark.parametrize(
    ("files", "origins", "room"),
    [(20, 0, 2), (KEPT, 10, 1), (1024, 256, 668), (1024, 5000, 462), (65_536, 256, 65_180)],
)
def test_clients_have_what_origins_leave_and_at_least_half(files: int, origins: int, room: int) -> None:
    assert room_for_clients(files, origins) == room


def test_what_suffices_is_not_told_of() -> None:
    assert too_few(5_200, 5_000, 100) is None


def test_what_does_not_says_what_to_write_instead() -> None:
    assert too_few(1024, 5_000, 256) == (
        "1,024 open files a worker leave room for 668 clients of its 5,000 (server.limits.max_connections): "
        "more get 503; allow 5,356 by `ulimit -Hn` or LimitNOFILE=, or write less there"
    )


def test_as_many_are_taken_as_the_system_lets_it() -> None:
    limited = f"ulimit -Sn 64; ulimit -Hn 200; exec {sys.executable} -c '{PRINT}'"
    output = subprocess.run(["sh", "-c", limited], capture_output=True, text=True, check=True).stdout
    assert output.split() == ["200", "200"]
