"""What some actions take besides their target: read as one types, and written as options of the command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct, convert

from bus.mounts import VOLUME_NAME, AccessMode
from bus.units import UnitError, parse_duration_s, parse_priority, parse_size_mib

MODES = tuple(AccessMode)
YES = "yes"
COPIES_MAX, REPLICAS_MAX = 5, 100
_SNAPSHOT = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")


class Arguments(Struct, frozen=True, kw_only=True):
    """Each as it was typed; each belongs to some actions. `key`: of what is done once only.

    From `snapshot` on of volumes, from `pool_type` on of pools; `now`, `shared`, `backup`, `compress` and
    `encrypt` are "yes" or "".
    """

    reason: str = ""
    deadline: str = ""
    priority: str = ""
    labels: str = ""
    note: str = ""
    input: str = ""
    key: str = ""
    mode: Literal["", "off", "shadow", "on"] = ""
    snapshot: str = ""
    now: str = ""
    name: str = ""
    pool: str = ""
    size: str = ""
    access: str = ""
    node: str = ""
    path: str = ""
    source: str = ""
    storage_class: str = ""
    shared: str = ""
    snapshots: str = ""
    backup: str = ""
    backup_pool: str = ""
    copies: str = ""
    pool_type: str = ""
    nodes: str = ""
    tier: str = ""
    compress: str = ""
    encrypt: str = ""
    replicas: str = ""

    @property
    def deadline_s(self) -> float | None:
        """In seconds; None: never."""
        return parse_duration_s(self.deadline) if self.deadline else None

    @property
    def priority_number(self) -> int:
        """1 to 10."""
        return parse_priority(_number_or_word(self.priority))

    @property
    def label_changes(self) -> dict[str, str | None]:
        """ "zone=a rack-": the zone is set, the rack taken away."""
        changes: dict[str, str | None] = {}
        for word in shlex.split(self.labels):
            name, equals, value = word.partition("=")
            changes[name if equals else name.removesuffix("-")] = value if equals else None
        return changes

    def options(self) -> list[str]:
        """As the command takes them."""
        named = (
            ("--reason", self.reason), ("--deadline", self.deadline), ("--note", self.note),
            ("--input", self.input), ("--pool", self.pool), ("--size", self.size), ("--mode", self.access),
            ("--node", self.node), ("--path", self.path), ("--from", self.source),
            ("--class", self.storage_class), ("--snapshots", self.snapshots),
            ("--backup-pool", self.backup_pool), ("--copies", self.copies), ("--type", self.pool_type),
            ("--nodes", self.nodes), ("--tier", self.tier), ("--replicas", self.replicas),
        )  # fmt: skip
        said = (
            ("--now", self.now), ("--shared", self.shared), ("--backup", self.backup),
            ("--compress", self.compress), ("--encrypt", self.encrypt),
        )  # fmt: skip
        flags = [flag for flag, value in said if value]
        return [word for option, value in named if value for word in (option, value)] + flags

    def told(self) -> str:
        """In words, for the question."""
        texts = (
            f"to {self.priority}" if self.priority else "",
            self.labels,
            f"what still runs in {self.deadline} goes elsewhere" if self.deadline else "",
            f"reason: {self.reason}" if self.reason else "",
            f"note: {self.note}" if self.note else "",
            f"to {self.mode}" if self.mode else "",
        )
        return ", ".join(text for text in texts if text)


NOTHING = Arguments()


class Blank(Struct, frozen=True, kw_only=True):
    """One line to be filled in: `field` of `Arguments`."""

    field: str
    label: str
    example: str


REASON = Blank(field="reason", label="reason", example="shown to everybody who asks")
DEADLINE = Blank(
    field="deadline",
    label="deadline",
    example="90, 10m, 2h: what still runs then goes elsewhere; empty: never",
)

SNAPSHOT = Blank(field="snapshot", label="snapshot", example="its name, such as before-upgrade")
AT_ONCE = Blank(
    field="now", label="at once", example="yes: nothing brings it back; empty: after the days of grace"
)

POLICIES = (
    Blank(field="snapshots", label="snapshots", example="by the clock: @daily keep 7; empty: none any more"),
    Blank(field="backup", label="backup", example="yes: those are kept on another node, too; empty: no more"),
    Blank(field="backup_pool", label="in pool", example="that backups lie in; empty: the volume's own"),
    Blank(field="copies", label="copies", example="on how many nodes a backup lies; empty: 1"),
)
"""Of a volume: what is kept of it by the clock, and where."""

BLANKS: dict[str, tuple[Blank, ...]] = {
    "priority": (Blank(field="priority", label="priority", example="1 to 10; 10 goes first"),),
    "cordon": (REASON,),
    "quarantine": (REASON,),
    "unquarantine": (REASON,),
    "drain": (DEADLINE, REASON),
    "maintenance": (DEADLINE, REASON),
    "label": (Blank(field="labels", label="labels", example="zone=a rack-   (rack is taken away)"),),
    "snapshot": (SNAPSHOT,),
    "restore": (SNAPSHOT,),
    "unsnapshot": (SNAPSHOT,),
    "set": POLICIES,
    "remove": (AT_ONCE,),
    "resolve": (Blank(field="note", label="note", example="what was done about it"),),
}
"""What may be filled in for an action."""


def blanks_of_create(pools: Sequence[str]) -> tuple[Blank, ...]:
    """What may be said of a volume that is to be made."""
    there = f"one of {', '.join(pools)}" if pools else "there is none: corral pool create"
    return (
        Blank(field="name", label="name", example="data"),
        Blank(field="pool", label="pool", example=there),
        Blank(field="size", label="size", example="10GiB"),
        Blank(field="access", label="mode", example=f"{' | '.join(MODES)}; empty: the first"),
        Blank(field="node", label="node", example="empty: where most room is"),
        Blank(field="path", label="path", example="where tasks find it; empty: /volumes/NAME"),
        Blank(field="source", label="from", example="VOLUME@SNAPSHOT that it begins with; empty: nothing"),
        Blank(field="storage_class", label="class", example="a word of your own"),
        Blank(field="shared", label="shared", example="yes: everybody's tasks may have it"),
        *POLICIES,
    )


def blanks_of_pool(nodes: Sequence[str]) -> tuple[Blank, ...]:
    """What may be said of a pool that is to be made, with examples of nodes."""
    some = ",".join(nodes[:3]) or "n1,n2"
    return (
        Blank(field="name", label="name", example="fast"),
        Blank(field="nodes", label="nodes", example=f"{some}: those that have the folder"),
        Blank(field="path", label="path", example="/srv/fast, or /srv/{node}/fast: it is made"),
        Blank(field="size", label="size", example="10GiB: what volumes may have on each"),
        Blank(field="tier", label="tier", example="nvme, ssd, standard, cold …; empty: standard"),
        Blank(field="compress", label="compress", example="yes: at rest, with Zstandard"),
        Blank(field="encrypt", label="encrypt", example="yes: at rest, with a key that only the nodes have"),
        Blank(field="pool_type", label="type", example="replicated, local …; empty: local"),
        Blank(field="replicas", label="replicas", example="on how many nodes each volume lies"),
    )


def fault_of(field: str, text: str) -> str:
    """What is wrong with `text` in that blank; "" where nothing is."""
    try:
        match field:
            case "priority":
                parse_priority(_number_or_word(text))
            case "deadline" if text:
                parse_duration_s(text)
            case "labels":
                return _fault_of_labels(text)
            case "size":
                parse_size_mib(text)
            case "name" if not VOLUME_NAME.fullmatch(text):
                return "expected 1 to 63 of a–z, 0–9, _ and -, the first a letter or digit"
            case "snapshot" if not _SNAPSHOT.fullmatch(text):
                return "expected 1 to 63 of a–z, 0–9, _, . and -, the first a letter or digit"
            case "pool" if not text:
                return "expected the pool that it lies in"
            case "access" if text and text not in MODES:
                return f"expected one of {', '.join(MODES)}"
            case "source" if text and not all(text.partition("@")):
                return "expected VOLUME@SNAPSHOT"
            case "snapshots" if text:
                from bus.snapshot_policy import parse_policy

                parse_policy(text)
            case "nodes" if not all(text.split(",")):
                return "expected the nodes that have the folder: n1,n2"
            case "copies" if text and not _is_number(text, most=COPIES_MAX):
                return f"expected 1 to {COPIES_MAX}"
            case "replicas" if text and not _is_number(text, most=REPLICAS_MAX):
                return f"expected 1 to {REPLICAS_MAX}"
            case "now" | "shared" | "backup" | "compress" | "encrypt" if text not in ("", YES):
                return f"expected {YES}, or nothing"
            case _:
                pass
    except UnitError as error:
        return f"expected {error.expected}"
    return ""


def filled(texts: Mapping[str, str]) -> Arguments:
    """The arguments out of blanks that hold no fault."""
    return convert(dict(texts), Arguments)


def labels_typed(changes: Mapping[str, str | None]) -> str:
    """Changes of labels as one types them."""
    return shlex.join(f"{name}-" if value is None else f"{name}={value}" for name, value in changes.items())


def _fault_of_labels(text: str) -> str:
    try:
        words = shlex.split(text)
    except ValueError as error:
        return str(error).lower()
    for word in words:
        name, equals, _ = word.partition("=")
        if not (name if equals else name.endswith("-") and name.removesuffix("-")):
            return f"{word}: expected NAME=VALUE, or NAME- to take it away"
    return "" if words else "expected NAME=VALUE, or NAME- to take it away"


def _is_number(text: str, *, most: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most


def _number_or_word(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text
