"""Cursors: what was written is read again, and nothing else is."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.fields import JOB_FIELDS, NODE_FIELDS
from bus.filter import Order
from coordinator.store import listing as module
from coordinator.store.listing import Counted, CursorError, Listing, Position, read_cursor, write_cursor

BY_NAME = Order("name")
POSITION = Position(1000.0, "train", 42, Counted(3, {"failed": 3}))


def test_a_cursor_is_read_again() -> None:
    listing = Listing(scope="s", conditions=(), order=BY_NAME, limit=1, now_s=1000.0)
    text = listing.cursor("train", 42, POSITION.counted)
    assert text.replace("-", "").replace("_", "").isalnum()
    assert read_cursor(text, "s", BY_NAME, JOB_FIELDS) == POSITION


@pytest.mark.parametrize(
    ("field", "key"),
    [("number", 5), ("ended", 10.5), ("ended", None), ("exit", None), ("held", True), ("runtime", -0.5)],
)
def test_each_kind_of_key_is_kept(field: str, key: Any) -> None:
    position = Position(0.0, key, 1)
    assert read_cursor(write_cursor(position, "s"), "s", Order(field), JOB_FIELDS) == position


@pytest.mark.parametrize(
    ("field", "position"),
    [
        ("name", Position(1.0, 5, 1)),
        ("name", Position(1.0, None, 1)),
        ("name", Position(1.0, "a\0b", 1)),
        ("number", Position(1.0, "5", 1)),
        ("number", Position(1.0, 5.0, 1)),
        ("number", Position(1.0, 2**63, 1)),
        ("number", Position(1.0, True, 1)),
        ("number", Position(1.0, 5, -1)),
        ("number", Position(1.0, 5, "a\0b")),
        ("submitted", Position(1.0, 5, 1)),
        ("submitted", Position(1.0, 1e300, 1)),
        ("submitted", Position(1.0, float("nan"), 1)),
        ("held", Position(1.0, 1, 1)),
        ("number", Position(1e300, 5, 1)),
        ("number", Position(float("nan"), 5, 1)),
        ("number", Position(-1.0, 5, 1)),
    ],
)
def test_a_made_up_position_never_reaches_the_database(field: str, position: Position) -> None:
    """The digest keeps nobody from making one: types and ranges are checked besides."""
    with pytest.raises(CursorError):
        read_cursor(write_cursor(position, "s"), "s", Order(field), JOB_FIELDS)


@pytest.mark.parametrize("scope", ["", "S", "s "])
def test_a_cursor_serves_one_list(scope: str) -> None:
    with pytest.raises(CursorError, match="another"):
        read_cursor(write_cursor(POSITION, "s"), scope, BY_NAME, JOB_FIELDS)


def test_a_cursor_of_another_shape_is_none() -> None:
    body = msgspec.msgpack.encode({"a": 1})
    text = base64.urlsafe_b64encode(module._digest(body, "s") + body).decode()
    for bad in (text, "x" * 5000, "5", "=", "ä", " "):
        with pytest.raises(CursorError):
            read_cursor(bad, "s", BY_NAME, JOB_FIELDS)


@given(st.text(max_size=80), st.integers(0, 40), st.characters())
def test_a_garbled_cursor_is_refused(text: str, place: int, other: str) -> None:
    good = write_cursor(POSITION, "s")
    garbled = good[:place] + other + good[place + 1 :]
    for bad in {text, garbled} - {good}:
        try:
            assert read_cursor(bad, "s", BY_NAME, JOB_FIELDS) == POSITION  # the last bits may mean nothing
        except CursorError:
            continue


def test_fractions_order_nodes() -> None:
    position = Position(1.0, 0.5, "n1")
    assert read_cursor(write_cursor(position, "s"), "s", Order("load"), NODE_FIELDS) == position
