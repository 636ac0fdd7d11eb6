"""How long the coordinator waits for what; the numbers of docs/reliability.md."""

from __future__ import annotations

from itertools import pairwise

from msgspec import Struct
from msgspec.structs import replace

from bus.values import TaskSettings


class Limits(Struct, frozen=True, kw_only=True):
    """The numbers of RELIABILITY; seconds."""

    heartbeat_interval_s: float = 2.0
    usage_interval_s: float = 5.0
    unreachable_after_s: float = 10.0
    term_after_s: float = 12.0
    kill_after_s: float = 14.0
    lease_s: float = 15.5
    start_deadline_s: float = 30.0  # confirmed by the node, holding resources, and yet not started
    image_deadline_s: float = 3600.0  # the same where an image may have to be fetched first
    missing_after_s: float = 5.0  # confirmed that long ago and absent from two heartbeats: lost
    retract_after_s: float = 1.0  # waiting on a busy node while another is free
    waiting_max_s: float = 2.0  # waiting on a busy node: its pace promised a place far sooner
    prefill_s: float = 0.3  # work that may wait on a node, in seconds of its own pace
    prefill_max: int = 512
    reserve_after_s: float = 30.0  # a blocked task that old gets a node kept free for it
    losses_max: int = 5  # times in a row that a task may be lost before it fails as poison
    poison_nodes: int = 3  # distinct nodes that a task may be lost on before it does
    blame_window_s: float = 600.0  # losses that long ago speak against no node any more
    node_losses_max: int = 3  # losses within that time after which a node is quarantined
    brake_nodes_min: int = 4  # nodes from which on the brake is watched
    brake_window_s: float = 30.0  # more than half of them vanish within that time: suspect ourselves …
    brake_s: float = 60.0  # … for so long, if our own checks pass
    ageing_s: float = 4 * 3600.0  # a job that much older is worth one step of priority more
    preempt_after_s: float = 5.0  # who waits that long may take the place of preemptible work

    def __post_init__(self) -> None:
        """Nothing may run where its lease has ended, nor be ended for a single lost heartbeat."""
        order = (
            2 * self.heartbeat_interval_s,
            self.unreachable_after_s,
            self.term_after_s,
            self.kill_after_s,
            self.lease_s,
        )
        assert all(sooner < later for sooner, later in pairwise(order)), f"not in order: {order}"
        assert self.brake_window_s < self.brake_s, "who pulled the brake would pull it again once it is off"

    def start_within_s(self, settings: TaskSettings) -> float:
        """How long a node may take to start what it has the place for; an image may have to be fetched."""
        return self.start_deadline_s if settings.container is None else self.image_deadline_s

    def with_silence(self, unreachable_after_s: float) -> Limits:
        """The same, with all that is measured in silence stretched or shrunk to that number."""
        scale = unreachable_after_s / self.unreachable_after_s
        return replace(
            self,
            heartbeat_interval_s=self.heartbeat_interval_s * scale,
            unreachable_after_s=unreachable_after_s,
            term_after_s=self.term_after_s * scale,
            kill_after_s=self.kill_after_s * scale,
            lease_s=self.lease_s * scale,
            missing_after_s=self.missing_after_s * scale,
            brake_window_s=self.brake_window_s * scale,
            brake_s=self.brake_s * max(scale, 1.0),
        )
