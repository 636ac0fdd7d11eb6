"""What leads back from `bulk.steer`: of each that it changes, the verb and values that restore it.

Read right before its step is asked for, and told of those that changed: what had been so already stays so.
"""

from __future__ import annotations

from msgspec import Struct

from bus.bulk import BulkSteer, Undo
from bus.values import NodeAdmin
from coordinator.core.model import Job, Node

UNDO_MAX = 5_000
"""So many things an answer names: a message has an end."""

_OPPOSITES = {"hold": "release", "release": "hold", "pause": "resume", "resume": "pause"}
_VERBS = {
    NodeAdmin.ACTIVE: "undrain",
    NodeAdmin.INACTIVE: "cordon",
    NodeAdmin.DRAINING: "drain",
    NodeAdmin.MAINTENANCE: "maintenance",
}
"""What leads to each; nothing leads to `failed`."""


class Way(Struct, frozen=True):
    """What is done to one thing to have it as before."""

    verb: str
    priority: int | None = None
    labels: tuple[tuple[str, str | None], ...] = ()


class Undoing:
    """The ways back that one request has gathered."""

    def __init__(self) -> None:
        self._ways: dict[Way, list[str]] = {}
        self._count = 0

    def add(self, way: Way | None, name: str) -> None:
        """`name` was changed."""
        if way is not None:
            self._count += 1
            if self._count <= UNDO_MAX:
                self._ways.setdefault(way, []).append(name)

    def told(self) -> list[Undo]:
        """Each way with all that go it; none where it would be but a part of what was changed."""
        if self._count > UNDO_MAX:
            return []
        return [
            Undo(verb=way.verb, targets=names, priority=way.priority, labels=dict(way.labels))
            for way, names in self._ways.items()
        ]


def way_back_of_job(job: Job, asked: BulkSteer) -> Way | None:
    """None: what is cancelled, retried or requeued does not come back."""
    if asked.verb == "priority":
        return Way("priority", priority=job.priority)
    opposite = _OPPOSITES.get(asked.verb)
    return Way(opposite) if opposite else None


def way_back_of_node(node: Node, asked: BulkSteer) -> Way | None:
    """What it was told to be, without the reason; or the labels that people had set."""
    if asked.verb == "label":
        return Way("label", labels=tuple((key, node.set_labels.get(key)) for key in asked.labels))
    verb = _VERBS.get(node.admin_goal or node.admin)
    return Way(verb) if verb else None
