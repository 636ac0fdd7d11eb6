"""How busy this machine is, and each task on it: one look at an instant, rates since the look before."""

from __future__ import annotations

import os
import re
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from agent.gpus import GpuDriver
from bus.messages import TaskUsage
from bus.values import AttemptRef, GpuUsage, Usage

_MIB = 1024 * 1024
_BIT_MEGA = 8 / 1e6
_TICKS_S = os.sysconf("SC_CLK_TCK")
_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / _MIB
_MONITOR = "conmon"
_PID_DIGITS_MAX = 10
_ID_DIGITS = 64
_HEX = frozenset("0123456789abcdef")
_GROUP_ID = re.compile(r"[0-9a-f]{64}")
_CPU_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "acpitz")


class _Process(NamedTuple):
    pid: int
    parent: int
    session: int
    cpu_s: float
    mem_mib: float


class _Counters(NamedTuple):
    at: float
    cpu_s: float
    received: int
    sent: int
    read: int
    written: int


class Look(NamedTuple):
    """What was found at one instant: the node as a whole, its tasks, and each of its GPUs."""

    node: Usage
    tasks: list[TaskUsage]
    gpus: list[GpuUsage]


class UsageSampler:
    """Not for two threads at once. The first look has no rates: it counts from when this was made.

    `tasks`: the folder of the tasks, where the guard keeps which process watches a container.
    """

    def __init__(self, driver: GpuDriver, scratch: Path, *, tasks: Path | None = None) -> None:
        self._driver = driver
        self._scratch = scratch
        self._folder = tasks
        self._last = _counters()
        self._task_cpu_s: dict[AttemptRef, float] = {}

    def sample(self, running: dict[AttemptRef, int]) -> Look:
        """`running`: each attempt by the pid that leads its session."""
        last, now = self._last, _counters()
        self._last = now
        span_s = max(now.at - last.at, 1e-3)
        gpus = self._driver.sample()
        gpu_temperatures = [gpu.temperature_c for gpu in gpus.values() if gpu.temperature_c is not None]
        memory = psutil.virtual_memory()
        node = Usage(
            cpu_millis=max(0.0, now.cpu_s - last.cpu_s) / span_s * 1000,
            mem_mib=(memory.total - memory.available) / _MIB,
            gpus=sum(gpu.utilisation for gpu in gpus.values()),
            gpu_mem_mib=sum(gpu.mem_used_mib for gpu in gpus.values()),
            storage_mib=self._storage_mib(),
            net_rx_mbps=_rate(last.received, now.received, span_s) * _BIT_MEGA,
            net_tx_mbps=_rate(last.sent, now.sent, span_s) * _BIT_MEGA,
            disk_read_mbps=_rate(last.read, now.read, span_s) * _BIT_MEGA,
            disk_write_mbps=_rate(last.written, now.written, span_s) * _BIT_MEGA,
            temperature_c=_temperature(),
            gpu_temperature_c=max(gpu_temperatures, default=None),
        )
        each = [
            GpuUsage(
                uuid=uuid,
                utilisation=gpu.utilisation,
                mem_mib=gpu.mem_used_mib,
                temperature_c=gpu.temperature_c,
                power_w=gpu.power_w,
            )
            for uuid, gpu in gpus.items()
        ]
        return Look(node, self._tasks(running, span_s) if running else [], each)

    def _storage_mib(self) -> float:
        try:
            return float(psutil.disk_usage(str(self._scratch)).used) / _MIB
        except OSError:
            return 0.0

    def _tasks(self, running: dict[AttemptRef, int], span_s: float) -> list[TaskUsage]:
        watched = {attempt: monitor_of(self._folder, attempt) for attempt in running}
        boxed = _in_groups({attempt: container_of(self._folder, attempt) for attempt in running})
        trees = _trees({*running.values(), *watched.values()} - {0})
        on_gpus = self._driver.processes()
        found: list[TaskUsage] = []
        cpu_of: dict[AttemptRef, float] = {}
        for attempt, pid in running.items():
            members = trees.get(pid)
            if monitor := watched[attempt]:  # what runs the container is no part of it
                members = [process for process in trees.get(monitor, ()) if process.pid != monitor]
            members = boxed.get(attempt, members)
            if not members:
                continue  # it ended between two looks
            cpu_s = cpu_of[attempt] = sum(process.cpu_s for process in members)
            # A child that was reaped takes its share of the sum along: never below zero.
            spent_s = max(0.0, cpu_s - self._task_cpu_s.get(attempt, 0.0))
            usage = Usage(
                cpu_millis=spent_s / span_s * 1000,
                mem_mib=sum(process.mem_mib for process in members),
                gpus=sum(on_gpus[each.pid].utilisation for each in members if each.pid in on_gpus),
                gpu_mem_mib=sum(on_gpus[each.pid].mem_used_mib for each in members if each.pid in on_gpus),
            )
            found.append(TaskUsage(attempt=attempt, usage=usage))
        self._task_cpu_s = cpu_of
        return found


