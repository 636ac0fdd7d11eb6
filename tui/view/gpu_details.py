"""A GPU in full: what it is, who has it, and what is wrong with it."""

from __future__ import annotations

from bus.gpus import Gpu, rule_of
from tui.view.facts import fact
from tui.view.gpus import gpu_cells
from tui.view.lines import Line


def gpu_facts(gpu: Gpu, *, mark: str, tone: str, now_s: float) -> list[Line]:
    """One in full, with what is wrong with it."""
    cells = gpu_cells(gpu, now_s=now_s)
    lines = [
        fact("GPU", f"{cells.place} of {gpu.node}" if gpu.index is not None else f"gone from {gpu.node}"),
        fact("state", f"{mark} {gpu.state}", tone),
        fact("model", cells.model),
        fact("memory", cells.memory),
        fact("taken", f"{cells.taken}{', can be shared' if gpu.shareable else ''}"),
        fact("tasks", cells.tasks),
        fact("UUID", cells.uuid),
    ]
    if gpu.since is not None:
        rule = rule_of(gpu.kind)
        lines += [
            fact("since", f"{cells.since} ago"),
            fact("why", cells.why, tone),
            fact("", rule.title),
            fact("again", "by itself, once it is mended" if rule.heals else "when somebody releases it"),
        ]
    return lines
