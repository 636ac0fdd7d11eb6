"""Who leads knows it, and says nothing where it does not; a database that is away makes nobody wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bus import subjects
from bus.codec import Codec, decode, encode
from bus.memory import MemoryHub
from bus.messages import Leads
from bus.supervision import CoordinatorRole, read_coordinator_state
from coordinator import leader as leader_module
from coordinator.leader import ANSWER_S, FRESH_S, Leader
from coordinator.presence import Presence
from coordinator.store.errors import NotLeader, StoreUnavailable
from tests.unit.coordinator.shell import until


class FakeSeat:
    """The leadership's row; `fault` is raised by renewals, a closed `gate` hangs and `takes_s` slows them."""

    def __init__(self) -> None:
        self.fault: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.takes_s = 0.0
        self.standby = False
        self.renewals = 0
        self.resigned = False
        self.asked = 0

    async def renew(self) -> None:
        self.renewals += 1
        await self.gate.wait()
        await asyncio.sleep(self.takes_s)
        if self.fault is not None:
            raise self.fault

    async def resign(self) -> None:
        self.resigned = True

    async def someone_stands_by(self) -> bool:
        self.asked += 1
        return self.standby


class Lab:
    """A leader of epoch 7 on a memory bus, under a clock and a bus that the test breaks."""

    def __init__(self, folder: Path) -> None:
        self.seat = FakeSeat()
        self.hub = MemoryHub(time.monotonic)
        self.path = folder / "coordinator.state"
        self.passed_s = 0.0
        self.answered_by_bus = True
        self.unheard = False
        self.leader = Leader(
            self.seat,
            self.hub.connect_coordinator(),
            Presence(self.path),
            epoch=7,
            holder="here:1",
            answered=lambda: self.answered_by_bus,
            unheard=lambda: self.unheard,
            now_s=lambda: time.monotonic() + self.passed_s,
        )
        self.running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.leader.start()
        self.running = asyncio.create_task(self.leader.run())
        await until(lambda: self.seat.renewals and self.path.exists())

    async def ended(self) -> None:
        """Until it has given up leading."""
        assert self.running is not None
        async with asyncio.timeout(10):
            with pytest.raises(NotLeader):
                await self.running

    async def answered(self, work: Callable[[], Awaitable[object]] = lambda: asyncio.sleep(0)) -> str:
        """What becomes of a request that does `work`."""
        try:
            async with self.leader.answering():
                await work()
        except StoreUnavailable:
            return "unavailable"
        except NotLeader:
            return "silent"
        return "answered"


@pytest.fixture
async def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:
    """Everything a tenth as long."""
    for name in ("RENEW_S", "RENEW_TIMEOUT_S", "FRESH_S", "RIVAL_S", "ANSWER_S"):
        monkeypatch.setattr(leader_module, name, getattr(leader_module, name) / 10)
    made = Lab(tmp_path)
    await made.start()
    yield made
    if made.running is not None:
        made.running.cancel()
        await asyncio.gather(made.running, return_exceptions=True)


def trouble(lab: Lab) -> str:
    """What it complains of."""
    state = read_coordinator_state(lab.path)
    return "" if state is None else state.trouble


async def forever() -> None:
    await asyncio.Event().wait()


def test_two_seconds_are_enough_for_every_answer() -> None:
    assert ANSWER_S < 2.0


async def test_a_leader_renews_announces_itself_and_says_so(lab: Lab) -> None:
    heard: list[Leads] = []

    async def hear(message: Any) -> None:
        heard.append(decode(message.data, Leads))

    await lab.hub.connect_coordinator("other").subscribe(subjects.LEADER, hear)
    await until(lambda: len(heard) >= 2 and lab.seat.renewals >= 2)
    assert {(said.epoch, said.holder) for said in heard} == {(7, "here:1")}
    state = read_coordinator_state(lab.path)
    assert state is not None
    assert (state.role, state.epoch, state.trouble) == (CoordinatorRole.LEADING, 7, "")
    assert await lab.answered() == "answered"


async def test_nobody_but_a_coordinator_can_announce_a_leader(lab: Lab) -> None:
    rights = [lab.hub.connect_user("alice")._permissions, lab.hub.connect_agent("n1")._permissions]
    assert not any(right.may_publish(subjects.LEADER) for right in rights)


async def test_a_row_that_passed_on_ends_it_and_nobody_is_answered(lab: Lab) -> None:
    lab.seat.fault = NotLeader("epoch 7 is over")
    await lab.ended()
    assert await lab.answered() == "silent"


