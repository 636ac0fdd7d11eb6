"""Values of options: text in, a checked value out, or a refusal that names the option."""

from __future__ import annotations

import re
import time
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import UTC, datetime

from tui.cli.diagnostics import CommandError, Exit
from tui.view.detach_keys import DEFAULT

LIMIT_MAX = 10_000
CONTEXT_MAX = 20
"""Lines around a match that the coordinator gives at most (bus.grep), known without loading that."""


def whole(option: str, *, least: int, most: int, hint: str = "") -> Callable[[str], int]:
    """A reader of whole numbers for argparse's `type`. What it returns raises CommandError."""

    def read(text: str) -> int:
        readable = re.fullmatch(r"-?[0-9]{1,18}", text, re.ASCII)
        if readable is None or not least <= int(text) <= most:
            raise CommandError(
                "E_RANGE",
                "not a number in range",
                exit=Exit.USAGE,
                field=option,
                got=repr(text[:80]),
                expected=f"a whole number, {least:,} to {most:,}",
                hint=hint,
            )
        return int(text)

    return read


def words(text: str) -> list[str]:
    """ "a,b" as ["a", "b"]."""
    return [word.strip() for word in text.split(",") if word.strip()]


def add_where(parser: ArgumentParser, *, example: str, tasks: bool = False) -> None:
    """What every verb takes that can be done to all that match."""
    group = parser.add_argument_group("all that match, instead of names")
    group.add_argument("--where", metavar="COND", help=f"all that this filter lets through: '{example}'")
    if tasks:
        group.add_argument("--tasks", action="store_true", help="the tasks that match, not the jobs")
    group.add_argument("--dry-run", action="store_true", help="only say what it would do")
    group.add_argument("-y", "--yes", action="store_true", help="do it without asking first")


def add_detach_keys(parser: ArgumentParser) -> None:
    """What every verb takes that puts a person at a terminal."""
    text = (
        f'leave, and the task goes on (default: detach_keys of console.toml, else {DEFAULT}; "": no keys do)'
    )
    parser.add_argument("--detach-keys", metavar="KEYS", help=text)


def seconds(option: str) -> Callable[[str], float]:
    """A reader of durations; what it returns raises CommandError."""

    def read(text: str) -> float:
        from bus.units import parse_duration_s

        try:
            return parse_duration_s(text)
        except ValueError as error:
            raise _unreadable("E_DURATION", error, option, text, "90, 1h30m or 1-02:00:00") from None

    return read


def moment(option: str) -> Callable[[str], float]:
    """A reader of instants, in seconds of the Unix epoch; what it returns raises CommandError."""

    def read(text: str) -> float:
        from tui.cli.moments import EXPECTED, parse_moment

        now = datetime.fromtimestamp(time.time(), UTC).astimezone()
        try:
            return parse_moment(text, now=now)
        except (ValueError, OverflowError) as error:
            raise _unreadable("E_TIME", error, option, text, EXPECTED) from None

    return read


def add_at(parser: ArgumentParser) -> None:
    """For what is known of the past."""
    parser.add_argument(
        "--at", type=moment("--at"), metavar="TIME", help="as it was then: 2h, yesterday, 2026-11-22T10:00Z"
    )


def _unreadable(code: str, error: Exception, option: str, text: str, expected: str) -> CommandError:
    return CommandError(
        code,
        "not a duration" if code == "E_DURATION" else "not an instant",
        exit=Exit.USAGE,
        field=option,
        got=repr(text[:80]),
        expected=expected,
    )
