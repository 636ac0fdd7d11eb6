"""Gangs as trainings, in words."""

from __future__ import annotations

from bus.results import TaskResult
from bus.training import GangProgress, GangRanks, Rank, RankUsage
from bus.values import TaskState
from tui.view.amounts import NONE, age, duration, mebibytes
from tui.view.columns import exit_word
from tui.view.descriptions import faults_text
from tui.view.safe import safe_line
from tui.view.table import Column

METRICS_SHOWN = 3

GANG_COLUMNS = (
    Column("TASK"),
    Column("NAME", flexible=True),
    Column("STATE", tinted=True),
    Column("TRY", right=True),
    Column("RANKS", right=True),
    Column("DONE", right=True),
    Column("NODES", right=True),
    Column("PROGRESS", right=True),
    Column("STEP", right=True),
    Column("SAVED", right=True),
    Column("SAVING"),
    Column("METRICS", flexible=True),
    Column("SAYS", flexible=True),
)
RANK_COLUMNS = (
    Column("RANK", right=True),
    Column("NODE", flexible=True),
    Column("STATE", tinted=True),
    Column("RAN", right=True),
    Column("EXIT"),
    Column("CPU", right=True),
    Column("MEMORY", right=True),
    Column("GPUS", right=True),
    Column("GPU MEMORY", right=True),
    Column("CHECKPOINT", flexible=True),
    Column("STEP", right=True),
    Column("METRICS", flexible=True),
    Column("SAYS", flexible=True),
    Column("WHY", flexible=True),
)
_OVER = frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.TIMEOUT, TaskState.CANCELLED})
_TONES = {"running": "ok", "completed": "ok", "failed": "bad", "timeout": "bad", "lost": "bad"}


def gang_row(gang: GangProgress, *, now_s: float) -> tuple[str, ...]:
    """In the order of GANG_COLUMNS. RANKS: how many run of those that it needs."""
    saving = NONE if gang.saving is None else f"{gang.saving}: {gang.shards}/{gang.ranks} ranks"
    return _safe(
        gang.task,
        gang.name or NONE,
        gang.state,
        str(gang.attempt) if gang.attempt else NONE,
        f"{gang.running}/{gang.ranks}",
        str(gang.completed),
        str(gang.nodes),
        NONE if gang.progress is None else f"{gang.progress:g} %",
        NONE if gang.step is None else str(gang.step),
        NONE if gang.saved_at is None else f"{age(now_s - gang.saved_at)} ago",
        saving,
        metrics_text(gang.metrics),
        gang.message or NONE,
    )


def rank_rows(found: GangRanks, *, now_s: float) -> list[tuple[str, ...]]:
    """In the order of RANK_COLUMNS; before the first try, a row for each rank that waits."""
    if not found.ranks:
        blank = (NONE,) * (len(RANK_COLUMNS) - 3)
        return [(str(rank), NONE, "waits", *blank) for rank in found.available]
    return [rank_row(each, now_s=now_s) for each in found.ranks]


def tone(state: str) -> str:
    """Of a gang's task, or of the attempt of a rank."""
    return _TONES.get(state, "")


def available_text(found: GangRanks) -> str:
    """Which ranks nobody has: "2 of 4 ranks have no place now: 1, 3"; "" where all have one, or need none."""
    free = found.available
    if not free or found.gang.state in _OVER:
        return ""
    verb = "has" if len(free) == 1 else "have"
    return f"{len(free)} of {found.gang.ranks} ranks {verb} no place now: {spans(free)}"


def spans(numbers: list[int]) -> str:
    """Ascending numbers, neighbours joined: "0-3, 7"."""
    joined: list[list[int]] = []
    for number in numbers:
        if joined and number == joined[-1][1] + 1:
            joined[-1][1] = number
        else:
            joined.append([number, number])
    return ", ".join(f"{first}-{last}" if first < last else f"{first}" for first, last in joined)


def metrics_text(metrics: dict[str, float]) -> str:
    """Its first metrics by name."""
    shown = [f"{name}={value:g}" for name, value in sorted(metrics.items())]
    return " ".join(shown[:METRICS_SHOWN]) + (" …" if len(shown) > METRICS_SHOWN else "") or NONE


def rank_row(rank: Rank, *, now_s: float) -> tuple[str, ...]:
    """In the order of RANK_COLUMNS. METRICS: what it told last, else what it told with its checkpoint."""
    told = rank.told
    ran = None if rank.started_at is None else (rank.ended_at or now_s) - rank.started_at
    return _safe(
        str(rank.rank),
        rank.node,
        rank.state,
        duration(ran),
        exit_word(rank.exit_code, rank.signal) if rank.ended_at is not None else NONE,
        *_usage(rank.usage),
        rank.checkpoint or NONE,
        NONE if told is None or told.step is None else str(told.step),
        metrics_text((told and told.metrics) or rank.metrics),
        said_text(told),
        rank.message or NONE,
    )


def said_text(told: TaskResult | None) -> str:
    """How far a rank is, what it says, and which of its lines could not be used."""
    if told is None:
        return NONE
    progress = "" if told.progress is None else f"{told.progress:g} %"
    said = [progress, told.message, faults_text(told) if told.faults else ""]
    return ", ".join(filter(None, said)) or NONE


def _usage(usage: RankUsage | None) -> tuple[str, str, str, str]:
    if usage is None:
        return NONE, NONE, NONE, NONE
    return (
        f"{usage.cpu_millis / 1000:.2f}",
        mebibytes(usage.mem_mib),
        f"{usage.gpus:g}" if usage.gpus else NONE,
        mebibytes(usage.gpu_mem_mib) if usage.gpu_mem_mib else NONE,
    )


def _safe(*cells: str) -> tuple[str, ...]:
    return tuple(safe_line(cell) for cell in cells)
