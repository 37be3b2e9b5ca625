"""The segments that a stored body is kept in.

Must not know where it came from.
"""

SEGMENT = 64 * 1024
"""Smaller pieces of a stored body are joined up to this size."""


def joined(chunks: list[bytes]) -> tuple[bytes, ...]:
    """The same bytes in fewer segments: each costs memory, and a step at each hit."""
    if len(chunks) < 2:
        return tuple(chunks)
    segments: list[bytes] = []
    group: list[bytes] = []
    size = 0
    for chunk in chunks:
        if size and size + len(chunk) > SEGMENT:
            segments.append(b"".join(group))
            group, size = [], 0
        group.append(chunk)
        size += len(chunk)
    segments.append(b"".join(group))
    return tuple(segments)
