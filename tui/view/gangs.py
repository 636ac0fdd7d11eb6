"""The ranks of a gang in words."""

from __future__ import annotations

from collections import Counter

from bus.api import Task
from bus.units import counted


def ranks_text(task: Task) -> str:
    """ "4 ranks: 3 running, 1 assigned"; of the newest try."""
    newest = Counter(each.state for each in task.attempts if each.fence == task.fence)
    states = ", ".join(f"{number} {state}" for state, number in newest.most_common())
    return f"{counted(task.ranks, 'rank')}{f': {states}' if states else ''}"
