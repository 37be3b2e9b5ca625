"""Targeted fields (RFC 9213) and Surrogate-Control."""

import pytest

from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.targeted import binding

from .values import lines

CDN = CachePolicy(targeted=(b"surrogate-control", b"cdn-cache-control"))


@pytest.mark.parametrize(
    ("fields", "field", "max_age"),
    [
        pytest.param(["Cache-Control: max-age=5"], b"cache-control", 5, id="s2.2-none-present"),
        pytest.param([], b"cache-control", None, id="s2.2-nothing-at-all"),
        pytest.param(
            ["Cache-Control: max-age=5", "CDN-Cache-Control: max-age=60"],
            b"cdn-cache-control",
            60,
            id="s2.2-targeted-wins",
        ),
        pytest.param(
            ["Cache-Control: no-store", "CDN-Cache-Control: max-age=60"],
            b"cdn-cache-control",
            60,
            id="s2.2-targeted-hides-no-store",
        ),
        pytest.param(
            ["CDN-Cache-Control: max-age=60", "Surrogate-Control: max-age=7"],
            b"surrogate-control",
            7,
            id="s2.2-order-of-the-list",
        ),
        pytest.param(
            ["CDN-Cache-Control: max-age=60", "CDN-Cache-Control: foo"],
            b"cdn-cache-control",
            60,
            id="s2.1-lines-combine",
        ),
        pytest.param(
            ["Cache-Control: max-age=5", "CDN-Cache-Control:"], b"cache-control", 5, id="s2.2-empty-is-absent"
        ),
        pytest.param(
            ["Cache-Control: max-age=5", "CDN-Cache-Control: max-age=60, &&&"],
            b"cache-control",
            5,
            id="s2.1-bad-syntax-is-absent",
        ),
        pytest.param(
            ["Cache-Control: max-age=5", 'CDN-Cache-Control: max-age="60"'],
            b"cache-control",
            5,
            id="s2.1-string-for-a-number",
        ),
        pytest.param(
            ["Cache-Control: max-age=5", "CDN-Cache-Control: max-age=60.5"],
            b"cache-control",
            5,
            id="s2.1-decimal-for-a-number",
        ),
        pytest.param(
            ["Cache-Control: max-age=5", "CDN-Cache-Control: max-age"],
            b"cache-control",
            5,
            id="s2.1-true-for-a-number",
        ),
        pytest.param(
            ["Cache-Control: max-age=5", "CDN-Cache-Control: max-age=(1 2)"],
            b"cache-control",
            5,
            id="s2.1-list-for-a-number",
        ),
        pytest.param(
            ["Cache-Control: max-age=5", "CDN-Cache-Control: no-store=1"],
            b"cache-control",
            5,
            id="s2.1-number-for-a-flag",
        ),
        pytest.param(
            ["Cache-Control: max-age=5", "CDN-Cache-Control: private=tok"],
            b"cache-control",
            5,
            id="s2.1-token-for-a-list-of-fields",
        ),
        pytest.param(
            ["CDN-Cache-Control: max-age=60;x=1, ext=5, other=tok"],
            b"cdn-cache-control",
            60,
            id="s2.1-parameters-and-unknown-members-are-ignored",
        ),
        pytest.param(
            ["CDN-Cache-Control: max-age=-5"], b"cdn-cache-control", 0, id="s4.2.1-negative-is-stale"
        ),
        pytest.param(
            ["CDN-Cache-Control: max-age=99999999999"], b"cdn-cache-control", 2**31, id="s1.2.2-overflow"
        ),
    ],
)
def test_which_field_binds(fields: list[str], field: bytes, max_age: int | None) -> None:
    bound = binding(lines(*fields), CDN)
    assert bound.field == field
    assert bound.targeted is (field != b"cache-control")
    assert bound.directives.lifetime(b"max-age") == max_age


def test_a_dictionary_knows_flags_lists_and_false() -> None:
    value = 'CDN-Cache-Control: no-cache, private="a, b", no-store=?0'
    directives = binding(lines(value), CDN).directives
    assert directives.bare(b"no-cache")
    assert not directives.bare(b"private")
    assert directives.named_fields(b"private") == {b"a", b"b"}
    assert b"no-store" not in directives


@pytest.mark.parametrize(
    ("value", "max_age", "swr"),
    [
        pytest.param("max-age=3600", 3600, None, id="untargeted"),
        pytest.param("MaX-aGe=3600", 3600, None, id="any-case"),
        pytest.param("foobar, max-age=3600", 3600, None, id="unknown-directive"),
        pytest.param("max-age=3600;edgeproxy", 3600, None, id="targeted-at-us"),
        pytest.param("max-age=3600; other ;edgeproxy", 3600, None, id="targeted-at-us-and-another"),
        pytest.param("max-age=5;other, max-age=60", 60, None, id="another-s-is-passed-over"),
        pytest.param("max-age=60, max-age=5", 60, None, id="the-first-counts"),
        pytest.param("max-age=600+300", 600, 300, id="freshness-extension"),
        pytest.param("max-age=600+x", 600, 0, id="freshness-extension-invalid"),
        pytest.param("max-age =100", 0, None, id="blank-before-equals-is-stale"),
        pytest.param('content="ESI/1.0", max-age=60', 60, None, id="beside-content"),
    ],
)
def test_surrogate_control(value: str, max_age: int, swr: int | None) -> None:
    bound = binding(lines("Surrogate-Control: " + value, "Cache-Control: no-store"), CDN)
    assert bound.targeted
    assert bound.directives.lifetime(b"max-age") == max_age
    assert bound.directives.lifetime(b"stale-while-revalidate") == swr


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("max-age=3600;not-for-you", id="only-for-another"),
        pytest.param('content="ESI/1.0, no-store"', id="processing-instructions-only"),
        pytest.param("", id="empty"),
    ],
)
def test_surrogate_control_without_caching_directives_hides_nothing(value: str) -> None:
    bound = binding(lines("Surrogate-Control: " + value, "Cache-Control: max-age=5"), CDN)
    assert not bound.targeted
    assert bound.directives.lifetime(b"max-age") == 5


def test_surrogate_no_store_binds() -> None:
    assert b"no-store" in binding(lines("Surrogate-Control: no-store"), CDN).directives
