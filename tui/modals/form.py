"""A modal to type into: it gets what was typed while it opened, and may have what it comes to planned."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, cast

from textual import work
from textual.widgets import Static

from bus.errors import ApiError, CorralError, Error
from bus.spec import JobSpec
from tui.client.asking import patiently
from tui.client.source import Source
from tui.modals.modal import Modal
from tui.view.refusals import error_text, waiting_text
from tui.view.safe import safe_line

if TYPE_CHECKING:
    from tui.app import Console

T = TypeVar("T")

STILL_S = 0.4
"""After so long without a key the coordinator is asked what would become of it."""

PLAN_LINES = 8


class FormScreen(Modal[T]):
    """Whoever opens one has the console hold the keys first."""

    DEFAULT_CSS = """
    .submit, .blanks { width: 100; }
    FormScreen.-flat .submit, FormScreen.-low .submit { height: 100%; max-height: 100%; border: none; }
    .form-line { width: 100%; height: 1; }
    .box .form-label { width: 10; color: $text-muted; text-wrap: nowrap; text-overflow: ellipsis; }
    .box .call-label { width: 18; }
    .form-line Input { width: 1fr; background: $surface; }
    .form-line Input:focus { background: $surface-lighten-1; }
    .form-line .-wrong { color: $text-error; }
    #form-lines { height: auto; max-height: 16; }
    FormScreen.-low #form-lines, FormScreen.-flat #form-lines { height: 1fr; max-height: 1fr; }
    #form-outcome { height: auto; max-height: 12; margin-top: 1; }
    FormScreen.-low #form-outcome, FormScreen.-flat #form-outcome { max-height: 7; }
    .box .form-part { width: 100%; }
    #form-command { color: $text-accent; }
    #form-fault, #blanks-fault { color: $text-error; }
    #form-plan { color: $text-muted; }
    .blank-label { color: $text-muted; margin-top: 1; }
    .blanks Input { background: $surface-lighten-1; }
    """

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
