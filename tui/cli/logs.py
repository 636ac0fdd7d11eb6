"""`logs`: what tasks printed, and with --rows what they logged."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING

from msgspec.structs import replace

from bus.api import Log
from bus.grep import Pattern
from bus.values import Stream
from tui.cli import output
from tui.cli.connect import client
from tui.cli.diagnostics import CommandError, Exit
from tui.cli.ids import Target, attempt_id
from tui.cli.log_lines import Wanted, followed, lines_of, shaped

if TYPE_CHECKING:
    from bus.client import Client
    from tui.client.source import LogSource

PIECE = 262_144
"""Bytes asked for at once."""

TAIL_PIECE = 65_536


async def logs(arguments: Namespace) -> int:
    """Print tasks' stdout (or stderr, or both) so far; with --follow until the task has ended."""
    if arguments.rows:
        from tui.cli.logged import logged

        return await logged(arguments)
    if arguments.level is not None:
        message = "what tasks print has no levels: it belongs to --rows"
        raise CommandError("E_USAGE", message, exit=Exit.USAGE, field="--level")
    targets = [attempt_id(task) for task in arguments.tasks]
    if arguments.attempt is not None:
        targets = [Target(target.name, arguments.attempt) for target in targets]
    wanted = _wanted(arguments)
    if arguments.follow and (len(targets) > 1 or targets[0].attempt or arguments.output != "table"):
        message = "it follows the newest attempt of one task, as plain output"
        raise CommandError("E_USAGE", message, exit=Exit.USAGE, field="--follow")
    if arguments.follow and arguments.at is not None:
        message = "what was then does not go on"
        raise CommandError("E_USAGE", message, exit=Exit.USAGE, field="--follow")
    if arguments.output != "table" and not wanted.is_plain:
        message = "pieces of bytes have no lines: --grep, --both and times are for plain output"
        raise CommandError("E_USAGE", message, exit=Exit.USAGE, field="--output")
    async with client(arguments) as corral:
        source = corral if arguments.at is None else _then(corral, arguments.at)
        for place, target in enumerate(targets):
            if len(targets) > 1 and arguments.output == "table":
                output.lines([*([""] if place else []), f"==> {target} <=="])
                output.finish()
            if wanted.is_plain:
                await _print_bytes(corral, source, target, wanted.streams[0], arguments)
            else:
                await _print_lines(corral, source, target, wanted, arguments)
    return Exit.OK


def _wanted(arguments: Namespace) -> Wanted:
    """What the options ask for. Raises CommandError."""
    if arguments.both and arguments.stderr:
        message = "one of --both and --stderr"
        raise CommandError("E_USAGE", message, exit=Exit.USAGE, field="--both")
    if arguments.context and not arguments.grep:
        message = "lines around which? it belongs to --grep"
        raise CommandError("E_USAGE", message, exit=Exit.USAGE, field="--context")
    if arguments.grep is not None:
        try:
            Pattern(arguments.grep)
        except ValueError as error:
            raise CommandError("E_USAGE", str(error), exit=Exit.USAGE, field="--grep") from None
    one = Stream.STDERR if arguments.stderr else Stream.STDOUT
    return Wanted(
        streams=(Stream.STDOUT, Stream.STDERR) if arguments.both else (one,),
        words=arguments.grep or "",
        context=arguments.context,
        since=arguments.since,
        until=arguments.until,
        stamps=arguments.timestamps,
        tail=arguments.tail,
    )


def _then(corral: Client, at_s: float) -> LogSource:
    """Their output as it was, which few ask for."""
    from tui.client.logs_then import LogsThen

    return LogsThen(corral, at_s)


async def _print_bytes(
    corral: Client, source: LogSource, target: Target, stream: Stream, arguments: Namespace
) -> None:
    start = 0
    if arguments.tail is not None:
        start = await tail_offset(source, target, stream, lines=arguments.tail)
    if arguments.output != "table":
        await _print_documents(arguments.output, _so_far(source, target, stream, start=start))
        return
    writer = output.LogWriter(raw=arguments.raw)
    pieces = (
        _followed(corral, target, stream, start=start)
        if arguments.follow
        else _bytes(source, target, stream, start=start)
    )
    async for piece in pieces:
        writer.write(piece)
    writer.finish()


async def _print_lines(
    corral: Client, source: LogSource, target: Target, wanted: Wanted, arguments: Namespace
) -> None:
    if arguments.follow:
        starts = {}
        if wanted.tail is not None:
            for stream in wanted.streams:
                starts[stream] = await tail_offset(source, target, stream, lines=wanted.tail)
        lines = followed(corral, target, wanted, starts=starts)
    else:
        lines = lines_of(source, target, wanted)
    writer = output.LogWriter(raw=arguments.raw)
    async with aclosing(lines):
        async for line in lines:
            writer.write(shaped(line, wanted))
    writer.finish()


async def tail_offset(corral: LogSource, target: Target, stream: Stream, *, lines: int) -> int:
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


async def _so_far(corral: LogSource, target: Target, stream: Stream, *, start: int) -> AsyncIterator[Log]:
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


async def _bytes(corral: LogSource, target: Target, stream: Stream, *, start: int) -> AsyncIterator[bytes]:
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
