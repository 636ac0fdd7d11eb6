"""What can be set, and who said it: flag > environment > user's file > system's file > default.

`SETTINGS` is the one table of keys. Every key has a variable (`nats.url`: CORRAL_NATS_URL) and a line in a
TOML file (`[nats]`, `url = "…"`). Programs load once and pass on what they were told.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from msgspec import Struct

from bus.setting_files import FILE_VARIABLE, Files, SettingsError, find_files, read_file
from bus.setting_kinds import EMBEDDED, Kind, Value, convert, masked


class Source(StrEnum):
    """Who said a value, the strongest first."""

    FLAG = "flag"
    ENVIRONMENT = "environment"
    USER_FILE = "user file"
    SYSTEM_FILE = "system file"
    DEFAULT = "default"


class Setting(Struct, frozen=True, kw_only=True):
    """One key. `flags` are the options of the command that say the same for one call."""

    key: str
    kind: Kind
    meaning: str
    default: Value | None = None  # None: the program finds out itself, as `meaning` says
    choices: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        return "CORRAL_" + self.key.upper().replace(".", "_")


_TABLE = (
    Setting(
        key="data",
        kind=Kind.PATH,
        meaning="data folder (default: /var/lib/corral for root, corral in the XDG data home for others)",
        flags=("--data",),
    ),
    Setting(
        key="nats.url",
        kind=Kind.NATS_URL,
        meaning="the cluster's NATS server; `corral up` uses it instead of starting one",
        flags=("--url", "--nats"),
    ),
    Setting(
        key="nats.credentials",
        kind=Kind.PATH,
        meaning="your credentials file (default: the one that client.json of the data folder names)",
        flags=("--credentials",),
    ),
    Setting(
        key="nats.ca",
        kind=Kind.AUTHORITY,
        meaning="by whose signature a tls:// server is known: a PEM file, or system for the authorities that "
        "the system trusts (default: the one that the credentials carry; system for a server of your own)",
    ),
    Setting(
        key="database.dsn",
        kind=Kind.DSN,
        meaning="PostgreSQL that `corral up` uses, as the schema's owner; embedded: it starts one",
        default=EMBEDDED,
        flags=("--database",),
    ),
    Setting(
        key="database.coordinator_dsn",
        kind=Kind.DSN,
        meaning="the same database as a login in corral_coordinator (default: Corral makes one)",
    ),
    Setting(
        key="agents",
        kind=Kind.AGENTS,
        meaning="agents that share this machine (default: as the last time, at first 1)",
        flags=("--agents",),
    ),
    Setting(
        key="agent.can",
        kind=Kind.CAPABILITIES,
        meaning="what registered tools may ask of this machine's agents beside what those show themselves",
        flags=("--can",),
    ),
    Setting(
        key="agent.interfaces",
        kind=Kind.INTERFACES,
        meaning="what this machine's network interfaces are for, which its nodes then need to be healthy: "
        "eth1=data (management, data, storage, cluster)",
        flags=("--interface",),
    ),
    Setting(
        key="agent.files",
        kind=Kind.FOLDERS,
        meaning="folders whose files jobs may have as file://… on this machine (default: none)",
    ),
    Setting(
        key="agent.pools",
        kind=Kind.POOLS,
        meaning="folders that this machine's agents announce as pools of volumes: fast=/srv/fast:100GiB,"
        " then :nvme or another tier, :compress, :encrypt, :replicas=2; {node} in the path is the node's name"
        " (default: none)",
    ),
    Setting(
        key="agent.buckets",
        kind=Kind.BUCKETS,
        meaning="buckets, or BUCKET/PREFIX, whose objects jobs may have as s3://… here (default: none)",
    ),
    Setting(
        key="agent.s3_endpoint",
        kind=Kind.WEB_URL,
        meaning="the server of those buckets (default: that of AWS); its keys are AWS_ACCESS_KEY_ID …",
    ),
    Setting(
        key="agent.store",
        kind=Kind.SIZE,
        meaning="what an agent's content may take of its disk, such as 200GiB (default: all but 512 MiB)",
    ),
    Setting(
        key="agent.copy_rate",
        kind=Kind.RATE,
        meaning="MiB a second at which an agent makes copies of what other nodes have; 0: no limit",
        default=100,
    ),
    Setting(
        key="agent.scrub_rate",
        kind=Kind.RATE,
        meaning="MiB a second at which an agent reads its content again; 0: no limit",
        default=20,
    ),
    Setting(
        key="agent.scrub_every",
        kind=Kind.HOURS,
        meaning="hours after which an agent reads all of its content again; 0: only when asked",
        default=24,
    ),
    Setting(
        key="agent.containers",
        kind=Kind.CHOICE,
        meaning="which runtime this machine's agents look for; auto: any that works under the tasks' account",
        default="auto",
        choices=("auto", "none", "podman", "docker", "apptainer"),
    ),
    Setting(
        key="scheduler.order",
        kind=Kind.CHOICE,
        meaning="which task is placed first within a priority",
        default="fcfs",
        choices=("fcfs", "sjf", "saf", "sqf", "wfp3", "unicep", "f1", "f2", "f3", "f4"),
    ),
    Setting(
        key="scheduler.backfill",
        kind=Kind.CHOICE,
        meaning="for how many blocked tasks places are reserved, which others may use only until then",
        default="easy",
        choices=("easy", "conservative", "off"),
    ),
    Setting(
        key="scheduler.rank",
        kind=Kind.CHOICE,
        meaning="which of the nodes that could hold a task gets it",
        default="best_fit",
        choices=("best_fit", "worst_fit", "first_fit", "learned"),
    ),
    Setting(
        key="scheduler.mode",
        kind=Kind.CHOICE,
        meaning="whether a learned order acts where replay shows it better, until corral scheduler mode says",
        default="on",
        choices=("off", "shadow", "on"),
    ),
    Setting(
        key="scheduler.test_every",
        kind=Kind.MINUTES,
        meaning="minutes after which orders are replayed on the cluster's own history again",
        default=60,
    ),
    Setting(
        key="scheduler.deterministic",
        kind=Kind.CHOICE,
        meaning="on: nothing is tried out, and how far to look ahead is not measured",
        default="off",
        choices=("off", "on"),
        flags=("--deterministic",),
    ),
    Setting(
        key="scheduler.ageing",
        kind=Kind.MINUTES,
        meaning="minutes of a job's age that are worth one step of priority",
        default=240,
    ),
    Setting(
        key="scheduler.fair_share_half_life",
        kind=Kind.DAYS,
        meaning="days after which what somebody used counts half: who used less goes first (0: off)",
        default=7,
    ),
    Setting(
        key="nodes.unreachable_after",
        kind=Kind.SILENCE,
        meaning="seconds of silence after which a node is unreachable; heartbeats and leases scale with it",
        default=10,
    ),
    Setting(
        key="volumes.backup_again_after",
        kind=Kind.MINUTES,
        meaning="minutes after which backups on a node that is lost are made again on another",
        default=10,
    ),
    *(
        Setting(
            key=f"jobs.keep_{state}",
            kind=Kind.DAYS,
            meaning=f"days after which {of} into the archive (0: never)",
            default=30,
        )
        for state, of in (
            ("completed", "a completed job goes"),
            ("failed", "a failed job goes, whosever fault it was,"),
            ("cancelled", "a cancelled job goes"),
        )
    ),
    Setting(
        key="webhooks.hosts",
        kind=Kind.HOSTS,
        meaning="hosts that webhooks may call, and networks of theirs that are not public (default: none)",
    ),
    Setting(
        key="output",
        kind=Kind.CHOICE,
        meaning="form of the command's answers",
        default="table",
        choices=("table", "wide", "json", "jsonl", "name"),
        flags=("--output",),
    ),
)

SETTINGS = {setting.key: setting for setting in _TABLE}


class Said(Struct, frozen=True):
    """One source's word on a key; `where` names the flag, the variable, or file and line."""

    source: Source
    where: str
    value: Value | None


