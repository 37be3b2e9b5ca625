"""Knows the public suite as a package: how it is had with npm, where its files are, which tests it has.

Must not know what is tested, or what is expected of it.
"""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache" / "conformance"  # ignored by git: the suite is never committed
NAME, VERSION = "http-cache-tests", "0.4.5"
NODE = 18  # the oldest major version that the suite runs on
ATTEMPTS = 3
INSTALL = 60.0  # seconds for one attempt
# Nothing of the package runs at installation, and the attempts are ours, each with its bound.
OPTIONS = ("--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0")
QUICK = 30.0  # seconds for a command that only prints something


class Unavailable(Exception):
    """The suite cannot be run on this machine, and why, in one line."""


class NoTools(Unavailable):
    """Node or npm is missing or too old."""


@dataclass(frozen=True, slots=True)
class Case:
    """One test of the suite; `depends_on` are ids of tests without which its result means nothing."""

    id: str
    suite: str
    kind: str  # required, optimal, check
    depends_on: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Package:
    """A suite on disk: `root` is where its programs are run, `engine` where its server and client are."""

    root: Path
    engine: Path

    @property
    def cli(self) -> Path:
        return self.engine / "cli.mjs"

    @property
    def server(self) -> Path:
        return self.engine / "server" / "server.mjs"


def package_at(root: Path) -> Package:
    """A suite's folder, in npm's layout or in that of its repository. Raises Unavailable."""
    root = root.resolve()
    for engine in (root, root / "test-engine"):
        if (engine / "cli.mjs").is_file() and (engine / "server" / "server.mjs").is_file():
            return Package(root, engine)
    raise Unavailable(f"{root} holds no cli.mjs with a server/server.mjs")


def check_tools() -> None:
    """Raises NoTools without Node 18+ and npm."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise NoTools(f"the HTTP cache tests need Node {NODE} or newer with npm, and PATH has none")
    told = _told("node", "--version")
    version = re.match(r"v(\d+)\.", told)
    if version is None or int(version[1]) < NODE:
        raise NoTools(f"the HTTP cache tests need Node {NODE} or newer; this is {told.strip() or 'none'}")


def installed() -> Package:
    """The pinned version of the suite, installed by npm where it is not yet. Raises Unavailable."""
    check_tools()
    place = CACHE / VERSION
    root = place / "node_modules" / NAME
    if not _is_pinned(root):
        _install(place)
    return package_at(root)


def _is_pinned(root: Path) -> bool:
    try:
        return bool(json.loads((root / "package.json").read_text())["version"] == VERSION)
    except (OSError, ValueError, KeyError):
        return False


def _install(place: Path) -> None:
    """Installs beside `place` and moves it there, so that it is whole or not there at all."""
    fresh = place.with_name(f"{place.name}.{os.getpid()}")
    command = ["npm", "install", "--prefix", str(fresh), *OPTIONS, f"{NAME}@{VERSION}"]
    why = ""
    for _ in range(ATTEMPTS):
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        try:
            done = _run(*command, timeout=INSTALL)
        except subprocess.TimeoutExpired:
            why = f"not within {INSTALL:g} s"
            continue
        if done.returncode == 0 and _is_pinned(fresh / "node_modules" / NAME):
            _move(fresh, place)
            return
        why = " ".join(done.stderr.split())[:200]
    shutil.rmtree(fresh, ignore_errors=True)
    raise Unavailable(f"npm could not install {NAME}@{VERSION}: {why}")


def _move(fresh: Path, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    try:
        fresh.rename(place)
    except OSError:  # another run was faster, and its copy is as good
        shutil.rmtree(fresh, ignore_errors=True)


def tests_of(package: Package) -> tuple[Case, ...]:
    """The tests that the command line runs against a proxy, in its order. Raises Unavailable.

    Tests for browsers only are left out, as the suite's own display leaves them out.
    """
    index = package.root / "tests" / "index.mjs"
    more = re.findall(r"from '\.{1,2}/tests/((?!index)[\w-]+\.mjs)'", package.cli.read_text())
    told = _told("node", str(HERE / "describe.mjs"), str(index.parent), *more)
    try:
        described: list[dict[str, Any]] = json.loads(told)
    except ValueError:
        raise Unavailable(f"{index} does not load") from None
    return tuple(
        Case(one["id"], one["suite"], one["kind"], tuple(one["depends_on"]))
        for one in described
        if not one["browser_only"]
    )


def _told(*command: str) -> str:
    try:
        return _run(*command, timeout=QUICK).stdout
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{' '.join(command[:2])} said nothing within {QUICK:g} s") from None


def _run(*command: str, timeout: float) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
