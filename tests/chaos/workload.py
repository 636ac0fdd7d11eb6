"""The client: it submits all kinds of jobs through everything, and writes each acknowledgement down first.

What is asked again after an unknown outcome carries a dedupe key or a Nats-Msg-Id, as the manual says; some
jobs are asked for once only, without one: kept if they were acknowledged, and at most one comes of each.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from bus import subjects
from bus.client import Client
from bus.errors import ApiError, CorralError, Disconnected, NoResponders, RequestTimeout
from bus.spec import JobSpec, ResourceSpec, TaskSpec
from bus.values import OnDisconnect, UserName
from tests.chaos.causes import POISON
from tests.chaos.evidence import Ack
from tests.chaos.marks import command

T = TypeVar("T")

OUTAGE_MAX_S = 120.0
"""A request that nothing answers for so long is a finding, not an outage."""

AGAIN_S = 0.3
PROBE_TIMEOUT_S = 0.5
"""A leader that stands still answers nobody: how long a takeover took is known to so much."""

STORED_TIMEOUT_S = 3.0
SMALL = ResourceSpec(cpu="200m", memory=16)
WHOLE = ResourceSpec(cpu=2, memory=16)
"""All processors of a node: a place is reserved for it, and what is over before then may run ahead."""

WALLTIME_S = 60.0
"""Far longer than what it is of lives, however long its node stands still."""


class Fate(Struct, frozen=True):
    """How a job may end; `why` begins the message of a task that fails."""

    ends: tuple[str, ...]
    why: str = ""


DONE = Fate(("completed",))
LOSSY = Fate(("completed", "failed"), POISON)
"""Of what lives so long that it may be lost often enough to count as poison."""

FAILING = Fate(("failed",), "exit code 3")
OVERDUE = Fate(("failed",), "walltime exceeded")
CANCELLED = Fate(("cancelled",))

TOO_LATE = "E_CONFLICT"
"""The job is over, or ending: what was asked of it cannot be any more."""

WEIGHTS = {
    "single": 6,
    "bounded": 4,
    "whole": 2,
    "once": 3,
    "array": 3,
    "graph": 2,
    "retried": 3,
    "failing": 2,
    "overdue": 2,
    "sleeper": 3,
    "idempotent": 3,
    "run_on": 2,
    "cancelled": 3,
    "published": 6,
    "paused": 2,
    "requeued": 2,
}
KINDS = tuple(WEIGHTS)


@dataclass
class Told:
    """What the client heard. `acks` is also the content of `file`."""

    file: Path
    acks: list[Ack] = field(default_factory=list)
    answered_s: list[float] = field(default_factory=list)  # how long each good answer took
    refused_s: list[float] = field(default_factory=list)  # how long each "not now" (503) took
    unanswered: int = 0
    too_late: int = 0
    gave_up: list[str] = field(default_factory=list)  # no answer for OUTAGE_MAX_S, or one that cannot be

    def ack(self, ack: Ack) -> None:
        """On disk before anybody goes on."""
        with self.file.open("ab") as file:
            file.write(msgspec.json.encode(ack) + b"\n")
        self.acks.append(ack)


class Workload:
    """`rate` jobs a second in the mix of `WEIGHTS`, as alice; requests are hers too."""

    def __init__(self, client: Client, told: Told, *, marks_folder: Path, seed: int, rate: float) -> None:
        self._client = client
        self._prober = Client(client.bus, timeout_s=PROBE_TIMEOUT_S)
        self._told = told
        self._env = {"MARKS": str(marks_folder)}
        self._chance = random.Random(f"workload {seed}")
        self._rate = rate
        self._count = 0
        self.counts: dict[str, int] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; then until each job that was begun is acknowledged, or given up."""
        async with asyncio.TaskGroup() as group:
            while not stop.is_set():
                (kind,) = self._chance.choices(KINDS, tuple(WEIGHTS.values()))
                self._count += 1
                self.counts[kind] = self.counts.get(kind, 0) + 1
                group.create_task(self._one(kind, f"{kind}-{self._count}"), name=f"{kind}-{self._count}")
                try:
                    async with asyncio.timeout(self._chance.expovariate(self._rate)):
                        await stop.wait()
                except TimeoutError:
                    continue

    async def probe(self, name: str) -> int:
        """One small job, asked for until it is answered; its number."""
        spec = self._spec(name, lives_s=0.0)
        return await self._submit(spec, DONE, again_s=0.05, client=self._prober)

    async def _one(self, kind: str, name: str) -> None:
        try:
            await self._do(kind, name)
        except CorralError as error:  # the others go on; the run is told
            self._told.gave_up.append(f"{name}: {error!r}")

    async def _do(self, kind: str, name: str) -> None:
        chance = self._chance
        lives_s = chance.uniform(0.0, 2.0)
        match kind:
            case "single":
                await self._submit(self._spec(name, lives_s=lives_s), DONE)
            case "bounded":
                await self._submit(self._spec(name, lives_s=lives_s, timeout=WALLTIME_S), DONE)
            case "whole":
                spec = self._spec(name, lives_s=lives_s, timeout=WALLTIME_S, resources=WHOLE)
                await self._submit(spec, DONE)
            case "once":
                await self._submit_once(self._spec(name, lives_s=lives_s))
            case "array":
                array = f"0-{chance.randint(2, 7)}" + chance.choice(("", "%2"))
                await self._submit(self._spec(name, lives_s=lives_s, array=array), DONE)
            case "graph":
                await self._submit(self._graph(name, lives_s), DONE)
            case "retried":
                spec = self._spec(name, lives_s=lives_s, fails_below=chance.randint(2, 3), backoff=0.2)
                await self._submit(spec, DONE)
            case "failing":
                await self._submit(self._spec(name, lives_s=lives_s, exit_code=3, retries=0), FAILING)
            case "overdue":
                # the time counts from the start of each attempt; a task of ten minutes ends by it alone
                spec = self._spec(name, lives_s=600.0, timeout=1.5, grace=0.3, retries=0)
                await self._submit(spec, OVERDUE)
            case "sleeper":
                await self._submit(self._spec(name, lives_s=chance.uniform(15.0, 40.0)), LOSSY)
            case "idempotent":
                spec = self._spec(name, lives_s=chance.uniform(1.0, 15.0), idempotent=True)
                await self._submit(spec, LOSSY)
            case "run_on":
                lives_s = chance.uniform(5.0, 25.0)
                await self._submit(
                    self._spec(name, lives_s=lives_s, on_disconnect=OnDisconnect.RUN_ON), LOSSY
                )
            case "cancelled":
                await self._cancelled(name, chance.uniform(0.0, 4.0))
            case "published":
                await self._publish(self._spec(name, lives_s=lives_s))
            case "paused":
                await self._paused(name, chance.uniform(0.5, 4.0))
            case "requeued":
                await self._requeued(name, chance.uniform(0.5, 3.0))

    def _spec(
        self,
        name: str,
        *,
        lives_s: float,
        fails_below: int = 1,
        exit_code: int = 0,
        resources: ResourceSpec = SMALL,
        **more: Any,
    ) -> JobSpec:
        runs = command(lives_s=lives_s, fails_below=fails_below, exit_code=exit_code)
        return JobSpec(name=name, command=runs, env=self._env, resources=resources, **more)

    def _graph(self, name: str, lives_s: float) -> JobSpec:
        runs = command(lives_s=lives_s / 2)
        tasks = [
            TaskSpec(name="one", command=runs),
            TaskSpec(name="many", command=runs, array="0-2", needs=["one"]),
            TaskSpec(name="last", command=runs, needs=["many"]),
        ]
        return JobSpec(name=name, tasks=tasks, env=self._env, resources=SMALL)

    async def _cancelled(self, name: str, after_s: float) -> None:
        """Nothing else would end it: it lives longer than the run."""
        number = await self._submit(self._spec(name, lives_s=7200.0), CANCELLED)
        await asyncio.sleep(after_s)
        await self._patiently(lambda: self._client.cancel(number))

    async def _paused(self, name: str, for_s: float) -> None:
        number = await self._submit(self._spec(name, lives_s=4.0), DONE)
        await self._steer(lambda: self._client.pause(number))
        await asyncio.sleep(for_s)
        await self._steer(lambda: self._client.resume(number))

    async def _requeued(self, name: str, after_s: float) -> None:
        number = await self._submit(self._spec(name, lives_s=4.0), DONE)
        await asyncio.sleep(after_s)
        await self._steer(lambda: self._client.requeue(number))

    async def _steer(self, ask: Callable[[], Awaitable[object]]) -> None:
        """What comes too late for its job is refused; the report counts it."""
        try:
            await self._patiently(ask)
        except ApiError as error:
            if error.error.code != TOO_LATE:
                raise
            self._told.too_late += 1

    async def _submit(
        self, spec: JobSpec, fate: Fate, *, again_s: float = AGAIN_S, client: Client | None = None
    ) -> int:
        keyed = msgspec.structs.replace(spec, dedupe_key=spec.name)
        asked = client or self._client
        answer = await self._patiently(lambda: asked.submit(keyed), again_s=again_s)
        self._told.ack(
            Ack(name=str(spec.name), at=time.time(), number=answer.number, ends=fate.ends, why=fate.why)
        )
        return answer.number

    async def _submit_once(self, spec: JobSpec) -> None:
        """Without a key nobody may ask again: an outcome that is not known stays so."""
        try:
            answer = await self._client.submit(spec)
        except ApiError as error:
            if error.error.status != 503:
                raise
        except (Disconnected, NoResponders, RequestTimeout):
            self._told.unanswered += 1
        else:
            self._told.ack(Ack(name=str(spec.name), at=time.time(), number=answer.number))

    async def _publish(self, spec: JobSpec) -> None:
        subject = subjects.publish(UserName(self._client.user))
        headers = {"Nats-Msg-Id": str(spec.name)}
        body = msgspec.json.encode(spec)

        async def store() -> None:
            answer = await self._client.bus.request(
                subject, body, timeout_s=STORED_TIMEOUT_S, headers=headers
            )
            said = msgspec.json.decode(answer.data)
            if "error" in said:  # JetStream is starting
                raise NoResponders(said["error"]["description"])

        await self._patiently(store)
        self._told.ack(Ack(name=str(spec.name), at=time.time()))

    async def _patiently(self, ask: Callable[[], Awaitable[T]], *, again_s: float = AGAIN_S) -> T:
        """The answer, through outages. Raises what came last when there is none for OUTAGE_MAX_S."""
        give_up_at = time.monotonic() + OUTAGE_MAX_S
        while True:
            begin = time.monotonic()
            try:
                answer = await ask()
            except (Disconnected, NoResponders, RequestTimeout):
                self._told.unanswered += 1
                if time.monotonic() > give_up_at:
                    raise
            except ApiError as error:
                if error.error.status != 503 or time.monotonic() > give_up_at:
                    raise
                self._told.refused_s.append(time.monotonic() - begin)
            else:
                self._told.answered_s.append(time.monotonic() - begin)
                return answer
            await asyncio.sleep(again_s)
