"""What an agent and its guard say to each other over their unix socket.

A frame is a 4-byte length and a MessagePack array whose first element is its kind. This module is what the
guard uses, so it stays with plain tuples; the agent decodes the same frames as the Structs of
`agent.guard.client`. A guard outlives its agent, so an agent may meet one of an older version: what was
added later is at the end of its tuple, left out where it says nothing, and new kinds are only sent to a
guard whose inventory gives the version that knows them.

Every instant named `_at` without a word more is of the Unix epoch; a deadline is of CLOCK_BOOTTIME, which
goes on while the machine sleeps.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

import msgpack

VERSION = 7
"""Of this guard. 0 (it says none): knows neither pauses nor inspections nor tasks without a lease. 1: knows
no shares of GPUs. 2: knows no terminals. 3: knows no templates of tools and checks no files of theirs. 4:
runs no containers, and keeps nobody off the network. 5: has the capacity that its agent greeted it with. 6:
tells no task what became of its jobs."""

HAS_TERMINALS = 3
"""The first version that gives a task a terminal."""

SHARES_GPUS = 2
"""The first version that gives parts of GPUs; agents tell of shareable GPUs only where their guard has it."""

FILLS_TEMPLATES = 4
"""The first version that runs the commands of registered tools; only its agent takes such work."""

RUNS_CONTAINERS = 5
"""The first version that runs containers and gives tasks a network of their own."""

FITS_ANEW = 6
"""The first version that takes another capacity while it runs."""

TELLS_CHILDREN = 7
"""The first version that gives a task a file in which it hears what became of its jobs."""

Key = tuple[int, int, int]
"""An attempt: job number, index, fence. A rank of a gang has RANK_STRIDE times its rank in the index."""

RANK_STRIDE = 1 << 20
"""As in `bus.values`: between the places of two ranks of a gang."""

Amounts = tuple[int, int, int, int, int]
"""Resources in the field order of `bus.values.Resources`; the third is GPUs."""

GPU_FIELD = 2
GPU_MILLI = 1000
"""Thousandths of a GPU."""

FRAME_LIMIT = 256 * 1024 * 1024
"""Nobody of ours sends more: a longer frame means that the peer is broken."""

# agent -> guard
HELLO = "hello"  # node, capacity, gpus
FIT = "fit"  # capacity, gpus: from now on
SPAWN = "spawn"  # bodies, items
NEEDS = "needs"  # key, [(group, index, output)]
CANCEL = "cancel"  # keys
RETRACT = "retract"  # keys
RENEW = "renew"  # deadlines of TERM and KILL
ACKNOWLEDGE = "ack"  # keys of exits that the agent has on disk
READ = "read"  # id, key, stream, offset, limit
REMOVE = "remove"  # keys of attempts whose files nobody needs any more
LEAVE = "leave"  # exit as soon as nothing runs
PAUSE = "pause"  # keys
RESUME = "resume"  # keys
INSPECT = "inspect"  # id
AWAIT = "await"  # id, key, offset, limit: a READ of stdout that is answered once there is more
TYPE = "type"  # id, key, what somebody typed at a terminal
RESIZE = "resize"  # key, rows, columns
RUNTIME = "runtime"  # what runs containers: a `runtimes.Runtime`, or nothing
CHILDREN = "children"  # key, JSON text for the file that CORRAL_CHILDREN names
LEFTOVERS = "leftovers"  # (pid, start) of tasks of a dead guard, which are to end

# guard -> agent
INVENTORY = "inventory"  # running, queued, exits not yet acknowledged, paused, version
EVENTS = "events"  # started, exits
TYPED = "typed"  # id, how many bytes the terminal took; -1: there is none
FOUND = "found"  # id, what runs, keys in line, strays
DATA = "data"  # id, offset, bytes, size, ended, when they came: marks of `agent.guard.arrivals`

# How an attempt ended: the values of `bus.values.Outcome`, and one that never started.
EXITED = "exited"
SIGNALED = "signaled"
TIMEOUT = "timeout"
CANCELLED = "cancelled"
NOT_FOUND = "not_found"
NOT_EXECUTABLE = "not_executable"
NOT_STARTED = "not_started"
LEASE_EXPIRED = "lease_expired"
RETURNED = "returned"

STDOUT = 1
STDERR = 2


class Body(NamedTuple):
    """What the items of a group share. A `tool` runs inside a fork of the guard instead of `argv`.

    `run_on`: the end of the lease does not end it. `pty`: it lives in a terminal. `template`: `argv` has
    placeholders (`bus.templates`). `file`: where there is one, it must have the content `sha256`. `image`: it
    runs in a container, which sees `mounts` (there, inside, whether read-only) and nothing of which it may
    change with `read_only`; `pull`: missing, always, never. `network`: default, none, host.
    """

    argv: tuple[str, ...]
    tool: str | None
    env: dict[str, str]
    workdir: str | None
    stdin: str | None
    timeout_s: float | None
    grace_s: float
    run_on: bool = False
    pty: bool = False
    template: bool = False
    file: str = ""
    sha256: str = ""
    image: str = ""
    network: str = "default"
    mounts: tuple[tuple[str, str, bool], ...] = ()
    read_only: bool = False
    pull: str = "missing"


class Item(NamedTuple):
    """One attempt to run. `granted`: the coordinator holds resources for it, so it goes first.

    `gpus` may be empty where `resources` asks for some: then any free ones serve. With `gpu_milli` it is so
    many thousandths of one that others may have a part of as well. `input` is JSON text; with `needs`, the
    outputs named in earlier NEEDS frames are listed beside it.
    """

    key: Key
    body: int
    granted: bool
    resources: Amounts
    gpus: tuple[str, ...]
    array_index: int | None
    input: bytes | None
    item: str | None
    needs: bool
    gpu_milli: int = 0


class Start(NamedTuple):
    """An attempt that was started. `ticks`: when, as the kernel counts it since the boot; it tells this
    process from a later one of the same pid."""

    key: Key
    pid: int
    started_at: float
    ticks: int


class Found(NamedTuple):
    """What the process table holds of an attempt that runs."""

    key: Key
    pid: int
    processes: int
    paused: bool


class Exit(NamedTuple):
    """The end of an attempt. `stdout_size` and `stderr_size` are final, in bytes."""

    key: Key
    outcome: str
    ended_at: float
    started_at: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    message: str = ""
    output: bytes | None = None
    stderr_tail: bytes = b""
    stdout_size: int = 0
    stderr_size: int = 0
    cpu_s: float = 0.0
    max_rss_mib: float = 0.0


_LENGTH = struct.Struct(">I")
HEADER_SIZE = _LENGTH.size


def pack(*parts: object) -> bytes:
    """One frame, ready to send."""
    body: bytes = msgpack.packb(parts)
    return _LENGTH.pack(len(body)) + body


def frame_length(header: bytes | bytearray) -> int:
    """How many bytes follow this header. Raises ValueError past FRAME_LIMIT."""
    length: int = _LENGTH.unpack_from(header)[0]
    if length > FRAME_LIMIT:
        raise ValueError(f"a frame of {length} bytes: the peer is no guard or agent")
    return length


def unpack_all(buffer: bytearray) -> Iterator[tuple[object, ...]]:
    """Take every whole frame out of `buffer`, leaving what is not complete yet."""
    start = 0
    try:
        while len(buffer) - start >= HEADER_SIZE:
            length = frame_length(buffer[start : start + HEADER_SIZE])
            end = start + HEADER_SIZE + length
            if len(buffer) < end:
                break
            frame = bytes(buffer[start + HEADER_SIZE : end])
            start = end
            yield msgpack.unpackb(frame, use_list=False)
    finally:
        del buffer[:start]
