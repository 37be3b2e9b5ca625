"""YAML text as a tree of nodes that know their line and column, with every bound that text needs.

Knows no key: merges, aliases, duplicates, variables and scalars, but not what they configure.
Built from the parser's events, so that depth and expansion are bounded before anything is built.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import yaml

from edgeproxy.config.mistakes import Path
from edgeproxy.config.scalars import Trap, VariableError, plain_value, show, substitute

MERGE = sys.intern("<<")  # compared by identity: a quoted "<<" is a key as any other
MAX_DEPTH = 32
MAX_NODES = 200_000  # after aliases and merges are expanded


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the text; both count from 1."""

    line: int
    column: int


@dataclass(slots=True, eq=False)
class Scalar:
    """A value: None, bool, int, float, str, Substituted or Trap."""

    mark: Mark
    value: object


@dataclass(slots=True, eq=False)
class Sequence:
    """A list."""

    mark: Mark
    items: "list[Node]" = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Table:
    """A mapping; each key with its own place. `merged` are keys that came by `<<`."""

    mark: Mark
    items: "dict[str, tuple[Mark, Node]]" = field(default_factory=dict)
    merged: set[str] = field(default_factory=set)


Node = Scalar | Sequence | Table


class TextError(Exception):
    """Text that is no YAML we read: nothing more can be said about it than this one mistake."""

    def __init__(self, mark: Mark, what: str, instead: str) -> None:
        super().__init__(f"{what}, {instead}")
        self.mark = mark
        self.what = what
        self.instead = instead


@dataclass(frozen=True, slots=True)
class Misplaced:
    """A mistake found while the tree was built; the tree goes on without the part."""

    mark: Mark
    path: Path
    what: str
    instead: str