class Settings(Struct, frozen=True):
    """All that was said about every key, the strongest first; the last is always the default."""

    said: Mapping[str, tuple[Said, ...]]
    files: Files

    def get(self, key: str) -> Value | None:
        """What wins."""
        return self.said[key][0].value

    def text(self, key: str) -> str | None:
        """The same for a key whose values are text."""
        value = self.get(key)
        return None if value is None else str(value)

    def source(self, key: str) -> Said:
        """Who wins."""
        return self.said[key][0]


def load(
    flags: Mapping[str, Value | None] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    files: Files | None = None,
) -> Settings:
    """Everything that is said now; `flags` by key. Raises SettingsError for the first fault."""
    environment = os.environ if environment is None else environment
    files = files or find_files(environment)
    layers = [
        _from_flags(flags or {}),
        _from_environment(environment),
        _from_file(files.user, Source.USER_FILE, required=files.named),
        _from_file(files.system, Source.SYSTEM_FILE, required=False),
    ]
    said = {
        key: (
            *(layer[key] for layer in layers if key in layer),
            Said(Source.DEFAULT, "", setting.default),
        )
        for key, setting in SETTINGS.items()
    }
    return Settings(said, files)


def shown(setting: Setting, value: Value | None) -> str:
    """A value as it may be shown: without passwords."""
    return "" if value is None else masked(setting.kind, value)


