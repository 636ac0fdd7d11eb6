"""`logs`: what tasks printed."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from msgspec.structs import replace

from bus.api import Log
from bus.values import Stream
from tui.cli import output
from tui.cli.connect import client
from tui.cli.diagnostics import CommandError, Exit
from tui.cli.ids import Target, attempt_id

if TYPE_CHECKING:
    from bus.client import Client

PIECE = 262_144
"""Bytes asked for at once."""

TAIL_PIECE = 65_536


async def logs(arguments: Namespace) -> int:
    """Print tasks' stdout (or stderr) so far; with --follow until the task has ended."""
    targets = [attempt_id(task) for task in arguments.tasks]
    stream = Stream.STDERR if arguments.stderr else Stream.STDOUT
    if arguments.attempt is not None:
        targets = [Target(target.name, arguments.attempt) for target in targets]
    if arguments.follow and (len(targets) > 1 or targets[0].attempt or arguments.output != "table"):
        message = "it follows the newest attempt of one task, as plain output"
        raise CommandError("E_USAGE", message, exit=Exit.USAGE, field="--follow")
    async with client(arguments) as corral:
        for place, target in enumerate(targets):
            start = 0
            if arguments.tail is not None:
                start = await tail_offset(corral, target, stream, lines=arguments.tail)
            if arguments.output != "table":
                await _print_documents(arguments.output, _so_far(corral, target, stream, start=start))
                continue
            if len(targets) > 1:
                output.lines([*([""] if place else []), f"==> {target} <=="])
                output.finish()
            writer = output.LogWriter(raw=arguments.raw)
            pieces = _followed if arguments.follow else _bytes
            async for piece in pieces(corral, target, stream, start=start):
                writer.write(piece)
            writer.finish()
    return Exit.OK


async def tail_offset(corral: Client, target: Target, stream: Stream, *, lines: int) -> int:
    """Where the last `lines` lines begin. A last line without its end counts as one."""
    first = await corral.logs(target.name, stream=stream, attempt=target.attempt, limit=1)
    end = offset = first.size
    missing = lines
    while offset > 0 and missing > 0:
        length = min(TAIL_PIECE, offset)
        offset -= length
        asked = corral.logs(target.name, stream=stream, attempt=target.attempt, offset=offset, limit=length)
        data = (await asked).data[:length]
        at = len(data)
        if offset + length == end and data.endswith(b"\n"):
            at -= 1  # it ends the last line, and begins none
        while missing > 0 and (at := data.rfind(b"\n", 0, at)) >= 0:
            missing -= 1
        if missing == 0:
            return offset + at + 1
    return offset


async def _so_far(corral: Client, target: Target, stream: Stream, *, start: int) -> AsyncIterator[Log]:
    offset = start
    while True:
        piece = await corral.logs(
            target.name, stream=stream, attempt=target.attempt, offset=offset, limit=PIECE
        )
        offset += len(piece.data)
        yield piece
        if not piece.data or offset >= piece.size:
            return


async def _print_documents(form: str, logs: AsyncIterator[Log]) -> None:
    """One line a piece, or one document with all of it."""
    if form == "jsonl":
        async for log in logs:
            output.as_json_lines([log])
        return
    whole: Log | None = None
    async for log in logs:
        whole = log if whole is None else replace(log, offset=whole.offset, data=whole.data + log.data)
    output.as_json(whole)


async def _bytes(corral: Client, target: Target, stream: Stream, *, start: int) -> AsyncIterator[bytes]:
    async for log in _so_far(corral, target, stream, start=start):
        yield log.data


async def _followed(corral: Client, target: Target, stream: Stream, *, start: int) -> AsyncIterator[bytes]:
    """Everything from `start` of the newest attempt on, a later attempt from its first byte."""
    before = start
    async for piece in corral.follow(target.name, stream=stream):
        fresh = piece[before:]
        before = max(0, before - len(piece))
        if fresh:
            yield fresh
