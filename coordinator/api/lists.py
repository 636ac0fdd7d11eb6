"""Lists of jobs, tasks and events: filtered, ordered and paged by the database."""

from __future__ import annotations

import math
from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from bus import api, requests
from bus.errors import ApiError
from bus.fields import ALL_TASK_FIELDS, EVENT_FIELDS, JOB_FIELDS, TASK_FIELDS, Field
from bus.filter import Condition, Operator, Order
from bus.refusal import quote, refusal
from coordinator.api.access import viewer
from coordinator.api.find import Finder
from coordinator.api.listing import changes_with_time, states_wanted, understand
from coordinator.api.tags import tag_of
from coordinator.clock import Clock
from coordinator.loop import Loop
from coordinator.store.events import Events, Scope
from coordinator.store.listing import Listing
from coordinator.store.lists import Lists
from coordinator.store.rows import UserRow
from coordinator.store.task_lists import TaskLists
from coordinator.versions import TRUST_S, Versions

_NEWEST_JOBS = Order("number", descending=True)
_BY_INDEX = Order("index")
_NEWEST_TASKS = Order("job", descending=True)
_NEWEST_EVENTS = Order("at", descending=True)
_EVENT_ORDERS = {name: field for name, field in EVENT_FIELDS.items() if name in ("at", "age")}
_INSTANT_MAX = 1e11


class Listings:
    """The handlers of `job.list`, `task.list` and `event.list`."""

    def __init__(
        self,
        loop: Loop,
        finder: Finder,
        clock: Clock,
        versions: Versions,
        *,
        lists: Lists,
        task_lists: TaskLists,
        events: Events,
    ) -> None:
        self._loop = loop
        self._finder = finder
        self._clock = clock
        self._versions = versions
        self._lists = lists
        self._task_lists = task_lists
        self._events = events

    async def jobs(self, user: UserRow, request: Struct) -> Struct:
        """`job.list`: newest first."""
        assert isinstance(request, requests.JobList)
        listing = understand(request, user, JOB_FIELDS, _NEWEST_JOBS, now_s=self._clock.now_s())
        more = states_wanted(request.states)
        if request.user is not None:
            more += (Condition("user", Operator.EQUAL, (request.user,)),)
        await self._loop.barrier()
        listing = replace(listing, conditions=listing.conditions + more)
        if (tag := self._tag(listing, user, JOB_FIELDS, self._versions.of())) and tag == request.known:
            return api.Jobs(jobs=[], tag=tag, unchanged=True)
        jobs = await self._lists.jobs(listing, viewer=viewer(user))
        jobs.tag = tag
        return jobs

    async def tasks(self, user: UserRow, request: Struct) -> Struct:
        """`task.list`: by index; of all jobs the newest first."""
        assert isinstance(request, requests.TaskList)
        if not request.job:
            return await self._every_task(user, request)
        listing = understand(request, user, TASK_FIELDS, _BY_INDEX, now_s=self._clock.now_s())
        number = await self._finder.job(user, request.job, field="/job")
        listing = replace(listing, conditions=listing.conditions + states_wanted(request.states))
        tag = self._tag(listing, user, TASK_FIELDS, self._versions.of(number), about=(number,))
        if tag and tag == request.known:
            return api.Tasks(tasks=[], tag=tag, unchanged=True)
        tasks = await self._lists.tasks(number, listing)
        tasks.tag = tag
        return tasks

    async def _every_task(self, user: UserRow, request: requests.TaskList) -> api.Tasks:
        now_s = self._clock.now_s()
        listing = understand(request, user, ALL_TASK_FIELDS, _NEWEST_TASKS, now_s=now_s)
        await self._loop.barrier()
        listing = replace(listing, conditions=listing.conditions + states_wanted(request.states))
        if (tag := self._tag(listing, user, ALL_TASK_FIELDS, self._versions.of())) and tag == request.known:
            return api.Tasks(tasks=[], tag=tag, unchanged=True)
        tasks = await self._task_lists.page(listing, viewer=viewer(user))
        tasks.tag = tag
        return tasks

    def _tag(
        self,
        listing: Listing,
        user: UserRow,
        fields: Mapping[str, Field],
        count: str,
        *,
        about: tuple[object, ...] = (),
    ) -> str:
        """Names the page as it is now; "" where it changes with the time. `about`: whom its words mean."""
        if changes_with_time(listing, fields):
            return ""
        age = self._clock.now_s() // TRUST_S
        return tag_of(listing.scope, listing.limit, repr(listing.after), viewer(user), about, count, age)

    async def events(self, user: UserRow, request: Struct) -> Struct:
        """`event.list`: newest first."""
        assert isinstance(request, requests.EventList)
        listing = understand(request, user, EVENT_FIELDS, _NEWEST_EVENTS, now_s=self._clock.now_s())
        if listing.order.field not in _EVENT_ORDERS:
            raise ApiError(refusal("E_FIELD", field="/sort", got=quote(request.sort), expected="at or -at"))
        for instant, field in ((request.since, "/since"), (request.until, "/until")):
            if instant is not None and not (math.isfinite(instant) and abs(instant) <= _INSTANT_MAX):
                expected = "seconds of the Unix epoch"
                raise ApiError(refusal("E_TIME", field=field, got=quote(instant), expected=expected))
        scope = Scope(
            job=None if request.job is None else await self._finder.job(user, request.job, field="/job"),
            task=None if request.task is None else await self._finder.task(user, request.task, field="/task"),
            node=request.node,
            since=request.since,
            until=request.until,
        )
        await self._loop.barrier()
        about = (scope.job, None if scope.task is None else str(scope.task))
        tag = self._tag(listing, user, EVENT_FIELDS, self._versions.of_events(), about=about)
        if tag and tag == request.known:
            return api.Events(events=[], tag=tag, unchanged=True)
        events: api.Events = await self._events.page(listing, scope, viewer=viewer(user))
        events.tag = tag
        return events
