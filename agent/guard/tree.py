"""Everything that a task started: its process group, its descendants, and what detached itself.

A process that left its parents becomes the guard's child (it is a subreaper) and is recognised by the
environment variables that every process of a task inherits.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

from agent.guard.wire import RANK_STRIDE, Key

MARKER = "CORRAL_GUARD"
"""Environment variable that names the guard's folder: how the next guard finds a dead one's tasks."""

KILL = signal.SIGKILL

CAUGHT = (
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGCHLD,
)
"""Signals of which the guard has its own notion, and what it starts has not."""

_ROUNDS_MAX = 20
_ID_DIGITS = 64
_HEX = frozenset("0123456789abcdef")
_ENVIRON_LIMIT = 1024 * 1024


class Process(NamedTuple):
    pid: int
    parent: int
    group: int
    session: int
    zombie: bool


def processes() -> list[Process]:
    """All processes of this machine that can be seen."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                stat = file.read()
        except OSError:
            continue  # it has just ended
        # The command's name may hold spaces and brackets: fields are counted from its last bracket.
        fields = stat[stat.rindex(b")") + 2 :].split()
        found.append(
            Process(int(name), int(fields[1]), int(fields[2]), int(fields[3]), fields[0] in (b"Z", b"X"))
        )
    return found


def environment(pid: int) -> dict[str, str]:
    """What `pid` was started with; empty if it may not be read."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            raw = file.read(_ENVIRON_LIMIT)
    except OSError:
        return {}
    pairs = (entry.partition(b"=") for entry in raw.split(b"\0"))
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


def key_of(pid: int) -> Key | None:
    """The attempt that `pid` belongs to, by its environment."""
    env = environment(pid)
    try:
        job, _, index = env["CORRAL_TASK_ID"].partition(".")
        place = int(index) + int(env.get("CORRAL_RANK", "0")) * RANK_STRIDE
        return int(job), place, int(env["CORRAL_ATTEMPT"])
    except (KeyError, ValueError):
        return None


def start_ticks(pid: int) -> int:
    """When this process started, in the kernel's ticks since the boot; 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
    except OSError:
        return 0
    return int(stat[stat.rindex(b")") + 2 :].split()[19])


def own_children() -> list[int]:
    """Pids of our children, the adopted ones included."""
    return children(os.getpid())


def is_ended_by(pid: int, number: signal.Signals) -> bool:
    """Whether `pid` neither catches, ignores nor blocks a signal whose meaning is to end a process."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return False
    masks = [int(line.split()[1], 16) for line in lines if line.startswith((b"SigBlk", b"SigIgn", b"SigCgt"))]
    return not any(mask >> (number - 1) & 1 for mask in masks)


def executable(pid: int) -> str:
    """What names the program that it runs now; "" if it is gone, or may not be looked at."""
    try:
        found = os.stat(f"/proc/{pid}/exe")
    except OSError:
        return ""
    return f"{found.st_dev}:{found.st_ino}"


def command_name(pid: int) -> str:
    """What it calls itself; "" if it is gone."""
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:
            return file.read().strip().decode(errors="replace")
    except OSError:
        return ""


def children(pid: int) -> list[int]:
    """Pids of the children of `pid`."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            return [int(child) for child in file.read().split()]
    except OSError:  # a kernel built without this file
        return [process.pid for process in processes() if process.parent == pid]


def in_group(container: str) -> set[int]:
    """Who began the container of that id, by the name of its control group; empty for what is no id."""
    if len(container) != _ID_DIGITS or not set(container) <= _HEX:
        return set()
    inside = set()
    for process in processes():
        with suppress(OSError), open(f"/proc/{process.pid}/cgroup", "rb") as file:
            if not process.zombie and container.encode() in file.read():
                inside.add(process)
    pids = {process.pid for process in inside}
    return {process.pid for process in inside if process.parent not in pids}


def members(roots: set[int], among: list[Process]) -> set[int]:
    """`roots`, their groups and sessions, and all descendants; zombies left out."""
    tree = set(roots)
    grown = True
    while grown:
        grown = False
        for process in among:
            if process.pid not in tree and (
                process.parent in tree or process.group in roots or process.session in roots
            ):
                tree.add(process.pid)
                grown = True
    return tree - {process.pid for process in among if process.zombie}


def signal_tree(roots: set[int], *numbers: signal.Signals) -> int:
    """Send these signals to the trees of `roots`, in their order; returns to how many processes.

    KILL is repeated until nobody is left, because members may fork while we look; a group is
    reached at once and atomically, so only what left the group needs more than one round.
    """
    ours = os.getpid()
    reached = 0
    for _ in range(_ROUNDS_MAX if signal.SIGKILL in numbers else 1):
        for root in roots:
            for number in numbers:
                with suppress(OSError):
                    os.killpg(root, number)
        tree = members(roots, processes()) - {ours}
        if not tree:
            break
        reached = max(reached, len(tree))
        for pid in tree:
            for number in numbers:
                with suppress(OSError):
                    os.kill(pid, number)
    return reached


def stop_tree(roots: Callable[[], set[int]]) -> int:
    """Stop everything that belongs to `roots` (asked again each round); returns how many processes.

    Done when a whole look finds nobody new: who was stopped forks no more, so every round leaves fewer
    that could have a child behind our back.
    """
    ours = os.getpid()
    stopped: set[int] = set()
    for _ in range(_ROUNDS_MAX):
        found = roots()
        for root in found:
            with suppress(OSError):
                os.killpg(root, signal.SIGSTOP)
        fresh = members(found, processes()) - stopped - {ours}
        if not fresh:
            break
        for pid in fresh:
            with suppress(OSError):
                os.kill(pid, signal.SIGSTOP)
        stopped |= fresh
    return len(stopped)


def count(folder: str, leaders: Mapping[int, Key]) -> tuple[Counter[Key], list[int]]:
    """How many processes each running attempt has, and who bears our mark and belongs to none of them."""
    alive = {process.pid: process for process in processes() if not process.zombie}
    counted: Counter[Key] = Counter()
    strays: list[int] = []
    running = set(leaders.values())
    for process in alive.values():
        key = _owner(process, alive, leaders)
        if key is None and environment(process.pid).get(MARKER) == folder:
            key = key_of(process.pid)
            if key not in running:
                strays.append(process.pid)
                continue
        if key is not None:
            counted[key] += 1
    return counted, strays


def _owner(process: Process, alive: Mapping[int, Process], leaders: Mapping[int, Key]) -> Key | None:
    current: Process | None = process
    seen: set[int] = set()
    while current is not None and current.pid not in seen:
        for pid in (current.pid, current.session, current.group):
            if pid in leaders:
                return leaders[pid]
        seen.add(current.pid)
        current = alive.get(current.parent)
    return None


def end_by_start(leftovers: Iterable[tuple[int, int]]) -> int:
    """Kill the trees of these leaders, each named by pid and start; returns how many were still there.

    A task of a dead guard may have emptied its environment, and a tool never had our mark in it.
    """
    roots = {pid for pid, ticks in leftovers if ticks and start_ticks(pid) == ticks}
    if roots:
        signal_tree(roots, signal.SIGKILL)
    return len(roots)


def end_leftovers(folder: str) -> int:
    """Kill what a dead guard of `folder` left running; returns how many processes there were."""
    ours = os.getpid()
    ended = 0
    for _ in range(_ROUNDS_MAX):
        marked = {
            process.pid
            for process in processes()
            if process.pid != ours and not process.zombie and environment(process.pid).get(MARKER) == folder
        }
        if not marked:
            break
        ended += len(marked)
        for pid in marked:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
    return ended
