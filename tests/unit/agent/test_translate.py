"""Bus message → order → frame, and exit → event, with nothing lost on the way."""

from __future__ import annotations

import pytest

from agent.core.model import Order, Work
from agent.guard import wire
from agent.guard.client import ExitRecord
from agent.translate import to_assigned, to_end, to_spawn_frame
from bus.messages import Assign, Assignment, Body
from bus.values import AttemptRef, Ended, OnDisconnect, Resources, Returned, TaskSettings


def record(outcome: str = wire.EXITED, output: bytes | None = None, message: str = "") -> ExitRecord:
    return ExitRecord(AttemptRef(1, 2, 3), outcome, 2.0, 1.0, 0, None, message, output, b"", 4, 5, 0.5, 1.5)


def test_items_share_their_body() -> None:
    settings = TaskSettings(resources=Resources(cpu_millis=500), env={"A": "1"}, timeout_s=3.0)
    bodies = (Body(settings=settings, command=("true",)), Body(settings=settings, needs=("g",)))
    items = (
        Assignment(AttemptRef(1, 0, 1), 0, True, ("gpu",), 7, b'{"item":"/x"}'),
        Assignment(AttemptRef(1, 1, 1), 0),
        Assignment(AttemptRef(1, 2, 1), 1, input=b"[1]"),
    )
    assigned = to_assigned(Assign(epoch=4, bodies=bodies, items=items))
    assert assigned.epoch == 4
    assert assigned.orders[0].work is assigned.orders[1].work
    ((kind, raw_bodies, raw_items),) = wire.unpack_all(bytearray(to_spawn_frame(assigned.orders, version=1)))
    assert kind == wire.SPAWN
    assert isinstance(raw_bodies, tuple) and isinstance(raw_items, tuple)
    first, second = map(wire.Body._make, raw_bodies)
    assert (first.argv, first.env, first.timeout_s) == (("true",), {"A": "1"}, 3.0)
    assert second.argv == ()
    assert [wire.Item(*item) for item in raw_items] == [
        wire.Item((1, 0, 1), 0, False, (500, 0, 0, 0, 0), ("gpu",), 7, b'{"item":"/x"}', "/x", False),
        wire.Item((1, 1, 1), 0, True, (500, 0, 0, 0, 0), (), None, None, None, False),
        wire.Item((1, 2, 1), 1, True, (500, 0, 0, 0, 0), (), None, b"[1]", None, True),
    ]


def test_a_share_of_a_gpu_is_told_to_guards_that_know_of_shares() -> None:
    body = Body(settings=TaskSettings(resources=Resources(500, gpu_milli=250)), command=("true",))
    item = Assignment(AttemptRef(1, 0, 1), 0, False, ("GPU-1",))
    orders = to_assigned(Assign(epoch=1, bodies=(body,), items=(item,))).orders
    ((_, _, (known,)),) = wire.unpack_all(bytearray(to_spawn_frame(orders, version=wire.VERSION)))
    assert wire.Item(*known) == wire.Item(
        (1, 0, 1), 0, True, (500, 0, 0, 0, 0), ("GPU-1",), None, None, None, False, 250
    )
    ((_, _, (unknown,)),) = wire.unpack_all(bytearray(to_spawn_frame(orders, version=1)))
    assert unknown == known[:-1]


def test_an_item_without_a_body_is_refused() -> None:
    with pytest.raises(IndexError):
        to_assigned(Assign(epoch=1, bodies=(), items=(Assignment(AttemptRef(1, 0, 1), 0),)))


def test_an_exit_becomes_the_event() -> None:
    ended = to_end(record(output=b'{"a":1}'))
    assert isinstance(ended, Ended)
    assert (ended.output, ended.log_sizes, ended.cpu_s, ended.max_rss_mib) == (b'{"a":1}', (4, 5), 0.5, 1.5)
    assert to_end(record(wire.RETURNED)) == Returned(attempt=AttemptRef(1, 2, 3))


@pytest.mark.parametrize("text", [b"{", b"nan", b"\xff", b'"\xff"', b"[" * 100_000])
def test_an_output_that_is_no_json_is_left_out_and_told(text: bytes) -> None:
    ended = to_end(record(output=text))
    assert isinstance(ended, Ended)
    assert (ended.output, ended.message) == (None, "output is not valid JSON")


def test_orders_of_one_work_make_one_body() -> None:
    work = Work(settings=TaskSettings(resources=Resources()), command=("x",))
    orders = [Order(attempt=AttemptRef(1, n, 1), work=work) for n in range(3)]
    ((_, bodies, items),) = wire.unpack_all(bytearray(to_spawn_frame(orders, version=1)))
    assert isinstance(bodies, tuple) and isinstance(items, tuple)
    assert (len(bodies), len(items)) == (1, 3)


@pytest.mark.parametrize(("version", "fields"), [(0, 7), (1, 8)])
def test_a_guard_gets_no_more_than_it_knows(version: int, fields: int) -> None:
    """An agent that was brought up to date meets the guard that outlived the old one."""
    settings = TaskSettings(resources=Resources(), on_disconnect=OnDisconnect.RUN_ON)
    orders = [Order(attempt=AttemptRef(1, 0, 1), work=Work(settings=settings, command=("x",)))]
    ((_, bodies, _),) = wire.unpack_all(bytearray(to_spawn_frame(orders, version=version)))
    assert [len(body) for body in bodies] == [fields]  # type: ignore[attr-defined]
    assert wire.Body(*bodies[0]).run_on is (version > 0)  # type: ignore[index]
