"""Why a task waits for a volume."""

from __future__ import annotations

from bus.mounts import reads, writes
from bus.units import counted
from bus.values import UserName
from coordinator.core.model import Cluster, Node

NAMED = 3


def volume_blocker(
    cluster: Cluster, kind: str, name: str, nodes: list[Node], some: str, *, asker: UserName
) -> tuple[str, str]:
    """What keeps it off `nodes`, and what would remove that. Of others than `asker` no task is named."""
    if kind == "volume_in_use":
        users = [
            attempt
            for node in nodes
            for attempt in node.attempts.values()
            if name in attempt.task.group.shape.claims
        ]
        own = [str(each.ref.task) for each in users if each.task.group.job.owner == asker]
        others = len(users) - len(own)
        who = own[:NAMED] + ([f"{counted(others, 'task')} of others"] if others else [])
        text = " and ".join(who) or "another task"
        return (
            f"{text} writes to volume {name}, and one at a time may",
            f"when {text} ends; or take it as :ro",
        )
    feature = reads(name) if kind == "volume" else writes(name)
    holders = sorted(str(node) for node, features in cluster.volumes.items() if feature in features)
    remedy = "when a node that has it takes work" if holders else f"corral volume show {name}"
    if not holders:
        return f"no node has volume {name} now", remedy
    return f"volume {name} lies on {', '.join(holders)}, and not on {some}", remedy
