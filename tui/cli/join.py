"""`join`: this machine becomes a node of a cluster elsewhere, and starts its agent."""

from __future__ import annotations

import asyncio
import re
import socket
from argparse import Namespace
from pathlib import Path

from bus import units
from bus.address import AddressError, parse_url
from bus.admission import ask_admission
from bus.auth import UserKey, new_user_key, user_key
from bus.credentials import Credentials
from bus.layout import (
    JoinedSettings,
    Layout,
    default_data_dir,
    make_agent_folder,
    read_joined,
    read_secret,
    write_joined,
    write_secret,
)
from bus.tokens import JoinToken, TokenKind
from bus.values import is_name
from tui import processes
from tui.cli import diagnostics, output
from tui.cli.diagnostics import CommandError, Exit
from tui.cli.tokens import given

_KEY = "join.nk"


def join(arguments: Namespace) -> int:
    """Ask to be let in, keep what was given, start the agent."""
    token, url = given(arguments), secure_url(arguments.address)
    if token.kind is not TokenKind.NODE:
        raise CommandError(
            "E_TOKEN_FORMAT", "this token is for a person", exit=Exit.USAGE, hint="corral login takes it"
        )
    if arguments.name is not None and not is_name(arguments.name):
        raise CommandError(
            "E_NAME",
            "not a node's name",
            exit=Exit.USAGE,
            field="--name",
            got=repr(arguments.name[:80]),
            expected="1–63 of a–z, 0–9, - and _, the first a letter or digit",
        )
    options = agent_options(arguments)
    layout = Layout(Path(arguments.data).absolute() if arguments.data else default_data_dir())
    _check_free(layout)
    credentials = asyncio.run(_admitted(layout, arguments, url, token))
    node = credentials.name
    make_agent_folder(layout, node)
    write_secret(layout.agent_credentials(node), credentials.text)
    write_joined(layout, JoinedSettings(url=url, node=node, options=options))
    (layout.data / _KEY).unlink()
    diagnostics.note(f"joined {url} as {node}")
    status = processes.start(layout, agents=None)
    if arguments.output == "json":
        output.as_json(processes.report(status))
    else:
        output.lines(processes.how_to_reach(status))
    return Exit.OK


def secure_url(text: str) -> str:
    """The `tls://` URL that `text` means. Raises CommandError."""
    try:
        return parse_url(text).url()
    except AddressError as error:
        raise CommandError("E_USAGE", str(error), exit=Exit.USAGE, field="URL", got=repr(text[:80])) from None


def _check_free(layout: Layout) -> None:
    joined = read_joined(layout)
    if joined is not None:
        raise CommandError(
            "E_CONFLICT",
            f"this machine is already the node {joined.node} of {joined.url}",
            exit=Exit.CONFLICT,
            hint=f"corral up starts it; to join anew, corral down and remove {layout.joined}",
        )
    if layout.keys.exists():
        raise CommandError(
            "E_CONFLICT",
            f"{layout.data} holds a cluster of its own",
            exit=Exit.CONFLICT,
            hint="join with another folder: --data DIR",
        )


async def _admitted(layout: Layout, arguments: Namespace, url: str, token: JoinToken) -> Credentials:
    layout.data.mkdir(mode=0o711, parents=True, exist_ok=True)
    host = re.sub(r"[^a-z0-9_-]+", "-", socket.gethostname().partition(".")[0].lower()).strip("-_")[:63]
    ca = arguments.settings.text("nats.ca")
    return await ask_admission(
        url, token, key=_own_key(layout), name=arguments.name, host=host or "node", ca=ca
    )


def _own_key(layout: Layout) -> UserKey:
    """Kept before it is shown to anyone: with the same key, a lost answer can be asked for again."""
    path = layout.data / _KEY
    if path.exists():
        return user_key(read_secret(path).strip())
    key = new_user_key()
    write_secret(path, key.seed + "\n")
    return key


def agent_options(arguments: Namespace) -> list[str]:
    """The arguments with which its agent is told of the machine. Raises CommandError."""
    options: list[str] = []
    for label in arguments.label:
        if "=" not in label[1:]:
            raise CommandError(
                "E_LABEL",
                "not a label",
                exit=Exit.USAGE,
                field="--label",
                got=repr(label),
                expected="NAME=VALUE",
            )
        options += ["--label", label]
    for flag, value, parse in (
        ("--cpu", arguments.cpu, units.parse_cpu_millis),
        ("--memory", arguments.memory, units.parse_size_mib),
        ("--net", arguments.net, units.parse_mbps),
    ):
        if value is not None:
            try:
                parse(value)
            except units.UnitError as error:
                raise CommandError(
                    error.code,
                    "not an amount",
                    exit=Exit.USAGE,
                    field=flag,
                    got=repr(value[:80]),
                    expected=error.expected,
                ) from None
            options += [flag, value]
    for capability in filter(None, (arguments.settings.text("agent.can") or "").split(",")):
        options += ["--can", capability]
    for interface in filter(None, (arguments.settings.text("agent.interfaces") or "").split(",")):
        options += ["--interface", interface]
    for pool in filter(None, (arguments.settings.text("agent.pools") or "").split(",")):
        options += ["--pool", pool]
    return options
