"""`scheduler.…`: what orders the tasks and why, the gate on demand, and what was learned as a document."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Struct

from bus import api, requests, scheduling
from bus.errors import ApiError
from bus.refusal import quote, refusal
from coordinator.api.steer import Steer
from coordinator.clock import Clock
from coordinator.core.effects import LearnedState
from coordinator.core.events import LearnedBrought, ModeAsked
from coordinator.core.learning import situation, snapshot
from coordinator.core.scheduler import kept
from coordinator.core.scheduler.foretold import Record
from coordinator.core.scheduler.learner import REWARDS
from coordinator.core.scheduler.policies import POLICIES, Kind, Mode
from coordinator.core.scheduler.rules import RULES
from coordinator.core.scheduler.values import epsilon, rank_in_force
from coordinator.loop import Loop
from coordinator.store.learned import Kept, Learned
from coordinator.store.rows import UserRow
from coordinator.tuning import Tuning

SNAPSHOTS_SHOWN = 20
_LEARNER = "learner"


class SchedulerDesk:
    """The handlers."""

    def __init__(self, loop: Loop, learned: Learned, tuning: Tuning, steer: Steer, clock: Clock) -> None:
        self._loop = loop
        self._learned = learned
        self._tuning = tuning
        self._steer = steer
        self._clock = clock
        self.handlers: dict[str, Callable[[UserRow, Struct], Awaitable[Struct]]] = {
            "scheduler.status": self.status,
            "scheduler.mode": self.mode,
            "scheduler.train": self.train,
            "scheduler.replay": self.replay,
            "scheduler.export": self.export,
            "scheduler.import": self.import_,
        }

    async def status(self, user: UserRow, request: Struct) -> scheduling.Scheduler:
        """`scheduler.status`."""
        await self._loop.barrier()
        kept_ones = await self._learned.states(SNAPSHOTS_SHOWN)
        cluster, tuning = self._loop.cluster, self._tuning
        learner = cluster.planner
        return scheduling.Scheduler(
            mode=str(cluster.mode),
            policy=cluster.policy,
            order=cluster.order,
            acts=(cluster.policy if cluster.mode is Mode.ON else "") or cluster.order,
            rank=rank_in_force(cluster),
            epsilon=epsilon(cluster),
            reward_window=REWARDS,
            reward_avg=learner.reward_avg,
            decisions=learner.decisions,
            learned=learner.sequence,
            digest=kept.digest(learner),
            queue=situation(cluster, now_s=self._clock.now_s()).queue,
            shadow=tuning.shadow,
            evidence=cluster.evidence,
            next_test_s=tuning.next_s,
            test=tuning.test,
            hour=tuning.hour.shown,
            forecasts=_forecasts(learner.forecasts),
            snapshots=[snapshot_shown(each) for each in kept_ones],
        )

    async def mode(self, user: UserRow, request: Struct) -> Struct:
        """`scheduler.mode`."""
        assert isinstance(request, scheduling.SchedulerMode)
        asked = ModeAsked(mode=Mode(request.mode), by=user.name)
        return await self._changed(user, request, asked)

    async def train(self, user: UserRow, request: Struct) -> Struct:
        """`scheduler.train`: replay, and let act what passes."""
        return await self._test(user, request, adopts=True)

    async def replay(self, user: UserRow, request: Struct) -> Struct:
        """`scheduler.replay`: replay, and only tell."""
        return await self._test(user, request, adopts=False)

    async def _test(self, user: UserRow, request: Struct, *, adopts: bool) -> Struct:
        assert isinstance(request, scheduling.SchedulerTest)
        unknown = [name for name in request.policies if name not in POLICIES]
        if unknown:
            expected = f"some of {', '.join(POLICIES)}"
            raise ApiError(
                refusal(
                    "E_VALUE", "no such policy", field="/policies", got=quote(unknown[0]), expected=expected
                )
            )
        if request.policies and not any(POLICIES[name].kind is Kind.STATIC for name in request.policies):
            raise ApiError(
                refusal(
                    "E_VALUE",
                    "a learned policy is judged against static rules, and none is named",
                    field="/policies",
                    got=quote(", ".join(request.policies)),
                    expected=f"at least one of {', '.join(RULES)}",
                )
            )
        try:
            kept.check_no_pickle(request.swf)
        except kept.Unreadable as error:
            raise ApiError(refusal(error.code, str(error), field="/swf")) from error
        if self._tuning.busy:
            raise ApiError(refusal("E_TOO_OFTEN", "orders are being replayed just now"))
        self._tuning.begin(
            by=user.name, adopts=adopts, swf=request.swf, seed=request.seed, policies=request.policies
        )
        return await self.status(user, request)

    async def export(self, user: UserRow, request: Struct) -> scheduling.Exported:
        """`scheduler.export`."""
        assert isinstance(request, scheduling.SchedulerExport)
        if request.snapshot:
            state = await self._learned.state(request.snapshot)
            if state is None:
                hint = "corral scheduler status shows the newest"
                raise ApiError(
                    refusal(
                        "E_NOT_FOUND",
                        "no such snapshot",
                        field="/snapshot",
                        got=quote(str(request.snapshot)),
                        hint=hint,
                    )
                )
        else:
            cluster = self._loop.cluster
            before = cluster.kept_sequence
            state = snapshot(cluster, "export", now_s=self._clock.now_s())
            cluster.kept_sequence = before  # it is shown, and kept nowhere
        return scheduling.Exported(document=msgspec.json.encode(_document(state)))

    async def import_(self, user: UserRow, request: Struct) -> Struct:
        """`scheduler.import`."""
        assert isinstance(request, scheduling.SchedulerImport)
        learner = _learner_of(request.document)
        return await self._changed(user, requests.Empty(), LearnedBrought(learner=learner, by=user.name))

    async def _changed(
        self, user: UserRow, request: Struct, asked: ModeAsked | LearnedBrought
    ) -> scheduling.Scheduler:
        """How things are once it is done, and where the audit tells of it."""
        done = await self._steer.ask(asked)
        assert isinstance(done, api.Changed)
        status = await self.status(user, request)
        status.audit = done.audit
        return status


def snapshot_shown(each: Kept) -> scheduling.Snapshot:
    """A row of what was learned."""
    return scheduling.Snapshot(
        number=each.number,
        at=each.at,
        reason=each.reason,
        mode=each.mode,
        policy=each.policy,
        learned=each.sequence,
        digest=each.digest,
        epsilon=each.epsilon,
        reward_avg=each.reward_avg,
    )


def _forecasts(record: Record) -> scheduling.Forecasts:
    tracker = record.tracker
    return scheduling.Forecasts(
        told=tracker.told,
        right=tracker.right,
        newest=len(tracker.newest),
        newest_right=sum(tracker.newest),
        width=tracker.width,
        open=len(record.open),
    )


def _document(state: LearnedState) -> dict[str, Any]:
    """What an export has; `learner` is what an import reads, as it was kept, number for number."""
    return {
        "schema": state.schema,
        "at": state.at,
        "reason": state.reason,
        "mode": str(state.mode),
        "policy": state.policy,
        "epsilon": state.epsilon,
        "reward_avg": state.reward_avg,
        "reward_window": state.reward_window,
        "q_table": state.q_table,
        "evidence": state.evidence,
        "digest": state.digest,
        _LEARNER: msgspec.Raw(state.learner),
    }


def _learner_of(document: bytes) -> bytes:
    """Checked: what is read here can be learned on from. Raises ApiError."""
    try:
        kept.check_no_pickle(document)
        parts = msgspec.json.decode(document, type=dict[str, msgspec.Raw])
        learner = bytes(parts.get(_LEARNER, document))
        kept.load(learner)
    except kept.Unreadable as error:
        raise ApiError(refusal(error.code, str(error), field="/document")) from error
    except msgspec.DecodeError as error:
        raise ApiError(refusal("E_LEARNED", f"not an export: {error}", field="/document")) from error
    return learner
