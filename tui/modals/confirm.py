"""Asks before something is changed: says the effect, and shows the command that does the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from bus.errors import CorralError
from tui.client.asking import patiently
from tui.modals.modal import Modal
from tui.view.refusals import error_text, waiting_text
from tui.view.safe import safe_line
from tui.view.steering import Steering

SHOWN_MAX = 6
"""Commands and targets left out that are shown; more are counted."""

Look = Callable[[], Awaitable[Sequence[str]]]
"""Asks the coordinator what would come of it, as lines."""


class Answer(Enum):
    """What was answered to the question."""

    NO = "no"
    YES = "yes"
    OPTIONS = "options"
    ALL = "all"


class Confirm(Modal[Answer]):
    """Does it on `y` alone: Enter comes too easily to a hand that types on. Anything else closes it.

    `look` is asked while the question stands. `options`: the action takes a deadline, or a reason.
    `matching`: so many things match the filter of the list, and all of them could be meant.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer('yes')", "yes", id="confirm.yes"),
        Binding("n,escape,q,enter", "answer('no')", "no", id="confirm.no"),
        Binding("o", "answer('options')", "options", id="confirm.options"),
        Binding("a", "answer('all')", "all that match", id="confirm.all"),
        Binding("Y", "copy", "copy the command", id="confirm.copy"),
    ]

    def __init__(
        self, steering: Steering, *, look: Look | None = None, options: bool = False, matching: int = 0
    ) -> None:
        super().__init__()
        self.steering = steering
        self._look = look
        self._offered = {Answer.YES: True, Answer.NO: True, Answer.OPTIONS: options, Answer.ALL: matching > 0}
        self._matching = matching
        # kept, for an answer may come when the question is closed already and has no parts to look among
        self._outlook = Static("looking ahead …", markup=False, id="outlook", classes="outlook")

    def compose(self) -> ComposeResult:
        """A small box."""
        steering = self.steering
        with VerticalScroll(classes="box", can_focus=False):
            yield Static(safe_line(steering.question), markup=False, classes="question")
            yield Static(_lines(steering.effect), markup=False)
            if self._look is not None:
                yield self._outlook
            if steering.left_out:
                yield Static(_left_out(steering), markup=False, classes="left-out")
            yield Static(_commands(steering), markup=False, classes="command")
            yield Static(self._keys(), markup=False, classes="answers")

    def on_mount(self) -> None:
        """Look ahead meanwhile."""
        if self._look is not None:
            self._foresee(self._look)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only the answers that there are."""
        return action != "answer" or self._offered[Answer(parameters[0])]

    def action_answer(self, answer: str) -> None:
        """Close with the answer."""
        self.dismiss(Answer(answer))

    def action_copy(self) -> None:
        """The command into the clipboard of the terminal."""
        self.app.copy_to_clipboard("\n".join(map(safe_line, self.steering.command.splitlines())))
        self.notify("the command is in the clipboard", markup=False, timeout=2)

    @work(exclusive=True)
    async def _foresee(self, look: Look) -> None:
        try:
            said = _lines(await patiently(look(), self._wait))
        except CorralError as error:
            said = f"what would come of it is not known: {safe_line(error_text(error))}"
        self._outlook.update(said)

    def _wait(self, waited_s: float) -> None:
        self._outlook.update(f"looking ahead … {waiting_text(waited_s)}")

    def _keys(self) -> str:
        keys = ["y yes", "n no"]
        if self._offered[Answer.OPTIONS]:
            keys.append("o options")
        if self._matching:
            keys.append(f"a all {self._matching} matching")
        return "    ".join([*keys, "Y copy"])


def _lines(lines: Sequence[str]) -> str:
    return "\n".join(map(safe_line, lines))


def _commands(steering: Steering) -> str:
    lines = steering.command.splitlines()
    more = [f"  … and {len(lines) - SHOWN_MAX} more"] if len(lines) > SHOWN_MAX else []
    return _lines([*(f"$ {line}" for line in lines[:SHOWN_MAX]), *more])


def _left_out(steering: Steering) -> str:
    """Who is left out, and why."""
    lines = [f"left out: {steering.noun} {key} {why}" for key, why in steering.left_out[:SHOWN_MAX]]
    if (more := len(steering.left_out) - SHOWN_MAX) > 0:
        lines.append(f"          and {more} more")
    return _lines(lines)
