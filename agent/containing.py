"""Which runtime runs containers here: looked for in the background, told to guard and coordinator.

A process of the tasks' account tries it (`agent.guard.probing`): containers run under that account. Until
it has answered, the agent says nothing of containers, and tasks that need them wait.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgpack
import msgspec
from msgspec import Struct

import agent
from agent.config import AUTO, NONE, Config
from agent.discover import with_sharing
from agent.guard.runtimes import KINDS
from agent.guard.wire import RUNS_CONTAINERS, SHARES_GPUS
from bus.values import Capability, Inventory

_log = logging.getLogger(__name__)

CONTAINER, CONTAINER_GPUS, NO_NETWORK = "container", "container_gpus", "no_network"
"""The capabilities, as the coordinator asks for them."""

_GIVEN = ("PATH", "HOME", "XDG_RUNTIME_DIR", "DOCKER_HOST")
_TIMEOUT_S = 600.0
_FAULT_MAX = 200


class RuntimeRecord(Struct, array_like=True, frozen=True):
    """`agent.guard.runtimes.Runtime`."""

    kind: str
    path: str
    options: tuple[str, ...]
    env: dict[str, str]
    run_options: tuple[str, ...]
    default_network: str
    limits: bool
    gpus: str


class Looked(Struct, frozen=True):
    """What the probe says; see `agent.guard.probing.Found`."""

    runtime: RuntimeRecord | None = None
    faults: dict[str, str] = {}
    cut_off: str = ""


def capabilities_of(looked: Looked, *, simulated_gpus: bool = False) -> dict[str, Capability]:
    """What the coordinator is told. Simulated GPUs can be given to containers: there is nothing to give."""
    able = Capability(level=1.0, verified=True)
    found = {NO_NETWORK: _unable(looked.cut_off) if looked.cut_off else able}
    runtime = looked.runtime
    if runtime is not None:
        found[CONTAINER] = able
        why = f"{runtime.kind}: no GPUs that it could hand over were found"
        found[CONTAINER_GPUS] = able if runtime.gpus or simulated_gpus else _unable(why)
    elif looked.faults:
        found[CONTAINER] = _unable("; ".join(f"{kind}: {why}" for kind, why in looked.faults.items()))
    return found


def in_words(looked: Looked) -> str:
    """For people: the runtime and what of it works."""
    runtime = looked.runtime
    if runtime is None:
        return "; ".join(f"{kind} cannot: {why}" for kind, why in looked.faults.items()) or NONE
    network = "the machine's network" if runtime.default_network else "networks of their own"
    limits = "limits" if runtime.limits else "no limits"
    return f"{runtime.kind} ({network}, {limits}{', GPUs' if runtime.gpus else ''})"


async def look(tasks: Path, *, choice: str) -> Looked:
    """Try the runtimes under the tasks' account. What fails is in the answer, not raised."""
    kinds = KINDS if choice == AUTO else (choice,)
    sources = (Path(agent.__file__).parents[1], Path(msgpack.__file__).parents[1])
    env = {name: value for name in _GIVEN if (value := os.getenv(name))}
    env["PYTHONPATH"] = os.pathsep.join(map(str, sources))
    arguments = ("-S", "-P", "-m", "agent.guard.probing", str(tasks), ",".join(kinds))
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            env=env,
            start_new_session=True,
        )
    except OSError as error:
        why = f"the probe cannot be started: {error.strerror}"
        return Looked(faults={choice: why}, cut_off=why)
    wrong = b""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            said, wrong = await process.communicate()
        return msgspec.json.decode(said, type=Looked)
    except TimeoutError:
        return Looked(faults={choice: f"no answer within {_TIMEOUT_S:g} s"}, cut_off="not found out")
    except ValueError:
        lines = wrong.decode(errors="replace").strip().splitlines()
        why = lines[-1][:_FAULT_MAX] if lines else f"the probe ended with {process.returncode}"
        return Looked(faults={choice: why}, cut_off=why)
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # the runtime that it tries as well
            await process.wait()


class Containing:
    """`run` looks once; then `use` is told of the runtime."""

    def __init__(self, config: Config, use: Callable[[RuntimeRecord | None], None]) -> None:
        self._config = config
        self._use = use
        self._looked: Looked | None = None

    async def run(self, announce: Callable[[], None]) -> None:
        """Ends when all is known; `announce` is called then: there is more to say of this node."""
        if self._config.containers == NONE:
            return
        self._looked = await look(self._config.tasks, choice=self._config.containers)
        _log.info("containers: %s", in_words(self._looked))
        self._use(self._looked.runtime)
        announce()

    def capabilities(self, guard_version: int) -> dict[str, Capability]:
        """What is known by now; a guard of before can none of it."""
        if self._looked is None or guard_version < RUNS_CONTAINERS:
            return {}
        return capabilities_of(self._looked, simulated_gpus=self._config.simulated_gpus is not None)

    def told(self, found: Inventory, *, guard_version: int) -> Inventory:
        """The inventory as the guard can keep it, with words for people of what runs containers."""
        inventory = with_sharing(found, shareable=guard_version >= SHARES_GPUS)
        if self._looked is None:
            return inventory
        isolation = inventory.isolation | {"containers": in_words(self._looked)}
        return msgspec.structs.replace(inventory, isolation=isolation)


def _unable(why: str) -> Capability:
    return Capability(level=0.0, fault=why[:_FAULT_MAX])
