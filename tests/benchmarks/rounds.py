"""One round: a server warmed, loaded, its CPU time taken, and its answers counted by all who count them."""

import contextlib
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from tests.benchmarks.cases import Case, Setup, script_of
from tests.benchmarks.contenders import Contender, Site
from tests.benchmarks.load import h2load, idle_connections, wrk
from tests.benchmarks.measure import (
    SERVER_CORE,
    Client,
    Round,
    Void,
    counted,
    cpu_seconds,
    free_ports,
    get,
    running,
    settled_lines,
)

SLACK = 0.01  # share of requests that may be counted otherwise
FEW_FROM_MEMORY = 0.05  # share of requests that the memory tier may answer where another tier is measured
CHECKED = 100  # URLs that are compared again in later rounds, where all were in the first


@dataclass(frozen=True, slots=True)
class Runs:
    """A server that runs: where, and the processes whose CPU time is its own."""

    site: Site
    pids: tuple[int, ...]


class Bench:
    """The servers that run, and what was measured on them."""

    def __init__(self, folder: Path, seconds: float, origin: int, limit: float, console: Console) -> None:
        self.folder = folder
        self._seconds = seconds
        self._origin = origin
        self._console = console
        self._deadline = time.monotonic() + limit
        # state
        self._running: dict[str, Runs] = {}
        self._filled: set[tuple[str, str]] = set()
        self.rounds: dict[str, dict[str, list[Round]]] = {}
        self.void: list[str] = []
        self.left_out: list[str] = []

    def __repr__(self) -> str:
        return f"<Bench {sorted(self._running)}>"

    def start(
        self,
        contender: Contender,
        setup: Setup,
        tls: Path | None,
        redis: str,
        stack: contextlib.ExitStack,
    ) -> None:
        """Start one server; a failure is said, and the others go on."""
        place = self.folder / f"{setup.name}-{contender.program.rpartition('/')[2]}".lower()
        place.mkdir()
        try:
            site = Site(place, free_ports(2), self._origin, setup, tls, redis)
            command = contender.command(site)
            pids = [stack.enter_context(running(command, site.port, SERVER_CORE, site.output))]
            beside = contender.beside(site)
            if beside:
                log = place / "beside.log"
                pids.append(stack.enter_context(running(beside, None, SERVER_CORE, log)))
        except (Void, OSError, subprocess.CalledProcessError) as error:
            self.leave_out(f"{contender.name}, {setup}: {error}")
        else:
            self._running[contender.name] = Runs(site, tuple(pids))

    def stopped(self) -> None:
        """The servers of this setup have ended, or will now."""
        self._running.clear()
        self._filled.clear()

    def leave_out(self, line: str) -> None:
        """Say what is not measured, and keep it for the record."""
        self.left_out.append(line)
        self._console.print(f"[yellow]left out:[/yellow] {line}", soft_wrap=True)

    def case(self, case: Case, contenders: list[Contender], rounds: int) -> None:
        """All rounds of one case, the servers in turn."""
        script = script_of(case, self.folder)
        for turn in range(rounds):
            for contender in [each for each in contenders if each.name in self._running]:
                if time.monotonic() > self._deadline:
                    self._void(f"{case.name}, from {contender.name} in round {turn + 1} on: the time is up")
                    return
                self._console.print(f"  {case.name}: round {turn + 1}, {contender.name}", style="dim")
                try:
                    measured = self._round(case, contender, self._running[contender.name], script)
                except (Void, OSError) as error:
                    self._void(f"{case.name}, {contender.name}, round {turn + 1}: {error}")
                else:
                    self.rounds.setdefault(case.name, {}).setdefault(contender.name, []).append(measured)

    def _void(self, line: str) -> None:
        self.void.append(line)
        self._console.print(f"  [red]void:[/red] {line}", soft_wrap=True)

    def _round(self, case: Case, contender: Contender, runs: Runs, script: Path | None) -> Round:
        url = f"{'https' if runs.site.certificate else 'http'}://127.0.0.1:{runs.site.port}{case.path}"
        if contender.caches:
            self._check_answers(case, contender, runs.site)
        with contextlib.ExitStack() as stack:
            if case.idle:
                stack.enter_context(idle_connections(case.idle, runs.site.port, case.path))
            wrk(case, url, 1, script)  # pools filled, code paths seen
            rate = self._capacity(case, runs, url, script) / 2 if case.paced else 0.0
            counts = Counts(contender, runs.site, self._origin)
            spent = cpu_seconds(*runs.pids)
            latency: dict[str, float] = {}
            if case.paced:
                seconds = self._seconds + 2  # its beginning and its end are not steady
                latency = h2load(case, url, seconds, rate, self.folder / "h2load.log")
                requests = round(rate * seconds)
            else:
                requests, seconds = wrk(case, url, self._seconds, script)
            counts.settle()  # what is still being written to the log is work of this round
            spent = cpu_seconds(*runs.pids) - spent
            if contender.caches:
                counts.check(case, requests)
            return Round(spent / requests * 1e6, requests / seconds, latency)

    def _capacity(self, case: Case, runs: Runs, url: str, script: Path | None) -> float:
        """Requests a second of CPU time: what its core could do, were the load not the narrower place."""
        spent = cpu_seconds(*runs.pids)
        requests, _ = wrk(case, url, 2, script)
        return requests / max(cpu_seconds(*runs.pids) - spent, 0.01)

    def _check_answers(self, case: Case, contender: Contender, site: Site) -> None:
        """Compare with the origin's answers; before the first round every URL is asked for, and so stored."""
        done = (case.name, contender.name)
        paths = case.paths[:CHECKED] if done in self._filled else case.paths * case.passes
        with Client(site.port, site.certificate is not None) as client, Client(self._origin) as origin:
            for path in paths:
                told = origin.get(path)
                if client.get(path, case.host) != told:
                    raise Void(f"its answer to {path} is not the origin's")
            if case.status != 200 and client.get(case.path, case.host, case.fields) != (case.status, b""):
                raise Void(f"its answer to {case.path} is not {case.status}")
        self._filled.add(done)


