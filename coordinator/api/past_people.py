"""`past.users`: who there was at a moment, what their work held, and what they had used by then.

Accounts of fair share are kept as of now only. So usage is added up anew out of the attempts that are kept,
by the formula of `coordinator.core.scheduler.shares`: a job counts by its dominant share of today's capacity.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec import Struct

from bus import past, people
from bus.values import Resources
from coordinator.api.access import viewer
from coordinator.api.moments import bounded, moment
from coordinator.clock import Clock
from coordinator.core.scheduler.shares import Account, Shares, level_of
from coordinator.loop import Loop
from coordinator.store.past import Past
from coordinator.store.past_people import PersonThen, people_then, used_by
from coordinator.store.rows import UserRow

UNKNOWN = ["role", "active", "shares", "capacity"]
"""What nobody keeps the changes of: told as it is now."""


class PastPeople:
    """The handler."""

    def __init__(self, loop: Loop, store: Past, clock: Clock) -> None:
        self._loop = loop
        self._store = store
        self._clock = clock
        self.handlers: dict[str, Callable[[UserRow, Struct], Awaitable[Struct]]] = {"past.users": self.users}

    async def users(self, user: UserRow, request: Struct) -> Struct:
        """`past.users`: by name."""
        assert isinstance(request, past.PastUsers)
        at_s = moment(request.at, "/at", now_s=self._clock.now_s())
        await self._loop.barrier()
        cluster = self._loop.cluster
        then = await bounded(people_then(self._store, at_s))
        used: Mapping[str, float] = {}
        if cluster.shares.half_life_s:
            capacity = sum((node.capacity for node in cluster.nodes.values()), Resources())
            half_life_s = cluster.shares.half_life_s
            used = await bounded(used_by(self._store, at_s, capacity, half_life_s=half_life_s))
        only = viewer(user)
        return people.Users(
            users=[each for each in shown(then, used, cluster.shares) if only in (None, each.name)],
            unknown=UNKNOWN,
        )


def shown(then: Sequence[PersonThen], used: Mapping[str, float], shares: Shares) -> list[people.User]:
    """Everybody, with their part of what those used who had jobs then."""
    own = {each.name: shares.accounts.get(each.name, Account()).shares for each in then}
    competing = {each.name for each in then if each.jobs}
    all_usage = sum(used.get(name, 0.0) for name in competing)
    all_shares = sum(own[name] for name in competing)
    found = []
    for each in then:
        usage, part = used.get(each.name, 0.0), own[each.name]
        usages = all_usage + (0.0 if each.name in competing else usage)
        parts = all_shares + (0 if each.name in competing else part)
        standing = people.Standing(
            shares=part,
            usage_s=usage,
            used=usage / usages if usages else 0.0,
            due=part / parts if shares.half_life_s else 0.0,
            level=level_of(usage, part, all_usage=usages, all_shares=parts),
        )
        found.append(
            people.User(
                name=each.name,
                role=each.role,
                active=each.active,
                standing=standing,
                jobs=each.jobs,
                running=each.running,
                queued=each.queued,
                failed=each.failed,
                seen_at=each.seen_s,
            )
        )
    return found
