"""`webhook`: addresses that are called when something happens, and what came of the calls."""

from __future__ import annotations

import asyncio
import time
from argparse import Namespace
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bus.layout import read_secret
from bus.webhooks import Delivery, Webhook
from tui.cli import diagnostics, output
from tui.cli.connect import client
from tui.cli.diagnostics import CommandError, Exit
from tui.cli.options import words
from tui.view.amounts import NONE, age, duration
from tui.view.table import Column

if TYPE_CHECKING:
    from bus.client import Client

TEST_WAIT_S = 10.0
"""A try takes 5 s at most, and may begin a second late."""

_LOOK_EVERY_S = 0.2
_ID_CHARACTERS = 18
_GUIDE = "docs/guides/webhooks.md says what there is"

_WEBHOOKS = (
    Column("ID", right=True),
    Column("USER"),
    Column("STATE"),
    Column("ON", flexible=True),
    Column("OF", flexible=True),
    *(Column(title, right=True) for title in ("SENT", "WAITING", "GIVEN UP")),
    Column("URL", flexible=True),
)
_DELIVERIES = (
    Column("DELIVERY"),
    Column("EVENT"),
    Column("STATE"),
    Column("TRIES", right=True),
    Column("AGE", right=True),
    Column("NEXT", right=True),
    Column("STATUS", right=True),
    Column("TOOK", right=True),
    Column("ERROR", flexible=True),
)


async def webhook(arguments: Namespace) -> int:
    """One of the actions."""
    actions: dict[str, Callable[[Namespace], Coroutine[Any, Any, int]]] = {
        "add": _add,
        "ls": _list,
        "list": _list,
        "show": _show,
        "rm": _remove,
        "enable": _enable,
        "test": _test,
        "deliveries": _deliveries,
        "redeliver": _redeliver,
    }
    return await actions[arguments.action](arguments)


async def _add(arguments: Namespace) -> int:
    url = _named(arguments, "URL", "the address to call")
    events = words(arguments.on or "")
    if not events:
        expected = "job.failed, node.lost, …"
        raise CommandError(
            "E_REQUIRED", "on what?", exit=Exit.USAGE, field="--on", expected=expected, hint=_GUIDE
        )
    secret = _secret(arguments.secret_file) if arguments.secret_file else ""
    async with client(arguments) as corral:
        made = await corral.add_webhook(
            url,
            events,
            job=arguments.job,
            user=arguments.user or "",
            tag=arguments.tag or "",
            secret=secret,
        )
    if made.secret and arguments.output == "table":
        diagnostics.note(f"its secret, shown this one time: {made.secret}")
    output.one(arguments.output, made, name=str(made.id), text=lambda: [f"webhook {made.id} added"])
    return Exit.OK


async def _list(arguments: Namespace) -> int:
    async with client(arguments) as corral:
        found = (await corral.webhooks(user=arguments.user or "")).webhooks
    match arguments.output:
        case "json":
            output.as_json(found)
        case "jsonl":
            output.as_json_lines(found)
        case "name":
            output.lines(str(each.id) for each in found)
        case _:
            output.table(_WEBHOOKS, [_row(each) for each in found])
    return Exit.OK


async def _show(arguments: Namespace) -> int:
    ident = _number(arguments)
    async with client(arguments) as corral:
        found = [each for each in (await corral.webhooks()).webhooks if each.id == ident]
    if not found:
        hint = "corral webhook ls shows yours"
        raise CommandError("E_NOT_FOUND", f"no webhook {ident}", exit=Exit.NOT_FOUND, hint=hint)
    output.one(arguments.output, found[0], name=str(ident), text=lambda: _lines(found[0]))
    return Exit.OK


async def _remove(arguments: Namespace) -> int:
    async with client(arguments) as corral:
        gone = await corral.remove_webhook(_number(arguments))
    output.one(arguments.output, gone, name=str(gone.id), text=lambda: [f"webhook {gone.id} removed"])
    return Exit.OK


async def _enable(arguments: Namespace) -> int:
    async with client(arguments) as corral:
        now = await corral.enable_webhook(_number(arguments))
    output.one(arguments.output, now, name=str(now.id), text=lambda: [f"webhook {now.id} {now.state}"])
    return Exit.OK


