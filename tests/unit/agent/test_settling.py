"""Ends wait for what was saved, in order; what a guard says anew takes the place of what waited."""

from __future__ import annotations

import asyncio
from typing import cast

from agent.guard import wire
from agent.guard.client import Events, ExitRecord, Inventory, StartRecord
from agent.saver import Saver
from agent.settling import Settling
from bus.values import AttemptRef

PLAIN, SAVING, NEXT = AttemptRef(1, 0, 1), AttemptRef(2, 0, 1), AttemptRef(3, 0, 1)


class FakeSaver:
    """Settles when `kept` is set."""

    def __init__(self) -> None:
        self.kept = asyncio.Event()
        self.settled: list[tuple[AttemptRef, bool]] = []

    def holds(self, attempt: AttemptRef) -> bool:
        return attempt == SAVING

    async def settle(self, attempt: AttemptRef, *, emergency: bool) -> None:
        self.settled.append((attempt, emergency))
        await self.kept.wait()


def ended(attempt: AttemptRef, outcome: str = wire.EXITED, *, started: bool = True) -> ExitRecord:
    began = 1.0 if started else None
    return ExitRecord(attempt, outcome, 2.0, began, 0, None, "", None, b"", 0, 0, 0.0, 0.0)


def gate() -> tuple[Settling, FakeSaver, list[Events]]:
    saver, handled = FakeSaver(), list[Events]()
    return Settling(cast(Saver, saver), handled.append), saver, handled


async def rest() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_saves_nothing_waits_for_nobody() -> None:
    settling, saver, handled = gate()
    frames = [Events((), (ended(PLAIN),)), Events((), (ended(SAVING, started=False),))]
    for frame in frames:
        settling.take(frame)
    assert handled == frames and saver.settled == []


async def test_an_end_waits_and_what_comes_later_behind_it() -> None:
    settling, saver, handled = gate()
    frames = [Events((), (ended(SAVING, wire.CANCELLED),)), Events((StartRecord(NEXT, 9, 3.0),), ())]
    for frame in frames:
        settling.take(frame)
    await rest()
    assert handled == [] and saver.settled == [(SAVING, True)]
    saver.kept.set()
    await rest()
    assert handled == frames
    settling.take(Events((), (ended(PLAIN),)))
    assert len(handled) == 3


async def test_a_new_inventory_holds_its_ends_back_itself() -> None:
    settling, saver, handled = gate()
    settling.take(Events((), (ended(SAVING),)))
    inventory = Inventory((), (), (ended(SAVING), ended(PLAIN)), ())
    begun = settling.begin(inventory, {SAVING})
    assert [start.attempt for start in begun.running] == [SAVING]
    assert [end.attempt for end in begun.exits] == [PLAIN]
    await rest()
    assert handled == []
    saver.kept.set()
    await rest()
    assert handled == [Events((), (ended(SAVING),))]


async def test_an_end_of_before_is_only_acknowledged() -> None:
    settling, _, _ = gate()
    inventory = Inventory((), (), (ended(SAVING),), ())
    assert settling.begin(inventory, set()) == inventory
