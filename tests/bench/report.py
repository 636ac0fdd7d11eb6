"""The run as a table for people and as one JSON document."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from tests.bench.figures import Figure
from tests.bench.peers import COMPARISONS, SOURCE, Comparison, Published, beside


class Machine(Struct, frozen=True, kw_only=True):
    """Where it ran. `load` is the 1-minute average at the start: beyond 0.2 the machine was not quiet."""

    cpus: int
    memory_mib: int
    python: str
    kernel: str
    load: float


class Run(Struct, frozen=True, kw_only=True):
    """The whole document."""

    started_at: float
    seconds: float
    quick: bool
    machine: Machine
    figures: tuple[Figure, ...]
    peers: tuple[Comparison, ...] = COMPARISONS
    peers_source: str = SOURCE


def this_machine() -> Machine:
    return Machine(
        cpus=len(os.sched_getaffinity(0)),
        memory_mib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        python=platform.python_version(),
        kernel=platform.release(),
        load=os.getloadavg()[0],
    )


def as_json(run: Run) -> bytes:
    return msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n"


def table(figures: Sequence[Figure]) -> list[str]:
    """A line for each figure, the peers' beside it."""
    lines = [f"{'FIGURE':<38} {'VALUE':>10} {'UNIT':<8} {'× LIMIT':>7}  PEERS ({SOURCE}); GOAL"]
    for figure in figures:
        ratio = f"{figure.of_limit:.3f}" if figure.of_limit is not None else ""
        remark = "; ".join(text for text in (figure.note, _remark(figure)) if text)
        value = f"{figure.value:,.0f}" if abs(figure.value) >= 1000 else f"{figure.value:.3g}"
        lines.append(f"{figure.name:<38} {value:>10} {figure.unit:<8} {ratio:>7}  {remark}".rstrip())
    return lines


def _remark(figure: Figure) -> str:
    comparison = beside(figure.name)
    if comparison is None:
        return ""
    peers = ", ".join(f"{each.peer} {_amount(each)}" for each in comparison.published)
    return "; ".join(text for text in (peers, f"goal {comparison.goal}") if text)


def _amount(published: Published) -> str:
    ratio = published.of_limit
    return f"{ratio:.3f}×" if ratio is not None else f"{published.value:g}"
