"""Jobs that repeat: made by submitting a job with `cron`, and `schedule.*`, which lists and steers them."""

from __future__ import annotations

from msgspec import Struct

from bus import api, schedules
from bus.cron import Cron
from bus.errors import ApiError, Error
from bus.instants import format_instant
from bus.refusal import quote, refusal
from bus.spec import JobSpec, Overlap
from bus.values import UserName, is_name
from coordinator.api.access import viewer
from coordinator.api.jobs import seal
from coordinator.api.repeating import cron_of
from coordinator.api.service import Handler
from coordinator.clock import Clock
from coordinator.core.plan import planned_job
from coordinator.loop import Loop
from coordinator.registry import Resolve, Resolved
from coordinator.replies import fault_error
from coordinator.store.rows import UserRow
from coordinator.store.schedules import Schedules as Store

EACH_MAX = 1_000
"""Schedules that one user may have."""

LIST_MAX = 10_000


class ScheduleDesk:
    """The handlers, and `create`."""

    def __init__(self, store: Store, loop: Loop, clock: Clock, *, resolve: Resolve) -> None:
        self._store = store
        self._loop = loop
        self._clock = clock
        self._resolve = resolve

    @property
    def handlers(self) -> dict[str, Handler]:
        """By the name of the operation."""
        return {
            "schedule.list": self.list,
            "schedule.pause": self.pause,
            "schedule.resume": self.resume,
            "schedule.remove": self.remove,
        }

    async def create(self, user: UserRow, spec: JobSpec) -> api.Submitted:
        """A schedule out of a job with `cron`; the same one again is answered again.

        Raises ApiError with every fault that its jobs would be refused for now, StoreUnavailable.
        """
        cron, once = cron_of(spec)
        now_s = self._clock.now_s()
        await self._loop.barrier()
        called = (await self._resolve(user, once)).spec  # kept as it was written: each job resolves it anew
        job = planned_job(self._loop.cluster, called, user.name, now_s=now_s)
        if isinstance(job, tuple):
            raise ApiError(fault_error(job))
        digest, next_at_s = seal(Resolved(spec)).digest, cron.next_after(now_s)
        told = schedules.Schedule(
            name=job.name,
            user=user.name,
            cron=cron.fields,
            zone=cron.zone,
            overlap=spec.overlap or Overlap.FORBID,
            paused=False,
            created_at=now_s,
        )
        there = await self._store.find(user.name, told.name)
        if there is None and await self._store.count_of(user) >= EACH_MAX:
            got, hint = f"{EACH_MAX} schedules", "corral schedule rm NAME makes room"
            raise ApiError(refusal("E_TOO_MANY", "too many schedules", got=got, hint=hint))
        made = there is None and await self._store.create(
            user, told, spec=seal(Resolved(once)).json, digest=digest, next_at_s=next_at_s
        )
        if made:
            note = f"schedule {told.name}: first at {format_instant(next_at_s)}"
            return api.Submitted(number=0, id=str(made), tasks=job.total, note=note)
        there = there or await self._store.find(user.name, told.name)
        if there is None or there.digest != digest:
            raise ApiError(_is_taken(told.name))
        note = f"schedule {told.name}: next at {format_instant(there.next_at_s)}"
        return api.Submitted(number=0, id=str(there.id), tasks=job.total, duplicate=True, note=note)

    async def list(self, user: UserRow, request: Struct) -> schedules.Schedules:
        """`schedule.list`."""
        assert isinstance(request, schedules.ScheduleList)
        only = viewer(user)
        if request.user:
            if only not in (None, request.user):
                return schedules.Schedules(schedules=[])
            only = _user(request.user)
        return schedules.Schedules(schedules=await self._store.every(only, limit=LIST_MAX))

    async def pause(self, user: UserRow, request: Struct) -> schedules.Schedule:
        """`schedule.pause`: nothing is submitted until it is resumed."""
        return await self._set_paused(user, request, paused=True)

    async def resume(self, user: UserRow, request: Struct) -> schedules.Schedule:
        """`schedule.resume`: with the first firing from now on; what was due meanwhile is left out."""
        return await self._set_paused(user, request, paused=False)

    async def _set_paused(self, user: UserRow, request: Struct, *, paused: bool) -> schedules.Schedule:
        assert isinstance(request, schedules.ScheduleQuery)
        owner = self._owner(user, request)
        there = await self._store.find(owner, request.name)
        if there is None:
            raise ApiError(_missing(request.name))
        next_at_s = Cron(there.told.cron, there.told.zone).next_after(self._clock.now_s())
        done = await self._store.set_paused(
            owner, request.name, paused=paused, next_at_s=next_at_s, by=user.name
        )
        if done is None:
            raise ApiError(_missing(request.name))
        return done

    async def remove(self, user: UserRow, request: Struct) -> schedules.Schedule:
        """`schedule.remove`: the jobs that it made stay."""
        assert isinstance(request, schedules.ScheduleQuery)
        gone = await self._store.remove(self._owner(user, request), request.name, by=user.name)
        if gone is None:
            raise ApiError(_missing(request.name))
        return gone

    def _owner(self, user: UserRow, request: schedules.ScheduleQuery) -> UserName:
        """Whose schedule is meant; another's is to who may not see it as if there were none."""
        owner = request.user or user.name
        if viewer(user) not in (None, owner):
            raise ApiError(_missing(request.name))
        return _user(owner)


def _user(name: str) -> UserName:
    if not is_name(name):
        hint = "corral users shows everybody"
        raise ApiError(refusal("E_NOT_FOUND", "no such user", field="/user", got=quote(name), hint=hint))
    return UserName(name)


def _missing(name: str) -> Error:
    hint = "corral schedule ls shows yours"
    return refusal("E_NOT_FOUND", "no such schedule", field="/name", got=quote(name), hint=hint)


def _is_taken(name: str) -> Error:
    message, hint = "another schedule has this name", f"corral schedule rm {name} first, or another --name"
    return refusal("E_NAME_CLASH", message, field="/name", got=quote(name), hint=hint)
