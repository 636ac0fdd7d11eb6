"""What a node can, as its agent's own tests showed: capabilities, and which container runtime works."""

from __future__ import annotations

from bus.registry import Worker
from bus.values import Inventory
from tui.view.amounts import NONE
from tui.view.facts import fact, head
from tui.view.lines import Line

CONTAINERS = "containers"
"""Where an inventory says in words what runs them: "podman (no limits)", or "podman cannot: why"."""

CANNOT = " cannot: "


def ability_lines(worker: Worker | None, inventory: Inventory | None) -> list[Line]:
    """All that an agent can, what it cannot with the reason, and its container runtimes."""
    lines = _of_agent(worker) if worker is not None else [Line("The coordinator knows no agent of it now.")]
    return lines + (_of_runtimes(inventory) if inventory is not None else [])


def _of_agent(worker: Worker) -> list[Line]:
    lines = [
        fact("agent", f"{worker.status}, version {worker.version}"),
        fact("types", " ".join(worker.types) or NONE),
        fact("roles", " ".join(worker.roles) or NONE),
        Line(""),
        head("capabilities"),
    ]
    if not worker.capabilities:
        return [*lines, Line("none told: it is an agent of an older release")]
    width = max(map(len, worker.capabilities))
    for name, level in sorted(worker.capabilities.items(), key=lambda item: (item[1] >= 1, item[0])):
        works = level >= 1
        why = worker.faults.get(name, "")
        said = "works" if works else f"{level:.0%} of its tests passed" if level else "does not work"
        tone, mark = ("ok", "✔") if works else ("warn", "▲") if level else ("bad", "✖")
        lines.append(Line(f"{name:<{width}}  {said}{f': {why}' if why else ''}", tone, mark))
    return lines


def _of_runtimes(inventory: Inventory) -> list[Line]:
    """Those that are there, with whether tasks run in them."""
    lines = [Line(""), head("container runtimes")]
    if not inventory.runtimes:
        return [*lines, Line("none is installed")]
    said = inventory.isolation.get(CONTAINERS, "")
    faults = dict(part.split(CANNOT, 1) for part in said.split("; ") if CANNOT in part)
    used = "" if faults else said.partition(" (")[0]
    for name, version in sorted(inventory.runtimes.items(), key=lambda item: (item[0] != used, item[0])):
        if name == used:
            lines.append(
                Line(f"{name} {version}  works: tasks with an image run in it{said[len(used) :]}", "ok", "✔")
            )
        elif name in faults:
            lines.append(Line(f"{name} {version}  does not work: {faults[name]}", "bad", "✖"))
        elif used in inventory.runtimes:
            lines.append(Line(f"{name} {version}  is not asked: {used} works", "idle", "○"))
        else:
            lines.append(Line(f"{name} {version}  was not tried", "idle", "○"))
    return lines
