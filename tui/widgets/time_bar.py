"""The time cursor's line: in the past a banner that cannot be overlooked, now a bar where there is room."""

from __future__ import annotations

import time

from rich.text import Text

from tui.view.amounts import duration
from tui.view.moments import banner, bar
from tui.widgets.one_line import OneLine

BAR_LEAST, BAR_MOST = 12, 60
KEYS = "  , . step   < > zoom   n now"


class TimeBar(OneLine):
    """Shown by its style: always in the past, else on wide screens."""

    def __init__(self) -> None:
        super().__init__(id="time-bar")
        self._moment: float | None = None
        self._step_s = 0.0
        self._note = ""

    def on_resize(self) -> None:
        """As much as there is room for."""
        self.redraw()

    def show(self, moment: float | None, *, step_s: float, note: str = "") -> None:
        """Take where the cursor stands, how far it goes at once, and what does not follow it."""
        self._moment, self._step_s, self._note = moment, step_s, note
        self.set_class(moment is not None, "-past")
        self.redraw()

    def redraw(self) -> None:
        """Draw it as of now."""
        text = bar_text(
            self._moment, step_s=self._step_s, now_s=time.time(), width=self.size.width, note=self._note
        )
        self.say(text)


def bar_text(moment: float | None, *, step_s: float, now_s: float, width: int, note: str = "") -> Text:
    """The banner first and what does not follow, then the bar and the step, then the keys that still fit."""
    said = " now"
    if moment is not None:
        said = f" {banner(moment, now_s=now_s)}"
        more = f": {note}" if note else ", nothing can be changed"
        said += more if note or len(said + more) <= width else ""
    step = f"  step {duration(step_s)}"
    left = width - len(said) - len(step) - 2
    text = Text(said, no_wrap=True, overflow="ellipsis")
    if left >= BAR_LEAST:
        keys = KEYS if left - len(KEYS) >= BAR_LEAST else ""
        drawn = bar(moment, step_s=step_s, now_s=now_s, width=min(left - len(keys), BAR_MOST))
        text.append(f"  {drawn}{step}{keys}")
    return text
