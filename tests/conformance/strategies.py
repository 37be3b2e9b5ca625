"""Random sequences of exchanges, with a liking for what is stored and for the edges of its windows."""

from typing import Any

from hypothesis import strategies as st

from .sequences import Edge, Origin, Step

TICKS = st.sampled_from([-0.5, 0.0, 0.5])
EDGES = st.builds(
    Edge,
    st.sampled_from(
        [
            "freshness",
            "freshness",
            "stale-while-revalidate",
            "stale-if-error",
            "default",
            "max-age",
            "min-fresh",
            "max-stale",
        ]
    ),
    TICKS,
)
WAITS = st.one_of(EDGES, st.sampled_from([0.0, 0.5, 1.0, 5.0, 30.0, 60.0, 90.0, 3600.0, 9000.0]))


def lists(*members: str, most: int) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(members), max_size=most).map(", ".join)


LIVES = st.sampled_from(
    ["max-age=60", "max-age=10", "max-age=0", "s-maxage=60", "s-maxage=5", "max-age=x", 'max-age="60"', "x=y"]
)
EXTRAS = lists(
    *["public", "must-revalidate", "proxy-revalidate", "immutable", "must-understand", "no-cache"],
    *["stale-while-revalidate=30", "stale-while-revalidate=5", "stale-if-error=30", "stale-if-error=7200"]
    * 2,
    *['no-cache="X-Test"', 'private="X-Test"', "no-store", "private", "max-age=10", "s-maxage=5"],
    most=3,
)
CONTROLS = st.one_of(
    LIVES, st.tuples(LIVES, EXTRAS).map(", ".join), st.tuples(EXTRAS, LIVES).map(", ".join), EXTRAS
)
TARGETED = lists(
    *["max-age=60", "max-age=10", "s-maxage=5", "no-store", "private", "no-cache", "public", "max-age=x"],
    *["must-revalidate", "stale-while-revalidate=30", "stale-if-error=30", 'private="X-Test"'],
    most=3,
)
# Each at most once: no RFC says which counts of a repeated one.
WISHES = st.lists(
    st.sampled_from(
        [
            "max-age=0",
            "max-age=30",
            "max-age=60",
            "max-age=65",
            "max-age=x",
            "min-fresh=5",
            "min-fresh=50",
            "max-stale",
            "max-stale=10",
            "max-stale=x",
            "no-cache",
            "no-store",
            "only-if-cached",
        ]
    ),
    max_size=3,
    unique_by=lambda wish: wish.partition("=")[0],
).map(", ".join)
STATUSES = [*[200] * 12, 203, 204, 206, 299, 301, 302, 404, 405, 410, 414, 500, 501, 503, 503]


def rarely(values: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[Any]:
    return st.one_of(*[st.none()] * most, values)


ORIGINS = st.builds(
    Origin,
    status=st.sampled_from(STATUSES),
    control=st.one_of(CONTROLS, st.none()),
    targeted=rarely(TARGETED, 7),
    expires=rarely(st.sampled_from([60, 0, -10, 10, "0"])),
    date=st.sampled_from([0, 0, 0, -5, -60, 10, None, "foo"]),
    age=rarely(st.sampled_from(["0", "5", "30", "5, 7", "x", "-5"])),
    vary=rarely(
        st.sampled_from(["Foo", "Foo", "foo, Bar", "Accept-Language", "Accept-Language", "Foo, *"]), 3
    ),
    etag=st.sampled_from([None, '"1"', '"1"', 'W/"1"', '"2"']),
    modified=st.sampled_from([None, None, -1000, -100, -10_000_000]),
    cookie=st.sampled_from([False] * 15 + [True]),
    delay=st.sampled_from([0.0, 0.0, 0.5, 2.0]),
    confirms=st.booleans(),
)
ASKED_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "Foo": st.sampled_from(["1", "2", "1,2", "1, 2"]),
        "Accept-Language": st.sampled_from(["en", "en, de", "de,en"]),
        "Pragma": st.just("no-cache"),
    },
).map(lambda fields: tuple(fields.items()))
ANYTHING = st.lists(
    st.builds(
        Step,
        wait=WAITS,
        origin=st.one_of(ORIGINS, ORIGINS, ORIGINS, st.none()),
        control=st.one_of(st.none(), st.none(), WISHES),
        client=st.sampled_from(["", "", "A", "B"]),
        path=st.sampled_from(["/1", "/1", "/1", "/2"]),
        method=st.sampled_from(["GET", "GET", "GET", "GET", "HEAD"]),
        fields=ASKED_FIELDS,
    ),
    min_size=1,
    max_size=10,
)
# One response that lives, and requests at the edges of all its windows, while the origin fails.
KEPT = st.builds(
    Origin,
    status=st.sampled_from([200, 200, 200, 404, 503]),
    control=st.tuples(LIVES, EXTRAS).map(", ".join),
    date=st.sampled_from([0, -5, None, "foo"]),
    age=rarely(st.sampled_from(["5", "30"])),
    etag=st.sampled_from([None, '"1"']),
    delay=st.sampled_from([0.0, 0.5]),
)
FAILING = st.sampled_from([None, Origin(status=503, control=None)])
AT_A_WISH = st.sampled_from(
    ["max-stale=10", "min-fresh=5", "min-fresh=50", "max-age=30", "max-age=60"]
).flatmap(
    lambda wish: st.builds(
        Step,
        wait=st.builds(Edge, st.just(wish.partition("=")[0]), TICKS),
        origin=FAILING,
        control=st.just(wish),
    )
)
EDGEWISE = st.tuples(
    st.builds(Step, origin=KEPT, wait=st.sampled_from([0.0, 0.5])),
    st.lists(
        st.one_of(AT_A_WISH, st.builds(Step, wait=EDGES, origin=FAILING, control=WISHES)),
        min_size=1,
        max_size=5,
    ),
).map(lambda steps: [steps[0], *steps[1]])
# One response, validated again and again, by clients with and without Authorization.
CONFIRMING = st.builds(
    Origin,
    status=st.sampled_from([200, 404]),
    control=st.one_of(CONTROLS, st.sampled_from([None, "max-age=60, public", "s-maxage=10"])),
    age=rarely(st.sampled_from(["5", "30"])),
    date=st.sampled_from([0, 0, -5, None]),
    etag=st.just('"1"'),
    delay=st.sampled_from([0.0, 2.0]),
    confirms=st.just(True),
)
VALIDATED = st.lists(
    st.builds(
        Step,
        wait=st.one_of(EDGES, st.sampled_from([0.0, 5.0])),
        origin=CONFIRMING,
        control=st.sampled_from([None, None, "no-cache"]),
        client=st.sampled_from(["", "A", "B"]),
    ),
    min_size=2,
    max_size=7,
)
STEPS = st.one_of(ANYTHING, EDGEWISE, VALIDATED)
