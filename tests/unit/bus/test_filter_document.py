"""docs/filter.md lists the fields that there are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from bus.fields import (
    ALL_TASK_FIELDS,
    AUDIT_FIELDS,
    EVENT_FIELDS,
    JOB_FIELDS,
    NODE_FIELDS,
    TASK_FIELDS,
    Field,
    Kind,
)
from bus.filter import CONDITIONS_MAX, LENGTH_MAX, parse

DOCUMENT = Path(__file__).parents[3] / "docs" / "filter.md"
HOLDS = {
    Kind.TEXT: "text",
    Kind.INTEGER: "a whole number",
    Kind.NUMBER: "a number",
    Kind.CPU: "cores",
    Kind.GPU: "GPUs",
    Kind.SIZE: "a size",
    Kind.RATE: "a rate",
    Kind.DURATION: "a duration",
    Kind.INSTANT: "an instant",
    Kind.FLAG: "yes, no",
}
TABLES = {
    "Jobs": JOB_FIELDS,
    "Tasks": TASK_FIELDS,
    "All tasks": {name: field for name, field in ALL_TASK_FIELDS.items() if name not in TASK_FIELDS},
    "Nodes": NODE_FIELDS,
    "Events": EVENT_FIELDS,
    "Audit": AUDIT_FIELDS,
}


def drawn(fields: Mapping[str, Field]) -> str:
    """The table that the document must have."""
    rows = ["| field | holds | |", "|---|---|---|"]
    for name, field in fields.items():
        held = ", ".join(field.choices) or HOLDS[field.kind]
        if field.optional:
            held += ", or none"
        rows.append(f"| `{name}` | {held} | {field.about} |")
    return "\n".join(rows) + "\n"


@pytest.mark.parametrize("title", TABLES)
def test_the_fields_are_those_of_the_code(title: str) -> None:
    assert f"### {title}\n\n{drawn(TABLES[title])}" in DOCUMENT.read_text()


def test_the_limits_are_those_of_the_code() -> None:
    text = DOCUMENT.read_text()
    assert f"At most {LENGTH_MAX:,} characters and {CONDITIONS_MAX} conditions" in text


def test_the_example_is_read() -> None:
    example = DOCUMENT.read_text().split("```")[1].strip()
    assert len(parse(example, TASK_FIELDS, me="ann", now_s=0.0)) == 4
