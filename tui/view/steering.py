"""An action made ready to be asked about: the question, its effect, and a step for each target.

`tui.view.actions` has the actions, `tui.view.effects` says what each does and to which rows it fits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from bus.api import Happened, Job, Node, Task
from bus.bulk import BulkSteered
from bus.equipment import Device, ToolKind
from bus.filter import LENGTH_MAX
from bus.units import counted
from bus.volumes import PoolEntry, VolumeEntry
from tui.view import effects
from tui.view.actions import ACTIONS, ADMIN_VERBS, OPPOSITES, Back, Step, command_of
from tui.view.actions import ROLES as ROLES
from tui.view.arguments import NOTHING, Arguments, labels_typed
from tui.view.offers import Offered, offer_key
from tui.view.volume_effects import effect_of_create, effect_of_pool, policies_of, said_of

Row = effects.Row
Mode = Literal["off", "shadow", "on"]

_NAMED_BY = {"job": "number", "node": "name"}
"""The field of a filter that names each."""

_NOUNS = {"gpu": "GPU"}
_BACK = {
    "scheduler_mode": "switch",
    "set": "its policies",
    "pool_create": "made again",
    "pool_remove": "removed",
}


class Steering(Struct, frozen=True, kw_only=True):
    """`left_out`: of each target to which it does not fit, why. Without steps there is nothing to ask.

    `takes_back`: it leads back to what was before, and is not taken back itself.
    """

    noun: str
    verb: str
    question: str
    effect: tuple[str, ...]
    steps: tuple[Step, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    rows: tuple[Row, ...] = ()
    takes_back: bool = False

    @property
    def command(self) -> str:
        """The same from a shell; a line for each way of doing it."""
        alike = groupby(self.steps, key=lambda step: (step.verb, step.arguments, stands_alone(step)))
        return "\n".join(command_of(steps) for _, steps in alike)


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
        steps=tuple(_step(noun, verb, row, arguments, fits=key_of(row) not in unfit) for row in fitting),
        left_out=tuple(misfits),
        rows=tuple(rows),
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


def steer_all(noun: str, verb: str, filter: str, arguments: Arguments, foreseen: BulkSteered) -> Steering:
    """`verb` done to all that `filter` lets through, as it was `foreseen` by asking without doing it."""
    step = Step(
        noun=noun,
        verb=verb,
        target=filter,
        arguments=arguments,
        revision=foreseen.revision,
        count=foreseen.changed,
    )
    matched = foreseen.matched
    whom = f"the one {noun} that matches" if matched == 1 else f"all {counted(matched, noun)} that match"
    return Steering(
        noun=noun,
        verb=verb,
        question=f"{_word(verb)} {whom} {filter}?",
        effect=effects.of_all(noun, foreseen),
        steps=(step,) if foreseen.changed else (),
    )


def steer_mode(mode: Mode, *, before: Mode) -> Steering:
    """The scheduler given another mode: off, shadow or on."""
    verb, wanted = "scheduler_mode", Arguments(mode=mode)
    back = Back(verb, Arguments(mode=before))
    step = Step(noun="scheduler", verb=verb, target="scheduler", arguments=wanted, state=before, back=back)
    return Steering(
        noun="scheduler",
        verb=verb,
        question=f"Scheduler from {before} to {mode}?",
        effect=effects.of_mode(mode),
        steps=(step,),
    )


def steer_call(tool: str, given: Mapping[str, Any], *, key: str) -> Steering:
    """A call of a tool with that input; `key` makes it one however often it is asked for."""
    typed = json.dumps(given, ensure_ascii=False) if given else ""
    step = Step(
        noun="tool",
        verb="call",
        target=tool,
        row=offer_key(ToolKind.TOOL, tool),
        arguments=Arguments(input=typed, key=key),
    )
    return Steering(
        noun="tool", verb="call", question=f"Call tool {tool}?", effect=("a job of one task",), steps=(step,)
    )


def steer_create(arguments: Arguments) -> Steering:
    """A volume made as it was filled in."""
    name = arguments.name
    step = Step(noun="volume", verb="create", target=name, row=name, arguments=arguments)
    return Steering(
        noun="volume",
        verb="create",
        question=f"Create volume {name}?",
        effect=effect_of_create(arguments),
        steps=(step,),
    )


def steer_create_pool(arguments: Arguments) -> Steering:
    """A pool made as it was filled in."""
    verb, name = "pool_create", arguments.name
    said = replace(arguments, name="")
    step = Step(noun="pool", verb=verb, target=name, row=name, arguments=said, back=Back("pool_remove"))
    return Steering(
        noun="pool",
        verb=verb,
        question=f"Create pool {name}?",
        effect=effect_of_pool(verb, (), said),
        steps=(step,),
    )


def with_arguments(steering: Steering, arguments: Arguments) -> Steering:
    """The same with other arguments; what stands for no rows takes none."""
    if not steering.rows:
        return steering
    return steer(steering.noun, steering.verb, steering.rows, arguments)


def way_back(step: Step) -> tuple[Step, ...]:
    """What leads back from a step that was done, where the row said what was before."""
    back = step.back
    return () if back is None else (replace(step, verb=back.verb, arguments=back.arguments, back=None),)


def ways_back_of_all(noun: str, answer: BulkSteered) -> tuple[Step, ...]:
    """What leads back from a step that meant all that matched: who was changed is named, matching or not."""
    ways = []
    for undo in answer.undo:
        priority = "" if undo.priority is None else str(undo.priority)
        arguments = Arguments(priority=priority, labels=labels_typed(undo.labels))
        for count, filter in _naming(_NAMED_BY[noun], undo.targets):
            way = Step(noun=noun, verb=undo.verb, target=filter, arguments=arguments, revision=0, count=count)
            ways.append(way)
    return tuple(ways)


def taken_back(steering: Steering, ways: Sequence[Step]) -> Steering:
    """What leads back from those of its steps that were done."""
    how = dict.fromkeys(f"{_BACK.get(way.verb, way.verb)} {way.arguments.told()}".strip() for way in ways)
    (first, *others), noun = ways, steering.noun
    named = not others and first.revision is None
    whom = f"{noun} {first.target}" if named else counted(sum(way.count for way in ways), noun)
    return Steering(
        noun=noun,
        verb=first.verb,
        question=f"Take back: {ACTIONS[steering.verb].word} {whom}?",
        effect=(f"as it was before: {', '.join(how)}",),
        steps=tuple(ways),
        takes_back=True,
    )


def _naming(field: str, names: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Filters that let through `names` and nobody else, none too long; with how many each lets through."""
    some: list[str] = []
    for name in names:
        if some and len(f"{field}={','.join([*some, name])}") > LENGTH_MAX:
            yield len(some), f"{field}={','.join(some)}"
            some = []
        some.append(name)
    yield len(some), f"{field}={','.join(some)}"


