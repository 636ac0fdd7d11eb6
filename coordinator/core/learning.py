"""Learning in production: what was decided and what came of it, kept so that the next leader knows the same.

A task that ran and ended of itself makes an experience: the cluster as its decision saw it, what was decided,
the reward (`core.scheduler.learner`), and the cluster as it is now. Every note of the learner goes into the
batch that it came of; snapshots of all that is learned are rows like any other, too.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from typing import Any

import msgspec

from bus.values import UserName
from coordinator.core.effects import (
    AnswerChanged,
    AuditRow,
    Effect,
    EventRecord,
    ExperienceRecord,
    LearnedState,
    LearningNotes,
)
from coordinator.core.events import LearnedBrought, ModeAsked, PolicyChosen, SnapshotDue
from coordinator.core.model import Attempt, Cluster
from coordinator.core.scheduler import kept
from coordinator.core.scheduler.asking import asked_of
from coordinator.core.scheduler.explain import Explanation
from coordinator.core.scheduler.feasible import gpus_wanted
from coordinator.core.scheduler.learner import (
    REWARDS,
    Action,
    Experience,
    Learner,
    Note,
    Situation,
    Unused,
    reward,
)
from coordinator.core.scheduler.order import static_order
from coordinator.core.scheduler.policies import POLICIES, TABLE, Mode
from coordinator.core.scheduler.values import LOOK_S, acting, epsilon, seen

SITUATION_S = 1.0
"""The capacity of all nodes is summed up at most so often: what a decision saw is never older."""

_encode = msgspec.json.Encoder().encode
_notes = msgspec.json.Decoder(tuple[Note, ...])


def situation(cluster: Cluster, *, now_s: float) -> Situation:
    """The cluster as a learner sees it, as of the last second."""
    if cluster.situation is None or now_s - cluster.situated_s >= SITUATION_S:
        cluster.situation, cluster.situated_s = _look(cluster), now_s
    return cluster.situation


def _look(cluster: Cluster) -> Situation:
    cpu = held_cpu = gpus = held_gpus = 0
    for node in cluster.nodes.values():
        cpu, held_cpu = cpu + node.capacity.cpu_millis, held_cpu + node.allocated.cpu_millis
        gpus, held_gpus = gpus + node.capacity.gpu_millis, held_gpus + node.allocated.gpu_millis
    load = max(held_cpu / cpu if cpu else 0.0, held_gpus / gpus if gpus else 0.0)
    recent = cluster.planner.recent
    mix = width = 0.0
    if recent:
        mix = math.fsum(math.log2(max(job.requested_s, 1.0)) for job in recent) / len(recent)
        width = math.fsum(math.log2(max(job.nodes, 1)) for job in recent) / len(recent)
    queue = sum(len(line.entries) for line in cluster.lines.values())
    return Situation(queue, round(load, 4), round(mix, 3), round(width, 3))


@lru_cache(maxsize=64)
def _situation(state: tuple[float, ...]) -> Situation | None:
    """Those of one second are the same."""
    if not state:
        return None
    queue, load, mix, width = state
    return Situation(int(queue), load, mix, width)


def note_experience(cluster: Cluster, attempt: Attempt, *, now_s: float) -> None:
    """Its task ends by what it did, its walltime included; its job does not know yet.

    Those that were lost, preempted or cancelled tell nothing.
    """
    if attempt.started_at is None:
        return
    group, learner = attempt.task.group, cluster.planner
    ran_s = max(now_s - attempt.started_at, 0.0)
    waited_s = max(attempt.started_at - group.job.submitted_at, 0.0)
    got = reward(waited_s, ran_s)
    decided = attempt.decided or Explanation()
    over = len(cluster.jobs) == 1 and not group.job.queued and group.job.assigned + group.job.running == 1
    learner.note(
        Experience(
            task=attempt.task.id,
            at_s=now_s,
            before=_situation(decided.state),
            action=Action(
                node=attempt.node,
                order=decided.order or static_order(cluster),
                policy=decided.policy,
                rule=decided.rule,
                explored=decided.explored,
                epsilon=decided.epsilon,
            ),
            reward=got,
            after=None if over else situation(cluster, now_s=now_s),
            over=over,
            priority=abs(got - (learner.reward_avg or 0.0)),
            job=asked_of(cluster, group, at_s=group.job.submitted_at),
            run_s=ran_s,
        )
    )


def keep_notes(out: list[Effect], cluster: Cluster, *, now_s: float) -> None:
    """At the end of a step: what was learned in it goes into its batch."""
    notes = cluster.planner.take_notes()
    if not notes:
        return
    last = cluster.planner.sequence
    out.append(LearningNotes(at=now_s, last=last, notes=_encode(notes)))
    out.extend(experiences(notes, last))


def experiences(notes: tuple[Note, ...], last: int) -> list[ExperienceRecord]:
    """Those among notes of which the last has that number."""
    first = last - len(notes) + 1
    return [
        ExperienceRecord(sequence=first + place, policy_version=note.action.policy, experience=note)
        for place, note in enumerate(notes)
        if isinstance(note, Experience)
    ]


def read_notes(row: LearningNotes) -> tuple[Note, ...]:
    """Raises `kept.Unreadable`."""
    try:
        return _notes.decode(row.notes)
    except msgspec.DecodeError as error:
        raise kept.Unreadable(f"notes up to {row.last}: {error}") from error


def restore_learned(cluster: Cluster, state: LearnedState | None, notes: tuple[LearningNotes, ...]) -> None:
    """Mode, policy and what was learned: the newest snapshot, and the notes after it. Raises Unreadable."""
    if state is not None:
        cluster.mode_asked, cluster.mode = state.mode, state.mode or cluster.mode
        known = state.policy in POLICIES  # of another version may be what this one does not have
        cluster.policy, cluster.evidence = state.policy if known else "", state.evidence
        cluster.planner = kept.load(state.learner)
        cluster.kept_sequence = state.sequence
    learner = cluster.planner
    for row in notes:
        if row.last <= learner.sequence:
            continue
        read = read_notes(row)
        before = row.last - len(read)
        if before > learner.sequence:
            raise kept.Unreadable(f"notes {learner.sequence + 1} to {before} are missing")
        # a batch has one row of notes, and may have been amid it that the snapshot was taken
        for note in read[learner.sequence - before :]:
            learner.learn(note)


def forget_learned(cluster: Cluster, state: LearnedState | None, notes: tuple[LearningNotes, ...]) -> None:
    """Learn anew, where what was kept cannot be read: nobody shall be without a coordinator for that."""
    learner = cluster.planner = Learner()
    learner.sequence = max((row.last for row in notes), default=state.sequence if state else 0)
    cluster.policy = ""


def on_mode(out: list[Effect], cluster: Cluster, event: ModeAsked, *, now_s: float) -> None:
    """Off, shadow or on, from now on and for the leaders to come."""
    before, cluster.mode, cluster.mode_asked = cluster.mode, event.mode, event.mode
    if before is not event.mode:
        text = f"mode {event.mode}, it was {before}"
        details: dict[str, Any] = {"mode": str(event.mode), "before": str(before)}
        details |= {"policy": cluster.policy, "evidence": cluster.evidence}
        _tell(out, cluster, "scheduler_mode", text, details, now_s=now_s, user=event.by)
        out.append(AuditRow(at=now_s, actor=event.by, action="scheduler.mode", object=str(event.mode)))
        out.append(snapshot(cluster, f"mode {event.mode}", now_s=now_s))
    if event.reply:
        out.append(AnswerChanged(reply=event.reply, tasks=0))


def on_policy(out: list[Effect], cluster: Cluster, event: PolicyChosen, *, now_s: float) -> None:
    """The gate has looked again: who passed acts, or nobody does. What it trained is kept, whoever acts."""
    before, cluster.policy, cluster.evidence = cluster.policy, event.policy, event.evidence
    if event.table is not None:
        cluster.planner.table = event.table
    placing = event.weights is not None and event.weights != cluster.planner.weights
    if placing:
        _place_by(out, cluster, event, now_s=now_s)
    if before != event.policy:
        now, was = (name or f"{cluster.order} (static)" for name in (event.policy, before))
        details = {"policy": event.policy, "before": before, "evidence": event.evidence}
        does = "orders" if cluster.mode is Mode.ON else f"would order (mode {cluster.mode})"
        _tell(out, cluster, "scheduler_policy", f"{now} {does} tasks instead of {was}", details, now_s=now_s)
        reason = f"policy {event.policy or 'none'}"
    else:
        reason = "placements" if placing else "replay"
    out.append(snapshot(cluster, reason, now_s=now_s))


def _place_by(out: list[Effect], cluster: Cluster, event: PolicyChosen, *, now_s: float) -> None:
    learner = cluster.planner
    was, now = bool(learner.weights), event.weights or b""
    learner.place_by(now, gpus=_gpus(cluster))
    if was != bool(now):
        text = "learned values rank nodes" if now else "learned values rank nodes no more"
        details = {"evidence": event.evidence.get("placement", {})}
        _tell(out, cluster, "scheduler_placement", text, details, now_s=now_s)


def _gpus(cluster: Cluster) -> int:
    return sum(node.declared.gpus for node in cluster.nodes.values())


def note_unused(cluster: Cluster, *, now_s: float) -> None:
    """Once a minute: what nodes are like, and what is unused since then although somebody waits for GPUs."""
    rule = acting(cluster)
    if rule is None or cluster.pool is None or now_s - cluster.places_s < LOOK_S:
        return
    now, unused = seen(rule, cluster.pool.live)
    before, cluster.places_seen, cluster.places_s = cluster.places_seen, now, now_s
    if before and any(gpus_wanted(shape) for shape in cluster.blocked):
        cluster.planner.note(Unused(before, unused))


def on_brought(out: list[Effect], cluster: Cluster, event: LearnedBrought, *, now_s: float) -> None:
    """Somebody brought what was learned elsewhere, or before: what it was trained to has to pass our gate."""
    before, found = cluster.planner, kept.load(event.learner)  # checked at the door
    found.sequence = max(found.sequence, before.sequence)
    found.forecasts.open = before.forecasts.open  # those brought are of other tasks
    found.offer(before, gpus=_gpus(cluster))
    if TABLE in POLICIES[cluster.policy or cluster.order].rules:
        found.table = before.table
    cluster.planner = found
    document = kept.dump(found)
    text = f"{event.by} brought what was learned elsewhere: {found.decisions} decisions"
    details = {"digest": _digest(document)}
    _tell(out, cluster, "scheduler_import", text, details, now_s=now_s, user=event.by)
    out.append(
        AuditRow(
            at=now_s, actor=event.by, action="scheduler.import", object=details["digest"], details=details
        )
    )
    out.append(snapshot(cluster, "import", now_s=now_s))
    if event.reply:
        out.append(AnswerChanged(reply=event.reply, tasks=0))


def on_snapshot(out: list[Effect], cluster: Cluster, event: SnapshotDue, *, now_s: float) -> None:
    """Only where something was learned since the last one."""
    if cluster.planner.sequence != cluster.kept_sequence:
        out.append(snapshot(cluster, event.reason, now_s=now_s))


def snapshot(cluster: Cluster, reason: str, *, now_s: float) -> LearnedState:
    """All that is learned, as of this step; its notes are in it."""
    learner = cluster.planner
    cluster.kept_sequence = learner.sequence
    document = kept.dump(learner)
    return LearnedState(
        at=now_s,
        mode=cluster.mode_asked,
        policy=cluster.policy,
        schema=kept.SCHEMA,
        sequence=learner.sequence,
        learner=document,
        digest=_digest(document),
        epsilon=epsilon(cluster),
        reward_avg=learner.reward_avg,
        reward_window=REWARDS,
        q_table=learner.table.values,
        weights=learner.weights,
        reason=reason,
        evidence=cluster.evidence,
    )


def _digest(document: bytes) -> str:
    return hashlib.sha256(document).hexdigest()


def _tell(
    out: list[Effect],
    cluster: Cluster,
    kind: str,
    message: str,
    details: dict[str, Any],
    *,
    now_s: float,
    user: UserName | None = None,
) -> None:
    out.append(
        EventRecord(at=now_s, event_type=kind, severity="info", message=message, user=user, details=details)
    )
