"""`bulk.steer`: one verb for all that a filter matches, as single steps, each committed before it is told.

The list is read once. If its revision is not the one that the asker has seen, nothing is done. Then the steps
go through the loop some at a time, like requests of their own: with the same checks, their own rows in the
audit, and harmless if they are asked again. So a request that broke off is finished by asking it anew.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from bus import api
from bus.bulk import VERBS, BulkSteer, BulkSteered, revision_of, total_of
from bus.errors import ApiError
from bus.faults import nearest
from bus.fields import ALL_TASK_FIELDS, JOB_FIELDS, NODE_FIELDS
from bus.filter import Order
from bus.refusal import quote, refusal
from bus.requests import Page
from bus.units import counted
from bus.values import NodeAdmin, NodeName
from coordinator.api.access import check_role, viewer
from coordinator.api.jobs import check_range
from coordinator.api.listing import understand
from coordinator.api.node_list import matching, revision_of_nodes
from coordinator.api.prospects import Prospect, of_job, of_node, of_task
from coordinator.api.steer import PRIORITY_MAX, Steer, check_deadline, check_reason
from coordinator.api.undoing import Undoing, Way, way_back_of_job, way_back_of_node
from coordinator.clock import Clock
from coordinator.core.events import (
    BulkAsked,
    CancelAsked,
    HoldAsked,
    NodeLabelled,
    NodeSteered,
    PauseAsked,
    PriorityAsked,
    RequeueAsked,
)
from coordinator.loop import Loop
from coordinator.shown import node_shown
from coordinator.store.listing import Listing
from coordinator.store.lists import MEMBERS_MAX, Lists
from coordinator.store.ranges import joined
from coordinator.store.rows import UserRow
from coordinator.store.spans import spans_of
from coordinator.store.task_lists import Member, TaskLists

STEPS_AT_ONCE = 200
"""That wait for one commit together: a batch of bounded size, however much matches."""

ASKED_S = 60.0
"""How long one request steers; what is left then is said."""

_ADMINS = {
    "cordon": NodeAdmin.INACTIVE,
    "drain": NodeAdmin.DRAINING,
    "maintenance": NodeAdmin.MAINTENANCE,
    "undrain": NodeAdmin.ACTIVE,
}
_BRAKED = frozenset({"requeue", "drain", "maintenance"})
"""What has work placed anew, of which nothing is while the brake is on."""


class Target(Struct, frozen=True):
    """One thing to steer: a job, a task of it, or a node; `skipped` stands for further ones left alone."""

    job: int = 0
    index: int | None = None
    node: str = ""
    prospect: Prospect = Prospect()
    count: int = 1


class Matched(Struct, frozen=True):
    """What a filter lets through."""

    targets: Sequence[Target]
    total: int
    revision: int


class Bulk:
    """The handler of `bulk.steer`; `lists` and `tasks` are its own: their questions are long."""

    def __init__(self, loop: Loop, steer: Steer, clock: Clock, *, lists: Lists, tasks: TaskLists) -> None:
        self._loop = loop
        self._steer = steer
        self._clock = clock
        self._lists = lists
        self._tasks = tasks

    @property
    def handlers(self) -> dict[str, Callable[[UserRow, Struct], Awaitable[Struct]]]:
        """By the name of the operation."""
        return {"bulk.steer": self.steer}

    async def steer(self, user: UserRow, request: Struct) -> BulkSteered:
        """`bulk.steer`."""
        assert isinstance(request, BulkSteer)
        _check(user, request)
        self._steer.check_database()
        self._check_brake(request)
        matched = await self._matched(user, request)
        if request.revision not in (0, matched.revision):
            before = total_of(request.revision)
            raise ApiError(
                refusal(
                    "E_STALE",
                    f"the list has changed: {before:,} → {matched.total:,} now",
                    field="/revision",
                    got=quote(request.revision),
                    expected=str(matched.revision),
                )
            )
        answer = _foretold(matched, request)
        if request.dry_run or not answer.changed:
            return answer
        noted = await self._steer.ask(_note(user, request, matched))
        assert isinstance(noted, api.Changed)
        answer.audit = noted.audit
        await self._carry_out(user, request, matched, answer)
        return answer

    def _check_brake(self, request: BulkSteer) -> None:
        """Raises ApiError for what would end work that nothing takes up again."""
        brake = self._loop.cluster.brake
        if brake is not None and request.verb in _BRAKED and not request.dry_run:
            hint = "wait until the nodes are back, or do it to each by its name"
            raise ApiError(
                refusal("E_CONFLICT", f"nothing is placed now: {brake.reason}", field="/verb", hint=hint)
            )

    async def _matched(self, user: UserRow, request: BulkSteer) -> Matched:
        match request.noun:
            case "job":
                return await self._jobs(user, request)
            case "task":
                return await self._tasks_matched(user, request)
            case _:
                return await self._nodes(user, request)

    async def _jobs(self, user: UserRow, request: BulkSteer) -> Matched:
        listing = understand(
            Page(filter=request.filter), user, JOB_FIELDS, Order("number"), now_s=self._clock.now_s()
        )
        await self._loop.barrier()
        found = await self._lists.members(listing, viewer=viewer(user))
        _check_size(len(found))
        cluster = self._loop.cluster
        targets = [
            Target(job=each.number, prospect=of_job(cluster, each.number, request, failed=each.failed))
            for each in found
        ]
        digest = joined(each.digest for each in found)
        return Matched(targets, len(found), revision_of(total=len(found), digest=digest))

    async def _tasks_matched(self, user: UserRow, request: BulkSteer) -> Matched:
        listing = understand(
            Page(filter=request.filter), user, ALL_TASK_FIELDS, Order("job"), now_s=self._clock.now_s()
        )
        await self._loop.barrier()
        found = await self._tasks.members(listing, viewer=viewer(user))
        total = sum(each.remaining for each in found)
        _check_size(total)
        targets = [target for each in found for target in self._of_row(each, listing, request)]
        digest = joined(each.digest for each in found)
        return Matched(targets, total, revision_of(total=total, digest=digest))

    def _of_row(self, row: Member, listing: Listing, request: BulkSteer) -> list[Target]:
        """The task; of a range, all that are untouched and within the indices that are asked for."""
        cluster = self._loop.cluster
        if row.count == 1:
            prospect = of_task(cluster, row.job, row.index, row.state, request.verb)
            return [Target(job=row.job, index=row.index, prospect=prospect)]
        job = cluster.jobs.get(row.job)
        group = job.group_of(row.index) if job is not None else None
        if group is None or request.verb != "cancel":
            skipped = of_task(cluster, row.job, row.index, row.state, request.verb).skipped or "nothing"
            return [Target(job=row.job, prospect=Prospect(skipped), count=row.remaining)]
        spans = spans_of(each for each in listing.conditions if each.field == "index")
        indices = [
            index
            for low, high in spans
            for index in range(max(low, group.cursor), min(high + 1, group.end))
            if group.is_untouched(index)
        ]
        targets = [
            Target(job=row.job, index=index, prospect=Prospect(tasks=1, waiting=1)) for index in indices
        ]
        beyond = row.remaining - len(indices)
        if beyond > 0:
            targets.append(Target(job=row.job, prospect=Prospect("nothing"), count=beyond))
        return targets

    async def _nodes(self, user: UserRow, request: BulkSteer) -> Matched:
        listing = understand(
            Page(filter=request.filter), user, NODE_FIELDS, Order("name"), now_s=self._clock.now_s()
        )
        await self._loop.barrier()
        nodes = self._loop.cluster.nodes
        found = matching(
            (node_shown(node, now_s=listing.now_s) for node in nodes.values()), listing.conditions
        )
        targets = [
            Target(node=each.name, prospect=of_node(nodes[NodeName(each.name)], request)) for each in found
        ]
        return Matched(targets, len(found), revision_of_nodes(found))

    async def _carry_out(
        self, user: UserRow, request: BulkSteer, matched: Matched, answer: BulkSteered
    ) -> None:
        """Step by step; `answer` comes to say what became of it."""
        skipped = Counter(answer.skipped)
        wanted = [target for target in matched.targets if not target.prospect.skipped]
        answer.changed = answer.tasks = answer.running = answer.waiting = 0
        ends_s = time.monotonic() + ASKED_S
        done, undoing = 0, Undoing()
        while done < len(wanted) and time.monotonic() < ends_s:
            some = wanted[done : done + STEPS_AT_ONCE]
            ways = [self._way_back(request, target) for target in some]
            steps = await self._steps(user, request, some)
            for target, way, became in zip(some, ways, steps, strict=True):
                if _count(answer, skipped, target, became):
                    undoing.add(way, target.node or str(target.job))
            done += len(some)
        answer.left = len(wanted) - done
        answer.skipped = dict(skipped)
        answer.undo = undoing.told()

    def _way_back(self, request: BulkSteer, target: Target) -> Way | None:
        """From what the request does to one, as it is now."""
        cluster = self._loop.cluster
        if request.noun == "node":
            node = cluster.nodes.get(NodeName(target.node))
            return way_back_of_node(node, request) if node is not None else None
        job = cluster.jobs.get(target.job)
        return way_back_of_job(job, request) if job is not None else None

    async def _steps(
        self, user: UserRow, request: BulkSteer, some: Sequence[Target]
    ) -> list[Struct | BaseException]:
        """What each of them was answered. Raises what keeps all of them from going on."""
        steps = [self._step(user, request, target) for target in some]
        if request.noun == "node":
            async with self._steer.steering:
                answers = await asyncio.gather(*steps, return_exceptions=True)
        else:
            answers = await asyncio.gather(*steps, return_exceptions=True)
        for each in answers:
            if isinstance(each, BaseException) and not isinstance(each, ApiError):
                raise each
        return answers

    def _step(self, user: UserRow, request: BulkSteer, target: Target) -> Awaitable[Struct]:
        job, index, by, role = target.job, target.index, user.name, user.role
        ask = self._steer.ask
        match request.verb:
            case "cancel":
                return ask(CancelAsked(job=job, index=index, by=by, role=role))
            case "retry":
                return self._steer.queue_again(user, job, index)
            case "requeue":
                return ask(RequeueAsked(job=job, index=index, by=by, role=role))
            case "hold" | "release" as verb:
                return ask(HoldAsked(job=job, held=verb == "hold", by=by, role=role))
            case "pause" | "resume" as verb:
                return ask(PauseAsked(job=job, paused=verb == "pause", by=by, role=role))
            case "priority":
                assert request.priority is not None, "it was checked"
                return ask(PriorityAsked(job=job, priority=request.priority, by=by, role=role))
            case "label":
                return ask(NodeLabelled(node=NodeName(target.node), labels=request.labels, by=by))
            case verb:
                return ask(
                    NodeSteered(
                        node=NodeName(target.node),
                        admin=_ADMINS[verb],
                        reason=request.reason.strip(),
                        deadline_s=request.deadline_s,
                        by=by,
                    )
                )


def _check(user: UserRow, request: BulkSteer) -> None:
    """That the verb is one of the noun's, the user may, and its arguments are in order. Raises ApiError."""
    verbs = VERBS[request.noun]
    if request.verb not in verbs:
        guess = nearest(request.verb, list(verbs))
        hint = f"did you mean {guess}?" if guess else ""
        expected = f"one of {', '.join(verbs)}"
        raise ApiError(
            refusal("E_ENUM", field="/verb", got=quote(request.verb), expected=expected, hint=hint)
        )
    check_role(user, _operation(request))
    check_reason(request.reason)
    if request.verb == "priority":
        check_range(request.priority or 0, 1, PRIORITY_MAX, field="/priority")
    if request.verb == "label" and not request.labels:
        raise ApiError(refusal("E_LABEL", "no label is given", field="/labels", expected="at least one"))
    if request.deadline_s is not None:
        check_deadline(request.deadline_s, _ADMINS.get(request.verb, NodeAdmin.ACTIVE))


