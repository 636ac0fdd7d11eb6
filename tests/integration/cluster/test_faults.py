"""What is accepted is kept, what is done is done, and no task runs twice at once, whatever is killed."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from bus.spec import Constraints, ResourceSpec
from bus.values import JobState, NodeHealth, TaskState
from tests.fixtures_cluster import LiveCluster


@pytest.fixture
def marks(cluster_folder: Path) -> Path:
    """A file that tasks of any account may append to."""
    path = cluster_folder / "marks"
    path.write_text("")
    path.chmod(0o666)
    return path


async def test_a_killed_coordinator_loses_nothing(cluster: LiveCluster, marks: Path) -> None:
    """kill -9 in the middle of an array: every element is done, none twice."""
    async with cluster.client() as client:
        job = await client.submit(
            command=["sh", "-c", f'echo "$CORRAL_ARRAY_INDEX" >> {marks}'],
            array="0-399",
            resources=ResourceSpec(cpu="250m"),
        )

        async def under_way() -> bool:
            return len(marks.read_text().split()) > 20

        await cluster.until(under_way, "some tasks ran")
        cluster.kill("coordinator")
        cluster.start_coordinator()
        await cluster.settle()
        done = await client.wait(job.number)
    assert done.state is JobState.COMPLETED, cluster.logs()
    assert Counter(marks.read_text().split()) == Counter(map(str, range(400)))


async def test_an_acknowledged_job_survives_the_coordinator(cluster: LiveCluster) -> None:
    async with cluster.client() as client:
        job = await client.submit(command=["true"], array="0-9")
        cluster.kill("coordinator")
        cluster.start_coordinator()
        await cluster.settle()
        assert (await client.wait(job.number)).state is JobState.COMPLETED


async def test_a_cancel_that_was_answered_survives_the_coordinator(cluster: LiveCluster) -> None:
    async with cluster.client() as client:
        job = await client.submit(command=["sleep", "300"], array="0-1", resources=ResourceSpec(cpu="100m"))

        async def running() -> bool:
            return (await client.job(job.number)).counts.running == 2

        await cluster.until(running, "both run")
        cluster.kill("coordinator", signal.SIGSTOP)  # so that the node cannot confirm before the end
        cluster.kill("coordinator", signal.SIGCONT)
        await client.cancel(f"{job.number}.1")
        cluster.kill("coordinator")
        cluster.start_coordinator()
        await cluster.settle()

        async def ended() -> bool:
            return (await client.task(f"{job.number}.1")).state is TaskState.CANCELLED

        await cluster.until(ended, "the task ended")
        assert (await client.task(f"{job.number}.0")).state is TaskState.RUNNING
        await client.cancel(job.number)
        await client.wait(job.number)


async def test_a_killed_agent_adopts_its_tasks_again(cluster: LiveCluster, marks: Path) -> None:
    """The guard keeps them; exit code and output are those of the one run."""
    async with cluster.client() as client:
        job = await client.submit(
            command=[
                "sh",
                "-c",
                f"echo started >> {marks}; echo out; while [ -s {marks} ]; do sleep 0.05; done; exit 5",
            ],
            retries=0,
            constraints=Constraints(nodes=["n2"]),
        )

        async def started() -> bool:
            return marks.read_text() == "started\n" and (await client.job(job.number)).counts.running == 1

        await cluster.until(started, "the task runs")
        cluster.kill("n2")
        cluster.start_agent("n2", *cluster.nodes["n2"])
        await cluster.settle()
        assert (await client.job(job.number)).counts.running == 1
        marks.write_text("")
        done = await client.wait(job.number)
        assert (done.state, done.exit_code) == (JobState.FAILED, 5)
        task = await client.task(f"{job.number}.0")
        assert len(task.attempts) == 1
        assert (await client.logs(f"{job.number}.0")).data == b"out\n"


async def test_what_ends_while_the_agent_is_dead_is_reported_once(cluster: LiveCluster, marks: Path) -> None:
    async with cluster.client() as client:
        job = await client.submit(
            command=[
                "sh",
                "-c",
                f"echo started >> {marks}; while [ -s {marks} ]; do sleep 0.05; done; exit 7",
            ],
            retries=0,
            constraints=Constraints(nodes=["n3"]),
        )

        async def started() -> bool:
            return marks.read_text() == "started\n"

        await cluster.until(started, "the task runs")
        cluster.kill("n3")
        marks.write_text("")

        async def gone() -> bool:
            guard = next(g for g in cluster.guards() if any("/n3" in word for word in g.cmdline()))
            return not guard.children()

        await cluster.until(gone, "the task ended")
        cluster.start_agent("n3", *cluster.nodes["n3"])
        done = await client.wait(job.number)
        assert (done.state, done.exit_code) == (JobState.FAILED, 7)
        assert len((await client.task(f"{job.number}.0")).attempts) == 1


@pytest.mark.contract("S0.13", "S0.32", "S0.61", "S4.43", "S4.46")
async def test_a_silent_node_loses_its_work_after_its_lease(cluster: LiveCluster, marks: Path) -> None:
    """The agent is stopped past its lease: its guard ends the task, and only then does it run elsewhere.

    Each run holds a lock while it lives: the second would fail if the first were still there. Who follows the
    output reads on where it runs now, while the first node still says nothing.
    """
    lock = f"exec 9>>{marks}; flock -n 9 || exit 9"
    script = f"echo $CORRAL_ATTEMPT; {lock}; [ $CORRAL_ATTEMPT = 1 ] && sleep 60; sleep 3"
    read = bytearray()
    async with cluster.client() as client:
        job = await client.submit(
            command=["sh", "-c", script],
            retries=0,
            resources=ResourceSpec(cpu="1500m", memory="900MiB"),
            constraints=Constraints(nodes=["n1", "n2"]),
        )

        async def running() -> bool:
            return (await client.job(job.number)).counts.running == 1

        await cluster.until(running, "the task runs")
        first = (await client.task(f"{job.number}.0")).node
        assert first is not None

        async def follow() -> None:
            async for piece in client.follow(f"{job.number}.0"):
                read.extend(piece)

        async def has_read(words: bytes) -> bool:
            return bytes(read) == words

        following = asyncio.create_task(follow())
        await cluster.until(lambda: has_read(b"1\n"), "the first attempt is read")
        silent_since = time.monotonic()
        cluster.kill(first, signal.SIGSTOP)

        async def elsewhere() -> bool:
            task = await client.task(f"{job.number}.0")
            return task.state is TaskState.RUNNING and task.node != first

        await cluster.until(elsewhere, "the task runs elsewhere")
        assert 12.0 < time.monotonic() - silent_since < 25.0
        node = await client.node(first)
        assert node.health is NodeHealth.UNREACHABLE
        await cluster.until(lambda: has_read(b"1\n2\n"), "the second attempt is read")
        await asyncio.wait_for(following, 30)
        cluster.kill(first, signal.SIGCONT)
        await cluster.settle()
        done = await client.wait(job.number)
        task = await client.task(f"{job.number}.0")
    assert done.state is JobState.COMPLETED, cluster.logs()
    assert [attempt.state for attempt in task.attempts] == ["lost", "completed"] and task.retries == 0


async def test_a_zombie_of_an_older_attempt_changes_nothing(cluster: LiveCluster) -> None:
    """After all of the above the books balance: nothing is held when nothing runs."""
    async with cluster.client("olga") as client:

        async def idle() -> bool:
            nodes = (await client.nodes()).nodes
            return all(node.running == 0 and node.allocated.cpu_millis == 0 for node in nodes)

        await cluster.until(idle, "every ledger is empty")
    assert all(not guard.children() for guard in cluster.guards())
