"""`train.*`: how far gangs are, and each of their ranks. Who may see a job may see its gangs."""

from __future__ import annotations

from msgspec import Struct

from bus.errors import ApiError
from bus.refusal import quote, refusal
from bus.training import GangPage, GangQuery, GangRanks, RankQuery
from coordinator.api.access import viewer
from coordinator.api.find import Finder
from coordinator.api.jobs import check_range
from coordinator.clock import Clock
from coordinator.store.rows import UserRow
from coordinator.store.series import SeriesStore
from coordinator.store.training import GangRow, TrainingStore

LIMIT_MAX = 1_000
USED_WITHIN_S = 120.0
"""Samples of running ranks are some seconds apart."""

VALUES_MAX = 20_000
"""Metrics of all ranks together, of what they told and of what they saved each: an answer is bounded."""


class TrainingDesk:
    """The handlers."""

    def __init__(self, finder: Finder, clock: Clock, store: TrainingStore, series: SeriesStore) -> None:
        self._finder = finder
        self._clock = clock
        self._store = store
        self._series = series
        self.handlers = {"train.status": self.status, "train.ranks": self.ranks}

    async def status(self, user: UserRow, request: Struct) -> GangPage:
        """`train.status`: raises ApiError (E_RANGE, E_CURSOR, E_NOT_FOUND, and what ids raise)."""
        assert isinstance(request, GangQuery)
        check_range(request.limit, 1, LIMIT_MAX, field="/limit")
        after = _after(request.cursor)
        job, index = await self._finder.target(user, request.target, field="/target")
        found = await self._store.gangs(
            viewer=viewer(user), job=job, index=index, after=after, limit=request.limit + 1
        )
        if not found and not request.cursor:
            raise _no_gang(request.target, "/target")
        page = found[: request.limit]
        following = str(page[-1].index) if len(found) > len(page) else ""
        return GangPage(gangs=[each.shown for each in page], next=following)

    async def ranks(self, user: UserRow, request: Struct) -> GangRanks:
        """`train.ranks`: raises ApiError (E_NOT_FOUND, and what ids raise)."""
        assert isinstance(request, RankQuery)
        ref = await self._finder.task(user, request.task, field="/task")
        found = await self._store.gangs(viewer=viewer(user), job=ref.job, index=ref.index, after=-1, limit=1)
        if not found:
            raise _no_gang(request.task, "/task")
        gang = found[0]
        ranks = await self._store.ranks(gang)
        usage = await self._series.usage_of_ranks(
            gang.id, gang.shown.attempt, since_s=self._used_since_s(gang)
        )
        most = VALUES_MAX // max(len(ranks), 1)
        for rank in ranks:
            rank.usage = usage.get(rank.rank)
            rank.metrics = _first(rank.metrics, most)
            if rank.told is not None:
                rank.told.metrics = _first(rank.told.metrics, most)
        return GangRanks(gang=gang.shown, ranks=ranks, available=await self._store.available(gang))

    def _used_since_s(self, gang: GangRow) -> float:
        until_s = self._clock.now_s() if gang.ended_at is None else gang.ended_at
        return until_s - USED_WITHIN_S


def _first(metrics: dict[str, float], most: int) -> dict[str, float]:
    return metrics if len(metrics) <= most else dict(sorted(metrics.items())[:most])


def _no_gang(what: str, field: str) -> ApiError:
    hint = "a job has gangs where it was submitted with --gang N"
    return ApiError(
        refusal(
            "E_NOT_FOUND",
            "no task of it is a gang",
            field=field,
            got=quote(what),
            expected="a gang",
            hint=hint,
        )
    )


def _after(cursor: str) -> int:
    if not cursor:
        return -1
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 7):
        hint = "use the `next` of the page before; or start again without"
        raise ApiError(refusal("E_CURSOR", field="/cursor", got=quote(cursor), hint=hint))
    return int(cursor)
