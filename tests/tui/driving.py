"""What tests of the console do: open it on a fake cluster, wait for words on its screen, press keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from textual.pilot import Pilot

from tui.app import Console
from tui.client.fake import FakeCluster
from tui.client.session import Session

WAIT_S = 20.0
POLL_S = 0.05  # a look at a big screen costs milliseconds
NOW_S = 1_790_000_000.0
HOSTILE = "x\x1b[2J\x1b]52;c;ZXZpbA==\x07[@click=app.quit]y[/]\u202ez\x9b31m"


@asynccontextmanager
async def opened(
    fake: FakeCluster, *, size: tuple[int, int] = (120, 40), ascii_only: bool = False
) -> AsyncIterator[Pilot[None]]:
    async with on_session(Session(fake.connect), size=size, ascii_only=ascii_only) as pilot:
        yield pilot


@asynccontextmanager
async def on_session(
    session: Session, *, size: tuple[int, int] = (120, 40), ascii_only: bool = False
) -> AsyncIterator[Pilot[None]]:
    async with Console(session, ascii_only=ascii_only).run_test(size=size) as pilot:
        yield pilot


def painted(pilot: Pilot[None]) -> str:
    """What stands on the screen."""
    strips = pilot.app.screen._compositor.render_strips()
    return "\n".join("".join(part.text for part in strip) for strip in strips)


async def until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    try:
        async with asyncio.timeout(WAIT_S):
            while not condition():
                await pilot.pause(POLL_S)
    except TimeoutError:
        raise AssertionError(painted(pilot)) from None


async def showing(pilot: Pilot[None], *words: str) -> None:
    await until(pilot, lambda: all(word in painted(pilot) for word in words))


async def gone(pilot: Pilot[None], word: str) -> None:
    await until(pilot, lambda: word not in painted(pilot))
