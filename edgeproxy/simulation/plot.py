"""Knows how hit ratios are drawn: as lines of characters, and as SVG.

Must not know how they were found.
"""

from collections.abc import Callable, Sequence
from html import escape
from itertools import pairwise
from math import log

from edgeproxy.simulation.ratios import Ratio
from edgeproxy.simulation.replay import Row

MARKS = "●LFGBSTW"
_COLOURS = ("#c0392b", "#7f8c8d", "#b7950b", "#2471a3", "#17202a", "#1e8449", "#7d3c98", "#ca6f1e")
_WIDTH, _HEIGHT = 60, 16  # characters
_PANEL, _TALL, _LEFT, _TOP = 360, 260, 46, 34  # pixels


def size_text(size: float) -> str:
    """Bytes for people, as `1.5 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} TiB"


def text_plot(
    rows: Sequence[Row], part: Callable[[Ratio], float] = lambda ratio: ratio.requests
) -> list[str]:
    """Hit ratio over the size of the cache (logarithmic), a mark a policy; the first is drawn on top."""
    top = _top(rows, part)
    grid = [[" "] * (_WIDTH + 1) for _ in range(_HEIGHT + 1)]
    names = list(rows[0].ratios)
    for name, mark in reversed(list(zip(names, MARKS, strict=False))):
        spots = [
            (round(x * _WIDTH), round(part(row.ratios[name]) / top * _HEIGHT))
            for x, row in zip(_places(rows), rows, strict=True)
        ]
        for (x, y), (to_x, to_y) in pairwise(spots):
            for column in range(x + 1, to_x):
                level = round(y + (to_y - y) * (column - x) / (to_x - x))
                if grid[level][column] == " " or name == names[0]:
                    grid[level][column] = "─" if name == names[0] else "·"
        for x, y in spots:
            grid[y][x] = mark
    lines = [
        f"{top * level / _HEIGHT:5.0%} ┤{''.join(grid[level]).rstrip()}"
        if level % 4 == 0
        else f"      │{''.join(grid[level]).rstrip()}"
        for level in range(_HEIGHT, -1, -1)
    ]
    first, last = size_text(rows[0].size), size_text(rows[-1].size)
    lines.append(f"      └{'─' * (_WIDTH + 1)}")
    lines.append(f"       {first}{last:>{_WIDTH + 1 - len(first)}}")
    lines.append("       " + "  ".join(f"{mark} {name}" for name, mark in zip(names, MARKS, strict=False)))
    return lines


def svg_plot(rows: Sequence[Row], title: str) -> str:
    """Two panels, by requests and by bytes, as one SVG document."""
    names = list(rows[0].ratios)
    width = 2 * (_PANEL + _LEFT) + 20
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{_TALL + _TOP + 66}" '
        'font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{_LEFT}" y="16" font-size="13">{escape(title)}</text>',
    ]
    out += _panel(rows, _LEFT, "by requests", lambda ratio: ratio.requests)
    out += _panel(rows, 2 * _LEFT + _PANEL, "by bytes", lambda ratio: ratio.bytes)
    for at, name in enumerate(names):
        x, y = _LEFT + at * 95, _TALL + _TOP + 54
        out.append(
            f'<path d="M{x} {y - 4}h18" stroke="{_colour(at)}" stroke-width="{_thick(at)}"/>'
            f'<text x="{x + 23}" y="{y}">{escape(name)}</text>'
        )
    return "\n".join([*out, "</svg>", ""])


def _panel(rows: Sequence[Row], left: int, title: str, part: Callable[[Ratio], float]) -> list[str]:
    top = _top(rows, part)
    base = _TOP + _TALL
    out = [f'<text x="{left + 6}" y="{_TOP + 12}" fill="#555">hit ratio {title}</text>']
    for quarter in range(5):
        y = base - _TALL * quarter / 4
        out.append(
            f'<path d="M{left} {y:.1f}h{_PANEL}" stroke="#ddd"/>'
            f'<text x="{left - 5}" y="{y + 4:.1f}" text-anchor="end">{top * quarter / 4:.0%}</text>'
        )
    places = [left + x * _PANEL for x in _places(rows)]
    for row, x in zip(rows, places, strict=True):
        out.append(f'<text x="{x:.1f}" y="{base + 16}" text-anchor="middle">{size_text(row.size)}</text>')
    for at, name in reversed(list(enumerate(rows[0].ratios))):
        spots = [
            f"{x:.1f},{base - part(row.ratios[name]) / top * _TALL:.1f}"
            for x, row in zip(places, rows, strict=True)
        ]
        out.append(
            f'<polyline fill="none" stroke="{_colour(at)}" stroke-width="{_thick(at)}" '
            f'points="{" ".join(spots)}"/>'
        )
    return out


def _top(rows: Sequence[Row], part: Callable[[Ratio], float]) -> float:
    """The end of the scale: a full tenth."""
    most = max(part(ratio) for row in rows for ratio in row.ratios.values())
    return max(1, min(10, int(most * 10) + 1)) / 10


def _places(rows: Sequence[Row]) -> list[float]:
    """Where each size stands, 0 to 1."""
    first, last = log(max(rows[0].size, 1)), log(max(rows[-1].size, 1))
    return [(log(max(row.size, 1)) - first) / (last - first) if last > first else 0.0 for row in rows]


def _colour(at: int) -> str:
    return _COLOURS[at % len(_COLOURS)]


def _thick(at: int) -> float:
    return 2.5 if at == 0 else 1.2
