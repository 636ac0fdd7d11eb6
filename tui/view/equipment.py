"""What machines have and who uses them, as lists: devices, tools, people, tokens, connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from bus.api import Token
from bus.equipment import Device, DeviceKind, Tool
from bus.housekeeping import Connection
from bus.people import User
from bus.units import counted
from tui.view.amounts import NONE, age, duration, first_of, mebibytes
from tui.view.facts import fact
from tui.view.fields import Field
from tui.view.gpu_details import gpu_facts
from tui.view.gpus import TONES as GPU_TONES
from tui.view.gpus import GpuCells, gpu_cells
from tui.view.grid import GridColumn
from tui.view.instants import local
from tui.view.lines import Line
from tui.view.listings import Listing

T = TypeVar("T", bound=Struct)

BAR_CELLS = 10
DISK_FULL = 0.9
"""From so much on a disk is a warning."""


def column(
    name: str,
    title: str,
    cell: Callable[[T, float], str],
    *,
    priority: int = 0,
    most: int = 24,
    right: bool = False,
    tinted: bool = False,
    least: int = 0,
) -> GridColumn[T]:
    """One of a listing's columns; those of a higher `priority` go first where there is no room."""
    field = Field(name, title, cell, right=right, tinted=tinted)
    return GridColumn(field=field, priority=priority, most=most, least=least)


def part_full(device: Device) -> float | None:
    """The share that is in use of a disk; the one that tasks have of a GPU."""
    if device.gpu is not None:
        return device.gpu.taken_milli / 1000
    return 1 - device.free_mib / device.total_mib if device.total_mib else None


def bar(part: float | None, cells: int = BAR_CELLS) -> str:
    """A share as a bar with its figure: "██████░░░░ 62 %"."""
    if part is None:
        return NONE
    full = round(max(0.0, min(1.0, part)) * cells)
    return f"{'█' * full}{'░' * (cells - full)} {part:4.0%}"


def speed(mbps: int) -> str:
    """ "25 Gbit/s"; 0 is unknown."""
    if not mbps:
        return NONE
    return f"{mbps / 1000:g} Gbit/s" if mbps >= 1000 else f"{mbps} Mbit/s"


def size_mib(device: Device) -> int:
    """Of a disk, or of the memory of a GPU."""
    return device.total_mib if device.gpu is None else device.gpu.mem_mib


def _gpu_cells(device: Device, now_s: float = 0.0) -> GpuCells:
    assert device.gpu is not None, "only GPUs are listed here"
    return gpu_cells(device.gpu, now_s=now_s)


def is_unused(device: Device) -> bool:
    """An interface without a link that nobody needs: free, or a bridge that nothing is plugged into."""
    is_free = not device.address or device.link == "bridge"
    return device.status == "down" and not device.needed and is_free


def device_tone(device: Device) -> str:
    """Down is bad, where it was meant to be up, and so is a quarantine; a disk nearly full is a warning."""
    if device.gpu is not None:
        return GPU_TONES.get(device.gpu.state, "") or "ok"
    if device.status == "down":
        return "idle" if is_unused(device) else "bad"
    if device.notes:
        return "warn"
    part = part_full(device)
    return "warn" if part is not None and part >= DISK_FULL else "ok"


def device_mark(device: Device) -> str:
    """The glyph of its tone."""
    return {"bad": "✖", "warn": "▲", "idle": "○"}.get(device_tone(device), "●")


def status_word(device: Device) -> str:
    """Of an interface: up, down, or unused."""
    return "unused" if is_unused(device) else device.status


DEVICES: Listing[Device] = Listing(
    noun="devices",
    columns=(
        column("node", "NODE", lambda each, _: each.node, least=8),
        column("mark", "S", lambda each, _: device_mark(each), tinted=True, most=1),
        column("kind", "KIND", lambda each, _: str(each.kind), priority=4),
        column("name", "NAME", lambda each, _: each.name, most=30, least=8),
        column("size", "SIZE", lambda each, _: mebibytes(size_mib(each)) if size_mib(each) else NONE,
                priority=1, right=True),
        column("free", "FREE", lambda each, _: mebibytes(each.free_mib) if each.total_mib else NONE,
                priority=2, right=True),
        column("used", "USED", lambda each, _: bar(part_full(each)), priority=2, tinted=True),
        column("speed", "SPEED", lambda each, _: speed(each.speed_mbps), priority=2, right=True),
        column("status", "STATUS", lambda each, _: status_word(each) or NONE, priority=3),
        column("network", "NETWORK", lambda each, _: each.network or NONE, priority=5),
        column("address", "ADDRESS", lambda each, _: each.address or NONE, priority=5, most=40),
        column("about", "ABOUT", lambda each, _: each.about or NONE, priority=6),
        column("driver", "DRIVER", lambda each, _: each.driver or NONE, priority=7),
    ),
    key=lambda each: f"{each.node} {each.kind} {each.name}",
    tone=device_tone,
)  # fmt: skip

