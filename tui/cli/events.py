"""`events`: what happened, and with --follow what happens."""

from __future__ import annotations

import asyncio
import time
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from bus.api import Happened
from bus.errors import BusError
from bus.patience import outlast, wait_for_event
from bus.requests import EventList
from tui.cli import clock, output
from tui.cli.connect import client
from tui.cli.diagnostics import CommandError, Exit
from tui.cli.ids import job_id, task_id
from tui.cli.listing import Listing, Page, chosen_fields, print_rows, show
from tui.cli.options import LIMIT_MAX
from tui.view.columns import EVENT_FIELDS
from tui.view.fields import Field
from tui.view.states import SEVERITY_BADGES

if TYPE_CHECKING:
    from bus.client import Client

RECHECK_S = 2.0
"""The feed says when to look; what it does not tell of (or loses) is seen this much later."""

OVERLAP_S = 5.0
"""Events of one moment may be committed one after the other: so far back is looked again."""

REMEMBERED_MAX = 50_000

EVENTS = Listing[Happened](
    noun="events",
    fields=EVENT_FIELDS,
    names=lambda event: (event.id,),
    tone=lambda event: SEVERITY_BADGES.get(event.severity, SEVERITY_BADGES["info"]).tone,
)


async def events(arguments: Namespace) -> int:
    """List events, newest first; with --follow oldest first and on and on."""
    query, chosen = event_query(arguments), chosen_fields(EVENTS, arguments)
    if arguments.follow and (arguments.until is not None or arguments.output == "json" or arguments.sort):
        message = "a list without an end has no --until, no --sort and no single JSON document"
        raise CommandError("E_USAGE", message, exit=Exit.USAGE, field="--follow", hint="-o jsonl streams")
    async with client(arguments) as corral:
        if arguments.follow:
            return await _follow(corral, arguments, query, chosen)

        async def fetch(limit: int, cursor: str) -> Page[Happened]:
            asked = msgspec.structs.replace(query, limit=limit, cursor=cursor)
            answer = await corral.events(asked)
            return Page(answer.events, answer.next)

        return await show(EVENTS, chosen, arguments, fetch, corral=corral)


def event_query(arguments: Namespace) -> EventList:
    """What the options ask for. Raises CommandError."""
    target = task_id(arguments.target) if arguments.target is not None else None
    is_task = target is not None and "." in target
    return EventList(
        filter=arguments.filter,
        sort=arguments.sort,
        limit=arguments.limit,
        job=job_id(target) if target is not None and not is_task else None,
        task=target if is_task else None,
        node=arguments.node,
        since=arguments.since,
        until=arguments.until,
    )


async def _follow(
    corral: Client, arguments: Namespace, query: EventList, chosen: Sequence[Field[Happened]]
) -> int:
    """For ever: the newest `--limit` events, then what follows them, each once."""
    seen: OrderedDict[str, None] = OrderedDict()
    stirred = asyncio.Event()
    listening = asyncio.create_task(_listen(corral, stirred), name="feed")
    try:
        ahead_s = time.time() - await clock.now_s(corral, arguments)
        found = (await corral.events(query)).events
        newest_s = max((event.at for event in found), default=query.since or time.time())
        _print(arguments, chosen, found[::-1], ahead_s=ahead_s, heads=True)
        # older than the list that was shown, but young enough to be looked at again
        passed = await _since(corral, query, newest_s - OVERLAP_S)
        seen.update((event.id, None) for event in passed if event.at <= newest_s)
        while True:
            seen.update((event.id, None) for event in found)
            while len(seen) > REMEMBERED_MAX:
                seen.popitem(last=False)
            await wait_for_event(stirred, timeout_s=RECHECK_S)
            found = await outlast(partial(_since, corral, query, newest_s - OVERLAP_S))
            fresh = [event for event in found if event.id not in seen]
            newest_s = max([newest_s, *(event.at for event in fresh)])
            _print(arguments, chosen, fresh[::-1], ahead_s=ahead_s, heads=False)
    finally:
        listening.cancel()


async def _since(corral: Client, query: EventList, since_s: float) -> list[Happened]:
    """All events from an instant on, newest first."""
    since_s = max(since_s, query.since or 0.0)
    asked = msgspec.structs.replace(query, since=since_s, limit=LIMIT_MAX)
    found: list[Happened] = []
    while True:
        answer = await corral.events(asked)
        found.extend(answer.events)
        if not answer.next:
            return found
        asked = msgspec.structs.replace(asked, cursor=answer.next)


async def _listen(corral: Client, stirred: asyncio.Event) -> None:
    """Have a look taken whenever the feed tells of a change."""
    try:
        async with aclosing(corral.watch()) as changes:
            async for _ in changes:
                stirred.set()
    except BusError:
        return  # then we look every RECHECK_S


def _print(
    arguments: Namespace,
    chosen: Sequence[Field[Happened]],
    found: Sequence[Happened],
    *,
    ahead_s: float,
    heads: bool,
) -> None:
    match arguments.output:
        case "jsonl":
            output.as_json_lines(found)
        case "name":
            output.lines(event.id for event in found)
        case _:
            print_rows(EVENTS, chosen, found, now_s=time.time() - ahead_s, heads=heads)
    output.finish()
