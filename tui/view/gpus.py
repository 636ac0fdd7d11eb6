"""GPUs one by one, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bus.units import format_gpu_millis, format_size_mib
from tui.view.amounts import NONE, age
from tui.view.safe import safe_line
from tui.view.table import Column

if TYPE_CHECKING:
    from bus.gpus import Gpu, Quarantine


COLUMNS = (
    Column("NODE"),
    Column("GPU", right=True),
    Column("STATE", tinted=True),
    Column("TAKEN", right=True),
    Column("MODEL", flexible=True),
    Column("MEMORY", right=True),
    Column("TASKS", flexible=True),
    Column("SINCE", right=True),
    Column("WHY", flexible=True),
    Column("UUID", flexible=True),
)
TONES = {"quarantined": "bad", "not offered": "idle", "free": "", "shared": "ok", "taken": "ok"}


class GpuCells(NamedTuple):
    """What stands in a line about one, as yet unsafe; in the order of COLUMNS."""

    node: str
    place: str
    state: str
    taken: str
    model: str
    memory: str
    tasks: str
    since: str
    why: str
    uuid: str


def gpu_cells(gpu: Gpu, *, now_s: float) -> GpuCells:
    """In words."""
    return GpuCells(
        gpu.node,
        NONE if gpu.index is None else str(gpu.index),
        gpu.state,
        format_gpu_millis(gpu.taken_milli) if gpu.taken_milli else NONE,
        gpu.model or NONE,
        format_size_mib(gpu.mem_mib) if gpu.mem_mib else NONE,
        " ".join(gpu.tasks) or NONE,
        NONE if gpu.since is None else age(now_s - gpu.since),
        why(gpu.kind, gpu.reason, by=gpu.by) or NONE,
        gpu.uuid,
    )


def gpu_row(gpu: Gpu, *, now_s: float) -> tuple[str, ...]:
    """In the order of COLUMNS."""
    return tuple(map(safe_line, gpu_cells(gpu, now_s=now_s)))


def gpu_tone(gpu: Gpu) -> str:
    return TONES.get(gpu.state, "")


def gpu_name(gpu: Gpu) -> str:
    """As `corral gpu release` takes it."""
    return f"{gpu.node} {gpu.uuid if gpu.index is None else gpu.index}"


def gpu_line(gpu: Gpu) -> str:
    """What became of it when it was steered."""
    said = why(gpu.kind, gpu.reason, by=gpu.by)
    tasks = f"; tasks that have it: {' '.join(gpu.tasks)}" if gpu.tasks else ""
    return safe_line(f"{gpu_name(gpu)}: {gpu.state}" + (f" ({said})" if said else "") + tasks)


def why(kind: str, reason: str, *, by: str) -> str:
    """The kind of a quarantine, its reason, and who did it: "xid: XID 79 …", "manual: fan (ann)"."""
    said = f"{kind}: {reason}" if reason else kind
    return f"{said} ({by})" if by else said


def quarantine_text(held: Quarantine, *, now_s: float) -> str:
    """Since when a GPU is out, and why."""
    return f"quarantined {age(now_s - held.at)} ago: {why(held.kind, held.reason, by=held.by)}"
