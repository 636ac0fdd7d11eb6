"""The simulated bus: requests and their answers, late, lost, twice, out of order, or not at all.

A host that is cut off sends into the void and hears nothing. Who has no subscriber is told so at once,
as NATS does. A message belongs to the subscriptions there are when it is sent: none outlives its process.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from msgspec import Struct

from tests.sim.timeline import Host, Process, Timeline

Answered = Callable[[bytes | None], None]
"""Hears the answer of a request; None: there was none in time, or nobody to ask."""

Responder = Callable[[bytes], None]

_NO_RESPONDERS_S = 0.001


class Weather(Struct):
    """How the bus behaves now. Delays in seconds."""

    delay_s: float = 0.0005
    late: float = 0.0  # share of messages that take up to `late_s`
    late_s: float = 0.0
    lost: float = 0.0
    twice: float = 0.0
    spoilt: float = 0.0  # share that arrives cut short, or with other bytes in it


class Network:
    """`leaders` and `agents` are the subscriptions: processes with `on_agent`, `on_client`, `on_command`."""

    def __init__(self, timeline: Timeline, random: Random) -> None:
        self._timeline = timeline
        self._random = random
        self.weather = Weather()
        self.cut: set[Host] = set()
        self.leaders: list[Any] = []
        self.agents: dict[str, list[Any]] = {}
        self.checksum = 0
        self.messages = 0

    def request(
        self,
        sender: Process,
        receivers: Sequence[tuple[Process, Callable[..., None]]],
        data: bytes,
        *args: Any,
        timeout_s: float,
        answered: Answered,
    ) -> None:
        """Ask; `answered` hears the first answer, once. Each receiver gets `(data, respond, *args)`."""
        call = _Call(self, sender, answered)
        if not receivers and sender.host not in self.cut:
            sender.after(_NO_RESPONDERS_S, call.settle, None)
            return
        for receiver, handler in receivers:
            respond = _Responder(call, receiver)
            self.send(sender.host, receiver, handler, data, respond, *args)
        sender.after(timeout_s, call.settle, None)

    def send(
        self, source: Host, target: Process, handler: Callable[..., None], data: bytes, *args: Any
    ) -> None:
        """One message, through the weather."""
        weather, random = self.weather, self._random
        self.messages += 1
        self.checksum = zlib.crc32(data, self.checksum)
        self.checksum = zlib.crc32(b"%r %b" % (self._timeline.now, source.name.encode()), self.checksum)
        if source in self.cut or random.random() < weather.lost:
            return
        if weather.spoilt and random.random() < weather.spoilt:
            data = spoil(data, random)
        copies = 2 if random.random() < weather.twice else 1
        for _ in range(copies):
            delay_s = weather.delay_s * (0.5 + random.random())
            if random.random() < weather.late:
                delay_s += weather.late_s * random.random()
            self._timeline.after(delay_s, self._arrive, target, handler, data, args)

    def _arrive(
        self, target: Process, handler: Callable[..., None], data: bytes, args: tuple[Any, ...]
    ) -> None:
        if target.host not in self.cut:
            target.enter(handler, data, *args)


def spoil(data: bytes, random: Random) -> bytes:
    """A prefix, or the same length without sense: nothing keeps its meaning and changes a number."""
    if random.random() < 0.5:
        return data[: random.randrange(len(data))] if data else data
    return random.randbytes(len(data))


class _Call:
    """A request under way."""

    __slots__ = ("answered", "done", "network", "sender")

    def __init__(self, network: Network, sender: Process, answered: Answered) -> None:
        self.network = network
        self.sender = sender
        self.answered = answered
        self.done = False

    def settle(self, data: bytes | None) -> None:
        if not self.done:
            self.done = True
            self.answered(data)


class _Responder:
    """What a receiver answers with."""

    __slots__ = ("call", "receiver")

    def __init__(self, call: _Call, receiver: Process) -> None:
        self.call = call
        self.receiver = receiver

    def __call__(self, data: bytes) -> None:
        self.call.network.send(self.receiver.host, self.call.sender, self.call.settle, data)
