"""A job as people write it, on the bus (JSON, MessagePack), in a file, or through the command.

Amounts may be numbers in Corral's own units or text with a unit (`bus.units`); `coordinator.core.intake`
turns a spec into tasks and reports every fault with its path. An unknown field is refused.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct, field

from bus.called import CalledTool
from bus.containers import NetworkPolicy, PullPolicy
from bus.contents import Content, KeptList
from bus.mounts import Mounted
from bus.values import GangRestart, JobKind, OnDisconnect

Json = dict[str, Any]
Matrix = dict[str, list[str | int | float | bool]]


class OnFailure(StrEnum):
    """What becomes of the rest of a job of which more tasks have failed than it bears."""

    CONTINUE = "continue"  # it goes on
    CANCEL = "cancel"  # it ends, what runs included
    STOP_NEW = "stop_new"  # what runs goes on to its end, nothing else starts


class Overlap(StrEnum):
    """What becomes of a firing of a schedule whose job before is not over."""

    FORBID = "forbid"  # it is left out
    ALLOW = "allow"  # both run
    REPLACE = "replace"  # the one before is cancelled


class ResourceSpec(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`cpu`: millicores, or text such as "2" or "500m"; `memory` and `storage`: MiB, or "4GiB";
    `net`: Mbit/s, or "1Gbit"; `gpu`: GPUs, or a share of one such as 0.5 or "500m". `gpu_type`: models of
    which any will do, as words of the name that the driver gives ("a100"); `gpu_memory`: MiB that each GPU
    must have; `gpu_uuid`: the only GPU that will do, by the UUID that the driver gives."""

    cpu: int | str = 1000
    memory: int | str = 64
    gpu: int | float | str = 0
    gpu_type: str | list[str] = []
    gpu_memory: int | str = 0
    gpu_uuid: str = ""
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


class GangSpec(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`size` ranks that are placed at once and start together; `resources` are of one rank.

    `topology` names the node label, or "subnet", of which all would best share one value. `ranks_per_node`:
    at most so many on a node (0: as many as fit). `start_timeout`: how long ranks wait for each other before
    any starts. `restart` says what a lost rank means: "gang" queues all of it again, "fail" fails the task.
    """

    size: int
    topology: str = ""
    ranks_per_node: int = 0
    start_timeout: float | str = 60.0
    restart: GangRestart = GangRestart.GANG


class ContainerSpec(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How the tasks of a job with an `image` see the node: `mounts` as "/FOLDER[:/INSIDE][:ro]"; `read_only`:
    the image's own files cannot be changed."""

    mounts: list[str] = []
    read_only: bool = False
    pull: PullPolicy = PullPolicy.MISSING


class CheckpointSpec(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What tasks save to go on from: whatever appears below CORRAL_CHECKPOINT_DIR, or in the folder `dir`
    there.

    The newest `keep` stay, with `replicas` copies on other nodes, and the best by `keep_best` ("loss:min",
    "accuracy:max"). `interval`: of those that are found there,
    rather than told, at most one in that time.
    """

    dir: str = ""
    keep: int = 3
    keep_best: str = ""
    replicas: int = 1
    interval: float | str | None = None


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
    for_each: list[str] | str | None = None
    matrix: Matrix | None = None
    max_parallel: int | None = None
    max_failures: int | None = None  # of this entry: with more failures the rest of it ends
    gang: GangSpec | None = None
    image: str | None = None
    network_policy: NetworkPolicy | None = None
    volumes: list[str] | None = None  # "NAME:PATH:ro"; PATH and ro may be left out
    needs: list[str] = []
    timeout: float | str | None = None
    grace: float | str | None = None
    retries: int | None = None
    models: list[str] | None = None
    files: dict[str, str] | None = None


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
    frames: str | None = None  # of type rendering: an array of frames, "1-240:2", given as CORRAL_FRAME
    for_each: list[str] | str | None = None  # one task an item, given as CORRAL_ITEM and in CORRAL_INPUT;
    # a text is a pointer to a list in the cluster, an item a line: corral://1042.7/names.txt
    matrix: Matrix | None = None  # one task a combination, given as CORRAL_MATRIX_<name> and in CORRAL_INPUT
    max_parallel: int | None = None  # of an array, list or matrix: at most so many at once
    gang: GangSpec | None = None  # one task of several ranks
    image: str | None = None  # the container that the tasks run in: python:3.11
    container: ContainerSpec | None = None  # what it sees of its node
    network_policy: NetworkPolicy = NetworkPolicy.DEFAULT
    config: Json | None = None  # a training's own; distributed and n_clients make a gang of it
    checkpoint: CheckpointSpec | None = None  # what tasks save is kept, and a new attempt goes on from it
    replicas: int = 0  # of each artifact that tasks leave: copies on other nodes
    tasks: list[TaskSpec] | None = None
    timeout: float | str | None = None  # seconds, or "90", "1h30m", "1-02:00:00"
    grace: float | str | None = None
    on_failure: OnFailure = OnFailure.CONTINUE
    max_failures: int | None = None  # failed tasks that `on_failure` bears, by default none
    retries: int = 3
    backoff: float | str = 1.0
    backoff_max: float | str = 300.0
    retry_on: list[str] = field(default_factory=lambda: ["failed"])  # failed, timeout, "exit:75", "signal:9"
    idempotent: bool = False  # may be given out at once when its node falls silent
    on_disconnect: OnDisconnect = OnDisconnect.REPLACE
    preemptible: bool = False  # may be ended and queued again for work of higher priority
    parent: str | None = None  # the running task that this job comes from, as "1041.7": it ends with it
    after: list[int | str] = []  # other jobs: 1041 or "1041:ok", "1041:any", "1041:failed"
    start_at: float | str | None = None  # not before then: "2026-11-24T08:00:00Z", or seconds of the epoch
    cron: str | None = None  # a schedule that submits this job again and again: "30 4 * * mon-fri", "@daily"
    zone: str | None = None  # in which `cron` is meant: UTC, or a name such as "Europe/Berlin"
    overlap: Overlap | None = None  # where the job before still runs when the next is due
    constraints: Constraints | None = None
    metadata: Json = {}
    dedupe_key: str | None = None
    models: list[str] | None = None  # NAME or NAME@VERSION, told as CORRAL_MODEL_<NAME>: a path
    files: dict[str, str] | None = None  # name below CORRAL_FILES -> pointer, see `bus.contents`
    contents: list[Content] = []  # by what `models` and `files` say; the coordinator's to fill in
    lists: dict[str, KeptList] = {}  # by what `for_each` says; the coordinator's to fill in
    volumes: list[str] = []  # of every task: "NAME:PATH:ro"; PATH and ro may be left out
    mounted: dict[str, Mounted] = {}  # by the names of volumes; the coordinator's to fill in
    called: dict[str, CalledTool] = {}  # by what `tool` says; the coordinator's to fill in
