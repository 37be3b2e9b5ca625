"""Knows the command `edgeproxy run`: from a file or one origin to a supervisor that serves.

Must not know how serving is done.
"""

import sys
from collections.abc import Callable

import click

from edgeproxy.config.load import ConfigError, load, single_origin
from edgeproxy.config.model import Config

LISTEN = "127.0.0.1:8080"


@click.command(epilog="Exit codes: 0 stopped as told; 1 could not serve; 2 mistakes in config or usage.")
@click.option("--config", metavar="FILE", help="The configuration, as `edgeproxy check` reads it.")
@click.option("--origin", metavar="URL", help="Serve one origin with default settings; no file needed.")
@click.option("--listen", metavar="HOST:PORT", help=f"With --origin: where to listen.  [default: {LISTEN}]")
@click.option("--workers", type=click.IntRange(1, 256), help="Instead of server.workers.")
def run(config: str | None, origin: str | None, listen: str | None, workers: int | None) -> None:
    """Serve, until SIGTERM or Ctrl-C; SIGHUP reads the configuration again."""
    if config is not None and origin is None:
        if listen is not None:
            raise click.UsageError("--listen goes with --origin; in a file it is server.listen")
        if "://" in config:
            raise click.UsageError("--config URL is not supported by this version yet; give a FILE")
        serve(lambda: load(config), source=config, workers=workers)
    elif origin is not None and config is None:
        serve(lambda: single_origin(origin, listen or LISTEN), workers=workers)
    else:
        raise click.UsageError("give either --config FILE or --origin URL")


def serve(read: Callable[[], Config], *, source: str | None = None, workers: int | None = None) -> None:
    """Run the supervisor on what `read` gives; leaves by SystemExit.

    `source` is the file that a reload reads again; `workers` overrides server.workers.
    """
    try:
        config = read()
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    if workers is not None:
        server = config.server.model_copy(update={"workers": workers})
        config = config.model_copy(update={"server": server})
    # Imported here, so that the small commands do not wait for what only a server needs.
    from edgeproxy.server import supervisor

    sys.exit(supervisor.run(config, source=source))
