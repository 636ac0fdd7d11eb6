"""Messages to events: the sender is the subject's, and nothing gets in that no column could hold."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.artifacts import Kept, LeftFile
from bus.messages import (
    FromAgent,
    Heartbeat,
    InputsRequest,
    LogLine,
    Register,
    Report,
    TaskUsage,
    UsageReport,
)
from bus.results import Point, Progress, Told
from bus.subjects import NodeSubject, NodeVerb
from bus.values import (
    AttemptRef,
    Ended,
    GpuInfo,
    GpuUsage,
    InterfaceInfo,
    NodeName,
    Outcome,
    Resources,
    Returned,
    Started,
    Usage,
)
from coordinator.bounds import TEXT_MAX, OutOfBounds, check
from coordinator.core.events import AgentBeat, AgentRegistered, TasksReported, UsageSeen
from coordinator.ingest import WrongSender, check_sender, to_event
from tests.unit.coordinator.fake_agent import INVENTORY

N1 = NodeName("n1")
REF = AttemptRef(1, 0, 1)
REGISTER = Register(
    node="n1",
    incarnation="i",
    boot_id="b",
    version="1",
    capacity=Resources(2000, 4096, 1, 10, 100),
    inventory=msgspec.structs.replace(
        INVENTORY,
        gpus=(GpuInfo(uuid="g", model="m", mem_mib=1),),
        interfaces=(InterfaceInfo(name="eth0", mac="00:00:00:00:00:00", speed_mbps=1000),),
    ),
    labels={"zone": "a"},
    live=(REF,),
)
USAGE = Usage(cpu_millis=1.0, mem_mib=2.0)
FILE = LeftFile(name="f", attempt=REF, sha256="a" * 64, size=5, media_type="text/plain")
MESSAGES: dict[NodeVerb, FromAgent] = {
    NodeVerb.REGISTER: REGISTER,
    NodeVerb.HEARTBEAT: Heartbeat(node="n1", incarnation="i", sequence=4, load=0.5, live=(REF,)),
    NodeVerb.USAGE: UsageReport(
        node="n1", sampled_at=2e9, usage=USAGE, load=0.1, tasks=(TaskUsage(attempt=REF, usage=USAGE),)
    ),
    NodeVerb.REPORT: Report(node="n1", sequence=2, events=(Started(attempt=REF, started_at=1.0, pid=3),)),
    NodeVerb.INPUTS: InputsRequest(node="n1", attempt=REF),
    NodeVerb.KEPT: Kept(node="n1", files=(FILE, LeftFile(name="a\nb", code="E_NAME", message="no"))),
    NodeVerb.PROGRESS: Progress(
        node="n1",
        told=(Told(attempt=REF, start=0, end=9, progress=100.0, points=(Point("loss", 1e300, 2e9, 1),)),),
    ),
}


def event_of(message: Any) -> Any:
    return to_event(message, sender=N1, node_id=UUID(int=9), reply=5)


def test_each_message_becomes_its_event() -> None:
    beat = event_of(MESSAGES[NodeVerb.HEARTBEAT])
    assert isinstance(beat, AgentBeat) and (beat.node, beat.live, beat.reply) == ("n1", (REF,), 5)
    usage = event_of(MESSAGES[NodeVerb.USAGE])
    assert isinstance(usage, UsageSeen) and usage.tasks == ((REF, USAGE),)
    report = event_of(MESSAGES[NodeVerb.REPORT])
    assert isinstance(report, TasksReported) and (report.sequence, len(report.events)) == (2, 1)
    registered = event_of(REGISTER)
    assert isinstance(registered, AgentRegistered)
    assert (registered.node_id, registered.capacity, registered.live) == (
        UUID(int=9),
        REGISTER.capacity,
        (REF,),
    )


@pytest.mark.parametrize("said", MESSAGES)
@pytest.mark.parametrize("verb", MESSAGES)
def test_a_subject_takes_only_its_own_message(verb: NodeVerb, said: NodeVerb) -> None:
    sender = NodeSubject(N1, verb)
    if verb is said:
        check_sender(MESSAGES[said], sender)
    else:
        with pytest.raises(WrongSender, match=f"sent as {verb}"):
            check_sender(MESSAGES[said], sender)


@pytest.mark.parametrize("verb", MESSAGES)
def test_nobody_speaks_for_another_node(verb: NodeVerb) -> None:
    with pytest.raises(WrongSender, match="n2"):
        check_sender(MESSAGES[verb], NodeSubject(NodeName("n2"), verb))


@pytest.mark.parametrize("verb", MESSAGES)
def test_what_agents_really_send_is_within_bounds(verb: NodeVerb) -> None:
    check(MESSAGES[verb])


def ended(**fields: Any) -> Report:
    event = Ended(attempt=REF, outcome=Outcome.EXITED, ended_at=1.0, **fields)
    return Report(node="n1", sequence=1, events=(Returned(attempt=REF), event))


def kept(**changes: Any) -> Kept:
    return Kept(node="n1", files=(msgspec.structs.replace(FILE, **changes),))


def told(**fields: Any) -> Progress:
    return Progress(node="n1", told=(Told(attempt=REF, **({"start": 0, "end": 9} | fields)),))


def registered(**changes: Any) -> Register:
    return msgspec.structs.replace(REGISTER, **changes)


def found(**changes: Any) -> Register:
    return registered(inventory=msgspec.structs.replace(REGISTER.inventory, **changes))


def of_gpus(*gpus: GpuUsage) -> UsageReport:
    return UsageReport(node="n1", sampled_at=2e9, usage=USAGE, load=0.0, gpus=gpus)


def of_log(*lines: LogLine) -> UsageReport:
    return UsageReport(node="n1", sampled_at=2e9, usage=USAGE, load=0.0, log=lines)


@pytest.mark.parametrize(
    ("message", "what"),
    [
        (ended(exit_code=-1), "exit_code"),
        (ended(exit_code=256), "exit_code"),
        (ended(signal=0), "signal"),
        (ended(signal=65), "signal"),
        (ended(message="x" * 10_000), "length of message"),
        (ended(output=b" " * 600_000), "length of output"),
        (Heartbeat(node="n1", incarnation="i", sequence=1, load=1e300), "load"),
        (UsageReport(node="n1", sampled_at=2e9, usage=USAGE, load=-1e300), "load"),
        (
            UsageReport(node="n1", sampled_at=2e9, usage=Usage(cpu_millis=1e99, mem_mib=0), load=0),
            "cpu_millis",
        ),
        (UsageReport(node="n1", sampled_at=0.0, usage=USAGE, load=0), "sampled_at"),
        (of_gpus(GpuUsage(uuid="", utilisation=0.0, mem_mib=0.0)), "GPU's UUID"),
        (of_gpus(GpuUsage(uuid="x" * 2_000, utilisation=0.0, mem_mib=0.0)), "GPU's UUID"),
        (of_gpus(GpuUsage(uuid="G", utilisation=1e99, mem_mib=0.0)), "utilisation"),
        (of_gpus(GpuUsage(uuid="G", utilisation=0.5, mem_mib=0.0, power_w=float("-inf"))), "power_w"),
        (of_gpus(*[GpuUsage(uuid="G", utilisation=0.5, mem_mib=0.0)] * 300), "number of GPUs"),
        (of_log(*[LogLine(severity="error", text="x")] * 300), "number of lines"),
        (of_log(LogLine(severity="error", text="x" * 2_000)), "length of a line"),
        (of_log(LogLine(severity="error", text="x", age_s=-1.0)), "age_s"),
        (InputsRequest(node="n1", attempt=REF, after=2**40), "after"),
        (kept(name="../x"), "E_PATH"),
        (kept(name="a\nb"), "E_NAME"),
        (kept(sha256="x"), "E_VALUE"),
        (kept(media_type="text/html; charset=x"), "E_VALUE"),
        (kept(size=-1), "size"),
        (kept(upload="x" * (TEXT_MAX + 1)), "length of a text"),
        (told(end=-1), "end"),
        (told(start=5, end=4), "end"),
        (told(start=-1, end=4), "start"),
        (told(progress=100.1), "progress"),
        (told(points=(Point("loss", 1.0, 2e9),) * 1001), "number of points"),
        (told(points=(Point("", 1.0, 2e9),)), "metric's name"),
        (told(points=(Point("x" * 51, 1.0, 2e9),)), "metric's name"),
        (told(points=(Point("loss", 1.0, 0.0),)), "at"),
        (told(points=(Point("loss", 1.0, 2e9, 2**60),)), "step"),
        (told(message="x" * (TEXT_MAX + 1)), "length of a text"),
        (told(faults=-1), "faults"),
        (registered(protocol=2), "newer than its coordinator"),
        (registered(capacity=Resources(10**12)), "cpu_millis"),
        (registered(labels={f"k{number}": "" for number in range(65)}), "number of labels"),
        (registered(capacity=Resources(-1)), "cpu_millis"),
        (registered(capacity=Resources(2**60)), "cpu_millis"),
        (registered(capacity=Resources(gpus=10**6)), "gpus"),
        (registered(labels={"x" * (TEXT_MAX + 1): ""}), "length of a text"),
        (registered(tools=("x" * (TEXT_MAX + 1),)), "length of a text"),
        (found(cpu_cores=-1), "cpu_cores"),
        (found(hostname="x" * (TEXT_MAX + 1)), "length of a text"),
        (found(gpus=(GpuInfo(uuid="u", model="m", mem_mib=-1),)), "mem_mib"),
        (found(interfaces=(InterfaceInfo(name="e", mac="", speed_mbps=2**31),)), "speed_mbps"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_no_column_holds_is_refused_with_its_name(message: FromAgent, what: str) -> None:
    with pytest.raises(OutOfBounds, match=what):
        check(message)


def test_a_usual_end_is_within_bounds() -> None:
    check(ended(exit_code=255, signal=64, message="x", output=b"{}"))


@settings(derandomize=True)
@given(st.integers(-(2**63), 2**63 - 1))
def test_bounds_never_fail_in_another_way(value: int) -> None:
    for message in (ended(exit_code=value), ended(signal=value), registered(capacity=Resources(value))):
        try:
            check(message)
        except OutOfBounds as error:
            assert str(value) in str(error)
