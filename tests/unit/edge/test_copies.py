"""Coded copies in memory: found beside their page, and gone with it."""

from dataclasses import replace

from edgeproxy.caching.compression import as_kept, coded, negotiated
from edgeproxy.caching.policy import CachePolicy
from edgeproxy.caching.stored import StoredResponse
from edgeproxy.edge.copies import copies_of, drop_copies, drop_outdated, plain_node, plain_of
from edgeproxy.store.memory import MemoryTier
from tests.unit.caching.values import get, stored

ON = CachePolicy(
    vary_normalize=negotiated((), (b"br", b"gzip")),
    compress=(b"br", b"gzip"),
    compress_types=(b"text/*",),
    compress_min_size=1,
)
BR = get("Accept-Encoding: br")


def page(*lines: str, kind: str = "text/html") -> StoredResponse:
    request = get("Accept-Language: de")
    head = ("Content-Type: " + kind, *lines)
    return as_kept(stored("max-age=60", *head, request=request, policy=ON), request, ON)


def memory(*responses: StoredResponse) -> MemoryTier:
    made = MemoryTier(1 << 20)
    for response in responses:
        made.put(response)
    return made


def left(tier: MemoryTier) -> set[bytes]:
    return {node.variant for node in tier.nodes()}


def test_copies_and_page_are_found_from_each_other() -> None:
    plain = page()
    br, gzip = coded(plain, b"br", (b"x",)), coded(plain, b"gzip", None)
    tier = memory(plain, br, gzip)
    assert copies_of(tier, plain) == copies_of(tier, br) == [br, gzip]
    node = plain_of(tier, br)
    assert node is not None
    assert node.stored == plain
    assert plain_of(memory(br), br) is None
    assert plain_of(memory(), br) is None
    assert copies_of(memory(), plain) == []


def test_copies_of_other_variants_are_not_meant() -> None:
    german, plain = page("Vary: Accept-Language"), page()
    tier = memory(plain, coded(plain, b"br", (b"x",)), german, coded(german, b"br", (b"y",)))
    assert copies_of(tier, german) == [coded(german, b"br", (b"y",))]
    drop_copies(tier, german)
    assert left(tier) == {plain.variant, coded(plain, b"br", None).variant, german.variant}


def test_a_newer_page_leaves_no_older_copies_and_an_older_one_does_no_harm() -> None:
    plain = page()
    br = coded(plain, b"br", (b"x",))
    for age, remains in ((1.0, {plain.variant}), (0.0, {plain.variant, br.variant})):
        tier = memory(plain, br)
        drop_outdated(tier, replace(plain, response_time=plain.response_time + age))
        assert left(tier) == remains
    drop_outdated(tier, replace(br, response_time=br.response_time + 1))
    drop_outdated(tier, replace(page(kind="image/png"), response_time=br.response_time + 1))
    assert left(tier) == {plain.variant, br.variant}


def test_a_page_stands_in_for_a_copy_that_is_not_there() -> None:
    tier = memory(page())
    (node,) = tier.nodes()
    assert plain_node(node.primary, node.names, BR, ON) is node
    assert plain_node(node.primary, (), BR, ON) is None
    assert plain_node(node.primary, (b"accept-encoding", b"cookie"), BR, ON) is None


def test_what_is_not_compressed_stands_in_for_nothing() -> None:
    image = stored("max-age=60", "Content-Type: image/png", "Vary: Accept-Encoding", policy=ON)
    tier = memory(image)
    (node,) = tier.nodes()
    assert plain_node(node.primary, node.names, BR, ON) is None
