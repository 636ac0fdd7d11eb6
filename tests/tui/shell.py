"""The `corral` command in this process, on a fake cluster: what is copied on a screen, pasted in a shell."""

from __future__ import annotations

import asyncio
import shlex
from argparse import Namespace
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from inspect import iscoroutinefunction
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest

from bus.api import Jobs, Tasks
from bus.client import Client
from bus.errors import CorralError
from tests.tui.driving import WAIT_S
from tui.cli import dispatch
from tui.client.fake import FakeCluster


class Pasted(FakeCluster):
    """Takes what only the command gives along: states and the owner, which it never uses here."""

    async def jobs(self, *, states: object = (), user: object = None, **asked: Any) -> Jobs:
        assert not states and user is None
        return await super().jobs(**asked)

    async def tasks(self, job: str | int = "", *, states: object = (), **asked: Any) -> Tasks:
        assert not states
        return await super().tasks(job, **asked)


async def paste(line: str) -> str:
    """Run one command as a shell would; what it prints. It has to be one of ours, and to go well."""
    program, *words = shlex.split(line)
    assert program == "corral", line
    told, wrong = TextIOWrapper(BytesIO(), encoding="utf-8"), StringIO()
    with redirect_stdout(told), redirect_stderr(wrong):
        try:
            arguments = dispatch.parse(words)
        except CorralError as error:
            raise AssertionError(f"{line}: {error}") from error
        assert arguments is not None, line
        code = await _carried_out(arguments)
    assert code == 0, (line, code, wrong.getvalue())
    told.seek(0)
    return told.read()


async def _carried_out(arguments: Namespace) -> int:
    module, function = dispatch.where(arguments.verb)
    carry_out = getattr(import_module(module), function)
    waiting = (
        carry_out(arguments) if iscoroutinefunction(carry_out) else asyncio.to_thread(carry_out, arguments)
    )
    code: int = await asyncio.wait_for(waiting, WAIT_S)
    return code


def pasting_on(fake: FakeCluster, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """From now on the command reaches this cluster, and no settings of this machine."""
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    monkeypatch.setattr(Client, "connect", lambda *_, **__: fake.connect())
