"""A whole agent over the in-process bus: from an assignment to what is reported of it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from pathlib import Path

import pytest

from agent import link_watch
from agent.interfaces import Interfaces
from bus import messages as m
from bus import subjects
from bus.codec import decode_from_agent_reply, encode
from bus.transport import Message
from bus.values import (
    AttemptRef,
    Ended,
    InterfaceInfo,
    NetworkTerms,
    Outcome,
    Returned,
    Started,
    Stream,
    TaskRef,
)
from tests.integration.agent.harness import WAIT_S, alive
from tests.integration.agent.world import A, B, World, guards, guards_children, until


async def test_a_task_runs_and_its_output_is_served(world: World) -> None:
    coordinator = world.coordinator
    assert coordinator.registrations[0].capacity.cpu_millis == 2000
    await coordinator.assign(A, "sh", "-c", 'echo hello; echo "[1]" > $CORRAL_OUTPUT; exit 3')
    ended = await coordinator.ended(A)
    assert (ended.outcome, ended.exit_code, ended.output, ended.log_sizes) == (
        Outcome.EXITED,
        3,
        b"[1]\n",
        (6, 0),
    )
    assert [type(event) for event in coordinator.events] == [Started, Ended]
    asked = m.FetchLog(epoch=1, task=A.task, fence=0, stream=Stream.STDOUT, offset=1, limit=3)
    chunk = await coordinator.command(asked)
    assert isinstance(chunk, m.LogChunk)
    assert (chunk.fence, chunk.offset, chunk.data, chunk.size, chunk.ended) == (1, 1, b"ell", 6, True)
    unknown = await coordinator.command(
        m.FetchLog(epoch=1, task=TaskRef(9, 9), fence=0, stream=Stream.STDERR, offset=0, limit=3)
    )
    assert isinstance(unknown, m.LogChunk) and unknown.error is not None


async def test_usage_is_measured_and_nothing_of_an_outage_is_missing(world: World) -> None:
    coordinator = world.coordinator
    await coordinator.assign(A, "sleep", "1000")
    await coordinator.started(A)
    await until(lambda: coordinator.usage and coordinator.usage[-1].tasks, "the task is measured")
    assert coordinator.usage[-1].tasks[0].attempt == A
    world.node.bus.set_connected(False)
    cut_at = time.time()
    await asyncio.sleep(0)
    logging.getLogger("agent").warning("of this outage")
    await until(lambda: time.time() > cut_at + 0.5, "some samples could not be sent")
    world.node.bus.set_connected(True)
    healed_at = time.time()
    await until(lambda: any(cut_at < u.sampled_at < healed_at - 0.1 for u in coordinator.usage), "backfilled")

    def complaints() -> list[float]:
        """How long ago it was, each time that it was told."""
        lines = [(u, line) for u in coordinator.usage for line in u.log]
        return [u.sampled_at - line.age_s for u, line in lines if line.text == "agent: of this outage"]

    await until(complaints, "what was logged meanwhile is told")
    count = len(coordinator.usage)
    await until(lambda: len(coordinator.usage) > count + 1, "more samples come")
    (logged_at,) = complaints()
    assert cut_at <= logged_at < healed_at
    await coordinator.command(m.Cancel(epoch=1, attempts=(A,)))
    assert (await coordinator.ended(A)).outcome is Outcome.CANCELLED


async def test_a_restarted_agent_adopts_and_reports_exactly_once(world: World, node_folder: Path) -> None:
    coordinator = world.coordinator
    await coordinator.assign(A, "sh", "-c", "while [ ! -e ../go ]; do sleep 0.02; done; exit 7")
    await coordinator.assign(B, "sleep", "1000")
    pid = await coordinator.started(B)
    await coordinator.started(A)
    await world.node.stop()
    (node_folder / "agent/tasks/1/go").touch()
    await world.start_again()
    assert set(coordinator.registrations[-1].live) >= {B}
    assert (await coordinator.ended(A)).exit_code == 7
    assert alive(pid)
    await coordinator.command(m.Cancel(epoch=1, attempts=(B,)))
    await coordinator.ended(B)
    # A start may be said again: the agent can go before it hears that the first report was taken.
    ends = [event.attempt for event in coordinator.events if isinstance(event, Ended)]
    assert sorted(ends) == [A, B]
    await coordinator.assign(A, "true")  # said again: it ran already
    await coordinator.assign(AttemptRef(1, 0, 2), "true")
    await coordinator.ended(AttemptRef(1, 0, 2))
    assert [isinstance(event, Ended) for event in coordinator.events if event.attempt == A].count(True) == 1


async def test_an_outage_keeps_results_until_they_are_acknowledged(world: World) -> None:
    coordinator = world.coordinator
    await coordinator.assign(A, "sh", "-c", "while [ ! -e ../go ]; do sleep 0.02; done")
    await coordinator.started(A)
    world.node.bus.set_connected(False)
    (world.node.config.tasks / "1/go").touch()
    cut_at = time.monotonic()
    await until(lambda: not guards_children(world), "it has ended")
    await until(lambda: time.monotonic() > cut_at + 0.5, "a heartbeat has met the outage")
    assert A not in coordinator.ends()
    world.node.bus.set_connected(True)
    assert (await coordinator.ended(A)).exit_code == 0
    await until(lambda: len(coordinator.registrations) > 1, "registered after the reconnect")


async def test_a_silent_coordinator_ends_the_lease(world: World) -> None:
    coordinator = world.coordinator
    await world.node.stop()
    coordinator.term_after_s = 0.5
    await world.start_again()
    await coordinator.assign(A, "sleep", "1000")
    pid = await coordinator.started(A)
    world.node.bus.set_connected(False)
    await until(lambda: not alive(pid), "the guard ended it")
    world.node.bus.set_connected(True)
    assert (await coordinator.ended(A)).outcome is Outcome.LEASE_EXPIRED


async def test_a_killed_guard_loses_its_tasks_and_is_replaced(world: World, node_folder: Path) -> None:
    coordinator = world.coordinator
    await coordinator.assign(A, "sleep", "1000")
    pid = await coordinator.started(A)
    coordinator.renewing = False  # the new guard has the lease of the old one, whenever the next beat is
    (guard,) = guards(node_folder)
    os.kill(guard, 9)
    assert (await coordinator.ended(A)).outcome is Outcome.LOST
    await coordinator.assign(B, "true")
    assert (await coordinator.ended(B)).outcome is Outcome.EXITED
    assert not alive(pid), "the new guard ended the leftover"


async def test_needed_outputs_arrive_before_the_start(world: World) -> None:
    coordinator = world.coordinator
    outputs = [
        m.NeededOutput(group="count", task=TaskRef(1, n), output=b'{"words":1,"counts":{"w":%d}}' % n)
        for n in (1, 2)
    ]
    silent = m.NeededOutput(group="count", task=TaskRef(1, 3), output=None)
    coordinator.inputs = [
        m.InputsReply(outputs=(outputs[0],), more=True),
        m.InputsReply(outputs=(outputs[1], silent), more=False),
    ]
    await coordinator.assign(A, tool="wordcount_merge", needs=True)
    ended = await coordinator.ended(A)
    assert json.loads(ended.output or b"") == {"words": 3, "counts": {"w": 3}}


async def test_old_leaders_strangers_and_garbage_are_not_obeyed(world: World) -> None:
    coordinator = world.coordinator
    coordinator.epoch = 5
    await coordinator.assign(A, "sleep", "1000")
    pid = await coordinator.started(A)
    reply = await coordinator.command(m.Cancel(epoch=4, attempts=(A,)))
    assert isinstance(reply, m.CommandReply) and reply.error is not None and "5 leads" in reply.error
    subject = subjects.node("n1", subjects.NodeVerb.COMMAND)
    cancel = encode(m.Cancel(epoch=9, attempts=(A,)))
    await coordinator.bus.publish(subject, cancel)
    await coordinator.bus.publish(subject, cancel, reply="_INBOX_alice.1")
    answer = await coordinator.bus.request(subject, b"garbage", timeout_s=WAIT_S)
    error = decode_from_agent_reply(answer.data)
    assert isinstance(error, m.CommandReply) and error.error is not None
    assert alive(pid)
    coordinator.drop = (A,)
    await until(lambda: not alive(pid), "dropped work is ended")
    assert A not in coordinator.ends()


async def test_retracted_work_comes_back(world: World) -> None:
    coordinator = world.coordinator
    for index in range(3):
        await coordinator.assign(AttemptRef(2, index, 1), "sleep", "1000")
    asked = tuple(AttemptRef(2, index, 1) for index in range(3))
    await coordinator.started(asked[0])
    await coordinator.started(asked[1])
    await coordinator.command(m.Retract(epoch=1, attempts=asked))
    await until(lambda: Returned(attempt=asked[2]) in coordinator.events, "the waiting one came back")
    await coordinator.command(m.Cancel(epoch=1, attempts=asked))
    assert (await coordinator.ended(asked[0])).outcome is Outcome.CANCELLED
    assert (await coordinator.ended(asked[1])).outcome is Outcome.CANCELLED


async def test_output_can_be_followed_to_its_end(world: World) -> None:
    coordinator = world.coordinator
    chunks: list[m.LogChunk] = []

    async def on_chunk(message: Message) -> None:
        chunk = decode_from_agent_reply(message.data)
        assert isinstance(chunk, m.LogChunk)
        chunks.append(chunk)

    await world.user.subscribe(subjects.log("n1", "alice", A.task), on_chunk)
    follow = m.Follow(epoch=1, task=A.task, fence=0, user="alice", seconds=30.0)
    assert await coordinator.command(follow) == m.CommandReply(node="n1")
    assert await coordinator.command(follow) == m.CommandReply(node="n1")
    script = "head -c 150000 /dev/zero; while [ ! -e ../go ]; do sleep 0.02; done; echo end; echo no >&2"
    await coordinator.assign(A, "sh", "-c", script)
    await until(lambda: sum(len(chunk.data) for chunk in chunks) >= 150_000, "the first part came")
    (world.node.config.tasks / "1/go").touch()
    await until(lambda: {c.stream for c in chunks if c.ended} == set(Stream), "both ends came")
    whole = dict.fromkeys(Stream, b"")
    for chunk in chunks:
        assert chunk.offset == len(whole[chunk.stream]), "no gap, nothing twice"
        assert len(chunk.data) <= 64 * 1024
        whole[chunk.stream] += chunk.data
    assert whole == {Stream.STDOUT: bytes(150_000) + b"end\n", Stream.STDERR: b"no\n"}


async def test_a_speed_that_changes_is_announced_and_counts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard has it before the coordinator does: what is placed by the new one fits."""
    await world.node.stop()
    speeds = [1_000]

    def found(self: Interfaces) -> tuple[InterfaceInfo, ...]:
        return (InterfaceInfo(name="eth0", mac="", kind="data", status="up", speed_mbps=speeds[-1]),)

    monkeypatch.setattr(Interfaces, "found", found)
    monkeypatch.setattr(link_watch, "_POLL_S", 0.02)
    monkeypatch.setattr(link_watch, "_REST_S", 0.02)
    coordinator = world.coordinator
    world.node.start()

    def offered() -> int:
        return coordinator.registrations[-1].capacity.net_mbps

    await until(lambda: offered() == 1_000, "registered")
    speeds.append(25_000)
    await until(lambda: offered() == 25_000, "the new speed is announced")
    await coordinator.assign(A, "true", net_mbps=20_000)
    assert (await coordinator.ended(A)).exit_code == 0
    speeds.append(10_000)
    await until(lambda: offered() == 10_000, "and a slower one")


async def test_what_is_declared_of_its_network_is_obeyed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told with the answer to its registration: it offers that much from then on, and registers once more."""
    await world.node.stop()
    card = InterfaceInfo(name="eth0", mac="", kind="data", status="up")
    monkeypatch.setattr(Interfaces, "found", lambda self: (card,))
    coordinator = world.coordinator
    coordinator.network = NetworkTerms(bandwidth_mbps=10_000, share=50)
    before = len(coordinator.registrations)
    world.node.start()

    def offered() -> list[int]:
        return [one.capacity.net_mbps for one in coordinator.registrations[before:]]

    await until(lambda: offered() == [1_000, 5_000], "what nobody measured is what was declared")
    await coordinator.assign(A, "true", net_mbps=4_000)
    assert (await coordinator.ended(A)).exit_code == 0
    assert offered() == [1_000, 5_000]
