"""The cluster's figures above the newest jobs, with a memory of how many tasks ran."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.widgets import Static

from tui.view.pulse import Lately, Part, pulse_lines
from tui.widgets.virtual_table import TONES

if TYPE_CHECKING:
    from bus.api import Cluster


MOMENTS_MAX = 240
TALL_ROWS = 34


class Pulse(Static):
    """Takes the cluster's summary as often as it comes."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"pulse--label", *(f"pulse--{tone}" for tone in TONES)}

    def __init__(self) -> None:
        super().__init__("", markup=False, id="pulse")
        self._cluster: Cluster | None = None
        self._is_then = False
        self._lately = Lately()
        self._said = Text()
        self._line_count = 0
        self._moments: deque[int] = deque(maxlen=MOMENTS_MAX)

    def show(self, cluster: Cluster) -> None:
        """One more moment."""
        self._cluster, self._is_then = cluster, False
        self._moments.append(cluster.tasks.get("running", 0))
        self.redraw()

    def show_then(self, cluster: Cluster | None) -> None:
        """The past; None where it cannot be told."""
        self._cluster, self._is_then = cluster, True
        self.redraw()

    def tell(self, lately: Lately) -> None:
        """What the last hour and the last day were like."""
        self._lately = lately
        self.redraw()

    def on_resize(self) -> None:
        """Fit the bars."""
        self.redraw()

    def redraw(self) -> None:
        """Draw what is known."""
        lines: Sequence[Sequence[Part]] = ()
        if self._cluster is not None:
            width = self.size.width or self.app.size.width
            tall = self.app.size.height >= TALL_ROWS
            running = () if self._is_then else tuple(self._moments)
            lines = pulse_lines(self._cluster, running, width=width, tall=tall, lately=self._lately)
        text = Text("\n", no_wrap=True, overflow="ellipsis").join(self._line(line) for line in lines)
        if text != self._said:
            self.update(text, layout=len(lines) != self._line_count)
            self._said, self._line_count = text, len(lines)

    def _line(self, parts: Sequence[Part]) -> Text:
        text = Text("")
        for words, tone in parts:
            name = f"pulse--{tone}"
            text.append(words, style=self.get_component_rich_style(name) if tone else "")
        return text
