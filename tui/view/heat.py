"""Many nodes at one glance: what each reads as a level, where it stands on a map, and a brush as a filter.

    level(reading) = ⌊reading · LEVELS⌋, the last one for what is full or more

A map is laid out in points: a cell of the screen holds one, or two, one above the other (half blocks).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from enum import StrEnum

from msgspec import Struct

from bus.api import Node
from bus.units import format_cpu_millis, format_gpu_millis
from bus.values import NodeAdmin, NodeHealth
from tui.view.amounts import NONE, mebibytes
from tui.view.instants import rfc3339
from tui.view.safe import safe_line, text_width
from tui.view.states import node_word

LEVELS = 8
COLD_C, HOT_C = 30.0, 95.0
GAP = 1
ROOMY_CELLS = 8
"""A node's width at most, where a map has the screen for itself."""
TITLE_LEAST, TITLE_MOST = 5, 14
LABEL_VALUES_MAX = 64
FILTER_CHARS_MAX = 1_000
"""A filter holds 1,024 characters."""


class Measure(StrEnum):
    """What the colours say."""

    CPU = "cpu held"
    MEMORY = "memory held"
    GPU = "GPUs held"
    CPU_USED = "cpu used"
    MEMORY_USED = "memory used"
    GPU_USED = "GPUs used"
    TEMPERATURE = "temperature"
    LOAD = "load"
    SUSPICION = "suspicion"


def reading(node: Node, measure: Measure) -> float | None:
    """0 for nothing, 1 for full, more for over it; None where nobody knows or there is nothing to be full."""
    held, whole, used = node.allocated, node.capacity, node.usage
    match measure:
        case Measure.CPU:
            return _share(held.cpu_millis, whole.cpu_millis)
        case Measure.MEMORY:
            return _share(held.mem_mib, whole.mem_mib)
        case Measure.GPU:
            return _share(held.gpu_millis, whole.gpu_millis)
        case Measure.CPU_USED:
            return None if used is None else _share(used.cpu_millis, whole.cpu_millis)
        case Measure.MEMORY_USED:
            return None if used is None else _share(used.mem_mib, whole.mem_mib)
        case Measure.GPU_USED:
            return None if used is None else _share(used.gpus, whole.gpus)
        case Measure.TEMPERATURE:
            found = None if used is None else used.temperature_c
            return None if found is None else max(0.0, (found - COLD_C) / (HOT_C - COLD_C))
        case Measure.LOAD:
            return _share(node.load * 1000, whole.cpu_millis)
        case Measure.SUSPICION:
            return max(0.0, node.suspicion)


def _share(part: float, whole: float) -> float | None:
    return max(0.0, part / whole) if whole > 0 and math.isfinite(part) else None


def level(value: float | None) -> int | None:
    """0 to LEVELS - 1."""
    return None if value is None else min(LEVELS - 1, int(value * LEVELS))


def digit(node: Node, measure: Measure) -> str:
    """One cell without colour: tenths, 9 from nine tenths on; x: away, d: steered, -: unknown."""
    if node.health is NodeHealth.UNREACHABLE:
        return "x"
    if node.admin is not NodeAdmin.ACTIVE:
        return "d"
    value = reading(node, measure)
    return "-" if value is None else str(min(9, int(value * 10)))


def ends(measure: Measure) -> tuple[str, str]:
    """What the lowest and the highest level mean."""
    match measure:
        case Measure.TEMPERATURE:
            return f"{COLD_C:g} °C", f"{HOT_C:g} °C"
        case Measure.LOAD:
            return "idle", "a task a core"
        case Measure.SUSPICION:
            return "beats", "gone"
        case _:
            return "0 %", "100 %"


