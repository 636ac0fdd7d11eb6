"""What two memories of one cluster must agree on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bus.values import (
    TaskState,
)
from coordinator.core.effects import AccountRow
from coordinator.core.fair_share import account_row
from coordinator.core.model import Cluster, Task
from coordinator.core.scheduler.kept import digest


def essence(cluster: Cluster) -> dict[str, Any]:
    """What two clusters must agree on to be the same."""
    return {
        "jobs": {
            number: [
                (
                    group.untouched,
                    str(group.untouched_state) if group.untouched else "",
                    group.completed,
                    group.failed,
                    group.cancelled,
                    group.live,
                    sorted(
                        (t.index, str(t.state), t.version, t.fence, t.retries)
                        for t in (group.tasks or {}).values()
                    ),
                )
                for group in job.groups
            ]
            for number, job in cluster.jobs.items()
        },
        "states": {number: str(job.state) for number, job in cluster.jobs.items()},
        "attempts": sorted(
            (str(a.ref), a.node, a.holding, str(a.state), a.cancelling) for a in cluster.attempts()
        ),
        "ranks": {
            str(task.ref): sorted((end.rank, str(end.state), end.exit_code) for end in task.ranks.ends)
            for job in cluster.jobs.values()
            for group in job.groups
            for task in (group.tasks or {}).values()
            if task.ranks is not None
        },
        "gathering": sorted(map(str, cluster.gathering)),
        "ledgers": {name: node.allocated for name, node in cluster.nodes.items()},
        "retrying": sum(
            task is not None and task.state is TaskState.RETRYING
            for task in (cluster.find_task(ref) for _, _, ref in cluster.retries)
        ),
        "after": {
            number: [(str(each.condition), each.number) for each in job.after]
            for number, job in cluster.jobs.items()
        },
        "awaited": {number: sorted(waiting) for number, waiting in cluster.awaited.items()},
        "lost_on": {
            str(task.ref): task.lost_on
            for job in cluster.jobs.values()
            for group in job.groups
            for task in (group.tasks or {}).values()
            if task.lost_on
        },
        "refusals": {
            str(ref): sorted((task.refusals or {}).items())
            for ref, task in cluster.refused.items()
            if cluster.find_task(ref) is task and task.refusals
        },
        "yielding": sorted((str(ref), a.reason) for ref, a in cluster.yielding.items()),
        "preemptible": sorted(map(str, cluster.preemptible)),
        "paused": {number: (job.paused_by, job.paused_at) for number, job in cluster.jobs.items()},
        "held": {number: (job.held_by, job.held_at) for number, job in cluster.jobs.items()},
        "admin": {
            name: (
                str(node.admin),
                node.admin_reason,
                node.admin_by,
                node.admin_at,
                node.admin_goal,
                node.admin_deadline,
            )
            for name, node in cluster.nodes.items()
        },
        "accounts": {row.owner: row for row in settled(cluster)},
        "learned": digest(cluster.planner),
        "lines": sorted(set(waiting_in_line(cluster))),
    }


def settled(cluster: Cluster) -> Iterator[AccountRow]:
    """The accounts that the database knows."""
    for owner, account in cluster.shares.accounts.items():
        if account.known:
            yield account_row(owner, account)


def waiting_in_line(cluster: Cluster) -> Iterator[str]:
    """What the lines would offer: single tasks, and groups by their first task."""
    for line in cluster.lines.values():
        for waiting in line.entries:
            if isinstance(waiting.entry, Task):
                if waiting.entry.state is TaskState.QUEUED:
                    yield str(waiting.entry.ref)
            elif waiting.entry.wants_place:
                again = sorted(t.index for t in waiting.entry.again or () if t.state is TaskState.QUEUED)
                yield f"{waiting.entry.job.number}.{waiting.entry.first}- {again}"
