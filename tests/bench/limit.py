"""The limit: /bin/true spawned and reaped, two at a time, by nothing but posix_spawn, pidfd and epoll.

Output goes to a file that is there already: creating one a task would lower the limit, and flatter
the ratios to it. Nothing is stored or told, so no cluster on this
machine starts processes from Python faster; every rate of tasks is quoted as a ratio to it.
"""

from __future__ import annotations

import os
import select
import statistics
import tempfile
import time
from pathlib import Path

from tests.bench.figures import Figure, Sizes

SLOTS = 2
NAME = "limit.pidfd"
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


def measure(sizes: Sizes) -> Figure:
    """Tasks per second, the median of the repeats."""
    rates = tuple(rate(sizes.limit_tasks) for _ in range(sizes.repeats))
    return Figure(
        name=NAME, value=statistics.median(rates), unit="tasks/s", samples=rates, note="posix_spawn + pidfd"
    )


def rate(tasks: int) -> float:
    """Tasks per second of one run."""
    with tempfile.TemporaryDirectory(prefix="corral-bench-") as folder:
        return tasks / _seconds(Path(folder), tasks)


def _seconds(folder: Path, tasks: int) -> float:
    poll = select.epoll()
    running: dict[int, int] = {}
    started = 0
    begin = time.perf_counter()
    while started < tasks or running:
        while started < tasks and len(running) < SLOTS:
            pid = _spawn(folder / f"{started % SLOTS}.out")
            pidfd = os.pidfd_open(pid)
            poll.register(pidfd, select.EPOLLIN)
            running[pidfd] = pid
            started += 1
        for pidfd, _ in poll.poll():
            _, status = os.waitpid(running.pop(pidfd), 0)
            assert status == 0, f"/bin/true ended with {status}"
            poll.unregister(pidfd)
            os.close(pidfd)
    seconds = time.perf_counter() - begin
    poll.close()
    return seconds


def _spawn(output: Path) -> int:
    return os.posix_spawn(
        "/bin/true",
        ("true",),
        {"PATH": "/usr/bin:/bin"},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(output), _CREATE, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
