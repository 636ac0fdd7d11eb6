"""`user.list` and `user.share`: what people have used of the cluster, and what their part of it is."""

from __future__ import annotations

from msgspec import Struct

from bus import people
from bus.errors import ApiError
from bus.refusal import quote, refusal
from bus.values import UserName, is_name
from coordinator.api.access import viewer
from coordinator.api.steer import Steer
from coordinator.api.tags import tag_of
from coordinator.clock import Clock
from coordinator.core.events import SharesAsked
from coordinator.core.fair_share import standing_of
from coordinator.core.scheduler.shares import SHARES_MAX
from coordinator.loop import Loop
from coordinator.store.reads import Reads
from coordinator.store.rows import Activity, UserRow
from coordinator.versions import TRUST_S, Versions


class People:
    """The handlers: who there is, out of the database; what they used, out of memory."""

    def __init__(self, loop: Loop, reads: Reads, steer: Steer, clock: Clock, *, versions: Versions) -> None:
        self._loop = loop
        self._versions = versions
        self._reads = reads
        self._steer = steer
        self._clock = clock

    async def list(self, user: UserRow, request: Struct) -> people.Users:
        """`user.list`."""
        assert isinstance(request, people.UserList)
        await self._loop.barrier()
        only = viewer(user)
        if (tag := self._tag(only)) == request.known:
            return people.Users(users=[], tag=tag, unchanged=True)
        rows = [row for row in await self._reads.users() if only in (None, row.name)]
        known = await self._reads.activity()
        users = [self._shown(row, known.get(row.name, Activity())) for row in rows]
        return people.Users(users=users, tag=tag)

    def _tag(self, only: str | None) -> str:
        """Names everybody as they are now: what they used grows all the time, and counts by the percent."""
        shares = self._loop.cluster.shares
        standings = [(name, self.standing(name)) for name in sorted(shares.accounts)]
        seen = [(name, each.level, each.shares, round(each.used, 2)) for name, each in standings]
        return tag_of(only, self._versions.of_people(), self._clock.now_s() // TRUST_S, seen)

    def _shown(self, row: UserRow, activity: Activity) -> people.User:
        jobs = [job for job in self._loop.cluster.jobs.values() if job.owner == row.name]
        return people.User(
            name=row.name,
            role=row.role,
            active=row.active,
            standing=self.standing(row.name),
            jobs=len(jobs),
            running=sum(job.running for job in jobs),
            queued=sum(job.queued for job in jobs),
            failed=activity.failed,
            seen_at=activity.seen_at,
        )

    async def share(self, user: UserRow, request: Struct) -> Struct:
        """`user.share`: in force as soon as it is committed."""
        assert isinstance(request, people.UserShare)
        if not 1 <= request.shares <= SHARES_MAX:
            got, expected = quote(request.shares), f"1 to {SHARES_MAX:,} shares"
            raise ApiError(refusal("E_RANGE", field="/shares", got=got, expected=expected))
        name = UserName(request.name)
        if not is_name(name) or await self._reads.user(name) is None:
            hint = "corral users shows everybody"
            raise ApiError(refusal("E_NOT_FOUND", f"no user {quote(name)}", field="/name", hint=hint))
        return await self._steer.ask(SharesAsked(owner=name, shares=request.shares, by=user.name))

    def standing(self, name: UserName) -> people.Standing:
        """What somebody has used, and where that puts their work."""
        return standing_of(self._loop.cluster, name, now_s=self._clock.now_s())
