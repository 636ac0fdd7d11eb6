"""The tools equal `Counter` over the same text, whatever the text."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.tools.wordcount import wordcount, wordcount_merge


def expected(text: str) -> dict[str, object]:
    counts = Counter(re.findall(r"\w+", text.lower()))
    return {"words": counts.total(), "counts": dict(counts)}


@given(st.text())
def test_a_text_is_counted(text: str) -> None:
    assert wordcount({"text": text}, ()) == expected(text)


@given(st.lists(st.text(), max_size=5))
def test_a_merge_equals_counting_all_at_once(texts: list[str]) -> None:
    parts = [wordcount({"text": text}, ()) for text in texts]
    assert wordcount_merge({}, parts) == expected("\n".join(texts))


def test_a_file_with_broken_bytes_and_any_line_ends_is_counted(tmp_path: Path) -> None:
    data = "Straße ΟΔΟΣ\r\nὈδυσσεύς\rx_1 İ\n".encode() + b"caf\xe9 \xff\n"
    (tmp_path / "text").write_bytes(data)
    assert wordcount({"item": str(tmp_path / "text")}, ()) == expected(data.decode(errors="replace"))


@pytest.mark.parametrize("given_", [{}, {"item": 1}, {"text": None}])
def test_another_input_is_refused(given_: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        wordcount(given_, ())


def test_what_is_no_count_cannot_be_merged() -> None:
    with pytest.raises(ValueError, match="no word count"):
        wordcount_merge({}, [{"x": 1}])
