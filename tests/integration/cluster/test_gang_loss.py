"""A node of a gang dies, for real: at the start barrier, and amid a save of which its rank owes a part."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing

from bus.client import Client
from bus.layout import Layout
from bus.spec import CheckpointSpec, Constraints, GangSpec, ResourceSpec
from bus.values import TaskState
from tests.fixtures_cluster import LiveCluster
from tests.integration.cluster.test_checkpoints import PYTHON
from tests.not_here import not_here

SAY = ["sh", "-c", "echo try $CORRAL_ATTEMPT"]
SMALL = ResourceSpec(cpu="500m", memory="64MiB")
STEPS, STALLS_AT = 30, 20
SLOW_S = 120.0
PAIR = """
import hashlib, os, socket, sys, time
import corral_task

steps, stalls_at = int(sys.argv[1]), int(sys.argv[2])
rank, first = int(os.environ["RANK"]), os.environ["CORRAL_ATTEMPT"] == "1"
place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
if rank == 0:
    with socket.create_server(("", place[1])) as server:
        peer = server.accept()[0]
else:
    until = time.monotonic() + 60
    while True:
        try:
            peer = socket.create_connection(place)
            break
        except ConnectionRefusedError:  # all were started at once: rank 0 may not listen yet
            assert time.monotonic() < until
            time.sleep(0.05)

weights, step, began = hashlib.sha256(str(rank).encode()).digest(), 0, 0
found = corral_task.resume()
if found:
    path, step = found
    began = step
    with open(os.path.join(path, "weights"), "rb") as file:
        weights = file.read()
while step < steps:
    step += 1
    peer.sendall(weights)
    other = b""
    while len(other) < 32:
        piece = peer.recv(32 - len(other))
        assert piece, "the other rank is gone"
        other += piece
    weights = hashlib.sha256(weights + other + str(step).encode()).digest()
    if step % 10 == 0:
        if first and rank == 1 and step == stalls_at:
            time.sleep(600)  # it dies within its save: the other waits for it in the next step
        os.makedirs("state", exist_ok=True)
        with open("state/weights", "wb") as file:
            file.write(weights)
        corral_task.checkpoint("state", step=step, shard=True)
