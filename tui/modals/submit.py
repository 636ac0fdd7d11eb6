"""A job filled in line by line: judged while one types, then planned, then handed over.

What is wrong is said by the code that reads the command (`tui.cli.form`); what would become of it by the
coordinator, asked a moment after the last key. The command that does the same stands below.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

from msgspec.structs import replace
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.suggester import Suggester
from textual.widgets import Input, Static

from bus.api import Submitted
from bus.errors import ApiError, CorralError, Error
from bus.spec import JobSpec
from tui.cli.form import LINES, TEXT_MAX, Checked, Form, Line, check, told
from tui.client.asking import patiently
from tui.client.source import Source
from tui.modals.form import PlannedForm
from tui.view.refusals import error_text
from tui.view.safe import safe_line
from tui.widgets.prompt import SafeInput

PATHS_MAX = 2_000


class Submit(PlannedForm[Submitted | None]):
    """Answers what the coordinator accepted, None where it was left. `of`: the job it was filled from."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "submit", "submit", id="submit.submit", priority=True),
        Binding("escape", "leave", "leave", id="submit.leave"),
        Binding("down", "app.focus_next", "next line", show=False, id="submit.down"),
        Binding("up", "app.focus_previous", "line before", show=False, id="submit.up"),
    ]

    def __init__(self, source: Callable[[], Source], *, form: Form | None = None, of: str = "") -> None:
        super().__init__(source)
        self._form = form or Form()
        self._of = of
        self._checked: Checked = check(self._form)
        self._key = ""

    def compose(self) -> ComposeResult:
        """The lines, and below them what they come to."""
        title = f"Submit job {self._of} again" if self._of else "Submit a job"
        with Vertical(classes="box submit"):
            yield Static(safe_line(title), markup=False, classes="question")
            with VerticalScroll(id="form-lines", can_focus=False):
                for line in LINES:
                    with Horizontal(classes="form-line"):
                        yield Static(line.name, markup=False, classes="form-label")
                        yield _field(line, self._form.texts.get(line.name, ""))
            with VerticalScroll(id="form-outcome", can_focus=False):
                for part in self.outcome:
                    yield Static("", markup=False, id=f"form-{part}", classes="form-part")
            yield Static(
                "ctrl-s submits    Tab next    → takes a path    Esc leaves it",
                markup=False,
                classes="answers",
            )

    def on_mount(self) -> None:
        """Say at once what is still missing."""
        self._judge()

    def action_leave(self) -> None:
        """Submit nothing."""
        self.dismiss(None)

    def action_submit(self) -> None:
        """Hand it over, where it is in order."""
        if self._checked.spec is None:
            self.notify("not yet: see what is wrong", severity="warning", markup=False)
        else:
            self._hand_over(self._checked.spec)

    @on(Input.Changed)
    def _on_changed(self) -> None:
        self._judge()

    @on(Input.Submitted)
    def _on_entered(self) -> None:
        self.focus_next()

    def _judge(self) -> None:
        """Read what is there as the command would be read; ask for a plan where nothing is wrong."""
        texts = {line.name: self.query_one(f"#form-{line.name}-text", Input).value for line in LINES}
        self._form = replace(self._form, texts=texts)
        self._checked = check(self._form)
        self._key = f"console-{uuid4()}"
        rest = (
            f"   (the rest as job {self._of} has it: {', '.join(self._form.base)})" if self._form.base else ""
        )
        self.say("command", f"$ {self._checked.command}{rest}")
        self._tell(self._checked.faults, is_empty=not any(texts.values()))
        self.say("plan", "")
        self.foresee(self._checked.spec)

    def refuse(self, error: Error) -> None:
        """What is wrong, at the lines it belongs to."""
        self._tell(told(error))

    @work(exclusive=True, group="submit")
    async def _hand_over(self, spec: JobSpec) -> None:
        """Once and no more: where no answer came, the same key makes trying again safe."""
        try:
            keyed = replace(spec, dedupe_key=spec.dedupe_key or self._key)
            answer = await patiently(self.source().submit(keyed), self.wait)
        except ApiError as error:
            self.refuse(error.error)
        except CorralError as error:
            self.say("fault", f"✖ {error_text(error)}: ctrl-s tries again, and does not submit it twice")
        else:
            self.dismiss(answer)

    def _tell(self, faults: dict[str, str], *, is_empty: bool = False) -> None:
        """Mark the lines that are wrong, and say what is; an empty form is not wrong yet."""
        for line in LINES:
            self.query_one(f"#form-{line.name}-text", Input).set_class(line.name in faults, "-wrong")
        lines = [f"✖ {name}{': ' if name else ''}{fault}" for name, fault in faults.items()]
        self.say("fault", *(["command, shell, tool or file says what to run"] if is_empty else lines))


class Paths(Suggester):
    """Completes the name of a file here."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        """The first name that begins so; a folder with its slash."""
        return await asyncio.to_thread(completed, value) if value else None


def completed(value: str) -> str | None:
    """The first file or folder whose name begins with `value`; none that a terminal must not be shown."""
    folder, _, begun = value.rpartition("/")
    place = Path(f"{folder}/" if "/" in value else ".").expanduser()
    try:
        names = sorted(entry.name for entry, _ in zip(place.iterdir(), range(PATHS_MAX), strict=False))
    except OSError:
        return None
    found = next((name for name in names if name.startswith(begun) and name != begun), None)
    if found is None or safe_line(found) != found:
        return None
    return f"{value}{found[len(begun) :]}" + ("/" if (place / found).is_dir() else "")


def _field(line: Line, text: str) -> Input:
    more: dict[str, Any] = {"suggester": Paths()} if line.name == "file" else {}
    return SafeInput(
        text[:TEXT_MAX],
        placeholder=line.example,
        max_length=TEXT_MAX,
        compact=True,
        select_on_focus=False,
        id=f"form-{line.name}-text",
        **more,
    )
