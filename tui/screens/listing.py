"""A list of the cluster's things: filtered, sorted and paged by the coordinator, kept up to date here."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

from msgspec import Struct
from rich.text import Text
from textual import on, work
from textual.binding import Binding
from textual.containers import Container
from textual.widget import Widget
from textual.widgets import Static

from bus.errors import CorralError
from tui.client.asking import Asking, patiently
from tui.client.pages import JUMP_ROWS, PAGE_ROWS, Pages, Slice
from tui.client.session import Deltas
from tui.client.source import Source
from tui.client.wake import Wake
from tui.screens.early import OF_A_ROW, EarlyKeys
from tui.screens.live import error_text
from tui.view.amounts import count
from tui.view.lines import Line
from tui.view.listings import SORT_BY, Listing
from tui.view.places import Step
from tui.view.safe import safe_line
from tui.view.subjects import Subject, subject_of
from tui.widgets.panes import Panes
from tui.widgets.prompt import Prompt
from tui.widgets.virtual_table import VirtualTable

T = TypeVar("T", bound=Struct)

RELOAD_S = 5.0
"""How long a list is trusted that nobody told of a change; the feed may lose some, and has no usage."""

PAST_S = 3_600.0
"""The past stays as it was: it is asked for again only where somebody wants it."""

AGES_S = 1
TARGETS_MAX = 500


def sort_bindings(listing: Listing[T]) -> list[Binding]:
    """The shifted letters that sort a listing."""
    return [
        Binding(
            column.letter,
            f"sort('{column.sort}')",
            f"{SORT_BY}{column.title}",
            show=False,
            id=f"{listing.noun}.sort_{column.sort}",
        )
        for column in listing.columns
        if column.letter
    ]


class ListScreen(EarlyKeys, Generic[T]):
    """Subclasses say what is listed, how it is asked for, and what a change does to a row."""

    BINDINGS = [
        Binding("slash", "filter", "filter", priority=True, id="list.filter"),
        Binding("exclamation_mark", "faults", "only what went wrong, or all", show=False, id="list.faults"),
        Binding("ctrl+r", "reload", "ask again now", show=False, id="list.reload"),
        Binding("tab", "pane('')", "next pane", show=False, id="list.pane"),
    ]
    listing: ClassVar[Listing]  # type: ignore[type-arg]
    empty = ""
    example = ""
    preview_title = "details"

    def __init__(self, *, filter: str = "") -> None:
        super().__init__()
        self._filter = filter
        self._order = self._sort = ""  # as the reader wants it, and as it is asked for
        self._pages: Pages[T] = self._new_pages()
        self._epoch = 0
        self._noted = ""
        self._wake = Wake()

    async def fetch(self, source: Source, *, cursor: str, limit: int, known: str = "") -> Slice[T]:
        """One page from the coordinator, unless it is still what the tag `known` names."""
        raise NotImplementedError

    def absorb(self, deltas: Deltas) -> bool:
        """Patch rows; True where the list itself has to be asked for again."""
        raise NotImplementedError

    def preview(self, row: T) -> list[Line]:
        """What the pane beside the table says of the row under the cursor."""
        raise NotImplementedError

    def subject(self, row: T) -> Subject | None:
        """What the other panes ask about it; None where nothing can be asked."""
        return subject_of(row)

    def body(self) -> list[Widget]:
        """The table, a note in its place, and the pane beside it."""
        return [
            Container(
                VirtualTable(self.listing, id="table"),
                Static("loading …", markup=False, id="note"),
                Panes(self._source_now, self.explain, first=self.preview_title),
                id="split",
            )
        ]

    @property
    def table(self) -> VirtualTable[T]:
        """The table."""
        return self.query_one("#table", VirtualTable)

    @property
    def is_bare(self) -> bool:
        """Without rows."""
        return not self._pages.rows

    def on_condition(self) -> None:
        """The note and the crumbs say it."""
        self._draw()

    def is_idle(self, action: str) -> bool:
        """What is done to a row, where there is none."""
        return self.is_bare and action.partition("(")[0] in OF_A_ROW

    @property
    def awaits_rows(self) -> bool:
        """Before the first page of this list, while there is somebody who gives it."""
        return not self._pages.loaded and self.is_online and self.asking.error is None

    @property
    def pages(self) -> Pages[T]:
        """The rows known so far."""
        return self._pages

    def on_mount(self) -> None:
        """Begin to keep the list up to date."""
        self.table.focus()
        self.console.every(self, AGES_S, self._tick)
        self._draw()
        self._keep()

    def on_online(self) -> None:
        """Look again where something is missing or the feed may have stopped; else the list has its pace."""
        assert self.console.online is not None
        before, self._epoch = self._epoch, self.console.online.cluster.epoch
        if not self._pages.loaded or self.asking.error is not None or before != self._epoch:
            self._wake.now()

    def on_offline(self) -> None:
        """Say why nothing is there, where nothing is; and hear of the next answer as of a first one."""
        self._epoch = 0
        if not self._pages.rows:
            self._draw()

    def on_screen_resume(self) -> None:
        """What was missed while away is asked for."""
        self._wake.now()

    def on_deltas(self, deltas: Deltas) -> None:
        """Patch what is known, ask for what is not."""
        if self.console.moment is not None:
            return  # what happens now does not change what was
        if self.absorb(deltas):
            self._wake.soon()
        self.table.show(self._pages.rows, now_s=self.now_s, sort=self._order)
        self._draw_preview()

    def on_moment(self) -> None:
        """Another moment has another list."""
        if self.is_mounted:
            self._ask_for()
            self.query_one(Panes).look_at(self.console.moment)

    def on_steered(self) -> None:
        """See what came of it."""
        self._wake.now()

    def facts_text(self) -> Text:
        """The filter, how many there are, and how many in each state."""
        text = Text("")
        if self._filter:
            text.append(f"[/{safe_line(self._filter)}]  ", style="bold")
        if self._pages.loaded:
            text.append(count(self._pages.total) if self._pages.total else str(len(self._pages.rows)))
            for state, number in sorted(self._pages.states.items(), key=lambda item: -item[1]):
                text.append(f"   {count(number)} {safe_line(state)}")
        return text

    def step(self) -> Step:
        """With the condition and the order that the reader wants."""
        return Step(super().step().line, self._filter, self._order)

    def targets(self) -> list[str]:
        """The rows that are loaded."""
        return [self.listing.key(row) for row in self._pages.rows[:TARGETS_MAX]]

    def seek(self, *, filter: str | None = None, sort: str | None = None) -> None:
        """Another condition or order; None leaves it as it is."""
        self._ask_for(filter=filter, sort=sort)

    async def check_filter(self, condition: str) -> None:
        """Raises CorralError where the coordinator does not take the condition."""
        before, self._filter = self._filter, condition
        try:
            await self.fetch(self.session.source, cursor="", limit=1)
        finally:
            self._filter = before

    def action_reload(self) -> None:
        """Ask again now, also for the connection."""
        self.session.hurry()
        self._wake.now()

    def action_filter(self) -> None:
        """Type a condition; the coordinator knows its words."""
        self.query_one(Prompt).open(self._filter, example=self.example)

    def action_pane(self, tab: str) -> None:
        """Another pane beside the list; "" is the next one."""
        if tab:
            self.query_one(Panes).choose(tab)
        elif self.focused in (None, self.table):
            self.query_one(Panes).choose_next()
        else:
            self.focus_next()

    def action_faults(self) -> None:
        """Only what went wrong, or everything again."""
        self._ask_for(filter="" if self._filter == self.listing.faults else self.listing.faults)

    def action_sort(self, sort: str) -> None:
        """By this field, and the other way round the second time."""
        self._ask_for(sort=f"-{sort}" if self._order == sort else sort)

    def action_back(self) -> None:
        """A filter is taken away first."""
        if self._filter:
            self._ask_for(filter="")
        else:
            super().action_back()

    @on(Prompt.Answered)
    def _on_answer(self, event: Prompt.Answered) -> None:
        if event.text == self._filter:
            self._close_prompt()
        else:
            self._try_filter(event.text)

    @work(exclusive=True, group="filter")
    async def _try_filter(self, condition: str) -> None:
        """Try the condition before anything else is shown: what is wrong with it is said in its place."""
        prompt = self.query_one(Prompt)
        try:
            await patiently(self.check_filter(condition), prompt.wait)
        except CorralError as error:
            prompt.complain(error_text(error))
            return
        self._close_prompt()
        self._ask_for(filter=condition)

    @on(Prompt.Closed)
    def _on_closed(self) -> None:
        self.workers.cancel_group(self, "filter")
        self.table.focus()

    @on(VirtualTable.Moved)
    def _on_moved(self) -> None:
        self._draw_preview()
        first, last = self.table.window
        if not self._pages.at_end and last + PAGE_ROWS // 2 > self.table.row_count:
            self._wake.more()
        elif not self._pages.at_start and first < PAGE_ROWS // 2:
            self._wake.before()

    @on(VirtualTable.EndWanted)
    def _on_end_wanted(self) -> None:
        if not self._pages.at_end:
            self._wake.end()

    @on(VirtualTable.StartWanted)
    def _on_start_wanted(self) -> None:
        if not self._pages.at_start:
            self._ask_for()

    @on(VirtualTable.SortWanted)
    def _on_sort_wanted(self, event: VirtualTable.SortWanted) -> None:
        self.action_sort(event.sort)

    def _close_prompt(self) -> None:
        self.query_one(Prompt).display = False
        self.table.focus()

    def _ask_for(self, *, filter: str | None = None, sort: str | None = None) -> None:
        """A list with another filter or order, from its beginning."""
        self._filter = self._filter if filter is None else filter
        self._order = self._sort = self._order if sort is None else sort
        self.asking = Asking()
        self._pages = self._new_pages()
        self._wake.now()
        self.console.visit()

    def _new_pages(self, *, from_end: bool = False) -> Pages[T]:
        asking = self.asking  # of this list: what is said of another one is not about it

        async def fetch(cursor: str, limit: int, known: str) -> Slice[T]:
            with asking.under_way():
                return await self.fetch(self.session.source, cursor=cursor, limit=limit, known=known)

        return Pages(fetch, self.listing.key, from_end=from_end)

    @work(exclusive=True, group="keep")
    async def _keep(self) -> None:
        """One request after the other: what is asked for never overtakes itself."""
        while True:
            await self._wake.wait(RELOAD_S if self.console.moment is None else PAST_S)
            if not self.is_current or not self.is_online:
                continue
            pages = self._pages
            try:
                await self._turn(pages)
            except CorralError as error:
                self.failed(error)
            else:
                if pages is self._pages:
                    self._draw()

    async def _turn(self, pages: Pages[T]) -> None:
        """Ask for what is wanted; for nothing but news where nothing is."""
        if is_new := not pages.loaded:
            await pages.reload()
        wants_more, wants_before, wants_end = (
            self._wake.take_more(),
            self._wake.take_before(),
            self._wake.take_end(),
        )
        if wants_more:
            await pages.extend()
        if wants_before:
            await pages.extend_before()
        if wants_end:
            await self._go_to_end(pages)
        if not (is_new or wants_more or wants_before or wants_end):
            first, last = self.table.window
            await pages.reload(first, last)
            await self._until_settled()

    async def _go_to_end(self, pages: Pages[T]) -> None:
        """Read the list from its end; where its order has no opposite, page after page up to it."""
        opposite = self.listing.opposite(self._order)
        if opposite is None:
            while not pages.at_end and pages is self._pages:
                await pages.extend(limit=JUMP_ROWS)
                self._draw()
        else:
            before, self._sort = self._sort, opposite
            ended = self._new_pages(from_end=True)
            try:
                await ended.reload()
            except CorralError:
                self._sort = before
                raise
            if pages is not self._pages:
                return  # another list is wanted by now
            self._pages = ended
            self._draw()
        self.table.move_to(len(self._pages.rows) - 1)

    async def _until_settled(self) -> None:
        """Rows do not change places under a hand that is still aiming, unless it reaches for others."""
        while (left_s := self.table.aiming_s) > 0:
            if await self._wake.rest(left_s):
                return

    def _tick(self) -> None:
        """Ages grow also where nothing happens."""
        now_s = self.now_s
        is_live = self.is_online and self.console.moment is None
        if self.is_current and is_live and now_s - self.table.drawn_s > AGES_S / 2:
            self.table.tick(now_s)

    @property
    def _keeps_old(self) -> bool:
        """Whether rows of another moment are shown, dimmed, until those asked for are there."""
        on_way = self.has_class("-travelling") and not self._pages.loaded and self.asking.error is None
        return on_way and self.table.row_count > 0

    def _draw(self) -> None:
        """Everything as of now; the cursor goes where its row went."""
        if not self.has_parts("#table", "#note", "#preview"):
            return
        table, pages = self.table, self._pages
        if self._keeps_old:
            self.redraw_frame()
            return
        if pages.loaded:
            self.arrived()
        row = table.row
        cursor = None if row is None else pages.position(self.listing.key(row))
        table.show(pages.rows, now_s=self.now_s, cursor=cursor, sort=self._order)
        note = self._note() if self.is_bare else ""
        table.display = not note
        label = self.query_one("#note", Static)
        label.display = bool(note)
        if note != self._noted:
            self._noted = note
            label.update(note)
        if not note and self.focused is None:
            table.focus()
        self._draw_preview()
        self.redraw_frame()
        if pages.loaded:
            self.catch_up()

    def _note(self) -> str:
        """What stands in the place of a table without rows: why, and which key helps."""
        if self._filter:
            hint = "Esc shows everything, / changes the filter."
            return self.note(f"Nothing matches {safe_line(self._filter)}\n\n{hint}")
        return self.note(self.empty)

    def _draw_preview(self) -> None:
        panes, row = self.query_one(Panes), self.table.row
        panes.set_class(row is None, "-empty")
        if row is not None:
            panes.show(self.preview(row), self.subject(row))

    def _source_now(self) -> Source | None:
        """None where nothing can be asked."""
        return self.session.source if self.is_current and self.is_online else None


class ShortList:
    """Lists that come whole: no filters. It stands before `ListScreen` among the bases."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Neither by condition nor of what went wrong."""
        return False if action in ("faults", "filter") else super().check_action(action, parameters)  # type: ignore[misc]
