"""What this machine has: processor, memory, disks, GPUs, interfaces, runtimes, and what it can enforce."""

from __future__ import annotations

import logging
import os
import platform
import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import psutil

from agent.config import Declared
from agent.core.gpus import Look
from agent.gpu_looks import NvmlLooks
from agent.gpus import GpuProcess, GpuSample
from agent.net_offer import NetOffer
from bus.declared_pools import PoolDeclared
from bus.values import DiskInfo, GpuInfo, InterfaceInfo, Inventory, Resources

_log = logging.getLogger(__name__)

_MIB = 1024 * 1024
_PSEUDO_FILESYSTEMS = frozenset({"squashfs", "overlay", "tmpfs", "devtmpfs", "iso9660"})
_RUNTIMES = ("docker", "podman", "apptainer", "singularity", "nerdctl", "runc", "crun")
_VERSION_TIMEOUT_S = 3.0


class NvmlGpus:
    """GPUs as NVIDIA's management library reports them; without driver or library there are none."""

    def __init__(self) -> None:
        self._nvml: Any = None  # the library has no types
        self._handles: dict[str, Any] = {}
        self._looks: NvmlLooks | None = None
        self._seen: dict[str, int] = {}  # by UUID: the newest sample of a process, as the library dates it
        try:
            import pynvml
        except ImportError:
            return
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            _log.info("no GPUs: %s", error)
            return
        self._nvml = pynvml
        self._looks = NvmlLooks(pynvml, self._handles)

    def gpus(self) -> tuple[GpuInfo, ...]:
        if self._nvml is None:
            return ()
        found = []
        nvml = self._nvml
        for number in range(nvml.nvmlDeviceGetCount()):
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(number)
                uuid = _text(nvml.nvmlDeviceGetUUID(handle))
                model = _text(nvml.nvmlDeviceGetName(handle))
                mem_mib = nvml.nvmlDeviceGetMemoryInfo(handle).total // _MIB
            except nvml.NVMLError as error:
                _log.warning("GPU %d is left out: %s", number, error)
                continue
            self._handles[uuid] = handle
            found.append(GpuInfo(uuid=uuid, model=model, mem_mib=mem_mib))
        return tuple(found)

    def sample(self) -> dict[str, GpuSample]:
        samples = {}
        for uuid, handle in self._handles.items():
            with suppress(self._nvml.NVMLError):
                rates = self._nvml.nvmlDeviceGetUtilizationRates(handle)
                memory = self._nvml.nvmlDeviceGetMemoryInfo(handle)
                samples[uuid] = GpuSample(
                    rates.gpu / 100, memory.used / _MIB, self._temperature(handle), self._power(handle)
                )
        return samples

    def processes(self) -> dict[int, GpuProcess]:
        found: dict[int, GpuProcess] = {}
        for uuid, handle in self._handles.items():
            busy = self._busy(uuid, handle)
            with suppress(self._nvml.NVMLError):
                for each in self._nvml.nvmlDeviceGetComputeRunningProcesses(handle):
                    before = found.get(each.pid, GpuProcess(0.0, 0.0))
                    found[each.pid] = GpuProcess(
                        before.utilisation + busy.get(each.pid, 0.0),
                        before.mem_used_mib + (each.usedGpuMemory or 0) / _MIB,
                    )
        return found

    def look(self) -> tuple[Look, ...]:
        return () if self._looks is None else self._looks.look()

    def _busy(self, uuid: str, handle: Any) -> dict[int, float]:
        """The newest utilisation of each process since the last look; the library has none of idle ones."""
        newest: dict[int, tuple[int, float]] = {}
        with suppress(self._nvml.NVMLError):
            for each in self._nvml.nvmlDeviceGetProcessUtilization(handle, self._seen.get(uuid, 0)):
                newest[each.pid] = max(newest.get(each.pid, (0, 0.0)), (each.timeStamp, each.smUtil / 100))
        if newest:
            self._seen[uuid] = max(at for at, _ in newest.values())
        return {pid: busy for pid, (_, busy) in newest.items()}

    def close(self) -> None:
        if self._nvml is not None and self._looks is not None:
            self._looks.close()
            with suppress(self._nvml.NVMLError):
                self._nvml.nvmlShutdown()
        self._nvml, self._handles, self._looks = None, {}, None

    def _temperature(self, handle: Any) -> float | None:
        try:
            return float(self._nvml.nvmlDeviceGetTemperature(handle, self._nvml.NVML_TEMPERATURE_GPU))
        except self._nvml.NVMLError:
            return None

    def _power(self, handle: Any) -> float | None:
        """In watts; the library has thousandths."""
        try:
            return float(self._nvml.nvmlDeviceGetPowerUsage(handle)) / 1000
        except self._nvml.NVMLError:
            return None


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def inventory(
    gpus: tuple[GpuInfo, ...],
    interfaces: tuple[InterfaceInfo, ...],
    *,
    pools: tuple[PoolDeclared, ...] = (),
) -> Inventory:
    """Everything about this machine that changes seldom. Takes up to a few seconds, for the runtimes."""
    return Inventory(
        hostname=socket.gethostname(),
        ip=_address(),
        architecture=platform.machine(),
        os_version=_os_version(),
        kernel_version=platform.release(),
        cpu_model=_cpu_model(),
        cpu_cores=_cores(),
        mem_mib=psutil.virtual_memory().total // _MIB,
        gpus=gpus,
        interfaces=interfaces,
        disks=disks(),
        runtimes=_runtimes(),
        isolation=_isolation(),
        pools=pools,
    )


