"""The main job and its kin, through everything: NATS, coordinator, PostgreSQL, agents, guards, processes."""

from __future__ import annotations

import json
import re
import shutil
import sysconfig
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.errors import ApiError, Forbidden
from bus.spec import Constraints, JobSpec, ResourceSpec, TaskSpec
from bus.values import JobState, Stream, TaskState
from tests.fixtures_cluster import LiveCluster

TEXTS_BYTES = 3_000_000


@pytest.fixture(scope="module")
def texts(cluster_folder: Path) -> Iterator[list[Path]]:
    """Some MB of real text: modules of Python's own library, readable by the tasks' account."""
    folder = cluster_folder / "texts"
    folder.mkdir(mode=0o755)
    library = Path(sysconfig.get_path("stdlib"))
    total = 0
    for source in sorted(library.glob("*.py"), key=lambda path: (-path.stat().st_size, path.name)):
        copy = folder / f"{source.stem}.txt"
        shutil.copyfile(source, copy)
        copy.chmod(0o644)
        total += copy.stat().st_size
        if total > TEXTS_BYTES:
            break
    yield sorted(folder.iterdir())


@pytest.mark.contract("S0.56", "S0.59")
async def test_wordcount_over_three_agents_equals_counter(cluster: LiveCluster, texts: list[Path]) -> None:
    async with cluster.client() as client:
        job = await client.submit(
            tool="wordcount",
            for_each=[str(path) for path in texts],
            resources=ResourceSpec(cpu="500m", memory="64MiB"),
        )
        assert job.tasks == len(texts) + 1
        done = await client.wait(job.number)
        assert done.state is JobState.COMPLETED, cluster.logs()
        merge = await client.task(f"{job.number}.{len(texts)}")
        rows = (await client.tasks(job.number, limit=1000)).tasks
    expected: Counter[str] = Counter()
    for path in texts:
        expected.update(re.findall(r"\w+", path.read_text(errors="replace").lower()))
    assert Counter(merge.output["counts"]) == expected
    assert merge.output["words"] == expected.total()
    assert {row.node for row in rows} == {"n1", "n2", "n3"}
    assert merge.attempts[0].explanation["order"] == "fcfs"


@pytest.mark.contract("S0.37")
async def test_a_command_leaves_its_output_and_exit_code(cluster: LiveCluster) -> None:
    script = 'printf "hello from %s\\n" "$CORRAL_NODE"; printf "\\377\\000raw" >&2; exit 3'
    async with cluster.client() as client:
        job = await client.submit(
            command=["sh", "-c", script], retries=0, constraints=Constraints(nodes=["n2"])
        )
        done = await client.wait(job.number)
        assert (done.state, done.exit_code) == (JobState.FAILED, 3)
        out = await client.logs(f"{job.number}.0")
        err = await client.logs(f"{job.number}.0", stream=Stream.STDERR)
    assert out.data == b"hello from n2\n" and out.ended
    assert err.data == b"\xff\x00raw"


async def test_an_array_runs_every_index_once(cluster: LiveCluster) -> None:
    async with cluster.client() as client:
        job = await client.submit(
            command=["sh", "-c", 'printf \'{"i": %s}\' "$CORRAL_ARRAY_INDEX" > "$CORRAL_OUTPUT"'],
            array="0-99%10",
            resources=ResourceSpec(cpu="100m"),
        )
        done = await client.wait(job.number)
        assert done.state is JobState.COMPLETED and done.counts.completed == 100
        outputs = [(await client.task(f"{job.number}.{index}")).output for index in (0, 57, 99)]
    assert outputs == [{"i": 0}, {"i": 57}, {"i": 99}]


async def test_tasks_of_one_job_follow_their_needs(cluster: LiveCluster, cluster_folder: Path) -> None:
    report = 'cat "$CORRAL_INPUT" >&2; printf \'{"ok": true}\' > "$CORRAL_OUTPUT"'
    spec = JobSpec(
        name="two steps",
        tasks=[
            TaskSpec(name="make", command=["sh", "-c", 'printf \'{"made": 7}\' > "$CORRAL_OUTPUT"']),
            TaskSpec(name="use", command=["sh", "-c", report], needs=["make"]),
        ],
    )
    async with cluster.client() as client:
        job = await client.submit(spec)
        assert (await client.wait(job.number)).state is JobState.COMPLETED
        seen = json.loads((await client.logs(f"{job.number}.1", stream=Stream.STDERR)).data)
        rows = (await client.tasks(job.number)).tasks
    assert [row.name for row in rows] == ["make", "use"]
    assert list(seen["needs"]) == ["make"] and len(seen["needs"]["make"]) == 1


