"""How long the coordinator waits for what; the numbers of docs/reliability.md."""

from __future__ import annotations

from msgspec import Struct


class Limits(Struct, frozen=True, kw_only=True):
    """The numbers of RELIABILITY; seconds."""

    heartbeat_interval_s: float = 2.0
    usage_interval_s: float = 5.0
    unreachable_after_s: float = 10.0
    term_after_s: float = 12.0
    kill_after_s: float = 14.0
    lease_s: float = 15.5
    start_deadline_s: float = 30.0  # confirmed by the node, holding resources, and yet not started
    missing_after_s: float = 5.0  # confirmed that long ago and absent from two heartbeats: lost
    retract_after_s: float = 1.0  # waiting on a busy node while another is free
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
    preempt_after_s: float = 5.0  # who waits that long may take the place of preemptible work
