"""What nodes say: they register, beat, report what they use and take what they are given.

What their silence means is in `health`.
"""

from __future__ import annotations

from msgspec.structs import replace

from bus.values import AttemptRef, AttemptState, NodeAdmin, NodeHealth, NodeName, Resources, Usage
from coordinator.core.changes import node_event, node_row
from coordinator.core.effects import (
    AnswerBeat,
    AnswerRegister,
    Effect,
    LogRecord,
    UsageRecord,
)
from coordinator.core.events import AgentBeat, AgentRegistered, CommandConfirmed, CommandUnanswered, UsageSeen
from coordinator.core.gathering import confirm_ranks
from coordinator.core.gpu_health import check_gpus, watch_shares
from coordinator.core.health import has_beaten, has_left, is_stuck
from coordinator.core.links import note_links
from coordinator.core.model import Attempt, Cluster, Node
from coordinator.core.networks import locate
from coordinator.core.node import offering
from coordinator.core.pausing import heal_pauses
from coordinator.core.placing import resend, retract
from coordinator.core.refusals import CAME_BACK_WITHOUT, UNKNOWN_THERE
from coordinator.core.reports import lose
from coordinator.core.suspicion import accuse
from coordinator.core.volumes import place_volumes

_MISSED_BEATS = 2
_LOGGED = ("info", "warning", "error")
"""Severities of a line; what a newer agent says beyond them counts as the worst."""

_ANOMALY_WEIGHT = 0.3


def on_registered(out: list[Effect], cluster: Cluster, event: AgentRegistered, *, now_s: float) -> None:
    """A node is new, restarted, or reconnected: reconcile what we believe with what it holds."""
    node = cluster.nodes.get(event.node)
    rebooted = node is not None and node.boot_id != event.boot_id
    if node is None:
        node, before = _new_node(event, now_s=now_s), None
        cluster.nodes[node.name] = node
        place_volumes(cluster, node)
        out.append(node_event(node, "node_joined", "info", f"node {node.name} joined", now_s=now_s))
    else:
        if rebooted:
            _inherit(cluster, node)
        if node.incarnation != event.incarnation:
            text = f"agent of {node.name} started again" + (" after a reboot" if rebooted else "")
            out.append(node_event(node, "agent_restarted", "info", text, now_s=now_s))
        before = node.inventory
        _update_node(node, event)
        has_beaten(out, cluster, node, now_s=now_s)
    cluster.dirty = True
    cluster.sizes.clear()
    locate(cluster, node)
    note_links(out, node, before, now_s=now_s)
    out.append(node_row(node, registered=True))
    unknown = tuple(ref for ref in event.live if ref not in node.attempts)
    held = set(event.live)
    doubtful: list[Attempt] = []
    for attempt in [a for a in node.attempts.values() if a.ref not in held]:
        if attempt.former_until_s is not None:
            _end_former(out, cluster, attempt, now_s=now_s)
        elif attempt.confirmed_at is None:
            doubtful.append(attempt)
    if event.reply:
        node.told_terms = node.terms
        out.append(AnswerRegister(reply=event.reply, drop=unknown, network=node.terms))
    resend(out, cluster, doubtful)


def _inherit(cluster: Cluster, node: Node) -> None:
    """Another boot speaks for this node. Rebooted, or a second machine with its name: that looks the same.

    What the one before held may run until its lease ends, so that is waited for in either case.
    """
    until_s = node.lease_from_s + cluster.limits.lease_s
    for attempt in node.attempts.values():
        if attempt.former_until_s is None:
            attempt.former_until_s = until_s


def _end_former(out: list[Effect], cluster: Cluster, attempt: Attempt, *, now_s: float) -> None:
    """An attempt that the boot before had, and this one has not."""
    if attempt.former_until_s is not None and now_s >= attempt.former_until_s:
        lose(out, cluster, attempt, AttemptState.LOST, now_s=now_s, message=CAME_BACK_WITHOUT)


def _offered(event: AgentRegistered) -> Resources:
    """What it says it has; GPUs that it does not name cannot be given to anybody."""
    named = sum(gpu.healthy for gpu in event.inventory.gpus)
    capacity = event.capacity
    if capacity.gpus <= named and not capacity.gpu_milli:
        return capacity
    return replace(capacity, gpus=min(capacity.gpus, named), gpu_milli=0)


