"""Volumes as the console lists them; `tui.view.storage` has them for the command."""

from __future__ import annotations

from bus.units import format_size_mib
from bus.volumes import VolumeEntry
from tui.view.amounts import NONE
from tui.view.equipment import DISK_FULL, bar, column
from tui.view.facts import fact
from tui.view.lines import Line
from tui.view.listings import Listing
from tui.view.storage import MIB, tasks_text, volume_texts

_MARKS = {"making": "◷", "ready": "●", "away": "✖", "deleted": "⊘"}


def part_used(volume: VolumeEntry) -> float:
    """Of its size."""
    return volume.used / MIB / volume.size_mib


def volume_tone(volume: VolumeEntry) -> str:
    """A fault, or a node that is away, is bad; nearly full is a warning."""
    if volume.fault or volume.state == "away":
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