def nearest(key: str) -> str:
    """The hint for a key that does not exist."""
    near = difflib.get_close_matches(key, SETTINGS, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else "corral config list shows every key"


def misspelt_variables(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    """Variables that look like one of ours and are none, each with what was probably meant."""
    known = {setting.variable for setting in SETTINGS.values()} | {FILE_VARIABLE}
    found = []
    for name in sorted(environment):
        if name.startswith("CORRAL_") and name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
            found += [(name, near[0])] if near else []
    return found


def _from_flags(flags: Mapping[str, Value | None]) -> dict[str, Said]:
    found = {}
    for key, value in flags.items():
        if value is not None:
            setting = SETTINGS[key]
            where = setting.flags[0] if setting.flags else key
            found[key] = Said(Source.FLAG, where, _checked(setting, value, where))
    return found


def _from_environment(environment: Mapping[str, str]) -> dict[str, Said]:
    return {
        key: Said(
            Source.ENVIRONMENT,
            setting.variable,
            _checked(setting, environment[setting.variable], setting.variable),
        )
        for key, setting in SETTINGS.items()
        if environment.get(setting.variable)
    }


def _from_file(path: Path, source: Source, *, required: bool) -> dict[str, Said]:
    found = {}
    entries = read_file(path, SETTINGS, required=required, public=source is Source.SYSTEM_FILE)
    for entry in entries:
        setting = SETTINGS.get(entry.key)
        if setting is None:
            raise SettingsError(
                f"unknown key {entry.key}", field=entry.where, got=entry.key, hint=nearest(entry.key)
            )
        value = _checked(setting, entry.value, entry.where, base=path.parent)
        if not entry.private and masked(setting.kind, value) != value and setting.kind is Kind.DSN:
            hint = f"chmod 600 {path}"
            raise SettingsError("a password in a file that others can read", field=entry.where, hint=hint)
        found[setting.key] = Said(source, entry.where, value)
    return found


def _checked(setting: Setting, value: Any, where: str, *, base: Path | None = None) -> Value:
    try:
        return convert(setting.kind, value, choices=setting.choices, base=base)
    except ValueError as error:
        got, expected = masked(setting.kind, value)[:80], str(error)
        hint = f"corral config explain {setting.key}"
        raise SettingsError(
            f"wrong value of {setting.key}", field=where, got=repr(got), expected=expected, hint=hint
        ) from None
