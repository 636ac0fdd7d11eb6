"""What an agent may claim: the bounds that the columns of the database have too.

The codec has checked types. A number or a text that no column can hold is refused here, at the door: met in
a commit it would undo the batch of everybody else, and end the coordinator.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import assert_never

from msgspec import Struct

from bus.artifact_names import NameFault, check_name
from bus.artifacts import Kept, LeftFile
from bus.checkpoints import FILES_MAX, METRICS_MAX, STEP_MAX, ResumeAsked, Saved
from bus.children import WAITING_AT_ONCE_MAX, ChildrenAsked
from bus.errors import ApiError
from bus.gpus import GpuFault
from bus.messages import (
    PROTOCOL_VERSION,
    FromAgent,
    Heartbeat,
    InputsRequest,
    Register,
    Report,
    UsageReport,
)
from bus.refusal import quote, refusal
from bus.replication import BLOBS_AT_ONCE, HELD_AT_ONCE, Fetch, Held
from bus.results import (
    CHILDREN_AT_ONCE_MAX,
    LOGGED_AT_ONCE_MAX,
    LOGGED_TEXT_MAX,
    POINTS_MAX,
    Progress,
    Told,
)
from bus.values import OUTPUT_LIMIT, Ended, GpuUsage, Resources, Returned, Started, Usage

AMOUNT_MAX = 2**50
COUNT_MAX = 65_536
GAUGE_MAX = 1e12
TEXT_MAX = 1024
MESSAGE_MAX = 8192
INDEX_MAX = 2**31 - 1
LABELS_MAX = 64
FAULTS_MAX = 16
GPUS_MAX = 256
LINES_MAX = 200
_FAULT_KIND = re.compile(r"[a-z0-9_]{1,50}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MEDIA_TYPE = re.compile(r"[a-z0-9.+-]{1,40}/[A-Za-z0-9.+-]{1,50}")
_HELD_CODES = frozenset({"", "E_HASH", "E_NOT_FOUND", "E_SPACE"})
PLACE_MAX = 2**50
NAME_MAX = 50
METRIC_MAX = 1.7e308
"""Any finite number: what a task measures is its own."""

AGE_MAX_S = 7 * 24 * 3600
INSTANT_MIN, INSTANT_MAX = 946_684_800.0, 4_102_444_800.0  # 2000 to 2100: a clock that was never set is 1970


class OutOfBounds(ApiError):
    """A value that no agent in its right mind sends; the error names it."""


def check(message: FromAgent) -> None:
    """Raises OutOfBounds: E_RANGE, or E_VERSION for an agent of another protocol."""
    match message:
        case Heartbeat():
            _gauge("load", message.load)
            within("number of faults", len(message.faults), 0, FAULTS_MAX)
            for fault in message.faults:
                within("length of a fault", len(fault), 0, TEXT_MAX)
            within("number of faults of GPUs", len(message.gpus or ()), 0, GPUS_MAX)
            for each in message.gpus or ():
                _check_gpu_fault(each)
        case Report():
            for event in message.events:
                _check_event(event)
        case UsageReport():
            _gauge("load", message.load)
            _check_instant("sampled_at", message.sampled_at)
            within("age_s", message.age_s, 0, AGE_MAX_S)
            for usage in (message.usage, *(sample.usage for sample in message.tasks)):
                _check_usage(usage)
            within("number of GPUs", len(message.gpus), 0, GPUS_MAX)
            for gpu in message.gpus:
                _check_gpu(gpu)
            within("number of lines", len(message.log), 0, LINES_MAX)
            for line in message.log:
                within("age_s", line.age_s, 0, AGE_MAX_S)
                within("length of a line", len(line.text), 0, TEXT_MAX)
        case Register():
            _check_register(message)
        case InputsRequest():
            within("after", message.after, -1, INDEX_MAX)
        case Kept():
            within("number of files", len(message.files), 0, COUNT_MAX)
            for file in message.files:
                _check_left(file)
        case Fetch():
            within("number of blobs", len(message.blobs), 1, BLOBS_AT_ONCE)
            within("number of nodes", len(message.avoid), 0, COUNT_MAX)
            for sha256, offset in message.blobs:
                _check_blob(sha256, offset, "")
        case Held():
            within("number of blobs", len(message.blobs), 0, HELD_AT_ONCE)
            for blob in message.blobs:
                _check_blob(blob.sha256, blob.size, blob.code)
        case Saved():
            _check_saved(message)
        case ResumeAsked():
            pass
        case ChildrenAsked():
            within("number of attempts", len(message.attempts), 0, WAITING_AT_ONCE_MAX)
        case Progress():
            for told in message.told:
                _check_told(told)
        case _:
            assert_never(message)


def _check_gpu_fault(fault: GpuFault) -> None:
    if _FAULT_KIND.fullmatch(fault.kind) is None:
        expected = "up to 50 of a-z, 0-9 and _"
        raise OutOfBounds(refusal("E_RANGE", "kind of a fault", got=quote(fault.kind), expected=expected))
    for name, text in (("UUID", fault.uuid), ("mark", fault.mark), ("reason", fault.reason)):
        within(f"length of a {name}", len(text), 0, TEXT_MAX)


def _check_event(event: Started | Ended | Returned) -> None:
    if not isinstance(event, Ended):
        return
    if event.exit_code is not None:
        within("exit_code", event.exit_code, 0, 255)
    if event.signal is not None:
        within("signal", event.signal, 1, 64)
    within("length of message", len(event.message), 0, MESSAGE_MAX)
    within("length of fault", len(event.fault), 0, MESSAGE_MAX)
    within("length of output", len(event.output or b""), 0, OUTPUT_LIMIT)


def _check_left(file: LeftFile) -> None:
    for text in (file.code, file.message, file.upload, file.media_type):
        within("length of a text", len(text), 0, TEXT_MAX)
    within("size", file.size, 0, PLACE_MAX)
    if file.code:
        within("length of a name", len(file.name), 0, TEXT_MAX)
        return
    _check_path(file.name)
    if _SHA256.fullmatch(file.sha256) is None or _MEDIA_TYPE.fullmatch(file.media_type) is None:
        got = quote(f"{file.sha256[:20]} {file.media_type}")
        raise OutOfBounds(refusal("E_VALUE", "no hash, or no type of a file", got=got))


def _check_blob(sha256: str, size: int, code: str) -> None:
    within("size", size, 0, PLACE_MAX)
    if _SHA256.fullmatch(sha256) is None or code not in _HELD_CODES:
        raise OutOfBounds(refusal("E_VALUE", "no hash, or no code", got=quote(f"{sha256[:20]} {code[:20]}")))


def _check_saved(saved: Saved) -> None:
    within("step", saved.step, 0, STEP_MAX)
    for text in (saved.code, saved.message):
        within("length of a text", len(text), 0, TEXT_MAX)
    metrics = saved.metrics or {}
    within("number of metrics", len(metrics), 0, METRICS_MAX)
    for name, value in metrics.items():
        within("length of a metric's name", len(name), 1, NAME_MAX)
        _gauge(name[:NAME_MAX], value, most=METRIC_MAX)
    if saved.code:
        within("length of a path", len(saved.path), 0, MESSAGE_MAX)
        return
    within("number of files", len(saved.files), 1, FILES_MAX)
    for name in (saved.path, *(file.name for file in saved.files)):
        _check_path(name)
    for file in saved.files:
        within("size", file.size, 0, PLACE_MAX)
        if _SHA256.fullmatch(file.sha256) is None:
            raise OutOfBounds(refusal("E_VALUE", "no hash", got=quote(file.sha256[:70])))


def _check_path(name: str) -> None:
    try:
        check_name(name)
    except NameFault as fault:
        raise OutOfBounds(refusal(fault.code, str(fault), got=quote(name))) from fault


def _check_told(told: Told) -> None:
    within("end", told.end, max(0, told.start), PLACE_MAX)
    within("start", told.start, 0, PLACE_MAX)
    if told.progress is not None:
        within("progress", told.progress, 0, 100)
    within("number of jobs", len(told.children), 0, CHILDREN_AT_ONCE_MAX)
    within("number of points", len(told.points), 0, POINTS_MAX)
    for point in told.points:
        within("length of a metric's name", len(point.name), 1, NAME_MAX)
        _gauge(point.name[:NAME_MAX], point.value, most=METRIC_MAX)
        _check_instant("at", point.at)
        within("step", point.step or 0, -(2**53), 2**53)
    within("number of lines", len(told.lines), 0, LOGGED_AT_ONCE_MAX)
    for line in told.lines:
        within("length of a line", len(line.text), 0, LOGGED_TEXT_MAX)
        _check_instant("at", line.at)
    within("faults", told.faults, 0, INDEX_MAX)
    for text in (told.fault, told.message or ""):
        within("length of a text", len(text), 0, TEXT_MAX)


def _check_usage(usage: Usage) -> None:
    for name in usage.__struct_fields__:
        value = getattr(usage, name)
        if value is not None:
            _gauge(name, value)


def _check_gpu(gpu: GpuUsage) -> None:
    within("length of a GPU's UUID", len(gpu.uuid), 1, TEXT_MAX)
    for name in ("utilisation", "mem_mib", "temperature_c", "power_w"):
        value = getattr(gpu, name)
        if value is not None:
            _gauge(name, value)


def _check_register(message: Register) -> None:
    if message.protocol != PROTOCOL_VERSION:
        older = "the agent is older" if message.protocol < PROTOCOL_VERSION else "the agent is newer"
        raise OutOfBounds(
            refusal(
                "E_VERSION",
                f"{older} than its coordinator",
                field="/protocol",
                got=quote(message.protocol),
                expected=str(PROTOCOL_VERSION),
                hint=f"install the coordinator's version of Corral on {message.node[:63]}, then restart it",
            )
        )
    _check_amounts(message.capacity)
    within("number of labels", len(message.labels), 0, LABELS_MAX)
    inventory = message.inventory
    within("cpu_cores", inventory.cpu_cores, 0, COUNT_MAX)
    for gpu in inventory.gpus:
        within("mem_mib of a GPU", gpu.mem_mib, 0, AMOUNT_MAX)
    for interface in inventory.interfaces:
        within("speed_mbps", interface.speed_mbps, 0, INDEX_MAX)
        within("mtu", interface.mtu, 0, INDEX_MAX)
        within("numa_node", interface.numa_node or 0, 0, COUNT_MAX)
    for text in _texts(message):
        within("length of a text", len(text), 0, TEXT_MAX)


def _check_amounts(amounts: Resources) -> None:
    most = {"cpu_millis": 1000 * COUNT_MAX, "gpus": COUNT_MAX}
    for name in amounts.__struct_fields__:
        within(name, getattr(amounts, name), 0, most.get(name, AMOUNT_MAX))


def _check_instant(name: str, at: float) -> None:
    if not INSTANT_MIN <= at <= INSTANT_MAX:
        raise _out(name, at, "an instant of this century, in seconds of the Unix epoch")


def _gauge(name: str, value: float, *, most: float = GAUGE_MAX) -> None:
    if not -most <= value <= most:
        raise _out(name, value, f"{-most:g} to {most:g}")


def within(name: str, value: float, low: int, high: int) -> None:
    """Raises OutOfBounds."""
    if not low <= value <= high:
        raise _out(name, value, f"{low} to {high}")


def _out(name: str, value: float, expected: str) -> OutOfBounds:
    return OutOfBounds(refusal("E_RANGE", f"{name} is out of range", got=quote(value), expected=expected))


def _texts(value: object) -> Iterator[str]:
    """Every text anywhere in a message."""
    match value:
        case str():
            yield value
        case dict():
            for pair in value.items():
                yield from _texts(pair)
        case list() | tuple():
            for item in value:
                yield from _texts(item)
        case Struct():
            for name in value.__struct_fields__:
                yield from _texts(getattr(value, name))
