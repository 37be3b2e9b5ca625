"""Knows the command `edgeproxy schema`: the JSON Schema of the configuration.

Must not know what a configuration may hold.
"""

import json

import click

from edgeproxy.config.schema import json_schema


@click.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors and CI."""
    click.echo(json.dumps(json_schema(), indent=2))
