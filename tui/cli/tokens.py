"""`token`: make, list and revoke what lets machines and people in."""

from __future__ import annotations

import os
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Literal

from bus.api import Token
from bus.layout import Layout, default_data_dir
from bus.supervision import read_status
from bus.tokens import JoinToken, parse_token
from bus.values import Role
from tui.cli import diagnostics, output
from tui.cli.connect import client
from tui.cli.diagnostics import CommandError, Exit
from tui.cli.options import seconds
from tui.view.amounts import NONE
from tui.view.instants import local, local_short
from tui.view.table import Column

TTL_S = 3600.0
VARIABLE = "CORRAL_TOKEN"

_COLUMNS = (
    Column("ID"),
    Column("KIND"),
    Column("NAME", flexible=True),
    Column("ROLE"),
    Column("STATE"),
    Column("EXPIRES"),
    Column("BY", flexible=True),
)


async def token(arguments: Namespace) -> int:
    """One of the four."""
    match arguments.action:
        case "list":
            return await _list(arguments)
        case "revoke":
            return await _revoke(arguments)
        case "node":
            return await _create(arguments, "node")
        case _:
            return await _create(arguments, "user")


def given(arguments: Namespace) -> JoinToken:
    """The token of `join` and `login`: typed, on stdin, or in the environment. Raises CommandError,
    CredentialsError."""
    # taken out: the supervisor that `join` starts must not pass it on for as long as it runs
    text = arguments.token or os.environ.pop(VARIABLE, "")
    if text == "-":
        text = sys.stdin.readline() if sys.stdin is not None else ""
    if not text:
        hint = "corral token node, or corral token user NAME, makes one on the cluster's machine"
        raise CommandError("E_REQUIRED", "no token", exit=Exit.USAGE, field="TOKEN", hint=hint)
    return parse_token(text)


async def _create(arguments: Namespace, kind: Literal["node", "user"]) -> int:
    if kind == "node" and arguments.role is not None:
        raise CommandError("E_USAGE", "nodes have no role", exit=Exit.USAGE, field="--role")
    ttl_s = TTL_S if arguments.ttl is None else seconds("--ttl")(arguments.ttl)
    async with client(arguments) as corral:
        made = await corral.create_token(
            kind, name=arguments.name, role=Role(arguments.role or Role.USER), ttl_s=ttl_s
        )
    if arguments.output in ("json", "jsonl", "name"):
        output.one(arguments.output, made, name=made.id, text=list)
        return Exit.OK
    output.lines([made.secret])
    verb = "join" if kind == "node" else "login"
    until = local_short(made.expires_at, now_s=time.time())
    diagnostics.note(f"token {made.id}: serves once, until {until}; it is shown this one time")
    diagnostics.note(f"there: corral {verb} {_address(arguments)} TOKEN")
    return Exit.OK


async def _list(arguments: Namespace) -> int:
    async with client(arguments) as corral:
        tokens = (await corral.tokens()).tokens
    match arguments.output:
        case "json":
            output.as_json({"tokens": tokens})
        case "jsonl":
            output.as_json_lines(tokens)
        case "name":
            output.lines([token.id for token in tokens])
        case _:
            output.table(_COLUMNS, [_row(token) for token in tokens])
    return Exit.OK


async def _revoke(arguments: Namespace) -> int:
    if arguments.name is None:
        raise CommandError(
            "E_REQUIRED", "which token?", exit=Exit.USAGE, hint="corral token list shows their ids"
        )
    async with client(arguments) as corral:
        revoked = await corral.revoke_token(arguments.name)
    admitted = f", and {revoked.kind} {revoked.name} is out" if revoked.used_at is not None else ""
    output.one(
        arguments.output, revoked, name=revoked.id, text=lambda: [f"token {revoked.id} revoked{admitted}"]
    )
    return Exit.OK


def _row(token: Token) -> tuple[str, ...]:
    return (
        token.id,
        token.kind,
        token.name or NONE,
        str(token.role) if token.role else NONE,
        _state(token),
        local(token.expires_at),
        token.created_by or NONE,
    )


def _state(token: Token) -> str:
    if token.revoked_at is not None:
        return "revoked"
    if token.used_at is not None:
        return "used"
    return "expired" if token.expires_at <= time.time() else "open"


def _address(arguments: Namespace) -> str:
    """Where others reach the cluster, as far as this machine knows."""
    if arguments.url:
        return str(arguments.url)
    status = read_status(Layout(Path(arguments.data) if arguments.data else default_data_dir()).supervisor)
    if status is not None and not status.joins:
        diagnostics.note(
            "this cluster listens on loopback only: corral down, then corral up --listen ADDRESS"
        )
    return status.joins if status is not None and status.joins else "URL"
