"""Answers as JSON documents for people's scripts: every field by name, stable."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from tui.view.instants import rfc3339

INSTANTS = frozenset(
    {
        "ended_at", "assigned_at", "at", "created_at", "decided_at", "expires_at", "revoked_at", "since",
        "started_at", "submitted_at", "used_at",
    }
)  # fmt: skip
"""Fields that hold seconds of the Unix epoch on the wire; a document has them as RFC 3339 in UTC."""


def document(value: object) -> Any:
    """`value` as plain JSON types.

    Unlike on the wire, a `Resources` is an object with named amounts, and instants are text. What a job or a
    node brought along (mappings) is left as it is, whatever its keys are called.
    """
    match value:
        case Struct():
            names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
            return {shown: _field(name, getattr(value, name)) for shown, name in names}
        case Mapping():
            return {str(key): document(item) for key, item in value.items()}
        case list() | tuple():
            return [document(item) for item in value]
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case _:
            return msgspec.to_builtins(value)


def _field(name: str, value: object) -> Any:
    if name in INSTANTS and isinstance(value, int | float):
        return rfc3339(value)
    return document(value)
