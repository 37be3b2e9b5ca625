"""Each response directive beside max-age=60: stored or not, used fresh or stale, or for an origin that fails.

RFC 9111 §5.2.2, §5.2.3 and its extensions; the same in a targeted field (RFC 9213).
"""

import pytest

from edgeproxy.caching.decide import on_failure, on_request, on_response
from edgeproxy.caching.storability import storable
from edgeproxy.wire.heads import ResponseHead

from .values import ETAG, PLAIN, T0, answer, get, stored

AUTHORIZED = get("Authorization: Basic Zm9v")
STALE = T0 + 61

COLUMNS = ["stored", "stored-for-authorization", "fresh", "stale", "stale-for-a-503", "stale-out-of-reach"]
# What max-age=60 alone comes to; the rows below say where another directive makes a difference.
ALONE = ["yes", "no", "UseStored", "Validate", "Relay", "UseStale"]
FORBIDDEN = ["no", "no", None, None, None, None]
DIRECTIVES: dict[str, tuple[str, list[str | None]]] = {
    "s5.2.2.1": ("x=y", [*ALONE]),
    "s5.2.2.2": ("must-revalidate", ["yes", "yes", "UseStored", "Validate", "Relay", "Fail"]),
    "s5.2.2.3": ("must-understand", [*ALONE]),
    "s5.2.2.3-no-store": ("must-understand, no-store", [*ALONE]),
    "s5.2.2.4": ("no-cache", ["yes", "no", "Validate", "Validate", "Relay", "Fail"]),
    "s5.2.2.4-qualified": ('no-cache="x-a"', [*ALONE]),
    "s5.2.2.5": ("no-store", FORBIDDEN),
    "s5.2.2.5-public": ("no-store, public", FORBIDDEN),
    "s5.2.2.6": ("no-transform", [*ALONE]),
    "s5.2.2.7": ("private", FORBIDDEN),
    "s5.2.2.7-public": ("private, public", FORBIDDEN),
    "s5.2.2.7-qualified": ('private="x-a"', [*ALONE]),
    "s5.2.2.8": ("proxy-revalidate", ["yes", "no", "UseStored", "Validate", "Relay", "Fail"]),
    "s5.2.2.9": ("public", ["yes", "yes", *ALONE[2:]]),
    "s5.2.2.9-no-cache": ("public, no-cache", ["yes", "yes", "Validate", "Validate", "Relay", "Fail"]),
    "s5.2.2.10": ("s-maxage=60", ["yes", "yes", "UseStored", "Validate", "Relay", "Fail"]),
    "s5.2.2.10-public": ("s-maxage=60, public", ["yes", "yes", "UseStored", "Validate", "Relay", "Fail"]),
    "s5.2.3": ("community=uci", [*ALONE]),
    "rfc8246-s2": ("immutable", [*ALONE]),
    "rfc5861-s3": (
        "stale-while-revalidate=30",
        ["yes", "no", "UseStored", "UseStaleAndRevalidate", "Relay", "UseStale"],
    ),
    "rfc5861-s3-must-revalidate": (
        "stale-while-revalidate=30, must-revalidate",
        ["yes", "yes", "UseStored", "Validate", "Relay", "Fail"],
    ),
    "rfc5861-s4": ("stale-if-error=30", ["yes", "no", "UseStored", "Validate", "UseStale", "UseStale"]),
    "rfc5861-s4-proxy-revalidate": (
        "stale-if-error=30, proxy-revalidate",
        ["yes", "no", "UseStored", "Validate", "Relay", "Fail"],
    ),
}
CASES = [
    pytest.param(directives, column, outcome, id=f"{name}-{column}")
    for name, (directives, outcomes) in DIRECTIVES.items()
    for column, outcome in zip(COLUMNS, outcomes, strict=True)
    if outcome is not None
]


