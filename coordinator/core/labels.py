"""Labels that people give to nodes: they win over what the agents say, and outlive every registration.

Only people's own labels can be taken away: what an agent says is the machine's to change.
"""

from __future__ import annotations

from coordinator.core.changes import node_event, node_row
from coordinator.core.checks import check_labels
from coordinator.core.drains import no_node
from coordinator.core.effects import AnswerNode, AuditRow, Effect, Fault, Refuse
from coordinator.core.events import NodeLabelled
from coordinator.core.model import Cluster, Node


def on_labelled(out: list[Effect], cluster: Cluster, event: NodeLabelled, *, now_s: float) -> None:
    """Set labels of a node and take others away: all of them, or nothing where one cannot be."""
    node = cluster.nodes.get(event.node)
    faults = (no_node(cluster, event.node),) if node is None else _faults(node, event.labels)
    if node is None or faults:
        out.append(Refuse(reply=event.reply, faults=faults))
        return
    kept = {key: value for key, value in node.set_labels.items() if key not in event.labels}
    wanted = kept | {key: value for key, value in event.labels.items() if value is not None}
    if wanted != node.set_labels:
        node.label(node.own_labels, wanted)
        cluster.dirty = True
        cluster.sizes.clear()  # what could hold a shape may be other nodes now
        out.append(node_row(node, registered=True))
        _note(out, node, event, now_s=now_s)
    out.append(AnswerNode(reply=event.reply, node=node, at=now_s))


def _faults(node: Node, labels: dict[str, str | None]) -> tuple[Fault, ...]:
    """What cannot be done: to take away what nobody set, to set what is no label, or too many."""
    faults: list[Fault] = []
    given = {key: value for key, value in labels.items() if value is not None}
    kept = {key: value for key, value in node.set_labels.items() if key not in labels}
    check_labels(kept | given, faults, field="/labels")
    for key, value in labels.items():
        if value is None and key not in node.set_labels and key in node.own_labels:
            faults.append(
                Fault(
                    code="E_CONFLICT",
                    message=f"the label {key} is what the agent of {node.name} says",
                    field=f"/labels/{key}",
                    hint=f"give it another value here, or start the agent without --label {key}",
                    status=409,
                )
            )
    return tuple(faults)


def _note(out: list[Effect], node: Node, event: NodeLabelled, *, now_s: float) -> None:
    words = [key + ("-" if value is None else f"={value}") for key, value in event.labels.items()]
    text = f"node {node.name}: labels {' '.join(words)} by {event.by}"
    details = {"labels": dict(event.labels)}
    out.append(node_event(node, "node_labelled", "info", text, now_s=now_s, user=event.by, details=details))
    out.append(
        AuditRow(at=now_s, actor=event.by, action="node.label", object=node.name, details=dict(details))
    )
