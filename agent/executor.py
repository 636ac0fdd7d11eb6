"""Performs what the core decided: frames to the guard, rows to the disk, words back into the core."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import assert_never

import msgspec

from agent.containing import RuntimeRecord
from agent.core import effects, events
from agent.core.effects import Effect
from agent.core.machine import step
from agent.core.model import Ledger, Order
from agent.guard import wire
from agent.guard.client import Data, Events, GuardLink, Inventory
from agent.saver import Saver
from agent.settling import Settling
from agent.spool import Spool
from agent.translate import to_end, to_spawn_frame, to_start
from bus.values import AttemptRef, Resources


class Executor:
    """Owns the ledger: the only one that steps the core. `on_outbox` hears when there is more to report.

    `output_of` says what an attempt told as its output, where it left none. `on_over` hears of each that is
    over here, however it ended. `renewed_from` is when the last
    heartbeat was sent that was answered, on CLOCK_BOOTTIME.
    """

    def __init__(
        self,
        folder: Path,
        tasks: Path,
        *,
        node: str,
        capacity: Resources,
        gpus: tuple[str, ...],
        spool: Spool,
        on_outbox: Callable[[], None],
        on_inputs_wanted: Callable[[Order], None],
        on_gpus_wanted: Callable[[], None] = lambda: None,
        gpu_sizes: Mapping[str, int] = MappingProxyType({}),
        output_of: Callable[[AttemptRef], bytes | None] = lambda _: None,
        on_over: Callable[[AttemptRef], None] = lambda _: None,
        saver: Saver | None = None,
    ) -> None:
        self.ledger = Ledger()
        self._spool = spool
        self._on_outbox = on_outbox
        self._on_inputs_wanted = on_inputs_wanted
        self._on_gpus_wanted = on_gpus_wanted
        self._gpu_sizes = gpu_sizes
        self._output_of = output_of
        self._on_over = on_over
        self._saver = saver
        self._settling = None if saver is None else Settling(saver, self._on_events)
        self._lease_s = (0.0, 0.0)
        self.renewed_from = 0.0
        self._runtime: RuntimeRecord | None = None
        self.guard = GuardLink(
            folder, tasks, node=node, capacity=capacity, gpus=gpus, on_frame=self._on_guard_frame
        )
        self.handle(spool.load())

    def handle(self, event: events.Event) -> str | None:
        """Step, and do what follows at once. Returns why a command was refused, None if it was obeyed."""
        made = step(self.ledger, event, time.time())
        if not made:
            return None
        refusal: str | None = None
        frames: list[bytes] = []
        for effect in made:
            if isinstance(effect, effects.Refuse):
                refusal = effect.reason
            else:
                frame = self._frame(effect)
                if frame:
                    frames.append(frame)
        if frames:
            self.guard.send(*frames)  # before the disk: starting need not wait for it
        self._spool.add(made)
        for effect in made:
            if isinstance(effect, effects.SaveEnd):
                self._on_over(effect.attempt)
        if self.ledger.outbox:
            self._on_outbox()
        return refusal

    def set_lease(self, *, term_after_s: float, kill_after_s: float) -> None:
        """How long after an answered heartbeat the guard sends TERM, and KILL."""
        self._lease_s = (term_after_s, kill_after_s)

    def use_runtime(self, runtime: RuntimeRecord | None) -> None:
        """What runs containers from now on; each guard is told."""
        self._runtime = runtime
        if self.guard.version >= wire.RUNS_CONTAINERS:
            self.guard.send(wire.pack(wire.RUNTIME, msgspec.to_builtins(runtime)))

    @property
    def lapsed(self) -> bool:
        """Whether no heartbeat was answered for so long that the guard has begun to end our tasks."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) > self.renewed_from + self._lease_s[0]

    def on_saved(self, ended: list[AttemptRef]) -> None:
        """These ends are on the disk: the guard need not keep them."""
        if ended:
            self.guard.send(wire.pack(wire.ACKNOWLEDGE, ended))

    def remove_files(self, attempts: list[AttemptRef]) -> None:
        """Nobody will ask for the output of these."""
        self.guard.send(wire.pack(wire.REMOVE, attempts))

    def give_inputs(self, attempt: AttemptRef, outputs: list[tuple[str, int, bytes]]) -> None:
        """A page of outputs that `attempt` needs."""
        self.guard.send(wire.pack(wire.NEEDS, attempt, outputs))

    def tell_children(self, attempt: AttemptRef, text: bytes) -> bool:
        """Let a task hear what became of its jobs; whether the guard can."""
        if self.guard.version >= wire.TELLS_CHILDREN:
            self.guard.send(wire.pack(wire.CHILDREN, attempt, text))
        return self.guard.version >= wire.TELLS_CHILDREN

    async def read_log(self, attempt: AttemptRef, *, stream: int, offset: int, limit: int) -> Data:
        """A piece of an attempt's output. Raises GuardError."""
        return await self.guard.read_log(attempt, stream=stream, offset=offset, limit=limit)

    def _frame(self, effect: Effect) -> bytes | None:
        match effect:
            case effects.Hand(orders):
                return to_spawn_frame(orders, version=self.guard.version, gpu_sizes=self._gpu_sizes)
            case effects.End(attempts):
                if self._saver is not None:
                    self._saver.ending(attempts)
                return wire.pack(wire.CANCEL, attempts)
            case effects.Withdraw(attempts):
                return wire.pack(wire.RETRACT, attempts)
            case effects.Pause(attempts):
                return wire.pack(wire.PAUSE, attempts)
            case effects.Resume(attempts):
                return wire.pack(wire.RESUME, attempts)
            case effects.EndLeftovers(processes):
                return wire.pack(wire.LEFTOVERS, processes) if self.guard.version else None
            case effects.RenewLease(sent_at):
                self.renewed_from = sent_at
                return self._renewal()
            case effects.FetchInputs(order):
                self._on_inputs_wanted(order)
            case effects.LookAtGpus():
                self._on_gpus_wanted()
            case (
                effects.SaveOrder()
                | effects.SaveStart()
                | effects.SaveEnd()
                | effects.SaveEvent()
                | effects.RemoveEvents()
                | effects.SaveEpoch()
                | effects.Refuse()
            ):
                pass
            case _:
                assert_never(effect)
        return None

    def _renewal(self) -> bytes:
        """The lease as it is; of one that has run out the guard takes no notice."""
        term_s, kill_s = self._lease_s
        return wire.pack(wire.RENEW, self.renewed_from + term_s, self.renewed_from + kill_s)

    def _on_guard_frame(self, frame: Inventory | Events) -> None:
        match frame:
            case Events():
                if self._settling is None:
                    self._on_events(frame)
                else:
                    self._settling.take(frame)
            case Inventory():
                if self._settling is not None:
                    frame = self._settling.begin(frame, self.ledger.held)
                # a guard begins without a lease, and would give everything back until the next heartbeat
                self.guard.send(self._renewal())
                if self._runtime is not None:
                    self.use_runtime(self._runtime)
                self._spool.cgroup = _cgroup_of(self.guard.pid)
                self.handle(
                    events.GuardConnected(
                        running=tuple([to_start(record) for record in frame.running]),
                        queued=frame.queued,
                        paused=frame.paused,
                        ends=tuple([to_end(record, told=self._output_of) for record in frame.exits]),
                    )
                )
            case _:
                assert_never(frame)

    def _on_events(self, frame: Events) -> None:
        self.handle(
            events.GuardReported(
                starts=tuple([to_start(record) for record in frame.starts]),
                ends=tuple([to_end(record, told=self._output_of) for record in frame.exits]),
            )
        )


def _cgroup_of(pid: int) -> str:
    """Where the kernel accounts a process: its path in the unified hierarchy; empty if it cannot be told."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return ""
    return next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "")