class Builder:
    """Builds one tree; `misplaced` collects the mistakes that do not end it."""

    def __init__(self, events: Iterator[yaml.Event], env: Mapping[str, str]) -> None:
        self._events = events
        self._env = env
        self._anchors: dict[str, Node] = {}
        self._open_anchors: set[str] = set()
        self._budget = MAX_NODES
        self.misplaced: list[Misplaced] = []

    def __repr__(self) -> str:
        return f"Builder(anchors={sorted(self._anchors)}, misplaced={len(self.misplaced)})"

    def document(self) -> Node | None:
        """The only document of the text, or None where there is none. Raises TextError, yaml.YAMLError."""
        root: Node | None = None
        for event in self._events:
            match event:
                case yaml.DocumentStartEvent() if root is not None:
                    raise TextError(_mark(event), "a second document", "keep one document, without ---")
                case yaml.ScalarEvent() | yaml.AliasEvent() | yaml.CollectionStartEvent():
                    root = self._node(event, (), 0)
                case _:
                    pass
        return root

    def spend(self, mark: Mark, nodes: int = 1) -> None:
        """Counts nodes against the bound. Raises TextError."""
        self._budget -= nodes
        if self._budget < 0:
            raise TextError(
                mark, f"more than {MAX_NODES} values with all aliases expanded", "use fewer aliases"
            )

    def _node(self, event: yaml.Event, path: Path, depth: int) -> Node:
        assert isinstance(event, yaml.NodeEvent)
        mark = _mark(event)
        self.spend(mark)
        check_depth(mark, depth)
        anchor: str | None = event.anchor
        if isinstance(event, yaml.AliasEvent):
            return self._alias(mark, str(anchor))
        if anchor is not None:
            self._open_anchors.add(anchor)
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event, path)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._check_tag(event, path)
            node = self._sequence(mark, path, depth)
        else:
            assert isinstance(event, yaml.MappingStartEvent)
            self._check_tag(event, path)
            node = self._table(mark, path, depth)
        if anchor is not None:
            self._open_anchors.discard(anchor)
            self._anchors[anchor] = node
        return node

    def _alias(self, mark: Mark, name: str) -> Node:
        if name in self._open_anchors:
            raise TextError(mark, f"*{name} stands inside its own anchor", "write the value out")
        if name not in self._anchors:
            raise TextError(mark, f"*{name} has no anchor before it", f"mark a value with &{name}")
        return self._anchors[name]

    def _sequence(self, mark: Mark, path: Path, depth: int) -> Sequence:
        node = Sequence(mark)
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            node.items.append(self._node(event, (*path, len(node.items)), depth + 1))
        return node

    def _table(self, mark: Mark, path: Path, depth: int) -> Table:
        node = Table(mark)
        bases: list[tuple[Mark, Node]] = []
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, path, depth)
            key_mark = _mark(event)
            value = self._node(next(self._events), (*path, key or "?"), depth + 1)
            if key is MERGE:
                bases.append((key_mark, value))
            elif key is None:
                continue
            elif key in node.items:
                first = node.items[key][0]
                self._misplace(
                    key_mark,
                    (*path, key),
                    f"the key stands twice, first in line {first.line}",
                    "keep one",
                )
            else:
                node.items[key] = (key_mark, value)
        for key_mark, base in bases:
            self._merge(node, key_mark, base, path)
        return node

    def _key(self, event: yaml.Event, path: Path, depth: int) -> str | None:
        if not isinstance(event, yaml.ScalarEvent):
            self._node(event, path, depth + 1)
            self._misplace(_mark(event), path, "a key that is no plain word", "write a word and a colon")
            return None
        text: str = event.value
        if event.style is None:
            if text == MERGE:
                return MERGE
            value = plain_value(text)
            if not isinstance(value, str):
                kind = value.reading if isinstance(value, Trap) else _kind(value)
                self._misplace(
                    _mark(event),
                    (*path, text),
                    f"the key {text or 'null'} is {kind} to YAML",
                    f'write "{text}"',
                )
        return text

    def _merge(self, node: Table, mark: Mark, base: Node, path: Path) -> None:
        """`<<` gives what the mapping does not have itself; of several, the earlier wins."""
        for source in base.items if isinstance(base, Sequence) else [base]:
            if not isinstance(source, Table):
                self._misplace(mark, (*path, "<<"), "<< takes a mapping", "write <<: *ANCHOR")
                continue
            self.spend(mark, len(source.items))
            for key, item in source.items.items():
                if key not in node.items:
                    node.items[key] = item
                    node.merged.add(key)

    def _scalar(self, event: yaml.ScalarEvent, path: Path) -> Scalar:
        mark = _mark(event)
        text: str = event.value
        if event.tag is not None and event.tag not in ("!", "tag:yaml.org,2002:str"):
            self._check_tag(event, path)
        try:
            value = substitute(text, self._env)
        except VariableError as error:
            self._misplace(mark, path, error.what, error.instead)
            return Scalar(mark, Unknown(text))
        if value is text and event.style is None and event.tag is None:
            return Scalar(mark, plain_value(text))
        return Scalar(mark, value)

    def _check_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, path: Path) -> None:
        if event.tag is not None:
            tag = str(event.tag).replace("tag:yaml.org,2002:", "!!")
            self._misplace(_mark(event), path, f"the tag {show(tag)}", "remove it, tags mean nothing here")

    def _misplace(self, mark: Mark, path: Path, what: str, instead: str) -> None:
        self.misplaced.append(Misplaced(mark, path, what, instead))


@dataclass(frozen=True, slots=True)
class Unknown:
    """A scalar whose variable could not be filled in; its mistake is noted already."""

    text: str


def check_depth(mark: Mark, depth: int) -> None:
    """Bounds the nesting, and with it every recursion over the tree. Raises TextError."""
    if depth > MAX_DEPTH:
        raise TextError(mark, f"nested deeper than {MAX_DEPTH} levels", "nest less")


def plain(node: Node, builder: Builder, depth: int = 0) -> object:
    """The tree as dicts, lists and scalars, aliases written out. Raises TextError beyond the bounds."""
    builder.spend(node.mark)
    check_depth(node.mark, depth)
    match node:
        case Scalar(value=value):
            return value
        case Sequence(items=items):
            return [plain(item, builder, depth + 1) for item in items]
        case Table(items=table):
            return {key: plain(item, builder, depth + 1) for key, (_, item) in table.items()}


def find(root: Node, path: Path) -> tuple[Mark, Mark]:
    """Places of the deepest key on `path` and of its value, as far as the path leads into the tree."""
    key_mark, node = root.mark, root
    for step in path:
        if isinstance(node, Table) and step in node.items:
            key_mark, node = node.items[str(step)]
        elif isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
            key_mark = node.mark
        elif step != 0:  # a single value may stand for a list of one
            break
    return key_mark, node.mark


def _mark(event: yaml.Event) -> Mark:
    assert event.start_mark is not None
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)


def _kind(value: object) -> str:
    return {type(None): "null", bool: "a boolean"}.get(type(value), "a number")
