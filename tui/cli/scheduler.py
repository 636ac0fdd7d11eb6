"""`scheduler`: who orders the tasks, on what evidence; the gate on demand; what was learned, out and in."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bus.api import TaskCounts
from bus.limits import BYTES_MAX
from bus.scheduling import Scheduler, SchedulerTest
from tui.cli import diagnostics, output
from tui.cli.connect import client
from tui.cli.diagnostics import CommandError, Exit
from tui.cli.flags import check_effect
from tui.view.descriptions import bar
from tui.view.learning import COST_COLUMNS, cost_rows, diff_lines, mode_line, scheduler_lines, verdict_line

if TYPE_CHECKING:
    from bus.client import Client

POLL_S = 0.5
MODES = ("off", "shadow", "on")
SWF_MAX = BYTES_MAX * 2 // 3
"""Bytes of a compressed trace: it travels as text."""


async def scheduler(arguments: Namespace) -> int:
    """One of its actions."""
    if arguments.action not in ("train", "replay"):
        check_effect(arguments, ("from_history", "swf", "seed", "policy"), beside=arguments.action)
    if arguments.action != "export":
        check_effect(arguments, ("snapshot",), beside=arguments.action)
    match arguments.action, arguments.words:
        case "status", []:
            async with client(arguments) as corral:
                _show(arguments, await corral.scheduler())
        case "mode", [mode] if mode in MODES:
            async with client(arguments) as corral:
                changed = await corral.scheduler_mode(mode)
            output.one(arguments.output, changed, name=changed.mode, text=lambda: [mode_line(changed)])
        case "mode", words:
            raise _misused("which mode?", "MODE", words, "off, shadow or on")
        case "train" | "replay", []:
            return await _test(arguments)
        case "export", [] | [_]:
            await _export(arguments)
        case "import", [file]:
            async with client(arguments) as corral:
                _show(arguments, await corral.import_learned(await asyncio.to_thread(Path(file).read_bytes)))
        case "diff", [one, other]:
            await _diff(arguments, one, other)
        case action, words:
            raise _misused(f"what should {action} take?", "WORD", words, _TAKES[action])
    return Exit.OK


_TAKES = {
    "status": "nothing",
    "train": "nothing but options",
    "replay": "nothing but options",
    "export": "a file at most",
    "import": "a file",
    "diff": "two snapshots (their numbers, or now) or files",
}


def _misused(message: str, field: str, words: list[str], expected: str) -> CommandError:
    got = repr(" ".join(words)[:80]) if words else ""
    return CommandError("E_USAGE", message, exit=Exit.USAGE, field=field, got=got, expected=expected)


def _show(arguments: Namespace, status: Scheduler) -> None:
    output.one(
        arguments.output,
        status,
        name=status.policy or status.order,
        text=lambda: scheduler_lines(status, now_s=time.time()),
    )


async def _test(arguments: Namespace) -> int:
    """Begin one, wait for it with a bar, and show what each order cost. It goes on where nobody waits."""
    test = SchedulerTest(
        swf=await asyncio.to_thread(_trace, arguments.swf) if arguments.swf else b"",
        seed=arguments.seed,
        policies=list(arguments.policy or ()),
    )
    async with client(arguments) as corral:
        begin = corral.train if arguments.action == "train" else corral.replay
        status = await _ended(corral, await begin(test))
    assert status.test is not None, "it was begun above"
    if status.test.error:
        raise CommandError("E_REPLAY", status.test.error, exit=Exit.JOB_FAILED)
    match arguments.output:
        case "json":
            output.as_json(status.test)
        case "jsonl":
            output.as_json_lines([status.test])
        case "name":
            output.lines([status.test.policy or status.test.static])
        case _:
            output.table(COST_COLUMNS, cost_rows(status.test))
            output.lines([verdict_line(status.test)])
    return Exit.OK


async def _ended(corral: Client, status: Scheduler) -> Scheduler:
    drawing = diagnostics.can_redraw()
    try:
        while status.test is not None and status.test.ended_at is None:
            if drawing and status.test.total:
                counts = TaskCounts(total=status.test.total, completed=status.test.done)
                diagnostics.redraw(f"{bar(counts)} {status.test.done} of {status.test.total} replays at most")
            await asyncio.sleep(POLL_S)
            status = await corral.scheduler()
    finally:
        if drawing:
            diagnostics.redraw("")
    return status


def _trace(file: str) -> bytes:
    """Compressed, and small enough for a message. Raises CommandError, OSError."""
    data = Path(file).expanduser().read_bytes()
    packed = data if data.startswith(b"\x1f\x8b") else gzip.compress(data, mtime=0)
    if len(packed) > SWF_MAX:
        raise CommandError(
            "E_TOO_LARGE",
            "too large a trace",
            exit=Exit.USAGE,
            field="--swf",
            got=f"{len(packed)} bytes compressed",
            expected=f"at most {SWF_MAX}",
            hint="corral bench scheduler takes any; here the newest jobs of it will do",
        )
    return packed


async def _export(arguments: Namespace) -> None:
    async with client(arguments) as corral:
        document = (await corral.export_learned(arguments.snapshot or 0)).document
    if not arguments.words:
        output.raw(document + b"\n")
        return
    file = Path(arguments.words[0])
    await asyncio.to_thread(file.write_bytes, document + b"\n")
    diagnostics.note(f"{file}: {len(document):,} bytes, {json.loads(document)['digest'][:12]}")


async def _diff(arguments: Namespace, one: str, other: str) -> None:
    async with client(arguments) as corral:
        documents = [await _document(corral, each) for each in (one, other)]
    differences = differing(*documents)
    output.one(
        arguments.output,
        {"a": one, "b": other, "differences": differences},
        name=str(len(differences)),
        text=lambda: diff_lines(differences),
    )


async def _document(corral: Client, name: str) -> dict[str, Any]:
    """Of a snapshot by number, of `now`, or of a file. Raises CommandError, ApiError, OSError."""
    if name == "now" or name.isdecimal():
        data = (await corral.export_learned(0 if name == "now" else int(name))).document
    else:
        data = await asyncio.to_thread(Path(name).read_bytes)
    try:
        found: dict[str, Any] = json.loads(data)
        return found
    except ValueError:
        raise CommandError("E_LEARNED", f"{name}: not an export", exit=Exit.USAGE, field="A B") from None


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[dict[str, Any]]:
    """Every value that is not in both, by its place: keys with dots; tables of pairs by what they are of."""
    found: list[dict[str, Any]] = []

    def note(place: str, a: Any, b: Any) -> None:
        found.append({"at": place, "a": a, "b": b})

    _compare("", one, other, note)
    return found


def _compare(place: str, one: Any, other: Any, note: Callable[[str, Any, Any], None]) -> None:
    if one == other:
        return
    mine, theirs = _table(one), _table(other)
    if mine is None or theirs is None:
        note(place, one, other)
        return
    for key in [*mine, *(key for key in theirs if key not in mine)]:
        _compare(f"{place}.{key}" if place else key, mine.get(key), theirs.get(key), note)


def _table(value: Any) -> dict[str, Any] | None:
    """Objects, and arrays of pairs of a key and a value; None for what is neither."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and value and all(isinstance(each, list) and len(each) == 2 for each in value):
        return {json.dumps(key) if isinstance(key, list) else str(key): entry for key, entry in value}
    return None
