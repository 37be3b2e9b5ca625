"""edgeproxy does what its pins say of it; scoring is strict; pins and README follow what was measured."""

from pathlib import Path

import pytest

from tests.conformance import pins as pinned
from tests.conformance import report
from tests.conformance.measure import Bench, Broken, Result
from tests.conformance.package import Case, NoTools, Package, Unavailable, check_tools, installed, package_at
from tests.conformance.pins import Pin, Pins
from tests.conformance.scoring import Outcome, strict, tally, totals
from tests.conformance.suite import measure

CASES = (
    Case("ground", "first", "check", ()),
    Case("must", "first", "required", ("ground",)),
    Case("best", "second", "optimal", ("must",)),
)
YES, NO, DEPENDENCY = Outcome.YES, Outcome.NO, Outcome.DEPENDENCY


@pytest.fixture
def node() -> None:
    try:
        check_tools()
    except NoTools as error:
        pytest.skip(f"NOT RUN, {error}")


# --- the proxy --------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(400)  # 180 s to install, three times in vain; 180 s to run
def test_the_suite_comes_out_as_pinned(node: None) -> None:
    try:
        package = installed()
    except Unavailable as error:
        pytest.skip(f"THE HTTP CACHE TESTS WERE NOT RUN: {error}")
    pins = pinned.read()
    different = measure(package, pins).against(pins)
    told = "\n".join(map(str, different))
    assert not different, f"{told}\nWhere that is right: {pinned.COMMAND}, then the reasons in pins.yaml."


# --- the pins ---------------------------------------------------------------------


def test_every_pin_has_a_reason() -> None:
    pins = pinned.read()
    assert [name for name, pin in (pins.failing | pins.checks).items() if not pin.reason] == []


def test_a_required_test_is_excused_only_by_a_clause() -> None:
    pins = pinned.read()
    failing = [passed - of for passed, of in (suite["required"] for suite in pins.suites.values())]
    excused = [pin for name, pin in pins.failing.items() if pin.clause.startswith("RFC ")]
    assert -sum(failing) <= len(excused)


def test_the_readme_follows_the_pins() -> None:
    assert report.README.read_text() == report.readme(pinned.read()), f"run {pinned.COMMAND}"


def test_pins_are_read_as_they_were_written(tmp_path: Path) -> None:
    pins = pinned.read()
    pinned.write(pins, tmp_path / "pins.yaml")
    assert pinned.read(tmp_path / "pins.yaml") == pins
    assert (tmp_path / "pins.yaml").read_text() == pinned.PINS.read_text()


def test_moving_the_pins_keeps_reasons_and_forgets_what_passes() -> None:
    old = Pins(failing={"must": Pin(NO, "why", "RFC 1 §2")}, checks={"ground": Pin(YES, "chosen")})
    outcomes = {"ground": NO, "must": DEPENDENCY, "best": YES}
    new = pinned.moved(old, CASES, outcomes, tally(CASES, outcomes))
    assert new.failing == {"must": Pin(DEPENDENCY, "why", "RFC 1 §2")}
    assert new.checks == {"ground": Pin(NO, "chosen")}
    assert not pinned.differences(new, CASES, outcomes)


def test_better_worse_and_other_choices_are_told_apart() -> None:
    pins = Pins(failing={"must": Pin(NO)}, checks={"ground": Pin(NO)})
    told = pinned.differences(pins, CASES, {"ground": YES, "must": YES, "best": NO})
    assert list(map(str, told)) == [
        "differs: check ground: pinned no, now yes",
        "better: required must: pinned no, now yes",
        "worse: optimal best: pinned yes, now no",
    ]


def test_a_check_that_nobody_chose_differs() -> None:
    (told,) = pinned.differences(Pins(), CASES[:1], {"ground": YES})
    assert str(told) == "differs: check ground: pinned nothing, now yes"


# --- scoring ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("passed", "outcomes"),
    [
        ({"ground": True, "must": True, "best": True}, (YES, YES, YES)),
        ({"ground": True, "must": False, "best": True}, (YES, NO, DEPENDENCY)),
        ({"ground": False, "must": True, "best": True}, (NO, DEPENDENCY, DEPENDENCY)),
        ({"ground": True, "best": True}, (YES, NO, DEPENDENCY)),
        ({}, (NO, DEPENDENCY, DEPENDENCY)),
    ],
)
def test_a_pass_counts_only_on_passed_dependencies(
    passed: dict[str, bool], outcomes: tuple[Outcome, ...]
) -> None:
    assert tuple(strict(CASES, passed).values()) == outcomes


def test_a_dependency_that_is_not_run_is_not_passed() -> None:
    lonely = Case("lonely", "first", "required", ("for-browsers",))
    assert strict([lonely], {"lonely": True, "for-browsers": True}) == {"lonely": DEPENDENCY}


def test_sums_are_by_suite_and_kind() -> None:
    suites = tally(CASES, {"ground": YES, "must": NO, "best": DEPENDENCY})
    assert suites["first"] == {"required": (0, 1), "optimal": (0, 0), "check": (1, 1)}
    assert totals(suites) == {"required": (0, 1), "optimal": (0, 1), "check": (1, 1)}


# --- the package and its client ---------------------------------------------------


@pytest.mark.parametrize("engine", [".", "test-engine"])
def test_a_suite_is_found_in_either_layout(tmp_path: Path, engine: str) -> None:
    (tmp_path / engine / "server").mkdir(parents=True)
    (tmp_path / engine / "server" / "server.mjs").touch()
    (tmp_path / engine / "cli.mjs").touch()
    assert package_at(tmp_path).cli == (tmp_path / engine / "cli.mjs").resolve()


def test_a_folder_without_a_suite_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"holds no cli\.mjs"):
        package_at(tmp_path)


def test_missing_tools_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoTools, match="need Node 18 or newer with npm"):
        check_tools()


@pytest.fixture
def client(node: None, tmp_path: Path) -> Bench:
    return Bench(Package(tmp_path, tmp_path), "127.0.0.1:1")


@pytest.mark.parametrize(
    ("said", "result"),
    [
        ("dialogue\\n✅ - ", Result(True)),
        ("dialogue\\nY - ", Result(True)),
        ("⛔️ - Response 2 comes from cache", Result(False, "Response 2 comes from cache")),
        ("↻ - retry", Result(False, "retry")),
    ],
)
def test_one_tests_result_is_its_last_line(client: Bench, said: str, result: Result) -> None:
    client.package.cli.write_text(f"console.log('{said}')")
    assert client.run_one("any") == result


def test_all_results_follow_what_else_the_client_prints(client: Bench) -> None:
    client.package.cli.write_text("""
        console.log('noise {')
        console.log(JSON.stringify({a: true, b: ['Assertion', 'why']}, null, 2))
    """)
    assert client.run_all() == {"a": Result(True), "b": Result(False, "Assertion: why")}


@pytest.mark.parametrize("script", ["", "console.log('{\\n')", "throw new Error('what')"])
def test_a_client_that_gives_nothing_is_a_broken_run(client: Bench, script: str) -> None:
    client.package.cli.write_text(script)
    with pytest.raises(Broken):
        client.run_all()
