"""Plots: as characters and as SVG."""

from xml.etree import ElementTree

import pytest

from edgeproxy.simulation.plot import size_text, svg_plot, text_plot
from edgeproxy.simulation.ratios import Ratio
from edgeproxy.simulation.replay import Row

ROWS = [
    Row(1 << 20, {"edgeproxy": Ratio(0.2, 0.1), "L<RU": Ratio(0.1, 0.3)}),
    Row(1 << 24, {"edgeproxy": Ratio(0.5, 0.4), "L<RU": Ratio(0.3, 0.4)}),
    Row(1 << 28, {"edgeproxy": Ratio(0.8, 0.7), "L<RU": Ratio(0.8, 0.7)}),
]


@pytest.mark.parametrize(
    ("size", "text"), [(5, "5 B"), (1536, "1.5 KiB"), (3 << 30, "3 GiB"), (5 << 40, "5 TiB")]
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert size_text(size) == text


def test_text_has_a_mark_a_size_and_ours_on_top() -> None:
    lines = text_plot(ROWS)
    chart = "\n".join(lines[:-1])
    assert chart.count("●") == 3
    assert chart.count("L") == 2  # the third is where ours is
    assert lines[0].startswith("  90% ┤")
    assert lines[-2].strip() == "1 MiB" + "256 MiB".rjust(56)
    assert lines[-1].strip() == "● edgeproxy  L L<RU"
    assert max(map(len, lines)) <= 80
    assert text_plot(ROWS, lambda ratio: ratio.bytes) != lines


def test_one_size_and_no_hits_can_be_drawn() -> None:
    row = Row(10, {"edgeproxy": Ratio(0.0, 0.0)})
    assert "●" in "".join(text_plot([row]))
    ElementTree.fromstring(svg_plot([row], ""))


def test_svg_has_a_line_a_policy_in_each_panel() -> None:
    root = ElementTree.fromstring(svg_plot(ROWS, "a & b"))
    lines = root.findall("{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 4
    assert all(len(line.attrib["points"].split()) == 3 for line in lines)
    texts = [text.text for text in root.findall("{http://www.w3.org/2000/svg}text")]
    assert texts[0] == "a & b"
    assert "L<RU" in texts
