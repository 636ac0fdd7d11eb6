"""`gpu`: the GPUs of the cluster, one by one."""

from __future__ import annotations

import time
from argparse import Namespace

from bus.gpus import GpuQuery
from tui.cli import output
from tui.cli.connect import client
from tui.cli.diagnostics import CommandError, Exit
from tui.view.gpus import COLUMNS, gpu_line, gpu_name, gpu_row, gpu_tone


async def gpu(arguments: Namespace) -> int:
    """One of the actions."""
    return await (_list(arguments) if arguments.action in ("ls", "list") else _steer(arguments))


async def _list(arguments: Namespace) -> int:
    if arguments.gpu is not None:
        raise CommandError("E_USAGE", "gpu ls takes a node at most", exit=Exit.USAGE, got=arguments.gpu)
    asked = GpuQuery(node=arguments.node, quarantined=arguments.quarantined)
    async with client(arguments) as corral:
        found = await corral.gpus(asked)
    match arguments.output:
        case "json":
            output.as_json(found)
        case "jsonl":
            output.as_json_lines(found.gpus)
        case "name":
            output.lines(map(gpu_name, found.gpus))
        case _:
            now_s = time.time()
            rows = [gpu_row(each, now_s=now_s) for each in found.gpus]
            output.table(COLUMNS, rows, tones=[gpu_tone(each) for each in found.gpus])
    return Exit.OK


async def _steer(arguments: Namespace) -> int:
    if not arguments.node or arguments.gpu is None:
        hint = f"corral gpu {arguments.action} n1 0; corral gpu ls shows them"
        raise CommandError("E_USAGE", "NODE and INDEX are missing", exit=Exit.USAGE, hint=hint)
    async with client(arguments) as corral:
        act = corral.quarantine_gpu if arguments.action == "quarantine" else corral.release_gpu
        found = await act(arguments.node, arguments.gpu, reason=arguments.reason)
    output.one(arguments.output, found, name=gpu_name(found), text=lambda: [gpu_line(found)])
    return Exit.OK
