"""What the console can do to the cluster: the actions, and one of them made ready to be asked about.

An action has the name of the client's method. A `Steering` is one done to some rows: the question, its
effect, and a `Step` for each target with what takes it back. `tui.view.effects` says what it does, and to
what it fits.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from bus.api import Happened, Job, Node, Task
from bus.values import NodeAdmin, Role
from tui.view import effects
from tui.view.arguments import NOTHING, Arguments

Row = Job | Task | Node | Happened
Mode = Literal["off", "shadow", "on"]


class Action(Struct, frozen=True):
    """`doing` is its word while it is under way, `done` afterwards; `role` the least that may do it."""

    word: str
    doing: str
    done: str
    role: Role = Role.USER


ACTIONS = {
    "cancel": Action("cancel", "cancelling", "cancelled"),
    "retry": Action("retry", "retrying", "retried"),
    "hold": Action("hold", "holding", "held"),
    "release": Action("release", "releasing", "released"),
    "pause": Action("pause", "pausing", "paused"),
    "resume": Action("resume", "resuming", "resumed"),
    "requeue": Action("requeue", "requeueing", "requeued"),
    "cordon": Action("cordon", "cordoning", "cordoned", Role.OPERATOR),
    "drain": Action("drain", "draining", "drained", Role.OPERATOR),
    "maintenance": Action("take into maintenance", "to maintenance", "taken into maintenance", Role.OPERATOR),
    "undrain": Action("undrain", "opening", "opened", Role.OPERATOR),
    "scheduler_mode": Action("set the mode of", "switching", "switched", Role.OPERATOR),
}

ROLES = {verb: action.role for verb, action in ACTIONS.items()}
"""The least role that may do each."""

OPPOSITES = {"hold": "release", "release": "hold", "pause": "resume", "resume": "pause"}
ADMIN_VERBS = {
    NodeAdmin.ACTIVE: "undrain",
    NodeAdmin.INACTIVE: "cordon",
    NodeAdmin.DRAINING: "drain",
    NodeAdmin.MAINTENANCE: "maintenance",
}
"""What made a node what it is."""

SPREAD_MAX = 500
"""So many tasks of an untouched range are steered one by one; more of them only with the whole job."""


class Step(Struct, frozen=True, kw_only=True):
    """An action done to one target, which was in `state`; `back` takes it back, where anything does."""

    verb: str
    target: str
    arguments: Arguments = NOTHING
    state: str = ""
    back: Back | None = None


class Back(Struct, frozen=True):
    """The action that leads to where a target was before."""

    verb: str
    arguments: Arguments = NOTHING


class Steering(Struct, frozen=True, kw_only=True):
    """`left_out`: of each target to which it does not fit, why. Without steps there is nothing to ask."""

    noun: str
    verb: str
    question: str
    effect: tuple[str, ...]
    steps: tuple[Step, ...]
    left_out: tuple[tuple[str, str], ...] = ()

    @property
    def command(self) -> str:
        """The same from a shell; a line for each way of doing it."""
        alike = groupby(self.steps, key=lambda step: (step.verb, step.arguments))
        return "\n".join(
            command_line(verb, [step.target for step in steps], arguments)
            for (verb, arguments), steps in alike
        )


def steer(noun: str, verb: str, rows: Sequence[Row], arguments: Arguments = NOTHING) -> Steering:
    """`verb` done to those of `rows`, all of them `noun`s, to which it fits."""
    misfits = [(key_of(row), why) for row in rows if (why := effects.misfit(verb, row))]
    unfit = {key for key, _ in misfits}
    fitting = [row for row in rows if key_of(row) not in unfit]
    effect = effects.told(verb, fitting, arguments)
    if len(rows) == 1 and misfits:  # what the row says may be old: who asks for it alone may still ask
        fitting, effect, misfits = [*rows], (f"nothing would change: it {misfits[0][1]}",), []
    return Steering(
        noun=noun,
        verb=verb,
        question=_question(noun, verb, fitting),
        effect=effect,
        steps=tuple(step for row in fitting for step in _steps(verb, row, arguments)),
        left_out=tuple(misfits),
    )


def steer_job(verb: str, job: Job, arguments: Arguments = NOTHING) -> Steering:
    """`verb` done to a job."""
    return steer("job", verb, [job], arguments)


def steer_task(verb: str, task: Task, arguments: Arguments = NOTHING) -> Steering:
    """`verb` done to one task."""
    return steer("task", verb, [task], arguments)


def steer_node(verb: str, node: Node, arguments: Arguments = NOTHING) -> Steering:
    """`verb` done to a node."""
    return steer("node", verb, [node], arguments)


def steer_mode(mode: Mode, *, before: Mode) -> Steering:
    """The scheduler given another mode: off, shadow or on."""
    step = Step(
        verb="scheduler_mode",
        target="scheduler",
        arguments=Arguments(mode=mode),
        state=before,
        back=Back("scheduler_mode", Arguments(mode=before)),
    )
    return Steering(
        noun="scheduler",
        verb=step.verb,
        question=f"Scheduler from {before} to {mode}?",
        effect=effects.of_mode(mode),
        steps=(step,),
    )


def with_arguments(steering: Steering, arguments: Arguments) -> Steering:
    """The same with other arguments."""
    steps = tuple(replace(step, arguments=arguments) for step in steering.steps)
    told = arguments.told()
    effect = steering.effect[:1] + ((told,) if told else ())
    return replace(steering, steps=steps, effect=effect)


def taken_back(steering: Steering, steps: Sequence[Step]) -> Steering:
    """What leads back from those of its steps that were done."""
    undone = tuple(
        Step(verb=step.back.verb, target=step.target, arguments=step.back.arguments)
        for step in steps
        if step.back is not None
    )
    verbs = ", ".join(dict.fromkeys(ACTIONS[step.verb].word for step in undone))
    return Steering(
        noun=steering.noun,
        verb=undone[0].verb,
        question=f"Take back: {ACTIONS[steering.verb].word} {_whom(steering.noun, undone)}?",
        effect=(f"{verbs}: as it was before",),
        steps=undone,
    )


def command_line(verb: str, targets: Iterable[str], arguments: Arguments) -> str:
    """What a shell would be given."""
    match verb:
        case "scheduler_mode":
            words = ["scheduler", "mode", arguments.mode]
        case _:
            words = [verb, *targets]
    return shlex.join(["corral", *words, *arguments.options()])


def key_of(row: Row) -> str:
    """How a row is named in its list, and on a command line."""
    match row:
        case Job():
            return str(row.number)
        case Task():
            return f"{row.job}.{row.index}"
        case Node():
            return row.name
        case Happened():
            return row.id


def _steps(verb: str, row: Row, arguments: Arguments) -> list[Step]:
    step = Step(
        verb=verb,
        target=key_of(row),
        arguments=arguments,
        state=effects.state_word(row),
        back=_back(verb, row),
    )
    if not isinstance(row, Task) or row.count == 1:
        return [step]
    indexes = range(row.index, row.index + row.count)
    return [
        Step(verb=verb, target=f"{row.job}.{index}", arguments=arguments, state=step.state)
        for index in indexes
    ]


def _back(verb: str, row: Row) -> Back | None:
    if (opposite := OPPOSITES.get(verb)) is not None:
        return Back(opposite)
    if isinstance(row, Node) and verb in ADMIN_VERBS.values():
        admin = row.goal or row.admin
        return Back(ADMIN_VERBS[admin]) if admin in ADMIN_VERBS else None
    return None


def _question(noun: str, verb: str, rows: Sequence[Row]) -> str:
    word = ACTIONS[verb].word.capitalize()
    if len(rows) != 1:
        return f"{word} {len(rows)} {noun}s?"
    (row,) = rows
    named = f" {row.name}" if isinstance(row, Job) and row.name else ""
    if isinstance(row, Task) and row.count > 1:
        named = f" to {row.job}.{row.index + row.count - 1}"
    return f"{word} {noun} {key_of(row)}{named}?"


def _whom(noun: str, steps: Sequence[Step]) -> str:
    return f"{noun} {steps[0].target}" if len(steps) == 1 else f"{len(steps)} {noun}s"
