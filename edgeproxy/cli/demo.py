"""Knows the command `edgeproxy demo`: the shop behind the proxy, and what to try on it.

Must not know how the shop or the proxy works.
"""

import contextlib
import os
import shutil
import socket
import sys
from importlib.resources import as_file, files
from pathlib import Path

import click

from edgeproxy.cli.run import LISTEN, serve
from edgeproxy.config.addresses import AddressError, split_address
from edgeproxy.config.load import load
from edgeproxy.demo.shops import ShopFailed, open_shops

ADMIN = "127.0.0.1:9900"
SHOPS = (9001, 9002)
QUERY_DELAY = 0.005  # seconds; a database is seldom on the same machine

_TRY = """
The shop, two origins over one database, is behind edgeproxy on http://{listen}

  curl -i http://{listen}/product/17
      twice: the second time Cache-Status says hit
  curl http://{listen}/stats
      how many requests and database queries reached a shop
  curl -d price=9.99 http://{listen}/api/products/17/price
      a write; /api/products/17 is fresh at once, the page /product/17 after
  {edgeproxy} purge{admin_option} --tag product-17
  {edgeproxy} explain{admin_option} http://{listen}/product/17
  curl -i http://{listen}/account
      private: never stored
  curl -N http://{listen}/events
      an event stream; /ws is a WebSocket
  curl http://{admin}/metrics
      all counters; the admin API is on http://{admin}

Ctrl-C stops all.
"""


@click.command()
@click.option("--listen", default=LISTEN, show_default=True, metavar="HOST:PORT", help="The proxy's address.")
@click.option("--admin", default=ADMIN, show_default=True, metavar="HOST:PORT", help="The admin API's.")
@click.option(
    "--shops", type=(int, int), default=SHOPS, show_default=True, help="The ports of the two shops."
)
def demo(listen: str, admin: str, shops: tuple[int, int]) -> None:
    """The shop behind the proxy: something real to try caching on.

    To put the proxy in front of your own service: edgeproxy run --origin URL
    """
    for option, address in _addresses(listen, admin, shops):
        _refuse_busy(option, address)
    try:
        with open_shops(shops, QUERY_DELAY) as (first, second):
            settings = {
                "DEMO_LISTEN": listen,
                "DEMO_ADMIN": admin,
                "DEMO_SHOP_1": first,
                "DEMO_SHOP_2": second,
            }
            told = {"listen": listen, "admin": admin, "edgeproxy": _own_name()}
            option = "" if admin == ADMIN else f" --admin http://{admin}"
            click.echo(_TRY.format(**told, admin_option=option))
            os.environ.update(settings)
            with as_file(files("edgeproxy.demo").joinpath("demo.yaml")) as path:
                serve(lambda: load(path), source=str(path))
    except ShopFailed as error:
        raise click.ClickException(f"the shop did not start: {error}") from error


def _addresses(listen: str, admin: str, shops: tuple[int, int]) -> list[tuple[str, str]]:
    """All that is listened on, each with the option that changes it."""
    return [
        ("--listen", listen),
        ("--admin", admin),
        *(("--shops", f"127.0.0.1:{port}") for port in shops),
    ]


def _refuse_busy(option: str, address: str) -> None:
    """One clear line before anything starts, when an address is taken or none."""
    try:
        host, port = split_address(address)
    except AddressError as error:
        raise click.UsageError(f"{option} {address}: {error}") from error
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            what = (error.strerror or str(error)).lower()
            raise click.ClickException(
                f"cannot listen on {address}: {what}; choose another with {option}"
            ) from error


def _own_name() -> str:
    """How to call this program again from here."""
    called = Path(sys.argv[0])
    if called.name != "edgeproxy":
        return f"{sys.executable} -m edgeproxy"
    found = shutil.which("edgeproxy")
    if found is not None and Path(found).resolve() == called.resolve():
        return "edgeproxy"
    return os.path.relpath(called) if called.is_absolute() else str(called)
