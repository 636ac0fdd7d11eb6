"""`network` and `topology`: interfaces of the nodes, and the networks that these are in."""

from __future__ import annotations

from argparse import Namespace

from bus.equipment import DeviceKind, DeviceQuery
from bus.networks import NetworkType, TopologyAdd, TopologyEntries
from tui.cli.connect import client
from tui.cli.diagnostics import CommandError, Exit, note
from tui.cli.equipment import show
from tui.view.networks import INTERFACES, TOPOLOGIES


async def network(arguments: Namespace) -> int:
    """Every interface that agents found."""
    asked = DeviceQuery(filter=arguments.filter, kind=DeviceKind.INTERFACE, limit=arguments.limit)
    async with client(arguments) as corral:
        found = await corral.devices(asked)
    show(arguments, found, found.devices, INTERFACES, name=lambda device: f"{device.node} {device.name}")
    if found.next:
        note(f"{found.total - len(found.devices):,} more: --filter chooses nodes, --limit shows more")
    return Exit.OK


async def topology(arguments: Namespace) -> int:
    """One of its actions."""
    if arguments.action not in ("ls", "list"):
        _require(arguments, "name", "NAME")
    if arguments.action == "create":
        for option in ("subnet", "bandwidth"):
            _require(arguments, option, f"--{option}")
    async with client(arguments) as corral:
        match arguments.action:
            case "create":
                told = [await corral.create_topology(_asked(arguments))]
            case "rm":
                told = [await corral.remove_topology(arguments.name)]
            case _:
                told = (await corral.topologies(declared=arguments.declared)).topologies
                if arguments.name is not None:
                    told = [each for each in told if each.name == arguments.name]
    if arguments.name is not None and not told:
        hint = "corral topology ls shows all"
        raise CommandError(
            "E_NOT_FOUND", f"no topology {arguments.name!r}", exit=Exit.NOT_FOUND, field="NAME", hint=hint
        )
    show(arguments, TopologyEntries(topologies=told), told, TOPOLOGIES, name=lambda each: each.name)
    for remark in [remark for each in told for remark in each.notes][:10]:
        note(remark)
    return Exit.OK


def _asked(arguments: Namespace) -> TopologyAdd:
    return TopologyAdd(
        name=arguments.name,
        subnet=arguments.subnet,
        bandwidth=arguments.bandwidth,
        type=NetworkType(arguments.type),
        vlan=arguments.vlan,
        latency_ms=arguments.latency,
        mtu=arguments.mtu,
        share=arguments.share,
    )


def _require(arguments: Namespace, name: str, field: str) -> None:
    if getattr(arguments, name) is None:
        hint = "corral topology create lab --subnet 10.1.0.0/16 --bandwidth 10Gbit"
        raise CommandError(
            "E_REQUIRED", f"{arguments.action} without {field}", exit=Exit.USAGE, field=field, hint=hint
        )
