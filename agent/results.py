"""What running tasks tell: read from their files, sent on once a second, each line once.

The file is the only memory: what is sent begins at the place that the coordinator has, and the next place is
what it answers. So an outage, a restart of either side or a lost answer repeats nothing and loses nothing,
and a task that tells faster than it is heard waits in its own file.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable

from msgspec import Struct

from agent.core.model import Phase
from agent.core.notes import LINE_MAX, Heard, hear, last_output
from agent.executor import Executor
from agent.leavings import Leavings
from bus import subjects
from bus.codec import decode_to_agent_reply, encode
from bus.errors import ApiError, BusError, DecodeError
from bus.results import POINTS_MAX, Child, Line, Point, Progress, ProgressReply, Told
from bus.subjects import NodeVerb
from bus.transport import Bus
from bus.values import OUTPUT_LIMIT, AttemptRef

_log = logging.getLogger(__name__)

INTERVAL_S = 1.0
_TIMEOUT_S = 5.0
_POINTS_AT_ONCE = 10_000
"""Of all attempts together: such a message stays far below 1 MiB."""

_TEXT_AT_ONCE = 256 * 1024
"""Bytes of jobs and lines for the log, likewise; one file adds at most LINE_MAX to it."""

_LINE_BYTES = 24
"""Of a line for the log besides its text."""

_STALE = -1


class _Followed(Struct):
    """`place`: up to where the coordinator has it. `seen`: up to where artifacts were asked for. `over`: the
    attempt has ended, and the file grows no more."""

    place: int = 0
    seen: int = 0
    over: bool = False


class Results:
    """`run` for ever;

    `output_of` at the end of an attempt. `on_artifact` hears what a task wants kept now.
    """

    def __init__(
        self,
        bus: Bus,
        node: str,
        leavings: Leavings,
        *,
        on_artifact: Callable[[AttemptRef, str], None],
    ) -> None:
        self._bus = bus
        self._node = node
        self._leavings = leavings
        self._on_artifact = on_artifact
        self._subject = subjects.node(node, NodeVerb.PROGRESS)
        self._followed: dict[AttemptRef, _Followed] = {}
        self._broken: set[AttemptRef] = set()  # what they wrote cannot be understood at all

    async def run(self, executor: Executor) -> None:
        """Look and tell each second."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            self._notice(executor)
            try:
                while await self.tell():
                    pass
            except (BusError, ApiError, DecodeError) as error:
                _log.info("what tasks tell waits: %s", error)

    def heard_to(self, attempt: AttemptRef) -> int:
        """Up to where in its file the coordinator has what it told."""
        followed = self._followed.get(attempt)
        return 0 if followed is None else followed.place

    def output_of(self, attempt: AttemptRef) -> bytes | None:
        """The output that an attempt told which has just ended; JSON, at most OUTPUT_LIMIT bytes."""
        fd = self._leavings.open_notes(attempt)
        if fd is None:
            return None
        self._followed.setdefault(attempt, _Followed()).over = True
        try:
            size = os.fstat(fd).st_size
            output = last_output(os.pread(fd, LINE_MAX, max(0, size - LINE_MAX)))
        except OSError as error:
            _log.error("what %s told cannot be read: %s", attempt, error.strerror)
            return None
        finally:
            os.close(fd)
        return output if output is not None and len(output) <= OUTPUT_LIMIT else None

    async def tell(self) -> bool:
        """Send what is new of all that are followed. True: there may be more at once."""
        told, is_full = await asyncio.to_thread(self._read_all)
        if not told:
            return False
        answer = await self._bus.request(
            self._subject, encode(Progress(node=self._node, told=tuple(told))), timeout_s=_TIMEOUT_S
        )
        reply = decode_to_agent_reply(answer.data, subject=self._subject)
        if not isinstance(reply, ProgressReply):
            raise BusError(f"what tasks told was answered with {type(reply).__name__}")
        for place in reply.places:
            if place.end == _STALE:
                self._followed.pop(place.attempt, None)
            elif place.attempt in self._followed:
                self._followed[place.attempt].place = place.end
        return is_full

    def _notice(self, executor: Executor) -> None:
        running = {
            a for a, held in executor.ledger.held.items() if held.phase is Phase.RUNNING and not held.silent
        }
        self._broken &= running
        for attempt in running - self._followed.keys() - self._broken:
            self._followed[attempt] = _Followed()
        for attempt in self._followed.keys() - running:
            self._followed[attempt].over = True

    def _read_all(self) -> tuple[list[Told], bool]:
        told: list[Told] = []
        points = texts = 0
        for attempt, followed in list(self._followed.items()):
            if points >= _POINTS_AT_ONCE or texts >= _TEXT_AT_ONCE:
                return told, True
            is_over = followed.over  # before looking: what is written later is seen next time
            try:
                one, is_full = self._read(attempt, followed)
            except Exception:  # noqa: BLE001 - whatever a task wrote there: the others are heard
                _log.exception("what %s tells is not heard any more", attempt)
                self._broken.add(attempt)
                self._followed.pop(attempt, None)
                continue
            if one is not None:
                told.append(one)
                points += len(one.points)
                texts += sum(len(child.job) for child in one.children)
                texts += sum(len(line.text.encode()) + _LINE_BYTES for line in one.lines)
            elif is_over and not is_full:
                self._followed.pop(attempt, None)
        return told, points >= POINTS_MAX

    def _read(self, attempt: AttemptRef, followed: _Followed) -> tuple[Told | None, bool]:
        fd = self._leavings.open_notes(attempt)
        if fd is None:
            return None, False
        try:
            data = os.pread(fd, LINE_MAX, followed.place)
        except OSError as error:  # looked at again in a second, while it runs
            _log.error("what %s tells cannot be read: %s", attempt, error.strerror)
            return None, False
        finally:
            os.close(fd)
        if followed.over and data and not data.endswith(b"\n") and len(data) < LINE_MAX:
            data += b"\n"  # the last line of a task that ended within it
        heard = hear(data, values_max=POINTS_MAX)
        if heard.used == 0:
            return None, False
        self._ask_for_artifacts(attempt, followed, heard)
        now_s = time.time()
        return Told(
            attempt=attempt,
            start=followed.place,
            end=followed.place + heard.used,
            progress=heard.progress,
            message=heard.message,
            points=tuple(Point(value.name, value.value, now_s, value.step) for value in heard.values),
            faults=heard.faults,
            fault=heard.fault,
            lines=tuple(Line(logged.level, logged.text, now_s) for logged in heard.logs),
            children=tuple(Child(followed.place + place, job) for place, job in heard.submits),
        ), True

    def _ask_for_artifacts(self, attempt: AttemptRef, followed: _Followed, heard: Heard) -> None:
        """Once a line, though it is read again until the coordinator has it."""
        end = followed.place + heard.used
        if end > followed.seen:
            followed.seen = end
            for name in heard.artifacts:
                self._on_artifact(attempt, name)
