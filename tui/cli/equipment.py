"""`devices` and `tools`: what the machines of the cluster brought along."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec import Struct

from bus.equipment import DeviceKind, DeviceQuery
from tui.cli import output
from tui.cli.connect import client
from tui.cli.diagnostics import Exit, note
from tui.view.equipment import DEVICES, TOOLS
from tui.view.listings import Listing
from tui.view.table import Column

T = TypeVar("T", bound=Struct)


async def devices(arguments: Namespace) -> int:
    """Disks with what is free on them, interfaces with their speed, GPUs with their state, by node."""
    kind = None if arguments.kind is None else DeviceKind(arguments.kind)
    asked = DeviceQuery(filter=arguments.filter, kind=kind, limit=arguments.limit, gpus=True)
    async with client(arguments) as corral:
        found = await corral.devices(asked)
    show(arguments, found, found.devices, DEVICES, name=lambda device: f"{device.node} {device.name}")
    if found.next:
        note(f"{found.total - len(found.devices):,} more: --filter chooses nodes, --limit shows more")
    return Exit.OK


async def tools(arguments: Namespace) -> int:
    """By kind and name, with how many nodes have each."""
    async with client(arguments) as corral:
        found = await corral.tools()
    show(arguments, found, found.tools, TOOLS, name=lambda tool: tool.name)
    return Exit.OK


def show(
    arguments: Namespace, whole: object, rows: Sequence[T], listing: Listing[T], *, name: Callable[[T], str]
) -> None:
    """`rows` in the form that is asked for; as JSON the `whole` answer."""
    match arguments.output:
        case "json":
            output.as_json(whole)
        case "jsonl":
            output.as_json_lines(rows)
        case "name":
            output.lines(map(name, rows))
        case _:
            now_s = time.time()
            fields = [column.field for column in listing.columns]
            output.table(
                [Column(each.title, right=each.right, tinted=each.tinted) for each in fields],
                [tuple(each.cell(row, now_s) for each in fields) for row in rows],
                tones=[listing.tone(row) for row in rows],
            )
