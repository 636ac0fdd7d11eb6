"""What a list is asked for, once it is understood, and the cursor that leads from page to page.

A cursor holds the place where the page ended, the instant that ages are counted from, and what was counted
for the first page: so a list is counted once, and its pages fit together however long they are read. It is
bound to what was asked: with another filter or order it is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from bus.bulk import revision_of
from bus.fields import Field, Kind
from bus.filter import Condition, Order, Value

_DIGEST_BYTES = 9
_INSTANT_MAX = 1e11
_INT_MAX = 2**63 - 1
_CURSOR_MAX = 4096


class CursorError(Exception):
    """Not a cursor, or that of another list."""


class Counted(Struct, frozen=True, array_like=True):
    """How much a filter lets through, in all and by state, and who: a digest of them, in no order.

    Not `exact`: at least so much.
    """

    total: int = 0
    states: dict[str, int] = {}
    exact: bool = True
    digest: int = 0

    @property
    def revision(self) -> int:
        """Names exactly these, see `bus.bulk`; 0: not all of them are known."""
        return revision_of(total=self.total, digest=self.digest) if self.exact else 0


class Position(Struct, frozen=True, array_like=True):
    """The end of a page: its last row's key in the list's order, and what tells rows of one key apart."""

    now_s: float
    key: Value
    tie: int | str
    counted: Counted | None = None


class Listing(Struct, frozen=True, kw_only=True):
    """A page that is wanted. `scope` says what is listed, for whom and how: cursors are bound to it."""

    scope: str
    conditions: tuple[Condition, ...]
    order: Order
    limit: int
    now_s: float
    after: Position | None = None

    def cursor(self, key: Value, tie: int | str, counted: Counted | None = None) -> str:
        """The cursor of a page that ends there."""
        return write_cursor(Position(self.now_s, key, tie, counted), self.scope)


def write_cursor(position: Position, scope: str) -> str:
    """Text for a client to send back."""
    body = msgspec.msgpack.encode(position)
    return base64.urlsafe_b64encode(_digest(body, scope) + body).decode().rstrip("=")


def read_cursor(text: str, scope: str, order: Order, fields: Mapping[str, Field]) -> Position:
    """The position that `text` stands for. Raises CursorError."""
    try:
        if len(text) > _CURSOR_MAX:
            raise ValueError
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        position = msgspec.msgpack.decode(raw[_DIGEST_BYTES:], type=Position)
    except (ValueError, binascii.Error, msgspec.DecodeError):
        raise CursorError("the cursor cannot be read") from None
    if raw[:_DIGEST_BYTES] != _digest(raw[_DIGEST_BYTES:], scope):
        raise CursorError("the cursor belongs to another list, filter or order")
    # the digest is no secret: what reaches the database is checked once more
    if not (0 <= position.now_s <= _INSTANT_MAX and _fits(position, fields[order.field])):
        raise CursorError("the cursor cannot be read")
    return position


def _digest(body: bytes, scope: str) -> bytes:
    return hashlib.sha256(body + b"\0" + scope.encode()).digest()[:_DIGEST_BYTES]


def _fits(position: Position, field: Field) -> bool:
    """Whether the position could be one in an order by `field`."""
    match position.tie:
        case str() as text if "\0" in text:
            return False
        case int() as number if not 0 <= number <= _INT_MAX:
            return False
    match position.key:
        case None:
            return field.optional
        case bool():
            return field.kind is Kind.FLAG
        case str() as text:
            return field.kind in (Kind.TEXT, Kind.CHOICE) and "\0" not in text
        case int() as number:
            whole = (Kind.INTEGER, Kind.CPU, Kind.GPU, Kind.SIZE, Kind.RATE)
            return field.kind in whole and abs(number) <= _INT_MAX
        case float() as amount:
            broken = (Kind.NUMBER, Kind.DURATION, Kind.INSTANT)
            return field.kind in broken and math.isfinite(amount) and abs(amount) <= _INSTANT_MAX