def exact(node: Node, measure: Measure) -> str:
    """The reading in its own words."""
    held, whole, used = node.allocated, node.capacity, node.usage
    match measure:
        case Measure.CPU:
            return f"{format_cpu_millis(held.cpu_millis)} of {format_cpu_millis(whole.cpu_millis)} cores held"
        case Measure.MEMORY:
            return f"{mebibytes(held.mem_mib)} of {mebibytes(whole.mem_mib)} held"
        case Measure.GPU:
            return (
                f"{format_gpu_millis(held.gpu_millis)} of {whole.gpus} GPUs held" if whole.gpus else "no GPU"
            )
        case Measure.CPU_USED if used is not None:
            return f"{used.cpu_millis / 1000:.1f} of {format_cpu_millis(whole.cpu_millis)} cores used"
        case Measure.MEMORY_USED if used is not None:
            return f"{mebibytes(used.mem_mib)} of {mebibytes(whole.mem_mib)} used"
        case Measure.GPU_USED if used is not None:
            return f"{used.gpus:.1f} of {whole.gpus} GPUs used" if whole.gpus else "no GPU"
        case Measure.TEMPERATURE if used is not None and used.temperature_c is not None:
            return f"{used.temperature_c:.0f} °C"
        case Measure.LOAD:
            return f"load {node.load:.2f}"
        case Measure.SUSPICION:
            return f"suspicion {node.suspicion:.2f}"
        case _:
            return f"{measure} {NONE}"


class Group(Struct, frozen=True):
    """Nodes that belong together, as positions in the list of all."""

    title: str
    members: tuple[int, ...]


BY_NOTHING = "name"


def groupings(nodes: Sequence[Node]) -> list[str]:
    """By what these nodes can be put together: nothing, kind, state, and labels that tell some apart."""
    values: dict[str, set[str]] = {}
    for node in nodes:
        for key, value in node.labels.items():
            values.setdefault(key, set()).add(value)
    told = sorted(key for key, found in values.items() if 2 <= len(found) <= LABEL_VALUES_MAX)
    return [BY_NOTHING, "kind", "state", *(f"label.{key}" for key in told)]


def grouped(nodes: Sequence[Node], by: str) -> list[Group]:
    """By title; all in one without a title where they are by name alone."""
    if by == BY_NOTHING:
        return [Group("", tuple(range(len(nodes))))] if nodes else []
    members: dict[str, list[int]] = {}
    for position, node in enumerate(nodes):
        members.setdefault(_group_of(node, by), []).append(position)
    return [Group(title or NONE, tuple(members[title])) for title in sorted(members)]


def _group_of(node: Node, by: str) -> str:
    match by:
        case "kind":
            return str(node.kind)
        case "state":
            return node_word(node.health, node.admin)
        case _:
            return node.labels.get(by.removeprefix("label."), "")


class Title(Struct, frozen=True):
    """The head of a group: its first cell, its line, and its safe text."""

    x: int
    line: int
    text: str


class HeatLayout(Struct, frozen=True):
    """`places`: (x, y) of each node in points; a node is `cell` cells wide, and `halves` make a line."""

    places: tuple[tuple[int, int], ...]
    at: dict[tuple[int, int], int]
    titles: tuple[Title, ...]
    lines: int
    cell: int
    halves: int


def lay_out(
    groups: Sequence[Group], *, width: int, lines_most: int, halves: int, lines_free: int = 0
) -> HeatLayout:
    """Wide cells where that fits into `lines_most`, else narrow ones; groups in the fewest lines.

    A map that has `lines_free` for itself gives each node as much of a line as fits, and two cells at least.
    """
    for cell in range(ROOMY_CELLS, 1, -1):
        if (roomy := _packed(groups, width=width, cell=cell, halves=1)).lines <= lines_free:
            return roomy
    wide = _packed(groups, width=width, cell=2, halves=halves)
    return wide if wide.lines <= lines_most else _packed(groups, width=width, cell=1, halves=halves)


