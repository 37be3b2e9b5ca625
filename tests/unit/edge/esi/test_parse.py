"""Edge Side Includes in a page: what is one, what is not, and that pieces make no difference."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.edge.esi.parse import MAX_TAG, Event, Include, Parser


def parsed(*pieces: bytes) -> list[Event]:
    """All events, text joined across the pieces."""
    parser = Parser()
    events = [event for piece in pieces for event in parser.feed(piece)] + parser.end()
    joined: list[Event] = []
    for event in events:
        last = joined[-1] if joined else None
        if isinstance(event, bytes) and isinstance(last, bytes):
            joined[-1] = last + event
        else:
            joined.append(event)
    return joined


A = Include(b"/a")

CASES: dict[str, tuple[bytes, list[Event]]] = {
    "text": (b"<p>hello</p>", [b"<p>hello</p>"]),
    "nothing": (b"", []),
    "include": (b'x<esi:include src="/a"/>y', [b"x", A, b"y"]),
    "single quotes": (b"<esi:include src='/a'/>", [A]),
    "blanks": (b'<esi:include\n  src = "/a"\t/>', [A]),
    "blanks in the value": (b'<esi:include src=" /a "/>', [A]),
    "two side by side": (b'<esi:include src="/a"/><esi:include src="/a"/>', [A, A]),
    "alt and onerror": (
        b'<esi:include src="/a" alt="/b" onerror="continue"/>',
        [Include(b"/a", b"/b", True)],
    ),
    "another onerror": (b'<esi:include onerror="stop" src="/a" alt=""/>', [A]),
    "attributes of others": (b'<esi:include src="/a" ttl="3s" xml:id="x"/>', [A]),
    "a > in a value": (b'<esi:include src="/a?x>y"/>', [Include(b"/a?x>y")]),
    "references": (
        b'<esi:include src="/a?b=1&amp;c=&quot;&lt;&gt;&apos;&#65;&#x42;&#xe9;"/>',
        [Include("/a?b=1&c=\"<>'AB\u00e9".encode())],
    ),
    "references to nothing": (
        b'<esi:include src="/a?b&copy=1&#xD800;&#x110000;&amp"/>',
        [Include(b"/a?b&copy=1&#xD800;&#x110000;&amp")],
    ),
    "closed by a tag": (b'<esi:include src="/a"></esi:include>y', [A, b"y"]),
    "closed by a tag later": (b'<esi:include src="/a"> z</esi:include  >y', [A, b" zy"]),
    "not closed": (b'<esi:include src="/a">y', [A, b"y"]),
    "a closing tag alone": (b"x</esi:include>y", [b"x</esi:include>y"]),
    "a closing tag too many": (
        b'<esi:include src="/a"/></esi:include>',
        [A, b"</esi:include>"],
    ),
    "remove": (b"x<esi:remove>gone <b></esi:remove>y", [b"xy"]),
    "remove with an include": (b'x<esi:remove><esi:include src="/a"/></esi:remove >y', [b"xy"]),
    "remove never closed": (b"x<esi:remove>gone", [b"x"]),
    "remove nothing": (b"x<esi:remove/>y", [b"xy"]),
    "the end of no remove": (b"x</esi:remove>y", [b"x</esi:remove>y"]),
    "comment": (b'x<esi:comment text="a note"/>y', [b"xy"]),
    "esi comment": (b'x<!--esi <p><esi:include src="/a"/></p>-->y', [b"x <p>", A, b"</p>y"]),
    "esi comment, empty": (b"x<!--esi-->y", [b"xy"]),
    "esi comment never closed": (b'<!--esi <esi:include src="/a"/> --', [b" ", A, b" --"]),
    "esi comment in another": (b"<!--esi a<!--esi b-->c-->d-->e", [b" a bcd-->e"]),
    "esi comment with a comment": (b"<!--esi a<!-- b -->c-->d", [b" a<!-- b -->cd"]),
    "esi comment with a remove": (b"<!--esi a<esi:remove>--></esi:remove>b-->c", [b" abc"]),
    "no esi comment": (b"<!--esix <p>-->y", [b"<!--esix <p>-->y"]),
    "half an esi comment": (b"<!--esi", [b"<!--esi"]),
    "the end of no comment": (b"a --> b", [b"a --> b"]),
    "in a comment": (
        b'<!-- <esi:include src="/b"/> --><esi:include src="/a"/>',
        [b'<!-- <esi:include src="/b"/> -->', A],
    ),
    "after an empty comment": (b'<!--><esi:include src="/a"/>', [b"<!-->", A]),
    "after another": (b'<!---><esi:include src="/a"/>', [b"<!--->", A]),
    "in a comment never closed": (b'<!-- <esi:include src="/b"/> -', [b'<!-- <esi:include src="/b"/> -']),
    "in CDATA": (
        b'<![CDATA[<esi:include src="/b"/>]]><esi:include src="/a"/>',
        [b'<![CDATA[<esi:include src="/b"/>]]>', A],
    ),
    "other elements": (
        b'<esi:choose><esi:when test="$(X)"><esi:vars>y</esi:vars></esi:when></esi:choose>',
        [b'<esi:choose><esi:when test="$(X)"><esi:vars>y</esi:vars></esi:when></esi:choose>'],
    ),
    "in other elements": (b'<esi:try><esi:include src="/a"/></esi:try>', [b"<esi:try>", A, b"</esi:try>"]),
    "the longest": (
        b'<esi:include src="' + b"a" * (MAX_TAG - 21) + b'"/>',
        [Include(b"a" * (MAX_TAG - 21))],
    ),
}


@pytest.mark.parametrize(("page", "events"), CASES.values(), ids=CASES.keys())
def test_a_page(page: bytes, events: list[Event]) -> None:
    assert parsed(page) == events


@pytest.mark.parametrize(("page", "events"), CASES.values(), ids=CASES.keys())
def test_a_page_byte_by_byte(page: bytes, events: list[Event]) -> None:
    assert parsed(*(page[at : at + 1] for at in range(len(page)))) == events


MALFORMED = [
    b"<esi:include/>",
    b'<esi:include src=""/>',
    b"<esi:include src=/a/>",
    b'<esi:include src="/a" src="/b"/>',
    b'<esi:include src="/a"alt="/b"/>',
    b'<esi:include src="/a',
    b'<esi:include src="/a" <p>',
    b'<esi:include src="/<a"/>',
    b"<esi:include src='/a\"/>",
    b'<esi:include src="/a" / >',
    b"<esi:include",
    b'<esi:includes src="/a"/>',
    b'<ESI:INCLUDE src="/a"/>',
    b"<esi:remove x>y",
    b"<esi:",
    b"<",
    b"</esi:include",
    b"</esi:include                        >",
    b"<![CDATA",
    b"<!-",
    b'<esi:include src="' + b"a" * MAX_TAG + b'"/>',
    b'<esi:include src="' + b"a" * MAX_TAG,
]


@pytest.mark.parametrize("text", MALFORMED, ids=lambda text: text[:30].decode())
def test_what_is_malformed_passes_as_it_is(text: bytes) -> None:
    assert parsed(text) == [text]
    assert parsed(b"x", text, b'y<esi:include src="/a"/>')[0] != b"x"


def test_what_follows_a_malformed_tag_is_looked_at() -> None:
    assert parsed(b'<esi:include src=x <esi:include src="/a"/>') == [b"<esi:include src=x ", A]


TOKENS = [
    b"<", b">", b"-", b"--", b"-->", b"<!--", b"<!--esi", b"esi", b" ", b"x", b'"', b"'", b"/", b"]]>",
    b"<![CDATA[", b"<esi:", b"<esi:include", b" src=", b'"/a"', b"/>", b"</esi:include", b"<esi:remove>",
    b"</esi:remove", b"<esi:remove", b'<esi:include src="/a"', b"<esi:comment/>", b"&amp;", b"<p>",
]  # fmt: skip


@given(st.lists(st.sampled_from(TOKENS), max_size=40).map(b"".join), st.data())
def test_cut_anywhere_the_same_comes_out(page: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(page)), max_size=12)))
    pieces = [page[start:end] for start, end in zip([0, *cuts], [*cuts, len(page)], strict=True)]
    assert parsed(*pieces) == parsed(page)


NO_ESI = [token for token in TOKENS if b"esi:" not in token and token != b"<!--esi"] + [b"esi-"]


@given(st.lists(st.sampled_from(NO_ESI) | st.binary(max_size=5), max_size=40), st.integers(1, 9))
def test_what_has_no_esi_is_reproduced(tokens: list[bytes], size: int) -> None:
    page = b"".join(tokens).replace(b"<!--esi", b"").replace(b"<esi:", b"")
    if b"<!--esi" in page or b"<esi:" in page:
        return
    pieces = [page[at : at + size] for at in range(0, len(page), size)]
    assert parsed(*pieces) == ([page] if page else [])


def test_it_keeps_back_no_more_than_a_tag() -> None:
    parser = Parser()
    for piece in (b'<esi:include src="', *[b"a" * 100] * 200, b"<esi:remove>", *[b"</esi:remove"] * 2000):
        parser.feed(piece)
        assert len(parser._kept) <= MAX_TAG
    assert repr(parser).startswith("<Parser kept=")
