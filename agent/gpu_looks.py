"""The health of GPUs as NVIDIA's management library tells it."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from agent.core.gpus import Look

_log = logging.getLogger(__name__)

_MIB = 1024 * 1024
_EVENTS_MAX = 64
"""At one look; what is more waits for the next."""

T = TypeVar("T")


class NvmlLooks:
    """Asks `nvml`, which is open, about `handles` (by UUID); what a device does not know is left out."""

    def __init__(self, nvml: Any, handles: Mapping[str, Any]) -> None:
        self._nvml = nvml
        self._handles = handles
        self._events: Any = None
        self._listens: set[str] = set()
        self._xids: dict[str, list[int]] = defaultdict(list)

    def look(self) -> tuple[Look, ...]:
        """All of them now."""
        self._listen()
        self._hear()
        return tuple([self._one(uuid, handle) for uuid, handle in self._handles.items()])

    def close(self) -> None:
        """Twice is fine."""
        if self._events is not None:
            with suppress(self._nvml.NVMLError):
                self._nvml.nvmlEventSetFree(self._events)
        self._events = None

    def _listen(self) -> None:
        """Have the driver tell of XIDs from now on; a device that cannot is asked once."""
        fresh = self._handles.keys() - self._listens
        if not fresh:
            return
        self._listens |= fresh
        try:
            if self._events is None:
                self._events = self._nvml.nvmlEventSetCreate()
        except self._nvml.NVMLError as error:
            _log.warning("XIDs are not heard of: %s", error)
            return
        for uuid in sorted(fresh):
            try:
                kind = self._nvml.nvmlEventTypeXidCriticalError
                self._nvml.nvmlDeviceRegisterEvents(self._handles[uuid], kind, self._events)
            except self._nvml.NVMLError as error:
                _log.warning("XIDs of %s are not heard of: %s", uuid, error)

    def _hear(self) -> None:
        """What happened since the last time, to whom."""
        if self._events is None:
            return
        for _ in range(_EVENTS_MAX):
            try:
                event = self._nvml.nvmlEventSetWait_v2(self._events, 0)
                uuid = self._nvml.nvmlDeviceGetUUID(event.device)
            except self._nvml.NVMLError as error:
                if error.value != self._nvml.NVML_ERROR_TIMEOUT:  # that only means that there is none
                    _log.warning("XIDs could not be asked for: %s", error)
                return
            name = uuid.decode() if isinstance(uuid, bytes) else uuid
            _log.warning("XID %d on %s", event.eventData, name)
            self._xids[name].append(int(event.eventData))

    def _one(self, uuid: str, handle: Any) -> Look:
        nvml, xids = self._nvml, tuple(self._xids.pop(uuid, ()))
        try:
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            processes = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
        except nvml.NVMLError as error:
            lost = error.value in (nvml.NVML_ERROR_GPU_IS_LOST, nvml.NVML_ERROR_GPU_NOT_FOUND)
            return Look(uuid=uuid, lost=lost, answers=lost, xids=xids)
        uncorrected, since_load = nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC
        rows = self._ask(lambda: nvml.nvmlDeviceGetRemappedRows(handle))
        slowdown = nvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN
        return Look(
            uuid=uuid,
            mem_mib=memory.total / _MIB,
            used_mib=memory.used / _MIB,
            pids=tuple([each.pid for each in processes]),
            xids=xids,
            ecc=self._ask(lambda: nvml.nvmlDeviceGetTotalEccErrors(handle, uncorrected, since_load)),
            remap_pending=rows is not None and bool(rows[2]),
            remap_failed=rows is not None and bool(rows[3]),
            temperature_c=self._ask(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
            slowdown_c=self._ask(lambda: nvml.nvmlDeviceGetTemperatureThreshold(handle, slowdown)),
        )

    def _ask(self, question: Callable[[], T]) -> T | None:
        try:
            return question()
        except self._nvml.NVMLError:
            return None  # most devices know only some of these
