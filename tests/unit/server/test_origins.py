import pytest

from edgeproxy.admin.ports import UnknownOrigin
from edgeproxy.config.model import Config, Origin, Route, Upstream
from edgeproxy.server.hello import Steered
from edgeproxy.server.origins import Origins
from edgeproxy.telemetry.counters import Counters

ONE, TWO = "127.0.0.1:9001", "127.0.0.1:9002"


def config(*origins: str) -> Config:
    return Config(
        upstreams={"shop": Upstream(origins=tuple(Origin(url=f"http://{origin}") for origin in origins))},
        routes=(Route(name="all", upstream="shop"),),
    )


class Told(list):
    def __call__(self, *words) -> None:
        self.append(words)


@pytest.fixture
def counters():
    made = Counters.create()
    yield made
    made.close()


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def origins(counters, told):
    return Origins(config(ONE, TWO), counters, told)


def gauge(counters: Counters, origin: str) -> float:
    return counters.floats[counters.gauge("edgeproxy_origin_healthy", "shop", origin)]


def test_origins_that_were_not_checked_count_as_healthy(origins, counters):
    assert origins.health() == {"shop": {ONE: True, TWO: True}}
    assert gauge(counters, ONE) == 1.0


def test_what_a_check_found_is_kept_shown_and_told(origins, counters, told):
    origins.set_health("shop", ONE, False)
    assert told == [("health", "shop", ONE, False)]
    assert gauge(counters, ONE) == 0.0
    assert origins.all() == [Steered("shop", ONE, False), Steered("shop", TWO, True)]


def test_a_check_of_an_origin_that_is_gone_means_nothing(origins, told):
    origins.set_health("shop", "gone:1", False)
    assert not told


def test_the_operators_word_is_kept_and_told(origins, told):
    origins.set_health("shop", ONE, False)
    assert origins.steer("shop", ONE, "drain") == Steered("shop", ONE, False, "drain")
    assert told[-1] == ("steer", "shop", ONE, "drain")
    with pytest.raises(UnknownOrigin, match="has no origin 'x:1'"):
        origins.steer("shop", "x:1", "up")


def test_a_reload_keeps_what_is_known_of_origins_that_stay(origins, counters):
    origins.steer("shop", ONE, "down")
    origins.take(config(ONE, "new:1"))
    assert origins.all() == [Steered("shop", ONE, True, "down"), Steered("shop", "new:1")]
    assert gauge(counters, TWO) == 0.0
    assert gauge(counters, "new:1") == 1.0


def test_the_workers_numbers_are_added_up(origins):
    def snapshot(state: str) -> dict:
        origin = {"origin": ONE, "state": state, "active": 2, "connections": 3, "idle": 1}
        origin |= {"limit": 4, "addresses": [{"circuit": "closed", "retry_in": None}]}
        if state == "ejected":
            origin |= {"limit": 5, "hedge_after": 0.2}
            origin |= {"addresses": [{"circuit": "half_open", "retry_in": 0.0}]}
            origin |= {"panic": True, "weight": 3, "share_of_weight": 0.4, "priority": 1}
        return {"upstreams": {"shop": [origin]}}

    merged = origins.merge([snapshot("up"), snapshot("ejected"), {}])
    assert merged["shop"]["origins"][0] == {
        "origin": ONE,
        "state": "up",
        "healthy": True,
        "ejected_by": 1,
        "in_panic": 1,
        "half_open_by": 1,
        "retry_in": 0.0,
        "limit": 9,
        "hedge_after": 0.2,
        "weight": 3,
        "share_of_weight": 0.4,
        "priority": 1,
        "active": 4,
        "connections": 6,
        "idle": 2,
    }
    assert merged["shop"]["origins"][1]["active"] == 0
    assert "Steered" in repr(origins)
