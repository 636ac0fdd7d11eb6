"""What an agent can, shown by its own tests: each built-in tool on inputs whose answers are known.

A tool counts as able only if it passes all of its cases. What else an agent is said to be able to (`--can`)
has no test here: it is taken at its operator's word.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from typing import Any

from agent.tools.registry import TOOLS
from bus.values import Capability

Case = tuple[dict[str, Any], dict[str, Any]]
"""An input, and what its output must say."""

CASES: dict[str, tuple[Case, ...]] = {
    "wordcount": (({"text": "one two, One"}, {"words": 3, "counts": {"one": 2, "two": 1}}),),
    "wordcount_merge": (({}, {"words": 0, "counts": {}}),),
    "text_analysis": (
        ({"text": "สวัสดี 🇹🇭"}, {"characters": 6, "unspaced_characters": 4, "words": 0}),
        ({"text": "A cat sat. A cat!"}, {"words": 5, "sentences": 2}),
    ),
    "code_analysis": (
        ({"code": "import os\n"}, {"valid": True, "unused_imports": ["os"]}),
        ({"code": "def ("}, {"valid": False}),
    ),
    "data_processing": (
        ({"data": [1, None, 1, 3]}, {"data": [1, 3], "removed": 2}),
        ({"data": [0, 5, 10], "steps": [{"op": "normalise"}]}, {"data": [0.0, 0.5, 1.0]}),
    ),
    "data_analysis": (
        ({"data": {"a": [1, 2, 3], "b": [2, 4, 6]}}, {"rows": 3, "correlation": {"a": {"b": 1.0}}}),
    ),
    "data_visualization": (({"data": [1, 2, 3], "kind": "bar"}, {"marks": 3, "file": "plot.svg"}),),
}


def capabilities(*, also: Iterable[str] = ()) -> dict[str, Capability]:
    """By name: the built-in tools as tested, and what the operator says."""
    told = {name: Capability(level=1.0, verified=True) for name in also}
    before = os.getcwd()
    with tempfile.TemporaryDirectory(prefix="corral-selftest-") as folder:
        os.chdir(folder)
        try:
            return told | {name: tested(name) for name in TOOLS}
        finally:
            os.chdir(before)


def tested(name: str) -> Capability:
    """The share of its cases that a tool passes, and the first fault."""
    cases = CASES.get(name, ())
    faults = [fault for fault in (_fault(name, *case) for case in cases) if fault]
    level = 1.0 - len(faults) / len(cases) if cases else 0.0
    return Capability(
        level=round(level, 2), verified=bool(cases) and not faults, fault="".join(faults[:1])[:200]
    )


def _fault(name: str, given: dict[str, Any], expected: dict[str, Any]) -> str:
    try:
        output = TOOLS[name](given, ())
    except Exception as error:  # noqa: BLE001 - whatever a broken installation raises is what the test is for
        return f"{type(error).__name__}: {error}"
    wrong = [key for key, value in expected.items() if output.get(key) != value]
    return f"{wrong[0]} is {output.get(wrong[0])!r}, not {expected[wrong[0]]!r}" if wrong else ""
