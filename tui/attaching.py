"""A task's terminal in the place of the console; its detach keys lead back."""

from __future__ import annotations

from bus.client import Client
from bus.errors import CorralError
from tui.cli import output
from tui.cli.attach import Attachment, Parted
from tui.client.source import Connect
from tui.lending import Lending
from tui.view.detach_keys import bytes_of, told


class NoTerminal(CorralError):
    """There is none to be lent, or none to be had."""


async def attach(app: Lending, connect: Connect, task: str, *, keys: str) -> Parted:
    """Until the task's end, or the person leaves. Raises CorralError.

    It has a connection of its own: the console's is given up and made anew whenever it fails, but a terminal
    goes on where it was as soon as anybody answers.
    """
    if not app.can_lend:
        raise NoTerminal("a terminal is needed for input and output: corral attach says more")
    async with connect() as corral:
        if not isinstance(corral, Client):
            raise NoTerminal("tasks of a made-up cluster have no terminals")
        attachment = Attachment(corral, task, keys=bytes_of(keys))
        opened = await attachment.begin()
        assert opened is not None, "it was not to wait"

        async def use() -> Parted:
            back = f"{told(keys)} leads back to the console" if keys else "it ends with the task"
            output.raw(f"\r\n[terminal of {task}: {back}]\r\n".encode())
            return await attachment.run(opened)

        return await app.lend(use)
