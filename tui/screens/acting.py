"""What every screen can do to the cluster: ask, do it, and say what came of it.

Which actions are offered follows from the role; while nobody answers, and in the past, none is.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

from textual import work
from textual.screen import Screen

from bus.errors import CorralError
from bus.requests import WhatIf
from bus.values import Role
from tui.client.doing import carry_out
from tui.client.session import Session
from tui.modals.blanks import Blanks
from tui.modals.confirm import Answer, Confirm, Look
from tui.modals.journal import JournalModal
from tui.view.arguments import BLANKS, filled
from tui.view.deeds import Act, Journal
from tui.view.outlooks import outlook_lines
from tui.view.refusals import error_text
from tui.view.safe import safe_line
from tui.view.steering import ROLES, Steering, with_arguments

if TYPE_CHECKING:
    from tui.app import Console

ACTS = frozenset({"steer", "undo"})
OUTLOOK_LINES = 6
TOLD_S = 10.0


class ActingScreen(Screen[None]):
    """The lower half of `LiveScreen`: who looks, whether anything can be asked, and steering."""

    @property
    def console(self) -> Console:
        """The application."""
        return cast("Console", self.app)

    @property
    def session(self) -> Session:
        """The connection behind the console."""
        return self.console.session

    @property
    def journal(self) -> Journal:
        """What was done from this console."""
        return self.console.journal

    @property
    def is_online(self) -> bool:
        """Whether anything can be asked now."""
        return self.console.offline is None and self.console.online is not None

    @property
    def can_act(self) -> bool:
        """Whether anything can be changed now; the past cannot be."""
        return self.is_online and self.console.moment is None

    @property
    def role(self) -> Role:
        """Of who looks; the least while nobody has said."""
        online = self.console.online
        return Role.READONLY if online is None else online.me.role

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offered: what the role may do, while there is somebody to ask; the past cannot be changed."""
        match action:
            case "steer":
                least = ROLES[str(parameters[0])]
            case "undo" | "submit":
                least = Role.USER
            case _:
                return True
        if self.role.rank < least.rank:
            return False
        return True if self.can_act else None

    @work(group="act")
    async def steer(self, steering: Steering) -> None:
        """Ask, then do it, then say what came of it."""
        if not steering.steps:
            self.notify(safe_line(nothing_to_do(steering)), severity="warning", markup=False)
            return
        while (answer := await self.ask(steering)) is Answer.OPTIONS:
            texts = await self.app.push_screen_wait(Blanks(steering, BLANKS[steering.verb]))
            if texts is not None:
                steering = with_arguments(steering, filled(texts))
        if answer is Answer.YES:
            self.carry_out(steering)

    async def ask(self, steering: Steering) -> Answer:
        """The question, with what would come of it."""
        options = steering.verb in BLANKS
        return await self.app.push_screen_wait(
            Confirm(steering, look=self.look_of(steering), options=options)
        )

    def look_of(self, steering: Steering) -> Look | None:
        """How to find out what would come of it, where the row alone does not say."""
        if steering.verb in ("drain", "maintenance"):
            return partial(self._drained, [step.target for step in steering.steps])
        return None

    def carry_out(self, steering: Steering) -> None:
        """Do it; the application sees to it, for the screen may be left meanwhile."""
        if not self.can_act:
            self.notify("nothing is changed: nobody answers now", severity="error", markup=False)
            return
        act = self.journal.begin(steering, now_s=time.time())
        self.on_steered()
        self.app.run_worker(self._carry_out(act), group="deeds", name=steering.command)

    async def _carry_out(self, act: Act) -> None:
        await carry_out(lambda: self.session.source, self.journal, act, changed=self._show_ghosts)
        failed = act.failed
        if len(act.deeds) > 1 and failed:
            self.app.push_screen(JournalModal([act], title=f"{len(failed)} of {len(act.deeds)} were refused"))
        elif failed:
            self.notify(safe_line(failed[0].said), severity="error", markup=False, timeout=TOLD_S)
        else:
            said = act.deeds[0].said if len(act.deeds) == 1 else f"{len(act.deeds)} {act.steering.noun}s"
            audit = f"  audit {act.deeds[0].audit}" if act.deeds[0].audit else ""
            first, *more = act.steering.command.splitlines()
            self.notify(safe_line(f"✔ {first}{' …' if more else ''}: {said}{audit}"), markup=False)
        self.session.hurry()
        self._show_ghosts()

    def _show_ghosts(self) -> None:
        if (screen := self.console.top()) is not None:
            screen.on_steered()

    async def _drained(self, nodes: Sequence[str]) -> Sequence[str]:
        outlook = await self.session.source.what_if(WhatIf(drain=list(nodes)))
        return outlook_lines(outlook, now_s=time.time())[:OUTLOOK_LINES]

    def action_undo(self) -> None:
        """Take back what was done last."""
        act = self.journal.last_reversible()
        if act is None:
            self.notify("nothing was done from here that could be taken back", markup=False)
        else:
            self._undo(act)

    @work(group="act")
    async def _undo(self, act: Act) -> None:
        steering = self.journal.undo(act)
        if await self.ask(steering) is Answer.YES:
            act.undone = True
            self.carry_out(steering)

    def action_journal(self) -> None:
        """What was done from this console."""
        self.app.push_screen(JournalModal(self.journal.acts, title="done from here"))

    def on_steered(self) -> None:
        """Something was changed, or is about to be."""

    def tell(self, error: CorralError) -> None:
        """Say what went wrong; its text may come from anywhere."""
        self.notify(safe_line(error_text(error)), severity="error", markup=False, timeout=TOLD_S)


def nothing_to_do(steering: Steering) -> str:
    """Why there is nothing to ask."""
    if not steering.left_out:
        return f"nothing to {steering.verb}"
    key, why = steering.left_out[0]
    more = len(steering.left_out) - 1
    return f"{steering.noun} {key} {why}" + (f", and {more} more" if more else "")
