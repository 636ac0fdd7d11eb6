"""`users` and `share`: what people have used of the cluster, and what their part of it is."""

from __future__ import annotations

import time
from argparse import Namespace

from bus.people import User
from tui.cli import output
from tui.cli.connect import client
from tui.cli.diagnostics import Exit
from tui.view.amounts import NONE, age
from tui.view.equipment import seen
from tui.view.table import Column

_COLUMNS = (
    Column("NAME", flexible=True),
    Column("ROLE"),
    Column("STATE"),
    Column("RUN", right=True),
    Column("QUEUED", right=True),
    Column("FAILED 24H", right=True),
    Column("SEEN", right=True),
    Column("SHARES", right=True),
    Column("DUE", right=True),
    Column("USED", right=True),
    Column("LEVEL", right=True),
    Column("USAGE", right=True),
)


async def users(arguments: Namespace) -> int:
    """Everybody one may see, by name."""
    async with client(arguments) as corral:
        found = (await corral.users(at=arguments.at)).users
    match arguments.output:
        case "json":
            output.as_json(found)
        case "jsonl":
            output.as_json_lines(found)
        case "name":
            output.lines(user.name for user in found)
        case _:
            now_s = time.time() if arguments.at is None else arguments.at
            output.table(_COLUMNS, [_row(user, now_s=now_s) for user in found])
    return Exit.OK


async def share(arguments: Namespace) -> int:
    """Say what somebody's part of the cluster is."""
    async with client(arguments) as corral:
        changed = await corral.share(arguments.user, arguments.shares)
    output.one(arguments.output, changed, name=arguments.user, text=lambda: [changed.hint])
    return Exit.OK


def _row(user: User, *, now_s: float) -> tuple[str, ...]:
    standing = user.standing
    return (
        user.name,
        user.role,
        "active" if user.active else "suspended",
        f"{user.running:,}",
        f"{user.queued:,}",
        str(user.failed or NONE),
        seen(user, now_s=now_s),
        f"{standing.shares:,}",
        f"{standing.due:.0%}",
        f"{standing.used:.0%}",
        str(standing.level),
        age(standing.usage_s),
    )
