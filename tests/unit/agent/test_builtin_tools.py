"""The built-in tools: known answers to known inputs, numpy as the referee of statistics, clear faults."""

from __future__ import annotations

import json
import math
import os
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.tools import table
from agent.tools.data_visualization import ticks
from agent.tools.registry import TOOLS
from agent.tools.text_analysis import characters
from bus.builtin import BUILT_IN

GOLDEN = Path(__file__).with_name("golden_tools")
FINITE = st.floats(-1e6, 1e6, allow_nan=False)


def run(name: str, **given_: Any) -> dict[str, Any]:
    return TOOLS[name](given_, ())


def test_what_the_registry_lists_is_what_agents_have() -> None:
    assert {each.name for each in BUILT_IN} == set(TOOLS)
    assert {each.merge for each in BUILT_IN if each.merge} <= set(TOOLS)


@pytest.mark.parametrize("case", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_known_inputs_have_known_answers(case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CORRAL_ARTIFACTS", raising=False)
    known = json.loads(case.read_text(encoding="utf-8"))
    answer = TOOLS[known["tool"]](known["input"], ())
    assert json.loads(json.dumps(answer)) == known["output"]


@given(st.lists(FINITE, min_size=1, max_size=60))
def test_statistics_are_those_of_numpy(values: list[float]) -> None:
    told = run("data_analysis", data=values)["columns"]["value"]
    for name, expected in {
        "mean": np.mean(values),
        "median": np.median(values),
        "q1": np.percentile(values, 25),
        "q3": np.percentile(values, 75),
        "stdev": np.std(values, ddof=1) if len(values) > 1 else 0.0,
        "min": min(values),
        "max": max(values),
        "sum": math.fsum(values),
    }.items():
        assert told[name] == pytest.approx(expected, rel=1e-9, abs=1e-6), name


@given(st.lists(st.tuples(FINITE, FINITE), min_size=3, max_size=40))
def test_correlation_is_numpys(pairs: list[tuple[float, float]]) -> None:
    one, other = [a for a, _ in pairs], [b for _, b in pairs]
    r = run("data_analysis", data={"a": one, "b": other})["correlation"]["a"]["b"]
    if np.std(one) > 1e-3 and np.std(other) > 1e-3:
        assert r == pytest.approx(np.corrcoef(one, other)[0, 1], abs=1e-6)


@given(st.lists(st.one_of(st.none(), FINITE, st.text(max_size=3)), min_size=1, max_size=30))
def test_processing_keeps_its_promises_whatever_the_data(values: list[Any]) -> None:
    steps = [{"op": "drop_gaps"}, {"op": "deduplicate"}, {"op": "sort"}]
    answer = run("data_processing", data=values, steps=steps)
    left = answer["data"]
    assert None not in left and answer["rows"] == len(left) == len({(str(type(v)), v) for v in left})
    assert answer["rows"] + answer["removed"] == len(values)
    again = run("data_processing", data=left or [0], steps=steps)
    assert again["data"] == (left or [0]), "cleaning what is clean changes nothing"


def test_normalised_numbers_lie_between_0_and_1() -> None:
    steps = [{"op": "normalise", "column": "x"}]
    answer = run("data_processing", data={"x": [5, None, 15, 10], "y": [1, 2, 3, 4]}, steps=steps)
    assert answer["data"] == {"x": [0.0, None, 1.0, 0.5], "y": [1, 2, 3, 4]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("สวัสดี", ["ส", "วั", "ส", "ดี"]),
        ("น้ำ", ["น้ำ"]),
        ("👩‍👩‍👧👍🏽🇹🇭🇫🇷", ["👩‍👩‍👧", "👍🏽", "🇹🇭", "🇫🇷"]),
        ("e\u0301a\r\nb", ["e\u0301", "a", "\r\n", "b"]),
    ],
)
def test_characters_are_what_people_count(text: str, expected: list[str]) -> None:
    assert list(characters(text)) == expected


@given(st.text(max_size=200))
def test_characters_lose_nothing(text: str) -> None:
    assert "".join(characters(text)) == text


@pytest.mark.parametrize("kind", ["bar", "line", "scatter", "histogram"])
def test_a_plot_is_sound_xml_in_which_nothing_of_the_users_is_markup(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CORRAL_ARTIFACTS", raising=False)
    title = '</text><script>alert("x")</script>\x1b[31m'
    answer = run(
        "data_visualization", data={"x": [1, 2, 3], "y": [2.5, -1, 4]}, kind=kind, x="x", title=title
    )
    root = ET.parse(answer["file"]).getroot()
    assert {each.tag.rpartition("}")[2] for each in root.iter()} <= {
        "svg", "rect", "line", "text", "circle", "polyline",
    }  # fmt: skip
    assert os.path.getsize(answer["file"]) == answer["bytes"] and "\x1b" not in answer["svg"]


def test_a_plot_lies_where_artifacts_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work, artifacts = tmp_path / "work", tmp_path / "artifacts"
    work.mkdir()
    artifacts.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("CORRAL_ARTIFACTS", str(artifacts))
    answer = run("data_visualization", data=[3, 1, 2])
    assert (artifacts / answer["file"]).read_text() == answer["svg"]
    assert list(work.iterdir()) == []


@given(FINITE, st.floats(1e-6, 1e6))
def test_ticks_lie_within_and_are_few(low: float, width: float) -> None:
    found = ticks(low, low + width)
    assert len(found) <= 8
    slack = width * 1e-6 + abs(low) * 1e-9
    assert all(low - slack <= each <= low + width + slack for each in found)


@pytest.mark.parametrize(
    ("tool", "given_", "words"),
    [
        ("text_analysis", {"text": None}, "must be a text"),
        ("text_analysis", {"text": "a", "keywords": True}, "1 to 100"),
        ("code_analysis", {"code": 1}, "must be a text"),
        ("code_analysis", {"code": "", "language": "cobol"}, "python"),
        ("data_analysis", {"data": []}, "must be numbers"),
        ("data_analysis", {"data": [1, float("inf")]}, "data/1 must be a finite"),
        ("data_analysis", {"data": {"a": [1], "b": []}}, "different lengths"),
        ("data_analysis", {"data": [1], "group_by": "b"}, "no column 'b'"),
        ("data_processing", {"data": [1], "steps": [{"op": "nope"}]}, "steps/0/op must be one of"),
        ("data_processing", {"data": ["a"], "steps": [{"op": "normalise", "column": "value"}]}, "no numbers"),
        ("data_visualization", {"data": ["a"]}, "no numbers to plot"),
        ("data_visualization", {"data": [1], "kind": "pie"}, "kind must be one of"),
        ("data_visualization", {"data": {"a": ["x"], "b": [1]}, "x": "a", "kind": "scatter"}, "numbers in x"),
    ],
)
def test_what_cannot_be_done_is_said(tool: str, given_: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TOOLS[tool](given_, ())


def test_code_that_does_not_parse_is_a_finding() -> None:
    answer = run("code_analysis", code="def f(:\n")
    assert not answer["valid"] and answer["findings"][0]["rule"] == "syntax_error"
    deep = run("code_analysis", code="(" * 5_000 + ")" * 5_000)
    assert not deep["valid"]


def test_a_csv_file_is_read_with_gaps_and_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('\ufeffname,n\nann,1\n"b,c",\nann,2.5\n', encoding="utf-8")
    assert table.read(str(path)).write() == [
        {"name": "ann", "n": 1},
        {"name": "b,c", "n": None},
        {"name": "ann", "n": 2.5},
    ]
    path.write_text("a,b\n1\n")
    with pytest.raises(ValueError, match=r"a\.csv:2: 1 fields, expected 2"):
        table.read(str(path))
