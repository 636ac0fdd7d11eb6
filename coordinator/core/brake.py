"""The brake: when more than half of the nodes vanish at once, it is more likely that we cannot hear them.

Then nothing is replaced and nobody is blamed: their work may well be running, and a healthy remainder would
drown in what the others had. It lifts as soon as they are back, which leaves those that are still missing a
whole lease to follow; or after `brake_s` if our own checks pass: then they are really gone. Nodes that fell
silent longer ago than the window belong to an earlier misfortune and are not counted, or a cluster whose
larger half was switched off would brake for ever; nor are those that said goodbye.
"""

from __future__ import annotations

from bus.units import counted
from coordinator.core.effects import Effect, EventRecord
from coordinator.core.events import SelfChecked
from coordinator.core.model import Brake, Cluster, Node

_CHECK_AGE_MAX_S = 15.0


def on_self_checked(cluster: Cluster, event: SelfChecked, *, now_s: float) -> None:
    """Remember what the coordinator found when it looked at itself."""
    found = {"bus": event.bus, "database": event.database, "clock": event.clock}
    cluster.own_faults = tuple(name for name, sound in found.items() if not sound)
    cluster.own_checked_s = now_s


def check_brake(out: list[Effect], cluster: Cluster, *, now_s: float) -> None:
    """Pull the brake or lift it; before anything is replaced."""
    if cluster.brake is None:
        _pull(out, cluster, now_s=now_s)
    else:
        _lift(out, cluster, cluster.brake, now_s=now_s)


def _pull(out: list[Effect], cluster: Cluster, *, now_s: float) -> None:
    limits = cluster.limits
    heard = [
        node
        for node in cluster.nodes.values()
        if now_s - node.last_beat_s <= limits.brake_window_s and not node.left
    ]
    vanished = [node for node in heard if _silent(cluster, node, now_s=now_s)]
    if len(heard) < limits.brake_nodes_min or 2 * len(vanished) <= len(heard):
        return
    reason = f"{len(vanished)} of {counted(len(heard), 'node')} fell silent at once: nothing is replaced"
    cluster.brake = Brake(now_s, frozenset(node.name for node in vanished), reason)
    out.append(_event("brake_on", "critical", f"the brake is on: {reason}", now_s=now_s))


def _lift(out: list[Effect], cluster: Cluster, brake: Brake, *, now_s: float) -> None:
    limits = cluster.limits
    silent = {node.name for node in cluster.nodes.values() if _silent(cluster, node, now_s=now_s)}
    away = brake.nodes & silent
    if len(away) <= len(cluster.nodes) - len(silent):
        why = f"{len(brake.nodes) - len(away)} of {counted(len(brake.nodes), 'node')} are back"
        for name in away:  # the others may be a moment behind
            cluster.nodes[name].lease_from_s = now_s
    elif now_s - brake.since_s >= limits.brake_s and _is_sound(cluster, now_s=now_s):
        why = f"our own checks pass, and {counted(len(away), 'node')} stayed away for {limits.brake_s:g} s"
    else:
        return
    cluster.brake = None
    out.append(_event("brake_off", "warning", f"the brake is off: {why}", now_s=now_s))


def _is_sound(cluster: Cluster, *, now_s: float) -> bool:
    return now_s - cluster.own_checked_s <= _CHECK_AGE_MAX_S and not cluster.own_faults


def _silent(cluster: Cluster, node: Node, *, now_s: float) -> bool:
    """On the way to unreachable. Heartbeats of those that vanish together lie up to two intervals apart."""
    limits = cluster.limits
    return now_s - node.last_beat_s >= limits.unreachable_after_s - 2 * limits.heartbeat_interval_s


def _event(kind: str, severity: str, message: str, *, now_s: float) -> EventRecord:
    return EventRecord(at=now_s, event_type=kind, severity=severity, message=message)
