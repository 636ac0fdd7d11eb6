"""A tree of any size that draws only the lines one sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import Click, Resize
from textual.message import Message
from textual.strip import Strip

from tui.view.safe import fit, safe_line
from tui.view.tree import Branch, visible
from tui.widgets.line_view import LineView
from tui.widgets.virtual_table import TONES

INDENT = 3


class TreeView(LineView, can_focus=True):
    """`show` takes the roots; the cursor stays on its branch."""

    DEFAULT_CSS = """
    TreeView {
        height: 1fr; background: $background;
        overflow-x: hidden; overflow-y: scroll; scrollbar-size-vertical: 1;
    }
    TreeView > .tree--plain { color: $foreground; background: $background; }
    TreeView > .tree--guide { color: $text-muted; background: $background; }
    TreeView > .tree--cursor { color: $foreground; background: $primary-muted; text-style: bold; }
    TreeView > .tree--ok { color: $text-success; background: $background; }
    TreeView > .tree--busy { color: $text-primary; background: $background; }
    TreeView > .tree--wait { color: $text-accent; background: $background; }
    TreeView > .tree--warn { color: $text-warning; background: $background; }
    TreeView > .tree--bad { color: $text-error; background: $background; }
    TreeView > .tree--idle { color: $text-muted; background: $background; }
    TreeView:nocolor > .tree--cursor { text-style: reverse; }
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "tree--plain",
        "tree--guide",
        "tree--cursor",
        *(f"tree--{tone}" for tone in TONES),
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "next line", show=False, id="tree.down"),
        Binding("up,k", "move(-1)", "line before", show=False, id="tree.up"),
        Binding("pagedown,ctrl+d", "move(20)", "further down", show=False, id="tree.page_down"),
        Binding("pageup,ctrl+u", "move(-20)", "further up", show=False, id="tree.page_up"),
        Binding("home,g", "move(-1000000)", "first line", show=False, id="tree.first"),
        Binding("end,G", "move(1000000)", "last line", show=False, id="tree.last"),
        Binding("enter,space", "choose", "open, close", id="tree.choose"),
        Binding("right", "unfold", "open", show=False, id="tree.unfold"),
        Binding("left,h", "fold", "close, or go up", show=False, id="tree.fold"),
    ]

    class Moved(Message):
        """The cursor is on another branch."""

    class Chosen(Message):
        """A branch is to be opened, closed, or shown."""

        def __init__(self, branch: Branch) -> None:
            super().__init__()
            self.branch = branch

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._roots: Sequence[Branch] = ()
        self._lines: list[tuple[int, Branch]] = []
        self._cursor = 0

    @property
    def branch(self) -> Branch | None:
        """The one under the cursor."""
        return self._lines[self._cursor][1] if self._cursor < len(self._lines) else None

    @property
    def lines(self) -> Sequence[tuple[int, Branch]]:
        """(depth, branch) of each line."""
        return self._lines

    def parent_of(self, branch: Branch) -> Branch | None:
        """The branch that it hangs on."""
        return next((each for _, each in self._lines if branch in (each.children or ())), None)

    def show(self, roots: Sequence[Branch]) -> None:
        """Draw the tree as it is now."""
        path = self._path()
        self._roots = roots
        self._lines = list(visible(roots))
        self._cursor = self._found(path)
        self.have_lines(len(self._lines))
        self.refresh()
        self.post_message(self.Moved())

    def action_move(self, lines: int) -> None:
        """So many lines down, or up."""
        self._cursor = max(0, min(self._cursor + lines, len(self._lines) - 1))
        top, height = self.scroll_offset.y, self.scrollable_content_region.height
        if self._cursor < top:
            self.scroll_to(y=self._cursor, animate=False)
        elif self._cursor >= top + height:
            self.scroll_to(y=self._cursor - height + 1, animate=False)
        self.refresh()
        self.post_message(self.Moved())

    def action_choose(self) -> None:
        """Open or close the branch; of one that cannot be opened, show what it is."""
        if (branch := self.branch) is not None:
            self.post_message(self.Chosen(branch))

    def action_unfold(self) -> None:
        """Open it."""
        if (branch := self.branch) is not None and branch.can_open and not branch.open:
            self.post_message(self.Chosen(branch))

    def action_fold(self) -> None:
        """Close it, or go to what it hangs on."""
        branch = self.branch
        if branch is None:
            return
        if branch.open:
            self.post_message(self.Chosen(branch))
        elif (parent := self.parent_of(branch)) is not None:
            place = next(place for place, (_, each) in enumerate(self._lines) if each is parent)
            self.action_move(place - self._cursor)

    def on_resize(self, _: Resize) -> None:
        """Keep the cursor in sight."""
        self.action_move(0)

    def on_click(self, event: Click) -> None:
        """A line takes the cursor, and opens where it has it already."""
        position = event.y + self.scroll_offset.y
        if position == self._cursor:
            self.action_choose()
        elif position < len(self._lines):
            self.action_move(position - self._cursor)

    def render_line(self, y: int) -> Strip:
        """Its guide, whether it can be opened, its glyph, and what it says."""
        width = self.scrollable_content_region.width
        plain = self.get_component_rich_style("tree--plain")
        position = y + self.scroll_offset.y
        if position >= len(self._lines):
            return Strip.blank(width, plain)
        depth, branch = self._lines[position]
        toned = self.get_component_rich_style(f"tree--{branch.tone}") if branch.tone in TONES else plain
        guide = self.get_component_rich_style("tree--guide")
        if position == self._cursor:
            over = self.get_component_rich_style("tree--cursor")
            back = Style(bgcolor=over.bgcolor, bold=over.bold, reverse=over.reverse)
            plain, toned, guide = plain + back, toned + back, guide + back
        fold = ("▾ " if branch.open else "▸ ") if branch.can_open else "  "
        head = " " * (depth * INDENT + 1) + fold
        glyph = f"{branch.glyph} " if branch.glyph else ""
        words = fit(safe_line(branch.text), max(0, width - len(head) - len(glyph)))
        return Strip([Segment(head, guide), Segment(glyph, toned), Segment(words, toned)]).adjust_cell_length(
            width, plain
        )

    def _path(self) -> list[str]:
        """The keys from the root to the branch under the cursor."""
        if self.branch is None:
            return []
        path, depth = [self.branch.key], self._lines[self._cursor][0]
        for above, branch in reversed(self._lines[: self._cursor]):
            if above < depth:
                path.insert(0, branch.key)
                depth = above
        return path

    def _found(self, path: Sequence[str]) -> int:
        """Where that path leads now, as far as it goes."""
        found, here = min(self._cursor, max(0, len(self._lines) - 1)), 0
        for depth, key in enumerate(path):
            place = next(
                (
                    p
                    for p in range(here, len(self._lines))
                    if self._lines[p][0] == depth and self._lines[p][1].key == key
                ),
                None,
            )
            if place is None:
                return found
            found, here = place, place + 1
        return found
