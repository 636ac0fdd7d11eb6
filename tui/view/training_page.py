"""Gangs and their ranks as the console lists them; `tui.view.training` has them for the command."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from bus.api import Task
from bus.training import GangProgress, GangRanks, Rank
from bus.units import counted
from tui.view.amounts import NONE, age
from tui.view.equipment import bar, column
from tui.view.facts import fact
from tui.view.lines import Line
from tui.view.listings import Listing
from tui.view.states import TASK_BADGES
from tui.view.training import (
    GANG_COLUMNS,
    RANK_COLUMNS,
    available_text,
    gang_row,
    metrics_text,
    rank_row,
)

WAITS = "waits"
_MARKS = {
    "assigned": "◔", "running": "▶", "completed": "✔", "failed": "✖", "timeout": "◷", "lost": "✖",
    "cancelled": "⊘", WAITS: "○",
}  # fmt: skip
_TONES = {
    "assigned": "wait", "running": "busy", "completed": "ok", "failed": "bad", "timeout": "bad",
    "lost": "bad", WAITS: "wait",
}  # fmt: skip


class RankRow(Struct, frozen=True, kw_only=True):
    """Rank `number` of the gang that `task` is; `rank` None: it never had a place."""

    task: str
    number: int
    rank: Rank | None = None

    @property
    def name(self) -> str:
        """As one types it: "1042.0:3", of which rank 0 is the task itself."""
        return f"{self.task}:{self.number}" if self.number else self.task

    @property
    def state(self) -> str:
        """Of its attempt."""
        return WAITS if self.rank is None else self.rank.state


def rank_rows(found: GangRanks) -> list[RankRow]:
    """A row for each rank; before the first try, one for each that waits."""
    task = found.gang.task
    if not found.ranks:
        return [RankRow(task=task, number=number) for number in found.available]
    return [RankRow(task=task, number=each.rank, rank=each) for each in found.ranks]


def _rank_cell(name: str) -> Callable[[RankRow, float], str]:
    """What `corral train ranks` has in that column."""
    place = [column.title for column in RANK_COLUMNS].index(name)

    def cell(row: RankRow, now_s: float) -> str:
        return NONE if row.rank is None else rank_row(row.rank, now_s=now_s)[place]

    return cell


def _gang_cell(name: str) -> Callable[[GangProgress, float], str]:
    """What `corral train status` has in that column."""
    place = [column.title for column in GANG_COLUMNS].index(name)

    def cell(gang: GangProgress, now_s: float) -> str:
        return gang_row(gang, now_s=now_s)[place]

    return cell


RANKS: Listing[RankRow] = Listing(
    noun="ranks",
    columns=(
        column("rank", "RANK", lambda each, _: str(each.number), right=True),
        column("mark", "S", lambda each, _: _MARKS.get(each.state, "?"), tinted=True, most=1),
        column("state", "STATE", lambda each, _: each.state, priority=1, tinted=True),
        column("node", "NODE", _rank_cell("NODE"), priority=1, least=6, most=30),
        column("ran", "RAN", _rank_cell("RAN"), priority=2, right=True),
        column("exit", "EXIT", _rank_cell("EXIT"), priority=3),
        column("cpu", "CPU", _rank_cell("CPU"), priority=2, right=True),
        column("memory", "MEMORY", _rank_cell("MEMORY"), priority=3, right=True),
        column("gpus", "GPUS", _rank_cell("GPUS"), priority=4, right=True),
        column("gpu_memory", "GPU MEM", _rank_cell("GPU MEMORY"), priority=5, right=True),
        column("checkpoint", "CHECKPOINT", _rank_cell("CHECKPOINT"), priority=4, least=10),
        column("step", "STEP", _rank_cell("STEP"), priority=2, right=True),
        column("metrics", "METRICS", _rank_cell("METRICS"), priority=3, least=10, most=60),
        column("says", "SAYS", _rank_cell("SAYS"), priority=6, least=10, most=60),
        column("why", "WHY", _rank_cell("WHY"), priority=5, least=10, most=60),
    ),
    key=lambda each: str(each.number),
    tone=lambda each: _TONES.get(each.state, "idle"),
)  # fmt: skip

GANGS: Listing[GangProgress] = Listing(
    noun="gangs",
    columns=(
        column("task", "TASK", lambda each, _: each.task),
        column("mark", "S", lambda each, _: TASK_BADGES[each.state].glyph, tinted=True, most=1),
        column("state", "STATE", lambda each, _: str(each.state), priority=1, tinted=True, most=26),
        column("name", "NAME", _gang_cell("NAME"), priority=4, least=6),
        column("ranks", "RANKS", _gang_cell("RANKS"), priority=1, right=True),
        column("nodes", "NODES", _gang_cell("NODES"), priority=4, right=True),
        column("try", "TRY", _gang_cell("TRY"), priority=3, right=True),
        column("progress", "PROGRESS", lambda each, _: bar(part_done(each)), priority=2, tinted=True),
        column("step", "STEP", _gang_cell("STEP"), priority=2, right=True),
        column("saved", "SAVED", _gang_cell("SAVED"), priority=3, right=True),
        column("saving", "SAVING", _gang_cell("SAVING"), priority=5),
        column("metrics", "METRICS", _gang_cell("METRICS"), priority=5, least=10, most=60),
        column("says", "SAYS", _gang_cell("SAYS"), priority=6, least=10, most=60),
    ),
    key=lambda each: each.task,
    tone=lambda each: TASK_BADGES[each.state].tone,
)  # fmt: skip


def part_done(gang: GangProgress) -> float | None:
    """Of its work, as rank 0 told it."""
    return None if gang.progress is None else gang.progress / 100


def start_text(gang: GangProgress) -> str:
    """How many ranks stand at the start, where all have to come before one goes; and how many are done."""
    ranks = counted(gang.ranks, "rank")
    if gang.completed:
        return f"{gang.completed} of {ranks} done, {gang.running} running"
    if not gang.live:
        return f"none of {ranks} has a place: all start at once or none"
    if not gang.running:
        return f"{gang.live} of {ranks} placed; they go when the agents of all have confirmed"
    return f"{gang.running} of {ranks} running on {counted(gang.nodes, 'node')}"


def saved_text(gang: GangProgress, *, now_s: float) -> str:
    """The newest complete checkpoint, and a sharded one under way: its barrier is that all have saved."""
    saved = "no complete checkpoint yet"
    if gang.saved_at is not None:
        step = NONE if gang.step is None else str(gang.step)
        saved = f"step {step}, {age(now_s - gang.saved_at)} ago"
    if gang.saving is None:
        return saved
    return f"{saved}; step {gang.saving} is being saved: {gang.shards} of {gang.ranks} ranks have"


def tries_text(gang: GangProgress, retried: int) -> str:
    """ "try 3, 2 restarts, 1 charged as retries"; `retried`: of the task."""
    if not gang.attempt:
        return "no try yet"
    restarts = gang.attempt - 1
    if not restarts:
        return "try 1, never restarted"
    return f"try {gang.attempt}, {counted(restarts, 'restart')}, {retried or 'none'} charged as retries"


def gang_lines(found: GangRanks, task: Task | None, *, now_s: float) -> list[Line]:
    """The gang above its ranks, a line a fact."""
    gang = found.gang
    badge = TASK_BADGES[gang.state]
    told = metrics_text(gang.metrics)
    said = [part for part in (told if told != NONE else "", gang.message) if part]
    progress = "" if gang.progress is None else f"{bar(part_done(gang))}   "
    lines = [
        fact("gang", f"{badge.glyph} {gang.state}   {start_text(gang)}", badge.tone),
        fact("progress", f"{progress}{'   '.join(said)}".strip() or "rank 0 has told nothing yet"),
        fact("saved", saved_text(gang, now_s=now_s)),
        fact("tries", tries_text(gang, 0 if task is None else task.retries)),
    ]
    if available := available_text(found):
        lines.append(fact("places", available, "warn"))
    return lines


def rank_facts(row: RankRow, *, now_s: float) -> list[Line]:
    """A rank in full."""
    facts = [
        fact("rank", row.name if row.number else f"{row.task}:0"),
        fact("state", f"{_MARKS.get(row.state, '?')} {row.state}", _TONES.get(row.state, "idle")),
    ]
    if row.rank is None:
        return facts
    cells = dict(zip((each.title for each in RANK_COLUMNS), rank_row(row.rank, now_s=now_s), strict=True))
    shown = (
        "NODE", "RAN", "EXIT", "CPU", "MEMORY", "GPUS", "GPU MEMORY", "CHECKPOINT", "STEP", "METRICS", "SAYS",
        "WHY",
    )  # fmt: skip
    return facts + [fact(title.lower(), cells[title]) for title in shown if cells[title] != NONE]


def gang_facts(gang: GangProgress, *, now_s: float) -> list[Line]:
    """A gang in full, as its row in the list has it."""
    cells = gang_row(gang, now_s=now_s)
    titles = [each.title.lower() for each in GANG_COLUMNS]
    return [fact(title, cell) for title, cell in zip(titles, cells, strict=True) if cell != NONE]
