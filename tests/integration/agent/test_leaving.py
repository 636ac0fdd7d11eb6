"""An agent that is stopped says so, and gives back what it has not started; one in haste does not wait."""

from __future__ import annotations

from agent.loop import Agent
from bus import messages as m
from bus.values import AttemptRef, Returned
from tests.integration.agent.harness import alive
from tests.integration.agent.world import A, B, World, until

WAITING = AttemptRef(1, 2, 1)


async def test_a_stop_is_announced_and_what_waits_is_given_back(world: World) -> None:
    coordinator, agent = world.coordinator, world.node.agent
    assert agent is not None
    for ref in (A, B):
        await coordinator.assign(ref, "sleep", "1000")
    pids = [await coordinator.started(ref) for ref in (A, B)]
    await coordinator.assign(WAITING, "true")
    await agent.leave()
    assert Returned(attempt=WAITING) in coordinator.events
    farewell = coordinator.beats[-1]
    assert farewell.leaving
    assert set(farewell.live) == {A, B, WAITING}, "said before: who is taken to be there gets as much again"
    assert not any(beat.leaving for beat in coordinator.beats[:-1])
    late = AttemptRef(1, 3, 1)
    await coordinator.assign(late, "true")
    await until(lambda: Returned(attempt=late) in coordinator.events, "nothing is taken any more")
    assert coordinator.beats[-1] is farewell, "nothing is said after it"
    await world.node.stop()
    assert all(map(alive, pids))
    await world.start_again()
    assert set(coordinator.registrations[-1].live) == {A, B}


async def test_an_agent_that_nobody_knows_leaves_without_a_word(world: World) -> None:
    coordinator, agent = world.coordinator, world.node.agent
    assert agent is not None
    coordinator.fences.add(coordinator.registrations[0].incarnation)
    await until(lambda: agent.fenced, "it stands aside")
    await agent.leave()
    assert not any(beat.leaving for beat in coordinator.beats)


async def restarted(world: World) -> Agent:
    """Another agent, which is not due to say anything for a long time."""
    world.coordinator.interval_s = 1000.0
    await world.node.stop()
    await world.start_again()
    assert world.node.agent is not None
    return world.node.agent


async def test_whose_leases_have_run_out_beats_when_work_comes(world: World) -> None:
    """It is heard at once, and the answer lets it take what it is asked again."""
    coordinator = world.coordinator
    coordinator.term_after_s = 2.0
    agent = await restarted(world)
    assign = m.Assign(epoch=1, bodies=(), items=())
    while True:
        await until(lambda: agent._executor.lapsed, "its leases have run out")
        beats = len(coordinator.beats)
        answer = await coordinator.command(assign)
        assert isinstance(answer, m.CommandReply)
        if answer.error is not None:
            break  # else it was heard meanwhile, for what it found out about its machine
    assert "leases have run out" in answer.error
    await until(lambda: len(coordinator.beats) > beats, "it is heard long before its next heartbeat is due")
    await until(lambda: not agent._executor.lapsed, "its leases are renewed")
    assert (await coordinator.command(assign)) == m.CommandReply(node="n1")


async def test_a_reconnect_and_a_new_leader_are_followed_by_a_heartbeat(world: World) -> None:
    coordinator = world.coordinator
    agent = await restarted(world)
    beats = len(coordinator.beats)
    agent.on_reconnected()
    await until(lambda: len(coordinator.beats) > beats, "it beats, being connected again")
    beats, coordinator.epoch = len(coordinator.beats), 2
    await coordinator.command(m.Cancel(epoch=2, attempts=()))
    await until(lambda: len(coordinator.beats) > beats, "it beats, for the new leader to hear")
