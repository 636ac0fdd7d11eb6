"""Whatever a task leaves as its output, the text made of it is JSON that jsonb takes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.store.json_text import clean, storable

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_json_stays_json_without_nul(value: object) -> None:
    text = storable(json.dumps(value).encode())
    json.loads(text)
    assert "\\u0000" not in text
    text.encode()


@given(st.dictionaries(st.text(st.characters(min_codepoint=1, codec="utf-8")), st.integers(-(2**53), 2**53)))
def test_ordinary_json_is_unchanged(value: dict[str, int]) -> None:
    raw = json.dumps(value, ensure_ascii=False).encode()
    if b"\\u" not in raw:
        assert storable(raw) == raw.decode()


@given(st.binary(max_size=200))
def test_any_bytes_give_json(raw: bytes) -> None:
    json.loads(storable(raw))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (rb'"a\u0000b"', "a\N{REPLACEMENT CHARACTER}b"),
        (rb'{"k\u0000": 1}', {"k\N{REPLACEMENT CHARACTER}": 1}),
        (rb'"\ud800"', "?"),
        (rb'"\ud83d\ude00"', "\N{GRINNING FACE}"),
        (b"1e999", "inf"),
        (b"1" + b"0" * 400, "1" + "0" * 400),
    ],
)
def test_what_jsonb_refuses_is_mended(raw: bytes, expected: object) -> None:
    assert json.loads(storable(raw)) == expected


def test_what_is_no_json_leaves_a_note() -> None:
    assert json.loads(storable(b"not json"))["bytes"] == 8
    assert "unreadable_output" in json.loads(storable(b"[" * 100_000))


@given(st.text(st.characters()))
def test_clean_text_can_be_stored(text: str) -> None:
    assert "\x00" not in clean(text)
    clean(text).encode()
