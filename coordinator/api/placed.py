"""Why a task is where it is: what its newest attempt kept of the decision, also long after its end."""

from __future__ import annotations

import msgspec

from bus import api
from bus.values import AttemptState, TaskRef, TaskState
from coordinator.core import why
from coordinator.core.scheduler.explain import Explanation
from coordinator.store.reads import Reads

_OTHERS = "another user's"


class Placed:
    """Out of the rows of attempts; what else is asked for on the way are tasks that a decision names."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def why(self, task: api.Task, *, viewer: str | None) -> api.Why:
        """Of a task that has its attempts, so far as `viewer` may know; None may know everything."""
        kept = await self._kept(task, viewer=viewer)
        return placed(task, str(TaskRef(task.job, task.index)), await self._discreet(kept, viewer=viewer))

    async def _discreet(self, kept: Explanation, *, viewer: str | None) -> Explanation:
        """Without the names of tasks that the viewer may not know of."""
        behind = kept.backfill.behind if kept.backfill is not None else ""
        hidden: set[str] = set()
        for name in filter(None, {*kept.q, kept.would, behind}) if viewer is not None else ():
            if await self._reads.job(int(name.partition(".")[0]), viewer=viewer) is None:
                hidden.add(name)
        if not hidden:
            return kept
        q: dict[str, float] = {}
        for name, value in sorted(kept.q.items(), key=lambda each: each[1]):
            q.setdefault(_OTHERS if name in hidden else name, value)
        return msgspec.structs.replace(
            kept,
            q=q,
            would=_OTHERS if kept.would in hidden else kept.would,
            backfill=msgspec.structs.replace(kept.backfill, behind=_OTHERS)
            if kept.backfill is not None and behind in hidden
            else kept.backfill,
        )

    async def _kept(self, task: api.Task, *, viewer: str | None) -> Explanation:
        """What the newest attempt kept of its decision, or the one whose it shares."""
        explanation = explanation_of(newest_of(task)) if task.attempts else Explanation()
        if explanation.like is None:
            return explanation
        index, fence = explanation.like
        other = await self._reads.task(TaskRef(task.job, index), viewer=viewer)
        found = [each for each in other.attempts if each.fence == fence] if other is not None else []
        return explanation_of(found[0]) if found else explanation


def explanation_of(attempt: api.Attempt) -> Explanation:
    """As it was kept."""
    return msgspec.convert(attempt.explanation, Explanation)


def placed(task: api.Task, ref: str, explanation: Explanation) -> api.Why:
    """What the newest attempt kept of the decision; also long after its end."""
    if not task.attempts:
        reason = f": {task.message}" if task.message else ""
        return api.Why(
            task=ref, state=task.state, summary=f"{ref} is {task.state}, and was never placed{reason}"
        )
    newest = newest_of(task)
    return api.Why(
        task=ref,
        state=task.state,
        summary=f"{ref} {_fate(newest, task.state)} on {_places(newest, explanation)}",
        node=newest.node,
        attempt=newest.fence,
        order=explanation.order,
        rank=explanation.rank,
        candidates=why.decided(explanation, newest.node),
        decided_at=newest.assigned_at,
        policy=explanation.policy,
        rule=explanation.rule,
        class_=explanation.class_,
        values=explanation.q,
        would=explanation.would,
        explored=explanation.explored,
        epsilon=explanation.epsilon,
        backfill=_backfilled(explanation),
        usage_age_s=explanation.usage_age_s,
    )


def _backfilled(explanation: Explanation) -> api.Backfilled | None:
    kept = explanation.backfill
    if kept is None:
        return None
    return api.Backfilled(
        behind=kept.behind, node=kept.node, reserved_at=kept.reserved_s, until_at=kept.until_s
    )


def _fate(attempt: api.Attempt, state: TaskState) -> str:
    match attempt.state:
        case AttemptState.ASSIGNED:
            return "was placed"
        case AttemptState.RUNNING:
            return "runs"
        case _:
            return f"was placed, and is {state},"


def newest_of(task: api.Task) -> api.Attempt:
    """The newest attempt of a task that has any; of a gang, its rank 0, which keeps the decision."""
    return next(each for each in task.attempts if each.fence == task.attempts[-1].fence)


def _places(newest: api.Attempt, explanation: Explanation) -> str:
    """Where it is and why there; of a gang, where its ranks are."""
    gang = explanation.gang
    if gang is None:
        return f"{newest.node}: {_rule(explanation)}"
    nodes = ", ".join(f"{name} ({number})" for name, number in gang.nodes.items())
    shared = f": all in {gang.topology} {gang.values[0]}" if gang.topology and len(gang.values) == 1 else ""
    spread = f": {gang.spread}" if gang.spread else ""
    return f"{nodes}, {gang.ranks} ranks at once{shared}{spread}"


def _rule(explanation: Explanation) -> str:
    if explanation.rank == "prefill":
        return f"ahead of a free place, as {explanation.pace_per_s} tasks end there per second"
    feasible = explanation.feasible
    rejected = explanation.nodes - feasible if explanation.nodes else len(explanation.rejected)
    of = "the only node that could take it" if feasible == 1 else f"best of {feasible} nodes"
    by = "" if feasible == 1 else f" by {explanation.rank or '?'}"
    return of + by + (f"; {rejected} could not" if rejected else "")
