"""`corral top --demo` as a process on a terminal: when it paints, when it knows, what leaving it on costs."""

from __future__ import annotations

import sys
import time

import psutil

from tests.bench.figures import Figure, Sizes, percentile
from tests.tui.pty_session import on_pty

COMMAND = [sys.executable, "-P", "-m", "tui", "top", "--demo"]
SIZE = (120, 40)


def measure(sizes: Sizes) -> list[Figure]:
    """First paint and first data of some starts; of the last, the share of a core at one change a second."""
    paints, data = [], []
    idle: list[Figure] = []
    for run in range(sizes.command_runs):
        begin = time.perf_counter()
        with on_pty(COMMAND, size=SIZE) as terminal:
            terminal.wait_for("corral")
            paints.append((time.perf_counter() - begin) * 1000)
            terminal.wait_for("LIVE", "running")
            data.append((time.perf_counter() - begin) * 1000)
            if run == sizes.command_runs - 1:
                process = psutil.Process(terminal.process.pid)
                terminal.read_for(sizes.rest_s)
                before, since = _cpu_s(process), time.perf_counter()
                terminal.read_for(sizes.console_s)
                share = 100 * (_cpu_s(process) - before) / (time.perf_counter() - since)
                resident_mib = process.memory_info().rss / 2**20
                idle = [
                    Figure(name="console.idle", value=share, unit="% of a core", note="a change a second"),
                    Figure(name="console.memory", value=resident_mib, unit="MiB", note="with its cluster"),
                ]
    return [
        _spread("console.first_paint", paints),
        _spread("console.first_data", data),
        *idle,
    ]


def _spread(name: str, samples: list[float]) -> Figure:
    note = f"of {len(samples)} starts; the least {min(samples):.0f}"
    return Figure(name=name, value=percentile(samples, 50), unit="ms", note=note, samples=tuple(samples))


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
