"""What is measured: each case is a name, the requests that wrk sends, and what the origin should see."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HEADS, URLS = 20_000, 2_000
BROWSER_HOST = "shop.example"

_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
_AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_WEBKIT} Chrome/126.0.0.0 Safari/537.36",
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_WEBKIT} Version/17.5 Safari/605.1.15",
    f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {_WEBKIT} Mobile/15E148",
)
_LANGUAGES = ("en-GB,en;q=0.9", "de-DE,de;q=0.9,en;q=0.5", "fr,en;q=0.7", "pl,en-US;q=0.7,en;q=0.3")


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table.

    `path` is asked for; `lua` is the script for wrk, "" for identical bare heads.
    `at_origin` is the share of requests that must reach the origin for the case to count.
    """

    name: str
    title: str
    path: str
    lua: str = ""
    at_origin: float = 0.0
    floor: bool = False


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

CASES = (
    Case("hit-1k", "hit, 1 KiB, identical bare heads", "/hit/1024/one", floor=True),
    Case(
        "hit-1k-browser",
        "hit, 1 KiB, browser-like heads (20,000), Zipf",
        "/hit/1024/0",
        lua=_POOL,
        floor=True,
    ),
    Case("hit-1k-new-heads", "the same, no head seen before", "/hit/1024/0", lua=_NEW_HEADS, floor=True),
    Case("hit-100k", "hit, 100 KiB", "/hit/102400/one"),
    Case("pass", "pass-through, 1 KiB", "/pass/1024/one", at_origin=1.0),
    Case("miss", "miss that stores, 1 KiB", "/hit/1024/unique", lua=_UNIQUE, at_origin=1.0),
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
