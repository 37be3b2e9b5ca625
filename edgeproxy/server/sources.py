"""Knows where a configuration is read again: a file, or a URL with its last good copy on the disk.

Must not know when that is done (`watch`), nor how it comes into force (`reload`).
"""

import asyncio
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TypeVar

from edgeproxy.config.load import load, load_text
from edgeproxy.config.mistakes import ConfigError
from edgeproxy.config.model import Config
from edgeproxy.config.remote import TOTAL_TIMEOUT, ControlPlane, Fetched, Unreachable, mask_source

GIVE_UP = TOTAL_TIMEOUT + 5.0  # seconds for a fetch, whatever it hangs in

_log = logging.getLogger("edgeproxy.supervisor")
T = TypeVar("T")


class Source(Protocol):
    """Where the configuration comes from."""

    @property
    def name(self) -> str:
        """As operators may see it."""
        ...

    async def read(self) -> Config:
        """What stands there now. Raises ConfigError, Unreachable."""
        ...

    async def accepted(self) -> None:
        """What was read last is in force."""
        ...


class FileSource:
    """A file; `mark` and `digest` tell whether it is another one."""

    def __init__(self, path: str) -> None:
        self.name = path

    def __repr__(self) -> str:
        return f"<FileSource {self.name}>"

    async def read(self) -> Config:
        """Load the file. Raises ConfigError."""
        return await asyncio.to_thread(load, self.name)

    async def accepted(self) -> None:
        """A file needs no copy."""

    def mark(self) -> tuple[int, int, int] | None:
        """Changes whenever the file does; None while there is none."""
        try:
            stat = os.stat(self.name)
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size

    def digest(self) -> bytes:
        """Of the file's bytes; empty while it cannot be read."""
        try:
            return hashlib.sha256(Path(self.name).read_bytes()).digest()
        except OSError:
            return b""


class RemoteSource:
    """A control plane's URL.

    The last good configuration is kept in `copy`, for its owner alone, and a node starts from it while the
    control plane is down. Relative paths in it are relative to the working directory.
    """

    def __init__(self, url: str, copy: Path | None = None) -> None:
        """`copy`: default `copy_of(url)`. Raises ValueError for what is no http or https URL."""
        self.name = mask_source(url)
        self.copy = copy_of(url) if copy is None else copy
        self.lifetime: float | None = None  # of what was read last, seconds
        self.from_copy = False  # what was started with
        self._plane = ControlPlane(url, time.monotonic)
        self._read = b""  # what was seen last
        self._judged = b""  # what `read` gave last
        self._busy = False
        self._one_at_a_time = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<RemoteSource {self.name}>"

    def first(self) -> Config:
        """What to start with: what the control plane says, else the last good copy.

        Raises ConfigError when that is bad, Unreachable without either.
        """
        try:
            fetched = _in_time(lambda: self._plane.fetch(validate=True))
            self._note(fetched)
            config = self._parse(fetched.body)
        except (Unreachable, ConfigError) as error:
            kept = self._kept()
            if kept is None:
                if isinstance(error, ConfigError):
                    raise
                raise Unreachable(f"{self.name} {error}, and {self.copy} holds no copy") from error
            for line in self._lines(error):
                _log.error("%s", line)
            self.from_copy = True
            _log.warning("started from the last good copy, %s", self.copy)
            return kept
        self._keep(fetched.body)
        return config

    def checked(self) -> Config:
        """What the control plane says now, kept nowhere. Raises ConfigError, Unreachable."""
        try:
            return self._parse(_in_time(lambda: self._plane.fetch(validate=True)).body)
        except Unreachable as error:
            raise Unreachable(f"{self.name} {error}") from error

    async def read(self) -> Config:
        """Ask the control plane now, whatever is still fresh. Raises ConfigError, Unreachable."""
        await self.look(validate=True)
        self._judged = self._read
        return await asyncio.to_thread(self._parse, self._judged)

    async def look(self, *, validate: bool = False) -> bool:
        """Fetch by HTTP caching rules; whether other bytes came than before. Raises Unreachable."""
        async with self._one_at_a_time:
            if self._busy:
                raise Unreachable("still hangs in an earlier fetch")
            before = self._read
            self._note(await self._fetch(validate))
            return self._read != before

    async def accepted(self) -> None:
        """Keep what was read last."""
        await asyncio.to_thread(self._keep, self._judged)

    async def _fetch(self, validate: bool) -> Fetched:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Fetched] = loop.create_future()
        self._busy = True

        def tell(fetched: Fetched | None, error: BaseException | None) -> None:
            self._busy = False
            if done.cancelled():
                return
            done.set_exception(error) if error is not None else done.set_result(fetched)  # type: ignore[arg-type]

        def work() -> None:
            fetched, error = None, None
            try:
                fetched = self._plane.fetch(validate=validate)
            except BaseException as caught:
                error = caught
            with suppress(RuntimeError):  # the loop may have ended meanwhile
                loop.call_soon_threadsafe(tell, fetched, error)

        # no thread of the pool: its end would wait for a control plane that hangs
        threading.Thread(target=work, name="control-plane", daemon=True).start()
        try:
            async with asyncio.timeout(GIVE_UP):
                return await done
        except TimeoutError:
            raise Unreachable(f"hangs since {GIVE_UP:g} s") from None

    def _note(self, fetched: Fetched) -> None:
        self._read, self.lifetime = fetched.body, fetched.lifetime

    def _parse(self, body: bytes) -> Config:
        return load_text(body, name=self.name, base=Path.cwd())

    def _lines(self, error: Unreachable | ConfigError) -> list[str]:
        if isinstance(error, ConfigError):
            return [str(mistake) for mistake in error.mistakes]
        return [f"{self.name} {error}"]

    def close(self) -> None:
        """Let connections go."""
        self._plane.close()

    # the copy

    def _kept(self) -> Config | None:
        try:
            body = self.copy.read_bytes()
        except OSError:
            return None
        try:
            return load_text(body, name=str(self.copy), base=Path.cwd())
        except ConfigError as error:
            for line in self._lines(error):
                _log.error("%s", line)
            return None

    def _keep(self, body: bytes) -> None:
        """Write the copy whole or not at all; the service does not depend on it."""
        beside = self.copy.with_name(f"{self.copy.name}.{os.getpid()}")
        try:
            self.copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            beside.unlink(missing_ok=True)
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "wb") as stream:
                stream.write(body)
                stream.flush()
                os.fsync(descriptor)
            beside.replace(self.copy)
        except OSError as error:
            _log.warning("%s: %s: the configuration is not kept for a start without", self.copy, error)


def copy_of(url: str) -> Path:
    """Where the last good copy of a URL is kept.

    In $STATE_DIRECTORY (systemd's), else $XDG_STATE_HOME/edgeproxy, else ~/.local/state/edgeproxy.
    """
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    state = os.environ.get("XDG_STATE_HOME")
    home = Path(given) if given else Path(state or "~/.local/state").expanduser() / "edgeproxy"
    return home / f"config-{hashlib.sha256(url.encode()).hexdigest()[:16]}.yaml"


def _in_time(fetch: Callable[[], T]) -> T:
    """The same bound for a fetch before there is a loop. Raises what `fetch` does, and Unreachable."""
    out: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            out.append(fetch())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, name="control-plane", daemon=True)
    thread.start()
    thread.join(GIVE_UP)
    if errors:
        raise errors[0]
    if not out:
        raise Unreachable(f"hangs since {GIVE_UP:g} s")
    return out[0]
