"""What ran where and when, out of the attempts, the history of tasks, and what was noticed of nodes.

Events are turned into spans by two tables of words: one of a node's health, one of what was wanted of it.
Within each, a word ends the span of the word before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, zip_longest

import asyncpg
from asyncpg.protocol import Record
from msgspec import Struct

from bus.timeline import (
    SHAPES_MAX,
    NodeSpan,
    PlacedAttempt,
    SpanKind,
    Stretch,
    Timeline,
    WaitingShape,
)
from bus.values import Resources
from coordinator.store.connection import LIST_SESSION, Session
from coordinator.store.errors import TooMuchAsked
from sql import queries

_SQL = queries("timeline")

STATEMENT_S = 5
LOOK_AHEAD_MIN_S = 86_400.0

HEALTH: dict[str, SpanKind | None] = {
    "node_joined": None,
    "node_back": None,
    "node_degraded": SpanKind.DEGRADED,
    "node_unreachable": SpanKind.UNREACHABLE,
}
"""Kinds of events that tell how a node fared, and what it was from then on."""

WANTED: dict[str, SpanKind | None] = {
    "node_undrained": None,
    "node_active": None,
    "node_cordoned": SpanKind.CORDONED,
    "node_inactive": SpanKind.CORDONED,
    "node_draining": SpanKind.DRAINING,
    "node_drained": SpanKind.DRAINED,
    "node_maintenance": SpanKind.MAINTENANCE,
    "node_quarantined": SpanKind.QUARANTINED,
}
"""Kinds of events that tell what somebody wanted of a node."""


class Window(Struct, frozen=True, kw_only=True):
    """What is wanted. `nodes` and `job` None: all."""

    since: float
    until: float
    nodes: tuple[str, ...] | None = None
    job: int | None = None
    limit: int = 2000


class Timelines:
    """The queries behind `timeline.attempts`; StoreUnavailable when the database is away.

    A question that takes longer than STATEMENT_S is given up: TooMuchAsked.
    """

    def __init__(self, dsn: str) -> None:
        limits = {"statement_timeout": f"{STATEMENT_S}s"}
        self._session = Session(dsn, settings=LIST_SESSION | limits)

    async def close(self) -> None:
        """Twice is fine."""
        await self._session.close()

    async def read(self, window: Window, *, viewer: str | None) -> Timeline:
        """Everything that the database knows of `window`; others' attempts without names for `viewer`."""
        nodes = None if window.nodes is None else list(window.nodes)
        times = (window.since, window.until)
        rows = await self._fetch("attempts", *times, nodes, window.job, window.limit + 1)
        events = await self._fetch("node_events", *times, nodes, list(HEALTH), list(WANTED))
        kept = await self._fetch("reservations", *times, nodes)
        ahead = window.until + max(window.until - window.since, LOOK_AHEAD_MIN_S)
        waits = await self._fetch("waiting", *times, ahead, SHAPES_MAX + 1)
        shapes = shapes_of(waits)
        return Timeline(
            since=window.since,
            until=window.until,
            attempts=[_placed(row, viewer) for row in rows[: window.limit]],
            truncated=len(rows) > window.limit,
            spans=[*spans_of(events, since=window.since), *_reservations(kept, window)],
            shapes=[shape for state, shape in shapes if state == "queued"],
            needing=_joined(shape for state, shape in shapes if state == "pending"),
            all_shapes=len(shapes) <= SHAPES_MAX,
            brakes=_brakes(await self._fetch("brakes", *times), since=window.since),
        )

    async def _fetch(self, name: str, *arguments: object) -> Sequence[Record]:
        async with self._session.use() as connection:
            try:
                rows: Sequence[Record] = await connection.fetch(_SQL[name], *arguments)
            except asyncpg.QueryCanceledError as error:
                raise TooMuchAsked(f"it takes longer than {STATEMENT_S} s") from error
            return rows


def spans_of(events: Iterable[Mapping[str, object]], *, since: float) -> list[NodeSpan]:
    """Spans of nodes out of rows (node, created_at, kind, at, message), by node and time."""
    spans: list[NodeSpan] = []
    for node, group in groupby(events, key=lambda row: str(row["node"])):
        rows = list(group)
        created_at = float(str(rows[0]["created_at"]))
        if created_at > since:
            spans.append(NodeSpan(node=node, kind=SpanKind.ABSENT, start=since, end=created_at))
        for words in (HEALTH, WANTED):
            spans += _line(node, [row for row in rows if row["kind"] in words], words, since=since)
    return spans


def _line(
    node: str,
    rows: Sequence[Mapping[str, object]],
    words: Mapping[str, SpanKind | None],
    *,
    since: float,
) -> list[NodeSpan]:
    spans: list[NodeSpan] = []
    for row, after in zip_longest(rows, rows[1:]):
        kind = words[str(row["kind"])]
        end = None if after is None else float(str(after["at"]))
        if kind is None or (end is not None and end <= since):
            continue
        start = max(since, float(str(row["at"])))
        spans.append(NodeSpan(node=node, kind=kind, start=start, end=end, message=str(row["message"])))
    return spans


def shapes_of(rows: Iterable[Mapping[str, object]]) -> list[tuple[str, WaitingShape]]:
    """(state, shape) out of rows ordered by shape and time."""
    found: list[tuple[str, WaitingShape]] = []
    for _, group in groupby(rows, key=lambda row: row["shape"]):
        times = list(group)
        stretches = [Stretch(start=float(str(row["from_at"])), end=float(str(row["to_at"]))) for row in times]
        shape = WaitingShape(resources=_resources(times[0]), stretches=stretches)
        found.append((str(times[0]["state"]), shape))
    return found


def _joined(shapes: Iterable[WaitingShape]) -> list[Stretch]:
    """The times of all of them together."""
    joined: list[Stretch] = []
    for each in sorted((s for shape in shapes for s in shape.stretches), key=lambda s: s.start):
        last = joined[-1] if joined else None
        if last is not None and last.end is not None and each.start <= last.end:
            last.end = max(last.end, each.end or last.end)
        else:
            joined.append(Stretch(start=each.start, end=each.end))
    return joined


def _brakes(rows: Sequence[Record], *, since: float) -> list[Stretch]:
    return [
        Stretch(
            start=max(row["at"], since), end=None if after is None else after["at"], message=row["message"]
        )
        for row, after in zip_longest(rows, rows[1:])
        if row["kind"] == "brake_on"
    ]


def _reservations(rows: Sequence[Record], window: Window) -> list[NodeSpan]:
    return [
        NodeSpan(
            node=row["node"],
            kind=SpanKind.RESERVED,
            start=max(row["start_at"], window.since),
            end=row["until_at"],
            message=row["behind"],
        )
        for row in rows
        if row["until_at"] is None or row["until_at"] > window.since
    ]


def _resources(row: Mapping[str, object]) -> Resources:
    return Resources(*(int(str(row[name])) for name in Resources.__struct_fields__))


def _placed(row: Record, viewer: str | None) -> PlacedAttempt:
    placed = PlacedAttempt(
        node=row["node_name"],
        start=row["assigned_at"],
        started_at=row["started_at"],
        end=row["ended_at"],
        resources=_resources(row),
        waiting=row["waiting"],
    )
    if viewer is None or row["username"] == viewer:
        placed.task, placed.job = f"{row['number']}.{row['index']}", row["number"]
        placed.name, placed.user = row["name"], row["username"]
        placed.fence, placed.state = row["fence"], row["state"]
        placed.exit_code, placed.message = row["exit_code"], row["message"]
    return placed
