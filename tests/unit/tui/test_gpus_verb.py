"""`corral gpu`: what it asks for, what it shows, and which lines it refuses before anybody is asked."""

from __future__ import annotations

import json

import msgspec
import pytest
from msgspec import Struct

from bus.api import Node
from bus.gpus import Gpu, GpuQuery, Gpus, GpuSteer, Quarantine
from bus.values import GpuInfo, Inventory, NodeAdmin, NodeHealth, NodeKind, Resources
from tests.unit.tui.command import Corral
from tui.view.descriptions import describe_node
from tui.view.details import gpu_lines
from tui.view.facts import node_facts
from tui.view.gpus import gpu_line, gpu_row

HELD = Gpu(
    node="n1", index=1, uuid="GPU-1", model="H100", mem_mib=81_920, state="quarantined", taken_milli=500,
    kind="xid", reason="XID 79: it fell\x1b[31m off the bus", since=1_000.0, tasks=["7.0", "8.1"],
)  # fmt: skip
FREE = Gpu(node="n1", index=0, uuid="GPU-0", model="H100", mem_mib=81_920, state="free")
GONE = Gpu(
    node="n2", index=None, uuid="GPU-9", model="", mem_mib=0, state="quarantined", kind="manual", by="olga"
)  # fmt: skip


def answer(request: Struct) -> Struct | None:
    match request:
        case GpuQuery():
            return Gpus(gpus=[FREE, HELD, GONE], total=3, quarantined=2)
        case GpuSteer():
            return HELD
    return None


@pytest.fixture
def gpus(corral: Corral) -> Corral:
    corral.answer = answer
    return corral


def test_they_are_listed_with_what_is_wrong(gpus: Corral) -> None:
    _, said, _ = gpus("gpu", "ls", "n1", "--quarantined")
    assert gpus.asked == [GpuQuery(node="n1", quarantined=True)]
    for words in ("quarantined", "XID 79", "7.0 8.1", "0.5", "80 GiB", "manual (olga)"):
        assert words in said
    assert "\x1b" not in said
    assert gpus("gpu", "list", "-o", "name")[1].splitlines() == ["n1 0", "n1 1", "n2 GPU-9"]
    assert json.loads(gpus("gpu", "ls", "-o", "json")[1])["quarantined"] == 2
    assert len(gpus("gpu", "ls", "-o", "jsonl")[1].splitlines()) == 3


@pytest.mark.parametrize("verb", ["quarantine", "release"])
def test_one_is_taken_out_or_released(gpus: Corral, verb: str) -> None:
    code, said, _ = gpus("gpu", verb, "n1", "1", "--reason", "new fan")
    assert code == 0 and gpus.asked == [GpuSteer(node="n1", gpu="1", reason="new fan")]
    assert said.startswith("n1 1: quarantined (xid: XID 79")
    assert said.rstrip().endswith("tasks that have it: 7.0 8.1")


@pytest.mark.parametrize(
    "line", [("gpu", "release"), ("gpu", "release", "n1"), ("gpu", "ls", "n1", "0"), ("gpu", "mend")]
)
def test_lines_that_say_too_little_or_too_much_are_refused(gpus: Corral, line: tuple[str, ...]) -> None:
    code, _, said = gpus(*line)
    assert code == 2 and "E_USAGE" in said and not gpus.asked


def test_a_row_has_a_dash_where_there_is_nothing() -> None:
    assert gpu_row(FREE, now_s=1.0)[5:] == ("80 GiB", "–", "–", "–", "GPU-0")
    assert gpu_row(GONE, now_s=1.0)[:2] == ("n2", "–")
    assert gpu_line(FREE) == "n1 0: free"


def node(*held: Quarantine) -> Node:
    gpus = tuple([GpuInfo(uuid=f"GPU-{n}", model="H100", mem_mib=81_920) for n in range(2)])
    inventory = Inventory(
        hostname="h", ip="10.0.0.1", architecture="x86_64", os_version="Linux", kernel_version="6",
        cpu_model="any", cpu_cores=1, gpus=gpus,
    )  # fmt: skip
    return Node(
        name="n1", id="0198c2f4", health=NodeHealth.HEALTHY, admin=NodeAdmin.ACTIVE, kind=NodeKind.GPU,
        capacity=Resources(), allocated=Resources(), running=0, waiting=0, load=0.0, last_heartbeat_s=0.0,
        labels={}, version="1", inventory=inventory, quarantines=list(held),
    )  # fmt: skip


def test_a_node_says_which_of_its_gpus_is_out_and_how_it_comes_back() -> None:
    held = Quarantine(uuid="GPU-1", kind="ecc", reason="2 uncorrected errors", at=100.0)
    gone = Quarantine(uuid="GPU-7", kind="lost", reason="not there", at=40.0)
    lines = gpu_lines(node(held, gone), now_s=160.0)
    said = [line.text.strip() for line in lines]
    assert [line.mark for line in lines] == ["●", "✖", "", "", "✖", ""]
    assert said[2:4] == [
        "quarantined 1m ago: ecc: 2 uncorrected errors", "corral gpu release n1 1 gives it out again"
    ]  # fmt: skip
    assert said[4:] == ["GPU-7 is not found any more", "quarantined 2m ago: lost: not there"]
    assert any("quarantined: ecc: 2" in line.text for line in node_facts(node(held), now_s=160.0))
    described = "\n".join(describe_node(node(held)))
    assert "GPU-1  ecc: 2 uncorrected errors" in described and "quarantined  GPU-1" in described


def test_a_node_without_gpus_can_still_have_one_in_quarantine() -> None:
    held = Quarantine(uuid="GPU-7", kind="lost", reason="not there", at=40.0)
    bare = node(held)
    assert bare.inventory is not None
    bare.inventory = msgspec.structs.replace(bare.inventory, gpus=())
    assert gpu_lines(bare, now_s=50.0)[0].text == "GPU-7 is not found any more"
    bare.quarantines = []
    assert gpu_lines(bare, now_s=50.0)[0].text == "No GPU."
