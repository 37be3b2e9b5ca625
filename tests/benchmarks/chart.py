"""A chart of bars as an SVG, by case and server, that can be read on a light and on a dark ground.

Must not know how anything was measured.
"""

from typing import Any
from xml.sax.saxutils import escape

WIDTH, NAMES, FIGURES = 800, 150, 210  # of all, of the column of names, of that of figures behind the bars
_BAR, _STEP, _TITLE, _GAP, _MARGIN = 14, 20, 26, 14, 12
_STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #24292f; }
.title { font-weight: 600; font-size: 13px; }
.note { fill: #57606a; }
.bar { fill: #8c959f; }
.ours { fill: #1f7ae0; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .note { fill: #9da7b1; }
  .bar { fill: #7d8590; }
  .ours { fill: #4493f8; }
}"""


def svg(cases: dict[str, Any], ours: str) -> str:
    """Bars of CPU time a request, or of the latency p99 where there is one; out of `report.figures`.

    Each case has a scale of its own: its longest bar is the dearest server.
    """
    parts: list[str] = []
    top = _MARGIN
    for case in cases.values():
        if case["servers"]:
            drawn, height = _case(case, top, ours)
            parts += drawn
            top += height + _GAP
    height = max(top - _GAP + _MARGIN, 2 * _MARGIN)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}"'
            f' viewBox="0 0 {WIDTH} {height}" role="img" aria-label="edgeproxy beside its peers">',
            f"<style>\n{_STYLE}\n</style>",
            *parts,
            "</svg>\n",
        ]
    )


def _case(case: dict[str, Any], top: int, ours: str) -> tuple[list[str], int]:
    servers = case["servers"]
    timed = all("p99" in row["latency"] for row in servers.values())
    figure = {name: row["latency"]["p99"] if timed else row["cpu"] for name, row in servers.items()}
    unit, title = ("ms", f"{case['title']} (p99)") if timed else ("µs", case["title"])
    longest = max(figure.values()) or 1.0
    parts = [f'<text class="title" x="{_MARGIN}" y="{top + 13}">{escape(title)}</text>']
    y = top + _TITLE
    for name, value in figure.items():
        length = value / longest * (WIDTH - NAMES - FIGURES - 2 * _MARGIN)
        ratio = servers[name]["ratio"].get("p99" if timed else "cpu")
        note = "" if ratio is None or name == ours else f"  (edgeproxy ÷ it: {ratio:.2f})"
        text = y + _BAR - 3
        shade = "ours" if name == ours else "bar"
        parts += [
            f'<text x="{_MARGIN}" y="{text}">{escape(name)}</text>',
            f'<rect class="{shade}" x="{NAMES}" y="{y}" width="{length:.1f}" height="{_BAR}" rx="2"/>',
            f'<text x="{NAMES + length + 6:.1f}" y="{text}">{_figure(value)} {unit}'
            f'<tspan class="note" xml:space="preserve">{escape(note)}</tspan></text>',
        ]
        y += _STEP
    return parts, y - top


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
