"""What a change would come to, asked and printed: for `corral plan` and `corral drain --what-if`."""

from __future__ import annotations

from argparse import Namespace

from bus.requests import WhatIf
from tui.cli import clock, output
from tui.cli.connect import client
from tui.cli.diagnostics import Exit
from tui.view.outlooks import outlook_lines


async def print_outlook(arguments: Namespace, change: WhatIf) -> int:
    """Nothing is changed."""
    async with client(arguments) as corral:
        answer = await corral.what_if(change)
        now_s = await clock.now_s(corral, arguments)
    output.one(
        arguments.output,
        answer,
        name=answer.change,
        text=lambda: outlook_lines(answer, now_s=now_s, width=output.width()),
    )
    return Exit.OK