def _operation(request: BulkSteer) -> str:
    """Under which name one of them is steered."""
    return f"{'node' if request.noun == 'node' else 'job'}.{request.verb}"


def _check_size(total: int) -> None:
    if total > MEMBERS_MAX:
        expected = f"at most {MEMBERS_MAX:,} at once"
        hint = "narrow the filter, and ask for each part"
        raise ApiError(
            refusal("E_RANGE", "too many match", field="/filter", got=f"more than {expected}", hint=hint)
        )


def _note(user: UserRow, request: BulkSteer, matched: Matched) -> BulkAsked:
    """For the audit: who asked for what, with the query and what it let through."""
    arguments = {
        "priority": request.priority,
        "labels": request.labels or None,
        "reason": request.reason or None,
        "deadline_s": request.deadline_s,
        "revision": matched.revision,
    }
    details = {name: value for name, value in arguments.items() if value is not None}
    what = counted(matched.total, request.noun)
    return BulkAsked(
        action=_operation(request),
        object=f"all {what} that match",
        query=request.filter,
        matched=matched.total,
        details=details,
        by=user.name,
    )


def _foretold(matched: Matched, request: BulkSteer) -> BulkSteered:
    """What would become of them, as it looks now."""
    skipped: Counter[str] = Counter()
    answer = BulkSteered(matched=matched.total, changed=0, revision=matched.revision, dry_run=request.dry_run)
    for target in matched.targets:
        if target.prospect.skipped:
            skipped[target.prospect.skipped] += target.count
        else:
            _add(answer, target.prospect, tasks=target.prospect.tasks)
    answer.skipped = dict(skipped)
    return answer


def _count(
    answer: BulkSteered, skipped: Counter[str], target: Target, became: Struct | BaseException
) -> bool:
    """One more is done: whether it changed. What did has an entry in the audit; else it was so already."""
    match became:
        case ApiError():
            skipped[became.error.code] += 1
            return False
        case api.Changed(audit=audit, tasks=tasks) | api.Cancelled(audit=audit, tasks=tasks) if audit:
            _add(answer, target.prospect, tasks=tasks)
        case api.Node(audit=audit) if audit:
            _add(answer, target.prospect, tasks=target.prospect.tasks)
        case _:
            skipped["already"] += 1
            return False
    return True


def _add(answer: BulkSteered, prospect: Prospect, *, tasks: int) -> None:
    answer.changed += 1
    answer.tasks += tasks
    answer.running += prospect.running
    answer.waiting += prospect.waiting
