"""Knows how to call a node's admin API from the command line, and how to tell that it failed.

Must not know what any call means.
"""

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

TIMEOUT = 30.0  # seconds; above the longest `wait` that a purge may ask for
_SHOWN = 2000  # bytes of an unexpected body that are worth showing

Command = TypeVar("Command", bound=Callable[..., Any])


class AdminFault(click.ClickException):
    """The admin API could not be reached or refused the call; exit code 1."""


class Admin:
    """The admin API at `url`, called with the token that EDGEPROXY_ADMIN_TOKEN holds."""

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise click.UsageError(f"--admin {url}: wants a URL such as http://127.0.0.1:9900")
        self._base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._token = os.environ.get("EDGEPROXY_ADMIN_TOKEN", "")
        # A proxy named in the environment is for the web, not for the node's own admin API.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def __repr__(self) -> str:
        return f"<Admin {self._base}>"

    def get(self, path: str, query: Sequence[tuple[str, str]] = ()) -> Any:
        """The JSON that a GET answers; raises AdminFault."""
        return self._call(path + ("?" + urllib.parse.urlencode(query) if query else ""), None)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON that a POST of `body` answers; raises AdminFault."""
        return self._call(path, json.dumps(body).encode())

    def _call(self, path: str, body: bytes | None) -> Any:
        fields = {"Accept": "application/json"}
        if body is not None:
            fields["Content-Type"] = "application/json"
        if self._token:
            fields["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(self._base + path, body, fields)
        try:
            with self._opener.open(request, timeout=TIMEOUT) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise AdminFault(self._explained(error)) from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise AdminFault(f"no answer from the admin API at {self._base}: {reason}") from error

    def _explained(self, error: urllib.error.HTTPError) -> str:
        if error.code == 401:
            return f"{self._base} wants a token: set EDGEPROXY_ADMIN_TOKEN to the one in its config"
        text = error.read(_SHOWN).decode(errors="replace")
        try:
            problem = json.loads(text)
            said = problem.get("detail") or problem.get("title") or text
        except (ValueError, AttributeError):
            said = text.strip() or error.reason
        return f"{self._base} answered {error.code}: {said}"


def admin_options(command: Command) -> Command:
    """The options that every command shares which calls the admin API."""
    url = click.option(
        "--admin",
        envvar="EDGEPROXY_ADMIN",
        default="http://127.0.0.1:9900",
        show_default=True,
        show_envvar=True,
        help="The URL of the admin API; its token comes from EDGEPROXY_ADMIN_TOKEN.",
    )
    machine = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
    return url(machine(command))
