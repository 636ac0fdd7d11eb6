"""What is wrong with GPUs, and which of them may be given out: looks at them in, verdicts out. Pure.

A GPU is **free** for the next task once no process is on it that belongs to none of our tasks, and, where no
task has a part of it, its memory is back to what it was when nothing ran. Where that takes longer than
FREE_WITHIN_S somebody is told, and the GPU is no one's until it has come true.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from msgspec import Struct, field

from bus.gpus import UNCLEAN, GpuFault
from bus.units import format_size_mib

FREE_WITHIN_S = 20.0
"""From when a task waits for the GPU: to tear down a large process takes some seconds. After 30 s the
coordinator would hold it against the whole node that the task does not start."""

SLACK_MIB = 256.0
"""By so much the memory in use of an idle GPU may differ from one time to the next."""

SILENT_LOOKS = 3
"""In a row that the driver does not answer: one may meet a reset."""

HOT_LOOKS, COOL_LOOKS, COOLER_C = 3, 12, 5.0
"""In a row at the temperature at which it slows itself down; then in a row so much below it."""

XIDS_MAX = 16

PROGRAMS_FAULTS = frozenset({13, 31, 43, 45, 68, 109})
"""XIDs that a program brings about; NVIDIA's device plugin for Kubernetes leaves out the same."""

_TITLES = {
    48: "uncorrected error of its memory",
    62: "its microcontroller halted",
    63: "a row of its memory is replaced",
    64: "a row of its memory could not be replaced",
    74: "error of an NVLink",
    79: "it has fallen off the bus",
    92: "many corrected errors of its memory",
    94: "contained error of its memory",
    95: "uncontained error of its memory",
    119: "its system processor does not answer",
    120: "error of its system processor",
}


class Look(Struct, frozen=True, kw_only=True):
    """One GPU at one instant; None where its driver does not say.

    `xids`: codes since the look before. `ecc`: uncorrected errors since the driver was loaded.
    """

    uuid: str
    lost: bool = False
    answers: bool = True
    mem_mib: float = 0.0
    used_mib: float = 0.0
    pids: tuple[int, ...] = ()
    xids: tuple[int, ...] = ()
    ecc: int | None = None
    remap_pending: bool = False
    remap_failed: bool = False
    temperature_c: float | None = None
    slowdown_c: float | None = None


class Condition(Struct):
    """What is remembered of a GPU. `idle_mib`: the least that was in use while nothing ran on it."""

    last: Look
    idle_mib: float | None = None
    silent: int = 0
    hot: int = 0
    cool: int = 0
    is_hot: bool = False
    xids: list[tuple[int, int]] = field(default_factory=list)  # code, when
    wanted_s: float | None = None
    unclean: str = ""


Conditions = dict[str, Condition]


def judge(
    known: Conditions,
    looks: Iterable[Look],
    *,
    strangers: Collection[int],
    wanted: Collection[str],
    now_s: float,
) -> frozenset[str]:
    """Take looks in; the answer is which of these GPUs are free for a task.

    `strangers`: processes of this machine that belong to no task of ours. `wanted`: GPUs that tasks wait for.
    `now_s` is of the Unix epoch.
    """
    free = set()
    for look in looks:
        condition = known.setdefault(look.uuid, Condition(look))
        condition.last = look
        condition.silent = 0 if look.answers else condition.silent + 1
        condition.xids += [(code, int(now_s)) for code in look.xids if code not in PROGRAMS_FAULTS]
        del condition.xids[:-XIDS_MAX]
        if not look.answers or look.lost:
            continue
        _feel(condition, look)
        why_not = _occupied(condition, look, strangers)
        if not why_not:
            free.add(look.uuid)
            condition.wanted_s, condition.unclean = None, ""
        elif look.uuid in wanted:
            condition.wanted_s = now_s if condition.wanted_s is None else condition.wanted_s
            if now_s - condition.wanted_s >= FREE_WITHIN_S:
                condition.unclean = why_not
        elif condition.unclean:
            condition.unclean = why_not
        else:
            condition.wanted_s = None
    return frozenset(free)


def _feel(condition: Condition, look: Look) -> None:
    if look.temperature_c is None or look.slowdown_c is None:
        return
    condition.hot = condition.hot + 1 if look.temperature_c >= look.slowdown_c else 0
    condition.cool = condition.cool + 1 if look.temperature_c <= look.slowdown_c - COOLER_C else 0
    if condition.hot >= HOT_LOOKS:
        condition.is_hot = True
    elif condition.cool >= COOL_LOOKS:
        condition.is_hot = False


def _occupied(condition: Condition, look: Look, strangers: Collection[int]) -> str:
    """Why it is not free; "" if it is."""
    foreign = [pid for pid in look.pids if pid in strangers]
    if foreign:
        named = ", ".join(map(str, foreign[:3])) + (" …" if len(foreign) > 3 else "")
        return f"process {named} is on it and belongs to no task"
    if look.pids:
        return ""  # tasks share it: what they use is theirs
    reserve = max(1024.0, look.mem_mib / 20)  # what a driver may keep for itself, where nothing is known yet
    usual = reserve if condition.idle_mib is None else condition.idle_mib + SLACK_MIB
    if look.used_mib > usual:
        return f"{format_size_mib(round(look.used_mib))} of its memory are in use, and no process has them"
    condition.idle_mib = min(look.used_mib, usual if condition.idle_mib is None else condition.idle_mib)
    return ""


def faults(known: Conditions) -> tuple[GpuFault, ...]:
    """All that is wrong now, and what happened since this agent began."""
    found: list[GpuFault] = []
    for uuid, condition in known.items():
        look = condition.last
        said: list[tuple[str, str, str]] = []
        if look.lost:
            said.append(("lost", "lost", "its driver does not find it any more"))
        elif condition.silent >= SILENT_LOOKS:
            said.append(("silent", "silent", f"its driver did not answer {SILENT_LOOKS} times in a row"))
        said += [("xid", f"xid {code} {at}", _xid(code)) for code, at in condition.xids]
        if look.ecc:
            said.append(("ecc", f"ecc {look.ecc}", f"uncorrected errors of its memory: {look.ecc}"))
        if look.remap_failed:
            said.append(("memory", "memory failed", "a row of its memory could not be replaced"))
        elif look.remap_pending:
            said.append(("memory", "memory pending", "a row of its memory is replaced at its next reset"))
        if condition.is_hot:
            said.append(("hot", "hot", "so hot for a while that it slows itself down"))
        if condition.unclean:
            said.append((UNCLEAN, UNCLEAN, condition.unclean))
        found += [GpuFault(uuid=uuid, kind=kind, mark=mark, reason=why) for kind, mark, why in said]
    return tuple(found)


def _xid(code: int) -> str:
    title = _TITLES.get(code)
    return f"XID {code}: {title}" if title else f"XID {code}"
