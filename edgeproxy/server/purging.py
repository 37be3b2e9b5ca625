"""Knows how an operator's purge becomes rules, and what can be counted of it.

Must not know HTTP, nor how rules reach other nodes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edgeproxy.admin.ports import PurgeOrder
from edgeproxy.edge.routing import Router
from edgeproxy.errors import BadRequest
from edgeproxy.fleet.entries import Event
from edgeproxy.fleet.purge_log import PurgeLog, Receipt
from edgeproxy.fleet.rules import MAX_PREFIX, PurgeKind, PurgeRule, without_scheme
from edgeproxy.server.control import ControlError
from edgeproxy.server.crew import Crew
from edgeproxy.server.drips import Drips
from edgeproxy.server.forecast import Forecast
from edgeproxy.wire.target import Target, parse_uri

REMOVE_TIMEOUT = 5.0  # seconds for workers to say what they had of a URL


@dataclass(frozen=True, slots=True)
class PurgePlan:
    """The rules of a purge, and the cache keys of its URLs, under http and https."""

    rules: tuple[PurgeRule, ...]
    keys: tuple[bytes, ...]


def plan(order: PurgeOrder, router: Router) -> PurgePlan:
    """What an order means. Raises BadRequest for what is no URL, no prefix or no host."""
    rules: list[PurgeRule] = []
    keys: list[bytes] = []
    for url in order.urls:
        key = router.key_of(parse(url, "url"))
        rest = without_scheme(key)
        rules.append(PurgeRule(PurgeKind.URL, rest, order.soft))
        keys += [b"http://" + rest, b"https://" + rest]
    rules += [PurgeRule(PurgeKind.TAG, tag.encode(), order.soft) for tag in order.tags]
    if order.prefix is not None:
        rest = without_scheme(parse(order.prefix, "prefix").uri)
        if len(rest) > MAX_PREFIX:
            raise BadRequest(f"prefix is longer than {MAX_PREFIX} bytes: it matches nothing", 422)
        rules.append(PurgeRule(PurgeKind.PREFIX, rest, order.soft))
    if order.host is not None:
        rules.append(PurgeRule(PurgeKind.HOST, _host(order.host), order.soft))
    if order.everything:
        rules.append(PurgeRule(PurgeKind.EVERYTHING, b"", order.soft))
    return PurgePlan(tuple(dict.fromkeys(rules)), tuple(dict.fromkeys(keys)))


def parse(url: str, what: str) -> Target:
    """A URL as an operator types it. Raises BadRequest that names it."""
    try:
        return parse_uri(url.encode("utf-8", "surrogatepass"))
    except (BadRequest, ValueError) as error:
        raise BadRequest(f"{what} {url!r} is no http or https URL: {error}", 422) from error


def _host(host: str) -> bytes:
    scheme = "https" if host.endswith(":443") else "http"
    if not any(character in host for character in "/?#@\\ "):
        try:
            return parse_uri(f"{scheme}://{host}/".encode()).authority
        except (BadRequest, ValueError):
            pass
    raise BadRequest(f"host {host!r} is no host name", 422)


def rules_of_event(event: Event, router: Router) -> tuple[PurgeRule, ...]:
    """What another service's event means under this node's routes. Raises BadRequest."""
    orders = [PurgeOrder(urls=event.urls, tags=event.tags, everything=event.everything, soft=event.soft)]
    orders += [PurgeOrder(prefix=prefix, soft=event.soft) for prefix in event.prefixes]
    orders += [PurgeOrder(host=host, soft=event.soft) for host in event.hosts]
    return tuple(dict.fromkeys(rule for order in orders for rule in plan(order, router).rules))


class PurgeDesk:
    """Carries out purges: they count in every worker before the answer is given."""

    def __init__(
        self,
        log: Callable[[], PurgeLog],
        crew: Crew,
        router: Callable[[], Router],
        drips: Drips,
        forecast: Forecast,
    ) -> None:
        self._log = log
        self._crew = crew
        self._router = router
        self._drips = drips
        self._forecast = forecast

    def __repr__(self) -> str:
        return f"<PurgeDesk {self._log()!r}>"

    async def purge(self, order: PurgeOrder) -> dict[str, Any]:
        """Purge, and tell the outcome as the admin API answers it. Raises BadRequest."""
        planned = plan(order, self._router())
        if order.dry_run:
            return await self._forecast.of(planned.rules, planned.keys if _only_urls(planned.rules) else ())
        if order.rate is not None:
            return await self._drips.begin(planned.rules, order.rate)
        counting = not order.soft and _only_urls(planned.rules)
        done = await self._log().purge(planned.rules, order.wait, count=counting)
        removed = await self._remove(planned.keys) if counting else None
        return {
            "id": done.id,
            "removed": removed,
            "nodes": done.nodes,
            "receipts": {
                node: _told(receipt, removed if at == 0 else receipt.removed)
                for at, (node, receipt) in enumerate(done.receipts.items())
            },
        }

    async def free(self, rules: Sequence[PurgeRule]) -> int | None:
        """For a purge of another node: free what its URLs held in memory here, and count it.

        None where that would cost a scan, or a worker is silent.
        """
        if not rules or not _only_urls(rules) or any(rule.soft for rule in rules):
            return None
        keys = [scheme + rule.value for rule in rules for scheme in (b"http://", b"https://")]
        answers = await self._crew.ask("free", keys, timeout=REMOVE_TIMEOUT)
        removed = [answer for answer in answers.values() if isinstance(answer, int)]
        return sum(removed) if len(removed) == len(answers) else None

    async def _remove(self, keys: tuple[bytes, ...]) -> int | None:
        """Free what the URLs held; how many stored responses that were, None where a worker is silent."""
        answers = await self._crew.ask("remove", list(keys), timeout=REMOVE_TIMEOUT)
        removed: set[str] = set()
        for answer in answers.values():
            if isinstance(answer, ControlError):
                return None
            removed.update(answer)
        silent = any(seat.late for seat in self._crew.seats)
        return None if silent else len(removed)


def _told(receipt: Receipt, removed: int | None) -> dict[str, Any]:
    milliseconds = receipt.milliseconds
    return {
        "position": receipt.position,
        "time": receipt.time,
        "removed": removed,
        "milliseconds": None if milliseconds is None else round(milliseconds, 3),
    }


def _only_urls(rules: Sequence[PurgeRule]) -> bool:
    return all(rule.kind is PurgeKind.URL for rule in rules)