async def test_cancel_ends_the_whole_tree(cluster: LiveCluster) -> None:
    script = "trap '' TERM; (trap '' TERM; setsid sleep 300 & sleep 300) & echo ready; wait"
    async with cluster.client() as client:
        job = await client.submit(command=["sh", "-c", script], grace=0.5)

        async def ready() -> bool:
            return (await client.logs(f"{job.number}.0")).data == b"ready\n"

        await cluster.until(ready, "the task printed")
        assert (await client.cancel(job.number)).tasks == 1
        assert (await client.wait(job.number)).state is JobState.CANCELLED

    async def gone() -> bool:
        return not any(guard.children(recursive=True) for guard in cluster.guards())

    await cluster.until(gone, "every process of the task is gone")


async def test_a_timeout_ends_the_task(cluster: LiveCluster) -> None:
    async with cluster.client() as client:
        job = await client.submit(command=["sleep", "300"], timeout=0.3, grace=0.2)
        assert (await client.wait(job.number)).state is JobState.FAILED
        assert (await client.task(f"{job.number}.0")).state is TaskState.TIMEOUT


async def test_a_missing_program_is_said_so(cluster: LiveCluster) -> None:
    async with cluster.client() as client:
        job = await client.submit(command=["no-such-program"])
        assert (await client.wait(job.number)).exit_code == 127
        task = await client.task(f"{job.number}.0")
    assert "no-such-program" in task.message and len(task.attempts) == 1


async def test_a_failing_task_is_retried(cluster: LiveCluster) -> None:
    async with cluster.client() as client:
        job = await client.submit(command=["sh", "-c", 'test "$CORRAL_ATTEMPT" -ge 3'], backoff=0.05)
        assert (await client.wait(job.number)).state is JobState.COMPLETED
        task = await client.task(f"{job.number}.0")
    assert task.retries == 2 and [attempt.fence for attempt in task.attempts] == [1, 2, 3]


async def test_output_can_be_followed_while_it_is_written(cluster: LiveCluster) -> None:
    script = "for i in 1 2 3 4 5; do echo line $i; sleep 0.05; done"
    async with cluster.client() as client:
        job = await client.submit(command=["sh", "-c", script])
        followed = b"".join([chunk async for chunk in client.follow(f"{job.number}.0")])
    assert followed == b"".join(b"line %d\n" % i for i in range(1, 6))


async def test_users_see_their_own_jobs_only(cluster: LiveCluster) -> None:
    async with cluster.client("alice") as alice, cluster.client("bob") as bob, cluster.client("olga") as olga:
        job = await alice.submit(command=["sleep", "300"])
        for refused in (bob.job(job.number), bob.cancel(job.number), bob.logs(f"{job.number}.0")):
            with pytest.raises(ApiError) as caught:
                await refused
            assert caught.value.error.code == "E_NOT_FOUND"
        assert job.number not in {each.number for each in (await bob.jobs()).jobs}
        assert (await olga.job(job.number)).user == "alice"
        assert (await olga.cancel(job.number)).tasks == 1
        assert (await alice.wait(job.number)).state is JobState.CANCELLED


async def test_a_readonly_user_cannot_submit(cluster: LiveCluster) -> None:
    async with cluster.client("rita") as rita:
        assert (await rita.jobs()).jobs == []
        with pytest.raises(Forbidden):
            await rita.submit(command=["true"])


async def test_bad_specs_get_every_fault(cluster: LiveCluster) -> None:
    async with cluster.client() as client:
        with pytest.raises(ApiError) as caught:
            await client.submit(command=[], priority=11, name="")
        error = caught.value.error
        assert {error.code, *(more.code for more in error.more)} == {"E_COMMAND", "E_RANGE", "E_NAME"}
        with pytest.raises(ApiError) as caught:
            await client.submit(command=["true"], resources=ResourceSpec(cpu=64_000))
        assert caught.value.error.code == "E_UNSATISFIABLE"


async def test_a_dedupe_key_is_one_job_for_ever(cluster: LiveCluster) -> None:
    async with cluster.client() as client:
        first = await client.submit(command=["true"], dedupe_key="once")
        await client.wait(first.number)
        again = await client.submit(command=["true"], dedupe_key="once")
        assert again.number == first.number and again.duplicate
        with pytest.raises(ApiError) as caught:
            await client.submit(command=["false"], dedupe_key="once")
    assert caught.value.error.code == "E_IDEM_CONFLICT"