print(began, weights.hex())
"""


async def submit(client: Client, command: list[str], **fields: object) -> str:
    """The name of a task of two ranks on two nodes, with no retries."""
    job = await client.submit(
        command=command,
        gang=GangSpec(size=2, ranks_per_node=1, start_timeout=300),
        resources=SMALL,
        retries=0,
        **fields,  # type: ignore[arg-type]
    )
    return f"{job.number}.0"


async def said_by(client: Client, cluster: LiveCluster, task: str) -> list[list[str]]:
    """What each rank printed, once the job has completed."""
    job = await client.wait(int(task.partition(".")[0]))
    assert job.state == "completed", (job, cluster.logs())
    return [(await client.logs(f"{task}:{rank}")).data.decode().split() for rank in range(2)]


async def gathers(client: Client, task: str) -> bool:
    """Whether all ranks have places; none runs as long as an agent stands still."""
    found = await client.ranks(task)
    assert found.gang.running == 0
    return found.gang.live == 2 and found.available == []


def held_on(cluster: LiveCluster, node: str) -> set[str]:
    """The jobs of which an agent has something on its disk that is not over."""
    with closing(sqlite3.connect(Layout(cluster.folder).agent(node) / "state.db")) as disk:
        rows = disk.execute("select job from local_sessions where status <> 'ended'").fetchall()
    return {str(job) for (job,) in rows}


async def began_anew(client: Client, task: str, *, nodes: set[str]) -> None:
    """The first try never ran, the newest completed on these nodes, and nobody was charged."""
    over = await client.task(task)
    assert all(each.started_at is None for each in over.attempts if each.fence == 1), over.attempts
    newest = [(each.node, each.state) for each in over.attempts if each.fence == over.fence]
    assert sorted(newest) == [(name, "completed") for name in sorted(nodes)]
    assert over.retries == 0


async def test_a_node_that_dies_at_the_barrier_and_stays_away(cluster: LiveCluster) -> None:
    """The agent of one rank holds it, that of the other never answers: none runs until a third has it."""
    async with cluster.client() as alice, cluster.client("olga") as olga:
        await olga.cordon("n3")
        cluster.kill("n2", signal.SIGSTOP)
        try:
            task = await submit(alice, SAY)
            await cluster.until(lambda: gathers(alice, task), "both ranks have their places", wait_s=SLOW_S)
            cluster.kill_node("n2")
            await olga.undrain("n3")
            assert await said_by(alice, cluster, task) == [["try", "2"], ["try", "2"]]
        finally:
            await olga.undrain("n3")
            cluster.start_agent("n2", *cluster.nodes["n2"])
        await began_anew(alice, task, nodes={"n1", "n3"})
    await cluster.settle()


async def test_a_rank_that_was_held_is_given_back_by_the_next_agent(cluster: LiveCluster) -> None:
    """SIGKILL of agent and guard of a rank that had confirmed, while the other's agent had not."""
    async with cluster.client() as alice:
        cluster.kill("n1", signal.SIGSTOP)
        try:
            task = await submit(alice, SAY, constraints=Constraints(nodes=["n1", "n2"]))
            await cluster.until(lambda: gathers(alice, task), "both ranks have their places", wait_s=SLOW_S)

            async def is_held() -> bool:
                return task.partition(".")[0] in held_on(cluster, "n2")

            await cluster.until(is_held, "the agent of n2 has its rank on disk", wait_s=SLOW_S)
            cluster.kill_node("n2")
            cluster.start_agent("n2", *cluster.nodes["n2"])

            async def is_over() -> bool:
                first = [each for each in (await alice.task(task)).attempts if each.fence == 1]
                return any(each.node == "n2" and each.ended_at is not None for each in first)

            await cluster.until(is_over, "its rank is given back", wait_s=SLOW_S)
        finally:
            cluster.kill("n1", signal.SIGCONT)
        said = await said_by(alice, cluster, task)
        assert said[0] == said[1] and int(said[0][1]) >= 2
        await began_anew(alice, task, nodes={"n1", "n2"})
    await cluster.settle()


async def test_a_node_that_dies_amid_a_sharded_save(cluster: LiveCluster) -> None:
    """The save is absent; both ranks go on from the one before, and end as if nothing had been."""
    if not os.access(PYTHON, os.X_OK):
        not_here("a node that dies amid a sharded save", "no Python that the account of tasks can execute")
    saving = CheckpointSpec(keep=2, replicas=1)
    async with cluster.client() as alice:
        command = [PYTHON, "-c", PAIR, str(STEPS)]
        undisturbed = await said_by(alice, cluster, await submit(alice, [*command, "0"], checkpoint=saving))
        assert [words[0] for words in undisturbed] == ["0", "0"]
        task = await submit(alice, [*command, str(STALLS_AT)], checkpoint=saving)

        async def half_saved() -> bool:
            (gang,) = (await alice.training(task)).gangs
            durable = [one.step for one in (await alice.checkpoints(task)).checkpoints if one.durable]
            return (gang.saving, gang.shards, durable) == (STALLS_AT, 1, [STALLS_AT - 10])

        await cluster.until(
            half_saved, "one of two parts is saved, the save before has its copies", wait_s=90
        )
        doomed = (await alice.ranks(task)).ranks[1]
        assert doomed.checkpoint == f"step-{STALLS_AT - 10}"
        cluster.kill_node(doomed.node)
        try:
            said = await said_by(alice, cluster, task)
        finally:
            cluster.start_agent(doomed.node, *cluster.nodes[doomed.node])
        assert [words[0] for words in said] == ["10", "10"], "both from the last complete one"
        assert [words[1] for words in said] == [words[1] for words in undisturbed]
        over = await alice.task(task)
        assert over.state is TaskState.COMPLETED and (over.fence, over.retries) == (2, 0)
        steps = [(one.step, one.complete) for one in (await alice.checkpoints(task)).checkpoints]
        assert steps == [(STEPS, True), (STALLS_AT, True)]
    await cluster.settle()
