"""TLS files that a configuration names: whether they exist, can be read, and fit together.

Reads files; knows no socket. The first problem of each set of files is told.
"""

import ssl
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

from edgeproxy.config.kinds import absolute
from edgeproxy.config.mistakes import Finding, Path
from edgeproxy.config.references import items, section, text, upstreams


def check_certificates(raw: dict[str, Any], base: FilePath | None) -> list[Finding]:
    """Every TLS file that does not exist or does not load; paths are relative to `base`."""
    found: list[Finding] = []
    for path, tls in _sets(raw):
        certificate, key, ca = (_path(tls, name, base) for name in ("certificate", "key", "ca"))
        unreadable = [
            finding
            for name, value in (("certificate", certificate), ("key", key), ("ca", ca))
            if value and (finding := _unreadable((*path, name), value))
        ]
        found += unreadable
        if unreadable:
            continue
        if ca and not _loads_ca(ca):
            found.append(Finding((*path, "ca"), f"{ca} holds no certificate", "give a PEM file"))
        if certificate and key and (problem := _pair_problem(certificate, key)):
            found.append(Finding((*path, "certificate"), *problem))
    return found


def _sets(raw: dict[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    listen = section(raw, "server").get("listen")
    if isinstance(listen, dict):
        yield ("server", "listen", "tls"), section(listen, "tls")
    for index, entry in items(listen):
        yield ("server", "listen", index, "tls"), section(entry, "tls")
    for path, upstream in upstreams(raw):
        yield (*path, "tls"), section(upstream, "tls")


def _path(tls: dict[str, Any], name: str, base: FilePath | None) -> str | None:
    value = text(tls.get(name))
    return absolute(value, base) if value and "\0" not in value else None


def _unreadable(path: Path, file: str) -> Finding | None:
    try:
        with open(file, "rb") as stream:
            stream.read(1)
    except OSError as error:
        return Finding(path, f"{file}: {(error.strerror or 'cannot be read').lower()}", "give a PEM file")
    return None


def _loads_ca(file: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except (ssl.SSLError, OSError):
        return False
    return True


def _pair_problem(certificate: str, key: str) -> tuple[str, str] | None:
    try:
        # an empty password makes an encrypted key an error instead of a question at the terminal
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
            return f"{certificate} does not belong to the key {key}", "give the pair that belongs together"
        return f"{certificate} and {key} do not load", "give PEM files, the key without a password"
    return None
