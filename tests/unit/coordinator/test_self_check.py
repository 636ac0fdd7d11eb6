"""The core hears every moment whether we may believe our own eyes."""

from __future__ import annotations

import asyncio

import pytest

from coordinator import self_check as self_check_module
from coordinator.core.events import Event, SelfChecked
from coordinator.loop import Overloaded
from coordinator.self_check import LATE_S, SelfCheck
from tests.unit.coordinator.shell import until


async def test_what_is_found_is_posted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_check_module, "CHECK_S", 0.005)
    posted: list[Event] = []
    well = {"bus": True, "database": True}
    jump_s = 0.0
    now_s = 0.0

    def clock() -> float:
        nonlocal now_s
        now_s += jump_s
        return now_s

    def post(event: Event) -> None:
        posted.append(event)
        if len(posted) == 1:
            raise Overloaded("full")

    check = SelfCheck(post, bus=lambda: well["bus"], database=lambda: well["database"], now_s=clock)
    running = asyncio.create_task(check.run())
    try:
        for name in (*well, "clock"):
            await until(lambda: posted and posted[-1] == SelfChecked(bus=True, database=True, clock=True))
            if name == "clock":
                jump_s = LATE_S + 1
            else:
                well[name] = False
            wanted = {"bus": True, "database": True, "clock": True, name: False}
            await until(lambda wanted=wanted: posted[-1] == SelfChecked(**wanted))  # type: ignore[misc]
            well.update(bus=True, database=True)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
