"""What is said of one task's output in a line, and what is known of it while its node is away."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from rich.text import Text

from bus.api import Task
from bus.values import Stream, TaskState
from tui.view.amounts import count
from tui.view.lines import Line
from tui.view.safe import safe_line
from tui.view.states import TASK_BADGES

KIB, MIB, GIB = 1024, 1024**2, 1024**3


class PaneFacts(Struct, frozen=True, kw_only=True):
    """`share`: how far into it one looks; `found` and `filter` say what is looked for."""

    task: str
    node: str
    state: TaskState | None
    attempt: int
    attempts: int
    streams: Sequence[Stream]
    size: int
    share: float | None
    word: str
    following: bool
    past: bool
    rate: str
    found: str
    filter: str
    pinned: bool


def facts_of(facts: PaneFacts) -> Text:
    """Most important first: what does not fit is cut off at the right."""
    text = Text(no_wrap=True, overflow="ellipsis")
    if facts.task:
        text.append(f"{safe_line(facts.task)}  ", style="bold")
    if facts.pinned:
        text.append("pinned  ")
    if facts.found or facts.filter:
        text.append("  ".join(word for word in (safe_line(facts.filter), facts.found) if word), style="bold")
        text.append("  ")
    text.append(facts.word)
    if not facts.past:
        text.append(
            "  following" if facts.following else "  f follows", style="" if facts.following else "dim"
        )
    if facts.share is not None and facts.size and not facts.following:
        text.append(f"  {facts.share:.0%}")
    if facts.size:
        text.append(f"  {byte_text(facts.size)}")
    if facts.rate:
        text.append(f"  {facts.rate}")
    text.append("  " + "+".join(facts.streams), style="dim")
    if facts.state is not None:
        text.append(f"  {TASK_BADGES[facts.state].glyph} {facts.state}")
    if facts.node:
        text.append(f"  {safe_line(facts.node)}", style="dim")
    if facts.attempts > 1:
        text.append(f"  attempt {facts.attempt} of {facts.attempts}")
    return text


def byte_text(size: int) -> str:
    """ "512 B", "1.5 KiB", "100.0 MiB"."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} B"


def rate_text(lines_s: float) -> str:
    """ "120 lines/s"; nothing for nothing."""
    return f"{count(round(lines_s))} lines/s" if lines_s >= 0.5 else ""


def known_without_node(task: Task) -> list[Line]:
    """What the coordinator has written down of a task whose output cannot be had."""
    head = "Its node is away, and keeps what it printed. What is known without it:"
    lines = [Line(head, tone="warn", mark="◐")]
    for attempt in task.attempts:
        ended = "" if attempt.exit_code is None else f", exit {attempt.exit_code}"
        head = f"attempt {attempt.fence} on {attempt.node}: {attempt.state}{ended}"
        lines.append(Line(safe_line(head), label_chars=len(f"attempt {attempt.fence}")))
        lines += [Line(f"  {safe_line(said)}") for said in attempt.message.splitlines()]
    if not task.attempts:
        lines += [Line(safe_line(said)) for said in (task.message or "nothing").splitlines()]
    return lines
