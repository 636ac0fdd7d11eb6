"""Containers and networks of a spec: what its tasks get, what is refused, and where such tasks may go."""

from __future__ import annotations

from typing import Any

import pytest

from bus.codec import from_fields
from bus.containers import Container, Mount, NetworkPolicy, PullPolicy
from bus.spec import JobSpec
from bus.values import Capability, TaskSettings, UserName
from coordinator.core.intake import Derived, derive
from coordinator.core.model import shape_of
from coordinator.core.scheduler.feasible import never_fits, obstacles
from coordinator.core.why import node_blockers
from tests.unit.coordinator.conftest import World
from tests.unit.coordinator.test_sharing_gpus import gpu, join

ALICE = UserName("alice")


def settings(**fields: Any) -> list[TaskSettings]:
    base = {} if "tasks" in fields or "tool" in fields else {"command": ["true"]}
    found = derive(from_fields(base | fields, JobSpec), ALICE)
    assert isinstance(found, Derived), found
    return [part.settings for part in found.parts]


def faults(**fields: Any) -> list[tuple[str, str]]:
    base = {} if "tasks" in fields or "tool" in fields else {"command": ["true"]}
    found = derive(from_fields(base | fields, JobSpec), ALICE)
    assert isinstance(found, tuple)
    return [(fault.code, fault.field) for fault in found]


def test_a_job_says_its_container_and_its_network() -> None:
    (found,) = settings(
        image="python:3.11",
        container={"mounts": ["/data:ro", "/s:/out"], "read_only": True, "pull": "always"},
        network_policy="none",
    )
    assert found.container == Container(
        image="python:3.11",
        mounts=(Mount("/data", "/data", True), Mount("/s", "/out")),
        read_only=True,
        pull=PullPolicy.ALWAYS,
    )
    assert found.network is NetworkPolicy.NONE
    assert found.features == ("can:container",)


def test_without_one_only_a_task_off_the_network_asks_for_anything() -> None:
    (plain,) = settings()
    assert (plain.container, plain.network, plain.features) == (None, NetworkPolicy.DEFAULT, ())
    (cut_off,) = settings(network_policy="none")
    assert cut_off.features == ("can:no_network",)
    (with_host,) = settings(network_policy="host")
    assert with_host.features == ()


def test_gpus_in_containers_are_an_ability_of_their_own() -> None:
    (found,) = settings(image="a", resources={"gpu": 0.5})
    assert found.features == ("can:container", "can:container_gpus")


def test_entries_have_their_own_and_tools_have_none() -> None:
    one, two, three = settings(
        image="a",
        tasks=[
            {"command": ["x"]},
            {"command": ["x"], "image": "b", "network_policy": "host"},
            {"tool": "wordcount", "input": {"text": "a"}},
        ],
    )
    assert one.container == Container(image="a") and one.network is NetworkPolicy.DEFAULT
    assert two.container == Container(image="b") and two.network is NetworkPolicy.HOST
    assert three.container is None


def test_ranks_in_containers_meet_over_the_nodes_network() -> None:
    (found,) = settings(image="a", gang={"size": 2})
    assert found.network is NetworkPolicy.HOST
    (plain,) = settings(gang={"size": 2})
    assert plain.network is NetworkPolicy.DEFAULT


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"image": "x; rm"}, [("E_IMAGE", "/image")]),
        ({"tasks": [{"command": ["x"], "image": "-x"}]}, [("E_IMAGE", "/tasks/0/image")]),
        ({"container": {"read_only": True}}, [("E_FIELD", "/container")]),
        ({"tool": "wordcount", "input": {"text": "a"}, "image": "a"}, [("E_FIELD", "/image")]),
        (
            {"tool": "wordcount", "input": {"text": "a"}, "network_policy": "none"},
            [("E_FIELD", "/network_policy")],
        ),
        ({"gang": {"size": 2}, "network_policy": "none"}, [("E_FIELD", "/network_policy")]),
        (
            {"tasks": [{"command": ["x"], "gang": {"size": 2}, "network_policy": "none"}]},
            [("E_FIELD", "/tasks/0/network_policy")],
        ),
        ({"image": "a", "container": {"mounts": ["x"]}}, [("E_PATH", "/container/mounts/0")]),
        ({"image": "a", "container": {"mounts": ["/x", "/y:/x"]}}, [("E_NAME_CLASH", "/container/mounts/1")]),
        ({"image": "a", "container": {"mounts": ["/x"] * 33}}, [("E_TOO_MANY", "/container/mounts")]),
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert faults(**fields) == expected


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"image": "a"}, "can:container", ("run containers", "install podman")),
        ({"network_policy": "none"}, "can:no_network", ("keep tasks off the network", "user namespaces")),
    ],
)
def test_such_a_task_waits_for_a_node_that_can(
    world: World, fields: dict[str, Any], code: str, words: tuple[str, str]
) -> None:
    """B67: accepted, with a reason; and placed where an agent has shown it."""
    join(world, "n1", gpu("a"))
    (found,) = settings(**fields)
    shape = shape_of(found)
    node = world.cluster.nodes["n1"]
    assert obstacles(node, shape) == (code,)
    assert never_fits([node], shape) is None
    (blocker,) = node_blockers(world.cluster, shape, asker=ALICE)
    assert blocker.message == f"no agent can {words[0]}" and words[1] in blocker.remedy
    name = code.removeprefix("can:")
    node.capabilities = {name: Capability(level=0.0, fault="podman: no user namespaces")}
    (blocker,) = node_blockers(world.cluster, shape, asker=ALICE)
    assert blocker.message == f"no agent can {words[0]} (podman: no user namespaces)"
    node.capabilities = {name: Capability(level=1.0, verified=True)}
    assert obstacles(node, shape) == ()