def outcome_of(head: ResponseHead, column: str) -> str:
    if column.startswith("stored"):
        request = AUTHORIZED if column.endswith("authorization") else get()
        return "yes" if storable(request, head, PLAIN, T0) is None else "no"
    response = stored(head)
    if column == "stale-for-a-503":
        return type(on_response(get(), answer(status=503), response, PLAIN, STALE)).__name__
    if column == "stale-out-of-reach":
        return type(on_failure(get(), response, PLAIN, STALE, disconnected=True)).__name__
    return type(on_request(get(), response, PLAIN, T0 + 1 if column == "fresh" else STALE)).__name__


@pytest.mark.parametrize(("directives", "column", "outcome"), CASES)
def test_in_cache_control(directives: str, column: str, outcome: str) -> None:
    head = answer(f"Cache-Control: max-age=60, {directives}", ETAG, "X-A: 1")
    assert outcome_of(head, column) == outcome


@pytest.mark.parametrize(("directives", "column", "outcome"), CASES)
def test_rfc9213_s2_2_in_a_targeted_field(directives: str, column: str, outcome: str) -> None:
    """Whatever Cache-Control says beside it."""
    head = answer(
        f"CDN-Cache-Control: max-age=60, {directives}", "Cache-Control: no-store, s-maxage=9", ETAG, "X-A: 1"
    )
    assert outcome_of(head, column) == outcome


# --- each directive of the request, §5.2.1, of a fresh and of a stale response


@pytest.mark.parametrize(
    ("wish", "fresh", "stale"),
    [
        pytest.param("max-age=60", "UseStored", "Validate", id="s5.2.1.1"),
        pytest.param("max-stale", "UseStored", "UseStored", id="s5.2.1.2"),
        pytest.param("min-fresh=5", "UseStored", "Validate", id="s5.2.1.3"),
        pytest.param("no-cache", "Validate", "Validate", id="s5.2.1.4"),
        pytest.param("no-store", "UseStored", "Validate", id="s5.2.1.5"),
        pytest.param("no-transform", "UseStored", "Validate", id="s5.2.1.6"),
        pytest.param("only-if-cached", "UseStored", "OnlyIfCachedMiss", id="s5.2.1.7"),
        pytest.param("community=uci", "UseStored", "Validate", id="s5.2.3"),
    ],
)
def test_in_a_request(wish: str, fresh: str, stale: str) -> None:
    request, response = get("Cache-Control: " + wish), stored()
    assert type(on_request(request, response, PLAIN, T0 + 1)).__name__ == fresh
    assert type(on_request(request, response, PLAIN, STALE)).__name__ == stale


# --- each status, §3


DEFAULT = {200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501}  # RFC 9110 §15.1
STATUSES = [*range(200, 206), *range(300, 304), 305, 307, 308, *range(400, 418), 421, 422, 426, 451]
STATUSES += [*range(500, 506), 511, 299, 399, 499, 599]


@pytest.mark.parametrize("status", [pytest.param(status, id=f"s3-{status}") for status in STATUSES])
def test_what_allows_each_status_to_be_stored(status: int) -> None:
    def is_stored(*fields: str) -> bool:
        return storable(get(), answer(*fields, ETAG, status=status), PLAIN, T0) is None

    error = status >= 500  # kept only where it is fresh
    assert is_stored("Cache-Control: max-age=60")
    assert is_stored("Cache-Control: s-maxage=60")
    assert is_stored("Cache-Control: public") is not error
    assert is_stored() is (status in DEFAULT and not error)
    assert not is_stored("Cache-Control: max-age=60, no-store")
    assert not is_stored("Cache-Control: max-age=60, private")


@pytest.mark.parametrize(
    "status", [pytest.param(status, id=f"s3-{status}") for status in (100, 101, 103, 304)]
)
def test_what_is_not_a_whole_final_answer_is_never_stored(status: int) -> None:
    assert storable(get(), answer("Cache-Control: max-age=60, public", status=status), PLAIN, T0) is not None
