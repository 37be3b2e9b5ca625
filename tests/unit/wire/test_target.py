import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.errors import BadRequest
from edgeproxy.wire.target import Target, normalise, parse_uri

PATHS = {
    "root": (b"/", b"/"),
    "plain": (b"/a/b.c/d-e_f~g", b"/a/b.c/d-e_f~g"),
    "trailing-slash-kept": (b"/a/", b"/a/"),
    "all-delimiters": (b"/!$&'()*+,;=:@", b"/!$&'()*+,;=:@"),
    "what-browsers-leave-unescaped": (b'/a"<>[]^`{|}', b'/a"<>[]^`{|}'),
    "s6.2.2.1-hex-upper-cased": (b"/%c3%bC", b"/%C3%BC"),
    "s6.2.2.2-unreserved-decoded": (b"/%41%7a%30%2d%5F%7E", b"/Az0-_~"),
    "reserved-not-decoded": (b"/%3a%3F%23%40", b"/%3A%3F%23%40"),
    "encoded-slash-kept": (b"/a%2fb", b"/a%2Fb"),
    "encoded-percent-kept": (b"/%252e%252E", b"/%252e%252E"),
    "encoded-blank-kept": (b"/a%20b", b"/a%20b"),
    "plus-kept": (b"/a+b", b"/a+b"),
    "s6.2.2.3-one-dot": (b"/a/./b", b"/a/b"),
    "s6.2.2.3-two-dots": (b"/a/../b", b"/b"),
    "s5.2.4-example": (b"/a/b/c/./../../g", b"/a/g"),
    "dot-at-the-end": (b"/a/.", b"/a/"),
    "two-dots-at-the-end": (b"/a/b/..", b"/a/"),
    "above-the-root": (b"/../../a", b"/a"),
    "above-the-root-at-the-end": (b"/..", b"/"),
    "encoded-dots": (b"/a/%2e%2E/b", b"/b"),
    "half-encoded-dots": (b"/a/.%2e/b", b"/b"),
    "three-dots-are-a-name": (b"/a/.../b", b"/a/.../b"),
    "hidden-file": (b"/.well-known/x", b"/.well-known/x"),
    "dots-inside-a-name": (b"/a..b/c.", b"/a..b/c."),
    "two-slashes": (b"/a//b", b"/a/b"),
    "many-slashes": (b"////a///", b"/a/"),
    "slashes-before-dots": (b"/a//../b", b"/b"),
    "looks-like-a-host": (b"//evil.example/a", b"/evil.example/a"),
    "encoded-slash-beside-dots-in-a-name": (b"/a%2F..b", b"/a%2F..b"),
    "parameters": (b"/a;v=1/b", b"/a;v=1/b"),
}

QUERIES = {
    "none": (b"/a", None),
    "empty-kept": (b"/a?", b""),
    "second-mark-kept": (b"/a?b?c", b"b?c"),
    "slashes-and-dots-kept": (b"/a?../x//y", b"../x//y"),
    "unreserved-decoded": (b"/a?%41=%7e", b"A=~"),
    "hex-upper-cased": (b"/a?q=%c3%bc", b"q=%C3%BC"),
    "ampersand-not-decoded": (b"/a?q=%26%3d", b"q=%26%3D"),
    "encoded-slash-kept": (b"/a?u=..%2fb", b"u=..%2Fb"),
    "plus-kept": (b"/a?q=a+b", b"q=a+b"),
    "backslash-kept": (b"/a?q=\\", b"q=\\"),
}

HOSTILE = {
    "empty": b"",
    "no-slash": b"a",
    "fragment": b"/a#b",
    "fragment-in-the-query": b"/a?b#c",
    "bad-escape": b"/%zz",
    "half-an-escape": b"/a%4",
    "percent-alone": b"/100%",
    "bad-escape-in-the-query": b"/?q=100%",
    "null-escape": b"/a%00b",
    "null-escape-in-the-query": b"/?%00",
    "null": b"/a\0b",
    "blank": b"/a b",
    "blank-in-the-query": b"/?a b",
    "tab": b"/a\tb",
    "carriage-return": b"/a\rb",
    "line-feed": b"/a\n",
    "delete": b"/\x7f",
    "non-ascii": "/ü".encode(),
    "non-ascii-in-the-query": "/?ü".encode(),
    "backslash": b"/static\\..\\account",
    "encoded-slash-after-dots": b"/static/..%2Faccount",
    "encoded-slash-after-encoded-dots": b"/static/%2e%2e%2faccount",
    "encoded-slash-before-dots": b"/static%2f../account",
    "encoded-slash-before-dots-at-the-end": b"/static%2f..",
    "encoded-backslash-beside-dots": b"/static/..%5caccount",
    "encoded-slashes-around-dots": b"/static%2f..%2faccount",
    "dots-with-parameters": b"/static/..;/account",
    "encoded-dots-with-parameters": b"/static/%2e%2e;x=1/account",
    "asterisk": b"*",
    "asterisk-and-more": b"*/",
    "authority-form": b"shop.example:80",
    "other-scheme": b"ftp://shop.example/",
    "scheme-of-another-connection": b"https://shop.example/",
    "no-authority": b"http:///a",
    "one-slash": b"http:/a",
    "userinfo": b"http://user:password@shop.example/",
    "absolute-bad-port": b"http://shop.example:x/",
    "absolute-fragment": b"http://shop.example/#a",
    "absolute-query-fragment": b"http://shop.example?a#b",
    "absolute-backslash": b"http://shop.example\\@evil.example/",
    "absolute-blank": b"http://shop.example/a b",
    "absolute-newline": b"http://shop.example/\n",
}


