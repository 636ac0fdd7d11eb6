"""The form of a call out of a JSON Schema: what its lines hold, what is wrong, the same input read back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.builtin import BUILT_IN
from bus.registry import ToolEntry
from bus.schemas import broken
from tui.client.fake_kept import RENDER
from tui.view.calls import LINES_MAX, called, lines_of, text_of, texts_of, value_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.sampled_from([0.5, 1.0]) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)
KINDS = st.sets(
    st.sampled_from(["string", "integer", "number", "boolean", "array", "object", "null"]), min_size=1
)


def tool(schema: dict[str, Any] | None, *command: str) -> ToolEntry:
    return ToolEntry(
        name="t", version="1.0.0", current=True, description="", category="processing", type="tool",
        enabled=True, command=list(command), input_schema=schema,
    )  # fmt: skip


def read(entry: ToolEntry, **texts: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Lines filled in by key; `more` is the last one."""
    lines = lines_of(entry)
    found = called(entry, lines, [texts.pop(line.key or "more", "") for line in lines])
    assert not texts, "no such line"
    return found.given, found.faults


def test_the_keys_that_are_needed_come_first_with_what_they_take() -> None:
    lines = lines_of(RENDER)
    assert [line.label for line in lines] == [
        "scene*", "frame*", "engine", "samples", "transparent", "layers",
    ]  # fmt: skip
    assert [line.hint for line in lines][:3] == [
        "text, a file on the node", "a whole number, at least 1, at most 9999",
        "cycles | eevee, default cycles",
    ]  # fmt: skip


def test_what_is_typed_becomes_what_the_schema_takes() -> None:
    given, faults = read(
        RENDER, scene="7", frame="7", engine="eevee", transparent="true", layers='["a", "b"]'
    )
    assert faults == {}
    assert given == {
        "scene": "7", "frame": 7, "engine": "eevee", "transparent": True, "layers": ["a", "b"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "text", "fault"),
    [
        ("frame", "many", "expected a whole number"),
        ("frame", "1.5", "expected a whole number"),
        ("frame", "NaN", "expected a whole number"),
        ("frame", "0", "at least 1"),
        ("frame", "10000", "at most 9999"),
        ("engine", "povray", 'expected one of "cycles", "eevee"'),
        ("transparent", "yes", "expected true or false"),
        ("layers", "a, b", "expected a list such as [1, 2]"),
        ("layers", "[1]", "0: expected string"),
        ("layers", "[" * 100_000, "expected a list such as [1, 2]"),
    ],
)
def test_what_is_wrong_is_said_at_its_line(key: str, text: str, fault: str) -> None:
    _, faults = read(RENDER, **{"scene": "a", "frame": "1", key: text})
    assert faults == {key: fault}


def test_what_is_needed_is_said_of_each_line() -> None:
    assert read(RENDER) == ({}, {"scene": "is needed", "frame": "is needed"})


def test_a_command_says_what_is_needed_where_no_schema_does() -> None:
    entry = tool(None, "blur", "{input.radius}", "{input.file}")
    assert [line.label for line in lines_of(entry)] == ["file*", "radius*", "more"]
    assert read(entry, file="a b", radius="3") == ({"file": "a b", "radius": 3}, {})


def test_other_keys_are_typed_into_the_last_line() -> None:
    entry = tool({"properties": {"a": {"type": "integer"}}})
    assert read(entry, a="1", more='{"b": [2]}') == ({"a": 1, "b": [2]}, {})
    assert read(entry, a="1", more='{"a": 2}')[1] == {"": "a has a line of its own"}
    assert read(entry, more="[1]")[1] == {"": 'expected an object such as {"key": 1}'}


def test_a_schema_of_a_thousand_keys_has_few_lines_and_one_for_the_rest() -> None:
    many = {f"k{number}": {"type": "integer"} for number in range(1_000)}
    entry = tool({"properties": many, "additionalProperties": False})
    assert len(lines_of(entry)) == LINES_MAX + 1
    assert read(entry, more='{"k999": 1}') == ({"k999": 1}, {})
    assert read(entry, more='{"k999": "x"}')[1] == {"": "expected integer"}


def test_references_and_choices_of_types_are_followed_but_not_for_ever() -> None:
    entry = tool(
        {
            "$defs": {"n": {"type": "integer", "minimum": 3}, "loop": {"$ref": "#/$defs/loop"}},
            "properties": {
                "n": {"$ref": "#/$defs/n"},
                "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
                "loop": {"$ref": "#/$defs/loop"},
                "odd": True,
            },
        }
    )
    hints = {line.key: line.hint for line in lines_of(entry)}
    assert hints["n"] == "a whole number, at least 3"
    assert hints["either"] == "text or a whole number"
    assert hints["loop"] == "any value" == hints["odd"]
    assert read(entry, n="2")[1] == {"n": "at least 3"}
    assert read(entry, either="5x", odd="null") == ({"either": "5x", "odd": None}, {})


def test_what_takes_long_to_check_is_left_to_the_coordinator() -> None:
    entry = tool({"properties": {"a": {"items": {"type": "string"}}}})
    assert read(entry, a=json.dumps([1] * 5)) != ({}, {})
    given, faults = read(entry, a=json.dumps(["x"] * 3_000))
    assert len(given["a"]) == 3_000 and faults == {}


@given(JSON, KINDS)
def test_a_value_is_read_back_from_its_text(value: Any, kinds: set[str]) -> None:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    allowed = frozenset(kinds | {names.get(type(value), "null")})
    assert value_of(text_of(value, allowed), allowed) == value
    assert value_of(text_of(value, None), None) == value


def test_an_input_that_was_refused_fills_its_form_again() -> None:
    entry = tool({"properties": {"a": {"type": ["string", "integer"]}, "b": {}}})
    lines = lines_of(entry)
    before = {"a": "5", "b": {"c": 1}, "d": None}
    texts = texts_of(lines, before)
    assert texts == ['"5"', '{"c": 1}', '{"d": null}']
    assert called(entry, lines, texts).given == before


@pytest.mark.parametrize("each", BUILT_IN, ids=lambda each: each.name)
def test_the_built_in_tools_have_forms_that_agree_with_their_schemas(each: Any) -> None:
    entry = tool(each.input)
    lines = lines_of(entry)
    found = called(entry, lines, ["" for _ in lines])
    assert bool(found.faults) == bool(broken(each.input, {})), each.name
