"""Templates of tools: a closed set of placeholders, filled in once, and nothing else is touched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.templates import PLACEHOLDERS, TemplateError, keys, render, unknown

VALUES = {name: f"<{name}>" for name in PLACEHOLDERS}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("{input}", "<input>"),
        ("a{item}-{index}", "a<item>-<index>"),
        ("{input.n}", "3"),
        ("{input.x}{input.flag}", "1.5true"),
        ('{"a": 1}', '{"a": 1}'),
        ("{}", "{}"),
        ("${HOME} $(id)", "${HOME} $(id)"),
        ("{input.text}", "{output} $(rm -rf /)"),
    ],
)
def test_placeholders_are_filled_in_once(word: str, expected: str) -> None:
    given_ = {"n": 3, "x": 1.5, "flag": True, "text": "{output} $(rm -rf /)"}
    assert render((word,), VALUES, given_) == (expected,)


@pytest.mark.parametrize(
    ("word", "given_", "said"),
    [
        ("{input.a}", {}, "input/a is missing"),
        ("{input.a}", {"a": [1]}, "no text, number or boolean"),
        ("{input.a}", {"a": "x\0"}, "NUL"),
    ],
)
def test_what_cannot_be_filled_in_is_named(word: str, given_: dict[str, object], said: str) -> None:
    with pytest.raises(TemplateError, match=said):
        render((word,), VALUES, given_)
    with pytest.raises(TemplateError, match="no item"):
        render(("{item}",), {}, {})


def test_mistyped_placeholders_and_keys_are_seen() -> None:
    assert unknown("{inptu} {input.a} {item} {Item} {a b}") == ["inptu"]
    assert keys(("{input.a}", "x{input.b}{input}")) == {"a", "b"}


@given(st.text(), st.text(st.characters(exclude_characters="\0")))
def test_whatever_a_value_is_it_comes_through_unchanged(around: str, value: str) -> None:
    around = around.replace("{", "(")
    assert render((f"{around}{{input.v}}{around}",), {}, {"v": value}) == (f"{around}{value}{around}",)