def _packed(groups: Sequence[Group], *, width: int, cell: int, halves: int) -> HeatLayout:
    if len(groups) == 1 and not groups[0].title:
        return _placed(groups, inner=max(1, width // cell), per_shelf=1, cell=cell, halves=halves)
    longest = max((len(group.title) for group in groups), default=1)
    least = math.ceil(max(TITLE_LEAST, min(longest, TITLE_MOST)) / cell)
    widest = max(1, width // cell)
    tries = [
        _placed(
            groups,
            inner=inner,
            per_shelf=max(1, (width + GAP) // (inner * cell + GAP)),
            cell=cell,
            halves=halves,
        )
        for inner in sorted(
            {min(each, widest) for each in (least, 8, 10, 12, 16, 20, 24, 32, 40, 64, widest)}
        )
        if inner >= min(least, widest)
    ]
    return min(tries, key=lambda layout: layout.lines)


def _placed(groups: Sequence[Group], *, inner: int, per_shelf: int, cell: int, halves: int) -> HeatLayout:
    """Blocks side by side, shelf below shelf; each `inner` nodes wide."""
    places: dict[int, tuple[int, int]] = {}
    titles: list[Title] = []
    line = 0
    for start in range(0, len(groups), per_shelf):
        tallest = 0
        for column, group in enumerate(groups[start : start + per_shelf]):
            left = column * (inner * cell + GAP)
            if group.title:
                titles.append(Title(left, line, _narrow(group.title)[: inner * cell]))
            top = (line + bool(group.title)) * halves
            for place, member in enumerate(group.members):
                places[member] = (left + place % inner * cell, top + place // inner)
            rows = math.ceil(len(group.members) / inner)
            tallest = max(tallest, bool(group.title) + math.ceil(rows / halves))
        line += tallest
    ordered = tuple(places[position] for position in range(len(places)))
    at = {(x + extra, y): position for position, (x, y) in places.items() for extra in range(cell)}
    return HeatLayout(ordered, at, tuple(titles), line, cell, halves)


def _narrow(title: str) -> str:
    """A safe line of which each sign is one cell."""
    return "".join(sign if text_width(sign) == 1 else "·" for sign in safe_line(title))


def moved(layout: HeatLayout, position: int, *, right: int = 0, down: int = 0) -> int:
    """The nearest node in that direction; the same where there is none."""
    x, y = layout.places[position]

    def cost(other: int) -> tuple[int, int]:
        along = (layout.places[other][0] - x) * right + (layout.places[other][1] - y) * down
        aside = abs((layout.places[other][0] - x) * down) + abs((layout.places[other][1] - y) * right)
        return (aside * 2 + along, other)

    ahead = [
        other
        for other, (there_x, there_y) in enumerate(layout.places)
        if (there_x - x) * right + (there_y - y) * down > 0
    ]
    return min(ahead, key=cost, default=position)


def brushed(layout: HeatLayout, anchor: int, position: int) -> tuple[int, ...]:
    """All between the two corners, the way one sees them."""
    (x1, y1), (x2, y2) = layout.places[anchor], layout.places[position]
    left, right, top, bottom = min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2)
    return tuple(
        index for index, (x, y) in enumerate(layout.places) if left <= x <= right and top <= y <= bottom
    )


def brush_filter(nodes: Sequence[Node], chosen: Iterable[int], *, field: str = "name") -> str | None:
    """A condition of `bus.filter` that lets through just the `chosen` of `nodes`; None: none is short enough.

    By their names, by a label that they share with nobody else, or by what all their names have in common.
    `field`: under which name the list knows a node's name; labels are of the list of nodes alone.
    """
    positions = sorted(set(chosen))
    if not positions:
        return None
    if len(positions) == len(nodes):
        return ""
    names = [nodes[position].name for position in positions]
    by_name = f"{field}={','.join(names)}"
    if len(by_name) <= FILTER_CHARS_MAX:
        return by_name
    picked = frozenset(positions)
    if field == "name":
        for by in groupings(nodes)[3:]:
            groups = [group for group in grouped(nodes, by) if picked.intersection(group.members)]
            if all(picked.issuperset(group.members) for group in groups):
                found = f"{by}={','.join(_quoted(group.title) for group in groups)}"
                if NONE not in (group.title for group in groups) and len(found) <= FILTER_CHARS_MAX:
                    return found
    common = _common(names)
    if common and sum(common in node.name for node in nodes) == len(positions):
        return f"{field}~{common}"
    return None


def tasks_filter(nodes: Sequence[str], *, since_s: float | None = None, until_s: float | None = None) -> str:
    """The tasks of these nodes, and of those only what started between two instants (Unix epoch)."""
    words = [f"node={','.join(nodes)}"] if nodes else []
    if since_s is not None and until_s is not None:
        words += [f"started>={rfc3339(since_s)}", f"started<={rfc3339(until_s)}"]
    return " ".join(words)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _common(names: Sequence[str]) -> str:
    first, last = min(names), max(names)
    same = next(
        (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last))
    )
    return first[:same]


def shade(node: Node, measure: Measure) -> str:
    """The name of its colour: gone, steered, unknown, or its level."""
    if node.health is NodeHealth.UNREACHABLE:
        return "gone"
    if node.admin is not NodeAdmin.ACTIVE:
        return "steered"
    found = level(reading(node, measure))
    return "unknown" if found is None else f"level{found}"
