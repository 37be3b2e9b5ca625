"""Knows how operators are told: one line each on standard error, with its time, weight and process.

Must not know what happened: whoever logs says that, and what to do.
"""

import logging
import sys
import time

_FORMAT = "{asctime} {levelname:<7} {process_name}: {message}"


class _OneLine(logging.Formatter):
    """UTC times to the millisecond; a traceback, if any, follows indented."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def formatException(self, ei: object) -> str:
        return super().formatException(ei).replace("\n", "\n    ")  # type: ignore[arg-type]


def set_up(level: str, process: str) -> None:
    """Send log lines of `level` and above to standard error, marked with the process' name."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine(_FORMAT, style="{", defaults={"process_name": process}))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    set_level(level)
    # the admin API writes its own lines; asyncio's debug lines are not for operators
    logging.getLogger("aiohttp.access").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def set_level(level: str) -> None:
    """Change the least weight that is shown."""
    logging.getLogger().setLevel(level.upper())
