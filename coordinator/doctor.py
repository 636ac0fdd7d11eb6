"""`python -m coordinator doctor DIR`: what only the cluster's own side can see, as findings in JSON.

The database as owner and as the coordinator's login; how the NATS server keeps what it acknowledged.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from bus.address import is_loopback
from bus.auth import Authority
from bus.credentials import parse_credentials
from bus.errors import BusError, CorralError
from bus.findings import Finding, fail, ok, warn
from bus.layout import Layout, read_secret
from bus.own import durability
from bus.units import counted
from coordinator.config import Config, ConfigError, load_config
from coordinator.store.artifacts import ArtifactStore, Integrity
from coordinator.store.books import Books, StuckTask
from coordinator.store.errors import StoreError
from coordinator.store.replicas import Counts, ReplicaStore
from sql.errors import DatabaseRefused
from sql.own import Examined, Rights, examine, rights_of

STUCK_SHOWN = 5
SKEW_WARN_S = 1.0
SKEW_FAIL_S = 5.0


def doctor(data: Path) -> int:
    """Look, print, end with 0: what was found decides nothing here."""
    findings = asyncio.run(_look(Layout(data.absolute())))
    sys.stdout.buffer.write(msgspec.json.encode(findings) + b"\n")
    return 0


async def _look(layout: Layout) -> list[Finding]:
    try:
        config = load_config(layout.data)
    except ConfigError as error:
        return [warn("database", str(error), "corral up prepares this machine's cluster")]
    except PermissionError:
        return [warn("database", f"{layout.coordinator} is not yours to read", "ask as its owner")]
    found = await _database(config)
    found += await _stuck(config)
    found += await _copies(config)
    found += await _integrity(config)
    if config.keys is not None:
        found += await _durability(config, Path(config.keys))
    return found


async def _database(config: Config) -> list[Finding]:
    found = []
    try:
        examined = await examine(config.migrate_dsn or config.dsn)
        found += of_database(examined, now_s=time.time())
        if not examined.encrypted and not is_loopback(urlsplit(config.dsn).hostname or ""):
            hint = "add ?sslmode=verify-full&sslrootcert=FILE&ssl_min_protocol_version=TLSv1.3"
            found.append(warn("database", f"{examined.host} is reached without TLS", hint))
        found += of_rights(await rights_of(config.dsn))
    except DatabaseRefused as error:
        found.append(fail("database", str(error), error.hint or "corral status, and the logs"))
    return found


async def _stuck(config: Config) -> list[Finding]:
    books = Books(config.dsn)
    try:
        return of_stuck(await books.stuck(limit=STUCK_SHOWN))
    except StoreError as error:
        return [warn("tasks", f"not looked at: {error}", "corral status, and the logs")]
    finally:
        await books.close()


def of_stuck(stuck: Sequence[StuckTask]) -> list[Finding]:
    """Tasks that run far beyond what others of their kind took; a fixed time would fit none."""
    if not stuck:
        return [ok("tasks", "none runs beyond three times what is expected of it")]
    named = ", ".join(
        f"{each.task} on {each.node} ({each.running_s:.0f} s, expected {each.expected_s:.0f} s)"
        for each in stuck
    )
    text = f"{counted(stuck[0].tasks, 'task')} far beyond the expected time: {named}"
    return [warn("tasks", text, "corral logs TASK shows what it does; corral requeue TASK begins it again")]


async def _copies(config: Config) -> list[Finding]:
    store = ReplicaStore(config.dsn)
    try:
        return of_copies(await store.counts(await store.away()))
    except StoreError as error:
        return [warn("copies", f"not looked at: {error}", "corral status, and the logs")]
    finally:
        await store.close()


async def _integrity(config: Config) -> list[Finding]:
    store = ArtifactStore(config.dsn)
    try:
        return of_integrity(await store.integrity())
    except StoreError as error:
        return [warn("integrity", f"not looked at: {error}", "corral status, and the logs")]
    finally:
        await store.close()


def of_integrity(seen: Integrity) -> list[Finding]:
    """What has lost what it belongs to: it takes room, and nobody will ask for it."""
    tools = f"{seen.tools_of_any_node} of {counted(seen.tools, 'tool')} bound to no node"
    lost = []
    if seen.orphans:
        more = ", …" if seen.orphans > len(seen.named) else ""
        lost.append(
            f"{counted(seen.orphans, 'artifact')} of jobs that are gone ({', '.join(seen.named)}{more})"
        )
    if seen.blobs:
        lost.append(f"{counted(seen.blobs, 'blob')} ({seen.bytes:,} bytes) that nothing names")
    if lost:
        hint = "corral artifact gc --dry-run says what would go, corral artifact gc lets it go"
        return [warn("integrity", f"{'; '.join(lost)}; {tools}", hint)]
    return [ok("integrity", f"no artifact without its job, no content without a name; {tools}")]


def of_copies(counts: Counts) -> list[Finding]:
    """Whether what should survive its node would."""
    if counts.unheld:
        text = f"{counted(counts.unheld, 'piece')} of content on no node that is there"
        return [fail("copies", text, "bring back the nodes that corral replica ls --under names")]
    if counts.under:
        text = f"{counts.under} of {counted(counts.total, 'piece')} of content lack copies on other nodes"
        return [warn("copies", text, "corral replica ls --under; more nodes, or room on them")]
    return [
        ok("copies", f"{counted(counts.total, 'piece')} of content that should have copies, all have them")
    ]


def of_database(seen: Examined, *, now_s: float) -> list[Finding]:
    """Version, schema, edition, durability and clock."""
    found = [ok("database", f"PostgreSQL {seen.version_text} at {seen.host}")]
    if seen.migration == seen.newest:
        found.append(ok("database", f"schema at migration {seen.migration}"))
    else:
        text = f"schema at migration {seen.migration} of {seen.newest}"
        found.append(warn("database", text, "a restart of the coordinator migrates it"))
    match seen.license:
        case "timescale":
            found.append(ok("database", f"TimescaleDB {seen.timescale}, license=timescale (community)"))
        case "apache":
            text = f"TimescaleDB {seen.timescale}, license=apache: roll-ups and retention are run by Corral"
            found.append(ok("database", text))
        case _:
            found.append(ok("database", "no TimescaleDB: time-series in native partitions"))
    if not seen.durable:
        hint = "set fsync and full_page_writes to on: a crash may lose what was acknowledged"
        found.append(fail("database", "fsync or full_page_writes is off", hint))
    return [*found, of_skew("the database", seen.now_s - now_s)]


def of_skew(whose: str, skew_s: float) -> Finding:
    """How far a clock is from this machine's."""
    text = (
        f"the clock of {whose} is {abs(skew_s):.1f} s {'ahead of' if skew_s > 0 else 'behind'} this machine's"
    )
    hint = "run a time service (chrony, systemd-timesyncd) on both"
    if abs(skew_s) >= SKEW_FAIL_S:
        return fail("clock", text, hint)
    if abs(skew_s) >= SKEW_WARN_S:
        return warn("clock", text, hint)
    return ok("clock", f"the clock of {whose} agrees with this machine's")


