"""A job as people write it, on the bus (JSON, MessagePack), in a file, or through the command.

Amounts may be numbers in Corral's own units or text with a unit (`bus.units`); `coordinator.core.intake`
turns a spec into tasks and reports every fault with its path. An unknown field is refused.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from bus.values import JobKind, OnDisconnect

Json = dict[str, Any]


class ResourceSpec(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`cpu`: millicores, or text such as "2" or "500m"; `memory` and `storage`: MiB, or "4GiB";
    `net`: Mbit/s, or "1Gbit"; `gpu`: GPUs, or a share of one such as 0.5 or "500m". `gpu_type`: models of
    which any will do, as words of the name that the driver gives ("a100"); `gpu_memory`: MiB that each GPU
    must have."""

    cpu: int | str = 1000
    memory: int | str = 64
    gpu: int | float | str = 0
    gpu_type: str | list[str] = []
    gpu_memory: int | str = 0
    storage: int | str = 0
    net: int | str = 0


class Constraints(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where a task may run: all `labels` must match, and the node must be one of `nodes` if given.

    Where it would rather run: `prefer` says "NAME=VALUE" or "NAME=VALUE:WEIGHT" of labels, `avoid` names
    jobs (or "self") whose nodes it does not share, or with ":WEIGHT" would rather not. `placement` packs the
    tasks of the job onto few nodes or spreads them, and so over the values of the label `topology` first.
    """

    labels: dict[str, str] = {}
    nodes: list[str] = []
    prefer: list[str] = []
    avoid: list[int | str] = []
    placement: str = ""  # pack, spread
    topology: str = ""


class TaskSpec(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One entry of a job's `tasks`; what it leaves out it takes from the job."""

    name: str | None = None
    command: list[str] | None = None
    tool: str | None = None
    input: Json | None = None
    resources: ResourceSpec | None = None
    env: dict[str, str] | None = None
    workdir: str | None = None
    stdin: str | None = None
    array: str | None = None
    for_each: list[str] | None = None
    needs: list[str] = []
    timeout: float | str | None = None
    grace: float | str | None = None
    retries: int | None = None


class JobSpec(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`command` (argv), or `tool` with `input`, or several `tasks`; see PROTOCOL in docs/protocol.md."""

    v: int = 1
    name: str | None = None
    type: JobKind = JobKind.BATCH
    priority: int | str = 5  # 1–10, or "low", "normal", "high"
    command: list[str] | None = None
    tool: str | None = None
    input: Json | None = None
    resources: ResourceSpec | None = None
    env: dict[str, str] = {}
    workdir: str | None = None
    stdin: str | None = None
    array: str | None = None  # "0-99", "0-99%10", "1,5,9-20:2"
    for_each: list[str] | None = None  # one task an item, given as CORRAL_ITEM and in CORRAL_INPUT
    tasks: list[TaskSpec] | None = None
    timeout: float | str | None = None  # seconds, or "90", "1h30m", "1-02:00:00"
    grace: float | str | None = None
    retries: int = 3
    backoff: float | str = 1.0
    backoff_max: float | str = 300.0
    retry_on: list[str] = field(default_factory=lambda: ["failed"])  # failed, timeout, "exit:75", "signal:9"
    idempotent: bool = False  # may be given out at once when its node falls silent
    on_disconnect: OnDisconnect = OnDisconnect.REPLACE
    preemptible: bool = False  # may be ended and queued again for work of higher priority
    after: list[int | str] = []  # other jobs: 1041 or "1041:ok", "1041:any", "1041:failed"
    constraints: Constraints | None = None
    metadata: Json = {}
    dedupe_key: str | None = None