@pytest.mark.parametrize(("epoch", "ends"), [(6, False), (7, False), (8, True)])
async def test_a_higher_epoch_on_the_bus_ends_it(lab: Lab, epoch: int, ends: bool) -> None:
    other = lab.hub.connect_coordinator("other")
    await other.publish(subjects.LEADER, b"{}")  # whatever it is, it is no announcement
    await other.publish(subjects.LEADER, encode(Leads(epoch=epoch, holder="there:1"), Codec.JSON))
    if ends:
        await lab.ended()
        assert not lab.seat.resigned
        return
    before = lab.seat.renewals
    await until(lambda: lab.seat.renewals > before + 1)
    assert lab.running is not None and not lab.running.done()


async def test_a_pause_is_followed_by_silence_until_the_next_renewal(lab: Lab) -> None:
    """SIGSTOP, then SIGCONT: what waited in the socket is answered only by who still leads."""
    lab.passed_s = FRESH_S
    assert not lab.leader.fresh
    assert await lab.answered() == "answered"
    lab.passed_s = 3600
    lab.seat.fault = NotLeader("epoch 7 is over")
    assert await lab.answered() == "silent"
    await lab.ended()


async def test_while_the_row_cannot_be_renewed_everybody_hears_so_at_once(lab: Lab) -> None:
    lab.seat.fault = StoreUnavailable("gone")
    await until(lambda: not lab.leader.fresh)
    begun_s = time.monotonic()
    assert await lab.answered() == "unavailable"
    assert time.monotonic() - begun_s < leader_module.ANSWER_S
    await until(lambda: "database" in trouble(lab))
    lab.seat.fault = None
    await until(lambda: lab.leader.fresh)
    assert await lab.answered() == "answered"


async def test_a_question_hangs_no_longer_than_the_database_answers(lab: Lab) -> None:
    lab.seat.gate.clear()
    async with asyncio.timeout(10):
        assert await lab.answered(forever) == "unavailable"


async def test_a_slow_renewal_is_waited_for_and_counts(lab: Lab) -> None:
    """On a machine that is merely slow each renewal would be cut off, and nobody ever answered."""
    lab.seat.gate.clear()
    await until(lambda: not lab.leader.fresh)
    lab.seat.takes_s = 1.5 * leader_module.RENEW_TIMEOUT_S
    lab.seat.gate.set()
    await until(lambda: lab.leader.fresh)


async def test_a_renewal_that_never_ends_is_begun_again(lab: Lab) -> None:
    lab.seat.gate.clear()
    before = lab.seat.renewals
    await until(lambda: lab.seat.renewals > before + 1)
    assert not lab.leader.fresh


async def test_a_slow_question_to_a_living_database_takes_its_time(lab: Lab) -> None:
    async def slow() -> None:
        before = lab.seat.renewals
        await until(lambda: lab.seat.renewals >= before + 5)

    assert await lab.answered(slow) == "answered"


async def test_a_timeout_of_the_work_itself_is_not_taken_for_the_databases(lab: Lab) -> None:
    async def impatient() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await lab.answered(impatient)


async def test_a_leader_whom_nobody_hears_gives_way_to_who_stands_by(lab: Lab) -> None:
    lab.unheard, lab.answered_by_bus = True, False
    before = lab.seat.renewals
    await until(lambda: lab.seat.renewals > before + 1)  # nobody stands by: better it than nobody
    assert not lab.seat.resigned
    await until(lambda: "bus" in trouble(lab))
    lab.seat.standby = True
    await lab.ended()
    assert lab.seat.resigned


async def asked_who_stands_by(lab: Lab, *, answer: bool) -> None:
    lab.seat.standby = answer
    before = lab.seat.asked
    await until(lambda: lab.seat.asked > before)


async def test_a_bus_that_comes_back_for_the_standby_first_changes_no_leader(lab: Lab) -> None:
    """The server was away for both: whoever is connected a moment earlier should not lead for that."""
    lab.unheard, lab.answered_by_bus = True, False
    for _ in range(5):
        await asked_who_stands_by(lab, answer=True)
        await asked_who_stands_by(lab, answer=False)
    await asked_who_stands_by(lab, answer=True)
    lab.answered_by_bus = True
    before = lab.seat.renewals
    await until(lambda: lab.seat.renewals > before + 4)
    assert not lab.seat.resigned


async def test_a_clean_end_resigns(lab: Lab) -> None:
    await lab.leader.resign()
    assert lab.seat.resigned
