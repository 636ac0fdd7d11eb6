"""What a coordinator is told at its start; read once, passed down, never changed."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from bus.layout import Layout
from bus.values import Role
from coordinator.core.scheduler.policies import Backfill, Mode


class ConfigError(Exception):
    """The configuration cannot be used; the text names file and key. Exit code 78."""


class EnsuredUser(Struct, frozen=True, forbid_unknown_fields=True):
    """A user that must exist when the coordinator is up."""

    name: str
    role: Role


Days = Annotated[int, Meta(ge=0, le=9999)]


class Keep(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For how many days jobs that are over stay where people see them, by how they ended; 0: for ever."""

    completed: Days = 30
    failed: Days = 30  # by their own fault or the cluster's
    cancelled: Days = 30


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`coordinator.toml` of a data folder; the supervisor writes it."""

    nats_url: str
    credentials: str  # path of the NATS credentials file of the coordinator
    dsn: str  # of the relational database, as a role in corral_coordinator; may hold a password
    migrate_dsn: str | None = None  # the same as the schema's owner, for migrations only; None: as `dsn`
    timeseries_dsn: str | None = None  # None: the same database
    keys: str | None = None  # folder of the bus's signing keys; None: the bus is not ours, nobody can join
    users: tuple[EnsuredUser, ...] = ()
    order: str = "fcfs"  # static order, of `scheduler.rules`
    backfill: Backfill = Backfill.EASY
    rank: str = "best_fit"  # best_fit, worst_fit, first_fit, learned
    deterministic: bool = False  # nothing is tried out, and decisions do not depend on how fast we are
    ageing_min: Annotated[int, Meta(ge=1, le=100_000)] = 240  # of a job's age: one step of priority
    fair_share_half_life_days: Annotated[int, Meta(ge=0, le=9999)] = 7  # 0: what people used does not matter
    mode: Mode = Mode.ON  # of the learned order, until an operator asks for another
    test_every_min: Annotated[int, Meta(ge=1, le=100_000)] = 60  # orders are replayed so often
    keep: Keep = Keep()
    webhook_hosts: tuple[str, ...] = ()  # names and networks that may be called
    unreachable_after_s: Annotated[int, Meta(ge=5, le=600)] = 10  # heartbeats and leases scale with it
    backup_again_after_min: Annotated[float, Meta(ge=0, le=100_000)] = 10.0  # of a node that is lost


def load_config(data: Path) -> Config:
    """Raises ConfigError, with the file's name, where it is missing or wrong."""
    path = Layout(data).coordinator
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), Config, strict=False)
    except FileNotFoundError:
        raise ConfigError(f"{path}: missing; `corral up` writes it") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}") from error
