"""Edge Side Includes found in a page that comes in pieces (ESI Language Specification 1.0).

Must not know requests, fetching or what becomes of what is found.

Understood are `<esi:include>` with `src`, `alt` and `onerror`, `<esi:remove>`, `<esi:comment/>` and
`<!--esi ... -->`. Every other ESI element, and what is malformed, passes as the text it is; what an
element of theirs encloses is looked at as if they were not there. Nothing is looked for in other
comments and in CDATA sections. A `<esi:remove>` that is never closed takes the rest of the page.
"""

import re
from dataclasses import dataclass

MAX_TAG = 8192
"""Bytes of the longest tag that is taken for one: so much is kept back at most."""


@dataclass(frozen=True, slots=True)
class Include:
    """A fragment belongs here: `src`, or else `alt`, or else nothing where `continue_on_error`."""

    src: bytes
    alt: bytes | None = None
    continue_on_error: bool = False


Event = bytes | Include

_NAME = rb"[A-Za-z_][A-Za-z0-9_:.-]*+"
_ATTRIBUTES = re.compile(rb"""\s(%s)\s*+=\s*+(?:"([^"<]*+)"|'([^'<]*+)')""" % _NAME)
_TAG = re.compile(
    rb"<esi:(include|remove|comment)"
    rb"""((?:\s++%s\s*+=\s*+(?:"[^"<]*+"|'[^'<]*+'))*+)\s*+(/?)>""" % _NAME
)
_UNFINISHED = re.compile(rb"""<esi:(?:[^<>"']++|"[^"<]*+"|'[^'<]*+')*+(?:"[^"<]*+|'[^'<]*+)?\Z""")
_MARKUP = rb"<esi:(?:include|remove|comment)(?=[\s/>])|</esi:include\s{0,16}>|<!--|<!\[CDATA\["
_OUTSIDE = re.compile(_MARKUP)
_INSIDE = re.compile(_MARKUP + rb"|-->")
_BEGUN = (b"<esi:include", b"<esi:remove", b"<esi:comment", b"<!--", b"<![CDATA[")
_CLOSING_BEGUN = re.compile(rb"</esi:include\s{0,16}\Z")
_CLOSING = b"</esi:include>"
_ESI_COMMENT = b"<!--esi"
_NAME_GOES_ON = re.compile(rb"[A-Za-z0-9_:]")
_END_OF_REMOVE = re.compile(rb"</esi:remove\s{0,16}>")
_LONGEST_END_OF_REMOVE = 29
_END_OF_COMMENT = b"-->"
_END_OF_CDATA = b"]]>"
_REFERENCE = re.compile(rb"&(?:#([0-9]{1,7})|#[xX]([0-9A-Fa-f]{1,6})|(amp|lt|gt|quot|apos));")
_NAMED = {b"amp": b"&", b"lt": b"<", b"gt": b">", b"quot": b'"', b"apos": b"'"}