def _rate(before: int, after: int, span_s: float) -> float:
    return max(0, after - before) / span_s


def _counters() -> _Counters:
    times = psutil.cpu_times()
    busy_s = sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)
    network = [count for name, count in psutil.net_io_counters(pernic=True).items() if name != "lo"]
    disk = psutil.disk_io_counters()
    return _Counters(
        time.monotonic(),
        busy_s,
        sum(count.bytes_recv for count in network),
        sum(count.bytes_sent for count in network),
        0 if disk is None else disk.read_bytes,
        0 if disk is None else disk.write_bytes,
    )


def _temperature() -> float | None:
    """The hottest sensor of the processor, or of anything if that is all there is."""
    with suppress(OSError, AttributeError):
        sensors = psutil.sensors_temperatures()
        chosen = next((sensors[name] for name in _CPU_SENSORS if sensors.get(name)), None)
        everything = chosen or [entry for entries in sensors.values() for entry in entries]
        return max((float(entry.current) for entry in everything), default=None)
    return None


def _trees(leaders: set[int]) -> dict[int, list[_Process]]:
    """All processes by the task's leader whose session or descendants they belong to."""
    processes = {process.pid: process for process in _processes()}
    trees: dict[int, list[_Process]] = defaultdict(list)
    for process in processes.values():
        leader = _leader(process, processes, leaders)
        if leader is not None:
            trees[leader].append(process)
    return trees


def monitor_of(tasks: Path | None, attempt: AttemptRef) -> int:
    """The pid of what watches the container of an attempt, whose descendants are in it; 0: there is none.

    The guard notes it below `tasks`. Tasks may write there, too: no link is followed, nothing waited for.
    """
    text = _note_of(tasks, attempt, "monitor", _PID_DIGITS_MAX)
    try:
        pid = int(text) if text.isdigit() and len(text) <= _PID_DIGITS_MAX else 0
        return pid if pid and Path(f"/proc/{pid}/comm").read_text().strip() == _MONITOR else 0
    except OSError:
        return 0


def container_of(tasks: Path | None, attempt: AttemptRef) -> str:
    """The id of the container that a daemon runs for an attempt; "" if it runs none."""
    text = _note_of(tasks, attempt, "pid", _ID_DIGITS)
    found = text.decode(errors="replace")
    return found if len(found) == _ID_DIGITS and set(found) <= _HEX else ""


def _note_of(tasks: Path | None, attempt: AttemptRef, kind: str, most: int) -> bytes:
    """At most a byte more than `most` of what is noted of its container."""
    if tasks is None:
        return b""
    path = tasks / "containers" / f"{attempt.job}.{attempt.index}.{attempt.fence}.{kind}"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            return (file.read(most + 1) or b"").strip()
    except OSError:
        return b""


def _in_groups(ids: dict[AttemptRef, str]) -> dict[AttemptRef, list[_Process]]:
    """The processes of containers that are no descendants of ours, by the names of their control groups."""
    attempts = {text: attempt for attempt, text in ids.items() if text}
    found: dict[AttemptRef, list[_Process]] = {attempt: [] for attempt in attempts.values()}
    for process in _processes() if attempts else ():
        with suppress(OSError):
            words = _GROUP_ID.findall(Path(f"/proc/{process.pid}/cgroup").read_text())
            if own := next((attempts[word] for word in words if word in attempts), None):
                found[own].append(process)
    return found


def members(leaders: set[int]) -> frozenset[int]:
    """All processes of the tasks that these lead."""
    return frozenset([process.pid for tree in _trees(leaders).values() for process in tree])


def _leader(process: _Process, processes: dict[int, _Process], leaders: set[int]) -> int | None:
    seen: set[int] = set()
    current: _Process | None = process
    while current is not None and current.pid not in seen:
        if current.pid in leaders:
            return current.pid
        if current.session in leaders:
            return current.session
        seen.add(current.pid)
        current = processes.get(current.parent)
    return None


def _processes() -> list[_Process]:
    """Straight from /proc: one read a process, a tenth of what asking by the piece would cost."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            stat = Path(f"/proc/{name}/stat").read_bytes()
        except OSError:
            continue
        # The command's name may hold spaces and brackets: fields are counted from its last bracket.
        fields = stat[stat.rindex(b")") + 2 :].split()
        ticks = sum(map(int, fields[11:15]))  # own and reaped children's, user and system
        found.append(
            _Process(int(name), int(fields[1]), int(fields[3]), ticks / _TICKS_S, int(fields[21]) * _PAGE_MIB)
        )
    return found
