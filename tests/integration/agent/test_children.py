"""Tasks that wait for their jobs, over a whole agent and a real guard: asked for as long as they wait."""

from __future__ import annotations

import json
import os
from pathlib import Path

from bus.children import ChildEnd
from bus.values import AttemptRef, JobState
from tests.integration.agent.world import A, B, World, until

WAIT = """
import json, corral_task
corral_task.submit({"command": ["true"]})
corral_task.output(corral_task.wait_children(60))
"""
ENDED = (
    ChildEnd(job=9, name="shard", state=JobState.FAILED, tasks=1, failed=1, exit_code=3),
    ChildEnd(job=0),
)


async def test_it_hears_what_became_of_them_also_from_a_new_agent(world: World) -> None:
    """And nobody is asked for them before what it submitted is heard."""
    coordinator = world.coordinator
    coordinator.mute = True  # it takes what is told, and its answer is lost
    await coordinator.assign(A, "python3", "-c", WAIT)
    await until(lambda: coordinator.told, "it has submitted")
    await until(lambda: coordinator.waiting == (), "nobody waits, as the agent says when it comes")
    await world.node.stop()
    coordinator.mute = False
    world.node.start()
    await until(lambda: coordinator.waiting == (A,), "it waits")
    coordinator.ended_children[A] = ENDED
    output = (await coordinator.ended(A)).output
    assert output is not None
    refused, failed = json.loads(output)
    assert (refused["job"], refused["state"]) == (None, "refused")
    assert (failed["job"], failed["state"], failed["exit_code"]) == (9, "failed", 3)
    await until(lambda: coordinator.waiting == (), "that it waits no longer is told as well")
    folder = world.node.config.tasks / "1"
    assert {path.name for path in folder.iterdir() if "children" in path.name} == {"0.1.children"}


async def test_a_rank_is_told_that_it_cannot_wait(world: World) -> None:
    rank = AttemptRef(1, (1 << 20) + 1, 1)
    await world.coordinator.assign(rank, "python3", "-c", WAIT)
    ended = await world.coordinator.ended(rank)
    assert ended.exit_code == 1 and b"only rank 0" in ended.stderr_tail


async def test_tricks_with_the_files_change_nothing(world: World, tmp_path: Path) -> None:
    """A question that is no file, an answer that would be written elsewhere or never."""
    coordinator = world.coordinator
    (tmp_path / "mine").write_text("mine")
    coordinator.ended_children[A] = coordinator.ended_children[B] = ENDED
    tricks = f'mkfifo "$CORRAL_CHILDREN.part"; ln -s {tmp_path}/mine "$CORRAL_CHILDREN"'
    await coordinator.assign(A, "sh", "-c", f'{tricks}; python3 "$CORRAL_HELPER" wait_children 60')
    assert (await coordinator.ended(A)).exit_code == 1, "it was told, and one of them failed"
    assert (tmp_path / "mine").read_text() == "mine"
    others = 'mkfifo "$CORRAL_CHILDREN.ask" && touch ../made; sleep 2'
    await coordinator.assign(B, "sh", "-c", others)
    await until((world.node.config.tasks / "1" / "made").exists, "a FIFO in its place")
    assert (await coordinator.ended(B)).exit_code == 0, "the agent looked at it, and lives"
    assert not os.path.isfile(world.node.config.tasks / "1" / "1.1.children.ask")