class Parser:
    """Takes a page piece by piece; however it is cut, the same comes out."""

    __slots__ = ("_esi", "_kept", "_open", "_removing", "_until")

    def __init__(self) -> None:
        self._kept = b""  # what may be the beginning of something
        self._esi = 0  # `<!--esi` around this place
        self._removing = False
        self._until = b""  # the end of a comment or CDATA section around this place
        self._open = False  # after an include whose closing tag may come

    def __repr__(self) -> str:
        return f"<Parser kept={len(self._kept)} esi={self._esi} removing={self._removing}>"

    def feed(self, data: bytes) -> list[Event]:
        """What the next piece brings."""
        if self._kept:
            data = self._kept + data
            self._kept = b""
        events: list[Event] = []
        at = 0
        while at < len(data):
            if self._removing:
                at = self._remove(data, at)
            elif self._until:
                at = self._copy(data, at, events)
            else:
                at = self._text(data, at, events)
        return _joined(events)

    def end(self) -> list[Event]:
        """What is left when the page is at its end."""
        kept, self._kept = self._kept, b""
        return [kept] if kept and not self._removing else []

    # --- each takes what it can from `at` on, keeps what only the next piece tells, says how far it is

    def _remove(self, data: bytes, at: int) -> int:
        found = _END_OF_REMOVE.search(data, at)
        if found is not None:
            self._removing = False
            return found.end()
        self._kept = data[max(at, len(data) - _LONGEST_END_OF_REMOVE) :]
        return len(data)

    def _copy(self, data: bytes, at: int, events: list[Event]) -> int:
        """Through a comment or a CDATA section."""
        found = data.find(self._until, at)
        if found >= 0:
            end = found + len(self._until)
            self._until = b""
        else:
            end = self._keep(data, at, len(data) - _begun(data, at, self._until))
        events.append(data[at:end])
        return end if not self._kept else len(data)

    def _text(self, data: bytes, at: int, events: list[Event]) -> int:
        found = (_INSIDE if self._esi else _OUTSIDE).search(data, at)
        if found is None:
            end = self._keep(data, at, self._safe(data, at))
            events.append(data[at:end])
            return len(data)
        events.append(data[at : found.start()])
        match data[found.start() : found.start() + 4]:
            case b"<esi":
                return self._tag(data, found.start(), events)
            case b"</es":
                if not self._open:
                    events.append(found[0])
                self._open = False
            case b"<!--":
                return self._comment(data, found.start(), events)
            case b"<![C":
                events.append(found[0])
                self._until = _END_OF_CDATA
            case _:
                self._esi -= 1
        return found.end()

    def _comment(self, data: bytes, at: int, events: list[Event]) -> int:
        if data.startswith(_ESI_COMMENT, at):
            after = data[at + len(_ESI_COMMENT) : at + len(_ESI_COMMENT) + 1]
            if after and not _NAME_GOES_ON.match(after):
                self._esi += 1
                return at + len(_ESI_COMMENT)
            if not after:
                return self._hold(data, at)
        elif _ESI_COMMENT.startswith(data[at:]):
            return self._hold(data, at)
        events.append(b"<!")  # the rest of the mark may be part of the end already: <!-->
        self._until = _END_OF_COMMENT
        return at + 2

    def _tag(self, data: bytes, at: int, events: list[Event]) -> int:
        tag = _TAG.match(data, at, at + MAX_TAG)
        if tag is None:
            if len(data) - at <= MAX_TAG and _UNFINISHED.match(data, at):
                return self._hold(data, at)
        else:
            name, attributes, slash = tag.groups()
            if name == b"remove":
                self._removing = not slash
                return tag.end()
            if name == b"comment":
                return tag.end()
            include = _include(attributes)
            if include is not None:
                events.append(include)
                self._open = not slash
                return tag.end()
        events.append(b"<esi:")
        return at + 5

    def _safe(self, data: bytes, at: int) -> int:
        """How far there is only text, whatever comes next."""
        end = len(data)
        if self._esi:
            end -= _begun(data, at, _END_OF_COMMENT)
        mark = data.rfind(b"<", at)
        if mark >= 0:
            tail = data[mark : mark + 40]
            if any(begun.startswith(tail) for begun in (*_BEGUN, _CLOSING)) or (
                len(data) - mark == len(tail) and _CLOSING_BEGUN.match(tail)
            ):
                end = min(end, mark)
        return end

    def _keep(self, data: bytes, at: int, end: int) -> int:
        self._kept = data[end:]
        return end

    def _hold(self, data: bytes, at: int) -> int:
        self._kept = data[at:]
        return len(data)


def _joined(events: list[Event]) -> list[Event]:
    """The same with text in as few pieces as can be, none empty."""
    joined: list[Event] = []
    texts: list[bytes] = []
    for event in events:
        if isinstance(event, bytes):
            texts.append(event)
            continue
        if text := b"".join(texts):
            joined.append(text)
        texts.clear()
        joined.append(event)
    if text := b"".join(texts):
        joined.append(text)
    return joined


def _begun(data: bytes, at: int, mark: bytes) -> int:
    """How many bytes at the end of the data may be the beginning of that mark."""
    for size in range(len(mark) - 1, 0, -1):
        if len(data) - size >= at and data.endswith(mark[:size]):
            return size
    return 0


def _include(attributes: bytes) -> Include | None:
    """The include of these attributes, or None where it is none: without `src`, or with something twice."""
    values: dict[bytes, bytes] = {}
    for name, double, single in _ATTRIBUTES.findall(attributes):
        if name in values:
            return None
        values[name] = _REFERENCE.sub(_meant, double or single).strip()
    if not values.get(b"src"):
        return None
    return Include(values[b"src"], values.get(b"alt") or None, values.get(b"onerror") == b"continue")


def _meant(reference: re.Match[bytes]) -> bytes:
    """What a character reference stands for (XML 1.0 §4.1, §4.6); one for no character stays."""
    decimal, hexadecimal, name = reference.groups()
    if name:
        return _NAMED[name]
    try:
        return chr(int(decimal) if decimal else int(hexadecimal, 16)).encode()
    except (ValueError, OverflowError):
        return reference[0]
