"""One thing in full, as lines of facts: details of a job, a task or a node, and the answer to why."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace
from rich.text import Text
from textual import on, work
from textual.binding import Binding
from textual.widget import Widget

from bus.requests import EventList
from bus.series import SeriesKind
from tui.client.asking import Asking
from tui.client.session import Deltas
from tui.client.source import Source
from tui.client.then import Then
from tui.client.wake import Wake
from tui.screens.live import LiveScreen
from tui.screens.searching import Searching
from tui.view.abilities import ability_lines
from tui.view.checkpoints import checkpoint_lines
from tui.view.details import (
    attempts_lines,
    children_lines,
    events_lines,
    fault_lines,
    gpu_lines,
    input_lines,
    label_lines,
    output_lines,
    running_lines,
    submitted_lines,
)
from tui.view.facts import job_facts, node_facts, task_facts
from tui.view.lines import Line
from tui.view.usage import usage_lines
from tui.widgets.one_line import Link, OneLine
from tui.widgets.virtual_log import VirtualLog

RELOAD_S = 5.0
EVENTS_SHOWN, TASKS_SHOWN = 200, 2_000
LAST_S = 3_600.0

Load = Callable[[Source], Awaitable[list[Line]]]
LoadThen = Callable[[Then], Awaitable[list[Line]]]


class DocumentScreen(Searching, LiveScreen):
    """Asked for again when something changed, and every few seconds."""

    BINDINGS = [Binding("ctrl+r", "reload", "ask again now", show=False, id="document.reload")]

    def __init__(self, crumb: str, load: Load) -> None:
        super().__init__()
        self.crumb = crumb
        self._load = load
        self._is_shown = False
        self._wake = Wake()

    def body(self) -> list[Widget]:
        """The page."""
        return [VirtualLog(id="log")]

    def on_mount(self) -> None:
        """Begin to keep it up to date."""
        self.on_condition()
        self.log_view.focus()
        self._keep()

    @property
    def is_bare(self) -> bool:
        """Before its first answer."""
        return not self._is_shown

    def on_condition(self) -> None:
        """Why the page is not there, in its place."""
        if self.is_bare and self.has_parts("#log"):
            why = self.note("").splitlines()
            self.log_view.replace([Line(line, "bad" if line.startswith("✖") else "plain") for line in why])
        super().on_condition()

    def on_online(self) -> None:
        """Look again where something was missing: else the page has its own pace."""
        if (self.is_bare or self.asking.error is not None) and not self.asking.is_under_way:
            self._wake.now()

    def on_offline(self) -> None:
        """Say why nothing is there, where nothing is."""
        self.on_condition()

    def on_screen_resume(self) -> None:
        """What was missed while away is asked for, unless an answer is on its way already."""
        if not self.asking.is_under_way:
            self._wake.now()

    def on_deltas(self, deltas: Deltas) -> None:
        """It may be about us."""
        if self.console.moment is None or self.past_note:
            self._wake.soon()

    def on_moment(self) -> None:
        """Another moment has another page."""
        self._wake.now()

    def action_reload(self) -> None:
        """Ask again now, also for the connection."""
        self.session.hurry()
        self._wake.now()

    @work(exclusive=True, group="keep")
    async def _keep(self) -> None:
        while True:
            if self.is_current and self.is_online:
                self._wake.met()
                moment = self.console.moment
                with self.asks():
                    lines = await self._load(self.session.source)
                    if moment == self.console.moment:  # else it is of another moment than is looked at
                        self.log_view.replace(lines)
                        self._is_shown = True
                        self.arrived()
                self.redraw_frame()
            await self._wake.wait(RELOAD_S)

    @on(VirtualLog.Scrolled)
    def _on_scrolled(self) -> None:
        self.redraw_frame()


class Page(Struct, frozen=True):
    """One page of a thing: its word, and how its lines are asked for."""

    title: str
    load: LoadThen


class DetailScreen(DocumentScreen):
    """Several pages of one thing, one at a time; Tab turns them."""

    BINDINGS = [
        Binding("tab", "turn(1)", "next page", key_display="Tab", id="details.next"),
        Binding("shift+tab", "turn(-1)", "page before", show=False, id="details.before"),
    ]

    def __init__(self, crumb: str, pages: Sequence[Page]) -> None:
        super().__init__(crumb, self._leaf_lines)
        self._leaves = pages
        self._leaf = 0

    def body(self) -> list[Widget]:
        """The names of the pages above the page."""
        return [OneLine(id="tabs"), *super().body()]

    def on_mount(self) -> None:
        """The first page."""
        self._show_tabs()

    def action_turn(self, pages: int) -> None:
        """So many pages further; the search begins anew."""
        self._leaf = (self._leaf + pages) % len(self._leaves)
        self._look_for("")
        self._is_shown, self.asking = False, Asking()
        self.on_condition()
        self.log_view.scroll_home(animate=False)
        self._show_tabs()
        self._wake.now()
        self._keep()  # a slow answer for the page before is of no use any more

    async def _leaf_lines(self, source: Source) -> list[Line]:
        return await self._leaves[self._leaf].load(Then(source, self.console.moment, ahead_s=self.ahead_s))

    def _show_tabs(self) -> None:
        text, links = Text(" ", no_wrap=True, overflow="ellipsis"), []
        for place, leaf in enumerate(self._leaves):
            chosen = place == self._leaf
            start = text.cell_len
            text.append(f"[{leaf.title}]" if chosen else f" {leaf.title} ", style="bold" if chosen else "")
            links.append(Link(start, text.cell_len, f"screen.turn({place - self._leaf})"))
        self.query_one("#tabs", OneLine).say(text, links=links)


def job_details(job: str) -> DocumentScreen:
    """A job with what was submitted, what failed of it, what its tasks submitted, and what happened."""

    async def overview(then: Then) -> list[Line]:
        return job_facts(replace(await then.job(job), spec=None), now_s=then.now_s)

    async def submitted(then: Then) -> list[Line]:
        return submitted_lines(await then.job(job))

    async def faults(then: Then) -> list[Line]:
        found = await then.tasks(job, filter="state=failed,timeout", limit=EVENTS_SHOWN)
        return fault_lines(found.tasks, total=found.total)

    async def children(then: Then) -> list[Line]:
        number = (await then.job(job)).number
        found = await then.jobs(filter=f"parent_job={number}", limit=EVENTS_SHOWN)
        return children_lines(found.jobs, total=found.total)

    async def events(then: Then) -> list[Line]:
        found = await then.events(EventList(job=job, limit=EVENTS_SHOWN))
        return events_lines(found.events, now_s=then.now_s)

    pages = [
        Page("job", overview),
        Page("submitted", submitted),
        Page("faults", faults),
        Page("children", children),
        Page("events", events),
    ]
    return DetailScreen(f"{job} › details", pages)


def task_details(task: str) -> DocumentScreen:
    """A task with its attempts, what went in and came out, and what happened."""

    async def overview(then: Then) -> list[Line]:
        facts = task_facts(replace(await then.task(task), attempts=[], output=None), now_s=then.now_s)
        return facts + usage_lines(await then.usage(SeriesKind.TASK, task))

    async def attempts(then: Then) -> list[Line]:
        return attempts_lines((await then.task(task)).attempts, now_s=then.now_s)

    async def given(then: Then) -> list[Line]:
        found = await then.task(task)
        return input_lines(found, await then.job(found.job))

    async def left(then: Then) -> list[Line]:
        return output_lines(await then.task(task))

    async def events(then: Then) -> list[Line]:
        found = await then.events(EventList(task=task, limit=EVENTS_SHOWN))
        return events_lines(found.events, now_s=then.now_s)

    async def saved(then: Then) -> list[Line]:
        return checkpoint_lines(await then.checkpoints(task), now_s=then.now_s)

    pages = [
        Page("task", overview), Page("attempts", attempts), Page("input", given), Page("output", left),
        Page("checkpoints", saved), Page("events", events),
    ]  # fmt: skip
    return DetailScreen(f"{task} › details", pages)


def node_details(node: str) -> DocumentScreen:
    """A node with its inventory, its GPUs, what it runs, what happened, its labels, and what it can."""

    async def overview(then: Then) -> list[Line]:
        facts = node_facts(await then.node(node), now_s=then.now_s)
        return facts + usage_lines(await then.usage(SeriesKind.NODE, node))

    async def gpus(then: Then) -> list[Line]:
        return gpu_lines(await then.node(node), now_s=then.now_s)

    async def tasks(then: Then) -> list[Line]:
        found = await then.timeline(node, over_s=LAST_S, limit=TASKS_SHOWN)
        return running_lines(found.attempts, now_s=then.now_s)

    async def events(then: Then) -> list[Line]:
        found = await then.events(EventList(node=node, limit=EVENTS_SHOWN))
        return events_lines(found.events, now_s=then.now_s)

    async def labels(then: Then) -> list[Line]:
        return label_lines(await then.node(node))

    async def abilities(then: Then) -> list[Line]:
        return ability_lines(await then.worker(node), (await then.node(node)).inventory)

    pages = [
        Page("node", overview), Page("GPUs", gpus), Page("tasks", tasks), Page("events", events),
        Page("labels", labels), Page("abilities", abilities),
    ]  # fmt: skip
    return DetailScreen(f"{node} › details", pages)


def why(target: str) -> DocumentScreen:
    """Why a task is where it is, or is nowhere yet."""
    from tui.screens.why import WhyScreen  # it leads to the pages of this module

    return WhyScreen(target)