_BY_NAME = {each.field.name: each for each in DEVICES.columns}

DISKS: Listing[Device] = replace(
    DEVICES,
    columns=tuple(_BY_NAME[name] for name in ("node", "mark", "name", "size", "free", "used", "about")),
)

GPUS: Listing[Device] = replace(
    DEVICES,
    columns=(
        *(_BY_NAME[name] for name in ("node", "mark")),
        column("name", "GPU", lambda each, _: each.name, most=40, right=True),
        column("status", "STATE", lambda each, _: each.status, tinted=True, most=40),
        column("about", "MODEL", lambda each, _: each.about or NONE, priority=2),
        column("size", "MEMORY", lambda each, _: _gpu_cells(each).memory, priority=3, right=True),
        column("taken", "TAKEN", lambda each, _: bar(part_full(each)), priority=2, tinted=True),
        column("tasks", "TASKS", lambda each, _: _gpu_cells(each).tasks, priority=2, most=30),
        column("since", "SINCE", lambda each, now_s: _gpu_cells(each, now_s).since, priority=3, right=True),
        column("why", "WHY", lambda each, _: _gpu_cells(each).why, priority=1, most=60, least=10),
        column("uuid", "UUID", lambda each, _: _gpu_cells(each).uuid, priority=6, most=44),
    ),
)  # fmt: skip


TOOLS: Listing[Tool] = Listing(
    noun="tools",
    columns=(
        column("kind", "KIND", lambda each, _: str(each.kind), priority=1),
        column("mark", "S", lambda each, _: "●" if each.ready else "✖", tinted=True, most=1),
        column("name", "NAME", lambda each, _: each.name, most=50, least=10),
        column("ready", "READY", lambda each, _: f"{each.ready}/{each.nodes}", right=True, tinted=True),
        column("tasks", "TASKS", lambda each, _: str(each.tasks or NONE), priority=2, right=True),
        column("versions", "VERSIONS", lambda each, _: ", ".join(each.versions) or NONE, priority=3),
        column("nodes", "ON", lambda each, _: on_nodes(each), priority=4, most=60, least=8),
    ),
    key=lambda each: f"{each.kind} {each.name}",
    tone=lambda each: "ok" if each.ready else "bad" if each.tasks else "warn",
)  # fmt: skip

USERS: Listing[User] = Listing(
    noun="users",
    columns=(
        column("name", "USER", lambda each, _: each.name, least=8),
        column("mark", "S", lambda each, _: "●" if each.active else "⊘", tinted=True, most=1),
        column("role", "ROLE", lambda each, _: str(each.role), priority=1),
        column("running", "RUN", lambda each, _: str(each.running), priority=1, right=True),
        column("queued", "QUEUED", lambda each, _: str(each.queued), priority=1, right=True),
        column("shares", "SHARES", lambda each, _: f"{each.standing.shares:,}", priority=3, right=True),
        column("failed", "FAILED 24H", lambda each, _: str(each.failed or NONE), priority=5, right=True),
        column("used", "USED", lambda each, _: bar(part_used(each)), priority=2, tinted=True),
        column("due", "DUE", lambda each, _: f"{each.standing.due:.0%}", priority=3, right=True),
        column("level", "LEVEL", lambda each, _: str(each.standing.level), priority=4, right=True),
        column("usage", "CLUSTER TIME", lambda each, _: duration(each.standing.usage_s), priority=5),
        column("seen", "SEEN", lambda each, now_s: seen(each, now_s=now_s), priority=5, right=True),
    ),
    key=lambda each: each.name,
    tone=lambda each: (
        "idle" if not each.active else "warn" if each.standing.used > each.standing.due else "ok"
    ),
)  # fmt: skip


def part_used(user: User) -> float | None:
    """The part of all that those with work used: these parts add up. None for who has no work."""
    return user.standing.used if user.jobs else None


def seen(user: User, *, now_s: float) -> str:
    """How long ago they did something that is on record."""
    return NONE if user.seen_at is None else age(now_s - user.seen_at)


def token_state(token: Token, now_s: float) -> tuple[str, str, str]:
    """Glyph, word and tone."""
    if token.revoked_at is not None:
        return "⊘", "revoked", "idle"
    if token.used_at is not None:
        return "✔", "used", "ok"
    return ("◷", "expired", "idle") if token.expires_at < now_s else ("○", "waits", "wait")


