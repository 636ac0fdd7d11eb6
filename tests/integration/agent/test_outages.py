"""What goes away and comes back: bus, coordinator, disk, state file, agent, guard; nothing is lost, nothing
runs twice, and no sample is missing."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from agent import metering, session, spool, watch
from agent.guard import client, wire
from agent.guard.client import GuardLink
from bus import messages as m
from bus import subjects
from bus.codec import encode
from bus.errors import RequestTimeout
from bus.values import AttemptRef, Ended, Outcome, Resources, Returned, Started
from tests.integration.agent.harness import WAIT_S, alive
from tests.integration.agent.world import A, B, World, guards, until

WAITING = "while [ ! -e ../go ]; do sleep 0.02; done"
ADOPTED_IN_S = 3.0


async def restart(world: World) -> float:
    """Returns how long the new agent took to tell the coordinator what it has."""
    count = len(world.coordinator.registrations)
    await world.node.stop()
    began_at = time.monotonic()
    world.node.start()
    await until(lambda: len(world.coordinator.registrations) > count, "registered again")
    return time.monotonic() - began_at


async def test_a_pause_is_told_with_the_heartbeats_and_outlives_the_agent(world: World) -> None:
    coordinator = world.coordinator
    await coordinator.assign(A, "sleep", "1000")
    pid = await coordinator.started(A)
    assert await coordinator.command(m.Pause(epoch=1, attempts=(A, B))) == m.CommandReply(node="n1")
    await until(lambda: coordinator.last_paused == (A,), "the heartbeat says so")
    await until(lambda: state_of(pid) == "T", "it stands still")
    await restart(world)
    beats = len(coordinator.beats)
    await until(lambda: len(coordinator.beats) > beats, "the new agent beats")
    assert coordinator.last_paused == (A,) and state_of(pid) == "T"
    await coordinator.command(m.Resume(epoch=1, attempts=(A,)))
    await until(lambda: coordinator.last_paused == (), "it goes on")
    assert state_of(pid) == "S"


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


async def test_an_inspection_shows_what_runs_waits_and_is_untold(world: World) -> None:
    coordinator = world.coordinator
    await coordinator.assign(A, "sh", "-c", "sleep 1000 & sleep 1000")
    await coordinator.assign(B, "sleep", "1000")
    pid = await coordinator.started(A)
    await coordinator.started(B)
    waiting = AttemptRef(1, 2, 1)
    await coordinator.assign(waiting, "true")
    await coordinator.command(m.Pause(epoch=1, attempts=(B,)))

    async def look() -> m.Inspection:
        answer = await coordinator.command(m.Inspect(epoch=1))
        assert isinstance(answer, m.Inspection)
        return answer

    async with asyncio.timeout(WAIT_S):
        while (found := await look()).running[0].processes != 3 or found.unreported:
            await asyncio.sleep(0.02)
    assert found.running[0].pid == pid and not found.running[0].paused
    assert found.running[1] == m.FoundTask(attempt=B, pid=found.running[1].pid, processes=1, paused=True)
    assert (found.queued, found.strays, found.error, found.epoch) == ((waiting,), (), None, 1)


@pytest.mark.contract("S2.86", "S2.87")
async def test_every_task_is_adopted_and_what_ended_meanwhile_is_told_once(world: World) -> None:
    coordinator = world.coordinator
    refs = [AttemptRef(3, index, 1) for index in range(2)]
    for ref in refs:
        await coordinator.assign(ref, "sh", "-c", f"echo out; {WAITING}; exit 4")
    pids = [await coordinator.started(ref) for ref in refs]
    database = sqlite3.connect(world.node.config.data / "state.db")
    kept = database.execute("select pid, start_ticks > 0 from local_sessions where job = 3 order by 1")
    assert kept.fetchall() == [(pid, 1) for pid in sorted(pids)]
    database.close()
    took_s = await restart(world)
    assert took_s <= ADOPTED_IN_S
    assert set(coordinator.registrations[-1].live) >= set(refs)
    assert all(map(alive, pids))
    await world.node.stop()
    (world.node.config.tasks / "3/go").touch()
    await until(lambda: not any(map(alive, pids)), "they ended while nobody looked")
    world.node.start()
    for ref in refs:
        ended = await coordinator.ended(ref)
        assert (ended.outcome, ended.exit_code, ended.log_sizes) == (Outcome.EXITED, 4, (4, 0))
    await restart(world)
    ends = [event.attempt for event in coordinator.events if isinstance(event, Ended)]
    assert sorted(ends) == refs, "each once"


async def test_what_a_dead_guard_left_is_ended_though_it_hides(world: World, node_folder: Path) -> None:
    """Agent and guard both die; the task has emptied its environment: pid and start time betray it."""
    coordinator = world.coordinator
    await coordinator.assign(A, "env", "-i", "sleep", "1000")
    pid = await coordinator.started(A)
    await world.node.stop()
    (guard,) = guards(node_folder)
    os.kill(guard, signal.SIGKILL)
    await until(lambda: not guards(node_folder), "the guard is dead")
    assert alive(pid)
    world.node.start()
    assert (await coordinator.ended(A)).outcome is Outcome.LOST
    await until(lambda: not alive(pid), "it is gone")


async def test_a_task_that_runs_on_outlives_its_lease_and_its_agent(world: World) -> None:
    coordinator = world.coordinator
    coordinator.term_after_s = 0.5
    await restart(world)
    await coordinator.assign(A, "sh", "-c", f"{WAITING}; exit 6", run_on=True)
    await coordinator.assign(B, "sleep", "1000")
    stays, goes = await coordinator.started(A), await coordinator.started(B)
    world.node.bus.set_connected(False)
    await until(lambda: not alive(goes), "the other's lease ended")
    assert alive(stays)
    await world.node.stop()
    world.node.start()
    world.node.bus.set_connected(True)
    assert (await coordinator.ended(B)).outcome is Outcome.LEASE_EXPIRED
    assert alive(stays) and A not in coordinator.ends()
    (world.node.config.tasks / "1/go").touch()
    assert (await coordinator.ended(A)).exit_code == 6


@pytest.mark.contract("S2.85")
@pytest.mark.parametrize("who", ["bus", "coordinator"])
async def test_no_sample_of_an_outage_is_missing(
    world: World, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    """Time runs sixty times as fast here: a minute's outage of twelve samples takes a second."""
    monkeypatch.setattr(metering, "_STORED_AFTER_S", 0.2)
    monkeypatch.setattr(session, "_HEARTBEAT_TIMEOUT_S", 0.1)
    coordinator = world.coordinator
    await until(lambda: len(coordinator.usage) > 3, "samples arrive")
    if who == "bus":
        world.node.bus.set_connected(False)
    else:
        coordinator.away = True
    cut_at = time.time()
    await until(lambda: time.time() > cut_at + 1.2, "the outage lasts")
    healed_at, count = time.time(), len(coordinator.usage)
    coordinator.away = False
    world.node.bus.set_connected(True)
    await until(lambda: coordinator.usage[-1].sampled_at > healed_at + 0.5, "it is over")
    arrived = [report.sampled_at for report in coordinator.usage]
    assert arrived[count:] == sorted(arrived[count:]), "oldest first"
    database = sqlite3.connect(world.node.config.data / "state.db")
    measured = [at for (at,) in database.execute("select timestamp from local_resources order by 1")]
    assert sum(cut_at < at < healed_at for at in measured) >= 6
    assert {at for at in measured if at < healed_at + 0.5} <= set(arrived), "no hole"
    ages = {report.sampled_at: report.age_s for report in coordinator.usage[count:]}
    assert any(at + age > healed_at > at + 0.5 for at, age in ages.items()), "late, and said so"
    await until(lambda: not unheard(database, healed_at), "all are known to have been heard")
    database.close()


