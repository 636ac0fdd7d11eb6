"""Never more held than there is, strict order, and everything free again at the end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.guard.admission import Admission
from agent.guard.wire import Amounts, Item

CAPACITY: Amounts = (4000, 100, 2, 50, 50)
GPUS = ("a", "b")


def item(
    index: int,
    cpu: int = 1000,
    gpus: int = 0,
    *,
    granted: bool = False,
    named: tuple[str, ...] = (),
    milli: int = 0,
) -> Item:
    return Item((1, index, 1), 0, granted, (cpu, 1, gpus, 0, 0), named, None, None, None, False, milli)


def admission() -> Admission:
    made = Admission()
    made.resize(CAPACITY, GPUS)
    return made


def test_nobody_overtakes_and_granted_go_first() -> None:
    line = admission()
    line.enqueue(item(0, cpu=4000))
    first = line.take_next()
    assert first is not None
    for queued in (item(1, cpu=3000), item(2, cpu=100), item(3, cpu=2000, granted=True)):
        line.enqueue(queued)
    assert line.take_next() is None
    line.release(first.key)
    taken = [line.take_next(), line.take_next()]
    assert [entry and entry.key[1] for entry in taken] == [3, None], "1 does not fit and 2 stays behind it"


def test_a_named_gpu_is_waited_for_and_others_are_chosen() -> None:
    line = admission()
    for queued in (item(0, gpus=1, named=("b",)), item(1, gpus=1), item(2, gpus=1, named=("b",))):
        line.enqueue(queued)
    first, second, third = line.take_next(), line.take_next(), line.take_next()
    assert first is not None and second is not None and third is None
    assert (first.gpus, second.gpus) == (("b",), ("a",))
    line.release(second.key)
    assert line.take_next() is None
    line.release(first.key)
    third = line.take_next()
    assert third is not None and third.gpus == ("b",)


def test_a_gpu_is_shared_up_to_its_thousandths_and_then_waited_for() -> None:
    line = admission()
    line.enqueue(item(0, cpu=1, named=("a",), milli=600))
    line.enqueue(item(1, cpu=1, named=("a",), milli=400))
    line.enqueue(item(2, cpu=1, named=("a",), milli=1))
    first, second = line.take_next(), line.take_next()
    assert first is not None and second is not None and line.take_next() is None
    line.release(second.key)
    assert line.take_next() is not None
    line.enqueue(item(3, cpu=1, gpus=2))
    assert line.take_next() is None, "one of both is shared"
    line.withdraw((1, 3, 1))
    line.enqueue(item(4, cpu=1, gpus=1))
    whole = line.take_next()
    assert whole is not None and whole.gpus == ("b",)


def test_a_gpu_that_comes_back_is_as_full_as_before() -> None:
    line = admission()
    line.enqueue(item(0, cpu=1, named=("a",), milli=600))
    held = line.take_next()
    assert held is not None
    line.resize((4000, 100, 1, 50, 50), ("b",))
    line.resize(CAPACITY, GPUS)
    line.enqueue(item(1, cpu=1, named=("a",), milli=401))
    assert line.take_next() is None
    line.release(held.key)
    assert line.take_next() is not None


def test_what_can_never_fit_is_named() -> None:
    line = admission()
    assert "this node has" in line.refusal(item(0, cpu=4001))
    assert line.refusal(item(0, named=("z",))) == "no GPU z here"
    assert line.refusal(item(0)) == ""


def test_a_smaller_node_turns_away_who_no_longer_fits() -> None:
    line = admission()
    line.enqueue(item(0, cpu=1000, gpus=1))
    assert line.take_next() is not None
    line.enqueue(item(1, cpu=3500))
    line.enqueue(item(2, cpu=500))
    misfits = line.resize((1000, 100, 1, 50, 50), ("a",))
    assert [entry.key[1] for entry in misfits] == [1]
    assert line.take_next() is None, "what runs keeps what it holds"
    line.release((1, 0, 1))
    assert line.take_next() is not None


@given(
    st.lists(
        st.tuples(st.integers(0, 4000), st.integers(0, 2), st.booleans(), st.integers(0, 3)), max_size=30
    )
)
def test_held_never_exceeds_capacity_and_all_is_free_at_the_end(
    steps: list[tuple[int, int, bool, int]],
) -> None:
    line = admission()
    held: list[Item] = []
    for number, (cpu, gpus, granted, act) in enumerate(steps):
        line.enqueue(item(number, cpu, gpus, granted=granted))
        if act == 0 and held:
            line.release(held.pop(0).key)
        if act == 1:
            line.withdraw((1, number, 1))
        while (taken := line.take_next()) is not None:
            held.append(taken)
        assert all(
            sum(entry.resources[field] for entry in held) <= CAPACITY[field] for field in range(len(CAPACITY))
        )
        used = [gpu for entry in held for gpu in entry.gpus]
        assert len(used) == len(set(used)) == sum(entry.resources[2] for entry in held)
    line.withdraw_all()
    assert not line.has_queue
    for entry in held:
        line.release(entry.key)
    line.enqueue(item(99, cpu=4000, gpus=2))
    assert line.take_next() is not None
