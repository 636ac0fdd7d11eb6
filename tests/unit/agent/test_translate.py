"""Bus message → order → frame, and exit → event, with nothing lost on the way."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from agent.core.model import Order, Work
from agent.guard import wire
from agent.guard.client import ExitRecord
from agent.translate import to_assigned, to_end, to_spawn_frame
from bus.containers import Container, Mount, NetworkPolicy
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
    ((kind, raw_bodies, raw_items),) = wire.unpack_all(
        bytearray(to_spawn_frame(assigned.orders, version=wire.VERSION))
    )
    assert kind == wire.SPAWN
    assert isinstance(raw_bodies, tuple) and isinstance(raw_items, tuple)
    first, second = (wire.Body(*body) for body in raw_bodies)
    assert (first.argv, first.env, first.timeout_s) == (("true",), {"A": "1"}, 3.0)
    assert second.argv == ()
    assert [wire.Item(*item) for item in raw_items] == [
        wire.Item((1, 0, 1), 0, False, (500, 0, 0, 0, 0), ("gpu",), 7, b'{"item":"/x"}', "/x", False),
        wire.Item((1, 1, 1), 0, True, (500, 0, 0, 0, 0), (), None, None, None, False),
        wire.Item((1, 2, 1), 1, True, (500, 0, 0, 0, 0), (), None, b"[1]", None, True),
    ]


def test_where_that_lies_which_was_brought_is_told_to_its_task_alone() -> None:
    work = Work(settings=TaskSettings(resources=Resources(), env={"A": "1"}), command=("true",))
    orders = [
        Order(attempt=AttemptRef(1, 0, 1), work=work, env={"B": "/there"}),
        Order(attempt=AttemptRef(1, 1, 1), work=work),
    ]
    ((_, bodies, items),) = wire.unpack_all(bytearray(to_spawn_frame(orders, version=wire.VERSION)))
    assert isinstance(bodies, tuple) and isinstance(items, tuple)
    told = [wire.Body(*bodies[wire.Item(*item).body]).env for item in items]
    assert told == [{"A": "1", "B": "/there"}, {"A": "1"}]


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


def test_a_template_is_told_to_guards_that_know_of_templates() -> None:
    settings = TaskSettings(resources=Resources(), template=True, file="/x", sha256="0" * 64)
    item = Assignment(AttemptRef(1, 0, 1), 0)
    assign = Assign(epoch=1, bodies=(Body(settings=settings, command=("t", "{item}")),), items=(item,))
    orders = to_assigned(assign).orders
    told = {}
    for version in (0, 1, wire.HAS_TERMINALS, wire.VERSION):
        ((_, (told[version],), _),) = wire.unpack_all(bytearray(to_spawn_frame(orders, version=version)))
    known = wire.Body(*told[wire.VERSION])
    assert (known.template, known.file, known.sha256) == (True, "/x", "0" * 64)
    first = wire.Body._fields.index("template")
    assert told[wire.HAS_TERMINALS] == known[:first]
    assert told[1] == known[: first - 1] and told[0] == known[: first - 2]


def test_a_container_sees_its_mounts_and_what_was_brought() -> None:
    container = Container(image="a:1", mounts=(Mount("/d", "/in", True),), read_only=True)
    settings = TaskSettings(resources=Resources(), container=container, network=NetworkPolicy.NONE)
    body = Body(settings=settings, command=("true",))
    item = Assignment(AttemptRef(1, 0, 1), 0)
    orders = to_assigned(Assign(epoch=1, bodies=(body,), items=(item,))).orders
    brought = [replace(order, env={"CORRAL_VOLUME_X": "/v/x", "N": "1"}) for order in orders]
    ((_, (known,), _),) = wire.unpack_all(bytearray(to_spawn_frame(brought, version=wire.VERSION)))
    told = wire.Body(*known)
    assert (told.image, told.network, told.read_only, told.pull) == ("a:1", "none", True, "missing")
    assert told.mounts == (("/d", "/in", True), ("/v/x", "/v/x", False))
    ((_, (older,), _),) = wire.unpack_all(bytearray(to_spawn_frame(brought, version=wire.FILLS_TEMPLATES)))
    assert older == known[: wire.Body._fields.index("image")]


def test_a_combination_becomes_variables_of_its_own_task() -> None:
    body = Body(settings=TaskSettings(resources=Resources(), env={"A": "1"}), command=("true",))
    inputs = (
        b'{"matrix":{"lr":0.1,"fast":true}}',
        b'{"matrix":{"lr":2}}',
        None,
        b'{"matrix":[1],"item":"/x"}',
    )
    items = tuple(Assignment(AttemptRef(1, n, 1), 0, input=text) for n, text in enumerate(inputs))
    orders = to_assigned(Assign(epoch=1, bodies=(body,), items=items)).orders
    ((_, raw_bodies, raw_items),) = wire.unpack_all(bytearray(to_spawn_frame(orders, version=wire.VERSION)))
    env = [wire.Body(*raw_bodies[wire.Item(*item).body]).env for item in raw_items]
    assert env == [
        {"A": "1", "CORRAL_MATRIX_lr": "0.1", "CORRAL_MATRIX_fast": "true"},
        {"A": "1", "CORRAL_MATRIX_lr": "2"},
        {"A": "1"},
        {"A": "1"},
    ]
    assert wire.Item(*raw_items[3]).item == "/x"


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


@pytest.mark.parametrize(("version", "fields"), [(0, 7), (1, 8), (2, 8), (3, 9)])
def test_a_guard_is_told_what_its_version_knows(version: int, fields: int) -> None:
    body = Body(settings=TaskSettings(resources=Resources(), pty=True), command=("sh",))
    orders = to_assigned(Assign(epoch=1, bodies=(body,), items=(Assignment(AttemptRef(1, 0, 1), 0),))).orders
    ((_, (raw,), _),) = wire.unpack_all(bytearray(to_spawn_frame(orders, version=version)))
    assert len(raw) == fields


def test_who_shares_a_gpu_is_told_its_part_of_the_memory() -> None:
    def environment(gpus: tuple[str, ...], resources: Resources, **sizes: int) -> dict[str, str]:
        work = Work(settings=TaskSettings(resources=resources, env={"A": "1"}), command=("x",))
        order = Order(attempt=AttemptRef(1, 0, 1), work=work, gpus=gpus)
        frame = to_spawn_frame([order], version=wire.VERSION, gpu_sizes=sizes)
        ((_, bodies, _),) = wire.unpack_all(bytearray(frame))
        return wire.Body(*bodies[0]).env  # type: ignore[index]

    quarter = Resources(100, 1, gpu_milli=250)
    assert environment(("a",), quarter, a=81_920) == {
        "A": "1",
        "CORRAL_GPU_MEMORY_MIB": "20480",
        "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": "0=20480M",
    }
    assert environment(("a",), quarter, b=81_920) == {"A": "1"}, "nobody knows how large it is"
    assert environment(("a",), Resources(100, 1, 1), a=81_920) == {"A": "1"}, "a whole one is its own"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("sound", "sound"),
        ("a \0 b", "a \N{REPLACEMENT CHARACTER} b"),
        ("half \udcff", "half ?"),
        ("x" * 5_000, "x" * 4_095 + "…"),
    ],
)
def test_words_are_such_as_every_message_takes(said: str, told: str) -> None:
    end = to_end(record(message=said))
    assert isinstance(end, Ended) and end.message == told
