"""`--where`: one verb for all that a filter matches; asked about first, then done to those and no others."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import Any, Literal

from bus.bulk import BulkSteer, BulkSteered
from bus.errors import ApiError
from bus.units import counted
from tui.cli import output
from tui.cli.connect import client
from tui.cli.diagnostics import CommandError, Exit, note
from tui.cli.flags import check_effect

_EFFECTS = {
    "cancel": "running: {running} end; waiting: {waiting} never start",
    "requeue": "running: {running} end and wait again",
    "retry": "failed: {tasks} wait again",
    "hold": "waiting: {waiting} stay so; running: {running} go on",
    "pause": "running: {running} stand still; waiting: {waiting} stay so",
    "priority": "waiting: {waiting} move in the line; running: {running} keep their places",
}
_DONE = {
    "cancel": "told to end",
    "requeue": "told to end and wait again",
    "retry": "queued again",
    "hold": "held",
    "pause": "paused",
    "priority": "given that priority",
    "cordon": "cordoned",
    "drain": "draining",
    "maintenance": "draining for maintenance",
    "label": "labelled",
}


def named(arguments: Namespace, words: Sequence[str], *, what: str) -> Sequence[str]:
    """What was named, where no `--where` chooses. Raises CommandError."""
    check_effect(
        arguments, [each for each in ("yes", "dry_run", "tasks") if each in arguments], beside="names"
    )
    if not words:
        hint = f"name it, or choose with --where: corral {arguments.verb} --where 'user=me'"
        raise CommandError("E_USAGE", f"no {what} is named", exit=Exit.USAGE, hint=hint)
    return words


async def steer_matching(
    arguments: Namespace,
    noun: Literal["job", "task", "node"],
    verb: str,
    words: Sequence[str] = (),
    **fields: Any,
) -> int:
    """`verb` to all that `--where` lets through; `words`: names beside it, of which there may be none."""
    if words:
        message = "names and --where exclude each other"
        raise CommandError("E_USAGE", message, exit=Exit.USAGE, field="--where", got=repr(words[0][:80]))
    asked = BulkSteer(noun=noun, verb=verb, filter=arguments.where, **fields)
    if arguments.yes and not arguments.dry_run:
        return _told(arguments, asked, await _ask(arguments, asked))
    while True:
        foretold = await _ask(arguments, asked, dry_run=True)
        if arguments.dry_run or not foretold.changed:
            return _told(arguments, asked, foretold)
        if not await _confirmed(asked, foretold):
            note("nothing was done")
            return Exit.JOB_FAILED
        try:
            return _told(arguments, asked, await _ask(arguments, asked, revision=foretold.revision))
        except ApiError as error:
            if error.error.code != "E_STALE":
                raise
            note(error.error.message)


async def _ask(
    arguments: Namespace, asked: BulkSteer, *, dry_run: bool = False, revision: int = 0
) -> BulkSteered:
    """On a connection of its own: nobody knows for how long a person thinks in between."""
    async with client(arguments) as corral:
        fields = {name: getattr(asked, name) for name in asked.__struct_fields__}
        return await corral.steer_all(BulkSteer(**fields | {"dry_run": dry_run, "revision": revision}))


async def _confirmed(asked: BulkSteer, foretold: BulkSteered) -> bool:
    """Whether who sits there says yes. Raises CommandError where nobody does."""
    if sys.stdin is None or not sys.stdin.isatty():
        hint = "--yes does it without asking, --dry-run only says what it would do"
        raise CommandError("E_USAGE", "--where asks first, and nobody is there", exit=Exit.USAGE, hint=hint)
    note("\n".join(effect(asked, foretold)))
    note(f"{asked.verb} {counted(foretold.changed, asked.noun)}? [y/N]")
    loop, typed = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), typed.set)  # a thread that reads would outlive ctrl-C
    try:
        await typed.wait()
    finally:
        loop.remove_reader(sys.stdin.fileno())
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def effect(asked: BulkSteer, answer: BulkSteered) -> list[str]:
    """What it does, or did, in a few lines."""
    matched = counted(answer.matched, asked.noun)
    lines = [f"{matched} match, {answer.changed:,} {'would change' if answer.dry_run else 'changed'}"]
    if answer.changed:
        told = _EFFECTS.get(asked.verb, "running: {running}; waiting: {waiting}")
        lines.append(
            told.format(
                tasks=counted(answer.tasks, "task"),
                running=counted(answer.running, "task"),
                waiting=counted(answer.waiting, "task"),
            )
        )
    if answer.skipped:
        why = ", ".join(
            f"{number:,} {_WORDS.get(reason, reason)}" for reason, number in answer.skipped.items()
        )
        lines.append(f"left as they are: {why}")
    if answer.left:
        lines.append(f"not reached in time: {answer.left:,}; the same line again goes on with them")
    return lines


_WORDS = {
    "over": "over",
    "already": "so already",
    "ending": "being cancelled",
    "nothing": "with nothing to do it to",
}


def _told(arguments: Namespace, asked: BulkSteer, answer: BulkSteered) -> int:
    def text() -> list[str]:
        lines = effect(asked, answer)
        if not answer.dry_run and answer.changed:
            done = _DONE.get(asked.verb, f"{asked.verb}d")
            lines[0] = f"{counted(answer.changed, asked.noun)} of {answer.matched:,} {done}"
        return lines + ([f"audit: {answer.audit}"] if answer.audit else [])

    output.one(arguments.output, answer, name=answer.audit or str(answer.changed), text=text)
    return Exit.TIMEOUT if answer.left else Exit.OK
