"""Submissions whose lists of items are too long for a message: they go ahead as content of the cluster.

`shortened` brings each long list of a job's `for_each` to a node, and has the job point to it. Once the job
is in, the coordinator has the list, and the content goes again; that of a schedule stays, for each of its
jobs reads it anew. What a client that dies leaves behind is collected a day later: it is known by its name,
which has the beginning of its own hash, so that no file of somebody's is taken for one.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from typing import TYPE_CHECKING

from msgspec.structs import replace

from bus.artifacts import Artifact
from bus.codec import encode
from bus.contents import Scheme
from bus.errors import ApiError, BusError
from bus.item_lists import ITEMS_MAX, ListFault, text_of
from bus.limits import BYTES_MAX
from bus.refusal import refusal
from bus.spec import JobSpec, TaskSpec
from bus.transfers import store

if TYPE_CHECKING:
    from bus.client import Client

LONG = 1_000
"""Items: a list with fewer stays in the message."""


@asynccontextmanager
async def shortened(client: Client, spec: JobSpec) -> AsyncIterator[JobSpec]:
    """`spec` as it fits into a message, for the time of the block.

    Raises ApiError: E_ARRAY for what no list may hold, and what bringing content raises.
    """
    if _items_of(spec) < LONG or len(encode(spec)) <= BYTES_MAX:
        yield spec
        return
    brought: list[Artifact] = []
    try:
        tasks = spec.tasks
        if tasks is not None:
            tasks = [
                replace(task, for_each=await _point(client, task.for_each, f"/tasks/{place}", brought))
                for place, task in enumerate(tasks)
            ]
        yield replace(spec, for_each=await _point(client, spec.for_each, "", brought), tasks=tasks)
    finally:
        if spec.cron is None:
            for each in brought:
                with suppress(ApiError, BusError):  # it is in nobody's way
                    await client.remove_artifact(each.id)


def _entries(spec: JobSpec) -> Iterator[JobSpec | TaskSpec]:
    yield spec
    yield from spec.tasks or ()


def _items_of(spec: JobSpec) -> int:
    """Of the longest list that it says itself."""
    return max(len(entry.for_each) if isinstance(entry.for_each, list) else 0 for entry in _entries(spec))


async def _point(
    client: Client, items: Sequence[str] | str | None, path: str, brought: list[Artifact]
) -> list[str] | str | None:
    if items is None or isinstance(items, str):
        return items
    if len(items) < LONG:
        return list(items)
    field = f"{path}/for_each"
    if len(items) > ITEMS_MAX:
        message, got, expected = "too many items", f"{len(items)} items", f"at most {ITEMS_MAX}"
        hint = "submit several jobs"
        raise ApiError(refusal("E_ARRAY", message, field=field, got=got, expected=expected, hint=hint))
    try:
        text = text_of(items)
    except ListFault as fault:
        raise ApiError(
            refusal(
                fault.code,
                fault.what,
                field=f"{field}/{fault.line - 1}",
                got=fault.got,
                expected=fault.expected,
                hint="mend the list, and submit it again",
            )
        ) from fault
    with tempfile.TemporaryFile() as file:
        file.write(text)
        file.seek(0)
        name = f"for_each-{secrets.token_hex(6)}-{sha256(text).hexdigest()[:12]}.txt"
        brought.append(await store(client, file, name))
    return f"{Scheme.CORRAL}://{brought[-1].sha256}"
