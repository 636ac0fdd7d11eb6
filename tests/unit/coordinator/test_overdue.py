"""Who asked just before the database went away hears so, once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from coordinator import overdue as overdue_module
from coordinator.overdue import Overdue
from tests.unit.coordinator.shell import running_shell, until


@pytest.mark.parametrize("ends", [False, True], ids=["the database hangs", "the coordinator ends"])
async def test_who_waits_for_a_commit_is_excused(monkeypatch: pytest.MonkeyPatch, ends: bool) -> None:
    monkeypatch.setattr(overdue_module, "LOOK_S", 0.005)
    monkeypatch.setattr(overdue_module, "WAITED_S", 0.05)
    away = False
    async with running_shell() as shell:
        overdue = asyncio.create_task(Overdue(shell.wire, shell.replies, away=lambda: away).run())
        shell.store.gate.clear()
        tried = len(shell.store.tried)
        asking: asyncio.Task[Any] = asyncio.create_task(shell.ask("alice", "job.submit", command=["true"]))
        await until(lambda: len(shell.store.tried) > tried)
        await asyncio.sleep(0.1)  # a slow commit alone is no reason
        assert not asking.done()
        if ends:
            overdue.cancel()
        else:
            away = True
        error = (await asking)["error"]
        assert (error["code"], error["status"]) == ("E_UNAVAILABLE", 503) and error["retry_after_s"] > 0
        shell.store.gate.set()
        await until(
            lambda: len(shell.store.batches) > 0
        )  # it was entered all the same, and nobody is told twice
        assert not shell.replies._waiting
        overdue.cancel()
        await asyncio.gather(overdue, return_exceptions=True)