def stands_alone(step: Step) -> str:
    """The target of a step that shares its command with no other: a filter, a volume, a pool, a GPU."""
    return step.target if step.revision is not None or step.noun in ("gpu", "volume", "pool") else ""


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
        case Offered():
            return offer_key(row.tool.kind, row.tool.name)
        case Device():
            return f"{row.node} {row.kind} {row.name}"
        case VolumeEntry() | PoolEntry():
            return row.name


def _step(noun: str, verb: str, row: Row, arguments: Arguments, *, fits: bool) -> Step:
    target: str = key_of(row)
    revision: int | None = None
    if isinstance(row, Task) and row.count > 1:  # a range that shares a row is a set, not a task
        target, revision = f"job={row.job} index>={row.index} index<{row.index + row.count}", 0
    if isinstance(row, Device):
        target = f"{row.node} {row.name}"
    return Step(
        noun=noun,
        verb=verb,
        target=target,
        row=key_of(row),
        arguments=arguments,
        state=effects.state_word(row),
        back=_back(verb, row, arguments) if fits else None,
        revision=revision,
    )


def _back(verb: str, row: Row, arguments: Arguments) -> Back | None:
    if isinstance(row, VolumeEntry) and arguments.now:
        return None
    if isinstance(row, VolumeEntry) and verb == "set":
        return Back(verb, policies_of(row))
    if isinstance(row, PoolEntry):
        return Back("pool_create", said_of(row))
    if verb == "snapshot":
        return Back("unsnapshot", Arguments(snapshot=arguments.snapshot))
    if (opposite := OPPOSITES.get(verb)) is not None:
        return Back(opposite)
    if verb == "priority" and isinstance(row, Job):
        return Back(verb, Arguments(priority=str(row.priority)))
    if not isinstance(row, Node):
        return None
    if verb == "label":
        before = {name: row.set_labels.get(name) for name in arguments.label_changes}
        return Back(verb, Arguments(labels=labels_typed(before)))
    admin = row.goal or row.admin
    return Back(ADMIN_VERBS[admin]) if admin in ADMIN_VERBS else None


def _question(noun: str, verb: str, rows: Sequence[Row]) -> str:
    if len(rows) != 1:
        return f"{_word(verb)} {len(rows)} {_NOUNS.get(noun, noun)}s?"
    (row,) = rows
    named = f" {row.name}" if isinstance(row, Job) and row.name else ""
    if isinstance(row, Task) and row.count > 1:
        named = f" to {row.job}.{row.index + row.count - 1}"
    if isinstance(row, Device):
        return f"{_word(verb)} GPU {row.name} of {row.node}?"
    return f"{_word(verb)} {noun} {key_of(row)}{named}?"


def _word(verb: str) -> str:
    return ACTIONS[verb].word.capitalize()
