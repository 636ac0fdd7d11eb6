"""What a job may say of its checkpoints becomes its tasks' settings; every fault names its place."""

from __future__ import annotations

from typing import Any

import pytest

from bus.checkpointing import Checkpointing
from bus.spec import CheckpointSpec, JobSpec
from bus.values import UserName
from coordinator.core.checkpoint_specs import checkpointing_of
from coordinator.core.effects import Fault
from coordinator.core.intake import Derived, derive
from tests.unit.coordinator.conftest import World


def asked(**fields: Any) -> tuple[Checkpointing | None, list[Fault]]:
    faults: list[Fault] = []
    return checkpointing_of(CheckpointSpec(**fields), faults), faults


def test_saying_nothing_keeps_three_with_a_copy_each() -> None:
    assert checkpointing_of(None, []) is None
    assert asked() == (Checkpointing(folder="", keep=3, replicas=1, interval_s=None), [])


def test_all_of_it() -> None:
    found, faults = asked(dir="lightning/version_0", keep=1, replicas=0, interval="10m", keep_best="a:b:max")
    assert faults == []
    assert found == Checkpointing(
        folder="lightning/version_0", keep=1, replicas=0, interval_s=600.0, keep_best="a:b:max"
    )


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"keep": 0}, "E_RANGE", "/checkpoint/keep"),
        ({"keep": 1001}, "E_RANGE", "/checkpoint/keep"),
        ({"keep_best": "loss"}, "E_VALUE", "/checkpoint/keep_best"),
        ({"keep_best": ":min"}, "E_VALUE", "/checkpoint/keep_best"),
        ({"keep_best": "loss:least"}, "E_VALUE", "/checkpoint/keep_best"),
        ({"keep_best": "a\nb:min"}, "E_VALUE", "/checkpoint/keep_best"),
        ({"keep_best": "a" * 201 + ":min"}, "E_VALUE", "/checkpoint/keep_best"),
        ({"replicas": -1}, "E_RANGE", "/checkpoint/replicas"),
        ({"replicas": 11}, "E_RANGE", "/checkpoint/replicas"),
        ({"interval": 0}, "E_RANGE", "/checkpoint/interval"),
        ({"interval": "8d"}, "E_RANGE", "/checkpoint/interval"),
        ({"interval": "soon"}, "E_DURATION", "/checkpoint/interval"),
        ({"dir": "/abs"}, "E_PATH", "/checkpoint/dir"),
        ({"dir": "a/../../b"}, "E_PATH", "/checkpoint/dir"),
        ({"dir": "./a"}, "E_PATH", "/checkpoint/dir"),
        ({"dir": "a//b"}, "E_PATH", "/checkpoint/dir"),
        ({"dir": "a\nb"}, "E_PATH", "/checkpoint/dir"),
        ({"dir": "a" * 201}, "E_PATH", "/checkpoint/dir"),
    ],
)
def test_faults(fields: dict[str, Any], code: str, field: str) -> None:
    _, faults = asked(**fields)
    assert [(fault.code, fault.field) for fault in faults] == [(code, field)]


def test_every_task_of_the_job_has_it(world: World) -> None:
    job = world.submit(command=["true"], array="0-1", checkpoint=CheckpointSpec(keep=2))
    settings = world.cluster.jobs[job].groups[0].settings
    assert settings.checkpoint == Checkpointing(keep=2)


@pytest.mark.parametrize("replicas", [-1, 11])
def test_artifacts_have_a_few_copies_at_most(replicas: int) -> None:
    (fault,) = derive(JobSpec(command=["true"], replicas=replicas), UserName("alice"))
    assert (fault.code, fault.field) == ("E_RANGE", "/replicas")
    assert isinstance(derive(JobSpec(command=["true"], replicas=10), UserName("alice")), Derived)
