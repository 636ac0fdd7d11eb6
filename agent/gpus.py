"""GPUs behind one small interface: the real driver is in `agent.discover`, a simulated one here."""

from __future__ import annotations

import re
from typing import Protocol

from msgspec import Struct

from agent.core.gpus import Look
from bus.values import GpuInfo

_SIMULATED = re.compile(r"sim:([0-9]{1,2})x([A-Za-z0-9]+)-([0-9]{1,4})")


class GpuSetError(ValueError):
    """`--gpu-driver` names no driver that we have."""


class GpuSample(Struct, frozen=True):
    """One GPU at one instant; `utilisation` from 0 to 1."""

    utilisation: float
    mem_used_mib: float
    temperature_c: float | None
    power_w: float | None = None


class GpuProcess(Struct, frozen=True):
    """One process on one or several GPUs; `utilisation` from 0 to 1 for each of them."""

    utilisation: float
    mem_used_mib: float


class GpuDriver(Protocol):
    """Where GPUs come from. A driver that fails later answers with fewer GPUs; it never raises."""

    def gpus(self) -> tuple[GpuInfo, ...]: ...

    def sample(self) -> dict[str, GpuSample]:
        """By UUID."""

    def processes(self) -> dict[int, GpuProcess]:
        """By pid: tasks that share a GPU are told apart by their processes."""

    def look(self) -> tuple[Look, ...]:
        """How each of them is, for `agent.core.gpus`."""

    def close(self) -> None:
        """Twice is fine."""


class SimulatedGpus:
    """GPUs that are there in name only, and idle."""

    def __init__(self, gpus: tuple[GpuInfo, ...]) -> None:
        self._gpus = gpus

    def gpus(self) -> tuple[GpuInfo, ...]:
        return self._gpus

    def sample(self) -> dict[str, GpuSample]:
        return {gpu.uuid: GpuSample(0.0, 0.0, 30.0) for gpu in self._gpus}

    def processes(self) -> dict[int, GpuProcess]:
        return {}

    def look(self) -> tuple[Look, ...]:
        return tuple([Look(uuid=gpu.uuid, mem_mib=gpu.mem_mib) for gpu in self._gpus])

    def close(self) -> None:
        """Nothing is open."""


def parse_simulated(text: str, node: str) -> tuple[GpuInfo, ...] | None:
    """ "nvml" → None, "none" → (), "sim:2xA100-40" → two GPUs of 40 GiB. Raises GpuSetError."""
    if text == "nvml":
        return None
    if text == "none":
        return ()
    match = _SIMULATED.fullmatch(text)
    if match is None:
        raise GpuSetError(f'--gpu-driver {text!r}: expected "nvml", "none" or "sim:2xA100-40"')
    count, model, gib = int(match[1]), match[2], int(match[3])
    return tuple(GpuInfo(uuid=f"GPU-sim-{node}-{n}", model=model, mem_mib=gib * 1024) for n in range(count))
