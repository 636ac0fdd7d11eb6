"""Being known to the coordinator: registration, then a heartbeat whose answers renew all leases.

Every request notes CLOCK_BOOTTIME before it is sent: the lease counts from there, so that the time an
answer takes is never given away twice. The next heartbeat comes early where something speaks for it: the
connection is back, another coordinator leads, or work was refused because the leases have run out. An agent
that is stopped says so with its last one.

Where another agent has taken this node's name, the younger one stays: this one ends its tasks and stands
aside until somebody stops it. It does not exit, because whatever started it would start it again, and then it
would be the younger.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from typing import NoReturn

from agent.core import events
from agent.core.events import Answered
from agent.executor import Executor
from bus import subjects
from bus.codec import decode_to_agent_reply, encode
from bus.errors import ApiError, BusError, DecodeError, Disconnected, NoResponders
from bus.gpus import GpuFault
from bus.messages import FromAgent, Heartbeat, HeartbeatReply, Register, RegisterReply, ToAgentReply
from bus.subjects import NodeVerb
from bus.transport import Bus

_log = logging.getLogger(__name__)

_REGISTER_TIMEOUT_S = 5.0
_HEARTBEAT_TIMEOUT_S = 3.0
_FAREWELL_TIMEOUT_S = 1.0
_BACKOFF_S = (0.1, 2.0)
_NOBODY_S = 0.5
"""To the next heartbeat while nobody leads: who takes over hears us at once."""

_HASTE_S = 0.2
"""Between two heartbeats at least, whatever happens."""

_FENCED = "E_FENCED"


class Fenced(Exception):
    """Another agent has this node's name."""