def with_sharing(found: Inventory, *, shareable: bool) -> Inventory:
    """The inventory with GPUs that several tasks may share, if this node's guard can keep them apart."""
    gpus = tuple(msgspec.structs.replace(gpu, shareable=shareable) for gpu in found.gpus)
    return msgspec.structs.replace(found, gpus=gpus)


def capacity(declared: Declared, found: Inventory, scratch: Path) -> tuple[Resources, tuple[str, ...]]:
    """What this node offers, and the UUIDs of the GPUs among it."""
    healthy = [gpu.uuid for gpu in found.gpus if gpu.healthy]
    gpus = healthy if declared.gpus is None else healthy[: declared.gpus]
    return (
        Resources(
            cpu_millis=_or(declared.cpu_millis, found.cpu_cores * 1000),
            mem_mib=_or(declared.mem_mib, psutil.virtual_memory().total // _MIB),
            gpus=len(gpus),
            storage_mib=_or(declared.storage_mib, shutil.disk_usage(scratch).free // _MIB),
            net_mbps=NetOffer(declared.net_mbps).of(found.interfaces),
        ),
        tuple(gpus),
    )


def _or(declared: int | None, found: int) -> int:
    return found if declared is None else declared


def _cores() -> int:
    """Those that we may use: a container or `taskset` may leave fewer than the machine has."""
    return len(os.sched_getaffinity(0))


def _address() -> str:
    """The address from which others would see us; nothing is sent to find out."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])
    return "127.0.0.1"


def _os_version() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _cpu_model() -> str:
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "Model", "Hardware"):
                return value.strip()
    return platform.processor() or platform.machine()


def disks() -> tuple[DiskInfo, ...]:
    """Real filesystems, each device once."""
    found: dict[str, DiskInfo] = {}
    for part in psutil.disk_partitions(all=False):
        if part.fstype in _PSEUDO_FILESYSTEMS or part.device in found:
            continue
        with suppress(OSError):
            usage = psutil.disk_usage(part.mountpoint)
            found[part.device] = DiskInfo(
                mount=part.mountpoint,
                filesystem=part.fstype,
                total_mib=usage.total // _MIB,
                free_mib=usage.free // _MIB,
            )
    return tuple(found.values())


def _runtimes() -> dict[str, str]:
    found = {}
    for name in _RUNTIMES:
        path = shutil.which(name)
        if path is None:
            continue
        try:
            answer = subprocess.run(
                [path, "--version"],
                capture_output=True, text=True, errors="replace", timeout=_VERSION_TIMEOUT_S, check=True,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError):
            continue
        found[name] = answer.stdout.strip().partition("\n")[0]
    return found


def _isolation() -> dict[str, str]:
    """What could be enforced here, level by level."""
    levels = {"account": "dropped" if os.geteuid() == 0 else "own"}
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        levels["cgroup"] = "v2"
    elif Path("/sys/fs/cgroup").is_dir() and any(Path("/sys/fs/cgroup").iterdir()):
        levels["cgroup"] = "v1"
    spaces = sorted(
        entry.name for entry in Path("/proc/self/ns").iterdir() if "for_children" not in entry.name
    )
    levels["namespaces"] = ",".join(spaces)
    with suppress(OSError):
        status = Path("/proc/self/status").read_text()
        levels["seccomp"] = "yes" if "Seccomp_filters" in status or "Seccomp:" in status else "no"
    return levels
