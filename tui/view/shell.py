"""The `corral` command that shows in a shell what a screen of the console shows.

It is made of words that are quoted once, with long options as in scripts. A moment of the past is written
out, so that the command says the same tomorrow; what goes along with the present is told as a time ago.
Text from elsewhere is made safe: such a command may show less than the screen, never do something else.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bus.units import format_duration_s
from bus.values import Stream
from tui.view.instants import rfc3339
from tui.view.places import Step
from tui.view.safe import safe_line

if TYPE_CHECKING:
    from bus.registry import ToolSearch


_LISTS = frozenset({"jobs", "nodes", "events", "tasks"})
_SINGLES = {
    "pulse": "status",
    "scheduler": "scheduler",
    "users": "users",
    "tools": "tools",
    "tokens": "token list",
    "connections": "connections",
    "volumes": "volume ls",
    "output": "logs",
    "why": "why",
    "job": "job",
    "task": "task",
    "node": "node",
}
_SINCE_THEN = {
    "jobs": "at",
    "nodes": "at",
    "tasks": "at",
    "pulse": "at",
    "events": "until",
    **dict.fromkeys(("details", "job", "task", "node", "output", "why", "users"), "at"),
}
"""The option that takes a list or a screen into the past, where one does."""


def command(verb: str, *words: str, **options: str | int | float | bool | None) -> str:
    """One command; an option that is None, "", 0 or False is left out, True stands alone."""
    told = [
        f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}")
        for name, value in options.items()
        if value
    ]
    return safe_line(shlex.join(["corral", *verb.split(), *words, *told]))


def shell_command(step: Step, *, at: float | None = None) -> str:
    """What shows the same as a screen that is known by its line; "" where nothing does."""
    word, _, target = step.line.partition(" ")
    verb = word if word in _LISTS else _SINGLES.get(word, "")
    if word == "details":
        verb = "node" if not target[:1].isdigit() else "task" if "." in target else "job"
    if not verb:
        return ""
    then = {_SINCE_THEN[word]: moment(at)} if at is not None and word in _SINCE_THEN else {}
    narrowed = {"filter": step.filter, "sort": step.sort} if word in _LISTS else {}
    return command(verb, *([target] if target else []), **narrowed, **then)


def search_command(asked: ToolSearch) -> str:
    """Tools that are registered, narrowed as they are on the screen."""
    return command(
        "tool",
        "ls",
        *([asked.text] if asked.text else []),
        tag=asked.tag,
        category=asked.category,
        property=asked.input_property,
        output_property=asked.output_property,
    )


def logs_command(
    task: str,
    *,
    streams: Sequence[Stream],
    attempt: int = 0,
    words: str = "",
    context: int = 0,
    stamps: bool = False,
    follow: bool = False,
    at: float | None = None,
) -> str:
    """An output as one window shows it; an earlier attempt cannot be followed, nor can the past."""
    return command(
        "logs",
        f"{task}#{attempt}" if attempt else task,
        both=len(streams) > 1,
        stderr=tuple(streams) == (Stream.STDERR,),
        grep=words,
        context=context if words else 0,
        timestamps=stamps,
        at=None if at is None else moment(at),
        follow=follow and not attempt and at is None,
    )


def metrics_command(
    things: Sequence[str], metrics: Sequence[str], *, span_s: float, until_s: float | None
) -> str:
    """Charts: of the last `span_s`, or up to a moment."""
    since = _ago(span_s) if until_s is None else moment(until_s - span_s)
    until = None if until_s is None else moment(until_s)
    return command("metrics", *things, metric=",".join(metrics), since=since, until=until)


def timeline_command(
    *, filter: str = "", job: int | None = None, since_s: float, until_s: float, now_s: float | None
) -> str:
    """A Gantt chart; `now_s` None: it does not go along with the present."""
    since = moment(since_s) if now_s is None else _ago(now_s - since_s)
    until = moment(until_s) if now_s is None else None
    return command("timeline", filter="" if job is not None else filter, job=job, since=since, until=until)


def what_if_command(node: str, *, is_drained: bool, added: int, order: str) -> str:
    """What a change would do; "" where nothing is changed."""
    if not (is_drained or added or order):
        return ""
    nodes = f"{added}:like={node}" if added else ""
    return command("plan", drain=node if is_drained else "", add_nodes=nodes, order=order)


def span_command(verb: str, since_s: float, until_s: float | None) -> str:
    """`changes` and `spike`: between two moments, of which None is now."""
    return command(verb, since=moment(since_s), until=None if until_s is None else moment(until_s))


def moment(at_s: float) -> str:
    """A moment as the command takes it."""
    return rfc3339(at_s)


def _ago(seconds: float) -> str:
    return format_duration_s(max(1.0, round(seconds)))
