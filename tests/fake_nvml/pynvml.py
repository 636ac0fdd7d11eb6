"""A stand-in for NVIDIA's library with the names that agents use: the devices are what a JSON file says.

On the path of an agent before the real one; FAKE_NVML names the file, which is read at every question:

    {"gpus": [{"uuid": "GPU-a", "model": "H100", "mem_mib": 81559, "used_mib": 600, "pids": {"71": 400},
               "xids": [79], "ecc": 0, "remap": [0, 0, 0, 0], "temperature": 40, "slowdown": 90}]}

`xids` are told once each, in order. `error`: what every question about the device is answered with
("GPU_IS_LOST"). What a device does not have is not supported.
FAKE_NVML_FREE_WITHIN_S hastens the verdict on a GPU that does not become free.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from agent.core import gpus as rules

NVML_ERROR_NOT_SUPPORTED, NVML_ERROR_NOT_FOUND, NVML_ERROR_TIMEOUT = 3, 6, 10
NVML_ERROR_GPU_IS_LOST, NVML_ERROR_GPU_NOT_FOUND, NVML_ERROR_UNKNOWN = 15, 28, 999
NVML_TEMPERATURE_GPU, NVML_TEMPERATURE_THRESHOLD_SLOWDOWN = 0, 1
NVML_MEMORY_ERROR_TYPE_UNCORRECTED, NVML_VOLATILE_ECC = 1, 0
nvmlEventTypeXidCriticalError = 8

_MIB = 1024 * 1024
_told: dict[str, int] = {}
_events: list[str] = []


class NVMLError(Exception):
    """As the library's: `value` is one of the NVML_ERROR_ numbers."""

    def __init__(self, value: int) -> None:
        super().__init__(f"NVML error {value}")
        self.value = value


def _gpus() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(Path(os.environ["FAKE_NVML"]).read_text())["gpus"]
    return found


def _gpu(handle: str) -> dict[str, Any]:
    found = next((gpu for gpu in _gpus() if gpu["uuid"] == handle), None)
    if found is None:
        raise NVMLError(NVML_ERROR_GPU_NOT_FOUND)
    if error := found.get("error"):
        raise NVMLError(globals()[f"NVML_ERROR_{error}"])
    return found


def _of(handle: str, name: str) -> Any:
    found = _gpu(handle)
    if name not in found:
        raise NVMLError(NVML_ERROR_NOT_SUPPORTED)
    return found[name]


def nvmlInit() -> None:
    """Fails where there is no such file, as without a driver."""
    if not Path(os.environ.get("FAKE_NVML", "")).is_file():
        raise NVMLError(NVML_ERROR_NOT_FOUND)
    if within_s := os.environ.get("FAKE_NVML_FREE_WITHIN_S"):
        rules.FREE_WITHIN_S = float(within_s)


def nvmlShutdown() -> None:
    _told.clear()
    _events.clear()


def nvmlDeviceGetCount() -> int:
    return len(_gpus())


def nvmlDeviceGetHandleByIndex(index: int) -> str:
    uuid: str = _gpus()[index]["uuid"]
    return str(_gpu(uuid)["uuid"])


def nvmlDeviceGetUUID(handle: str) -> str:
    return handle


def nvmlDeviceGetName(handle: str) -> str:
    return str(_of(handle, "model"))


def nvmlDeviceGetMemoryInfo(handle: str) -> SimpleNamespace:
    gpu = _gpu(handle)
    return SimpleNamespace(total=gpu["mem_mib"] * _MIB, used=gpu.get("used_mib", 600) * _MIB)


def nvmlDeviceGetUtilizationRates(handle: str) -> SimpleNamespace:
    return SimpleNamespace(gpu=_gpu(handle).get("busy", 0))


def nvmlDeviceGetComputeRunningProcesses(handle: str) -> list[SimpleNamespace]:
    return [
        SimpleNamespace(pid=int(pid), usedGpuMemory=mib * _MIB)
        for pid, mib in _gpu(handle).get("pids", {}).items()
    ]


def nvmlDeviceGetProcessUtilization(handle: str, since: int) -> list[SimpleNamespace]:
    raise NVMLError(NVML_ERROR_NOT_FOUND)


def nvmlDeviceGetTotalEccErrors(handle: str, kind: int, counter: int) -> int:
    return int(_of(handle, "ecc"))


def nvmlDeviceGetRemappedRows(handle: str) -> tuple[int, ...]:
    return tuple(_of(handle, "remap"))


def nvmlDeviceGetTemperature(handle: str, sensor: int) -> int:
    return int(_of(handle, "temperature"))


def nvmlDeviceGetTemperatureThreshold(handle: str, threshold: int) -> int:
    return int(_of(handle, "slowdown"))


def nvmlDeviceGetPowerUsage(handle: str) -> int:
    return int(_of(handle, "power_mw"))


def nvmlEventSetCreate() -> list[str]:
    return _events


def nvmlEventSetFree(events: list[str]) -> None:
    events.clear()


def nvmlDeviceRegisterEvents(handle: str, kinds: int, events: list[str]) -> None:
    if _gpu(handle).get("deaf"):
        raise NVMLError(NVML_ERROR_NOT_SUPPORTED)
    events.append(handle)
    _told[handle] = len(_gpu(handle).get("xids", []))  # what was before, nobody hears


def nvmlEventSetWait_v2(events: list[str], timeout_ms: int) -> SimpleNamespace:
    for gpu in _gpus():
        uuid, xids = gpu["uuid"], gpu.get("xids", [])
        if uuid in events and _told[uuid] < len(xids):
            _told[uuid] += 1
            return SimpleNamespace(device=uuid, eventType=8, eventData=xids[_told[uuid] - 1])
    raise NVMLError(NVML_ERROR_TIMEOUT)
