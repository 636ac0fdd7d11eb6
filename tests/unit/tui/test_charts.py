"""Charts are well-formed, show every series and value, and keep all their words within the paper."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import hypothesis.strategies as st
import pytest
from hypothesis import given

from tui.view.charts import WIDTH, Curves, Line, Points, Row, Strips, draw
from tui.view.svg import fitted, text_width

SVG = "{http://www.w3.org/2000/svg}"
WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=120)
VALUES = st.lists(st.floats(1e-3, 1e12), min_size=1, max_size=12).map(tuple)


def text_boxes(svg: str) -> list[tuple[str, float, float, float]]:
    """Each text with where it begins and ends across, and how far down."""
    found = []
    for text in ElementTree.fromstring(svg).iter(f"{SVG}text"):
        words, size = text.text or "", float(text.attrib["font-size"])
        x, wide = float(text.attrib["x"]), text_width(words, size)
        begin = {"start": x, "middle": x - wide / 2, "end": x - wide}[text.attrib["text-anchor"]]
        found.append((words, begin, begin + wide, float(text.attrib["y"])))
    return found


def marks(svg: str) -> list[tuple[float, float]]:
    drawn = [each.attrib["d"] for each in ElementTree.fromstring(svg).iter(f"{SVG}path")]
    return [(float(x), float(y)) for d in drawn for x, y in [re.findall(r"-?[\d.]+", d)[:2]]]


def assert_within(svg: str) -> None:
    height = float(ElementTree.fromstring(svg).attrib["height"])
    for words, begin, end, y in text_boxes(svg):
        assert begin >= -0.1 and end <= WIDTH + 0.1 and 0 < y < height, words
    for x, y in marks(svg):
        assert 0 <= x <= WIDTH and 0 <= y <= height


@given(st.lists(st.tuples(WORDS, VALUES), min_size=1, max_size=5), WORDS, st.booleans())
def test_strips_of_anything(rows: list[tuple[str, tuple[float, ...]]], words: str, log: bool) -> None:
    chart = Strips(
        title=words,
        axis=words,
        rows=tuple(Row(label, (Points("", values, values[0]),)) for label, values in rows),
        log=log,
        limit=1.0,
    )
    svg = draw(chart)
    assert_within(svg)
    assert len(marks(svg)) == sum(len(values) + 1 for _, values in rows), (
        "every value, and what stands for it"
    )


@given(st.lists(st.tuples(WORDS, VALUES), min_size=1, max_size=5), WORDS, st.booleans())
def test_curves_of_anything(lines: list[tuple[str, tuple[float, ...]]], words: str, log: bool) -> None:
    drawn = tuple(
        Line(
            series=name,
            at=tuple(map(float, range(len(values)))),
            values=values,
            upper=tuple(2 * value for value in values),
            lower=tuple(value / 2 for value in values),
        )
        for name, values in lines
    )
    svg = draw(Curves(title=words, across=words, axis=words, lines=drawn, log=log))
    assert_within(svg)


def test_every_row_and_series_is_named_with_its_number() -> None:
    chart = Strips(
        title="Full",
        axis="%",
        rows=tuple(
            Row(trace, (Points("fgd", (95.0, 96.0), 95.5), Points("learned", (96.0, 97.0), 96.5)))
            for trace in ("default", "cpu100")
        ),
    )
    words = [words for words, *_ in text_boxes(draw(chart))]
    for expected in ("Full", "%", "default", "cpu100", "fgd", "learned", "95.50", "96.50"):
        assert expected in words
    assert words.count("fgd") == 1, "the legend names a series once"


def test_texts_beside_each_other_do_not_touch() -> None:
    chart = Strips(
        title="t",
        axis="a",
        rows=(Row("a rule with a long name", (Points("", (3.0, 40_000.0), 20_001.5),)),),
        log=True,
    )
    lines: dict[float, list[tuple[float, float]]] = {}
    for _, begin, end, y in text_boxes(draw(chart)):
        lines.setdefault(y, []).append((begin, end))
    for boxes in lines.values():
        boxes.sort()
        assert all(left[1] < right[0] for left, right in pairwise(boxes))


@pytest.mark.parametrize(
    ("values", "expected"), [((1.0, 5000.0), "1,000"), ((0.97, 1.02), "1"), ((0.6, 1.3), "1.2")]
)
def test_logarithmic_axes_have_round_ticks(values: tuple[float, ...], expected: str) -> None:
    chart = Strips(title="", axis="", rows=(Row("", (Points("", values, values[0]),)),), log=True)
    assert expected in [words for words, *_ in text_boxes(draw(chart))]


def test_what_has_no_room_is_cut() -> None:
    assert fitted("short", 100) == "short"
    cut = fitted("x" * 100, 50)
    assert cut.endswith("…") and text_width(cut) <= 50


def test_the_documents_show_charts_as_they_are_drawn() -> None:
    drawings = sorted((Path(__file__).parents[3] / "docs" / "images").glob("*.svg"))
    assert drawings
    for path in drawings:
        assert_within(path.read_text(encoding="utf-8"))
        assert path.stat().st_size < 30_000, path.name
