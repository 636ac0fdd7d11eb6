"""What every screen can do to the cluster: ask, do it, and say what came of it.

Which actions are offered follows from the role; while nobody answers, and in the past, none is.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

from msgspec import Struct
from msgspec.structs import replace
from textual import work
from textual.binding import Binding
from textual.widgets import Input

from bus.errors import CorralError
from bus.units import counted
from bus.values import Role
from tui.client.session import Session
from tui.leaving import Leaving
from tui.view.actions import ACTIONS, FILLED_FIRST, ROLES, Step
from tui.view.arguments import BLANKS, NOTHING, Arguments, filled
from tui.view.refusals import error_text
from tui.view.safe import safe_line

if TYPE_CHECKING:  # what asks and acts is read with the first action: no picture waits for it
    from bus.api import Submitted
    from tui.app import Console
    from tui.modals.confirm import Answer, Look
    from tui.view.deeds import Act, Deed, Journal
    from tui.view.steering import Steering

TOLD_S = 10.0


class Scope(Struct, frozen=True, kw_only=True):
    """All `noun`s that `filter` lets through: `total` of them when they were last counted."""

    noun: str
    filter: str
    total: int


class ActingScreen(Leaving[None]):
    """The lower half of `LiveScreen`: who looks, whether anything can be asked, and steering."""

    BINDINGS = [
        Binding("S", "submit", "submit a job", show=False, priority=True, id="actions.submit"),
        Binding("z", "undo", "take back the last action", show=False, id="actions.undo"),
        Binding("a", "journal", "what was done from here", show=False, id="actions.journal"),
    ]

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
        """Offered: what the role may do, while there is somebody to ask; the past cannot be changed.

        What opens a line or a form comes before other keys, but not before what is typed into one.
        """
        if action in ("filter", "find", "submit", "steer") and isinstance(self.focused, Input):
            return False
        least = self.least_role(action, parameters)
        if least is None:
            return True
        if self.role.rank < least.rank:
            return False
        return True if self.can_act else None

    def least_role(self, action: str, parameters: tuple[object, ...]) -> Role | None:
        """Who may do it; None for what everybody may, and whenever they like."""
        match action:
            case "steer":
                return ROLES[str(parameters[0])]
            case "undo" | "submit" | "resubmit" | "what_if" | "all_matching" | "call" | "attach" | "create":
                return Role.USER
            case _:
                return None

    @work(group="act")
    async def steer(self, steering: Steering, *, scope: Scope | None = None) -> None:
        """Ask, then do it, then say what came of it. `scope`: what else could be meant."""
        from tui.modals.confirm import Answer
        from tui.view.steering import with_arguments

        async def again(arguments: Arguments) -> Steering:
            return with_arguments(steering, arguments)

        if not steering.steps:
            self.notify(safe_line(nothing_to_do(steering)), severity="warning", markup=False)
            self.console.give_keys()
            return
        given = steering.steps[0].arguments
        wanted = None if given == NOTHING else given
        answer = await self._settle(steering, again, scope=scope, given=wanted)
        if answer is Answer.ALL and scope is not None:
            self.steer_all(steering.verb, scope)

    @work(group="act")
    async def steer_all(
        self, verb: str, scope: Scope, *, arguments: Arguments | None = None, because: str = ""
    ) -> None:
        """The same for all that a filter lets through: the coordinator says first what that would do.

        `arguments` that were given before are not asked for; `because`: why it is asked once more.
        """
        from tui.client.doing import all_of
        from tui.view.steering import steer_all

        async def foreseen(arguments: Arguments) -> Steering:
            step = Step(noun=scope.noun, verb=verb, target=scope.filter, arguments=arguments)
            answer = await self.session.source.steer_all(all_of(step, dry_run=True))
            steering = steer_all(scope.noun, verb, scope.filter, arguments, answer)
            return replace(steering, effect=(because, *steering.effect)) if because else steering

        try:
            await self._settle(verb, foreseen, given=arguments)
        except CorralError as error:
            self.tell(error)

    async def _settle(
        self,
        first: Steering | str,
        again: Callable[[Arguments], Awaitable[Steering]],
        *,
        scope: Scope | None = None,
        given: Arguments | None = None,
    ) -> Answer:
        """Have blanks filled in and the question answered; `again` makes it anew with other arguments."""
        from tui.modals.confirm import Answer

        verb = first if isinstance(first, str) else first.verb
        arguments: Arguments | None = given or NOTHING
        if verb in FILLED_FIRST and given is None:
            question = ACTIONS[verb].word.capitalize() if isinstance(first, str) else first.question
            arguments = await self._filled(verb, question, NOTHING)
        while arguments is not None:
            steering = await again(arguments)
            if not steering.steps:
                self.notify(safe_line(" ".join(steering.effect)), severity="warning", markup=False)
                break
            answer = await self.ask(steering, scope=scope)
            if answer is Answer.YES:
                self.carry_out(steering)
            if answer is not Answer.OPTIONS:
                return answer
            arguments = await self._filled(verb, steering.question, arguments) or arguments
        return Answer.NO

    async def _filled(self, verb: str, question: str, before: Arguments) -> Arguments | None:
        from tui.modals.blanks import Blanks

        texts = await self.app.push_screen_wait(Blanks(question, BLANKS[verb], before))
        return None if texts is None else filled(texts)

    async def ask(self, steering: Steering, *, scope: Scope | None = None) -> Answer:
        """The question, with what would come of it."""
        from tui.modals.confirm import Confirm

        return await self.app.push_screen_wait(
            Confirm(
                steering,
                look=self.look_of(steering),
                options=steering.verb in BLANKS,
                matching=0 if scope is None else scope.total,
            )
        )

    def look_of(self, steering: Steering) -> Look | None:
        """How to find out what would come of it, where the row alone does not say."""
        if steering.verb in ("drain", "maintenance") and steering.steps[0].row:
            return partial(self._foreseen, steering.steps)
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
        from tui.client.doing import carry_out

        await carry_out(lambda: self.session.source, self.journal, act, changed=self._show_ghosts)
        failed = act.failed
        if failed and failed[0].code == "E_STALE":
            self._look_again(failed[0])
        elif len(act.deeds) > 1 and failed:
            self._show_deeds([act], title=f"{len(failed)} of {len(act.deeds)} were refused")
        elif failed:
            self.notify(safe_line(failed[0].said), severity="error", markup=False, timeout=TOLD_S)
        else:
            done = counted(sum(deed.step.count for deed in act.deeds), act.steering.noun)
            said = act.deeds[0].said if len(act.deeds) == 1 else done
            audit = f"  audit {act.deeds[0].audit}" if act.deeds[0].audit else ""
            first, *more = act.steering.command.splitlines()
            self.notify(safe_line(f"✔ {first}{' …' if more else ''}: {said}{audit}"), markup=False)
        self.session.hurry()
        self._show_ghosts()

    def _look_again(self, stale: Deed) -> None:
        """Others match by now: nothing was done, and the question is asked anew of those."""
        step, screen = stale.step, self.console.top()
        if screen is not None:
            scope = Scope(noun=step.noun, filter=step.target, total=step.count)
            screen.steer_all(step.verb, scope, arguments=step.arguments, because=stale.said)

    def _show_ghosts(self) -> None:
        if (screen := self.console.top()) is not None:
            screen.on_steered()

    async def _foreseen(self, steps: Sequence[Step]) -> Sequence[str]:
        """Where what these nodes hold would go, and who would wait for it."""
        from bus.requests import WhatIf
        from tui.view.effects import of_outlook

        nodes, deadline_s = [step.target for step in steps], steps[0].arguments.deadline_s
        outlook = await self.session.source.what_if(WhatIf(drain=nodes, deadline_s=deadline_s))
        return of_outlook(outlook, now_s=self.console.now_s)

    def action_undo(self) -> None:
        """Take back what was done last."""
        act = self.journal.last_reversible()
        if act is None:
            self.notify("nothing was done from here that could be taken back", markup=False)
        else:
            self._undo(act)

    @work(group="act")
    async def _undo(self, act: Act) -> None:
        from tui.modals.confirm import Answer

        steering = self.journal.undo(act)
        if await self.ask(steering) is Answer.YES:
            act.undone = True
            self.carry_out(steering)

    def action_submit(self) -> None:
        """Fill in a new job."""
        self.console.hold_keys()
        self.submit()

    @work(group="act")
    async def submit(self, job: str = "") -> None:
        """Fill in a job, from nothing or as `job` was; then look at it where all jobs are."""
        from tui.cli.form import form_of  # the grammar of the command: not read before it is needed
        from tui.modals.submit import Submit

        form = None
        if job:
            try:
                form = form_of((await self.session.source.job(job)).spec or {})
            except CorralError as error:
                self.tell(error)
                return
        answer = await self.app.push_screen_wait(Submit(lambda: self.session.source, form=form, of=job))
        if answer is not None:
            self.notify(submitted_text(answer), markup=False)
            self.session.hurry()
            await self._show_job(answer.number)

    @work(group="act")
    async def call(self, tool: str, *, refused: Deed | None = None) -> None:
        """Fill in a call of a tool, from nothing or as it was `refused`; then have it called."""
        from tui.modals.call import Call

        try:
            entry = await self.session.source.tool(tool)
        except CorralError as error:
            self.console.give_keys()
            self.tell(error)
            return
        told = NOTHING if refused is None else refused.step.arguments
        before = json.loads(told.input) if told.input else None
        form = Call(lambda: self.session.source, entry, before=before, key=told.key)
        steering = await self.app.push_screen_wait(form)
        if steering is not None:
            self.carry_out(steering)

    @work(group="attach", exclusive=True)
    async def attach(self, task: str) -> None:
        """The terminal of a task in the place of the console, until one leaves it or it ends."""
        from tui.attaching import attach
        from tui.cli.attach import Parted

        try:
            parted = await attach(
                self.console, self.session.connect, task, keys=self.console.settings.detach_keys
            )
        except CorralError as error:
            self.tell(error)
            return
        if parted is Parted.TOLD:
            self.app.exit()
            return
        self.session.hurry()
        said = "goes on; i leads there again" if parted is Parted.DETACHED else "has ended"
        self.notify(safe_line(f"the terminal of {task} {said}"), markup=False)

    async def _show_job(self, number: int) -> None:
        await self.app.switch_mode("jobs")
        while len(self.app.screen_stack) > 1:
            await self.app.pop_screen()
        if (screen := self.console.top()) is not None:
            screen.look_for(str(number))

    def look_for(self, key: str) -> None:
        """Put the cursor on the row of that name, where there are rows."""

    def action_journal(self) -> None:
        """What was done from this console."""
        self.journal.settle(now_s=time.time())
        self._show_deeds(self.journal.acts, title="done from here")

    def _show_deeds(self, acts: Sequence[Act], *, title: str) -> None:
        from tui.modals.journal import JournalModal

        self.app.push_screen(JournalModal(acts, title=title))

    def on_steered(self) -> None:
        """Something was changed, or is about to be."""

    def tell(self, error: CorralError) -> None:
        """Say what went wrong; its text may come from anywhere."""
        self.notify(safe_line(error_text(error)), severity="error", markup=False, timeout=TOLD_S)


def submitted_text(answer: Submitted) -> str:
    """ "✔ job 7: 10 tasks"."""
    again = ", which was there already" if answer.duplicate else ""
    return f"✔ job {answer.number}: {counted(answer.tasks, 'task')}{again}"


def nothing_to_do(steering: Steering) -> str:
    """Why there is nothing to ask."""
    if not steering.left_out:
        return f"nothing to {steering.verb}"
    key, why = steering.left_out[0]
    more = len(steering.left_out) - 1
    return f"{steering.noun} {key} {why}" + (f", and {more} more" if more else "")
