"""The time cursor's line: in the past a banner that cannot be overlooked, now a bar where there is room."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from rich.text import Text

from tui.view.amounts import duration
from tui.view.moments import Density, banner, bar, then_text
from tui.widgets.one_line import OneLine

if TYPE_CHECKING:
    from tui.app import Console

BAR_LEAST, BAR_MOST = 12, 60
KEYS = "  , . step   < > zoom   n now"


class TimeBar(OneLine):
    """Shown by its style: always in the past, else on wide screens."""

    def __init__(self) -> None:
        super().__init__(id="time-bar")
        self._moment: float | None = None
        self._step_s = 0.0
        self._note = ""
        self._density: Density | None = None

    def on_resize(self) -> None:
        """As much as there is room for."""
        self.redraw()

    def show(
        self, moment: float | None, *, step_s: float, note: str = "", density: Density | None = None
    ) -> None:
        """Take where the cursor stands, how far it goes at once, what does not follow, how much happened."""
        self._moment, self._step_s, self._note, self._density = moment, step_s, note, density
        self.set_class(moment is not None, "-past")
        self.redraw()

    def redraw(self) -> None:
        """Draw it as of now."""
        now_s, width = cast("Console", self.app).now_s, self.size.width
        said = banner_text(self._moment, now_s=now_s, width=width, note=self._note, density=self._density)
        self.say(
            bar_text(said, self._moment, step_s=self._step_s, now_s=now_s, width=width, density=self._density)
        )


def banner_text(
    moment: float | None, *, now_s: float, width: int, note: str = "", density: Density | None = None
) -> str:
    """Which moment, what does not follow it, how much happened then, that it is locked: what fits of it."""
    if moment is None:
        return " now"
    said = f" {banner(moment, now_s=now_s)}"
    for more in (note, then_text(moment, density), "nothing can be changed"):
        if more and len(said) + len(more) + 2 <= width:
            said += f", {more}"
    return said


def bar_text(
    said: str,
    moment: float | None,
    *,
    step_s: float,
    now_s: float,
    width: int,
    density: Density | None = None,
) -> Text:
    """After what is said the bar and the step, then the keys that still fit."""
    step = f"  step {duration(step_s)}"
    left = width - len(said) - len(step) - 2
    text = Text(said, no_wrap=True, overflow="ellipsis")
    if left >= BAR_LEAST:
        keys = KEYS if left - len(KEYS) >= BAR_LEAST else ""
        cells = min(left - len(keys), BAR_MOST)
        drawn = bar(moment, step_s=step_s, now_s=now_s, width=cells, density=density)
        text.append(f"  {drawn}{step}{keys}")
    return text
