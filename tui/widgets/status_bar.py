"""The first line: which cluster, how fresh the picture is, and the figures that matter most."""

from __future__ import annotations

import time

from rich.text import Text
from textual.widgets import Static

from tui.client.session import Offline, Snapshot, Update
from tui.view.amounts import count, duration, share
from tui.view.safe import safe_line

STALE_S = 5.0


class StatusBar(Static):
    """Redraws its ages once a second."""

    def __init__(self) -> None:
        super().__init__("", markup=False, id="status")
        self._snapshot: Snapshot | None = None
        self._offline: Offline | None = None
        self._offline_at_s = 0.0

    def on_mount(self) -> None:
        """Start the clock."""
        self.set_interval(1.0, self._draw)
        self._draw()

    def show(self, update: Update) -> None:
        """Take the newest picture, or the word that there is none."""
        if isinstance(update, Snapshot):
            self._snapshot, self._offline = update, None
        else:
            self._offline, self._offline_at_s = update, time.time()
        self._draw()

    def _draw(self) -> None:
        now_s = time.time()
        self.set_class(self._offline is not None, "offline")
        self.update(self._line(now_s))

    def _line(self, now_s: float) -> Text:
        text = Text(" corral  ", no_wrap=True, overflow="ellipsis", style="bold")
        if self._offline is not None:
            text.append(
                offline_text(self._offline, now_s=now_s, told_at_s=self._offline_at_s), style="not bold"
            )
        elif self._snapshot is None:
            text.append("○ connecting …", style="not bold")
        else:
            age_s = now_s - self._snapshot.at_s
            fresh = (
                f"● LIVE {self._snapshot.latency_ms:.0f} ms"
                if age_s < STALE_S
                else f"◐ {duration(age_s)} old"
            )
            text.append(fresh, style="not bold")
        if self._snapshot is not None:
            text.append(f"   {figures(self._snapshot)}", style="not bold")
        return text


def offline_text(offline: Offline, *, now_s: float, told_at_s: float) -> str:
    """ "✖ OFFLINE 12s, retry in 2s: no server answers"."""
    retry_s = max(0.0, offline.retry_s - (now_s - told_at_s))
    since = duration(now_s - offline.since_s)
    return f"✖ OFFLINE {since}, retry in {retry_s:.0f} s: {safe_line(offline.reason)}"


def figures(snapshot: Snapshot) -> str:
    """Nodes, running, waiting and failed tasks, and what is used."""
    cluster = snapshot.cluster
    tasks = cluster.tasks
    waiting = sum(
        tasks.get(state, 0) for state in ("pending", "queued", "assigned", "retrying", "reassigned")
    )
    failed = tasks.get("failed", 0) + tasks.get("timeout", 0)
    cpu, memory, gpu = share(cluster.allocated, cluster.capacity)
    nodes = f"N {cluster.active_nodes}/{cluster.total_nodes}"
    return (
        f"{nodes}  R {count(tasks.get('running', 0))}  P {count(waiting)}"
        f"  F {count(failed)}   cpu {cpu}  mem {memory}  gpu {gpu}"
    )
