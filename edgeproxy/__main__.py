"""Knows that `python -m edgeproxy` is the command line."""

from edgeproxy.cli.main import main

main()
