"""Tasks that wait on a node ahead of a free place, and what the waiting line passes over."""

from __future__ import annotations

from bus.spec import Constraints, ResourceSpec
from bus.values import Ended, Outcome, Resources, Started
from coordinator.core.effects import (
    SendRetract,
)
from coordinator.core.scheduler.ground import ground_of


def busy_pool(pool):
    """A node at a pace of a hundred tasks a second."""
    job = pool.submit(command=["true"], array="0-999")
    for _ in range(60):
        for placement in list(pool.held.get("n1", {}).values())[:2]:
            pool.end(placement)
        pool.schedule()
        pool.now_s += 0.01
    return job


def test_a_fast_node_gets_tasks_ahead_and_promotes_them_in_order(pool) -> None:
    busy_pool(pool)
    node = pool.cluster.nodes["n1"]
    assert node.waiting > 5
    waiting = [a for a in node.attempts.values() if not a.holding]
    holding = [a for a in node.attempts.values() if a.holding]
    assert len(holding) == 2
    pool.end(pool.held["n1"][holding[0].ref])
    assert waiting[0].holding and not waiting[1].holding


def test_a_forecast_counts_what_waits_on_a_node_as_holding_nothing_there(pool) -> None:
    busy_pool(pool)
    node = pool.cluster.nodes["n1"]
    assert node.waiting
    found = ground_of(pool.cluster, [node])
    assert found.held[:, 0].tolist() == [1000, 1000] and found.rows.tolist() == [0, 0]
    assert sorted(found.begun) == sorted(a.assigned_at for a in node.attempts.values() if a.holding)


def test_nothing_waits_on_a_node_that_could_not_run_it(pool) -> None:
    pool.register("n2")
    for _ in range(2):
        pool.submit(command=["true"], constraints=Constraints(nodes=["n2"]), resources=ResourceSpec(cpu="2"))
        pool.schedule()
    busy_pool(pool)
    assert pool.cluster.nodes["n1"].waiting and not pool.cluster.nodes["n2"].waiting
    assert all(not attempt.task.group.shape.nodes for attempt in pool.cluster.nodes["n1"].attempts.values())


def test_an_agent_may_start_waiting_tasks_in_another_order(pool) -> None:
    busy_pool(pool)
    node = pool.cluster.nodes["n1"]
    waiting = [a for a in node.attempts.values() if not a.holding]
    pool.start(pool.held["n1"][waiting[3].ref])
    assert waiting[3].holding and node.allocated.cpu_millis == 2000


def test_an_agent_that_runs_too_much_shows_a_full_node(pool) -> None:
    busy_pool(pool)
    node = pool.cluster.nodes["n1"]
    for attempt in list(node.attempts.values())[:3]:
        pool.start(pool.held["n1"][attempt.ref])
    assert node.allocated.cpu_millis == node.capacity.cpu_millis == 3000


def test_waiting_tasks_are_taken_back_when_another_node_is_free(pool) -> None:
    busy_pool(pool)
    pool.wait(1.1)
    assert not any(isinstance(tell, SendRetract) for tell in pool.tells)
    pool.register("n2")
    pool.wait(0.1)
    refs = pool.answer(SendRetract).attempts
    assert refs and all(not pool.cluster.nodes["n1"].attempts[ref].holding for ref in refs)
    pool.wait(0.1)
    assert not any(isinstance(tell, SendRetract) for tell in pool.tells)
    pool.reconcile()  # the command may have been lost
    pool.wait(0.1)
    assert pool.answer(SendRetract).attempts == refs


def test_what_waits_far_longer_than_the_pace_promised_is_taken_back(pool) -> None:
    busy_pool(pool)
    waiting = {a.ref for a in pool.cluster.nodes["n1"].attempts.values() if not a.holding}
    pool.wait(1.1)
    assert not any(isinstance(tell, SendRetract) for tell in pool.tells)
    pool.wait(1.0)
    assert set(pool.answer(SendRetract).attempts) == waiting
    for ref in waiting:
        pool.give_back(pool.held["n1"][ref])
    assert pool.schedule() == []  # the node has ended nothing meanwhile


