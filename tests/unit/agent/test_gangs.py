"""Ranks of a gang at their agent: held until all others have places, then started with where to meet."""

from __future__ import annotations

import socket

import pytest

from agent.core import effects, events
from agent.core.machine import step
from agent.core.model import Ledger, Order, Phase, Work
from agent.gangs import free_port, rank_environment
from agent.guard import wire
from agent.translate import to_assigned, to_spawn_frame
from bus.messages import Assign, Assignment, Body
from bus.values import AttemptRef, Ended, Gang, Meeting, Outcome, Resources, Returned, TaskRef, TaskSettings

SETTINGS = TaskSettings(resources=Resources(1000), gang=Gang(size=3), env={"A": "1"})
WORK = Work(settings=SETTINGS, command=("train",))
NEEDY = Work(settings=SETTINGS, command=("train",), needs=("data",))
MEETING = Meeting(address="10.0.0.1", port=4000, hosts=(("10.0.0.1", 2), ("10.0.0.2", 1)))


def rank(number: int = 0, fence: int = 1, work: Work = WORK) -> Order:
    return Order(
        attempt=AttemptRef(*TaskRef(7, 2).of_rank(number), fence), work=work, port=0 if number else 4000
    )


def assign(ledger: Ledger, *orders: Order, **fields: object) -> list[effects.Effect]:
    return step(ledger, events.Assigned(epoch=1, orders=orders, **fields), 0.0)


def go(ledger: Ledger, *orders: Order, **fields: object) -> list[effects.Effect]:
    refs = tuple(order.attempt for order in orders)
    return step(ledger, events.StartAsked(epoch=1, attempts=refs, meeting=MEETING, **fields), 0.0)


def handed(out: list[effects.Effect]) -> list[Order]:
    return [order for effect in out if isinstance(effect, effects.Hand) for order in effect.orders]


def test_a_rank_is_held_until_it_is_told_to_start() -> None:
    """It is on disk, and belongs to what heartbeats name; the guard does not know it yet."""
    ledger = Ledger()
    out = assign(ledger, rank(0), rank(1))
    assert not handed(out)
    assert [effect.order.attempt.rank for effect in out if isinstance(effect, effects.SaveOrder)] == [0, 1]
    assert ledger.live() == (rank(0).attempt, rank(1).attempt)
    assert ledger.ports() == ((rank(0).attempt, 4000),)
    assert [order.meeting for order in handed(go(ledger, rank(0), rank(1)))] == [MEETING, MEETING]
    assert ledger.held[rank(1).attempt].phase is Phase.HANDED
    assert go(ledger, rank(0), rank(1)) == []
    assert ledger.ports() == ()


def test_ranks_of_one_task_do_not_stand_in_each_others_way() -> None:
    ledger = Ledger()
    assign(ledger, rank(0), rank(1), rank(2))
    assert {held.phase for held in ledger.held.values()} == {Phase.GATHERED}


def test_who_waits_for_an_older_try_starts_after_it() -> None:
    """Although it was told to start before."""
    ledger = Ledger()
    assign(ledger, rank(1, fence=1))
    go(ledger, rank(1, fence=1))
    assign(ledger, rank(1, fence=2))
    assert not handed(go(ledger, rank(1, fence=2)))
    over = Ended(attempt=rank(1).attempt, outcome=Outcome.CANCELLED, ended_at=1.0)
    out = step(ledger, events.GuardReported(ends=(over,)), 1.0)
    assert [order.attempt.fence for order in handed(out)] == [2]


def test_who_was_not_told_yet_gathers_after_an_older_try() -> None:
    ledger = Ledger()
    assign(ledger, rank(1, fence=1))
    go(ledger, rank(1, fence=1))
    assign(ledger, rank(1, fence=2))
    over = Ended(attempt=rank(1).attempt, outcome=Outcome.CANCELLED, ended_at=1.0)
    assert not handed(step(ledger, events.GuardReported(ends=(over,)), 1.0))
    assert ledger.held[rank(1, fence=2).attempt].phase is Phase.GATHERED


