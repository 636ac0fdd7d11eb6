"""Schemas of tools: what is no schema is refused at registration, and no value takes long to be checked."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.builtin import BUILT_IN
from bus.schemas import CHECKS_MAX, Overrun, broken
from coordinator.schemas import input_faults, output_fault, schema_faults

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([1.0, 0.5]) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=8,
)
SCHEMAS = st.recursive(
    st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["object", "array", "string", "integer", "number", "null", "boolean"]),
            "minimum": st.integers(-2, 2),
            "pattern": st.sampled_from(["^a", "b$", "(a|b)+"]),
            "uniqueItems": st.booleans(),
            "required": st.lists(st.sampled_from("ab"), unique=True, max_size=2),
            "enum": st.lists(st.integers(-2, 2), min_size=1, max_size=3),
        },
    ),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
            "items": inner,
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
            "additionalProperties": st.booleans(),
        },
    ),
    max_leaves=5,
)


@given(SCHEMAS, VALUES)
def test_the_verdict_is_that_of_the_library(schema: dict[str, Any], value: object) -> None:
    assert schema_faults(schema, "/s") == []
    assert bool(broken(schema, value)) != jsonschema.Draft202012Validator(schema).is_valid(value)


def test_the_schemas_of_the_built_in_tools_are_sound() -> None:
    for each in BUILT_IN:
        assert schema_faults(each.input, "/i") == [] == schema_faults(each.output, "/o"), each.name


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"items": schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "place", "words"),
    [
        ([1], "/s", "is an object"),
        ({"type": "strin"}, "/s/type", "breaks the rule"),
        ({"properties": -(2**63)}, "/s/properties", "breaks the rule `type`"),
        ({"$ref": "https://example.org/s"}, "/s/$ref", "out of the schema"),
        ({"properties": {"a": {"$ref": "#/$defs/b"}}}, "/s/properties/a/$ref", "refers to nothing"),
        ({"$id": "x"}, "/s/$id", "not taken"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "/s/$schema", "another dialect"),
        ({"patternProperties": {}}, "/s/patternProperties", "not taken"),
        ({"pattern": "(?=a)"}, "/s/pattern", "linear time"),
        ({"items": [{"pattern": "("}]}, "/s/items/0/pattern", "linear time"),
        ({"pattern": "a" * 600}, "/s/pattern", "at most 512"),
        (nested(40), None, "nested more than"),
        ({"description": "x" * 70_000}, "/s", "bytes"),
    ],
)
def test_what_is_no_schema_is_refused_with_its_place(schema: Any, place: str | None, words: str) -> None:
    first = schema_faults(schema, "/s")[0]
    assert first.code == "E_SCHEMA" and words in first.message
    assert place is None or first.field == place


def test_names_of_properties_are_no_keywords_and_examples_no_schemas() -> None:
    odd = {
        "properties": {"$id": {}, "pattern": {"type": "string"}},
        "examples": [{"$ref": "x", "pattern": "("}],
    }
    assert schema_faults(odd, "/s") == []


@pytest.mark.contract("S4.50")
async def test_faults_of_an_input_have_pointer_and_rule() -> None:
    schema = {
        "type": "object",
        "properties": {"text": {"type": "string", "minLength": 1}},
        "required": ["text"],
    }
    for value, rule in ((None, "type"), ("", "minLength"), (5, "type")):
        (fault,) = await input_faults(schema, {"text": value}, "/input")
        assert (fault.code, fault.field) == ("E_INPUT", "/input/text") and f"`{rule}`" in fault.message


@pytest.mark.parametrize(
    ("schema", "value", "expected", "got"),
    [
        ({"minProperties": 1}, {}, "at least 1 keys", "0"),
        ({"maxProperties": 1}, {"a": 1, "b": 2}, "at most 1 keys", "2"),
        ({"minItems": 3}, [1], "at least 3 items", "1"),
        ({"maxItems": 0}, [1], "at most 0 items", "1"),
    ],
)
def test_what_is_counted_is_told_as_a_count(
    schema: dict[str, Any], value: Any, expected: str, got: str
) -> None:
    (found,) = broken(schema, value)
    assert (found.expected, found.got) == (expected, got)


async def test_checking_is_bounded_whatever_the_schema() -> None:
    again = {"type": "array", "items": {"anyOf": [{"$ref": "#"}, {"$ref": "#"}, {"type": "number"}]}}
    value: Any = "x"
    for _ in range(25):
        value = [value]
    assert schema_faults(again, "/s") == []
    with pytest.raises(Overrun, match=str(CHECKS_MAX)):
        broken(again, value)
    with pytest.raises(Overrun, match="circles"):
        broken({"$ref": "#"}, 1)
    (fault,) = await input_faults(again, value, "/input")
    assert fault.code == "E_INPUT" and "cannot be checked" in fault.message
    slow = {"pattern": "(a+)+$"}
    assert [each.rule for each in broken(slow, "a" * 100_000 + "b")] == ["pattern"]


async def test_the_loop_goes_on_while_much_is_checked() -> None:
    schema = {"type": "array", "items": {"type": "integer"}}
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(turn())
    assert await input_faults(schema, list(range(20_000)), "/input") == []
    beside.cancel()
    assert turns > 5


async def test_outputs_are_judged_and_what_takes_too_long_is_let_through() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    assert await output_fault(schema, b'{"n":1}') == ""
    assert "E_OUTPUT: /n breaks the rule `type`" in await output_fault(schema, b'{"n":"1"}')
    assert "no output" in await output_fault(schema, None)
    assert "no JSON" in await output_fault(schema, b"{")
    huge = json.dumps(list(range(60_000))).encode()
    assert await output_fault({"items": {"type": "string", "minLength": 1}, "maxItems": 9}, b"[1]") != ""
    assert await output_fault({"items": {"type": "integer", "minimum": 0}}, huge) == ""