def unheard(database: sqlite3.Connection, before: float) -> int:
    query = "select count(*) from local_resources where sent = 0 and timestamp < ?"
    return int(database.execute(query, (before,)).fetchone()[0])


async def test_on_a_full_disk_nothing_is_confirmed_and_nothing_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "_RETRY_S", 0.05)
    coordinator, agent = world.coordinator, world.node.agent
    assert agent is not None
    database = agent._spool._database
    await agent._spool.saved()
    database.execute("pragma max_page_count = 1")  # SQLite's own "disk is full", at the next page
    filler = tuple(AttemptRef(5, index, 1) for index in range(2000))
    await coordinator.bus.publish(
        subjects.node("n1", subjects.NodeVerb.COMMAND),
        encode(m.Cancel(epoch=1, attempts=filler)),
        reply=coordinator.bus.new_inbox(),
    )
    await until(lambda: coordinator.last_faults, "the coordinator hears of it")
    assert "full" in coordinator.last_faults[0]
    assigned = asyncio.create_task(coordinator.assign(A, "sh", "-c", "exit 3"))
    ended = await coordinator.ended(A)
    assert ended.exit_code == 3 and not assigned.done(), "it ran, and is told, but not confirmed"
    database.execute("pragma max_page_count = 1000000")
    await asyncio.wait_for(assigned, WAIT_S)
    await until(lambda: not coordinator.last_faults, "it recovered by itself")
    await until(lambda: len(coordinator.ends()) == len(filler) + 1, "and told everything")


