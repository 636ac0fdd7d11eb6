"""The story of a checkpoint on real agents: its node is killed, the task goes on elsewhere, bit for bit."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bus.checkpoints import CheckpointKind
from bus.client import Client
from bus.spec import CheckpointSpec, ResourceSpec
from bus.values import TaskState
from tests.fixtures_cluster import LiveCluster

PYTHON = "/usr/bin/python3"  # that the account of tasks can execute
STEPS = 60
TRAIN = """
import hashlib, json, os, sys, time
import corral_task

steps, pause_s = int(sys.argv[1]), float(sys.argv[2])
found = corral_task.resume()
weights, step, began = hashlib.sha256(b"seed").hexdigest(), 0, 0
if found:
    path, began = found
    with open(os.path.join(path, "weights")) as file:
        weights = file.read()
    step = began
while step < steps:
    step += 1
    weights = hashlib.sha256(f"{weights} {step}".encode()).hexdigest()
    time.sleep(pause_s)
    if step % 5 == 0:
        os.makedirs("state", exist_ok=True)
        with open("state/weights", "w") as file:
            file.write(weights)
        corral_task.checkpoint("state", step=step, loss=1 / step)
corral_task.output({"weights": weights, "began": began})
"""


async def train(client: Client, *, pause_s: float, **fields: object) -> str:
    """The name of its task."""
    spec = CheckpointSpec(keep=2, replicas=1)
    job = await client.submit(
        command=[PYTHON, "-c", TRAIN, str(STEPS), str(pause_s)],
        checkpoint=spec,
        resources=ResourceSpec(memory="64MiB"),
        **fields,  # type: ignore[arg-type]
    )
    return f"{job.number}.0"


async def output_of(client: Client, task: str) -> dict[str, object]:
    job = await client.wait(int(task.partition(".")[0]))
    assert job.state == "completed", (await client.logs(task)).data
    return dict((await client.task(task)).output)


@pytest.mark.contract("S0.48")
async def test_a_task_goes_on_from_the_copy_when_its_node_is_gone(cluster: LiveCluster) -> None:
    if not Path(PYTHON).exists() or not os.access(PYTHON, os.X_OK):
        pytest.skip("no Python of the system")
    async with cluster.client() as alice:
        undisturbed = await output_of(alice, await train(alice, pause_s=0.0))
        assert undisturbed["began"] == 0
        task = await train(alice, pause_s=0.4)

        async def durable() -> bool:
            return any(one.durable for one in (await alice.checkpoints(task)).checkpoints)

        await cluster.until(durable, "a checkpoint has its copy", wait_s=90)
        running = await alice.task(task)
        assert running.state is TaskState.RUNNING and running.node is not None
        kept = next(one for one in (await alice.checkpoints(task)).checkpoints if one.durable)
        cluster.kill_node(running.node)
        try:
            output = await output_of(alice, task)
        finally:
            cluster.start_agent(running.node, *cluster.nodes[running.node])
        over = await alice.task(task)
        assert over.node != running.node
        assert int(str(output["began"])) >= kept.step > 0
        assert output["weights"] == undisturbed["weights"]
        newest = (await alice.checkpoints(task)).checkpoints[0]
        assert (newest.step, newest.kind) == (STEPS, CheckpointKind.FINAL)
        assert json.dumps(newest.metrics) == json.dumps({"loss": 1 / STEPS})


@pytest.mark.contract("S1.35")
async def test_what_a_task_saves_as_it_is_told_to_end_is_where_the_next_one_begins(
    cluster: LiveCluster,
) -> None:
    """Requeued: TERM, an emergency checkpoint within the grace, and the next attempt has it."""
    stop = (
        "trap 'mkdir $CORRAL_CHECKPOINT_DIR/.new; echo saved > $CORRAL_CHECKPOINT_DIR/.new/state;"
        " mv $CORRAL_CHECKPOINT_DIR/.new $CORRAL_CHECKPOINT_DIR/step-7; exit 1' TERM;"
        ' if [ -n "$CORRAL_RESUME" ]; then echo $CORRAL_RESUME_STEP $(cat $CORRAL_RESUME/state); exit 0; fi;'
        " echo ready; sleep 60 & wait"
    )
    async with cluster.client() as alice:
        job = await alice.submit(
            command=["sh", "-c", stop], checkpoint=CheckpointSpec(replicas=0), grace=10, preemptible=True
        )
        task = f"{job.number}.0"

        async def ready() -> bool:
            return b"ready" in (await alice.logs(task)).data

        await cluster.until(ready, "it waits")
        await alice.requeue(job.number)
        assert (await alice.wait(job.number)).state == "completed"
        assert (await alice.logs(task)).data == b"7 saved\n"
        (one,) = (await alice.checkpoints(task)).checkpoints
        assert (one.step, one.attempt, one.durable) == (7, 1, True)
