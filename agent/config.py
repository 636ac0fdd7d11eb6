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
from bus import units
from bus.values import GpuInfo, NodeKind, NodeName, is_name


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
        simulated = parse_simulated(given.gpu_driver, given.name)
    except (units.UnitError, GpuSetError) as error:
        raise ConfigError(str(error)) from error
    if given.gpus is not None and given.gpus < 0:
        raise ConfigError("--gpus must not be negative")
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
    parser.add_argument("--verbose", action="store_true", help="log every step")
    return parser


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
