"""`series.query` and `series.states`: gauges over time, and what became of what was submitted lately.

Nodes and the cluster are everybody's; tasks are those of their owner, and of operators.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NoReturn
from uuid import UUID

from msgspec import Struct

from bus import series
from bus.errors import ApiError
from bus.faults import nearest
from bus.fields import NODE_FIELDS
from bus.filter import matches, parse
from bus.node_log import LINES_MAX, NodeLog, NodeLogQuery
from bus.refusal import quote, refusal
from bus.series import IDS_MAX, METRICS, POINTS_MAX, VALUES_MAX, Aggregate, SeriesKind, SeriesQuery
from bus.values import NodeName, TaskRef
from coordinator.api.access import viewer
from coordinator.api.find import Finder, parse_target
from coordinator.api.gpu_series import gpus_meant, without_gpus
from coordinator.api.jobs import INSTANT_MAX, check_instants
from coordinator.api.node_list import value_of
from coordinator.clock import Clock
from coordinator.core.model import Node
from coordinator.loop import Loop
from coordinator.shown import node_shown
from coordinator.store.errors import TooMuchAsked
from coordinator.store.rows import UserRow
from coordinator.store.series import SeriesStore, Wanted

STEPS_S = (
    *(1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0),
    *(3_600.0, 7_200.0, 10_800.0, 21_600.0, 43_200.0, 86_400.0, 604_800.0),
)
"""Widths of buckets that people know."""

TASKS_MAX = 50
"""Of tasks there are no roll-ups."""

STEP_MAX_S = 366 * 86_400.0
WINDOW_S = (60.0, 30 * 86_400.0)


Things = Mapping[UUID, str] | Mapping[str, str]


class SeriesDesk:
    """The handlers."""

    def __init__(self, loop: Loop, finder: Finder, clock: Clock, store: SeriesStore) -> None:
        self._loop = loop
        self._finder = finder
        self._clock = clock
        self._store = store
        self.handlers = {
            "series.query": self.query,
            "series.states": self.states,
            "node.logs": self.node_log,
        }

    async def query(self, user: UserRow, request: Struct) -> Struct:
        """`series.query`."""
        assert isinstance(request, SeriesQuery)
        metrics = _metrics(request)
        since_s, step_s, count = self._times(request)
        things, nodes = await self._things(user, request)
        owners = tuple(node.id for node in nodes)
        if request.kind is SeriesKind.TASK:
            owners = tuple(dict.fromkeys(UUID(str(each).partition(":")[0]) for each in things))
        values = max(1, len(things)) * len(metrics) * count
        if values > VALUES_MAX:
            got, expected = f"{values:,} values", f"{VALUES_MAX:,} at most"
            hint = "ask for fewer points, metrics or nodes at once"
            raise ApiError(refusal("E_TOO_LARGE", field="/points", got=got, expected=expected, hint=hint))
        wanted = Wanted(
            kind=request.kind,
            things=things,
            metrics=metrics,
            since_s=since_s,
            step_s=step_s,
            count=count,
            aggregate=_aggregate(request, metrics),
            owners=owners,
        )
        try:
            measured = await self._store.measured(wanted)
            measured.series = without_gpus(wanted, nodes, measured.series)
            return measured
        except TooMuchAsked:
            message, hint = (
                "the database needs too long for this",
                "ask for a shorter time or for less at once",
            )
            raise ApiError(refusal("E_TOO_LARGE", message, field="/since", hint=hint)) from None

    async def node_log(self, user: UserRow, request: Struct) -> Struct:
        """`node.logs`: also of a node that is away."""
        assert isinstance(request, NodeLogQuery)
        if not 1 <= request.limit <= LINES_MAX:
            got, expected = quote(request.limit), f"1 to {LINES_MAX:,}"
            raise ApiError(refusal("E_RANGE", field="/limit", got=got, expected=expected))
        check_instants(since=request.since, until=request.until)
        await self._loop.barrier()
        node = self._loop.cluster.nodes.get(NodeName(request.node))
        if node is None:
            raise ApiError(refusal("E_NOT_FOUND", "no such node", field="/node", got=quote(request.node)))
        lines = await self._store.node_lines(
            node.id,
            since_s=0.0 if request.since is None else request.since,
            until_s=INSTANT_MAX if request.until is None else request.until,
            severities=("error",) if request.severity == "error" else ("warning", "error"),
            limit=request.limit + 1,
        )
        more = len(lines) > request.limit
        return NodeLog(node=node.name, lines=lines[more:], more=more)

    async def states(self, user: UserRow, request: Struct) -> Struct:
        """`series.states`."""
        assert isinstance(request, series.StatesQuery)
        least, most = WINDOW_S
        if not least <= request.window_s <= most:
            got, expected = quote(request.window_s), "60 s to 30 days"
            raise ApiError(refusal("E_RANGE", field="/window_s", got=got, expected=expected))
        await self._loop.barrier()
        return await self._store.states(self._clock.now_s() - request.window_s, viewer=viewer(user))

    def _times(self, request: SeriesQuery) -> tuple[float, float, int]:
        """Since when, how wide and how many: buckets begin at whole multiples of their width."""
        until_s = self._clock.now_s() if request.until is None else request.until
        for instant, field in ((request.since, "/since"), (until_s, "/until")):
            if not (math.isfinite(instant) and abs(instant) <= INSTANT_MAX):
                expected = "seconds of the Unix epoch"
                raise ApiError(refusal("E_TIME", field=field, got=quote(instant), expected=expected))
        if until_s <= request.since:
            hint = "the end must come after the begin"
            raise ApiError(refusal("E_RANGE", field="/until", got=quote(until_s), hint=hint))
        if not 1 <= request.points <= POINTS_MAX:
            expected = f"1 to {POINTS_MAX:,} points"
            raise ApiError(refusal("E_RANGE", field="/points", got=quote(request.points), expected=expected))
        step_s = request.step_s
        if step_s is None:
            step_s = _round_step((until_s - request.since) / request.points)
        if not (math.isfinite(step_s) and 1.0 <= step_s <= STEP_MAX_S):
            raise ApiError(refusal("E_RANGE", field="/step_s", got=quote(step_s), expected="1 s to 366 days"))
        since_s = math.floor(request.since / step_s) * step_s
        count = math.ceil((until_s - since_s) / step_s)
        if count > POINTS_MAX + 1:
            got, expected = f"{count:,} points", f"{POINTS_MAX:,} at most"
            hint = "take wider steps, or a shorter time"
            raise ApiError(refusal("E_TOO_LARGE", field="/step_s", got=got, expected=expected, hint=hint))
        return since_s, step_s, count

    async def _things(self, user: UserRow, request: SeriesQuery) -> tuple[Things, Sequence[Node]]:
        """What is meant, and the nodes that it is or belongs to."""
        if request.filter and (request.kind not in (SeriesKind.NODE, SeriesKind.GPU) or request.ids):
            hint = "a filter chooses nodes, where none are named"
            raise ApiError(refusal("E_VALUE", field="/filter", got=quote(request.filter), hint=hint))
        match request.kind:
            case SeriesKind.CLUSTER:
                if request.ids:
                    hint = "there is one cluster, and it has no name"
                    raise ApiError(refusal("E_RANGE", field="/ids", got=quote(request.ids[0]), hint=hint))
                return {}, ()
            case SeriesKind.NODE:
                nodes = await self._nodes(user, request)
                return {node.id: str(node.name) for node in nodes}, nodes
            case SeriesKind.GPU:
                nodes = await self._nodes(user, request)
                gpus = gpus_meant(nodes, request.ids)
                _check_number(len(gpus), IDS_MAX, field="/ids")
                return gpus, nodes
            case SeriesKind.TASK:
                return await self._tasks(user, request), ()

    async def _nodes(self, user: UserRow, request: SeriesQuery) -> list[Node]:
        now_s = self._clock.now_s()
        conditions = parse(request.filter, NODE_FIELDS, me=user.name, now_s=now_s)
        await self._loop.barrier()
        nodes = self._loop.cluster.nodes
        if not request.ids:
            chosen = [
                node
                for node in nodes.values()
                if matches(conditions, partial(value_of, node_shown(node, now_s=now_s)))
            ]
            _check_number(len(chosen), IDS_MAX, field="/filter")
            return sorted(chosen, key=lambda node: node.name)
        _check_number(len(request.ids), IDS_MAX, field="/ids")
        found: dict[str, Node] = {}
        for place, name in enumerate(request.ids):
            if request.kind is SeriesKind.GPU:
                name = name.partition(":")[0]
            node = nodes.get(NodeName(name))
            if node is None:
                refused = refusal("E_NOT_FOUND", "no such node", field=f"/ids/{place}", got=quote(name))
                raise ApiError(refused)
            found[name] = node
        return list(found.values())

    async def _tasks(self, user: UserRow, request: SeriesQuery) -> dict[str, str]:
        """Their rows in text; of a rank (1042.0:3) with its number behind a colon."""
        _check_number(len(request.ids), TASKS_MAX, field="/ids")
        if not request.ids:
            raise ApiError(refusal("E_REQUIRED", field="/ids", expected="tasks, such as 1042.7"))
        asked: list[tuple[TaskRef, str]] = []
        for place, text in enumerate(request.ids):
            field = f"/ids/{place}"
            ref, _ = await self._finder.attempt(user, text, field=field)
            rank = parse_target(text, field=field).rank
            asked.append((ref.whole, "" if rank is None else f":{rank}"))
        refs = list(dict.fromkeys(ref for ref, _ in asked))
        rows = {ref: row for row, ref in (await self._store.task_ids(refs)).items()}
        return {f"{rows[ref]}{rank}": f"{ref}{rank}" for ref, rank in asked if ref in rows}


def _metrics(request: SeriesQuery) -> tuple[str, ...]:
    """Those asked for, each once. Raises ApiError (E_REQUIRED, E_ENUM)."""
    known = METRICS[request.kind]
    if not request.metrics:
        raise ApiError(refusal("E_REQUIRED", field="/metrics", expected=", ".join(known)))
    for place, name in enumerate(request.metrics):
        if name not in known:
            guess = nearest(name, list(known))
            raise ApiError(
                refusal(
                    "E_ENUM",
                    f"no metric {name[:80]!r} of a {request.kind}",
                    field=f"/metrics/{place}",
                    got=quote(name),
                    expected=f"one of {', '.join(known)}",
                    hint=f"did you mean {guess}?" if guess else "",
                )
            )
    return tuple(dict.fromkeys(request.metrics))


def _aggregate(request: SeriesQuery, metrics: tuple[str, ...]) -> Aggregate:
    """What it is of these metrics: levels and counts are not joined alike. Raises ApiError (E_VALUE)."""
    counted = {METRICS[request.kind][name].counted for name in metrics}
    asked = request.aggregate
    if len(counted) == 2:
        _refuse_mixture(f"{', '.join(metrics)}", "levels (how much there is) or counts (how many happened)")
    (is_count,) = counted
    if asked is Aggregate.AUTO:
        return Aggregate.RATE if is_count else Aggregate.MEAN
    if is_count != (asked is Aggregate.RATE):
        _refuse_mixture(f"{asked} of {metrics[0]}", "rate of counts; mean, max, min or p95 of levels")
    return asked


def _refuse_mixture(got: str, expected: str) -> NoReturn:
    raise ApiError(
        refusal("E_VALUE", field="/aggregate", got=quote(got), expected=expected, hint="ask one by one")
    )


def _check_number(number: int, most: int, *, field: str) -> None:
    if number > most:
        expected = f"{most:,} at most"
        raise ApiError(refusal("E_TOO_MANY", field=field, got=f"{number:,}", expected=expected))


def _round_step(least_s: float) -> float:
    """The smallest width that people know and is not less."""
    return next((step_s for step_s in STEPS_S if step_s >= least_s), math.ceil(least_s))
