"""I7: who is silent is seen to be, and its work given to others; by what the checker itself has seen.

Nothing of the leader's own account of a node's lease is read here. A lease runs from the last answer that
left for that node, from the takeover, or from the release of a brake: whichever was last.
"""

from __future__ import annotations

from collections.abc import Iterable

from bus.values import NodeHealth, OnDisconnect
from coordinator.core.effects import EventRecord, Record
from coordinator.core.model import Attempt, Limits, Node
from tests.sim.coordinator import Coordinator
from tests.sim.timeline import Violation


class Silence:
    """`lag_s`: what a tick, a commit and a message may take together."""

    def __init__(self, *, lag_s: float) -> None:
        self._lag_s = lag_s
        self._answered_s: dict[tuple[int, str], float] = {}
        self._led_from_s = 0.0
        self._released_s = 0.0

    def took_over(self, *, now_s: float) -> None:
        """Another leader: every lease runs from now."""
        self._led_from_s = now_s

    def answered(self, leader: Coordinator, node: str) -> None:
        """A registration or a heartbeat was answered in a way that renews the node's leases."""
        self._answered_s[leader.epoch, node] = leader.timeline.now

    def recorded(self, records: Iterable[Record], *, now_s: float) -> None:
        """A brake may be pulled and lifted between two looks."""
        if any(isinstance(each, EventRecord) and each.event_type == "brake_off" for each in records):
            self._released_s = now_s

    def look(self, leader: Coordinator, *, since_s: float) -> None:
        """`since_s`: for how long the leader could hear and write everything. Raises Violation."""
        now_s = leader.timeline.now
        braked = leader.cluster.brake is not None
        for node in leader.cluster.nodes.values():
            answered_s = self._answered_s.get((leader.epoch, node.name), self._led_from_s)
            unheard_s = min(now_s - max(answered_s, self._led_from_s), since_s)
            self._check_health(node, leader.cluster.limits, unheard_s)
            unrenewed_s = min(unheard_s, now_s - self._released_s)
            kept = [attempt for attempt in node.attempts.values() if _is_replaced(attempt)]
            if kept and not braked and unrenewed_s > leader.cluster.limits.lease_s + self._lag_s:
                what = f"{kept[0].ref} is still with {node.name}, silent for {unheard_s:.1f} s"
                raise Violation("I7", what)

    def _check_health(self, node: Node, limits: Limits, unheard_s: float) -> None:
        """Silence alone makes it degraded half-way between one interval and the end."""
        doubted_s = (limits.heartbeat_interval_s + limits.unreachable_after_s) / 2
        late = unheard_s > doubted_s + self._lag_s and node.health is NodeHealth.HEALTHY
        gone = unheard_s > limits.unreachable_after_s + self._lag_s
        if late or (gone and node.health is not NodeHealth.UNREACHABLE):
            raise Violation("I7", f"{node.name} is silent for {unheard_s:.1f} s and {node.health}")


def _is_replaced(attempt: Attempt) -> bool:
    return attempt.task.group.settings.on_disconnect is OnDisconnect.REPLACE
