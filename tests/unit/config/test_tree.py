"""YAML text as a tree: places, merges, duplicates, aliases, and the bounds."""

import pytest

from edgeproxy.config.scalars import Trap
from edgeproxy.config.text import parse
from edgeproxy.config.tree import MAX_DEPTH, MAX_NODES, Mark, TextError, Unknown, find, plain


def read(text: str, **env: str) -> object:
    root, builder = parse(text, env)
    assert root is not None
    return plain(root, builder)


def misplaced(text: str) -> list[tuple[int, int, str]]:
    _, builder = parse(text, {})
    return [(entry.mark.line, entry.mark.column, entry.what) for entry in builder.misplaced]


def test_mappings_lists_and_scalars_become_plain_data() -> None:
    assert read("a: [1, two, null]\nb:\n  c: true\n  d: on\n") == {
        "a": [1, "two", None],
        "b": {"c": True, "d": Trap("on", "a boolean")},
    }


def test_quoted_scalars_are_text() -> None:
    assert read("a: \"12\"\nb: 'on'\nc: |\n  12\nd: !!str 12\ne: ! 12\n") == {
        "a": "12",
        "b": "on",
        "c": "12\n",
        "d": "12",
        "e": "12",
    }


def test_an_empty_text_has_no_tree() -> None:
    assert parse("# nothing\n", {})[0] is None


def test_merges_give_what_is_missing_and_earlier_ones_win() -> None:
    text = "x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz: {b: 3, <<: [*x, *y]}\nw: {<<: *y}\n"
    assert read(text) == {
        "x": {"a": 1, "b": 1},
        "y": {"b": 2, "c": 2},
        "z": {"a": 1, "b": 3, "c": 2},
        "w": {"b": 2, "c": 2},
    }


def test_a_quoted_merge_key_is_a_key() -> None:
    assert read('"<<": 1') == {"<<": 1}


@pytest.mark.parametrize(
    ("text", "line", "column", "what"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, 1, "the key stands twice, first in line 1"),
        ("a: {b: 1, b: 2}\n", 1, 11, "the key stands twice, first in line 1"),
        ("a: {<<: 1}\n", 1, 5, "<< takes a mapping"),
        ("? [a]\n: 1\n", 1, 3, "a key that is no plain word"),
        ("on: 1\n", 1, 1, "the key on is a boolean to YAML"),
        ("12: 1\n", 1, 1, "the key 12 is a number to YAML"),
        ("~: 1\n", 1, 1, "the key ~ is null to YAML"),
        ("true: 1\n", 1, 1, "the key true is a boolean to YAML"),
        ("a: !!binary aGk=\n", 1, 4, 'the tag "!!binary"'),
        ("a: !mine {}\n", 1, 4, 'the tag "!mine"'),
        ("a: !!python/object/apply:os.system [x]\n", 1, 4, 'the tag "!!python/object/apply:os.system"'),
        ("a: ${NONE}\n", 1, 4, "the variable NONE is not set"),
    ],
)
def test_mistakes_on_the_way_do_not_end_the_tree(text: str, line: int, column: int, what: str) -> None:
    assert misplaced(text) == [(line, column, what)]


def test_a_missing_variable_leaves_an_unknown_scalar() -> None:
    assert read("a: ${NONE}") == {"a": Unknown("${NONE}")}


def test_a_variable_cannot_bring_yaml_with_it() -> None:
    assert read("a: ${EVIL}", EVIL="{b: [1]}\nc: 2") == {"a": "{b: [1]}\nc: 2"}


def test_variables_in_keys_are_not_filled_in() -> None:
    assert read('"${HOME}": 1', HOME="x") == {"${HOME}": 1}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: *none\n", "*none has no anchor before it"),
        ("a: &a [*a]\n", "*a stands inside its own anchor"),
        ("a: 1\n---\nb: 1\n", "a second document"),
        ("[" * (MAX_DEPTH + 2), f"nested deeper than {MAX_DEPTH} levels"),
        ("[" * 500_000, f"nested deeper than {MAX_DEPTH} levels"),
        ("{a: " * (MAX_DEPTH + 2), f"nested deeper than {MAX_DEPTH} levels"),
    ],
    ids=lambda value: value[:20],
)
def test_what_cannot_be_read_at_all_ends_it(text: str, what: str) -> None:
    with pytest.raises(TextError) as caught:
        read(text)
    assert caught.value.what == what


def test_aliases_that_nest_deeper_than_the_text_are_refused() -> None:
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, MAX_DEPTH + 2)]
    with pytest.raises(TextError, match="nested deeper"):
        read("\n".join(lines))


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(TextError, match=f"more than {MAX_NODES} values"):
        read("\n".join(lines))


def test_a_merge_bomb_is_refused() -> None:
    base = "x: &x {" + ", ".join(f"k{n}: 1" for n in range(1000)) + "}\n"
    with pytest.raises(TextError, match=f"more than {MAX_NODES} values"):
        read(base + "y: {<<: [" + ", ".join(["*x"] * 1000) + "]}\n")


def test_places_are_found_by_path_as_far_as_it_leads() -> None:
    root, _ = parse("a:\n  - b: 1\n    c: 2\n", {})
    assert root is not None
    assert find(root, ("a", 0, "c")) == (Mark(3, 5), Mark(3, 8))
    assert find(root, ("a", 0, "none")) == (Mark(2, 5), Mark(2, 5))
    assert find(root, ("a", 7)) == (Mark(1, 1), Mark(2, 3))
    assert find(root, ("none", "x")) == (Mark(1, 1), Mark(1, 1))


def test_a_single_value_is_found_as_an_item_of_one() -> None:
    root, _ = parse("a: x\n", {})
    assert root is not None
    assert find(root, ("a", 0)) == (Mark(1, 1), Mark(1, 4))


def test_the_builder_tells_what_it_holds() -> None:
    _, builder = parse("a: &here 1\na: 2", {})
    assert repr(builder) == "Builder(anchors=['here'], misplaced=1)"
