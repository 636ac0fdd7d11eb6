"""Steps carried out: which request each action is, several at a time, and what the answers say."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from bus.errors import CorralError
from bus.units import counted
from tui.client.source import Source
from tui.view.deeds import Act, Deed, Journal
from tui.view.refusals import error_text
from tui.view.steering import Step

AT_ONCE = 8
"""Requests of one act that wait for their answers together: the coordinator has other callers too."""


async def ask(source: Source, step: Step) -> Any:
    """The answer to one step. Raises CorralError."""
    told, target = step.arguments, step.target
    match step.verb:
        case "cordon":
            return await source.cordon(target, reason=told.reason)
        case "drain":
            return await source.drain(target, reason=told.reason, deadline_s=told.deadline_s)
        case "maintenance":
            return await source.maintenance(target, reason=told.reason, deadline_s=told.deadline_s)
        case "undrain":
            return await source.undrain(target, reason=told.reason)
        case "scheduler_mode":
            assert told.mode
            return await source.scheduler_mode(told.mode)
        case verb:
            return await getattr(source, verb)(target)


async def carry_out(
    source: Callable[[], Source], journal: Journal, act: Act, *, changed: Callable[[], None]
) -> None:
    """Every step of `act`, AT_ONCE together; `changed` after each answer. A refused one stops no other.

    `source` gives the connection as it is then, or raises.
    """
    places = asyncio.Semaphore(AT_ONCE)

    async def one(deed: Deed) -> None:
        async with places:
            try:
                answer = await ask(source(), deed.step)
            except CorralError as error:
                journal.fail(deed, said=error_text(error), now_s=time.time())
            else:
                audit = str(getattr(answer, "audit", "") or "")
                journal.acknowledge(deed, said=answer_text(answer), audit=audit, now_s=time.time())
            changed()

    async with asyncio.TaskGroup() as group:
        for deed in act.deeds:
            group.create_task(one(deed), name=f"console {deed.command}")


def answer_text(answer: object) -> str:
    """ "3 tasks (what it left as it was)", or "done"."""
    tasks = getattr(answer, "tasks", None)
    hint = getattr(answer, "hint", "")
    done = counted(tasks, "task") if isinstance(tasks, int) else "done"
    return f"{done} ({hint})" if hint else done
