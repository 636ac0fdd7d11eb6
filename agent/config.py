"""What one agent is told at its start: the command line, checked and frozen."""

from __future__ import annotations

import argparse
import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from msgspec import Struct

from agent.gpus import GpuSetError, parse_simulated
from agent.scrubbing import Scrubs
from bus import units
from bus.declared_pools import PoolDeclared
from bus.setting_kinds import CAPABILITY, parse_interfaces, parse_pool
from bus.values import GpuInfo, NodeKind, NodeName, is_name

MIB = 1024 * 1024
COPY_MIB = 100
SCRUB_MIB, SCRUB_EVERY_H = 20, 24.0
AUTO, NONE = "auto", "none"
CONTAINERS = (AUTO, NONE, "podman", "docker", "apptainer")
"""Which runtime is looked for: any that works, none, or this one."""


class ConfigError(Exception):
    """The command line cannot be obeyed; the message says what to change."""


class Declared(Struct, frozen=True, kw_only=True):
    """Capacities said by hand, in the units of `Resources`; None: as discovered."""

    cpu_millis: int | None = None
    mem_mib: int | None = None
    gpus: int | None = None
    storage_mib: int | None = None
    net_mbps: int | None = None


class Config(Struct, frozen=True, kw_only=True):
    """`tasks` is where the tasks' files go: below `data` wherever the tasks' account can reach that."""

    data: Path
    tasks: Path
    node: NodeName
    nats_url: str
    credentials: Path
    declared: Declared = Declared()
    kind: NodeKind = NodeKind.COMPUTE
    labels: dict[str, str] = {}
    simulated_gpus: tuple[GpuInfo, ...] | None = None  # None: ask the driver
    interfaces: dict[str, str] = {}  # name -> what it is for, as its operator says
    copy_bytes_per_s: float = COPY_MIB * MIB  # content from other nodes that nobody waits for; 0: no limit
    scrubs: Scrubs = Scrubs()
    can: tuple[str, ...] = ()  # what its operator says that it can, for tools that ask for it
    files: tuple[Path, ...] = ()  # folders whose files tasks may be brought
    pools: tuple[PoolDeclared, ...] = ()  # that it announces
    buckets: tuple[str, ...] = ()  # BUCKET or BUCKET/PREFIX, likewise
    s3_endpoint: str = ""
    store_bytes: int | None = None  # what all content may take; None: what the disk has
    containers: str = NONE  # which runtime is looked for: of `CONTAINERS`
    verbose: bool = False


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


def parse_arguments(arguments: Sequence[str]) -> Config:
    """Raises ConfigError with one line for the operator."""
    given = _parser().parse_args(arguments)
    if not is_name(given.name):
        raise ConfigError(f"--name {given.name!r}: lower-case letters, digits, - and _; at most 63")
    try:
        declared = Declared(
            cpu_millis=None if given.cpu is None else units.parse_cpu_millis(given.cpu),
            mem_mib=None if given.memory is None else units.parse_size_mib(given.memory),
            gpus=given.gpus,
            storage_mib=None if given.storage is None else units.parse_size_mib(given.storage),
            net_mbps=None if given.net is None else units.parse_mbps(given.net),
        )
        store_mib = None if given.store is None else units.parse_size_mib(given.store)
        simulated = parse_simulated(given.gpu_driver, given.name)
    except (units.UnitError, GpuSetError) as error:
        raise ConfigError(str(error)) from error
    if given.gpus is not None and given.gpus < 0:
        raise ConfigError("--gpus must not be negative")
    if min(given.copy_rate, given.scrub_rate, given.scrub_every) < 0:
        raise ConfigError("--copy-rate, --scrub-rate and --scrub-every must not be negative")
    scrubs = Scrubs(every_s=given.scrub_every * 3600.0, bytes_per_s=given.scrub_rate * MIB)
    data = given.data.expanduser().absolute()
    return Config(
        data=data,
        tasks=_tasks_folder(data, given.name),
        node=NodeName(given.name),
        nats_url=given.nats,
        credentials=given.credentials.expanduser().absolute(),
        declared=declared,
        kind=NodeKind(given.kind),
        labels=dict(_label(text) for text in given.label),
        simulated_gpus=simulated,
        interfaces=_interfaces(given.interface),
        copy_bytes_per_s=given.copy_rate * MIB,
        scrubs=scrubs,
        can=tuple(_capability(text) for text in given.can),
        files=tuple(Path(folder) for folder in _folders(given.files)),
        pools=tuple(_pool(text) for text in given.pool),
        buckets=tuple(given.bucket),
        s3_endpoint=given.s3_endpoint,
        store_bytes=None if store_mib is None else store_mib * 1024 * 1024,
        containers=given.containers,
        verbose=given.verbose,
    )