def test_cancelled_waiting_tasks_are_not_promoted(pool) -> None:
    job = busy_pool(pool)
    node = pool.cluster.nodes["n1"]
    holding = next(a for a in node.attempts.values() if a.holding)
    pool.cancel(job)
    pool.end(pool.held["n1"][holding.ref])
    assert node.holding == 1


def test_array_limits_hold(pool) -> None:
    pool.register("n2", capacity=Resources(8000, 4096))
    job = pool.submit(command=["true"], array="0-9%3")
    placements = pool.schedule()
    assert len(placements) == 3 and pool.schedule() == []
    names = {p.attempt: n for n, held in pool.held.items() for p in held.values()}
    pool.end(placements[0], node=names[placements[0].attempt])
    assert len(pool.schedule()) == 1
    assert pool.cluster.jobs[job].groups[0].live == 3


def test_waiting_tasks_hold_nothing_when_given_back_or_rebuilt(pool, compare) -> None:
    busy_pool(pool)
    node = pool.cluster.nodes["n1"]
    assert compare(pool.rebuilt()) == compare(pool.cluster)
    allocated = node.allocated
    waiting = next(a for a in node.attempts.values() if not a.holding)
    pool.give_back(pool.held["n1"][waiting.ref])
    assert node.allocated == allocated


def test_a_range_whose_elements_all_went_is_written_once_more(pool) -> None:
    job = pool.submit(command=["true"], array="0-9")
    pool.schedule()
    (placement, _) = pool.held["n1"].values()
    pool.cancel(job)
    pool.end(placement, exit_code=None, outcome=Outcome.LOST)
    assert pool.job(job).cancelled == 9


def test_a_task_cancelled_in_the_waiting_line_is_passed_over(pool) -> None:
    job = pool.submit(command=["true"])
    (placement,) = pool.schedule()
    pool.give_back(placement)
    pool.cancel(job)
    other = pool.submit(command=["true"])
    assert [p.attempt.job for p in pool.schedule()] == [other]


def test_a_start_is_not_counted_where_its_end_is_known(pool) -> None:
    """A quick task that waited never takes a place in the books, and never makes others give theirs back."""
    busy_pool(pool)
    node = pool.cluster.nodes["n1"]
    waiting = next(a for a in node.attempts.values() if not a.holding)
    ref, capacity = waiting.ref, node.capacity
    placement = pool.held["n1"][ref]
    pool.report(
        "n1",
        Started(attempt=ref, started_at=pool.now_s, pid=1),
        Ended(attempt=ref, outcome=Outcome.EXITED, started_at=pool.now_s, ended_at=pool.now_s, exit_code=0),
    )
    assert node.capacity == capacity and placement.attempt not in node.attempts
    assert pool.history(ref.job, ref.index)[-2:] == ["running", "completed"]


def test_what_was_cancelled_behind_a_long_wait_leaves_the_line(pool) -> None:
    """Nobody passes it there, and whoever submits and cancels for ever must not fill the memory."""
    pool.submit(command=["true"], array="0-9")
    pool.schedule()
    kept = pool.submit(command=["true"], array="0-3")
    for _ in range(50):
        pool.cancel(pool.submit(command=["true"], array="0-3"))
    pool.submit(command=["true"])
    pool.cancel(pool.number)
    (line,) = pool.cluster.lines.values()
    assert len(line.entries) > 50
    pool.reconcile()
    (line,) = pool.cluster.lines.values()
    assert sorted(waiting.job.number for waiting in line.entries) == [1, kept]
    for _ in range(7):
        for placement in list(pool.held["n1"].values()):
            pool.end(placement)
        pool.schedule()
    assert not pool.cluster.jobs


def test_a_lost_task_that_was_cancelled_leaves_the_line_too(pool) -> None:
    pool.submit(command=["true"], array="0-9")
    (first, *_) = pool.schedule()
    pool.end(first, exit_code=None, outcome=Outcome.LOST, started_at=None)
    (line,) = pool.cluster.lines.values()
    entries = len(line.entries)
    pool.cancel(1, first.attempt.index)
    pool.reconcile()
    (line,) = pool.cluster.lines.values()
    assert len(line.entries) == entries - 1
