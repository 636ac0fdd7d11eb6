"""Sessions of kind `pty`: people at the terminal of a task, who come, look, type and go.

The guard holds the terminal and its output; each viewer reads that at a pace of their own. Whoever comes is
shown the last screenful. A terminal has one size: the smallest of those who may type, so that each of them
sees all of it.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import msgspec
from msgspec import Struct

from agent.core.model import Ledger, Phase
from agent.guard.client import Data, GuardError
from agent.streams.server import Declined, Serve, Session, attempt_of
from bus.messages import OpenStream
from bus.sessions import SIDE_MAX, PtyParams
from bus.streams import StreamBroken
from bus.terminal import Resized, TerminalError, Typed, pack_offset, take_messages
from bus.values import AttemptRef

SCREENFUL_BYTES = 8 * 1024
"""What is shown of the past to whoever comes, from the start of a line."""

PIECE_BYTES = 32 * 1024
"""Of output at a time: a key that is typed meanwhile has its turn soon."""

_TYPE_RETRY_S = 0.02
"""While a task does not read what is typed."""


class Guard(Protocol):
    async def await_output(self, attempt: AttemptRef, *, offset: int, limit: int) -> Data: ...
    async def read_log(self, attempt: AttemptRef, *, stream: int, offset: int, limit: int) -> Data: ...
    async def type(self, attempt: AttemptRef, data: bytes) -> int: ...
    def resize(self, attempt: AttemptRef, *, rows: int, columns: int) -> None: ...


class Viewer(Struct, frozen=True):
    """Somebody at a terminal."""

    rows: int
    columns: int
    may_type: bool


class Terminals:
    """`accept` takes viewers; `shown` and `viewers` are what a test may ask."""

    def __init__(self, guard: Guard, ledger: Ledger) -> None:
        self._guard = guard
        self._ledger = ledger
        self._viewers: dict[AttemptRef, dict[str, Viewer]] = {}

    async def accept(self, asked: OpenStream) -> Serve:
        """A viewer of the terminal of an attempt. Raises Declined."""
        attempt = attempt_of(asked)
        try:
            params = msgspec.convert(asked.params, PtyParams)
        except msgspec.ValidationError as error:
            raise Declined("E_TYPE", f"params: {error}") from None
        held = self._ledger.held.get(attempt)
        if held is None or held.phase is not Phase.RUNNING:
            raise Declined("E_NOT_RUNNING", f"task {attempt.task} does not run here, or not yet")
        try:
            if await self._guard.type(attempt, b"") < 0:
                raise Declined("E_NO_TERMINAL", f"task {attempt.task} has no terminal")
            offset = await self._from(attempt, params)
        except GuardError as error:
            raise Declined("E_UNAVAILABLE", str(error)) from None

        async def serve(session: Session) -> None:
            await self._serve(session, attempt, params, offset=offset)

        return serve

    async def _from(self, attempt: AttemptRef, params: PtyParams) -> int:
        """Where a viewer begins to read: as asked, else at the first line of the last screenful."""
        size = (await self._guard.read_log(attempt, stream=1, offset=0, limit=0)).size
        if params.offset >= 0:
            return min(params.offset, size)
        if size <= SCREENFUL_BYTES:
            return 0
        start = size - SCREENFUL_BYTES
        text = (await self._guard.read_log(attempt, stream=1, offset=start, limit=SCREENFUL_BYTES)).data
        return start + text.find(b"\n") + 1

    async def _serve(self, session: Session, attempt: AttemptRef, params: PtyParams, *, offset: int) -> None:
        viewer = Viewer(params.rows, params.columns, not params.read_only)
        self._set_viewer(attempt, session.name, viewer)
        typing = asyncio.create_task(self._type(session, attempt, viewer), name=f"{session.name} types")
        showing = asyncio.create_task(self._show(session, attempt, offset=offset), name=session.name)
        try:
            await asyncio.wait({typing, showing}, return_when=asyncio.FIRST_COMPLETED)
            if showing.done():
                showing.result()
        except GuardError as error:
            raise StreamBroken("E_STREAM_GONE", str(error)) from None
        finally:
            typing.cancel()
            showing.cancel()
            await asyncio.wait({typing, showing})
            self._set_viewer(attempt, session.name, None)

    async def _show(self, session: Session, attempt: AttemptRef, *, offset: int) -> None:
        """All output from `offset` on, until there will be no more."""
        await session.stream.write(pack_offset(offset))
        while True:
            piece = await self._guard.await_output(attempt, offset=offset, limit=PIECE_BYTES)
            if not piece.data:
                if piece.ended:
                    return
                continue
            await session.stream.write(piece.data)
            offset += len(piece.data)

    async def _type(self, session: Session, attempt: AttemptRef, viewer: Viewer) -> None:
        """Hand on what the viewer types, at the pace of whoever reads it there, until they leave."""
        buffer = bytearray()
        try:
            while data := await session.stream.read():
                buffer += data
                for message in take_messages(buffer):
                    match message:
                        case Typed(data=typed):
                            if viewer.may_type:
                                await self._type_all(attempt, typed)
                        case Resized(rows=rows, columns=columns):
                            sized = Viewer(_side(rows), _side(columns), viewer.may_type)
                            self._set_viewer(attempt, session.name, sized)
        except TerminalError as error:
            session.stream.reset(error.code, str(error))
        except GuardError as error:
            session.stream.reset("E_STREAM_GONE", str(error))
        except StreamBroken:
            pass  # who shows hears it too

    async def _type_all(self, attempt: AttemptRef, data: bytes) -> None:
        while data:
            taken = await self._guard.type(attempt, data)
            if taken < 0:
                return  # it is over; its last output is being shown
            data = data[taken:]
            if data:
                await asyncio.sleep(_TYPE_RETRY_S)

    def _set_viewer(self, attempt: AttemptRef, session: str, viewer: Viewer | None) -> None:
        """Somebody came, changed their window, or left."""
        here = self._viewers.setdefault(attempt, {})
        if viewer is None:
            here.pop(session, None)
        else:
            here[session] = viewer
        if not here:
            del self._viewers[attempt]
            return
        counted = [each for each in here.values() if each.may_type] or list(here.values())
        rows = min(each.rows for each in counted)
        columns = min(each.columns for each in counted)
        self._guard.resize(attempt, rows=rows, columns=columns)


def _side(cells: int) -> int:
    return max(1, min(cells, SIDE_MAX))
