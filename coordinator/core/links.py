"""Links of a node's network interfaces: one that is lost where it is needed degrades the node.

Needed is what carries the bus, and what the machine's operator named (`agent/interfaces.py`). Others may be
down as they like: a free port is no fault. The node is healthy again once the link is back.
"""

from __future__ import annotations

from bus.values import InterfaceInfo, Inventory
from coordinator.core.changes import node_event
from coordinator.core.effects import Effect
from coordinator.core.model import Node
from coordinator.core.node import lost_links


def note_links(out: list[Effect], node: Node, before: Inventory | None, *, now_s: float) -> None:
    """Say which links are lost or back since `before`; None: the node is new."""
    lost = lost_links(node.inventory)
    were = lost_links(before) if before is not None else {}
    for name in sorted(lost.keys() - were.keys()):
        text = f"node {node.name} lost the link of {_named(lost[name])}"
        out.append(_event(node, "link_lost", "warning", text, lost[name], now_s=now_s))
    now = {each.name: each for each in node.inventory.interfaces}
    for name in sorted(were.keys() - lost.keys()):
        card = now.get(name)
        if card is None or not card.needed:
            text = f"node {node.name} no longer needs {name}"
            out.append(_event(node, "link_back", "info", text, were[name], now_s=now_s))
        else:
            text = f"node {node.name} has the link of {_named(card)} again"
            out.append(_event(node, "link_back", "info", text, card, now_s=now_s))


def _named(card: InterfaceInfo) -> str:
    """ "eth1 (data, 10.0.0.5)"."""
    about = [card.kind, *([card.ip] if card.ip else ()), *(["carries the bus"] if card.carries_bus else ())]
    return f"{card.name} ({', '.join(about)})"


def _event(node: Node, kind: str, severity: str, text: str, card: InterfaceInfo, *, now_s: float) -> Effect:
    details = {"interface": card.name, "kind": card.kind, "status": card.status}
    return node_event(node, kind, severity, text, now_s=now_s, details=details)
