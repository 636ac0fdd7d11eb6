"""The loop: batches that grow with the load, heartbeats that never wait, reads that see what was told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bus.messages import HeartbeatReply
from bus.values import AttemptRef, NodeHealth
from coordinator import loop as loop_module
from coordinator.core.events import AgentBeat, Tick
from coordinator.loop import Loop, Overloaded
from coordinator.store.errors import NotLeader, StoreUnavailable
from tests.unit.coordinator.shell import Shell, running_shell, until


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    async with running_shell() as running:
        yield running


async def hang(shell: Shell) -> asyncio.Task[Any]:
    """Close the gate and begin a commit that hangs behind it."""
    shell.store.gate.clear()
    tried = len(shell.store.tried)
    submission = asyncio.create_task(shell.ask("alice", "job.submit", command=["true"]))
    await until(lambda: len(shell.store.tried) > tried)
    return submission


async def test_an_answer_goes_out_only_after_the_commit(shell: Shell) -> None:
    submission = await hang(shell)
    inbox = "_INBOX_alice"
    assert not any(what == "publish" and str(which).startswith(inbox) for what, which in shell.timeline)
    shell.store.gate.set()
    assert (await submission)["number"] == 1


async def test_events_that_come_while_a_batch_is_written_share_the_next_one(shell: Shell) -> None:
    first = await hang(shell)
    others = [asyncio.create_task(shell.submit()) for _ in range(20)]
    await until(lambda: len(shell.loop._queue) >= 20)
    before = len(shell.store.batches)
    shell.store.gate.set()
    await asyncio.gather(first, *others)
    sizes = [len(batch.new_jobs) for batch in shell.store.batches[before:]]
    assert sizes == [1, 20]


async def test_a_heartbeat_is_answered_while_a_commit_hangs_and_drops_nothing(shell: Shell) -> None:
    agent = await shell.agent()
    submission = await hang(shell)
    unknown = AttemptRef(99, 0, 1)
    reply = await agent.beat(unknown, sequence=5)
    assert isinstance(reply, HeartbeatReply)
    assert (reply.sequence, reply.epoch, reply.drop) == (5, 7, ())
    shell.store.gate.set()
    await submission
    reply = await agent.beat(unknown, sequence=6)
    assert isinstance(reply, HeartbeatReply) and reply.drop == (unknown,)


async def test_what_a_heartbeat_changes_while_a_commit_hangs_joins_the_next_batch(shell: Shell) -> None:
    agent = await shell.agent()
    submission = await hang(shell)
    node = shell.cluster.nodes["n1"]
    node.health = NodeHealth.UNREACHABLE
    await agent.beat()
    written = len(shell.store.batches)
    shell.store.gate.set()
    await submission
    await until(lambda: any(batch.nodes for batch in shell.store.batches[written:]))
    (row,) = next(batch.nodes for batch in shell.store.batches[written:] if batch.nodes)
    assert row.health is NodeHealth.HEALTHY


async def test_the_barrier_waits_for_what_was_posted_before_it(shell: Shell) -> None:
    submission = await hang(shell)
    barrier = asyncio.create_task(shell.loop.barrier())
    await until(lambda: shell.loop._barriers)
    assert not barrier.done()
    shell.store.gate.set()
    await barrier
    assert shell.store.batches[-1].new_jobs
    await submission
    await shell.loop.barrier()


async def test_nobody_waits_for_ever_at_the_barrier(shell: Shell, monkeypatch: Any) -> None:
    monkeypatch.setattr(loop_module, "BARRIER_S", 0.01)
    submission = await hang(shell)
    with pytest.raises(StoreUnavailable):
        await shell.loop.barrier()
    assert not shell.loop._barriers
    shell.store.gate.set()
    await submission


async def test_a_barrier_whose_waiter_went_away_does_not_stop_the_loop(shell: Shell) -> None:
    submission = await hang(shell)
    barrier = asyncio.create_task(shell.loop.barrier())
    await until(lambda: shell.loop._barriers)
    barrier.cancel()
    shell.store.gate.set()
    await submission
    assert not shell.loop._barriers


async def test_a_full_queue_refuses(monkeypatch: Any) -> None:
    monkeypatch.setattr(loop_module, "EVENTS_MAX", 2)
    idle = Shell().loop
    idle.post(Tick())
    idle.post(Tick())
    with pytest.raises(Overloaded):
        idle.post(Tick())


async def test_a_batch_takes_no_more_than_its_share(monkeypatch: Any) -> None:
    monkeypatch.setattr(loop_module, "BATCH_EVENTS_MAX", 3)
    shell = Shell()
    for _ in range(5):
        shell.loop.post(Tick())
    await shell.loop._run_batch()
    assert len(shell.loop._queue) == 2


async def test_another_leader_ends_the_loop() -> None:
    async with running_shell() as shell:
        shell.store.faults.append(NotLeader("epoch 1 is over"))
        submission = asyncio.create_task(shell.ask("alice", "job.submit", command=["true"]))
        assert shell.running is not None
        await asyncio.wait([shell.running])
        assert isinstance(shell.running.exception(), NotLeader)
        assert not submission.done()
        submission.cancel()
        await asyncio.wait([submission])


async def test_a_busy_system_gathers_and_an_idle_one_does_not(monkeypatch: Any) -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    loop = Shell().loop
    monkeypatch.setattr(loop_module.asyncio, "sleep", pause)
    await loop._gather(asyncio.get_running_loop().time() + 10)
    assert pauses == [0.0]
    loop._effects_per_s = 2 * loop_module.BUSY_EFFECTS_PER_S
    await loop._gather(loop._batch_started_s)
    assert 0.0 < pauses[-1] <= loop_module.BUSY_WINDOW_S


async def test_time_passes_by_itself(shell: Shell, monkeypatch: Any) -> None:
    """Ticks and the reconcile come without any message."""
    await shell.agent()
    shell.cluster.nodes["n1"].last_beat_s -= 60
    await until(lambda: shell.cluster.nodes["n1"].health is NodeHealth.UNREACHABLE)


async def test_the_reconcile_repeats_what_was_not_obeyed(monkeypatch: Any) -> None:
    monkeypatch.setattr(loop_module, "RECONCILE_S", 0.0)
    async with running_shell() as shell:
        agent = await shell.agent()
        number = await shell.submit()
        await until(agent.assigned)
        await shell.ask("alice", "job.cancel", target=str(number))
        await until(lambda: sum(type(command).__name__ == "Cancel" for command in agent.commands) >= 3)


async def test_a_beat_between_batches_takes_its_place_in_the_queue() -> None:
    loop: Loop = Shell().loop
    beat = AgentBeat(node="n1", incarnation="i", sequence=1, load=0.0, live=())  # type: ignore[arg-type]
    loop.post(beat)
    assert list(loop._queue) == [beat]


async def test_a_look_at_rest_sees_what_is_committed_and_keeps_everything_else_waiting(shell: Shell) -> None:
    submission = await hang(shell)
    looked: list[int] = []

    async def look() -> asyncio.Task[Any]:
        looked.append(len(shell.store.batches))
        later = asyncio.create_task(shell.submit())
        await until(lambda: shell.loop._queue)
        assert len(shell.store.batches) == looked[0]
        return later

    looking = asyncio.create_task(shell.loop.at_rest(look))
    await asyncio.sleep(0)
    assert not looked, "a batch is on its way"
    written = len(shell.store.batches)
    shell.store.gate.set()
    await (await looking)
    assert looked == [written + 1] and len(shell.store.batches) > looked[0]
    await submission


async def test_a_look_that_never_ends_is_given_up_and_a_wrong_one_is_its_owners(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_module, "REST_S", 0.01)

    async def wrong() -> None:
        raise ValueError("mine")

    with pytest.raises(StoreUnavailable):
        await shell.loop.at_rest(asyncio.Event().wait)
    with pytest.raises(ValueError, match="mine"):
        await shell.loop.at_rest(wrong)
    monkeypatch.setattr(loop_module, "BARRIER_S", 0.01)
    submission = await hang(shell)
    with pytest.raises(StoreUnavailable):
        await shell.loop.at_rest(asyncio.Event().wait)
    shell.store.gate.set()
    await submission
