"""The checkpoints of a task: as the console lists them, and what it and the command say of each."""

from __future__ import annotations

from collections.abc import Sequence

from bus.checkpoints import Checkpoint
from tui.view.instants import local_short
from tui.view.lines import Line
from tui.view.log_facts import byte_text

_METRICS_SHOWN = 3


def checkpoint_lines(kept: Sequence[Checkpoint], *, now_s: float) -> list[Line]:
    """Newest first, with what keeps one from being gone on from; and where the next attempt begins."""
    if not kept:
        return [Line("Nothing is kept of what it saved, if it saved anything.", "idle")]
    begin = next((each for each in kept if each.chosen), None) or next(
        (each for each in kept if each.complete), None
    )
    lines = []
    for each in kept:
        (glyph, tone), state = _look(each), state_text(each)
        metrics = metrics_text(each)
        text = f"step {each.step:<9,} {kind_text(each):<12} {state:<22} {byte_text(each.size):>9}"
        where = f"{local_short(each.at, now_s=now_s)}  on {', '.join(each.nodes) or 'no node'}"
        here = "  ← the next attempt" if each is begin else ""
        lines.append(Line(f"{text}  {where}{'  ' if metrics else ''}{metrics}{here}", tone, glyph))
    return lines


def kind_text(one: Checkpoint) -> str:
    """What saved it, and whether it stays as the best."""
    return f"{one.kind}, best" if one.best else str(one.kind)


def copies_text(one: Checkpoint) -> str:
    """How many copies of how many there are; of one that is not complete, how many ranks have saved."""
    if not one.complete:
        return f"{one.ranks}/{one.world_size} ranks"
    return f"{one.copies}/{one.replicas + 1}"


def metrics_text(one: Checkpoint, *, most: int = _METRICS_SHOWN) -> str:
    """Its first metrics by name; empty: it has none."""
    shown = [f"{name}={value:g}" for name, value in sorted(one.metrics.items())]
    return " ".join(shown[:most]) + (" …" if len(shown) > most else "")


def state_text(one: Checkpoint) -> str:
    """Whether it can be gone on from, and outlives a node."""
    if not one.complete:
        return copies_text(one)
    if not one.copies:
        return "on no node"
    return f"{'durable, ' if one.durable else ''}{copies_text(one)} copies"


def _look(one: Checkpoint) -> tuple[str, str]:
    """Glyph and tone."""
    if not one.complete:
        return "◷", "warn"
    if not one.copies:
        return "✖", "bad"
    return ("●", "ok") if one.durable else ("▲", "warn")
