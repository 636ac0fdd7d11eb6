"""What a node can: capabilities with the reason why one fails, and which of its runtimes works."""

from __future__ import annotations

import pytest

from bus.registry import Worker
from bus.values import Inventory
from tui.view.abilities import ability_lines
from tui.view.lines import Line

WORKER = Worker(
    id="n1", node="n1", types=["DataAgent"], status="active", version="0.2.0", load=0.0, running=0,
    capacity_cpu_millis=1_000, seen_s=1.0, roles=["analysis"],
    capabilities={"wordcount": 1.0, "container_gpus": 0.0, "plots": 0.5},
    faults={"container_gpus": "podman: no GPUs", "plots": "one is empty"},
)  # fmt: skip


def inventory(runtimes: dict[str, str], said: str = "") -> Inventory:
    return Inventory(
        hostname="n1", ip="", architecture="x", os_version="", kernel_version="", cpu_model="", cpu_cores=1,
        mem_mib=1, runtimes=runtimes, isolation={"containers": said} if said else {},
    )  # fmt: skip


def texts(lines: list[Line]) -> list[str]:
    return [f"{line.mark}{line.text}" for line in lines]


def test_what_fails_stands_first_with_the_reason() -> None:
    lines = ability_lines(WORKER, None)
    assert texts(lines)[-3:] == [
        "✖container_gpus  does not work: podman: no GPUs",
        "▲plots           50% of its tests passed: one is empty",
        "✔wordcount       works",
    ]
    assert [line.tone for line in lines[-3:]] == ["bad", "warn", "ok"]
    assert "roles      analysis" in texts(lines)


def test_what_nobody_told_is_said() -> None:
    assert texts(ability_lines(None, None)) == ["The coordinator knows no agent of it now."]
    bare = Worker(
        id="n1", node="n1", types=[], status="active", version="", load=0.0, running=0,
        capacity_cpu_millis=0, seen_s=0.0,
    )  # fmt: skip
    assert texts(ability_lines(bare, inventory({})))[-4:] == [
        "none told: it is an agent of an older release", "", "container runtimes", "none is installed",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        (
            "podman (networks of their own, limits)",
            [
                "✔podman 5  works: tasks with an image run in it (networks of their own, limits)",
                "○docker 27  is not asked: podman works",
            ],
        ),
        (
            "podman cannot: no user namespaces; docker cannot: permission denied",
            [
                "✖docker 27  does not work: permission denied",
                "✖podman 5  does not work: no user namespaces",
            ],
        ),
        ("podman cannot: x", ["○docker 27  was not tried", "✖podman 5  does not work: x"]),
        ("", ["○docker 27  was not tried", "○podman 5  was not tried"]),
        ("none", ["○docker 27  was not tried", "○podman 5  was not tried"]),
    ],
)
def test_which_runtime_works(said: str, lines: list[str]) -> None:
    assert texts(ability_lines(None, inventory({"podman": "5", "docker": "27"}, said)))[3:] == lines
