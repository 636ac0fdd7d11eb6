"""Gangs without a database."""

from __future__ import annotations

from bus.training import Rank
from coordinator.store.training import GangRow, TrainingStore


class FakeTraining(TrainingStore):
    """The gangs that a test puts into `found`, with their `members` and who is `free`; `asked`: by whom."""

    def __init__(self) -> None:
        super().__init__("")
        self.asked: list[str | None] = []
        self.found: list[GangRow] = []
        self.members: list[Rank] = []
        self.free: list[int] = []

    async def gangs(
        self, *, viewer: str | None, job: int, index: int | None, after: int, limit: int
    ) -> list[GangRow]:
        self.asked.append(viewer)
        return [each for each in self.found if each.index > after and index in (None, each.index)][:limit]

    async def ranks(self, gang: GangRow) -> list[Rank]:
        return self.members

    async def available(self, gang: GangRow) -> list[int]:
        return self.free
