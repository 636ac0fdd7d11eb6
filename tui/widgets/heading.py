"""The first line: which cluster, who looks, how fresh the picture is, and the figures that matter most."""

from __future__ import annotations

import time

from rich.text import Text

from tui.client.clocks import SKEWED_S
from tui.client.session import Offline, Online
from tui.ticking import Ticking
from tui.view.amounts import age, count, share
from tui.view.safe import safe_line, text_width
from tui.widgets.one_line import OneLine

STALE_S = 5.0

WAITING = ("pending", "queued", "assigned", "retrying", "reassigned")
NARROW, WIDE = 60, 110


class Heading(OneLine):
    """Draws its ages anew once a second."""

    def __init__(self) -> None:
        super().__init__(id="heading")
        self._online: Online | None = None
        self._offline: Offline | None = None

    def on_mount(self) -> None:
        """Start the clock."""
        assert isinstance(self.app, Ticking)
        self.app.every(self, 1, self.redraw)
        self.redraw()

    def on_resize(self) -> None:
        """Say what fits."""
        self.redraw()

    def show(self, online: Online | None, offline: Offline | None) -> None:
        """Take the newest word."""
        self._online, self._offline = online, offline
        self.redraw()

    def redraw(self) -> None:
        """Draw it as of now."""
        self.set_class(self._offline is not None, "-offline")
        self.say(heading_text(self._online, self._offline, now_s=time.time(), width=self.size.width))


def heading_text(online: Online | None, offline: Offline | None, *, now_s: float, width: int) -> Text:
    """What there is room for, the most important first."""
    text = Text(" corral ", no_wrap=True, overflow="ellipsis", style="bold")
    if online is not None and width >= NARROW and (name := online.me.cluster):
        text.append(f"{safe_line(name)} ", style="not bold")
    if offline is not None:
        text.append(offline_text(offline, online, now_s=now_s), style="bold")
        return text
    if online is None:
        text.append("○ connecting …", style="not bold")
        return text
    age_s = now_s - online.at_s
    fresh = f"● LIVE {online.latency_ms:.0f} ms" if age_s < STALE_S else f"◐ waiting, {age(age_s)} old"
    text.append(f"{fresh}  ", style="not bold")
    if abs(online.skew_s) >= SKEWED_S:
        ahead = "ahead" if online.skew_s > 0 else "behind"
        text.append(f"▲ clock here {age(abs(online.skew_s))} {ahead}  ", style="bold")
    text.append(figures(online), style="not bold")
    who = f"{safe_line(online.me.user)} ({online.me.role}) "
    if width >= WIDE:
        for part in usage(online):
            if text.cell_len + text_width(part) + text_width(who) + 2 <= width:
                text.append(part, style="not bold")
    if (left := width - text.cell_len - text_width(who)) >= 2:
        text.pad_right(left)
        text.append(who, style="not bold")
    return text


def offline_text(offline: Offline, online: Online | None, *, now_s: float) -> str:
    """ "✖ OFFLINE 12s, retry in 2 s: no server answers (shown: 14s old)"."""
    since = age(now_s - offline.since_s)
    if offline.refused:
        return f"✖ REFUSED {since}: {safe_line(offline.hint)} ({safe_line(offline.reason)})"
    retry_s = offline.retry_at_s - now_s
    retry = f"retry in {retry_s:.0f} s" if retry_s > 0 else "trying"
    shown = f" (shown: {age(now_s - online.at_s)} old)" if online is not None else ""
    return f"✖ OFFLINE {since}, {retry}{shown}: {safe_line(offline.reason)}"


def figures(online: Online) -> str:
    """Nodes, and tasks that run, wait and failed."""
    cluster = online.cluster
    tasks = cluster.tasks
    waiting = sum(tasks.get(state, 0) for state in WAITING)
    failed = tasks.get("failed", 0) + tasks.get("timeout", 0)
    parts = [
        f"N {cluster.active_nodes}/{cluster.total_nodes}",
        f"R {count(tasks.get('running', 0))}",
        f"P {count(waiting)}",
        f"F {count(failed)}",
    ]
    return "  ".join(parts)


def usage(online: Online) -> list[str]:
    """What is used, the part that one misses least at the end."""
    cluster = online.cluster
    cpu, memory, gpu = share(cluster.allocated, cluster.capacity)
    gpus = [f"  gpu {gpu}"] if cluster.capacity.gpus else []
    return [f"   cpu {cpu}", *gpus, f"  mem {memory}"]
