"""Knows the command `edgeproxy check`: every mistake in a configuration, one a line.

Must not know what a configuration may hold.
"""

import sys

import click

from edgeproxy.cli.run import remote_source
from edgeproxy.config.load import ConfigError, load
from edgeproxy.config.model import Config
from edgeproxy.config.remote import Unreachable, mask_source
from edgeproxy.config.warnings import warnings


@click.command(epilog="Exit codes: 0 without mistakes (warnings may be printed); 2 with mistakes.")
@click.argument("file", metavar="FILE|URL", type=click.Path())
def check(file: str) -> None:
    """Check a configuration: every mistake as FILE:LINE:COL: path: what, what instead."""
    try:
        config = _read(file)
    except ConfigError as error:
        # click.echo, as rich would wrap lines that other programs read
        for mistake in error.mistakes:
            click.echo(str(mistake))
        count = len(error.mistakes)
        click.echo(f"{mask_source(file)}: {_many(count, 'mistake')}", err=True)
        sys.exit(2)
    except Unreachable as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    file = mask_source(file)
    for warning in warnings(config):
        click.echo(f"{file}: warning: {warning}", err=True)
    click.echo(f"{file}: {_summary(config)}")


def _read(place: str) -> Config:
    if "://" not in place:
        return load(place)
    return remote_source(place).checked()


def _summary(config: Config) -> str:
    origins = sum(len(upstream.origins) for upstream in config.upstreams.values())
    return ", ".join(
        [
            "good",
            _many(len(config.routes), "route"),
            _many(len(config.upstreams), "upstream"),
            _many(origins, "origin"),
        ]
    )


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
