"""Histories that once broke a promise, in `histories/`: the plan itself, so that no later `draw` changes it.

`python -m tests.sim --seed N --store NAME --found WORDS` writes one, made smaller, for a seed that fails.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from tests.sim.plan import Plan

FOLDER = Path(__file__).with_name("histories")


class History(Struct, frozen=True):
    """`mutation`: the deliberate bug that is what was mended since, and breaks `invariant` once more."""

    found: str
    invariant: str
    mutation: str
    plan: Plan


def stored() -> dict[str, History]:
    """All of them, by name."""
    files = sorted(FOLDER.glob("*.json"))
    return {file.stem: msgspec.json.decode(file.read_bytes(), type=History) for file in files}


def store(name: str, history: History) -> Path:
    """Keep one for ever."""
    FOLDER.mkdir(exist_ok=True)
    file = FOLDER / f"{name}.json"
    file.write_bytes(msgspec.json.format(msgspec.json.encode(history), indent=1) + b"\n")
    return file