async def _deliveries(arguments: Namespace) -> int:
    async with client(arguments) as corral:
        found = (await corral.deliveries(_number(arguments), limit=arguments.limit)).deliveries
    match arguments.output:
        case "json":
            output.as_json(found)
        case "jsonl":
            output.as_json_lines(found)
        case "name":
            output.lines(each.id for each in found)
        case _:
            now_s = time.time()
            output.table(_DELIVERIES, [_delivery_row(each, now_s=now_s) for each in found])
    return Exit.OK


async def _test(arguments: Namespace) -> int:
    """One delivery, and whether it arrived at its first try."""
    ident = _number(arguments)
    async with client(arguments) as corral:
        sent = await corral.test_webhook(ident)
        return await _came_of(arguments, corral, sent)


async def _redeliver(arguments: Namespace) -> int:
    """The same once more, from its first try on."""
    delivery = _named(arguments, "ID", "the id of a delivery")
    async with client(arguments) as corral:
        again = await corral.redeliver(delivery)
        return await _came_of(arguments, corral, again)


async def _came_of(arguments: Namespace, corral: Client, sent: Delivery) -> int:
    """Wait for the first try of `sent`; what failed: exit 69."""
    deadline = time.monotonic() + TEST_WAIT_S
    now = sent
    while now.state == "waiting" and not now.attempts and time.monotonic() < deadline:
        await asyncio.sleep(_LOOK_EVERY_S)
        found = (await corral.deliveries(sent.webhook, limit=1000)).deliveries
        now = next((each for each in found if each.id == sent.id), now)
    output.one(arguments.output, now, name=now.id, text=lambda: [_result(now)])
    return Exit.OK if now.state == "delivered" else Exit.UNAVAILABLE


def _result(now: Delivery) -> str:
    if now.state == "delivered":
        return f"{now.event} delivered in {now.took_ms or 0:.0f} ms, answered {now.status}; delivery {now.id}"
    if not now.attempts:
        return f"{now.event} waits; corral webhook deliveries {now.webhook} says what comes of it"
    return f"{now.event} failed: {now.last_error}; delivery {now.id}"


def _row(each: Webhook) -> tuple[str, ...]:
    return (
        str(each.id),
        each.user,
        each.state,
        ",".join(each.on),
        _narrowed(each),
        str(each.delivered),
        str(each.waiting),
        str(each.dead),
        each.url,
    )


def _narrowed(each: Webhook) -> str:
    said = (
        f"job {each.job}" if each.job is not None else "",
        f"user {each.of_user}" if each.of_user else "",
        each.tag,
    )
    return " ".join(filter(None, said)) or NONE


def _lines(each: Webhook) -> list[str]:
    named = zip((column.title for column in _WEBHOOKS), _row(each), strict=True)
    lines = [f"{title.lower():8}  {value}" for title, value in named]
    if each.failing_since is not None:
        lines.append(f"failing   for {age(time.time() - each.failing_since)}")
    return [*lines, *([f"reason    {each.reason}"] if each.reason else [])]


def _delivery_row(each: Delivery, *, now_s: float) -> tuple[str, ...]:
    return (
        each.id,
        each.event,
        "given up" if each.state == "dead" else each.state,
        str(each.attempts),
        age(now_s - each.created_at),
        NONE if each.next_at is None else f"in {duration(max(each.next_at - now_s, 0.0))}",
        NONE if each.status is None else str(each.status),
        NONE if each.took_ms is None else f"{each.took_ms:.0f}ms",
        each.last_error or NONE,
    )


def _secret(name: str) -> str:
    """What the file holds; nobody else may be able to read it. Raises CredentialsError."""
    return read_secret(Path(name)).strip()


def _named(arguments: Namespace, field: str, expected: str) -> str:
    if not arguments.what:
        raise CommandError("E_REQUIRED", "nothing is named", exit=Exit.USAGE, field=field, expected=expected)
    return str(arguments.what)


def _number(arguments: Namespace) -> int:
    text = _named(arguments, "ID", "the number of a webhook")
    if not (text.isascii() and text.isdigit() and len(text) <= _ID_CHARACTERS):
        hint = "corral webhook ls shows them"
        raise CommandError(
            "E_ID",
            "not the number of a webhook",
            exit=Exit.USAGE,
            field="ID",
            got=repr(text[:80]),
            hint=hint,
        )
    return int(text)
