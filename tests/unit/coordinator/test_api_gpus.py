"""`gpu.*` through the shell: what everybody sees, what operators do, and what an agent may claim."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from bus.errors import ApiError
from bus.gpus import GpuFault
from bus.messages import Heartbeat, HeartbeatReply
from bus.values import GpuInfo, Resources
from coordinator.bounds import OutOfBounds, check
from tests.unit.coordinator.fake_agent import INVENTORY, FakeAgent
from tests.unit.coordinator.shell import Shell, running_shell, until

GPUS = tuple([GpuInfo(uuid=f"GPU-{n}", model="H100", mem_mib=81_559, shareable=True) for n in range(3)])
FAULT = GpuFault(uuid="GPU-1", kind="xid", mark="xid 79 5", reason="XID 79: GPU has fallen off the bus")


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    async with running_shell() as running:
        yield running


async def machine(shell: Shell, name: str = "n1", **changes: Any) -> FakeAgent:
    fields = {
        "capacity": Resources(4000, 4096, 2),
        "inventory": msgspec.structs.replace(INVENTORY, gpus=GPUS),
    }
    return await shell.agent(name, **(fields | changes))


async def beat(agent: FakeAgent, *faults: GpuFault) -> Any:
    live = tuple(agent.assigned())
    return await agent.ask(
        Heartbeat(node=agent.name, incarnation="first", sequence=2, load=0.0, live=live, gpus=faults)
    )


def states(answer: Any) -> list[tuple[int | None, str]]:
    return [(each["index"], each["state"]) for each in answer["gpus"]]


async def test_what_gpus_there_are_and_who_has_them(shell: Shell) -> None:
    agent = await machine(shell)
    await shell.agent("bare")
    number = await shell.submit("alice", resources={"gpu": "0.5"})
    await until(lambda: agent.assigned())
    everything = await shell.ask("alice", "gpu.list")
    assert states(everything) == [(0, "shared"), (1, "free"), (2, "not offered")]
    assert (everything["total"], everything["quarantined"]) == (3, 0)
    assert everything["gpus"][0]["tasks"] == [f"{number}.0"]
    assert (await shell.ask("bob", "gpu.list", node="n1"))["gpus"][0]["tasks"] == [], "not bob's"
    assert (await shell.ask("olga", "gpu.list"))["gpus"][0]["tasks"] == [f"{number}.0"]
    assert (await shell.ask("alice", "gpu.list", node="bare"))["gpus"] == []
    assert (await shell.ask("alice", "gpu.list", node="n7"))["error"]["code"] == "E_NOT_FOUND"


async def test_a_fault_that_an_agent_tells_takes_the_gpu_out_until_it_is_released(shell: Shell) -> None:
    agent = await machine(shell)
    assert isinstance(await beat(agent, FAULT), HeartbeatReply)
    (gpu,) = (await shell.ask("alice", "gpu.list", quarantined=True))["gpus"]
    assert (gpu["index"], gpu["state"], gpu["kind"], gpu["by"]) == (1, "quarantined", "xid", "")
    assert gpu["reason"] == FAULT.reason and gpu["since"] is not None
    shown = await shell.ask("alice", "node.show", node="n1")
    assert [each["uuid"] for each in shown["quarantines"]] == ["GPU-1"]
    assert shown["capacity"][2] == 1
    assert (await shell.ask("alice", "gpu.release", node="n1", gpu="1"))["error"]["code"] == "E_FORBIDDEN"
    released = await shell.ask("olga", "gpu.release", node="n1", gpu="1", reason="driver loaded anew")
    assert (released["state"], released["index"]) == ("free", 1) and released["audit"]
    assert (await shell.ask("alice", "node.show", node="n1"))["quarantines"] == []


async def test_people_take_one_out_with_a_reason(shell: Shell) -> None:
    await machine(shell)
    taken = await shell.ask("olga", "gpu.quarantine", node="n1", gpu="GPU-0", reason=" a loud fan ")
    assert (taken["state"], taken["kind"], taken["reason"], taken["by"]) == (
        "quarantined", "manual", "a loud fan", "olga"
    )  # fmt: skip
    for fields, code in (
        ({"gpu": "7"}, "E_NOT_FOUND"),
        ({"gpu": "0", "node": "n7"}, "E_NOT_FOUND"),
        ({"gpu": "0", "reason": "x" * 501}, "E_TOO_LARGE"),
    ):
        refused = await shell.ask("olga", "gpu.quarantine", **({"node": "n1"} | fields))
        assert refused["error"]["code"] == code


async def test_what_lasts_is_not_released(shell: Shell) -> None:
    agent = await machine(shell)
    await beat(agent, msgspec.structs.replace(FAULT, kind="lost"))
    refused = (await shell.ask("olga", "gpu.release", node="n1", gpu="1"))["error"]
    assert (refused["code"], refused["field"]) == ("E_QUARANTINED", "/gpu")
    assert FAULT.reason in refused["message"]


async def test_a_gpu_that_is_not_found_any_more_is_shown_by_its_uuid_and_released_by_it(shell: Shell) -> None:
    agent = await machine(shell)
    await beat(agent, FAULT)
    await machine(shell, inventory=msgspec.structs.replace(INVENTORY, gpus=GPUS[:1]), incarnation="second")
    assert states(await shell.ask("alice", "gpu.list")) == [(0, "free"), (None, "quarantined")]
    gone = await shell.ask("olga", "gpu.release", node="n1", gpu="GPU-1")
    assert (gone["index"], gone["state"]) == (None, "not offered")
    assert states(await shell.ask("alice", "gpu.list")) == [(0, "free")]


@pytest.mark.parametrize(
    "faults",
    [
        (msgspec.structs.replace(FAULT, kind="No Word"),),
        (msgspec.structs.replace(FAULT, kind=""),),
        (msgspec.structs.replace(FAULT, reason="x" * 2000),),
        (msgspec.structs.replace(FAULT, mark="x" * 2000),),
        (msgspec.structs.replace(FAULT, uuid="x" * 2000),),
        (FAULT,) * 300,
    ],
)
async def test_what_no_agent_in_its_right_mind_tells_of_gpus_is_refused(
    shell: Shell, faults: tuple[GpuFault, ...]
) -> None:
    with pytest.raises(OutOfBounds):
        check(Heartbeat(node="n1", incarnation="i", sequence=1, load=0.0, gpus=faults))
    agent = await machine(shell)
    with pytest.raises(ApiError):
        await beat(agent, *faults)
    assert (await shell.ask("alice", "gpu.list"))["quarantined"] == 0
