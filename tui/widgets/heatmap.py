"""A map of all nodes: two in a cell by half blocks, or one as a digit where there are no colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.events import MouseDown, MouseMove, MouseUp, Resize
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from bus.api import Node
from tui.theme.plain import AsciiOnly
from tui.view.heat import (
    BY_NOTHING,
    LEVELS,
    HeatLayout,
    Measure,
    brushed,
    digit,
    ends,
    exact,
    grouped,
    groupings,
    lay_out,
    moved,
    shade,
)
from tui.view.safe import safe_line
from tui.view.states import NODE_BADGES, node_word

LINES_WANTED = 12
"""So many lines a map may take before it goes over to narrow cells."""

ROOMY_BLOCK = "▆"
"""Of a node that has a line to itself: it leaves a gap to the line above."""

SHADES = (*(f"level{each}" for each in range(LEVELS)), "unknown", "steered", "gone")


class HeatMap(ScrollView, can_focus=True):
    """`show` takes the nodes; they keep their places as long as there are the same ones."""

    DEFAULT_CSS = """
    HeatMap > .heat--plain { color: $foreground; background: $background; }
    HeatMap > .heat--title { color: $text-muted; background: $background; }
    HeatMap > .heat--cursor { color: #ffffff; background: $primary; text-style: bold; }
    HeatMap > .heat--brushed { color: #ff5fd7; background: $primary-muted; text-style: bold; }
    HeatMap > .heat--level0 { color: #243b6b; }
    HeatMap > .heat--level1 { color: #27598c; }
    HeatMap > .heat--level2 { color: #21808d; }
    HeatMap > .heat--level3 { color: #2ca07a; }
    HeatMap > .heat--level4 { color: #6cbf4b; }
    HeatMap > .heat--level5 { color: #c4c531; }
    HeatMap > .heat--level6 { color: #f0a02b; }
    HeatMap > .heat--level7 { color: #f2652a; }
    HeatMap > .heat--unknown { color: #5a5f6a; }
    HeatMap > .heat--steered { color: #8a5fd0; }
    HeatMap > .heat--gone { color: #d0103a; }
    HeatMap:nocolor > .heat--cursor { text-style: reverse bold; }
    HeatMap:nocolor > .heat--brushed { text-style: underline bold; }
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "heat--plain",
        "heat--title",
        "heat--cursor",
        "heat--brushed",
        *(f"heat--{name}" for name in SHADES),
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "go(-1, 0)", "left", show=False, id="heat.left"),
        Binding("right,l", "go(1, 0)", "right", show=False, id="heat.right"),
        Binding("up,k", "go(0, -1)", "up", show=False, id="heat.up"),
        Binding("down,j", "go(0, 1)", "down", show=False, id="heat.down"),
        Binding("shift+left", "brush(-1, 0)", "brush", show=False, id="heat.brush_left"),
        Binding("shift+right", "brush(1, 0)", "brush", show=False, id="heat.brush_right"),
        Binding("shift+up", "brush(0, -1)", "brush", show=False, id="heat.brush_up"),
        Binding("shift+down", "brush(0, 1)", "brush", show=False, id="heat.brush_down"),
        Binding("enter", "choose", "only these, or open", id="heat.choose"),
        Binding("c", "measure", "colour by", id="heat.measure"),
        Binding("o", "group", "group by", id="heat.group"),
        Binding("number_sign", "digits", "digits or colours", show=False, id="heat.digits"),
    ]

    class Moved(Message):
        """The cursor, the brush or what is shown is another one."""

    class Brushed(Message):
        """Some nodes were brushed, and are to be shown alone."""

        def __init__(self, chosen: tuple[int, ...]) -> None:
            super().__init__()
            self.chosen = chosen

    class Opened(Message):
        """A node is to be shown in full."""

        def __init__(self, node: str) -> None:
            super().__init__()
            self.node = node

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.nodes: Sequence[Node] = ()
        self.measure = Measure.CPU
        self.by = BY_NOTHING
        self.is_alone = False
        self._wants_digits = False
        self._cursor = 0
        self._anchor: int | None = None
        self._dragging = False
        self._layout_made: HeatLayout | None = None
        self._layout_key: tuple[object, ...] = ()

    @property
    def in_digits(self) -> bool:
        """Whether colours would say nothing here, or are not wanted."""
        plain = any(isinstance(each, AsciiOnly) for each in self.app._filters)
        return self._wants_digits or self.app.no_color or plain

    @property
    def node(self) -> Node | None:
        """The one under the cursor."""
        return self.nodes[self._cursor] if self._cursor < len(self.nodes) else None

    @property
    def chosen(self) -> tuple[int, ...]:
        """What is brushed."""
        layout = self.heat_layout
        if self._anchor is None or not layout.places:
            return ()
        return brushed(layout, min(self._anchor, len(layout.places) - 1), self._cursor)

    @property
    def chosen_or_under(self) -> tuple[int, ...]:
        """What is brushed, else the one under the cursor."""
        return self.chosen or ((self._cursor,) if self.node is not None else ())

    @property
    def heat_layout(self) -> HeatLayout:
        """Where everything stands; made anew when what it is made of changed."""
        size = self.scrollable_content_region.size
        groups = grouped(self.nodes, self.by)
        halves = 1 if self.in_digits else 2
        key = (size.width, size.height, halves, self.is_alone, tuple(groups))
        if self._layout_made is None or key != self._layout_key:
            self._layout_key = key
            self._layout_made = lay_out(
                groups,
                width=max(1, size.width),
                lines_most=max(LINES_WANTED, size.height),
                halves=halves,
                lines_free=size.height if self.is_alone and not self.in_digits else 0,
            )
            self.virtual_size = Size(size.width, self._layout_made.lines)
        return self._layout_made

    def show(self, nodes: Sequence[Node]) -> None:
        """Draw these; the cursor stays on its node."""
        before = self.node
        if [node.name for node in nodes] != [node.name for node in self.nodes]:
            self._anchor = None
            names = {node.name: place for place, node in enumerate(nodes)}
            self._cursor = names.get(before.name, 0) if before is not None else 0
        self.nodes = nodes
        self._redraw()

    def legend(self) -> Text:
        """What the colours mean, and the node under the cursor."""
        low, high = ends(self.measure)
        text = Text(" ", no_wrap=True, overflow="ellipsis")
        text.append(f"{self.measure} ", style="bold")
        if self.in_digits:
            text.append(f"0 {low} … 9 {high}, x away, d steered, - unknown")
        else:
            text.append(f"{low} ")
            for each in range(LEVELS):
                text.append("■", style=self._ink(f"level{each}"))
            text.append(f" {high} ")
            for name, word in (("steered", "steered"), ("gone", "away"), ("unknown", "unknown")):
                text.append(" ■", style=self._ink(name))
                text.append(f" {word}")
        text.append(f"   by {safe_line(self.by.removeprefix('label.'))}   ", style="dim")
        if chosen := self.chosen:
            text.append(f"{len(chosen)} brushed: Enter shows them alone, Esc lets go", style="bold")
        elif (node := self.node) is not None:
            glyph = NODE_BADGES[node.health].glyph
            text.append(safe_line(node.name), style="bold")
            text.append(f" {glyph} {node_word(node.health, node.admin)}, {exact(node, self.measure)}")
        return text

    def action_go(self, right: int, down: int) -> None:
        """The nearest node that way; what was brushed is let go."""
        self._anchor = None
        self._move(right, down)

    def action_brush(self, right: int, down: int) -> None:
        """Brush up to the nearest node that way."""
        if self._anchor is None:
            self._anchor = self._cursor
        self._move(right, down)

    def action_choose(self) -> None:
        """What is brushed alone, or the node in full."""
        if chosen := self.chosen:
            self._anchor = None
            self.post_message(self.Brushed(chosen))
            self._redraw()
        elif (node := self.node) is not None:
            self.post_message(self.Opened(node.name))

    def action_measure(self) -> None:
        """What the colours say next."""
        every = list(Measure)
        self.measure = every[(every.index(self.measure) + 1) % len(every)]
        self._redraw()

    def action_group(self) -> None:
        """By what nodes stand together next."""
        every = groupings(self.nodes)
        place = every.index(self.by) + 1 if self.by in every else 0
        self.by = every[place % len(every)]
        self._redraw()

    def action_digits(self) -> None:
        """Digits in the place of colours, and back."""
        self._wants_digits = not self._wants_digits
        self._redraw()

    def let_go(self) -> bool:
        """Forget what is brushed; False where nothing was."""
        held, self._anchor = self._anchor is not None, None
        if held:
            self._redraw()
        return held

    def on_resize(self, _: Resize) -> None:
        """Another width has other places."""
        self._redraw()

    def on_mouse_down(self, event: MouseDown) -> None:
        """A click takes the cursor; held down, it brushes."""
        position = self._under(event.x, event.y)
        if position is not None:
            self._cursor, self._anchor, self._dragging = position, None, True
            self.capture_mouse()
            self._redraw()

    def on_mouse_move(self, event: MouseMove) -> None:
        """With the button down: brush."""
        position = self._under(event.x, event.y)
        if self._dragging and position is not None and position != self._cursor:
            self._anchor = self._cursor if self._anchor is None else self._anchor
            self._cursor = position
            self._redraw()

    def on_mouse_up(self, _: MouseUp) -> None:
        """What was brushed is shown alone."""
        if self._dragging:
            self._dragging = False
            self.release_mouse()
            if self.chosen:
                self.action_choose()

    def render_line(self, y: int) -> Strip:
        """Titles, and the points of a line."""
        layout, width = self.heat_layout, self.scrollable_content_region.width
        line = y + self.scroll_offset.y
        plain = self.get_component_rich_style("heat--plain")
        cells = [Segment(" ", plain)] * width
        chosen = frozenset(self.chosen)
        for x in range(width):
            top = layout.at.get((x, line * layout.halves))
            bottom = layout.at.get((x, line * layout.halves + 1)) if layout.halves == 2 else None
            if layout.cell > 2 and top is not None and layout.at.get((x + 1, line * layout.halves)) != top:
                continue  # so that neighbours of one colour are two
            if top is not None or bottom is not None:
                cells[x] = self._cell(top, bottom, chosen)
        for title in layout.titles:
            if title.line == line:
                style = self.get_component_rich_style("heat--title")
                for offset, sign in enumerate(title.text[: max(0, width - title.x)]):
                    cells[title.x + offset] = Segment(sign, style)
        return Strip(Segment.simplify(cells)).adjust_cell_length(width, plain)

    def _cell(self, top: int | None, bottom: int | None, chosen: frozenset[int]) -> Segment:
        if self.in_digits:
            assert top is not None, "a line has one point"
            name = "cursor" if top == self._cursor else "brushed" if top in chosen else "plain"
            style = self.get_component_rich_style(f"heat--{name}")
            return Segment(digit(self.nodes[top], self.measure), style)
        upper, lower = self._colour(top, chosen), self._colour(bottom, chosen)
        if self.heat_layout.halves == 1:
            return Segment(ROOMY_BLOCK, Style(color=upper.color, bgcolor=lower.color))
        return Segment("▀", Style(color=upper.color, bgcolor=lower.color))

    def _colour(self, position: int | None, chosen: frozenset[int]) -> Style:
        if position is None:
            return Style(color=self.get_component_rich_style("heat--plain").bgcolor)
        if position == self._cursor and self.has_focus:
            return self.get_component_rich_style("heat--cursor")
        if position in chosen:
            return self.get_component_rich_style("heat--brushed")
        return self._ink(shade(self.nodes[position], self.measure))

    def _ink(self, name: str) -> Style:
        return Style(color=self.get_component_rich_style(f"heat--{name}").color)

    def _move(self, right: int, down: int) -> None:
        layout = self.heat_layout
        if not layout.places:
            return
        self._cursor = moved(layout, min(self._cursor, len(layout.places) - 1), right=right, down=down)
        line = layout.places[self._cursor][1] // layout.halves
        top, height = self.scroll_offset.y, self.scrollable_content_region.height
        if not top <= line < top + height:
            self.scroll_to(y=max(0, line - (height - 1 if line >= top + height else 0)), animate=False)
        self._redraw()

    def _under(self, x: int, y: int) -> int | None:
        """The node there; of two in a cell the upper one, as a mouse knows cells only."""
        layout = self.heat_layout
        row = (y + self.scroll_offset.y) * layout.halves
        return layout.at.get((x, row), layout.at.get((x, row + 1)))

    def _redraw(self) -> None:
        self.refresh()
        self.post_message(self.Moved())
