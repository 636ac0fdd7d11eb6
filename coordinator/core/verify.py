"""What must be true of a live cluster: memory against the database, the books against what nodes run.

A live system moves: what crosses on the wire looks wrong for a moment. So every flaw has a key, and counts
only where a second look finds it again. docs/reliability.md says which promise each check stands for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from msgspec import Struct

from bus.messages import Inspection
from bus.values import AttemptRef, AttemptState, NodeHealth, NodeName
from coordinator.core.model import Cluster
from coordinator.core.picture import AttemptHeld, Picture

SILENCE_SLACK_S = 3.0
"""Ticks, a commit and a scheduling round may pass before a silence is acted upon."""

_REBUILD = "restart the coordinator: it rebuilds its memory from the database; then report this"


class Flaw(Struct, frozen=True):
    """Something that must not be. `check` names the rule, `object` what breaks it: both are its key."""

    invariant: str
    check: str
    object: str
    what: str
    hint: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.check, self.object


def lasting(first: Iterable[Flaw], second: Iterable[Flaw]) -> list[Flaw]:
    """Those of the second look that the first one saw too."""
    seen = {flaw.key for flaw in first}
    return [flaw for flaw in second if flaw.key in seen]


def memory_flaws(memory: Picture, database: Picture) -> list[Flaw]:
    """Where the running memory is not what a new leader would rebuild from the database."""
    flaws: list[Flaw] = []
    for check in ("jobs", "groups", "tasks", "attempts", "nodes", "learned", "accounts"):
        flaws += _unequal(check, getattr(memory, check), getattr(database, check))
    for ref in sorted(database.waiting - memory.waiting):
        what = "is queued, and stands in no waiting line: it would never start"
        flaws.append(Flaw("I5", "memory.waiting", str(ref), what, _REBUILD))
    for ref in sorted(memory.waiting - database.waiting):
        flaws.append(Flaw("I8", "memory.waiting", str(ref), "is in a waiting line and not queued", _REBUILD))
    for ref in sorted(database.retrying - memory.retrying):
        what = "is to be tried again, and has no time set for it"
        flaws.append(Flaw("I5", "memory.retrying", str(ref), what, _REBUILD))
    return flaws


def _unequal(
    check: str, memory: Mapping[Any, NamedTuple], database: Mapping[Any, NamedTuple]
) -> Iterator[Flaw]:
    for key in sorted(memory.keys() | database.keys()):
        ours, theirs = memory.get(key), database.get(key)
        if ours == theirs:
            continue
        if ours is None or theirs is None:
            what = f"is only in the {'database' if ours is None else 'memory'}"
        else:
            pairs = zip(ours._fields, ours, theirs, strict=True)
            what = "; ".join(
                f"{name}: {_said(mine)} in memory, {_said(kept)} in the database"
                for name, mine, kept in pairs
                if mine != kept
            )
        yield Flaw("I8", f"memory.{check}", str(key), what, _REBUILD)


def _said(value: object) -> str:
    return "none" if value is None or value == "" else str(value)


def silence_flaws(cluster: Cluster, *, now_s: float) -> list[Flaw]:
    """Nodes that are taken for reachable although they have been silent for longer than that may last."""
    most_s = cluster.limits.unreachable_after_s + SILENCE_SLACK_S
    return [
        Flaw(
            "I7", "node.silent", name, f"silent for {now_s - node.last_beat_s:.0f} s and still {node.health}"
        )
        for name, node in cluster.nodes.items()
        if node.health is not NodeHealth.UNREACHABLE and now_s - node.last_beat_s > most_s
    ]


def node_flaws(before: Picture, after: Picture, found: Inspection, *, epoch: int) -> list[Flaw]:
    """What a node runs against the books just before it was asked and just after."""
    node = NodeName(found.node)
    steady = {ref: held for ref, held in after.attempts.items() if before.attempts.get(ref) == held}
    ours = {ref: held for ref, held in steady.items() if held.node == node}
    return [
        *_of_agent(before, after, found, epoch=epoch),
        *_of_books(ours, found),
        *_of_processes((before, after), found),
    ]


def _of_agent(before: Picture, after: Picture, found: Inspection, *, epoch: int) -> Iterator[Flaw]:
    node = NodeName(found.node)
    if found.epoch > epoch:
        what = f"obeys epoch {found.epoch}, we lead {epoch}: another coordinator has taken over"
        yield Flaw("I2", "node.epoch", node, what)
    known = {picture.nodes[node].incarnation for picture in (before, after) if node in picture.nodes}
    if found.incarnation not in known:
        what = "another agent of this name answers than the one that registered"
        yield Flaw("I2", "node.incarnation", node, what, "one machine, one agent: stop one of them")


def _of_books(ours: Mapping[AttemptRef, AttemptHeld], found: Inspection) -> Iterator[Flaw]:
    """What the books say of the node."""
    running = {seen.attempt: seen for seen in found.running}
    for ref, held in ours.items():
        seen = running.get(ref)
        if held.state is not AttemptState.RUNNING:
            continue
        if seen is None:
            if not found.unreported:  # else its end may be on its way
                what = f"runs on {found.node} by the books, and not there"
                yield Flaw("I8", "node.missing", str(ref), what, f"corral requeue {ref.task.whole}")
        elif not seen.processes:
            what = f"runs on {found.node}, and has no process there"
            yield Flaw("I8", "node.no_process", str(ref), what, f"corral requeue {ref.task.whole}")
        elif seen.paused != held.paused:
            is_so, should = ("stands still", "runs") if seen.paused else ("runs", "is paused")
            what = f"{is_so} on {found.node}, and {should} by the books"
            yield Flaw("I8", "node.paused", str(ref), what)


def _of_processes(books: Collection[Picture], found: Inspection) -> Iterator[Flaw]:
    """What the node runs."""
    for seen in found.running:
        ref = seen.attempt
        if any(ref in picture.attempts and picture.attempts[ref].node == found.node for picture in books):
            continue
        task = ref.task.whole
        tasks = [picture.tasks[task] for picture in books if task in picture.tasks]
        if any(task.idempotent for task in tasks):
            continue  # may run twice: its submitter said so
        newest = max((task.fence for task in tasks), default=0)
        text = f"its newest attempt is {newest}" if newest else "its task is not live"
        where = f"pid {seen.pid} " if seen.pid is not None else ""
        what = f"{where}runs on {found.node}; {text}"
        hint = f"its agent ends it as soon as it hears from us; else end it there: corral node {found.node}"
        yield Flaw("I2", "node.stale", str(ref), what, hint)
    for pid in found.strays:
        what = f"pid {pid} on {found.node} carries a task's mark and belongs to no attempt there"
        yield Flaw("I2", "node.stray", f"{found.node}:{pid}", what, f"end it there: kill {pid}")
