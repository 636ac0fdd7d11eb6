"""What a job may say of its gang: `gang` itself, or `config` as training frameworks have it.

{"gang": {"size": 4}}                                      four ranks
{"config": {"distributed": true, "n_clients": 4, …}}       the same; all of `config` goes into the input
"""

from __future__ import annotations

import re

from bus.refusal import quote
from bus.spec import GangSpec, Json, TaskSpec
from bus.units import UnitError, parse_duration_s
from bus.values import RANKS_MAX, Gang
from coordinator.core.effects import Fault

START_TIMEOUT_MAX_S = 3600.0
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,62}")


def gang_of(task: TaskSpec, path: str, faults: list[Fault], *, config: Json | None = None) -> Gang | None:
    """The gang that an entry asks for, or None; every fault is appended. `config`: of the job."""
    spec, field = task.gang, f"{path}/gang"
    asked = gang_of_config(config, faults)
    if asked is not None:
        if spec is not None:
            message = "gang and a distributed config exclude each other"
            faults.append(Fault(code="E_FIELD", message=message, field="/config/distributed"))
            return None
        spec, field = asked, "/config/n_clients"
    if spec is None:
        return None
    before = len(faults)
    for other in ("array", "for_each", "matrix"):
        if getattr(task, other) is not None:
            hint = "a gang is one task; submit one job a gang"
            message = f"gang and {other} exclude each other"
            faults.append(Fault(code="E_GANG", message=message, field=field, hint=hint))
    _within(spec.size, 1, RANKS_MAX, field=field if asked is not None else f"{field}/size", faults=faults)
    _within(spec.ranks_per_node, 0, RANKS_MAX, field=f"{field}/ranks_per_node", faults=faults)
    if spec.topology and not _LABEL.fullmatch(spec.topology):
        expected = 'the name of a node label, or "subnet"'
        got = quote(spec.topology)
        faults.append(Fault(code="E_LABEL", field=f"{field}/topology", got=got, expected=expected))
    start_timeout_s = _start_timeout_s(spec, f"{field}/start_timeout", faults)
    if len(faults) > before:
        return None
    return Gang(
        size=spec.size,
        topology=spec.topology,
        ranks_per_node=spec.ranks_per_node,
        start_timeout_s=start_timeout_s,
        restart=spec.restart,
    )


def gang_of_config(config: Json | None, faults: list[Fault]) -> GangSpec | None:
    """A distributed training names its ranks clients."""
    if not config or not config.get("distributed"):
        return None
    clients = config.get("n_clients")
    if isinstance(clients, int) and not isinstance(clients, bool):
        return GangSpec(size=clients)
    got, expected = quote(clients), f"a number of ranks, 1–{RANKS_MAX}"
    message = "a distributed config without n_clients" if clients is None else ""
    faults.append(
        Fault(code="E_GANG", message=message, field="/config/n_clients", got=got, expected=expected)
    )
    return None


def _within(value: int, low: int, high: int, *, field: str, faults: list[Fault]) -> None:
    if not low <= value <= high:
        faults.append(Fault(code="E_GANG", field=field, got=quote(value), expected=f"{low}–{high}"))


def _start_timeout_s(spec: GangSpec, field: str, faults: list[Fault]) -> float:
    try:
        found = parse_duration_s(spec.start_timeout)
    except UnitError as error:
        faults.append(Fault(code=error.code, field=field, got=quote(error.got), expected=error.expected))
        return 0.0
    if not 1.0 <= found <= START_TIMEOUT_MAX_S:
        got, expected = quote(spec.start_timeout), f"1 s to {START_TIMEOUT_MAX_S:g} s"
        faults.append(Fault(code="E_RANGE", field=field, got=got, expected=expected))
    return found
