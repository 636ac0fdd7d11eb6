"""Answers as JSON documents for people's scripts: every field by name, stable."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct


def document(value: object) -> Any:
    """`value` as plain JSON types. Unlike on the wire, a `Resources` is an object with named amounts."""
    match value:
        case Struct():
            return {name: document(getattr(value, name)) for name in value.__struct_fields__}
        case Mapping():
            return {str(key): document(item) for key, item in value.items()}
        case list() | tuple():
            return [document(item) for item in value]
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case _:
            return msgspec.to_builtins(value)
