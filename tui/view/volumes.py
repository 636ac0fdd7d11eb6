"""Volumes and pools as the console lists them; `tui.view.storage` has them for the command."""

from __future__ import annotations

from bus.units import format_size_mib
from bus.volumes import PoolEntry, VolumeEntry
from tui.view.amounts import NONE
from tui.view.equipment import DISK_FULL, bar, column
from tui.view.facts import fact
from tui.view.lines import Line
from tui.view.listings import Listing
from tui.view.storage import MIB, at_rest, tasks_text, volume_texts

_MARKS = {"making": "◷", "ready": "●", "away": "✖", "damaged": "✖", "deleted": "⊘"}


def part_used(volume: VolumeEntry) -> float:
    """Of its size."""
    return volume.used / MIB / volume.size_mib


def volume_tone(volume: VolumeEntry) -> str:
    """A fault, or a node that is away, is bad; nearly full is a warning."""
    if volume.fault or volume.state in ("away", "damaged"):
        return "bad"
    if volume.state != "ready":
        return "idle"
    return "warn" if part_used(volume) >= DISK_FULL else "ok"


VOLUMES: Listing[VolumeEntry] = Listing(
    noun="volumes",
    columns=(
        column("name", "VOLUME", lambda each, _: each.name, least=8),
        column("mark", "S", lambda each, _: _MARKS.get(each.state, "?"), tinted=True, most=1),
        column("state", "STATE", lambda each, _: each.state, priority=3, tinted=True),
        column("node", "NODE", lambda each, _: each.node, priority=1),
        column("size", "SIZE", lambda each, _: format_size_mib(each.size_mib), priority=1, right=True),
        column("used", "USED", lambda each, _: bar(part_used(each)), priority=2, tinted=True),
        column("tasks", "TASKS", lambda each, _: tasks_text(each.tasks) or NONE, priority=2, most=40),
        column("mode", "MODE", lambda each, _: str(each.mode), priority=4),
        column("pool", "POOL", lambda each, _: each.pool, priority=4),
        column("owner", "OWNER", lambda each, _: each.owner, priority=5),
    ),
    key=lambda each: each.name,
    tone=volume_tone,
)  # fmt: skip


def volume_facts(volume: VolumeEntry) -> list[Line]:
    """A volume in full."""
    return [
        fact("volume", volume.name),
        fact("state", f"{_MARKS.get(volume.state, '?')} {volume.state}", volume_tone(volume)),
        *(fact(label, text, "bad" if label == "fault" else "") for label, text in volume_texts(volume)),
    ]


def pool_tone(pool: PoolEntry) -> str:
    """A part that cannot be used is bad; nearly all given is a warning."""
    if any(each.fault for each in pool.nodes):
        return "bad"
    return "warn" if (part_given(pool) or 0.0) >= DISK_FULL else "ok"


def part_given(pool: PoolEntry) -> float | None:
    """Of all its room, to volumes."""
    return pool.used_mib / pool.total_mib if pool.total_mib else None


def _faulty(pool: PoolEntry) -> str:
    return str(sum(bool(each.fault) for each in pool.nodes) or NONE)


POOLS: Listing[PoolEntry] = Listing(
    noun="pools",
    columns=(
        column("name", "POOL", lambda each, _: each.name, least=8),
        column("mark", "S", lambda each, _: {"bad": "✖", "warn": "▲"}.get(pool_tone(each), "●"),
                tinted=True, most=1),
        column("type", "TYPE", lambda each, _: each.type, priority=3),
        column("tier", "TIER", lambda each, _: each.tier, priority=4),
        column("size", "SIZE", lambda each, _: format_size_mib(each.total_mib), priority=1, right=True),
        column("given", "GIVEN", lambda each, _: bar(part_given(each)), priority=2, tinted=True),
        column("volumes", "VOLUMES", lambda each, _: str(each.volumes), priority=2, right=True),
        column("nodes", "NODES", lambda each, _: str(len(each.nodes)), priority=3, right=True),
        column("faulty", "FAULTY", lambda each, _: _faulty(each), priority=3, right=True, tinted=True),
        column("rest", "AT REST", lambda each, _: at_rest(each), priority=5),
    ),
    key=lambda each: each.name,
    tone=pool_tone,
)  # fmt: skip


def pool_facts(pool: PoolEntry) -> list[Line]:
    """A pool in full; faulty parts first."""
    lines = [
        fact("pool", f"{pool.name}, {pool.type}, {pool.tier}"),
        fact("path", pool.path),
        fact("size", f"{format_size_mib(pool.total_mib)}, {format_size_mib(pool.used_mib)} of it given"),
        fact("at rest", at_rest(pool)),
        fact("volumes", str(pool.volumes)),
    ]
    for each in sorted(pool.nodes, key=lambda part: (not part.fault, part.node)):
        given = f"{each.node}: {format_size_mib(each.given_mib)} given"
        state = each.fault or f"{format_size_mib(each.free_mib)} free on its disk"
        lines.append(fact("node", f"{given}; {state}", "bad" if each.fault else ""))
    return lines