def of_rights(rights: Rights) -> list[Finding]:
    """Whether the coordinator works with as little as it needs."""
    too_many = [
        word
        for word, has in (
            ("superuser", rights.superuser),
            ("createrole", rights.creates_roles),
            ("createdb", rights.creates_databases),
            ("bypassrls", rights.bypasses_rls),
            ("owner of the schema", rights.owns_schema),
        )
        if has
    ]
    if too_many:
        hint = "name a login in corral_coordinator by database.coordinator_dsn, or none: Corral makes one"
        return [fail("database", f"the coordinator works as {', '.join(too_many)}", hint)]
    if not rights.coordinates:
        hint = "grant corral_coordinator to it"
        return [fail("database", "the coordinator's login is not in corral_coordinator", hint)]
    return [ok("database", "the coordinator works as a least-privilege login")]


async def _durability(config: Config, keys: Path) -> list[Finding]:
    try:
        ca = parse_credentials(read_secret(Path(config.credentials))).ca
        authority = await asyncio.to_thread(partial(Authority.create_or_load, keys, server_ca=ca))
        kept = await durability(config.nats_url, authority)
    except (BusError, CorralError) as error:
        return [warn("nats", f"JetStream could not be looked at: {error}", "is the server running?")]
    if kept.sync_always:
        return [ok("nats", "JetStream writes to disk before it acknowledges (sync_interval: always)")]
    text = f"JetStream syncs every {kept.sync_interval_s:g} s: a power cut may lose what was acknowledged"
    return [warn("nats", text, "in nats-server.conf: jetstream { sync_interval: always }")]
