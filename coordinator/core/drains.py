"""What people make of nodes: cordoned, drained, taken into maintenance, and taken back.

A drain asks back what has not started and lets the rest end; at its deadline the rest is queued again
elsewhere. Maintenance is a drain with a goal: once nothing runs there any more, the node is in maintenance
(`changes.note_drained`). Goal and deadline are columns of the node's row, so a new leader keeps both.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, assert_never

from bus.units import counted
from bus.values import NodeAdmin
from coordinator.core.changes import node_event, node_row, note_drained
from coordinator.core.effects import AnswerNode, AuditRow, Effect, Fault, Refuse
from coordinator.core.events import NodeSteered
from coordinator.core.model import Cluster, Node
from coordinator.core.placing import is_unwanted, retract
from coordinator.core.refusals import forgive
from coordinator.core.transitions import NODE_TRANSITIONS
from coordinator.core.yielding import yield_attempts

_REASON_MAX = 500


def on_steered(out: list[Effect], cluster: Cluster, event: NodeSteered, *, now_s: float) -> None:
    """Give a node another admin state; what it has to give back is asked for at once."""
    node = cluster.nodes.get(event.node)
    if node is None:
        out.append(Refuse(reply=event.reply, faults=(no_node(cluster, event.node),)))
        return
    admin, goal, deadline = _wanted(node, event, now_s=now_s)
    if admin is not node.admin and admin not in NODE_TRANSITIONS[node.admin]:
        fault = Fault(
            code="E_CONFLICT",
            message=f"node {node.name} is in {node.admin}: it cannot be made {event.admin}",
            field="/node",
            hint=f"corral undrain {node.name}",
            status=409,
        )
        out.append(Refuse(reply=event.reply, faults=(fault,)))
        return
    reason = event.reason[:_REASON_MAX]
    before = node.admin, node.admin_goal, node.admin_deadline
    if (admin, goal, deadline) != before or reason not in ("", node.admin_reason):
        _steer(out, cluster, node, event, now_s=now_s)
    out.append(AnswerNode(reply=event.reply, node=node, at=now_s))


def _wanted(
    node: Node, event: NodeSteered, *, now_s: float
) -> tuple[NodeAdmin, NodeAdmin | None, float | None]:
    """The admin state to go to now, the one after it, and until when what runs there may take.

    A drain that is asked for again is the whole of what holds: without a deadline there is none any more.
    """
    admin, goal = event.admin, None
    if admin is NodeAdmin.MAINTENANCE and node.admin is not admin:
        admin, goal = NodeAdmin.DRAINING, NodeAdmin.MAINTENANCE
    if admin is not NodeAdmin.DRAINING or event.deadline_s is None:
        return admin, goal, None
    return admin, goal, now_s + event.deadline_s


def _steer(out: list[Effect], cluster: Cluster, node: Node, event: NodeSteered, *, now_s: float) -> None:
    admin, goal, deadline = _wanted(node, event, now_s=now_s)
    moved = (admin, goal) != (node.admin, node.admin_goal)
    reason = event.reason[:_REASON_MAX]
    if admin is node.admin:
        reason = reason or node.admin_reason
    node.admin, node.admin_goal, node.admin_deadline = admin, goal, deadline
    if admin is NodeAdmin.ACTIVE:
        node.admin_reason, node.admin_by, node.admin_at = "", "", None
        forgive(cluster, node.name)
    else:
        node.admin_reason, node.admin_by, node.admin_at = reason, event.by, now_s
    cluster.dirty = True
    out.append(node_row(node, registered=False))
    _note(out, node, event, reason, now_s=now_s)
    if admin is NodeAdmin.DRAINING:
        retract(out, [attempt for attempt in node.attempts.values() if is_unwanted(cluster, attempt)])
        _check(out, cluster, node, now_s=now_s)
        if moved:
            note_drained(out, node, now_s=now_s)


def _note(out: list[Effect], node: Node, event: NodeSteered, reason: str, *, now_s: float) -> None:
    kind, action, verb = _words(event.admin)
    text = f"node {node.name}: {verb} by {event.by}" + (f": {reason}" if reason else "")
    details: dict[str, Any] = {"reason": reason} if reason else {}
    if event.deadline_s is not None:
        details["deadline_s"] = event.deadline_s
    out.append(node_event(node, kind, "info", text, now_s=now_s, user=event.by))
    out.append(AuditRow(at=now_s, actor=event.by, action=action, object=node.name, details=details))


def _words(admin: NodeAdmin) -> tuple[str, str, str]:
    """The kind of the event, the operation that was asked for, and what people read."""
    match admin:
        case NodeAdmin.ACTIVE:
            return "node_undrained", "node.undrain", "undrained"
        case NodeAdmin.INACTIVE:
            return "node_cordoned", "node.cordon", "cordoned"
        case NodeAdmin.DRAINING:
            return "node_draining", "node.drain", "drain begun"
        case NodeAdmin.MAINTENANCE:
            return "node_draining", "node.maintenance", "drain for maintenance begun"
        case NodeAdmin.FAILED:
            raise AssertionError(f"nobody may ask for {admin}")
        case _:
            assert_never(admin)


def check_drains(out: list[Effect], cluster: Cluster, *, now_s: float) -> None:
    """What still runs on a node when its drain's deadline has come is queued again elsewhere."""
    for node in cluster.nodes.values():
        if node.admin_deadline is not None:
            _check(out, cluster, node, now_s=now_s)


def _check(out: list[Effect], cluster: Cluster, node: Node, *, now_s: float) -> None:
    if node.admin_deadline is None or now_s < node.admin_deadline:
        return
    reason = f"node {node.name} was drained, and the deadline came"
    ending = yield_attempts(out, cluster, list(node.attempts.values()), reason=reason)
    if ending:
        text = f"node {node.name}: its drain's deadline has come: {counted(len(ending), 'task')} requeued"
        out.append(node_event(node, "drain_deadline", "warning", text, now_s=now_s))


def no_node(cluster: Cluster, name: str) -> Fault:
    """That there is none of this name, with the nearest one."""
    near = get_close_matches(name, cluster.nodes, 1)
    hint = f"did you mean {near[0]}?" if near else "corral nodes"
    return Fault(code="E_NOT_FOUND", message=f"no node {name}", field="/node", hint=hint, status=404)
