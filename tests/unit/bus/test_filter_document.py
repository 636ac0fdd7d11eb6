"""docs/filter.md lists the fields that there are."""

from __future__ import annotations

import pytest

from bus.fields import TASK_FIELDS
from bus.filter import CONDITIONS_MAX, LENGTH_MAX, parse
from tests.documents.drawing import DOCS
from tests.documents.filters import TABLES, drawn


@pytest.mark.parametrize("title", TABLES)
def test_the_fields_are_those_of_the_code(title: str) -> None:
    text = (DOCS / "filter.md").read_text()
    assert f"### {title}\n\n{drawn(TABLES[title])}" in text, "make documents"


def test_the_limits_are_those_of_the_code() -> None:
    text = (DOCS / "filter.md").read_text()
    assert f"At most {LENGTH_MAX:,} characters and {CONDITIONS_MAX} conditions" in text


def test_the_example_is_read() -> None:
    example = (DOCS / "filter.md").read_text().split("```")[1].strip()
    assert len(parse(example, TASK_FIELDS, me="ann", now_s=0.0)) == 4
