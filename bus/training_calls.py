"""One method for each of `bus.training.TRAINING_OPERATIONS`; part of `bus.content_calls`."""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct

from bus.training import GangPage, GangQuery, GangRanks, RankQuery

S = TypeVar("S", bound=Struct)


class TrainingCalls:
    """How far gangs are."""

    async def training(self, target: str | int, *, limit: int = 100, cursor: str = "") -> GangPage:
        """The gangs of a job, or the one that a task is. Raises ApiError (E_NOT_FOUND: no gang)."""
        query = GangQuery(target=str(target), limit=limit, cursor=cursor)
        return await self._call("train.status", query, GangPage)

    async def ranks(self, task: str | int) -> GangRanks:
        """Each rank of a gang: where it is, what it saved, what it uses. Raises ApiError (E_NOT_FOUND)."""
        return await self._call("train.ranks", RankQuery(task=str(task)), GangRanks)

    async def _call(
        self, operation: str, request: Struct, kind: type[S], *, timeout_s: float | None = None
    ) -> S:
        raise NotImplementedError
