"""What is told ahead (RFC 8297)."""

import time

import pytest

from edgeproxy.caching.early_hints import early_hints

from .values import lines


@pytest.mark.parametrize(
    ("value", "told"),
    [
        pytest.param("</a.css>; rel=preload; as=style", True, id="rfc8297-s2-preload"),
        pytest.param('</a.css>; rel="preload"', True, id="quoted"),
        pytest.param("</a.css>;rel=PRELOAD", True, id="rfc8288-s3.3-relations-in-any-case"),
        pytest.param("</a.css> ; REL\t=\tpreload", True, id="rfc8288-s3-blanks-around-equals"),
        pytest.param("</a.js>; as=script; rel=modulepreload", True, id="modulepreload-behind-another"),
        pytest.param("<https://cdn.test>; rel=preconnect", True, id="preconnect"),
        pytest.param("<https://cdn.test>; rel=dns-prefetch", True, id="dns-prefetch"),
        pytest.param('</a.css>; rel="stylesheet preload"', True, id="rfc8288-s3.3-one-of-several"),
        pytest.param('</a.css>; rel="preload stylesheet"', True, id="rfc8288-s3.3-the-first-of-several"),
        pytest.param("</b>; rel=next, </a.css>; rel=preload", True, id="rfc8288-s3-one-of-two-links"),
        pytest.param("</b>; rel=next", False, id="another-relation"),
        pytest.param("</a.css>; rel=preloaded", False, id="longer-word"),
        pytest.param("</a.css>; rel=preload-later", False, id="longer-word-with-a-dash"),
        pytest.param("</a.css>; rel=xpreload", False, id="word-that-ends-so"),
        pytest.param("</a.css>; rev=preload", False, id="another-parameter"),
        pytest.param("</a.css>; xrel=preload", False, id="parameter-that-ends-so"),
        pytest.param("</rel=preload>; rel=next", False, id="in-the-uri"),
        pytest.param('</b>; rel=next; title="preload"', False, id="in-another-parameter"),
        pytest.param("preload", False, id="no-link"),
        pytest.param("", False, id="empty"),
    ],
)
def test_which_links_are_told(value: str, told: bool) -> None:
    hints = early_hints(lines("Link: " + value))
    assert (hints is not None) is told
    if hints is not None:
        assert (hints.status, hints.reason, list(hints.fields)) == (
            103,
            b"Early Hints",
            [(b"Link", value.encode())],
        )


def test_only_those_lines_and_no_other_field_in_their_order() -> None:
    fields = lines(
        "ETag: 1",
        "LINK: </1>; rel=preload",
        "Link: </2>; rel=next",
        "X: </>; rel=preload",
        "link: </3>;rel=preload",
    )
    hints = early_hints(fields)
    assert hints is not None
    assert [value for _, value in hints.fields] == [b"</1>; rel=preload", b"</3>;rel=preload"]


def test_nothing_to_tell() -> None:
    assert early_hints(lines("ETag: 1")) is None


@pytest.mark.parametrize("value", ["</>;rel=" + " " * 60_000, "</>;rel " * 8000, "</>;" + "\t" * 60_000])
def test_no_value_takes_long(value: str) -> None:
    began = time.process_time()
    assert early_hints(lines("Link: " + value + "x")) is None
    assert time.process_time() - began < 5  # what backtracks takes minutes
