"""`timeline.attempts`: out of the database, with what only memory knows: reservations, the size of nodes."""

from __future__ import annotations

import math
from functools import partial

from msgspec import Struct

from bus.errors import ApiError
from bus.fields import NODE_FIELDS
from bus.filter import matches, parse
from bus.refusal import quote, refusal
from bus.timeline import (
    ATTEMPTS_MAX,
    NODES_MAX,
    SPAN_MAX_S,
    NodeSpan,
    PlannedStart,
    SpanKind,
    TimelineQuery,
)
from bus.values import NodeName, UserName
from coordinator.api.access import viewer
from coordinator.api.find import Finder
from coordinator.api.node_list import value_of
from coordinator.clock import Clock
from coordinator.core.model import Booking
from coordinator.loop import Loop
from coordinator.shown import node_shown
from coordinator.store.errors import TooMuchAsked
from coordinator.store.rows import UserRow
from coordinator.store.timeline import Timelines, Window

_INSTANT_MAX = 1e11


class TimelineDesk:
    """The handler."""

    def __init__(self, loop: Loop, finder: Finder, timelines: Timelines, clock: Clock) -> None:
        self._loop = loop
        self._finder = finder
        self._timelines = timelines
        self._clock = clock
        self.handlers = {"timeline.attempts": self.attempts}

    async def attempts(self, user: UserRow, request: Struct) -> Struct:
        """`timeline.attempts`: raises ApiError (E_TIME, E_RANGE, E_TOO_LARGE, and what filters raise)."""
        assert isinstance(request, TimelineQuery)
        _check(request)
        job = None if request.job is None else await self._finder.job(user, request.job, field="/job")
        await self._loop.barrier()
        nodes = self._chosen(request, user)
        window = Window(
            since=request.since, until=request.until, nodes=nodes, job=job, limit=request.limit
        )  # fmt: skip
        try:
            found = await self._timelines.read(window, viewer=viewer(user))
        except TooMuchAsked as error:
            hint = "ask for a shorter time, or for fewer nodes"
            raise ApiError(refusal("E_TOO_LARGE", str(error), hint=hint)) from error
        wanted = None if nodes is None else set(nodes)
        there = self._loop.cluster.nodes.values()
        found.capacity = {
            str(node.name): node.capacity for node in there if wanted is None or node.name in wanted
        }
        # what was kept for a task that has started is no hole any more
        starts = {(each.node, each.task): each.start for each in found.attempts if each.task}
        found.spans = [_ended(span, starts) for span in found.spans]
        if viewer(user) is not None:
            found.spans = [self._discreet(span, user.name) for span in found.spans]
        found.planned = self._planned(user, wanted)
        return found

    def _chosen(self, request: TimelineQuery, user: UserRow) -> tuple[str, ...] | None:
        if not request.filter:
            return tuple(request.nodes) or None
        now_s = self._clock.now_s()
        conditions = parse(request.filter, NODE_FIELDS, me=user.name, now_s=now_s)
        named = set(request.nodes)
        shown = (node_shown(node, now_s=now_s) for node in self._loop.cluster.nodes.values())
        return tuple(
            node.name
            for node in shown
            if (not named or node.name in named) and matches(conditions, partial(value_of, node))
        )

    def _planned(self, user: UserRow, wanted: set[str] | None) -> list[PlannedStart]:
        return [
            PlannedStart(
                node=name,
                start=booking.start_s,
                resources=booking.shape.resources,
                task=booking.task if self._may_see(user, booking) else "",
            )
            for booking in self._loop.cluster.bookings
            if math.isfinite(booking.start_s)
            for name, _ in booking.places
            if wanted is None or name in wanted
        ]

    def _may_see(self, user: UserRow, booking: Booking) -> bool:
        return viewer(user) is None or self._owner(booking.task) == user.name

    def _owner(self, task: str) -> UserName | None:
        number = task.partition(".")[0]
        job = self._loop.cluster.jobs.get(int(number)) if number.isdigit() else None
        return None if job is None else job.owner

    def _discreet(self, span: NodeSpan, name: UserName) -> NodeSpan:
        """A reservation without the name of somebody else's task."""
        if span.kind is SpanKind.RESERVED and self._owner(span.message) != name:
            span.message = ""
        return span


def _ended(span: NodeSpan, starts: dict[tuple[str, str], float]) -> NodeSpan:
    if span.kind is SpanKind.RESERVED:
        start = starts.get((NodeName(span.node), span.message))
        if start is not None and start > span.start:
            span.end = start if span.end is None else min(span.end, start)
    return span


def _check(request: TimelineQuery) -> None:
    for instant, field in ((request.since, "/since"), (request.until, "/until")):
        if not (math.isfinite(instant) and abs(instant) <= _INSTANT_MAX):
            expected = "seconds of the Unix epoch"
            raise ApiError(refusal("E_TIME", field=field, got=quote(instant), expected=expected))
    span_s = request.until - request.since
    if not 0 < span_s <= SPAN_MAX_S:
        expected = "later than /since, by 366 days at most"
        raise ApiError(refusal("E_RANGE", field="/until", got=quote(request.until), expected=expected))
    if not 1 <= request.limit <= ATTEMPTS_MAX:
        expected = f"1–{ATTEMPTS_MAX}"
        raise ApiError(refusal("E_RANGE", field="/limit", got=quote(request.limit), expected=expected))
    if len(request.nodes) > NODES_MAX:
        got, expected = f"{len(request.nodes)} names", f"{NODES_MAX} at most"
        raise ApiError(refusal("E_RANGE", field="/nodes", got=got, expected=expected))
