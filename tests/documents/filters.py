"""The tables of docs/filter.md, drawn from the code."""

from __future__ import annotations

from collections.abc import Mapping

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
