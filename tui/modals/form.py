"""A modal to type into: it gets what was typed while it opened, and may have what it comes to planned."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, cast

from textual import work
from textual.screen import ModalScreen
from textual.widgets import Static

from bus.errors import ApiError, CorralError
from bus.spec import JobSpec
from tui.client.asking import patiently
from tui.client.source import Source
from tui.leaving import Leaving
from tui.view.refusals import error_text, waiting_text
from tui.view.safe import safe_line

if TYPE_CHECKING:
    from bus.api import Error
    from tui.app import Console

T = TypeVar("T")

STILL_S = 0.4
"""After so long without a key the coordinator is asked what would become of it."""

PLAN_LINES = 8


class FormScreen(ModalScreen[T], Leaving[T]):
    """Whoever opens one has the console hold the keys first."""

    def on_descendant_focus(self) -> None:
        """A line is typed into now."""
        cast("Console", self.app).give_keys()


class PlannedForm(FormScreen[T]):
    """A form that comes to a job: below its lines stand `fault`, `plan` and `command`."""

    VERTICAL_BREAKPOINTS = [(0, "-flat"), (10, "-low"), (34, "-tall")]  # noqa: RUF012 - as Textual declares it
    outcome = ("fault", "plan", "command")

    def __init__(self, source: Callable[[], Source]) -> None:
        super().__init__()
        self.source = source

    def refuse(self, error: Error) -> None:
        """The coordinator would refuse it: say so at the line."""
        raise NotImplementedError

    @work(exclusive=True, group="plan")
    async def foresee(self, spec: JobSpec | None) -> None:
        """An answer to what was typed before is never shown: asking again ends this."""
        from tui.view.explanations import plan_lines

        if spec is None:
            return
        await asyncio.sleep(STILL_S)
        try:
            plan = await patiently(self.source().plan(spec), self.wait)
        except ApiError as error:
            self.refuse(error.error)
        except CorralError as error:
            self.say("plan", f"what would become of it is not known: {error_text(error)}")
        else:
            lines = [line for line in plan_lines(plan, now_s=cast("Console", self.app).now_s) if line]
            self.say("plan", *lines[:PLAN_LINES])

    def wait(self, waited_s: float) -> None:
        """Say how long one waits."""
        self.say("plan", waiting_text(waited_s))

    def say(self, what: str, *lines: str) -> None:
        """One of `outcome`, or nothing."""
        label = self.query_one(f"#form-{what}", Static)
        label.update("\n".join(map(safe_line, lines)))
        label.display = bool(lines and lines[0])