def _parser() -> _Parser:
    parser = _Parser(prog="python -m agent", description="Runs tasks on this machine for a Corral cluster.")
    parser.add_argument("--data", type=Path, required=True, help="folder for this agent's state and tasks")
    parser.add_argument("--name", required=True, help="the node's name in the cluster")
    parser.add_argument("--nats", required=True, help="URL of the NATS server")
    parser.add_argument("--credentials", type=Path, required=True, help="the node's .creds file, mode 0600")
    parser.add_argument("--cpu", help='cores to offer, such as "2" or "500m"; default: all')
    parser.add_argument("--memory", help='memory to offer, such as "4GiB"; default: all')
    parser.add_argument("--gpus", type=int, help="GPUs to offer; default: all that are healthy")
    parser.add_argument("--storage", help="scratch space to offer; default: what is free below --data")
    parser.add_argument("--net", help='bandwidth to offer, such as "1Gbit"; default: the fastest interface')
    parser.add_argument("--kind", choices=[str(kind) for kind in NodeKind], default=str(NodeKind.COMPUTE))
    parser.add_argument("--label", action="append", default=[], metavar="KEY=VALUE", help="repeatable")
    parser.add_argument(
        "--gpu-driver", default="nvml", help='"nvml", "none", or simulated: "sim:2xA100-40" (GiB a GPU)'
    )
    parser.add_argument(
        "--can",
        action="append",
        default=[],
        metavar="CAPABILITY",
        help="what registered tools may ask for, such as text_generation; repeatable",
    )
    parser.add_argument(
        "--interface",
        action="append",
        default=[],
        metavar="NAME=TYPE",
        help="what an interface is for, and that the node needs it: eth1=data; repeatable",
    )
    rates = (
        ("--copy-rate", COPY_MIB, "MiB a second of copies from other nodes; 0: no limit"),
        ("--scrub-rate", SCRUB_MIB, "MiB a second at which content is read again; 0: no limit"),
        ("--scrub-every", SCRUB_EVERY_H, "hours after which all content is read again; 0: only when asked"),
    )
    for name, default, meaning in rates:
        parser.add_argument(
            name, type=float, default=default, metavar="N", help=f"{meaning} (default {default:g})"
        )
    parser.add_argument(
        "--files",
        action="append",
        default=[],
        metavar="FOLDER",
        help="jobs may have its files, as file://…; repeatable",
    )
    parser.add_argument(
        "--pool",
        action="append",
        default=[],
        metavar="NAME=/PATH:SIZE",
        help="a folder for volumes, announced to the cluster; then :TIER, :compress; repeatable",
    )
    parser.add_argument(
        "--bucket",
        action="append",
        default=[],
        metavar="BUCKET[/PREFIX]",
        help="jobs may have its objects, as s3://…; repeatable",
    )
    parser.add_argument(
        "--s3-endpoint", default="", metavar="URL", help="the server of the buckets; default: AWS"
    )
    parser.add_argument("--store", help='disk for content, such as "200GiB"; default: all but 512 MiB')
    parser.add_argument(
        "--containers", choices=CONTAINERS, default=AUTO, help="what runs containers; default: any that works"
    )
    parser.add_argument("--verbose", action="store_true", help="log every step")
    return parser


def _capability(text: str) -> str:
    if CAPABILITY.fullmatch(text) is None:
        raise ConfigError(f"--can {text!r}: expected 2 to 50 of a-z, 0-9 and _")
    return text


def _interfaces(said: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in said:
        try:
            found |= parse_interfaces(text)
        except ValueError as error:
            raise ConfigError(f"--interface {text!r}: expected {error}") from None
    return found


def _pool(text: str) -> PoolDeclared:
    try:
        return parse_pool(text)
    except ValueError as error:
        raise ConfigError(f"--pool {text!r}: expected {error}") from None


def _folders(texts: Sequence[str]) -> list[str]:
    for text in texts:
        if not text.startswith("/") or text.rstrip("/") == "" or ".." in text.split("/"):
            raise ConfigError(f"--files {text!r}: expected an absolute path, not / itself, without ..")
    return [text.rstrip("/") for text in texts]


def _label(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise ConfigError(f"--label {text!r}: expected KEY=VALUE")
    return key, value


def _tasks_folder(data: Path, node: str) -> Path:
    """Below `data`; as root, where others cannot pass through its parents, below /var/lib/corral."""
    if os.geteuid() != 0 or all(_is_passable(parent) for parent in data.parents):
        return data / "tasks"
    mark = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    return Path("/var/lib/corral/tasks") / f"{node}-{mark}"


def _is_passable(folder: Path) -> bool:
    try:
        return bool(folder.stat().st_mode & stat.S_IXOTH)
    except FileNotFoundError:
        return True  # it will be made, and so that it is
