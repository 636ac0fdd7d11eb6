"""The checkpoints of a task, as the console lists them."""

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
        glyph, tone, state = _state(each)
        metrics = "  ".join(
            f"{name}={value:g}" for name, value in sorted(each.metrics.items())[:_METRICS_SHOWN]
        )
        text = f"step {each.step:<9,} {each.kind:<12} {state:<22} {byte_text(each.size):>9}"
        where = f"{local_short(each.at, now_s=now_s)}  on {', '.join(each.nodes) or 'no node'}"
        here = "  ← the next attempt" if each is begin else ""
        lines.append(Line(f"{text}  {where}{'  ' if metrics else ''}{metrics}{here}", tone, glyph))
    return lines


def _state(checkpoint: Checkpoint) -> tuple[str, str, str]:
    """Glyph, tone and words."""
    if not checkpoint.complete:
        return "◷", "warn", f"{checkpoint.ranks} of {checkpoint.world_size} ranks"
    if not checkpoint.copies:
        return "✖", "bad", "on no node"
    if not checkpoint.durable:
        return "▲", "warn", f"{checkpoint.copies} of {checkpoint.replicas + 1} copies"
    return "●", "ok", f"durable, {checkpoint.copies} copies" if checkpoint.copies > 1 else "durable, 1 copy"
