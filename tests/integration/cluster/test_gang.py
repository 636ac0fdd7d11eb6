"""A gang on real agents: what ranks find, an all-reduce training over two nodes, one's death."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import psutil
import pytest

from bus.client import Client
from bus.errors import ApiError
from bus.spec import GangSpec, ResourceSpec
from bus.values import TaskState
from tests.fixtures_cluster import LiveCluster
from tests.interpreters import python_for_tasks
from tests.not_here import not_here

GUIDES = Path(__file__).parents[3] / "docs" / "guides"
SOCKETS, DDP = GUIDES / "train_sockets.py", GUIDES / "train_ddp.py"
SAY = (
    "echo $RANK/$WORLD_SIZE $LOCAL_RANK/$LOCAL_WORLD_SIZE $NODE_RANK $GROUP_RANK $CORRAL_TASK_ID"
    " $CORRAL_RANK; test -n $MASTER_ADDR -a $MASTER_PORT -gt 0 && cat $CORRAL_GANG_HOSTFILE"
)
SMALL = ResourceSpec(memory="64MiB")


async def gang(client: Client, command: list[str], size: int = 4, **fields: object) -> str:
    """The name of its task."""
    spec = GangSpec(size=size, ranks_per_node=2)
    job = await client.submit(command=command, gang=spec, resources=SMALL, **fields)  # type: ignore[arg-type]
    return f"{job.number}.0"


@pytest.mark.contract("S1.22")
async def test_every_rank_finds_its_place(cluster: LiveCluster) -> None:
    async with cluster.client() as alice:
        task = await gang(alice, ["sh", "-c", SAY])
        assert (await alice.wait(int(task.partition(".")[0]))).state == "completed"
        said = [(await alice.logs(f"{task}:{rank}")).data.decode().splitlines() for rank in range(4)]
        assert [lines[0] for lines in said] == [
            f"{rank}/4 {rank % 2}/2 {rank // 2} {rank // 2} {task} {rank}" for rank in range(4)
        ]
        assert all([line.split()[1] for line in lines[1:]] == ["slots=2", "slots=2"] for lines in said)
        shown = await alice.task(task)
        assert (shown.ranks, [each.rank for each in shown.attempts]) == (4, [0, 1, 2, 3])
        assert len({each.node for each in shown.attempts}) == 2
        assert [each.rank for each in (await alice.task(f"{task}:3")).attempts] == [3]
        with pytest.raises(ApiError, match="E_NOT_FOUND"):
            await alice.logs(f"{task}:4")


async def test_training_over_two_nodes_is_bit_equal_to_one_process(cluster: LiveCluster) -> None:
    """The ranks add up their gradients in the order of their numbers, whichever comes first.

    The same Python, for it brings the text.
    """
    python = python_for_tasks("numpy")
    if not python:
        not_here("an all-reduce training", "no Python with numpy that the account of tasks can execute")
    alone = subprocess.run([*python, SOCKETS, "--alone", "4"], capture_output=True, check=True)
    async with cluster.client() as alice:
        task = await gang(alice, [*python, "-c", SOCKETS.read_text()])
        job = await alice.wait(int(task.partition(".")[0]))
        assert job.state == "completed", (await alice.logs(task)).data
        output = (await alice.task(task)).output
    expected = json.loads(alone.stdout)
    assert {name: output[name] for name in expected} == expected
    assert output["ranks"] == 4


@pytest.mark.timeout(400)
async def test_pytorch_over_two_nodes_is_bit_equal_to_one_process(cluster: LiveCluster) -> None:
    """torch.distributed (gloo, env://) with DistributedDataParallel, as the guide has it."""
    python = python_for_tasks("torch")
    if not python:
        not_here("torch.distributed over two nodes", "no PyTorch that the account of tasks can use")
    alone = subprocess.run([*python, DDP, "--alone"], capture_output=True, check=True)
    async with cluster.client() as alice:
        job = await alice.submit(
            command=[*python, "-c", DDP.read_text()],
            gang=GangSpec(size=2, ranks_per_node=1, start_timeout=300),
            resources=ResourceSpec(memory="400MiB"),
        )
        over = await alice.wait(job.number)
        said = [(await alice.logs(f"{job.number}.0:{rank}")).data.decode() for rank in range(2)]
        assert over.state == "completed", said
        nodes = {each.node for each in (await alice.task(f"{job.number}.0")).attempts}
    learned = alone.stdout.decode().partition(": ")[2]
    assert learned.startswith("loss ") and [each.partition(": ")[2] for each in said] == [learned, learned]
    assert len(nodes) == 2


async def test_a_killed_rank_is_the_end_of_the_try_and_all_try_again(cluster: LiveCluster) -> None:
    """SIGKILL from outside; the next try has the next fence for every rank."""
    async with cluster.client() as alice:
        task = await gang(alice, ["sleep", "300.75"], retries=1, backoff=1.0)

        def sleepers() -> list[psutil.Process]:
            return [
                each for each in psutil.process_iter(["cmdline"]) if "300.75" in (each.info["cmdline"] or ())
            ]

        async def all_run() -> bool:
            return len(sleepers()) == 4

        await cluster.until(all_run, "four ranks run")
        sleepers()[0].kill()

        async def tried_again() -> bool:
            shown = await alice.task(task)
            newest = [each for each in shown.attempts if each.fence == 2]
            return len(newest) == 4 and shown.state is TaskState.RUNNING

        await cluster.until(tried_again, "all ranks were given out again")
        first = [each.state for each in (await alice.task(task)).attempts if each.fence == 1]
        assert sorted(first) == ["failed", "preempted", "preempted", "preempted"]
        await cluster.until(all_run, "four ranks run again, and none of the old ones")
        await alice.cancel(task)
        assert (await alice.wait(int(task.partition(".")[0]))).state in ("cancelled", "failed")


async def test_ranks_survive_an_agents_death_or_end_together(cluster: LiveCluster) -> None:
    """`kill -9` of an agent between the tries of its gang: nothing is left half."""
    async with cluster.client() as alice:
        task = await gang(alice, ["sh", "-c", "sleep 3"])
        cluster.kill("n2")
        cluster.start_agent("n2", "--cpu", "2", "--memory", "1GiB")
        job = await alice.wait(int(task.partition(".")[0]))
        assert job.state == "completed"
        newest = (await alice.task(task)).attempts[-4:]
        assert {each.state for each in newest} == {"completed"}
        assert len({each.fence for each in newest}) == 1
