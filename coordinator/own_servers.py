"""Servers of one's own in the place of those that Corral brings along: are they fit, and made ready.

What is set decides (`bus.settings`); the supervisor asks here, and so does `corral up` before it starts one.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct, structs

from bus.auth import Authority
from bus.errors import BusError, CorralError, CredentialsError, Error
from bus.layout import Layout, read_secret, write_secret
from bus.own import ServerAway, ServerUnfit, check, include_text
from bus.setting_files import SettingsError
from bus.setting_kinds import EMBEDDED, SYSTEM
from bus.settings import Settings, load
from bus.trust import Untrusted, read_authority
from coordinator.config import Keep
from coordinator.supervisor.setup import Setup, SetupError
from sql.errors import DatabaseRefused, Reason
from sql.own import examine, make_ready, place_of

T = TypeVar("T")

EXIT_DENIED, EXIT_UNAVAILABLE, EXIT_CONFIGURATION = 4, 69, 78

_CODES = {
    Reason.UNREACHABLE: ("E_UNAVAILABLE", EXIT_UNAVAILABLE),
    Reason.DENIED: ("E_AUTH", EXIT_DENIED),
    Reason.UNTRUSTED: ("E_TLS", EXIT_DENIED),
    Reason.UNFIT: ("E_CONFIG", EXIT_CONFIGURATION),
}


class Unusable(CorralError):
    """A server cannot be used: the error as everybody is told it, and the command's exit code."""

    def __init__(self, code: str, message: str, hint: str, exit_code: int) -> None:
        self.error = Error(code=code, message=message, hint=hint)
        self.exit_code = exit_code
        super().__init__(f"{message}; {hint}" if hint else message)


class OwnServers(Struct, frozen=True, kw_only=True):
    """Which servers somebody else runs; None: Corral runs its own."""

    nats: str | None = None
    nats_ca: str | None = None
    database: str | None = None
    coordinator: str | None = None
    order: str = "fcfs"
    backfill: str = "easy"
    rank: str = "best_fit"
    mode: str = "on"
    test_every_min: int = 60
    deterministic: bool = False
    ageing_min: int = 240
    fair_share_half_life_days: int = 7
    unreachable_after_s: int = 10
    backup_again_after_min: int = 10
    keep: Keep = Keep()
    webhook_hosts: tuple[str, ...] = ()


class Addresses(Struct, frozen=True):
    """Of a database: as the coordinator's login, and as the owner who migrates."""

    coordinator: str
    owner: str


def own_servers(settings: Settings) -> OwnServers:
    """What is set of them."""
    database = settings.text("database.dsn")
    return OwnServers(
        nats=settings.text("nats.url"),
        nats_ca=settings.text("nats.ca"),
        database=None if database == EMBEDDED else database,
        coordinator=settings.text("database.coordinator_dsn"),
        order=settings.text("scheduler.order") or "fcfs",
        backfill=settings.text("scheduler.backfill") or "easy",
        rank=settings.text("scheduler.rank") or "best_fit",
        mode=settings.text("scheduler.mode") or "on",
        test_every_min=int(settings.text("scheduler.test_every") or 60),
        deterministic=settings.text("scheduler.deterministic") == "on",
        ageing_min=int(settings.text("scheduler.ageing") or 240),
        fair_share_half_life_days=int(settings.text("scheduler.fair_share_half_life") or 0),
        unreachable_after_s=int(settings.text("nodes.unreachable_after") or 10),
        backup_again_after_min=int(settings.text("volumes.backup_again_after") or 10),
        keep=Keep(
            completed=int(settings.text("jobs.keep_completed") or 0),
            failed=int(settings.text("jobs.keep_failed") or 0),
            cancelled=int(settings.text("jobs.keep_cancelled") or 0),
        ),
        webhook_hosts=tuple(filter(None, (settings.text("webhooks.hosts") or "").split(","))),
    )


def load_authority(layout: Layout, servers: OwnServers) -> Authority:
    """The cluster's keys; its credentials carry by whom the NATS server is to prove itself.

    Raises CredentialsError where nats.ca names no certificates.
    """
    if servers.nats is None:
        return Authority.create_or_load(layout.keys)  # its certificate is ours to sign
    return Authority.create_or_load(layout.keys, server_ca=read_authority(servers.nats_ca or SYSTEM))


