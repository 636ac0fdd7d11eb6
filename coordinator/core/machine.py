"""`step`: one event in, the effects out. The whole coordinator decides here and nowhere else.

Same cluster, same events, same times: same effects. The simulator, the trace replayer and production
run this function. It mutates `cluster`, which is a cache of what the database holds plus the
effects not yet performed; if those cannot be performed, the cluster must be rebuilt, never stepped again.
"""

from __future__ import annotations

from typing import assert_never

from coordinator.core.after import settle_ended, settle_waiting
from coordinator.core.brake import on_self_checked
from coordinator.core.changes import flush, sweep_lines
from coordinator.core.children import on_parents_wait
from coordinator.core.drains import check_drains, on_steered
from coordinator.core.effects import Effect
from coordinator.core.events import (
    AgentBeat,
    AgentRegistered,
    BulkAsked,
    CancelAsked,
    CommandConfirmed,
    CommandUnanswered,
    Event,
    ForecastMade,
    GpuAsked,
    HoldAsked,
    JobSubmitted,
    LearnedBrought,
    ModeAsked,
    NetworksDeclared,
    NodeLabelled,
    NodeSteered,
    ParentsWait,
    PauseAsked,
    PolicyChosen,
    PriorityAsked,
    RequeueAsked,
    RetryAsked,
    ScheduleDue,
    SelfChecked,
    SharesAsked,
    SnapshotDue,
    TasksReported,
    Tick,
    UsageSeen,
    VolumesPlaced,
)
from coordinator.core.fair_share import on_shares, settle
from coordinator.core.forecasts import check_forecasts, on_forecast
from coordinator.core.gangs import check_barriers
from coordinator.core.gathering import remind_starts
from coordinator.core.gpu_health import on_gpu_asked
from coordinator.core.health import check_silence, check_starts
from coordinator.core.jobs import on_cancel, on_submitted, remind_cancels, requeue_due
from coordinator.core.labels import on_labelled
from coordinator.core.learning import keep_notes, on_brought, on_mode, on_policy, on_snapshot
from coordinator.core.model import Cluster
from coordinator.core.networks import on_declared
from coordinator.core.nodes import (
    on_beat,
    on_confirmed,
    on_registered,
    on_unanswered,
    on_usage,
)
from coordinator.core.placing import is_unwanted, on_schedule, retract
from coordinator.core.preemption import preempt
from coordinator.core.reports import on_reported
from coordinator.core.starting import start_due
from coordinator.core.steering import on_bulk, on_hold, on_pause, on_priority, on_requeue, on_retry
from coordinator.core.volumes import on_placed
from coordinator.core.yielding import remind_yields


def step(cluster: Cluster, event: Event, now_s: float) -> list[Effect]:
    """Let `event` happen at `now_s` (seconds of the epoch, never going back)."""
    out: list[Effect] = []
    match event:
        case AgentBeat():
            on_beat(out, cluster, event, now_s=now_s)
        case TasksReported():
            on_reported(out, cluster, event, now_s=now_s)
        case UsageSeen():
            on_usage(out, cluster, event, now_s=now_s)
        case JobSubmitted():
            on_submitted(out, cluster, event, now_s=now_s)
        case ScheduleDue():
            on_schedule(out, cluster, now_s=now_s)
            preempt(out, cluster, now_s=now_s)
        case CommandConfirmed():
            on_confirmed(out, cluster, event, now_s=now_s)
        case CommandUnanswered():
            on_unanswered(cluster, event)
        case VolumesPlaced():
            on_placed(cluster, event)
        case CancelAsked():
            on_cancel(out, cluster, event, now_s=now_s)
        case HoldAsked():
            on_hold(out, cluster, event, now_s=now_s)
        case PauseAsked():
            on_pause(out, cluster, event, now_s=now_s)
        case RequeueAsked():
            on_requeue(out, cluster, event, now_s=now_s)
        case RetryAsked():
            on_retry(out, cluster, event, now_s=now_s)
        case PriorityAsked():
            on_priority(out, cluster, event, now_s=now_s)
        case BulkAsked():
            on_bulk(out, event, now_s=now_s)
        case NodeSteered():
            on_steered(out, cluster, event, now_s=now_s)
        case NodeLabelled():
            on_labelled(out, cluster, event, now_s=now_s)
        case GpuAsked():
            on_gpu_asked(out, cluster, event, now_s=now_s)
        case AgentRegistered():
            on_registered(out, cluster, event, now_s=now_s)
        case NetworksDeclared():
            on_declared(cluster, event)
        case SharesAsked():
            on_shares(out, cluster, event, now_s=now_s)
        case ModeAsked():
            on_mode(out, cluster, event, now_s=now_s)
        case PolicyChosen():
            on_policy(out, cluster, event, now_s=now_s)
        case LearnedBrought():
            on_brought(out, cluster, event, now_s=now_s)
        case SnapshotDue():
            on_snapshot(out, cluster, event, now_s=now_s)
        case ForecastMade():
            on_forecast(cluster, event)
        case ParentsWait():
            on_parents_wait(cluster, event)
        case SelfChecked():
            on_self_checked(cluster, event, now_s=now_s)
        case Tick():
            _on_tick(out, cluster, now_s=now_s)
        case _:
            assert_never(event)
    settle_ended(out, cluster, now_s=now_s)
    flush(out, cluster, now_s=now_s)
    keep_notes(out, cluster, now_s=now_s)
    return out


def _on_tick(out: list[Effect], cluster: Cluster, *, now_s: float) -> None:
    """Time has passed: what is due by it."""
    requeue_due(out, cluster, now_s=now_s)
    start_due(out, cluster, now_s=now_s)
    check_silence(out, cluster, now_s=now_s)
    check_starts(out, cluster, now_s=now_s)
    check_barriers(out, cluster, now_s=now_s)
    check_drains(out, cluster, now_s=now_s)
    settle(out, cluster, now_s=now_s)
    check_forecasts(cluster, now_s=now_s)
    cluster.preempt_due = True
    cluster.dirty = cluster.dirty or bool(cluster.lines)


def reconcile(cluster: Cluster, now_s: float) -> list[Effect]:
    """Level-triggered part, every 10–30 s: repeat the commands whose effect has not been seen."""
    out: list[Effect] = []
    settle_waiting(out, cluster, now_s=now_s)
    settle_ended(out, cluster, now_s=now_s)
    remind_cancels(out, cluster)
    remind_starts(out, cluster)
    for attempt in cluster.attempts():
        attempt.retracting = False  # asked again where it still matters: below, and by `check_starts`
    remind_yields(out, cluster)
    retract(out, [attempt for attempt in cluster.attempts() if is_unwanted(cluster, attempt)])
    sweep_lines(cluster)
    flush(out, cluster, now_s=now_s)
    keep_notes(out, cluster, now_s=now_s)
    return out
