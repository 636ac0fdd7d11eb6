"""What every list takes, understood: limit, filter, order and cursor become a Listing, or a refusal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar
from uuid import UUID

import msgspec

from bus.errors import ApiError
from bus.fields import Field, Kind
from bus.filter import Condition, Operator, Order, parse, parse_order
from bus.refusal import quote, refusal
from bus.requests import Page
from coordinator.store.listing import CursorError, Listing, read_cursor
from coordinator.store.rows import UserRow

T = TypeVar("T")

LIMIT_MAX = 10_000
OF_A_PAGE = frozenset({"limit", "cursor", "known"})
"""What a request says of the page that is wanted, and not of the list."""


def understand(
    request: Page, user: UserRow, fields: Mapping[str, Field], default: Order, *, now_s: float
) -> Listing:
    """The page that `user` wants. Raises ApiError: E_RANGE, E_CURSOR, and what filters and orders raise."""
    if not 1 <= request.limit <= LIMIT_MAX:
        got, hint = quote(request.limit), "ask for the next page with the cursor of the one before"
        raise ApiError(refusal("E_RANGE", field="/limit", got=got, expected=f"1–{LIMIT_MAX}", hint=hint))
    order = parse_order(request.sort, fields, default)
    asked = {name: value for name, value in msgspec.to_builtins(request).items() if name not in OF_A_PAGE}
    scope = f"{type(request).__name__} {user.name} {msgspec.json.encode(asked, order='sorted').decode()}"
    after = None
    if request.cursor:
        try:
            after = read_cursor(request.cursor, scope, order, fields)
        except CursorError as error:
            hint = "use the `next` of the page before, with the same filter and sort; or start again without"
            raise ApiError(
                refusal("E_CURSOR", str(error), field="/cursor", got=quote(request.cursor), hint=hint)
            ) from error
        now_s = after.now_s
    return Listing(
        scope=scope,
        conditions=parse(request.filter, fields, me=user.name, now_s=now_s),
        order=order,
        limit=request.limit,
        now_s=now_s,
        after=after,
    )


def states_wanted(states: Sequence[str]) -> tuple[Condition, ...]:
    """The condition that a request's `states` stands for."""
    return (Condition("state", Operator.EQUAL, tuple(map(str, states))),) if states else ()


def changes_with_time(listing: Listing, fields: Mapping[str, Field]) -> bool:
    """Whether other rows may be let through, or stand in another order, though none of them changed."""
    order = fields[listing.order.field]
    if order.kind is Kind.DURATION and not order.since:
        return True  # what has lasted longest: of some until now, of others until their end
    chosen_by = (fields[condition.field.partition(".")[0]] for condition in listing.conditions)
    return any(field.kind in (Kind.DURATION, Kind.INSTANT) for field in chosen_by)


def row_of(cursor: str) -> UUID | None:
    """Of a list by ids: the row behind which its page begins. Raises ApiError (E_CURSOR)."""
    if not cursor:
        return None
    try:
        return UUID(cursor)
    except ValueError:
        hint = "use the `next` of the page before; or start again without"
        raise ApiError(refusal("E_CURSOR", field="/cursor", got=quote(cursor), hint=hint)) from None


def cut(found: list[T], limit: int, place: Callable[[T], str]) -> tuple[list[T], str]:
    """The page out of what was fetched for it, one row more; and the cursor of the next, "" if none."""
    page = found[:limit]
    return page, place(page[-1]) if len(found) > len(page) else ""