class Counts:
    """What the origin, edgeproxy's metrics and the access log count over a round."""

    def __init__(self, contender: Contender, site: Site, origin: int) -> None:
        self._contender = contender
        self._site = site
        self._origin = origin
        self._log = contender.log(site) if site.setup is Setup.LOG else None
        if self._log is not None:
            settled_lines(self._log)
            os.truncate(self._log, 0)
        self._lines = 0
        self._reached = self._at_origin()
        self._metrics = self._scrape()

    def __repr__(self) -> str:
        return f"<Counts of {self._contender.name}>"

    def settle(self) -> None:
        """Wait until the access log, where there is one, has what it will have."""
        if self._log is not None:
            self._lines = settled_lines(self._log)

    def check(self, case: Case, requests: int) -> None:
        """Raises Void where someone counted otherwise."""
        # Requests under way at either end are counted by one side only.
        slack = SLACK * requests + 2 * case.connections
        reached = self._at_origin() - self._reached
        if abs(reached - case.at_origin * requests) > slack:
            raise Void(f"{reached} of {requests} requests reached the origin")
        if self._log is not None and abs(self._lines - requests) > slack:
            raise Void(f"{self._lines} lines in the access log of {requests} requests")
        if self._contender.has_metrics:
            self._check_metrics(case, requests, slack)

    def _check_metrics(self, case: Case, requests: int, slack: float) -> None:
        labels = (f'code="{case.status}"', *(() if case.at_origin else ('outcome="hit"',)))
        seen = self._grown("edgeproxy_requests_total", *labels)
        if abs(seen - requests) > slack:
            raise Void(f"{seen} of {requests} requests are in the metrics as they should be")
        tier = {Setup.REDIS: "redis", Setup.DISK: "node"}.get(case.setup)
        if tier is not None:
            shared = self._grown("edgeproxy_tier_requests_total", f'tier="{tier}"', 'result="hit"')
            if shared < (1 - FEW_FROM_MEMORY) * requests - slack:
                raise Void(f"only {shared} of {requests} requests were answered from the {case.setup}")

    def _grown(self, name: str, *labels: str) -> int:
        return counted(self._scrape(), name, *labels) - counted(self._metrics, name, *labels)

    def _scrape(self) -> str:
        return get(self._site.port + 1, "/metrics")[1].decode() if self._contender.has_metrics else ""

    def _at_origin(self) -> int:
        return int(get(self._origin, "/count")[1])
