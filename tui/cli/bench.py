"""`bench scheduler`: which order would have been best, on workloads that others or this cluster recorded."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from bus.api import TaskCounts
from bus.setting_kinds import expanded
from tui.cli import diagnostics, output, plots
from tui.cli.diagnostics import CommandError, Exit
from tui.cli.flags import check_effect
from tui.view.descriptions import bar
from tui.view.safe import fit, text_width
from tui.view.table import Column

LINE_MAX = 1 << 20
"""Of the other side's lines, bytes: a result with its windows."""

HEADS = (Column("TRACE", flexible=True), Column("POLICY"))
TAILS = (Column("LEAST", right=True), Column("MOST", right=True), Column("MS/DECISION", right=True))

_WINDOWS = ("backfill", "starts", "sequences", "length", "seed")
_IDLE = {
    "swf": ("seeds",),
    "openb": _WINDOWS,
    "results": (*_WINDOWS, "seeds", "policy", "training_seed"),
}
"""Options that do nothing, by where the results come from."""


async def bench(arguments: Namespace) -> int:
    """Replay every run under every policy, and say how well each did; who interrupts is told what is done."""
    for source in ("swf", "openb", "results"):
        if getattr(arguments, source):
            check_effect(arguments, _IDLE[source], beside=f"--{source}")
    results: list[dict[str, Any]] = []
    try:
        if arguments.results:
            results += plots.read_results(arguments.results)
        else:
            settings: dict[str, Any] = _orders(arguments) if arguments.swf else _placements(arguments)
            if arguments.policy:
                settings["policies"] = arguments.policy
            await _judge(settings, results)
    except asyncio.CancelledError:
        _show(results, arguments.output, complete=False)
        raise
    _show(results, arguments.output, complete=True)
    if arguments.plots:
        plots.draw_into(arguments.plots, results)
    return Exit.OK


def _show(results: Sequence[dict[str, Any]], form: str, *, complete: bool) -> None:
    match form:
        case "json":
            output.as_json({"results": results, "complete": complete})
        case "jsonl":
            output.as_json_lines(results)
        case _:
            for title, key in (("SLOWDOWN", "mean_bounded_slowdown"), ("GPU %", "mean_gpu_allocation")):
                rows = [_cells(result, key) for result in results if key in result]
                if rows:
                    output.table((*HEADS, Column(title, right=True), *TAILS), rows)
    output.finish()


def _orders(arguments: Namespace) -> dict[str, Any]:
    return {
        "type": "order",
        "files": [str(expanded(file).absolute()) for file in arguments.swf],
        "backfill": arguments.backfill,
        "sequences": arguments.sequences,
        "length": arguments.length,
        "seed": arguments.seed,
        "starts": arguments.starts or [],
        "rng_seed": arguments.training_seed,
    }


def _placements(arguments: Namespace) -> dict[str, Any]:
    nodes, pods = (str(expanded(file).absolute()) for file in arguments.openb)
    return {
        "type": "placement",
        "nodes": nodes,
        "pods": pods,
        "seeds": arguments.seeds,
        "rng_seed": arguments.training_seed,
    }


async def _judge(settings: dict[str, Any], results: list[dict[str, Any]]) -> None:
    """By a program of the cluster's side: only that knows the scheduler. Raises CommandError."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "coordinator", "bench"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        limit=LINE_MAX,
        start_new_session=True,  # ctrl-C is for us: we end it
    )
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write(json.dumps(settings).encode())
    child.stdin.close()
    drawing = diagnostics.can_redraw()
    try:
        async for line in child.stdout:
            said = json.loads(line)
            if "error" in said:
                error = said["error"]
                raise CommandError(
                    error["code"],
                    error["message"],
                    exit=Exit.USAGE,
                    field=error["field"],
                    expected=error["expected"],
                )
            if "result" in said:
                results.append(said["result"])
            elif drawing:
                done, total = said["progress"]
                diagnostics.redraw(_progress(done, total))
    finally:
        if drawing:
            diagnostics.redraw("")
        if sys.exc_info()[0] is not None and child.returncode is None:
            child.terminate()
        code = await child.wait()
    if code != 0:
        raise CommandError("E_INTERNAL", "the bench ended before it was done", exit=Exit.JOB_FAILED)


def _progress(done: int, total: int) -> str:
    """The count is worth more than the bar, where there is no room for both."""
    width = max(1, diagnostics.width() - 1)
    count = f"{done} of {total} runs"
    line = f"{bar(TaskCounts(total=total, completed=done))} {count}"
    return line if text_width(line) <= width else fit(count, width).rstrip()


def _cells(result: dict[str, Any], key: str) -> tuple[str, ...]:
    values = result["values"]
    acted = result.get("acted")
    return (
        result["trace"],
        result["policy"] if acted in (None, result["policy"]) else f"{result['policy']} ({acted})",
        f"{result[key]:.2f}",
        f"{min(values):.2f}",
        f"{max(values):.2f}",
        f"{result['ms_per_decision']:.3f}",
    )
