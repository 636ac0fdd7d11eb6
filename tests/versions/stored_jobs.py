"""What stored specs of jobs mean: a coordinator derives them again at each start, and must find the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from bus.spec import JobSpec
from bus.values import UserName
from coordinator.core.intake import derive

SPECS = Path(__file__).parent / "stored_jobs.json"


def meaning(spec: dict[str, Any]) -> dict[str, Any]:
    """The groups that a spec becomes, as plain values."""
    derived = derive(msgspec.convert(spec, JobSpec), UserName("alice"))
    assert not isinstance(derived, tuple), derived[0].message
    groups = [
        {
            "name": part.name,
            "count": part.count,
            "limit": part.limit,
            "needs": [need.name for need in part.needs],
            "command": list(part.command),
            "settings": msgspec.to_builtins(part.settings),
        }
        for part in derived.parts
    ]
    plain: dict[str, Any] = json.loads(json.dumps({"name": derived.name, "groups": groups}))
    return plain


def recorded() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Every spec with what it meant when it was recorded."""
    return [(each["spec"], each["means"]) for each in json.loads(SPECS.read_text())]