@pytest.mark.parametrize("told_first", [True, False])
def test_a_rank_needs_its_inputs_and_its_gang(told_first: bool) -> None:
    ledger = Ledger()
    needy = rank(work=NEEDY)
    assign(ledger, needy)
    arrived = events.InputsArrived(attempt=needy.attempt)
    if told_first:
        assert not handed(go(ledger, needy))
        assert handed(step(ledger, arrived, 0.0))
    else:
        assert not handed(step(ledger, arrived, 0.0))
        assert handed(go(ledger, needy))


def test_a_rank_at_the_barrier_is_given_back() -> None:
    ledger = Ledger()
    assign(ledger, rank())
    step(ledger, events.RetractAsked(epoch=1, attempts=(rank().attempt,)), 0.0)
    assert [event for _, event in ledger.outbox] == [Returned(attempt=rank().attempt)]
    assert not handed(go(ledger, rank()))


def test_a_rank_at_the_barrier_is_cancelled() -> None:
    ledger = Ledger()
    assign(ledger, rank())
    step(ledger, events.CancelAsked(epoch=1, attempts=(rank().attempt,)), 0.0)
    ((_, end),) = ledger.outbox
    assert isinstance(end, Ended)
    assert end.outcome is Outcome.CANCELLED


def test_who_is_dropped_does_not_start() -> None:
    ledger = Ledger()
    assign(ledger, rank())
    step(ledger, events.Answered(epoch=1, drop=(rank().attempt,)), 0.0)
    assert not handed(go(ledger, rank()))


def test_nobody_starts_without_a_lease_or_for_an_old_leader() -> None:
    ledger = Ledger(epoch=1)
    assign(ledger, rank())
    assert [type(effect) for effect in go(ledger, rank(), lapsed=True)] == [effects.Refuse]
    asked = events.StartAsked(epoch=0, attempts=(rank().attempt,), meeting=MEETING)
    assert [type(effect) for effect in step(ledger, asked, 0.0)] == [effects.Refuse]


def test_only_rank_0_has_a_port() -> None:
    items = tuple(Assignment(rank(number).attempt, 0) for number in (0, 1))
    message = Assign(epoch=1, bodies=(Body(settings=SETTINGS),), items=items)
    assert [order.port for order in to_assigned(message, free_port=lambda: 4000).orders] == [4000, 0]


def test_each_rank_has_an_environment_of_its_own() -> None:
    """What `torch.distributed` and MPI expect, beside what the job says."""
    orders = [Order(attempt=rank(number).attempt, work=WORK, meeting=MEETING) for number in (0, 1, 2)]
    (frame,) = wire.unpack_all(bytearray(to_spawn_frame(orders, version=wire.VERSION)))
    environments = [wire.Body(*body).env for body in frame[1]]
    assert [env["RANK"] for env in environments] == ["0", "1", "2"]
    assert [env["LOCAL_RANK"] for env in environments] == ["0", "1", "0"]
    assert [env["NODE_RANK"] for env in environments] == ["0", "0", "1"]
    assert [env["LOCAL_WORLD_SIZE"] for env in environments] == ["2", "2", "1"]
    assert environments[2] == {
        "A": "1",
        "RANK": "2",
        "WORLD_SIZE": "3",
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "1",
        "NODE_RANK": "1",
        "GROUP_RANK": "1",
        "MASTER_ADDR": "10.0.0.1",
        "MASTER_PORT": "4000",
        "CORRAL_RANK": "2",
        "CORRAL_GANG_SIZE": "3",
        "CORRAL_GANG_HOSTS": "10.0.0.1 slots=2,10.0.0.2 slots=1",
    }


def test_a_rank_that_no_node_has_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no node of the gang has rank 3"):
        rank_environment(3, MEETING)


def test_a_free_port_can_be_taken() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", free_port()))
