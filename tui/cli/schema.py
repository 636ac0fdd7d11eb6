"""`schema`: what the tables allow, without asking any cluster."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import TypeVar

from bus.lifecycle import NODE_MEANINGS, NODE_TRANSITIONS, TASK_MEANINGS, TASK_TRANSITIONS
from tui.cli import output
from tui.cli.diagnostics import Exit

S = TypeVar("S", bound=StrEnum)


async def schema(arguments: Namespace) -> int:
    """The states of tasks and nodes, and which may follow which."""
    match arguments.output:
        case "json":
            output.as_json({"task": _edges(TASK_TRANSITIONS), "node": _edges(NODE_TRANSITIONS)})
        case "mermaid":
            output.lines(_mermaid(TASK_TRANSITIONS))
        case _:
            output.lines(_listed("task", TASK_TRANSITIONS, TASK_MEANINGS))
            output.lines(_listed("node", NODE_TRANSITIONS, NODE_MEANINGS))
    return Exit.OK


def _edges(table: Mapping[S, frozenset[S]]) -> dict[str, list[str]]:
    """Who may follow, in the order in which the states are declared."""
    return {str(state): [str(each) for each in table if each in after] for state, after in table.items()}


def _listed(name: str, table: Mapping[S, frozenset[S]], meanings: Mapping[S, str]) -> Iterator[str]:
    edges = _edges(table)
    yield f"{name} states, what each means, and what may follow"
    for state, meaning in meanings.items():
        yield f"  {state:<12}{meaning}"
        yield f"  {'':<12}→ {', '.join(edges[state]) or 'nothing'}"


def _mermaid(table: Mapping[S, frozenset[S]]) -> Iterator[str]:
    """A diagram in the language that documentation sites draw."""
    yield "stateDiagram-v2"
    yield from (f"    [*] --> {state}" for state in ("pending", "queued"))
    for state, after in _edges(table).items():
        yield from (f"    {state} --> {each}" for each in after)
        if not after:
            yield f"    {state} --> [*]"