TOKENS: Listing[Token] = Listing(
    noun="tokens",
    columns=(
        column("id", "TOKEN", lambda each, _: each.id, least=8),
        column("mark", "S", lambda each, now_s: token_state(each, now_s)[0], tinted=True, most=1),
        column("state", "STATE", lambda each, now_s: token_state(each, now_s)[1], tinted=True),
        column("kind", "FOR", lambda each, _: each.kind, priority=1),
        column("name", "NAME", lambda each, _: each.name or NONE, priority=1),
        column("role", "ROLE", lambda each, _: str(each.role or NONE), priority=3),
        column("created", "CREATED", lambda each, _: local(each.created_at), priority=3),
        column("expires", "EXPIRES", lambda each, _: local(each.expires_at), priority=2),
        column("by", "BY", lambda each, _: each.created_by or NONE, priority=4),
    ),
    key=lambda each: each.id,
    tone=lambda each: token_state(each, each.created_at)[2],
)

CONNECTIONS: Listing[Connection] = Listing(
    noun="connections",
    columns=(
        column("name", "WHO", lambda each, _: each.name, least=8),
        column("peer", "KIND", lambda each, _: each.peer or NONE, priority=1),
        column("program", "PROGRAM", lambda each, _: each.program or NONE, priority=2, most=40),
        column("address", "FROM", lambda each, _: each.address, priority=3, most=40),
        column("since", "FOR", lambda each, now_s: age(now_s - each.since), right=True),
        column("idle", "IDLE", lambda each, _: age(each.idle_s), priority=2, right=True),
        column("trip", "TRIP", lambda each, _: trip(each), priority=4, right=True),
        column("slow", "WAITING", lambda each, _: pending(each), priority=5, right=True, tinted=True),
    ),
    key=lambda each: f"{each.name} {each.address}",
    tone=lambda each: "warn" if each.pending_bytes else "ok",
)


def trip(connection: Connection) -> str:
    """How long an answer takes."""
    return NONE if connection.round_trip_ms is None else f"{connection.round_trip_ms:.1f} ms"


def pending(connection: Connection) -> str:
    """What it is slow to take."""
    return mebibytes(connection.pending_bytes / 2**20) if connection.pending_bytes else NONE


def on_nodes(tool: Tool) -> str:
    """The first few that have it, and how many more."""
    return first_of(tool.examples, len(tool.examples), of=tool.nodes) if tool.examples else "no node"


def device_facts(device: Device, *, now_s: float) -> list[Line]:
    """A device in full."""
    tone = device_tone(device)
    if device.gpu is not None:
        return gpu_facts(device.gpu, mark=device_mark(device), tone=tone, now_s=now_s)
    facts = [
        fact(str(device.kind), device.name),
        fact("node", device.node),
        fact("state", f"{device_mark(device)} {status_word(device) or bar(part_full(device))}", tone),
    ]
    if device.kind is DeviceKind.DISK:
        facts += [
            fact("size", f"{mebibytes(device.free_mib)} free of {mebibytes(device.total_mib)}"),
            fact("files", device.about),
            Line(""),
            Line("As its agent told when it registered.", "idle"),
        ]
    return facts


def tool_facts(tool: Tool) -> list[Line]:
    """A tool in full."""
    facts = [
        fact(str(tool.kind), tool.name),
        fact("nodes", f"{counted(tool.nodes, 'node')}, {tool.ready} take work now"),
        fact("versions", ", ".join(tool.versions) or NONE),
        fact("on", on_nodes(tool)),
    ]
    if tool.tasks:
        tone = "" if tool.ready else "bad"
        facts.append(fact("wanted", f"by {counted(tool.tasks, 'task')} not over yet", tone))
    return facts


def user_facts(user: User, *, now_s: float) -> list[Line]:
    """Somebody's standing."""
    standing = user.standing
    used = f"{bar(standing.used)}, {duration(standing.usage_s)} of the whole cluster"
    if not user.jobs:
        used += "; the part it would be, had they work now"
    at = f"{local(user.seen_at)} ({seen(user, now_s=now_s)} ago)" if user.seen_at else "nothing is on record"
    return [
        fact("user", user.name),
        fact("state", "● active" if user.active else "⊘ suspended", "ok" if user.active else "idle"),
        fact("role", str(user.role)),
        fact("tasks", f"{user.running:,} running, {user.queued:,} queued, of {counted(user.jobs, 'job')}"),
        fact("failed", f"{counted(user.failed, 'job')} in the last day", "warn" if user.failed else ""),
        fact("seen", at),
        fact("shares", f"{standing.shares:,}: {standing.due:.1%} of the cluster are due"),
        fact("used", used),
        fact("level", f"{standing.level} steps of priority behind who has used nothing"),
    ]