def _new_node(event: AgentRegistered, *, now_s: float) -> Node:
    offered = _offered(event)
    return Node(
        name=event.node,
        id=event.node_id,
        incarnation=event.incarnation,
        boot_id=event.boot_id,
        version=event.version,
        declared=offered,
        capacity=offered,
        inventory=offering(event.inventory, offered.gpus),
        kind=event.kind,
        own_labels=event.labels,
        roles=event.roles,
        tools=event.tools,
        capabilities=event.capabilities,
        health=NodeHealth.HEALTHY,
        admin=NodeAdmin.ACTIVE,
        lease_from_s=now_s,
        last_beat_s=now_s,
    )


def _update_node(node: Node, event: AgentRegistered) -> None:
    if node.incarnation != event.incarnation:
        node.gpu_faults = ()  # that was another process
    node.incarnation = event.incarnation
    node.boot_id = event.boot_id
    node.version = event.version
    node.declared = _offered(event)
    node.equip(offering(event.inventory, node.declared.gpus))
    if node.quarantines:
        node.count_gpus()
    node.fit_capacity()
    node.kind = event.kind
    node.label(event.labels, node.set_labels)
    node.roles = event.roles
    node.tools = event.tools
    node.capabilities = event.capabilities


def on_beat(out: list[Effect], cluster: Cluster, event: AgentBeat, *, now_s: float) -> None:
    """Renew the leases of what is rightly there; say what is not."""
    node = cluster.nodes.get(event.node)
    if node is None or node.incarnation != event.incarnation:
        if event.reply:
            out.append(AnswerBeat(reply=event.reply, sequence=event.sequence, drop=(), register_again=True))
        return
    node.load = event.load
    if event.leaving:
        _on_leaving(out, cluster, node, event, now_s=now_s)
        return
    has_beaten(out, cluster, node, now_s=now_s)
    if event.gpus is not None:
        check_gpus(out, cluster, node, event.gpus, now_s=now_s)
    held, still, preparing = set(event.live), set(event.paused), set(event.preparing)
    doubtful: list[Attempt] = []
    assigned = AttemptState.ASSIGNED  # looked up once: each time costs 0.1 µs in Python 3.11
    stuck: list[Attempt] = []
    pausing: list[Attempt] = []
    for attempt in list(node.attempts.values()):
        if attempt.ref in held:  # by far the most: a few look-ups each, for all that run in the cluster
            if attempt.missing or attempt.former_until_s is not None:
                attempt.missing, attempt.former_until_s = 0, None
            if attempt.state is assigned:
                if attempt.task.ranks is not None:  # held there by right; what its agent said may be lost
                    if _is_doubtful(cluster, attempt, now_s=now_s):
                        doubtful.append(attempt)
                elif preparing and attempt.ref in preparing:
                    attempt.idle_s = None  # something is being brought for it
                elif is_stuck(cluster, node, attempt, now_s=now_s):
                    attempt.late = True
                    stuck.append(attempt)
            if attempt.task.group.job.paused_by is not None or (still and attempt.ref in still):
                pausing.append(attempt)
        elif attempt.former_until_s is not None:
            _end_former(out, cluster, attempt, now_s=now_s)
        elif _is_missing(cluster, attempt, now_s=now_s):
            lose(out, cluster, attempt, AttemptState.LOST, now_s=now_s, message=UNKNOWN_THERE)
        elif _is_doubtful(cluster, attempt, now_s=now_s):
            doubtful.append(attempt)
    if event.reply:  # before anything is sent again: whoever's leases have run out refuses that until then
        drop = tuple(ref for ref in event.live if ref not in node.attempts)
        news = node.terms != node.told_terms  # what it offers may depend on it
        out.append(AnswerBeat(reply=event.reply, sequence=event.sequence, drop=drop, register_again=news))
    if doubtful:
        resend(out, cluster, doubtful)
    if stuck:
        retract(out, stuck)
    if pausing:
        heal_pauses(out, pausing, still)


def _on_leaving(out: list[Effect], cluster: Cluster, node: Node, event: AgentBeat, *, now_s: float) -> None:
    """Its agent takes nothing any more: what never reached it is free at once, the rest after its lease."""
    held = set(event.live)
    for attempt in list(node.attempts.values()):
        arrived = attempt.confirmed_at is not None or attempt.former_until_s is not None
        if attempt.state is AttemptState.ASSIGNED and not arrived and attempt.ref not in held:
            lose(out, cluster, attempt, AttemptState.RETURNED, now_s=now_s, charged=False)
    has_left(out, cluster, node, now_s=now_s)
    if event.reply:
        out.append(AnswerBeat(reply=event.reply, sequence=event.sequence, drop=(), register_again=False))