def include_path(layout: Layout) -> Path:
    """Our part of the configuration of a nats-server that somebody else runs."""
    return layout.data / "nats-include" / "corral.conf"


def write_include(layout: Layout, authority: Authority) -> Path:
    """Write it; anybody may read it, for it holds no secret."""
    path = include_path(layout)
    path.parent.mkdir(mode=0o755, exist_ok=True)
    text = include_text(authority)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
        path.chmod(0o644)
    return path


def on_servers(setup: Setup, servers: OwnServers, *, data: Path) -> Setup:
    """Remember where the state is. Raises SetupError where it was elsewhere: nobody leaves it by accident."""
    place = "" if servers.database is None else place_of(servers.database)
    if setup.database and place != setup.database:
        raise SetupError(
            f"the state of this cluster is in the database {setup.database}, and "
            + (f"{place} is named now" if place else "none is named now")
            + f"; name it (--database, CORRAL_DATABASE_DSN), or take its line out of {data / 'setup.json'}"
        )
    if place and not setup.database and (data / "postgres" / "PG_VERSION").exists():
        raise SetupError(
            f"the state of this cluster is in {data / 'postgres'}, not in {place}: "
            "use another data folder for a cluster on that server"
        )
    return structs.replace(setup, database=place)


async def check_servers(servers: OwnServers, layout: Layout) -> None:
    """Look at what is set, changing nothing there. Raises Unusable for the first that cannot be used."""
    if servers.database is not None:
        await _database(examine(servers.database))
    if servers.nats is not None:
        authority = await asyncio.to_thread(load_authority, layout, servers)
        include = await asyncio.to_thread(write_include, layout, authority)
        await check_nats(servers.nats, authority, include=include)


async def check_nats(url: str, authority: Authority, *, include: Path) -> None:
    """Raises Unusable."""
    try:
        await check(url, authority, include=str(include))
    except ServerAway as error:
        raise Unusable(
            "E_UNAVAILABLE", str(error), "is it running, and reachable?", EXIT_UNAVAILABLE
        ) from None
    except ServerUnfit as error:
        raise Unusable("E_CONFIG", str(error), error.hint, EXIT_CONFIGURATION) from None
    except Untrusted as error:
        raise Unusable("E_TLS", str(error), error.hint, EXIT_DENIED) from None
    except BusError as error:
        raise Unusable("E_UNAVAILABLE", str(error), "", EXIT_UNAVAILABLE) from None


async def ready_database(servers: OwnServers, layout: Layout) -> Addresses:
    """Migrate it, and see that the coordinator can log in. Raises Unusable."""
    assert servers.database is not None
    if servers.coordinator is not None:
        await _database(examine(servers.database))
        return Addresses(servers.coordinator, servers.database)
    password = await asyncio.to_thread(_password, layout)
    address = await _database(
        make_ready(servers.database, login=login_name(layout, servers.database), password=password)
    )
    return Addresses(address, servers.database)


def login_name(layout: Layout, dsn: str) -> str:
    """One login a cluster: several may share a server, whose roles are all its databases'."""
    mark = hashlib.sha256(f"{layout.data}\0{place_of(dsn)}".encode()).hexdigest()[:10]
    return f"corral_coordinator_{mark}"


def _password(layout: Layout) -> str:
    path = layout.keys / "database.password"
    if not path.exists():
        write_secret(path, secrets.token_urlsafe(32) + "\n")
    return read_secret(path).strip()


async def _database(work: Awaitable[T]) -> T:
    try:
        return await work
    except DatabaseRefused as refused:
        code, exit_code = _CODES[refused.reason]
        raise Unusable(code, str(refused), refused.hint, exit_code) from None


def report_check(data: Path) -> int:
    """What `corral up` runs first: the first fault as JSON on stdout, and the exit code that goes with it."""
    try:
        asyncio.run(check_servers(own_servers(load()), Layout(data)))
    except SettingsError as error:
        fault, code = error.error, EXIT_CONFIGURATION
    except Unusable as error:
        fault, code = error.error, error.exit_code
    except CredentialsError as error:
        fault, code = Error(code=error.code, message=str(error), hint=error.hint), EXIT_CONFIGURATION
    else:
        return 0
    sys.stdout.buffer.write(msgspec.json.encode(fault) + b"\n")
    return code
