"""Memory and processor time of processes by pid, and the end of all that belong to one folder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from bus.supervision import identify

MIB = 1024 * 1024
END_TIMEOUT_S = 10.0
POLL_S = 0.02


def rss_bytes(pid: int) -> int:
    """Resident memory of one process."""
    return int(psutil.Process(pid).memory_info().rss)


def cpu_s(pid: int, *, family: bool = False) -> float:
    """Processor seconds, user and system, of one process; `family`: and its living descendants."""
    process = psutil.Process(pid)
    return sum(map(_spent_s, _family(process) if family else (process,)))


def of_folder(folder: Path, *words: str) -> list[psutil.Process]:
    """The processes whose command line names something below `folder` and holds all of `words`."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if any(str(folder) in word for word in line) and all(word in line for word in words):
            found.append(process)
    return found


def end_all(folder: Path) -> None:
    """Kill every process of `folder` and its descendants; until none runs, or a bound has passed."""
    victims = {process for owner in of_folder(folder) for process in _family(owner)}
    for process in victims:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    deadline = time.monotonic() + END_TIMEOUT_S
    # what is dead but not yet taken by its parent counts as ended: the parent may not be ours
    while any(identify(process.pid) for process in victims) and time.monotonic() < deadline:
        time.sleep(POLL_S)


def _family(process: psutil.Process) -> Iterator[psutil.Process]:
    yield process
    try:
        yield from process.children(recursive=True)
    except psutil.NoSuchProcess:
        return


def _spent_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)
