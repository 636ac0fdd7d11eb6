"""JSON that came from a task, as PostgreSQL's jsonb can hold it.

jsonb refuses what JSON allows: NUL in a string, half a surrogate pair, numbers beyond numeric. One such
output must not make the batch of a thousand others unwritable, so it is mended, or replaced by a note.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

_SUSPICIOUS = re.compile(rb"\\u0000|\\u[dD][89aAbBcCdDeEfF]|[eE][+-]?\d{3,}|\d{300,}")

_ENCODER = msgspec.json.Encoder()


def storable(raw: bytes) -> str:
    """`raw` as text that jsonb accepts: unchanged where it can be."""
    try:
        if _SUSPICIOUS.search(raw) is None:
            msgspec.json.decode(raw)
            return raw.decode()
        return _ENCODER.encode(_mended(json.loads(raw))).decode()
    except (ValueError, RecursionError) as fault:  # DecodeError and UnicodeError are ValueErrors
        return json.dumps({"unreadable_output": clean(str(fault))[:200], "bytes": len(raw)})


def clean(text: str) -> str:
    """`text` without what no PostgreSQL text may hold: NUL and lone surrogates."""
    if "\x00" in text:
        text = text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-8", "replace").decode()
    return text


def _mended(value: Any) -> Any:
    match value:
        case str():
            return clean(value)
        case list():
            return [_mended(item) for item in value]
        case dict():
            return {clean(key): _mended(item) for key, item in value.items()}
        case float() if value != value or value in (float("inf"), float("-inf")):
            return str(value)
        case int() if not isinstance(value, bool) and not -(2**63) <= value < 2**64:
            return str(value)
        case _:
            return value
