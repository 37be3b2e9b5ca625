"""Knows how to run one shop as a process of its own: `python -m edgeproxy.demo --port 9001`.

Must not know the proxy.
"""

import asyncio
import signal
import sys
import tempfile
from pathlib import Path

import click
import uvloop
from aiohttp import web

from edgeproxy.demo import catalog, shop


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=9001, show_default=True, help="The port to listen on; 0 picks a free one.")
@click.option(
    "--database",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The SQLite file, made when it is not there; without it, a temporary one.",
)
@click.option("--products", default=3000, show_default=True, type=click.IntRange(1, 1_000_000))
@click.option("--query-delay", default=0.0, help="Seconds added to each query, as by a remote database.")
@click.option(
    "--owned", is_flag=True, hidden=True, help="End when standard input does; leave Ctrl-C to the owner."
)
def main(host: str, port: int, database: Path | None, products: int, query_delay: float, owned: bool) -> None:
    """Run the demo shop."""
    with tempfile.TemporaryDirectory(prefix="edgeproxy-shop-") as folder:
        path = database or Path(folder, "shop.sqlite")
        if not path.exists():
            catalog.create(path, products)
        try:
            uvloop.run(_serve(path, query_delay, host, port, owned))
        except OSError as error:
            raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror}") from error


async def _serve(database: Path, delay: float, host: str, port: int, owned: bool) -> None:
    told = asyncio.Event()
    _listen_for_the_end(told, owned)
    runner = web.AppRunner(shop.build(database, delay), access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        bound = runner.addresses[0]
        click.echo(f"shop on http://{bound[0]}:{bound[1]}")
        sys.stdout.flush()
        await told.wait()
    finally:
        await runner.cleanup()


def _listen_for_the_end(told: asyncio.Event, owned: bool) -> None:
    """SIGTERM, Ctrl-C, or (owned) the end of standard input set `told`."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    # The terminal sends Ctrl-C to all; an owned shop outlives it, so that the proxy can drain.
    loop.add_signal_handler(signal.SIGINT, (lambda: None) if owned else told.set)
    if owned:

        def ended() -> None:
            # Nothing is ever written to it: readable means closed.
            loop.remove_reader(sys.stdin.fileno())
            told.set()

        loop.add_reader(sys.stdin.fileno(), ended)


if __name__ == "__main__":
    main()