def get(target: bytes, host: bytes | None = b"shop.example", scheme: bytes = b"http") -> Target:
    return normalise(target, host, scheme, b"GET")


@pytest.mark.parametrize(("raw", "path"), PATHS.values(), ids=PATHS.keys())
def test_a_path_has_one_spelling(raw: bytes, path: bytes) -> None:
    assert get(raw) == Target(b"http", b"shop.example", path)
    assert get(path).path == path
    assert get(b"http://shop.example" + raw) == get(raw)


@pytest.mark.parametrize(("raw", "query"), QUERIES.values(), ids=QUERIES.keys())
def test_a_query_keeps_what_may_mean_something(raw: bytes, query: bytes | None) -> None:
    assert get(raw) == Target(b"http", b"shop.example", b"/a", query)


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_target_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        get(raw)
    assert caught.value.status == 400


class TestForms:
    def test_without_host_the_authority_is_left_to_routing(self) -> None:
        assert get(b"/a", host=None) == Target(b"http", b"", b"/a")

    def test_a_malformed_host_is_refused_even_where_the_target_wins(self) -> None:
        with pytest.raises(BadRequest):
            get(b"http://shop.example/", host=b"a b")

    def test_absolute_form_wins_over_host(self) -> None:
        assert get(b"HTTP://Other.example:80?q", b"shop.example").uri == b"http://other.example/?q"

    def test_absolute_form_on_a_connection_with_tls(self) -> None:
        assert get(b"https://a.example:443/x", scheme=b"https").uri == b"https://a.example/x"

    def test_asterisk_is_for_options(self) -> None:
        target = normalise(b"*", b"shop.example", b"http", b"OPTIONS")
        assert (target.path, target.origin_form) == (b"*", b"*")

    @pytest.mark.parametrize(
        ("raw", "form"),
        [(b"http://a.example", b"*"), (b"http://a.example?", b"/?"), (b"http://a.example/", b"/")],
    )
    def test_s3_2_4_options_for_a_whole_server(self, raw: bytes, form: bytes) -> None:
        assert normalise(raw, b"a.example", b"http", b"OPTIONS").origin_form == form


class TestParts:
    def test_uri_and_origin_form(self) -> None:
        target = get(b"/a?b", b"shop.example:81")
        assert target.uri == b"http://shop.example:81/a?b"
        assert target.origin_form == b"/a?b"
        assert get(b"/a").origin_form == b"/a"

    @pytest.mark.parametrize(
        ("authority", "host"),
        [(b"a.example:81", b"a.example"), (b"a.example", b"a.example"), (b"[::1]:81", b"[::1]"), (b"", b"")],
    )
    def test_host_is_the_authority_without_its_port(self, authority: bytes, host: bytes) -> None:
        assert Target(b"http", authority, b"/").host == host


class TestOperatorsUrl:
    @pytest.mark.parametrize(
        ("typed", "uri"),
        [
            pytest.param(b"http://Shop.example:80/a/../b", b"http://shop.example/b", id="normalised"),
            pytest.param(b"https://shop.example", b"https://shop.example/", id="no-path"),
            pytest.param(b" http://a.example/ \n", b"http://a.example/", id="blanks-around"),
            pytest.param(b"http://a.example/x#part", b"http://a.example/x", id="fragment-dropped"),
            pytest.param(b"http://a.example/a b", b"http://a.example/a%20b", id="blank-encoded"),
            pytest.param("http://a.example/ü?ü".encode(), b"http://a.example/%C3%BC?%C3%BC", id="utf-8"),
            pytest.param("http://bücher.example:81/".encode(), b"http://xn--bcher-kva.example:81/", id="idn"),
            pytest.param("http://[::1]:81/ü".encode(), b"http://[::1]:81/%C3%BC", id="ipv6-and-utf-8"),
        ],
    )
    def test_is_read_as_a_browser_would(self, typed: bytes, uri: bytes) -> None:
        assert parse_uri(typed).uri == uri

    @pytest.mark.parametrize(
        "typed",
        [
            pytest.param(b"", id="empty"),
            pytest.param(b"/a", id="no-host"),
            pytest.param(b"shop.example/a", id="no-scheme"),
            pytest.param("ü".encode(), id="non-ascii-alone"),
            pytest.param(b"http://\xff/", id="not-utf-8"),
            pytest.param("http://ü".encode() + b"a" * 100 + b"/", id="label-too-long"),
            pytest.param(b"ftp://a.example/", id="scheme"),
            pytest.param(b"http://a.example/\r\nX: y", id="line-break"),
            pytest.param(b"http://a.example/%zz", id="escape"),
        ],
    )
    def test_is_refused_where_it_is_none(self, typed: bytes) -> None:
        with pytest.raises(BadRequest):
            parse_uri(typed)


PIECES = st.sampled_from(
    [
        b"/",
        b"//",
        b".",
        b"..",
        b"%2e",
        b"%2F",
        b"%5C",
        b"%41",
        b"%25",
        b"%",
        b"a",
        b"B",
        b";",
        b"?",
        b"%c3",
        b"\\",
    ]
)


@given(st.lists(PIECES, max_size=12))
def test_normalising_twice_changes_nothing(pieces: list[bytes]) -> None:
    try:
        once = get(b"/" + b"".join(pieces))
    except BadRequest:
        return
    assert get(once.origin_form) == once
    assert not any(segment in (b".", b"..") for segment in once.path.split(b"/"))
    assert b"//" not in once.path
    assert parse_uri(once.uri) == once


@given(st.binary(max_size=40))
def test_any_bytes_are_a_target_or_refused(raw: bytes) -> None:
    try:
        target = get(raw)
    except BadRequest:
        return
    assert all(0x21 <= byte <= 0x7E for byte in target.uri)
    assert b"#" not in target.uri