async def test_a_state_file_that_is_lost_costs_nothing_that_runs(world: World) -> None:
    coordinator = world.coordinator
    await coordinator.assign(A, "sh", "-c", f"{WAITING}; exit 8")
    pid = await coordinator.started(A)
    await coordinator.assign(B, "true")
    await coordinator.ended(B)
    await until(lambda: B not in world.held, "the agent knows that it is known")
    await world.node.stop()
    for path in world.node.config.data.glob("state.db*"):
        path.unlink()
    await world.start_again()
    assert coordinator.registrations[-1].live == (A,) and alive(pid)
    await coordinator.assign(A, "sh", "-c", "exit 1")
    await coordinator.assign(B, "sh", "-c", "exit 1")
    await until(lambda: Returned(attempt=B) in coordinator.events, "what ran already is given back")
    (world.node.config.tasks / "1/go").touch()
    assert (await coordinator.ended(A)).exit_code == 8
    assert [e.exit_code for e in coordinator.events if isinstance(e, Ended)] == [0, 8]


async def test_an_older_copy_of_the_state_file_changes_nothing(world: World) -> None:
    """Its numbers and fences go back, and it tells again what was told: all of that is of no effect."""
    coordinator, data = world.coordinator, world.node.config.data
    await coordinator.assign(A, "sh", "-c", WAITING)
    await coordinator.started(A)
    await world.node.stop()
    shutil.copy(data / "state.db", data / "copy")
    world.node.start()
    (world.node.config.tasks / "1/go").touch()
    await coordinator.ended(A)
    await coordinator.assign(B, "sh", "-c", WAITING.replace("go", "go2"))
    pid = await coordinator.started(B)
    await world.node.stop()
    for path in data.glob("state.db*"):
        path.unlink()
    (data / "copy").replace(data / "state.db")
    ends = len(coordinator.ends())
    await world.start_again()
    assert B in coordinator.registrations[-1].live and alive(pid), "what runs is adopted"
    # The copy believes that A runs. Its end is told as a loss, which finds no such attempt any more.
    lost = [event for event in coordinator.events if isinstance(event, Ended) and event.attempt == A]
    assert len(coordinator.ends()) == ends and [event.outcome for event in lost][:1] == [Outcome.EXITED]
    await coordinator.assign(A, "sh", "-c", "exit 1")
    (world.node.config.tasks / "1/go2").touch()
    assert (await coordinator.ended(B)).exit_code == 0
    assert not [e for e in coordinator.events if isinstance(e, Ended) and e.exit_code == 1], "A ran once"


