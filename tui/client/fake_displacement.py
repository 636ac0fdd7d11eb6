"""What the fake cluster's nodes hold when they are to be drained: the tasks of running jobs, dealt out."""

from __future__ import annotations

import zlib

from bus.outlook import Blocker, Displaced, Displacement
from bus.values import JobState
from tui.client.fake_world import World

HELD_MAX = 12
NOWHERE_EVERY = 7
LENGTH_S = 1_800.0


def displaced(
    world: World, drained: list[str], *, deadline_s: float | None, now_s: float
) -> tuple[Displacement, list[Displaced]]:
    """The same for the same nodes: what ends before the deadline stays, every seventh fits nowhere else."""
    jobs = [job for job in world.jobs if job.state is JobState.RUNNING and job.counts.running]
    others = [node.name for node in world.nodes if node.name not in drained]
    rows = []
    for name in drained:
        node = world.node(name)
        for number in range(min(node.running, HELD_MAX) if jobs else 0):
            seed = zlib.crc32(f"{name} {number}".encode())
            job = jobs[seed % len(jobs)]
            ends_in_s = 1.0 + seed % 1_000 / 1_000 * LENGTH_S
            row = Displaced(
                task=f"{job.number}.{seed % job.counts.total}",
                user=job.user,
                node=name,
                running=True,
                goes=deadline_s is not None and ends_in_s > deadline_s,
                ends_at=now_s + ends_in_s,
            )
            if row.goes and deadline_s is not None:
                _send(row, others, seed, leaves_s=now_s + deadline_s)
            rows.append(row)
    going = [row for row in rows if row.goes]
    delays = [row.delay_s for row in going if row.delay_s is not None]
    total = Displacement(
        tasks=len(rows),
        stay=len(rows) - len(going),
        go=len(going),
        nowhere=len(going) - len(delays),
        delay_mean_s=sum(delays) / len(delays) if delays else None,
        delay_most_s=max(delays, default=None),
        empty_at=max((row.ends_at for row in rows if not row.goes and row.ends_at is not None), default=None),
    )
    rows.sort(key=lambda row: (not row.goes, row.starts_at is not None, -(row.delay_s or 0.0)))
    return total, rows


def _send(row: Displaced, others: list[str], seed: int, *, leaves_s: float) -> None:
    if not others or seed % NOWHERE_EVERY == 0:
        few = "needs 4 GPUs of type h100, which no other node has"
        row.blockers = [Blocker(code="gpu_type", message=few, remedy="when a node with them joins")]
        return
    row.goes_to, row.starts_at = others[seed % len(others)], leaves_s + seed % 5 * 30.0
    row.delay_s = row.starts_at + LENGTH_S - (row.ends_at or leaves_s)
