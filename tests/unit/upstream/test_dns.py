import socket
from collections.abc import Sequence

import pytest

from edgeproxy.errors import DnsFailure
from edgeproxy.upstream.dns import (
    FIRST_BACKOFF,
    LONGEST_TTL,
    SHORTEST_TTL,
    Answer,
    Watch,
    literal,
    split_server,
)
from edgeproxy.upstream.origin import Address

ONE = Address(socket.AF_INET, ("192.0.2.1", 80))
TWO = Address(socket.AF_INET, ("192.0.2.2", 80))


class Scripted:
    """Answers in order."""

    def __init__(self, *answers: Answer | DnsFailure) -> None:
        self.answers = list(answers)

    async def resolve(self, host: str, port: int) -> Answer:
        answer = self.answers.pop(0)
        if isinstance(answer, DnsFailure):
            raise answer
        return answer


class Told:
    def __init__(self) -> None:
        self.sets: list[tuple[Address, ...]] = []

    def __call__(self, addresses: Sequence[Address]) -> None:
        self.sets.append(tuple(addresses))


@pytest.mark.parametrize(
    ("server", "parts"),
    [
        ("192.0.2.53", ("192.0.2.53", 53)),
        ("192.0.2.53:5353", ("192.0.2.53", 5353)),
        ("[2001:db8::1]:5353", ("2001:db8::1", 5353)),
        ("[2001:db8::1]", ("2001:db8::1", 53)),
        ("2001:db8::1", ("2001:db8::1", 53)),
    ],
)
def test_addresses_of_dns_servers(server: str, parts: tuple[str, int]) -> None:
    assert split_server(server) == parts


def test_literals_need_no_dns() -> None:
    assert literal("192.0.2.1", 80) == ONE
    assert literal("::1", 80) == Address(socket.AF_INET6, ("::1", 80, 0, 0))
    assert literal("a.test", 80) is None


@pytest.mark.parametrize(
    ("interval", "ttl", "wait"),
    [
        pytest.param(9.0, 30.0, 30.0, id="ttl"),
        pytest.param(9.0, 0.0, SHORTEST_TTL, id="ttl-of-zero"),
        pytest.param(9.0, 86400.0, LONGEST_TTL, id="ttl-of-a-day"),
        pytest.param(9.0, None, 9.0, id="no-ttl"),
    ],
)
async def test_when_a_name_is_asked_for_again(interval: float, ttl: float | None, wait: float) -> None:
    watch = Watch("a.test", 80, Scripted(Answer((ONE,), ttl)), interval, Told())
    assert await watch.refresh() == wait


async def test_only_changes_are_told() -> None:
    told = Told()
    answers = [Answer((ONE, TWO)), Answer((TWO, ONE)), Answer((TWO,))]
    watch = Watch("a.test", 80, Scripted(*answers), 10.0, told)
    for _ in range(3):
        await watch.refresh()
    assert told.sets == [(ONE, TWO), (TWO,)]
    assert repr(watch) == "<Watch a.test 1 addresses, current>"


async def test_failures_keep_the_addresses_back_off_and_are_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    told = Told()
    failure = DnsFailure("servfail")
    answers = [Answer((ONE,)), failure, Answer(()), failure, Answer((ONE,))]
    watch = Watch("a.test", 80, Scripted(*answers), 10.0, told)
    await watch.refresh()
    waits = [await watch.refresh() for _ in range(3)]
    assert waits == [FIRST_BACKOFF, FIRST_BACKOFF * 2, FIRST_BACKOFF * 4]
    assert isinstance(watch.last_error, DnsFailure)
    await watch.refresh()
    assert watch.last_error is None
    assert told.sets == [(ONE,)]
    assert [record.getMessage().split(" (")[0] for record in caplog.records] == [
        "a.test does not resolve",
        "a.test resolves again",
    ]


async def test_the_back_off_is_bounded() -> None:
    watch = Watch("a.test", 80, Scripted(*[DnsFailure("no")] * 40), 10.0, Told())
    for _ in range(39):
        await watch.refresh()
    assert await watch.refresh() == 10.0


async def test_the_first_wait_is_bounded() -> None:
    watch = Watch("a.test", 80, Scripted(), 10.0, Told())
    await watch.first(0.0)
