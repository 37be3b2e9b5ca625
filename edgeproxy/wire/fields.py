"""Header fields as they came: order, case and duplicates kept; looked up by lower-case name.

Must not know what any field means.
"""

from collections.abc import Iterable, Iterator

RawField = tuple[bytes, bytes]


class Fields:
    """An immutable list of field lines (RFC 9110 §5), with an index made at first look-up.

    `raw` keeps (name as on the wire, value without surrounding blanks).
    """

    __slots__ = ("index", "raw")

    index: dict[bytes, list[bytes]]
    """Lower-case name to the values of its lines, in order."""

    def __init__(self, raw: Iterable[RawField] = ()) -> None:
        self.raw: tuple[RawField, ...] = tuple(raw)

    def __getattr__(self, name: str) -> dict[bytes, list[bytes]]:
        # Only the index is ever missing, and only once: then its slot is filled, and costs no call.
        if name != "index":
            raise AttributeError(name)
        index: dict[bytes, list[bytes]] = {}
        for field, value in self.raw:
            lower = field.lower()
            if lower in index:
                index[lower].append(value)
            else:
                index[lower] = [value]
        self.index = index
        return index

    def __repr__(self) -> str:
        return f"Fields({list(self.raw)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fields) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def __iter__(self) -> Iterator[RawField]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def __contains__(self, name: bytes) -> bool:
        return name in self.index

    def get(self, name: bytes) -> bytes | None:
        """The combined value (RFC 9110 §5.3: lines joined by a comma), or None. `name` is lower-case."""
        values = self.index.get(name)
        if values is None:
            return None
        return values[0] if len(values) == 1 else b", ".join(values)

    def get_all(self, name: bytes) -> list[bytes]:
        """The values of each line of that lower-case name, in order."""
        return self.index.get(name, [])

    def without(self, names: Iterable[bytes]) -> "Fields":
        """A copy without the lines of these lower-case names."""
        drop = frozenset(names)
        return Fields(line for line in self.raw if line[0].lower() not in drop)

    def plus(self, *lines: RawField) -> "Fields":
        """A copy with these lines appended."""
        return Fields(self.raw + lines)

    def replaced(self, name: bytes, value: bytes) -> "Fields":
        """A copy in which one line with that name and value stands for all of that name.

        The line keeps the place and the case of the first one it replaces; absent, it is appended.
        """
        lower = name.lower()
        lines: list[RawField] = []
        placed = False
        for line in self.raw:
            if line[0].lower() != lower:
                lines.append(line)
            elif not placed:
                lines.append((line[0], value))
                placed = True
        if not placed:
            lines.append((name, value))
        return Fields(lines)
