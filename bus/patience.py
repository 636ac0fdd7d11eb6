"""Asking again through an outage, for callers that would rather wait than fail; and waiting with a bound."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from bus.errors import ApiError, Disconnected, NoResponders, RequestTimeout

T = TypeVar("T")

OUTAGE_MAX_S = 60.0
"""Longer than any restart or takeover that Corral promises to survive."""

RETRY_S = 0.5


async def outlast(ask: Callable[[], Awaitable[T]], *, outage_s: float = OUTAGE_MAX_S) -> T:
    """The answer of `ask`, asked again while bus or coordinator are away; `ask` must bear repeating.

    Raises what `ask` raised last once `outage_s` have passed, and everything else at once.
    """
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + outage_s
    while True:
        try:
            return await ask()
        except (Disconnected, NoResponders, RequestTimeout):
            if loop.time() >= give_up_at:
                raise
        except ApiError as error:
            if error.error.status != 503 or loop.time() >= give_up_at:
                raise
        await asyncio.sleep(RETRY_S)


async def wait_for_event(event: asyncio.Event, *, timeout_s: float) -> None:
    """Until it is set, or the time is up; it is clear afterwards."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
    finally:
        event.clear()
