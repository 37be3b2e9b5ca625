"""A file's bytes as a tree: encoding, size, and YAML's own errors in words of ours.

Knows no key.
"""

import re
from collections.abc import Mapping

import yaml

from edgeproxy.config.tree import Builder, Mark, Node, TextError

MAX_BYTES = 2**20
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def decode(data: bytes) -> str:
    """The text of a UTF-8 file, without its byte order mark. Raises TextError."""
    if len(data) > MAX_BYTES:
        raise TextError(Mark(1, 1), "larger than 1 MiB", "give a file of a reasonable size")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise TextError(Mark(1, 1), "UTF-16 text", "save the file as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        mark = _mark_after(before.decode("utf-8-sig"))
        raise TextError(
            mark, f"the byte 0x{data[error.start]:02x} is not UTF-8", "save the file as UTF-8"
        ) from error
    if found := _UNPRINTABLE.search(text):
        mark = _mark_after(text[: found.start()])
        raise TextError(mark, f"the control character U+{ord(found[0]):04X}", "remove it")
    return text


def parse(text: str, env: Mapping[str, str]) -> tuple[Node | None, Builder]:
    """The tree of a text and the builder with the mistakes on the way. Raises TextError."""
    builder = Builder(yaml.parse(text, Loader=yaml.SafeLoader), env)
    try:
        return builder.document(), builder
    except yaml.MarkedYAMLError as error:
        raise _explained(error, text) from error


def _explained(error: yaml.MarkedYAMLError, text: str) -> TextError:
    where = error.problem_mark or error.context_mark
    mark = Mark(where.line + 1, where.column + 1) if where else Mark(1, 1)
    problem = error.problem or error.context or "not YAML"
    line = text.split("\n")[mark.line - 1] if text.count("\n") >= mark.line - 1 else ""
    if "'\\t'" in problem or re.match(r" *\t", line):
        return TextError(mark, "a tab", "indent with spaces")
    if "${" in line and "flow" in f"{error.context} {problem}":
        return TextError(mark, "a variable inside brackets or braces", 'put it in quotes, as "${NAME}"')
    if "mapping values are not allowed" in problem:
        return TextError(
            mark, "a colon where no key can stand", "check the indentation, or quote a value that holds ': '"
        )
    if "could not find expected ':'" in problem:
        return TextError(mark, "a line without a colon", "write KEY: VALUE")
    if "found undefined tag handle" in problem or "cannot start any token" in problem:
        return TextError(mark, problem, "put the value in quotes")
    if "<block end>" in problem:
        return TextError(mark, "not indented as the lines above", "line it up with its neighbours")
    if "end of stream" in problem or "found unexpected end" in problem or "<stream end>" in problem:
        return TextError(mark, f"the text ends too early: {problem}", "close what is open")
    return TextError(mark, f"not YAML: {problem}", "check brackets, quotes and indentation")


def _mark_after(text: str) -> Mark:
    return Mark(text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1)