class Session:
    """`run` keeps this node registered; `on_registered` and `on_lost` tell who depends on it.

    `on_beat` hears whether a heartbeat was answered. `faults`, and what is wrong with `gpus`, are told with
    each one. `fenced` is set for good once another agent has our name.
    """

    def __init__(
        self,
        bus: Bus,
        register: Callable[[], Register],
        executor: Executor,
        *,
        on_registered: Callable[[RegisterReply], None],
        on_lost: Callable[[], None],
        on_beat: Callable[[bool], None],
        faults: Callable[[], tuple[str, ...]],
        gpus: Callable[[], tuple[GpuFault, ...] | None] = lambda: None,
    ) -> None:
        self._bus = bus
        self._make_register = register
        self._executor = executor
        self._on_registered = on_registered
        self._on_lost = on_lost
        self._on_beat = on_beat
        self._faults = faults
        self._gpus = gpus
        self._sequence = 0
        self._urgent = asyncio.Event()
        self._news = False
        self._answered = True
        self._known: Register | None = None  # as the coordinator took it
        self.fenced = False

    async def run(self) -> None:
        """Register, beat until we are unknown again, and so on for ever."""
        while True:
            self._news = False
            register = self._make_register()
            try:
                reply = await self._register(register)
            except Fenced as fenced:
                await self._stand_aside(fenced)
            _log.info("registered as %s, epoch %d", register.node, reply.epoch)
            self._known = register
            self._on_registered(reply)
            await self._beat(register, reply.heartbeat_interval_s)
            self._known = None
            self._on_lost()

    def hasten(self) -> None:
        """Do not wait until the next word is due."""
        self._urgent.set()

    def announce(self) -> None:
        """This machine is not what it was when it registered: register again, now."""
        self._news = True
        self.hasten()

    async def leave(self) -> None:
        """The last heartbeat; `run` must have ended. Whoever does not hear it waits for the lease."""
        if self._known is None:
            return
        beat = self._heartbeat(self._known, leaving=True)
        try:
            await self._ask(beat, NodeVerb.HEARTBEAT, _FAREWELL_TIMEOUT_S)
        except (BusError, ApiError, DecodeError) as error:
            _log.warning("stopping unheard: %s", error)

    async def _stand_aside(self, fenced: Fenced) -> NoReturn:
        self.fenced = True
        _log.critical(
            "%s: its tasks here are ended, and this agent does nothing more. Stop it, or give this machine a"
            " name and a key of its own",
            fenced,
        )
        self._executor.handle(events.Fenced())
        await asyncio.get_running_loop().create_future()
        raise AssertionError("nobody resolves it")

    async def _register(self, register: Register) -> RegisterReply:
        backoff_s = _BACKOFF_S[0]
        while True:
            sent_at = _now()
            try:
                reply = await self._ask(register, NodeVerb.REGISTER, _REGISTER_TIMEOUT_S)
                if isinstance(reply, RegisterReply):
                    self._executor.set_lease(term_after_s=reply.term_after_s, kill_after_s=reply.kill_after_s)
                    self._executor.handle(Answered(epoch=reply.epoch, drop=reply.drop, renews_from=sent_at))
                    return reply
                _log.error("registration was answered with %s", type(reply).__name__)
            except ApiError as error:
                if error.error.code == _FENCED:
                    raise Fenced(str(error)) from error
                _log.warning("not registered: %s; again in %.1f s", error, backoff_s)
            except (BusError, DecodeError) as error:
                _log.warning("not registered: %s; again in %.1f s", error, backoff_s)
            hastened = await self._rest(backoff_s)
            backoff_s = _BACKOFF_S[0] if hastened else min(2 * backoff_s, _BACKOFF_S[1])
            register = self._make_register()

    async def _beat(self, register: Register, interval_s: float) -> None:
        """Returns when the coordinator asks for a registration, there is news, or the connection was down."""
        next_at = _now()
        pause_s = interval_s
        while True:
            next_at = max(next_at + pause_s, _now())
            if await self._rest(next_at - _now()):
                next_at = _now()
            if self._news:
                return
            beat = self._heartbeat(register)
            pause_s = interval_s
            sent_at = _now()
            try:
                reply = await self._ask(beat, NodeVerb.HEARTBEAT, _HEARTBEAT_TIMEOUT_S)
            except Disconnected:
                return
            except (BusError, ApiError, DecodeError) as error:
                if isinstance(error, NoResponders):
                    pause_s = min(interval_s, _NOBODY_S)
                self._note_beat(str(error))
                continue
            if not isinstance(reply, HeartbeatReply) or reply.register_again:
                return
            self._executor.handle(Answered(epoch=reply.epoch, drop=reply.drop, renews_from=sent_at))
            self._note_beat("")

    async def _rest(self, pause_s: float) -> bool:
        """Wait that long, or until there is haste; whether there was."""
        begun_at = _now()
        try:
            async with asyncio.timeout(pause_s):
                await self._urgent.wait()
        except TimeoutError:
            return False
        rest_s = min(_HASTE_S, pause_s) - (_now() - begun_at)
        await asyncio.sleep(max(0.0, rest_s))
        self._urgent.clear()
        return True

    def _note_beat(self, problem: str) -> None:
        if problem and self._answered:
            _log.warning("heartbeat not answered: %s", problem)
        self._answered = not problem
        self._on_beat(self._answered)

    def _heartbeat(self, register: Register, *, leaving: bool = False) -> Heartbeat:
        self._sequence += 1
        return Heartbeat(
            node=register.node,
            incarnation=register.incarnation,
            sequence=self._sequence,
            load=os.getloadavg()[0],
            live=self._executor.ledger.live(),
            paused=self._executor.ledger.paused(),
            preparing=self._executor.ledger.preparing(),
            faults=self._faults(),
            leaving=leaving,
            gpus=self._gpus(),
        )

    async def _ask(self, message: FromAgent, verb: NodeVerb, timeout_s: float) -> ToAgentReply:
        subject = subjects.node(message.node, verb)
        answer = await self._bus.request(subject, encode(message), timeout_s=timeout_s)
        return decode_to_agent_reply(answer.data, subject=subject)


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
