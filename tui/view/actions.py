"""What can be done to the cluster from the console, and the command that does the same."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from msgspec import Struct

from bus.values import NodeAdmin, Role
from tui.view.arguments import NOTHING, Arguments


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
    "priority": Action("set the priority of", "moving", "moved"),
    "cordon": Action("cordon", "cordoning", "cordoned", Role.OPERATOR),
    "drain": Action("drain", "draining", "drained", Role.OPERATOR),
    "maintenance": Action("maintain", "to maintenance", "taken out", Role.OPERATOR),
    "undrain": Action("undrain", "opening", "opened", Role.OPERATOR),
    "label": Action("label", "labelling", "labelled", Role.OPERATOR),
    "resolve": Action("resolve", "resolving", "resolved"),
    "quarantine": Action("quarantine", "quarantining", "quarantined", Role.OPERATOR),
    "unquarantine": Action("release", "releasing", "released", Role.OPERATOR),
    "create": Action("create", "creating", "created"),
    "remove": Action("remove", "removing", "removed"),
    "undelete": Action("bring back", "bringing back", "brought back"),
    "snapshot": Action("take a snapshot of", "taking a snapshot", "snapshot taken"),
    "unsnapshot": Action("remove a snapshot of", "removing a snapshot", "snapshot removed"),
    "restore": Action("restore", "restoring", "restored"),
    "promote": Action("promote a copy of", "promoting a copy", "copy promoted"),
    "set": Action("set the policies of", "setting policies", "policies set"),
    "pool_create": Action("create", "creating", "created", Role.OPERATOR),
    "pool_remove": Action("remove", "removing", "removed", Role.OPERATOR),
    "call": Action("call", "calling", "called"),
    "scheduler_mode": Action("switch", "switching", "switched", Role.OPERATOR),
}
"""By the word of the command; `tui.client.doing` knows the request of each."""

ROLES = {verb: action.role for verb, action in ACTIONS.items()}
"""The least role that may do each."""

OPPOSITES = {
    "hold": "release", "release": "hold", "pause": "resume", "resume": "pause",
    "quarantine": "unquarantine", "unquarantine": "quarantine", "remove": "undelete", "undelete": "remove",
}  # fmt: skip
ADMIN_VERBS = {
    NodeAdmin.ACTIVE: "undrain",
    NodeAdmin.INACTIVE: "cordon",
    NodeAdmin.DRAINING: "drain",
    NodeAdmin.MAINTENANCE: "maintenance",
}
"""What made a node what it is."""

VOLUME_WORDS = {"remove": "rm"}
POOL_WORDS = {"pool_create": "create", "pool_remove": "rm"}
"""Where the word of the command is another."""

FILLED_FIRST = frozenset({"priority", "label", "maintenance", "resolve", "snapshot", "unsnapshot", "restore"})
"""Something has to be typed before there is anything to ask."""


class Step(Struct, frozen=True, kw_only=True):
    """An action done to one target, which was in `state`; `back` takes it back, where anything does.

    With a `revision` the target is a filter, and meant is all that it let through then (0: lets through now),
    `count` of them. `row`: of a list that stands for it; "": none does.
    """

    noun: str
    verb: str
    target: str
    row: str = ""
    arguments: Arguments = NOTHING
    state: str = ""
    back: Back | None = None
    revision: int | None = None
    count: int = 1


class Back(Struct, frozen=True):
    """The action that leads to where a target was before."""

    verb: str
    arguments: Arguments = NOTHING


def may_be_many(noun: str, verb: str) -> bool:
    """Whether it can be done to all that a filter lets through."""
    from bus.bulk import VERBS

    return verb in VERBS.get(noun, ())


def command_of(steps: Iterable[Step]) -> str:
    """What a shell would be given for steps that differ in nothing but their targets."""
    first, *others = steps
    verb, told = first.verb, first.arguments
    if first.revision is not None:
        words = [verb, *(["--tasks"] if first.noun == "task" else []), "--where", first.target]
    else:
        words = [verb, first.target, *(step.target for step in others)]
    match verb:
        case "scheduler_mode":
            words = ["scheduler", "mode", told.mode]
        case "resolve":
            words = ["events", *words]
        case "call":
            words = ["tool", *words]
        case "quarantine" | "unquarantine":
            words = ["gpu", ACTIONS[verb].word, *first.target.split(" ")]
        case "priority":
            words.append(told.priority)
        case "label":
            words += shlex.split(told.labels)
        case "set":
            return shlex.join(["corral", "volume", "set", first.target, *policy_options(told)])
        case "pool_create" | "pool_remove":
            words = ["pool", POOL_WORDS[verb], first.target]
        case _ if first.noun == "volume":
            words = ["volume", VOLUME_WORDS.get(verb, verb), first.target, *filter(None, [told.snapshot])]
        case _:
            pass
    return shlex.join(["corral", *words, *told.options()])


def policy_options(told: Arguments) -> list[str]:
    """All of a volume's policies, also those that are none: what is not said stays as it is."""
    if not told.backup:
        return ["--snapshots", told.snapshots, "--no-backup"]
    where = ["--backup-pool", told.backup_pool] if told.backup_pool else []
    return ["--snapshots", told.snapshots, "--backup", *where, "--copies", told.copies or "1"]