async def test_of_two_agents_the_older_ends_its_tasks_and_stands_aside(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    coordinator, agent = world.coordinator, world.node.agent
    assert agent is not None
    await coordinator.assign(A, "sleep", "1000", run_on=True)
    pid = await coordinator.started(A)
    coordinator.fences.add(coordinator.registrations[0].incarnation)
    await until(lambda: not alive(pid), "its tasks are ended, those too that would run on")
    assert agent.fenced
    beats = len(coordinator.beats)
    until_s = time.monotonic() + 0.5
    await until(lambda: time.monotonic() > until_s, "some time has passed")
    assert len(coordinator.refused) == 1 and len(coordinator.beats) == beats, "it asks once"
    assert [record.levelname for record in caplog.records].count("CRITICAL") == 1
    assert "name and a key of its own" in caplog.text
    with pytest.raises(RequestTimeout):
        await coordinator.bus.request(
            subjects.node("n1", subjects.NodeVerb.COMMAND), encode(m.Inspect(epoch=1)), timeout_s=0.3
        )
    assert not (world.node.config.data / "registered").exists()


async def test_an_assignment_for_the_other_agent_of_this_name_is_left_to_it(world: World) -> None:
    coordinator = world.coordinator
    body = m.Body(settings=m.TaskSettings(resources=Resources()), command=("true",))
    mine = coordinator.registrations[0].incarnation
    subject = subjects.node("n1", subjects.NodeVerb.COMMAND)
    for incarnation, attempt in (("another", A), (mine, B)):
        assign = m.Assign(epoch=1, incarnation=incarnation, bodies=(body,), items=(m.Assignment(attempt, 0),))
        await coordinator.bus.publish(subject, encode(assign), reply=coordinator.bus.new_inbox())
    await coordinator.ended(B)
    assert not [event for event in coordinator.events if event.attempt == A]


async def test_a_guard_that_hangs_is_woken(
    world: World, node_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in (("_INTERVAL_S", 0.05), ("_WAKE_AFTER_S", 0.3), ("_KILL_AFTER_S", 60.0)):
        monkeypatch.setattr(watch, name, value)
    coordinator = world.coordinator
    await coordinator.assign(A, "sleep", "1000")
    pid = await coordinator.started(A)
    (guard,) = guards(node_folder)
    os.kill(guard, signal.SIGSTOP)
    await until(lambda: "and is there again" in caplog.text, "it answers again")
    assert f"the guard (pid {guard}) hangs" in caplog.text
    assert guards(node_folder) == [guard] and alive(pid), "nothing was lost by it"


async def test_a_guard_that_stays_away_is_replaced(
    world: World, node_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("_INTERVAL_S", 0.05), ("_WAKE_AFTER_S", 0.3), ("_KILL_AFTER_S", 0.3)):
        monkeypatch.setattr(watch, name, value)
    coordinator = world.coordinator
    await coordinator.assign(A, "sleep", "1000")
    pid = await coordinator.started(A)
    (guard,) = guards(node_folder)
    os.kill(guard, signal.SIGSTOP)
    assert (await coordinator.ended(A)).outcome is Outcome.LOST
    await until(lambda: not alive(pid), "what it watched is ended")
    assert guards(node_folder) != [guard]


async def test_an_idle_guard_of_an_older_version_makes_room(node_folder: Path) -> None:
    received = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(wire.pack(wire.INVENTORY, [], [], []))
        while b"leave" not in received and (data := await reader.read(1000)):
            received.extend(data)
        server.close()
        (node_folder / "guard.sock").unlink()
        writer.close()

    server = await asyncio.start_unix_server(serve, node_folder / "guard.sock")
    inventories: list[client.Inventory | client.Events] = []
    link = GuardLink(
        node_folder,
        node_folder / "tasks",
        node="n1",
        capacity=Resources(),
        gpus=(),
        on_frame=inventories.append,
    )
    running = asyncio.create_task(link.run())
    await asyncio.wait_for(link.connected.wait(), WAIT_S)
    assert [type(frame) for frame in inventories] == [client.Inventory]
    assert link.version == wire.VERSION and link.pid != os.getpid()
    running.cancel()
    await asyncio.wait([running])


async def test_a_task_on_a_full_disk_keeps_its_exit_code(world: World) -> None:
    coordinator = world.coordinator
    await coordinator.assign(A, "sh", "-c", "echo lost > /dev/full || exit 9")
    assert (await coordinator.ended(A)).exit_code == 9
    assert [type(event) for event in coordinator.events] == [Started, Ended]
