"""Jobs are paused, requeued, drained and preempted on a real cluster; the processes show it."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from bus.client import Client
from bus.spec import Constraints, ResourceSpec
from bus.values import JobState, NodeAdmin, TaskState
from tests.fixtures_cluster import LiveCluster

ON_N3 = Constraints(nodes=["n3"])


@pytest.fixture
def pids(cluster_folder: Path) -> Path:
    """A file into which tasks of any account may write their pid."""
    path = cluster_folder / "pids"
    path.write_text("")
    path.chmod(0o666)
    return path


def sleeper(pids: Path) -> list[str]:
    """A task that says its pid and sleeps in a child: a tree of two."""
    return ["sh", "-c", f"echo $$ >> {pids}; sleep 300; true"]


def tree(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def newest(pids: Path) -> int:
    return int(pids.read_text().split()[-1])


async def started(cluster: LiveCluster, pids: Path, times: int) -> None:
    async def there() -> bool:
        found = pids.read_text().split()
        return len(found) >= times and len(tree(int(found[-1]))) == 2

    await cluster.until(there, f"start {times}")


async def stands(cluster: LiveCluster, pid: int, *, still: bool) -> None:
    async def so() -> bool:
        return all((each.status() == psutil.STATUS_STOPPED) is still for each in tree(pid))

    await cluster.until(so, f"every process of the tree {'stands still' if still else 'goes on'}")


async def state(client: Client, number: int) -> JobState:
    return (await client.job(number)).state


@pytest.mark.contract("S2.29")
async def test_a_paused_job_stands_still_in_the_process_table(cluster: LiveCluster, pids: Path) -> None:
    """State T of its whole tree, whoever leads; then it goes on, and a cancel ends it where it stands."""
    async with cluster.client() as client:
        job = await client.submit(command=sleeper(pids), constraints=ON_N3)
        await started(cluster, pids, 1)
        pid = newest(pids)
        await client.pause(job.number)
        assert await state(client, job.number) is JobState.PAUSED
        await stands(cluster, pid, still=True)
        cluster.kill("coordinator")
        cluster.start_coordinator()
        await cluster.settle()
        assert await state(client, job.number) is JobState.PAUSED
        await stands(cluster, pid, still=True)
        await client.resume(job.number)
        await stands(cluster, pid, still=False)
        await client.pause(job.number)
        await stands(cluster, pid, still=True)
        await client.cancel(job.number)
        assert (await client.wait(job.number)).state is JobState.CANCELLED
        assert not psutil.pid_exists(pid)


async def test_what_is_requeued_runs_again_as_another_attempt(cluster: LiveCluster, pids: Path) -> None:
    async with cluster.client() as client:
        job = await client.submit(command=sleeper(pids), constraints=ON_N3, retries=0)
        await started(cluster, pids, 1)
        first = newest(pids)
        assert (await client.requeue(f"{job.number}.0")).tasks == 1
        await started(cluster, pids, 2)
        assert not psutil.pid_exists(first)
        task = await client.task(f"{job.number}.0")
        assert [attempt.state for attempt in task.attempts] == ["preempted", "running"] and task.retries == 0
        await client.cancel(job.number)
        await client.wait(job.number)


@pytest.mark.contract("S2.11")
async def test_a_node_goes_into_maintenance_by_the_deadline(cluster: LiveCluster, pids: Path) -> None:
    async with cluster.client() as client, cluster.client("olga") as operator:
        job = await client.submit(command=sleeper(pids), constraints=ON_N3)
        await started(cluster, pids, 1)
        node = await operator.maintenance("n3", reason="disks", deadline_s=1.0)
        assert (node.admin, node.goal) == (NodeAdmin.DRAINING, NodeAdmin.MAINTENANCE)

        async def out() -> bool:
            return (await operator.node("n3")).admin is NodeAdmin.MAINTENANCE

        await cluster.until(out, "the node is in maintenance")
        assert (await client.task(f"{job.number}.0")).state is TaskState.QUEUED
        await operator.undrain("n3")
        await started(cluster, pids, 2)
        await client.cancel(job.number)
        await client.wait(job.number)


async def test_preemptible_work_makes_room(cluster: LiveCluster, pids: Path) -> None:
    one = ResourceSpec(cpu="1")
    async with cluster.client() as client:
        low = await client.submit(
            command=sleeper(pids), constraints=ON_N3, resources=one, priority=2, preemptible=True
        )
        await started(cluster, pids, 1)
        high = await client.submit(command=["true"], constraints=ON_N3, resources=one, priority=8)
        assert (await client.wait(high.number)).state is JobState.COMPLETED
        await started(cluster, pids, 2)
        attempts = (await client.task(f"{low.number}.0")).attempts
        assert attempts[0].message == "made room for work of priority 8"
        await client.cancel(low.number)
        await client.wait(low.number)
