"""The groups of tasks of one job as a tree: each under the group that it needs."""

from __future__ import annotations

from collections.abc import Sequence

from bus.api import PlannedGroup
from bus.units import counted

LINES_MAX = 40


def tree_lines(groups: Sequence[PlannedGroup]) -> list[str]:
    """A line for each group, under the first one that it needs; nothing where none needs another.

    At most LINES_MAX groups are shown, the rest are counted.
    """
    if not any(group.needs for group in groups):
        return []
    names = {group.name for group in groups}
    children: dict[str, list[PlannedGroup]] = {}
    for group in groups:
        first = _name(group.needs[0]) if group.needs else ""
        children.setdefault(first if first in names else "", []).append(group)
    lines: list[str] = []
    pending = [(group, "", "") for group in reversed(children.get("", []))]
    while pending and len(lines) < LINES_MAX:
        group, mark, indent = pending.pop()
        lines.append(f"{mark}{_line(group)}")
        under = children.pop(group.name, [])
        for position, child in enumerate(reversed(under)):
            last = position == 0
            pending.append(
                (child, f"{indent}{'└─' if last else '├─'} ", f"{indent}{'   ' if last else '│  '}")
            )
    if len(groups) > len(lines):
        lines.append(f"… and {counted(len(groups) - len(lines), 'group')} more")
    return lines


def _name(need: str) -> str:
    return need.partition(":")[0]


def _line(group: PlannedGroup) -> str:
    last = group.first + group.count - 1
    indices = f"{group.first}–{last}" if group.count > 1 else f"{group.first}"
    told = f", after {', '.join(group.needs)}" if group.needs else ""
    return f"{group.name} [{indices}]: {counted(group.count, 'task')}{told}"
