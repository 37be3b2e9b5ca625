"""The house of the design: imports go down only, files stay short, the lowest floors stay pure."""

import ast
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "edgeproxy"
MODULES = sorted(PACKAGE.rglob("*.py"))
FLOORS = {
    0: ("__init__", "errors", "clock", "wire"),
    1: ("caching", "config"),
    2: ("store", "upstream", "fleet", "telemetry"),
    3: ("edge", "simulation"),
    4: ("server", "admin"),
    5: ("cli", "demo", "__main__"),
}
FLOOR_OF = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
# Clocks and sockets are handed in from above; clock.py is where time comes from.
IMPURE = {"asyncio", "socket", "time", "logging", "selectors", "threading", "uvloop", "aiohttp"}
LONGEST = 400


def parsed(path: Path) -> ast.Module:
    """The tree of a file; CPython 3.11's parser trips over a collection that begins while it builds one."""
    gc.disable()
    try:
        return ast.parse(path.read_text())
    finally:
        gc.enable()


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, under `if TYPE_CHECKING` and inside functions too."""
    package = path.relative_to(PACKAGE.parent).parent.parts
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            yield module
            yield from (f"{module}.{name.name}" for name in node.names)


def rooms_imported(path: Path) -> set[str]:
    names = (name.split(".") for name in imported(path))
    return {parts[1] for parts in names if parts[0] == "edgeproxy" and len(parts) > 1} & FLOOR_OF.keys()


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE.parent))


def test_every_room_has_a_floor() -> None:
    assert {room_of(path) for path in MODULES} <= FLOOR_OF.keys()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_down_only(path: Path) -> None:
    floor = FLOOR_OF[room_of(path)]
    upwards = {room for room in rooms_imported(path) if FLOOR_OF[room] > floor}
    assert not upwards, f"{name_of(path)}, floor {floor}, imports from above: {sorted(upwards)}"


def test_rooms_of_one_floor_import_each_other_without_a_cycle() -> None:
    beside: dict[str, set[str]] = {room: set() for room in FLOOR_OF}
    for path in MODULES:
        room = room_of(path)
        beside[room] |= {other for other in rooms_imported(path) if FLOOR_OF[other] == FLOOR_OF[room]} - {
            room
        }
    while settled := [room for room, others in beside.items() if not others & beside.keys()]:
        for room in settled:
            del beside[room]
    assert not beside, f"these rooms import each other in a circle: {beside}"


@pytest.mark.parametrize(
    "path", [path for path in MODULES if FLOOR_OF[room_of(path)] < 2 and path.name != "clock.py"], ids=name_of
)
def test_lowest_floors_are_pure(path: Path) -> None:
    impure = {name.split(".")[0] for name in imported(path)} & IMPURE
    assert not impure, f"{name_of(path)} imports {sorted(impure)}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_file_is_too_long(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= LONGEST, f"{name_of(path)} has {lines} lines"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_says_what_it_knows(path: Path) -> None:
    tree = parsed(path)
    assert not tree.body or ast.get_docstring(tree), f"{name_of(path)} has no docstring"
