"""What is measured: each case is a name, the requests that wrk sends, and what the origin should see."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

HEADS, URLS = 20_000, 2_000
SCANNED = 20_000  # URLs of 1 KiB; a memory tier of 1 MiB holds about 600
ETAG = '"bench"'
BROWSER_HOST = "shop.example"

_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
_AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_WEBKIT} Chrome/126.0.0.0 Safari/537.36",
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_WEBKIT} Version/17.5 Safari/605.1.15",
    f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {_WEBKIT} Mobile/15E148",
)
_LANGUAGES = ("en-GB,en;q=0.9", "de-DE,de;q=0.9,en;q=0.5", "fr,en;q=0.7", "pl,en-US;q=0.7,en;q=0.3")


class Setup(StrEnum):
    """What the servers are started with beyond the plain way: one worker, no logs."""

    PLAIN = "plain"
    LOG = "access log"
    TLS = "TLS"
    REDIS = "Redis tier"
    DISK = "disk tier"
    UNCHANGED = "304 without Content-Length"
    CROWD = "room for 10,000 connections"


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table.

    `path` is asked for; `lua` is the script for wrk, "" for identical bare heads, with `fields`.
    `stored` is the number of URLs, /hit/1024/0 and on, asked for once before, of `host`; 0: `path` alone.
    They are asked for `passes` times: what a first hit prepares is not what is measured.
    `at_origin` is the share of requests that must reach the origin for the case to count.
    `idle` connections are open beside the `connections` that ask. A `paced` case has a fixed rate:
    half of each server's own capacity.
    """

    name: str
    title: str
    path: str
    lua: str = ""
    at_origin: float = 0.0
    floor: bool = False
    setup: Setup = Setup.PLAIN
    status: int = 200
    fields: tuple[tuple[str, str], ...] = ()
    stored: int = 0
    passes: int = 1
    host: str | None = None
    connections: int = 64
    idle: int = 0
    paced: bool = False

    @property
    def body(self) -> int:
        """Bytes of content in each answer."""
        return int(self.path.split("/")[2]) if self.status == 200 else 0

    @property
    def paths(self) -> list[str]:
        """All that is asked for once before a round."""
        return [f"/hit/1024/{number}" for number in range(self.stored)] or [self.path]


# wrk calls `request` for each request; the pool is read once, so that it costs next to nothing.
_READ_POOL = """
local pool, n, i = {}, 0, 0
function init(args)
  for head in io.open("HEADS", "rb"):read("*a"):gmatch("(.-\\r\\n\\r\\n)") do n = n + 1; pool[n] = head end
end
"""
_POOL = (
    _READ_POOL
    + """
function request() i = i % n + 1; return pool[i] end
"""
)
# Each head has a session of its own: nothing that was learnt from whole heads helps.
_NEW_HEADS = (
    _READ_POOL
    + """
local sent, run = 0, os.time()
function request()
  i, sent = i % n + 1, sent + 1
  return (pool[i]:gsub("session=", "session=" .. run .. "-" .. sent .. "-", 1))
end
"""
)
_UNIQUE = """
local i, run = 0, os.time()
function request() i = i + 1; return wrk.format("GET", "/hit/1024/" .. run .. "/" .. i) end
"""

# In order, over more than the memory tier can hold: what is asked for next was evicted long ago.
_IN_TURN = """
local i, answers = 0, {}
function init(args) for n = 0, SCANNED - 1 do answers[n] = wrk.format("GET", "/hit/1024/" .. n) end end
function request() i = (i + 1) % SCANNED; return answers[i] end
""".replace("SCANNED", str(SCANNED))

CASES = (
    Case("hit-1k", "hit, 1 KiB, identical bare heads", "/hit/1024/one", floor=True),
    Case(
        "hit-1k-browser",
        "hit, 1 KiB, browser-like heads (20,000), Zipf",
        "/hit/1024/0",
        lua=_POOL,
        floor=True,
        stored=URLS,
        host=BROWSER_HOST,
    ),
    Case(
        "hit-1k-new-heads",
        "the same, no head seen before",
        "/hit/1024/0",
        lua=_NEW_HEADS,
        floor=True,
        stored=URLS,
        host=BROWSER_HOST,
    ),
    Case("hit-10k", "hit, 10 KiB", "/hit/10240/one"),
    Case("hit-100k", "hit, 100 KiB", "/hit/102400/one"),
    Case("pass", "pass-through, 1 KiB", "/pass/1024/one", at_origin=1.0),
    Case("miss", "miss that stores, 1 KiB", "/hit/1024/unique", lua=_UNIQUE, at_origin=1.0),
    Case(
        "latency",
        "latency at half of each one's capacity: hit, 1 KiB",
        "/hit/1024/one",
        connections=256,
        paced=True,
    ),
    Case(
        "not-modified",
        "304, If-None-Match that matches",
        "/tagged/1024/one",
        setup=Setup.UNCHANGED,
        status=304,
        fields=(("If-None-Match", ETAG),),
    ),
    Case("hit-1k-log", "hit, 1 KiB, access log on", "/hit/1024/one", setup=Setup.LOG),
    Case("hit-1k-tls", "hit, 1 KiB, over TLS", "/hit/1024/one", setup=Setup.TLS),
    Case(
        "hit-disk",
        f"hit in the disk tier, 1 KiB, {SCANNED:,} URLs in turn, 1 MiB of memory",
        "/hit/1024/0",
        lua=_IN_TURN,
        stored=SCANNED,
        passes=2,
        setup=Setup.DISK,
    ),
    Case(
        "hit-1k-redis",
        f"hit in Redis, 1 KiB, {SCANNED:,} URLs in turn, 1 MiB of memory",
        "/hit/1024/0",
        lua=_IN_TURN,
        stored=SCANNED,
        setup=Setup.REDIS,
    ),
    Case(
        "hit-1k-crowd",
        "hit, 1 KiB, 10,000 connections, 1 % of them active",
        "/hit/1024/one",
        setup=Setup.CROWD,
        connections=100,
        idle=9_900,
    ),
)


def browser_heads() -> Iterator[bytes]:
    """20,000 distinct heads with ten fields, their URLs drawn by Zipf's law from 2,000."""
    chance = random.Random(1)
    ranks = range(URLS)
    for number, url in enumerate(chance.choices(ranks, [1 / (rank + 1) for rank in ranks], k=HEADS)):
        yield (
            f"GET /hit/1024/{url} HTTP/1.1\r\nHost: {BROWSER_HOST}\r\n"
            f"User-Agent: {chance.choice(_AGENTS)}\r\n"
            "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8\r\n"
            f"Accept-Language: {chance.choice(_LANGUAGES)}\r\nAccept-Encoding: gzip, deflate, br\r\n"
            f"Referer: http://{BROWSER_HOST}/hit/1024/{chance.randrange(URLS)}\r\n"
            f"Cookie: session={number:08x}{chance.getrandbits(64):016x}; theme=light\r\n"
            "Upgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n\r\n"
        ).encode()


def script_of(case: Case, folder: Path) -> Path | None:
    """The Lua file for wrk, written into `folder`."""
    if not case.lua:
        return None
    lua = case.lua
    if "HEADS" in lua:
        heads = folder / "heads.bin"
        heads.write_bytes(b"".join(browser_heads()))
        lua = lua.replace("HEADS", str(heads))
    path = folder / f"{case.name}.lua"
    path.write_text(lua)
    return path
