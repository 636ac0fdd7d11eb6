"""JSON Schemas (2020-12) of tools and task types: whether one can be used, and what it says of a value.

Both take bounded time. A schema is small, refers only to itself and has patterns of linear time (RE2);
`bus.schemas` checks values.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from itertools import islice
from typing import Any

import re2
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from bus.refusal import quote
from bus.schemas import FAULTS_MAX, QUICK_MAX, Broken, Json, Overrun, broken, compiled, escaped, pointer_of
from coordinator.core.effects import Fault

SCHEMA_BYTES_MAX = 64 * 1024
DEPTH_MAX = 24
PATTERN_MAX = 512
DIALECT = "https://json-schema.org/draft/2020-12/schema"

log = logging.getLogger(__name__)

_REFUSED = {
    "$id": "references stay within the schema",
    "$anchor": "name it in $defs",
    "$dynamicRef": "use $ref",
    "$dynamicAnchor": "use $defs",
    "$vocabulary": "the vocabulary is that of 2020-12",
    "patternProperties": "use propertyNames with a pattern",
}
_LITERAL = frozenset({"const", "enum", "default", "examples"})
"""Keywords whose values are no schemas: what stands in them is looked at by nobody."""

_one_at_a_time = asyncio.Lock()


def schema_faults(schema: object, field: str) -> list[Fault]:
    """Why `schema` cannot be used; empty if it can."""
    if not isinstance(schema, dict):
        return [_fault(field, "a schema is an object", got=quote(schema))]
    if len(json.dumps(schema, ensure_ascii=False).encode("utf-8", "replace")) > SCHEMA_BYTES_MAX:
        return [_fault(field, f"more than {SCHEMA_BYTES_MAX} bytes")]
    dialect = schema.get("$schema", DIALECT)
    if dialect not in (DIALECT, f"{DIALECT}#"):
        return [_fault(f"{field}/$schema", "another dialect", got=quote(dialect), expected=DIALECT)]
    found = list(islice(_walked(schema, schema, field, 0), FAULTS_MAX))
    if found:
        return found
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        where = field + pointer_of(error.absolute_path)
        return [_fault(where, f"breaks the rule `{error.validator}`", got=quote(error.instance))]
    return []


async def input_faults(schema: Json, value: object, field: str) -> list[Fault]:
    """E_INPUT for each rule that the input of a task breaks."""
    try:
        found = await _beside(schema, value)
    except Overrun as error:
        hint = "give large data as a file"
        return [Fault(code="E_INPUT", message=f"cannot be checked: {error}", field=field, hint=hint)]
    return [
        Fault(
            code="E_INPUT",
            message=f"{each.pointer or 'the input'} breaks the rule `{each.rule}` of the tool's schema",
            field=field + each.pointer,
            got=each.got,
            expected=each.expected,
        )
        for each in found
    ]


async def output_fault(schema: Json, text: bytes | None) -> str:
    """What is wrong with the output that a task left, as one line; "" if nothing is.

    One that takes too long to be checked has no fault: its task did all that can be known of it.
    """
    if text is None:
        return "E_OUTPUT: the task left no output"
    try:
        found = await _beside(schema, json.loads(text))
    except (ValueError, RecursionError):
        return "E_OUTPUT: the output is no JSON"
    except Overrun as error:
        log.warning("an output of %d bytes is not checked: %s", len(text), error)
        return ""
    if not found:
        return ""
    first = found[0]
    where = first.pointer or "/"
    return f"E_OUTPUT: {where} breaks the rule `{first.rule}`: got {first.got}, expected {first.expected}"


async def _beside(schema: Json, value: object) -> list[Broken]:
    """At once where that is quick, else in a thread, one after the other: the loop goes on meanwhile."""
    try:
        return broken(schema, value, checks=QUICK_MAX)
    except Overrun:
        async with _one_at_a_time:
            return await asyncio.to_thread(broken, schema, value)


def _walked(schema: object, root: Json, field: str, depth: int) -> Iterator[Fault]:
    if depth > DEPTH_MAX:
        yield _fault(field, f"nested more than {DEPTH_MAX} levels")
        return
    if isinstance(schema, list):
        for position, each in enumerate(schema):
            yield from _walked(each, root, f"{field}/{position}", depth + 1)
    if not isinstance(schema, dict):
        return
    for key, value in schema.items():
        where = f"{field}/{escaped(key)}"
        named = field.rpartition("/")[2] in ("properties", "$defs", "dependentSchemas")
        if not named and key in _REFUSED:
            yield _fault(where, f"{key} is not taken", expected=_REFUSED[key])
        elif not named and key == "$ref":
            yield from _reference(value, root, where)
        elif not named and key == "pattern":
            yield from _pattern(value, where)
        elif named or key not in _LITERAL:
            yield from _walked(value, root, where, depth + 1)


def _reference(value: object, root: Json, where: str) -> Iterator[Fault]:
    if not isinstance(value, str) or not (value == "#" or value.startswith("#/")):
        yield _fault(
            where, "a reference out of the schema", got=quote(value), expected='"#" or "#/$defs/NAME"'
        )
        return
    place: Any = root
    for part in value.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(place, dict) or key not in place:
            yield _fault(where, "it refers to nothing", got=quote(value))
            return
        place = place[key]


def _pattern(value: object, where: str) -> Iterator[Fault]:
    if not isinstance(value, str) or len(value) > PATTERN_MAX:
        yield _fault(where, f"a pattern has at most {PATTERN_MAX} characters", got=quote(value))
        return
    try:
        compiled(value)
    except re2.error as error:
        yield _fault(where, f"not a pattern of linear time: {_reason(error)}", got=quote(value))


def _reason(error: Exception) -> str:
    said = error.args[0] if error.args else ""
    return (said.decode(errors="replace") if isinstance(said, bytes) else str(said))[:120]


def _fault(field: str, message: str, *, got: str = "", expected: str = "") -> Fault:
    return Fault(code="E_SCHEMA", message=message, field=field, got=got, expected=expected)