def _is_doubtful(cluster: Cluster, attempt: Attempt, *, now_s: float) -> bool:
    """Whether its assignment may never have arrived."""
    long_ago = now_s - attempt.assigned_at > cluster.limits.missing_after_s
    return attempt.confirmed_at is None and (attempt.unanswered or long_ago)


def _is_missing(cluster: Cluster, attempt: Attempt, *, now_s: float) -> bool:
    """Confirmed long ago, and absent from several heartbeats: not just a message that crossed.

    One that is being cancelled need not have been confirmed: should it arrive yet, it will be dropped.
    """
    since_s = attempt.assigned_at if attempt.cancelling else attempt.confirmed_at
    if since_s is None or now_s - since_s < cluster.limits.missing_after_s:
        return False
    attempt.missing += 1
    return attempt.missing >= _MISSED_BEATS


def on_usage(out: list[Effect], cluster: Cluster, event: UsageSeen, *, now_s: float) -> None:
    """Keep the newest gauges; hand the samples on to the time-series store, each where its time was."""
    node = cluster.nodes.get(event.node)
    if node is None:
        cluster.unknown_senders += 1
        return
    measured_s = now_s - event.age_s
    is_newest = measured_s >= node.usage_s
    if is_newest:
        node.usage, node.usage_s, node.load = event.usage, measured_s, event.load
    beyond = exceeded(node, event.usage)
    if beyond and is_newest and not node.anomalous:
        text = f"node {node.name} reports more than it has: {', '.join(beyond)}"
        out.append(node_event(node, "usage_anomaly", "warning", text, now_s=now_s))
        accuse(node.watch, _ANOMALY_WEIGHT, now_s=now_s)
    node.anomalous = bool(beyond) if is_newest else node.anomalous
    known = {gpu.uuid for gpu in node.inventory.gpus}
    out.append(
        UsageRecord(
            at=measured_s,
            node=node.name,
            node_id=node.id,
            usage=event.usage,
            load=event.load,
            anomaly=bool(beyond),
            gpus=tuple({gpu.uuid: gpu for gpu in event.gpus if gpu.uuid in known}.values()),
        )
    )
    for line in event.log:
        severity = line.severity if line.severity in _LOGGED else "error"
        at = measured_s - line.age_s
        out.append(LogRecord(at=at, node_id=node.id, severity=severity, text=line.text))
    if is_newest and (event.gpus or node.over_share):
        watch_shares(out, node, event.tasks, now_s=now_s)
    for ref, usage in event.tasks:
        attempt = node.attempts.get(ref)
        if attempt is not None:
            out.append(
                UsageRecord(
                    at=measured_s,
                    node=node.name,
                    node_id=node.id,
                    usage=usage,
                    load=event.load,
                    attempt=ref,
                    task_id=attempt.task.id,
                )
            )


def exceeded(node: Node, usage: Usage) -> tuple[str, ...]:
    """Gauges above what the machine has: a broken probe, or a clock that jumped between two samples.

    Measured against the machine, not against what the node offers of it; a tenth is left for the jitter of
    a rate between two samples.
    """
    inventory = node.inventory
    bounds = (
        ("cpu", usage.cpu_millis, inventory.cpu_cores * 1100.0),
        ("memory", usage.mem_mib, float(inventory.mem_mib)),
        ("gpu", usage.gpus, len(inventory.gpus) * 1.1),
    )
    return tuple(name for name, used, bound in bounds if bound and used > bound)


def on_confirmed(out: list[Effect], cluster: Cluster, event: CommandConfirmed, *, now_s: float) -> None:
    """The node has these assignments on disk."""
    known = _known(cluster, event.node, event.attempts)
    for attempt in known:
        attempt.confirmed_at = now_s
    if cluster.gathering:
        confirm_ranks(out, cluster, known, dict(event.ports))


def on_unanswered(cluster: Cluster, event: CommandUnanswered) -> None:
    """Arrived or not, nobody knows. Its next heartbeat says whether, or else is answered by asking again.

    Not earlier: whom a command does not reach, or who refuses it because its leases have run out, has to be
    heard first.
    """
    for attempt in _known(cluster, event.node, event.attempts):
        attempt.unanswered = True


def _known(cluster: Cluster, name: NodeName, refs: tuple[AttemptRef, ...]) -> list[Attempt]:
    node = cluster.nodes.get(name)
    return [node.attempts[ref] for ref in refs if ref in node.attempts] if node is not None else []
