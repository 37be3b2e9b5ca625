"""Knows the names of the commands.

Must not know what any of them does.
"""

import click

from edgeproxy import __version__
from edgeproxy.cli.check import check
from edgeproxy.cli.demo import demo
from edgeproxy.cli.explain import explain
from edgeproxy.cli.purge import purge
from edgeproxy.cli.run import run
from edgeproxy.cli.schema import schema
from edgeproxy.cli.simulate import simulate


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="edgeproxy")
def main() -> None:
    """A caching reverse proxy with CDN-style edge behaviour."""


for command in (run, demo, check, schema, purge, explain, simulate):
    main.add_command(command)
