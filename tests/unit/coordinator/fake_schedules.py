"""Schedules in memory, with the rules of their table."""

from __future__ import annotations

from uuid import UUID

import msgspec
from msgspec.structs import replace

from bus.schedules import Schedule
from bus.spec import JobSpec
from bus.values import UserName
from coordinator.store.rows import UserRow
from coordinator.store.schedules import Firing, Kept, Schedules


class FakeSchedules(Schedules):
    """`kept` by owner and name; `fault` is raised instead of the next answer."""

    def __init__(self) -> None:
        super().__init__("")
        self.kept: dict[tuple[str, str], Kept] = {}
        self.firings: list[Firing] = []
        self.fault: Exception | None = None

    def _check(self) -> None:
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault

    async def create(
        self, owner: UserRow, told: Schedule, *, spec: bytes, digest: bytes, next_at_s: float
    ) -> UUID | None:
        self._check()
        if (owner.name, told.name) in self.kept:
            return None
        identity = UUID(int=len(self.kept) + 1)
        job = msgspec.json.decode(spec, type=JobSpec)
        shown = replace(told, next_at=next_at_s)
        self.kept[owner.name, told.name] = Kept(identity, shown, job, digest, next_at_s)
        return identity

    async def count_of(self, owner: UserRow) -> int:
        return sum(name == owner.name for name, _ in self.kept)

    async def find(self, owner: str, name: str) -> Kept | None:
        self._check()
        return self.kept.get((owner, name))

    async def every(self, owner: str | None, *, limit: int) -> list[Schedule]:
        return [each.told for key, each in sorted(self.kept.items()) if owner in (None, key[0])][:limit]

    async def due(self, now_s: float, *, limit: int) -> list[Kept]:
        self._check()
        return [each for each in self.kept.values() if not each.told.paused and each.next_at_s <= now_s]

    async def note(self, schedule: Kept, firing: Firing) -> None:
        self._check()
        key = (schedule.told.user, schedule.told.name)
        there = self.kept.get(key)
        if there is None or there.next_at_s != schedule.next_at_s:
            return
        self.firings.append(firing)
        told = replace(
            there.told,
            next_at=firing.next_at_s,
            last_at=firing.at_s,
            last_job=firing.job or there.told.last_job,
            fired=there.told.fired + (firing.job is not None),
            skipped=there.told.skipped + firing.skipped,
            last_error=firing.error,
        )
        self.kept[key] = replace(there, told=told, next_at_s=firing.next_at_s)

    async def set_paused(
        self, owner: str, name: str, *, paused: bool, next_at_s: float, by: UserName
    ) -> Schedule | None:
        there = self.kept.get((owner, name))
        if there is None:
            return None
        told = replace(there.told, paused=paused, next_at=None if paused else next_at_s)
        self.kept[owner, name] = replace(there, told=told, next_at_s=next_at_s)
        return told

    async def remove(self, owner: str, name: str, *, by: UserName) -> Schedule | None:
        there = self.kept.pop((owner, name), None)
        return None if there is None else there.told
