"""Knows the command `edgeproxy run`: from a file or one origin to a supervisor that serves.

Must not know how serving is done.
"""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

import click

from edgeproxy.config.load import ConfigError, load, single_origin
from edgeproxy.config.model import Config
from edgeproxy.errors import EdgeProxyError

if TYPE_CHECKING:
    from edgeproxy.server.sources import RemoteSource

LISTEN = "127.0.0.1:8080"


@click.command(epilog="Exit codes: 0 stopped as told; 1 could not serve; 2 mistakes in config or usage.")
@click.option(
    "--config", metavar="FILE|URL", help="The configuration, as `edgeproxy check` reads it; a URL is polled."
)
@click.option("--origin", metavar="URL", help="Serve one origin with default settings; no file needed.")
@click.option("--listen", metavar="HOST:PORT", help=f"With --origin: where to listen.  [default: {LISTEN}]")
@click.option("--workers", type=click.IntRange(1, 256), help="Instead of server.workers.")
@click.option("--takeover", is_flag=True, help="Take the running node's sockets; it drains and ends.")
def run(
    config: str | None, origin: str | None, listen: str | None, workers: int | None, takeover: bool
) -> None:
    """Serve, until SIGTERM or Ctrl-C; SIGHUP reads the configuration again."""
    if config is not None and origin is None:
        if listen is not None:
            raise click.UsageError("--listen goes with --origin; in a file it is server.listen")
        if "://" in config:
            remote = remote_source(config)
            serve(remote.first, source=remote, workers=workers, takeover=takeover)
        serve(lambda: load(config), source=config, workers=workers, takeover=takeover)
    elif origin is not None and config is None:
        serve(lambda: single_origin(origin, listen or LISTEN), workers=workers, takeover=takeover)
    else:
        raise click.UsageError("give either --config FILE or --origin URL")


def remote_source(url: str) -> "RemoteSource":
    """The source that a URL is. Raises UsageError."""
    from edgeproxy.server.sources import RemoteSource

    try:
        return RemoteSource(url)
    except ValueError as error:
        raise click.UsageError(f"--config: {error}") from error


def serve(
    read: Callable[[], Config],
    *,
    source: "str | RemoteSource | None" = None,
    workers: int | None = None,
    takeover: bool = False,
) -> NoReturn:
    """Run the supervisor on what `read` gives; leaves by SystemExit.

    `source` is the file or URL that a reload reads again; `workers` overrides server.workers.
    """
    try:
        config = read()
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    except EdgeProxyError as error:  # a control plane that is down
        click.echo(f"{error}", err=True)
        sys.exit(1)
    if workers is not None:
        server = config.server.model_copy(update={"workers": workers})
        config = config.model_copy(update={"server": server})
    # Imported here, so that the small commands do not wait for what only a server needs.
    from edgeproxy.server import supervisor

    sys.exit(supervisor.run(config, source=source, takeover=takeover))
