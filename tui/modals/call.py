"""A tool called from a form that its JSON Schema makes: judged while one types, planned by the coordinator.

The call itself is made on the list of tools, where its ghost stands on the tool until it is accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar
from uuid import uuid4

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Input, Static

from bus.errors import CorralError, Error
from bus.registry import ToolEntry
from bus.spec import JobSpec
from tui.client.doing import call_of
from tui.client.source import Source
from tui.modals.form import PlannedForm
from tui.view.calls import called, lines_of, texts_of
from tui.view.refusals import error_text
from tui.view.safe import safe_line
from tui.view.steering import Steering, steer_call
from tui.widgets.prompt import SafeInput

TEXT_MAX = 4_096
"""Of a line of the form."""

COPIED_S = 2.0


class Call(PlannedForm[Steering | None]):
    """Answers the call to be made, None where it was left. `before`: an input to begin with, and its key."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "call", "call", id="call.call", priority=True),
        Binding("ctrl+y", "copy", "copy the command", id="call.copy", priority=True),
        Binding("escape", "leave", "leave", id="call.leave"),
        Binding("down", "app.focus_next", "next line", show=False, id="call.down"),
        Binding("up", "app.focus_previous", "line before", show=False, id="call.up"),
    ]

    def __init__(
        self,
        source: Callable[[], Source],
        tool: ToolEntry,
        *,
        before: Mapping[str, Any] | None = None,
        key: str = "",
    ) -> None:
        super().__init__(source)
        self._tool = tool
        self._lines = lines_of(tool)
        self._texts = texts_of(self._lines, before or {})
        self._key = key or _new_key()
        self._steering: Steering | None = None

    def compose(self) -> ComposeResult:
        """The lines, and below them what they come to."""
        with Vertical(classes="box submit call"):
            yield Static(
                safe_line(f"Call {self._tool.name}@{self._tool.version}"), markup=False, classes="question"
            )
            if self._tool.description:
                yield Static(safe_line(self._tool.description), markup=False, classes="about")
            with VerticalScroll(id="form-lines", can_focus=False):
                for place, (line, text) in enumerate(zip(self._lines, self._texts, strict=True)):
                    with Horizontal(classes="form-line"):
                        yield Static(safe_line(line.label), markup=False, classes="form-label call-label")
                        yield SafeInput(
                            text[:TEXT_MAX],
                            placeholder=safe_line(line.hint),
                            max_length=TEXT_MAX,
                            compact=True,
                            select_on_focus=False,
                            id=f"call-{place}",
                        )
            with VerticalScroll(id="form-outcome", can_focus=False):
                for part in self.outcome:
                    yield Static("", markup=False, id=f"form-{part}", classes="form-part")
            yield Static(
                "ctrl-s calls it   ctrl-y copies the command   Tab next   Esc leaves",
                markup=False,
                classes="answers",
            )

    def on_mount(self) -> None:
        """Say at once what is still missing."""
        if not self._lines:
            self.on_descendant_focus()  # nothing can be typed into: keys go on
        self._judge()

    def action_leave(self) -> None:
        """Call nothing."""
        self.dismiss(None)

    def action_call(self) -> None:
        """Have it called, where it is in order."""
        if self._steering is None:
            self.notify("not yet: see what is wrong", severity="warning", markup=False)
        else:
            self.dismiss(self._steering)

    def action_copy(self) -> None:
        """The command of the call, as it stands there."""
        self.app.copy_to_clipboard(safe_line(self._command))
        self.notify("the command is in the clipboard", markup=False, timeout=COPIED_S)

    @on(Input.Changed)
    def _on_changed(self) -> None:
        texts = [self.query_one(f"#call-{place}", Input).value for place in range(len(self._lines))]
        if texts != self._texts:
            self._texts, self._key = texts, _new_key()
            self._judge()

    @on(Input.Submitted)
    def _on_entered(self) -> None:
        self.focus_next()

    def _judge(self) -> None:
        """Read what is there; ask for a plan where nothing is wrong."""
        found = called(self._tool, self._lines, self._texts)
        steering = steer_call(self._tool.name, found.given, key=self._key)
        self._command = steering.command
        self._steering = None if found.faults else steering
        self.say("command", f"$ {self._command}")
        self._tell(found.faults, is_empty=not any(self._texts))
        self.say("plan", "")
        self.foresee(self._spec())

    def _spec(self) -> JobSpec | None:
        """What is to be planned; None where something is wrong."""
        if self._steering is None:
            return None
        step = self._steering.steps[0]
        try:
            return call_of(step.target, step.arguments)
        except CorralError as error:
            self._steering = None
            self.say("fault", f"✖ {error_text(error)}")
            return None

    def refuse(self, error: Error) -> None:
        """What is wrong, at the line of the key it is about."""
        faults: dict[str, str] = {}
        for each in (error, *error.more):
            key = each.field.removeprefix("/input/").partition("/")[0]
            expected = f"; expected {each.expected}" if each.expected else ""
            hint = f" ({each.hint})" if each.hint else ""
            faults.setdefault(key if key != each.field else "", f"{each.message}{expected}{hint}")
        self._tell(faults)

    def _tell(self, faults: Mapping[str, str], *, is_empty: bool = False) -> None:
        """Mark the lines that are wrong, and say what is; in an empty form only say what is needed."""
        for place, line in enumerate(self._lines):
            is_wrong = line.key in faults and not is_empty
            self.query_one(f"#call-{place}", Input).set_class(is_wrong, "-wrong")
        if is_empty and faults:
            needed = ", ".join(line.label for line in self._lines if line.required)
            self.say("fault", f"to be filled in: {needed}" if needed else next(iter(faults.values())))
            return
        self.say("fault", *(f"✖ {key}{': ' if key else ''}{fault}" for key, fault in faults.items()))


def _new_key() -> str:
    return f"console-{uuid4()}"
