"""The container and the network of an entry, checked: what a spec says of them, as its tasks have it."""

from __future__ import annotations

from collections.abc import Sequence

from bus.containers import (
    IMAGE_EXPECTED,
    MOUNT_EXPECTED,
    MOUNTS_MAX,
    Container,
    Mount,
    NetworkPolicy,
    is_image,
    parse_mount,
)
from bus.refusal import quote
from bus.spec import ContainerSpec, JobSpec, TaskSpec
from coordinator.core.effects import Fault

CONTAINER = "can:container"
CONTAINER_GPUS = "can:container_gpus"
NO_NETWORK = "can:no_network"
"""Words of `TaskSettings.features` that agents show by trying it; see `agent/guard/probing.py`."""


def container_of(spec: JobSpec, task: TaskSpec, path: str, faults: list[Fault]) -> Container | None:
    """What the entry at `path` runs in; None: directly on its node."""
    image = spec.image if task.image is None else task.image
    if task.tool is not None and task.image is None and spec.tasks is not None:
        image = None  # an entry that is a tool, among others that are commands
    if image is None:
        if spec.container is not None and all(each.image is None for each in spec.tasks or ()):
            hint = 'say in which image: "image": "python:3.11"'
            message = "container without image"
            faults.append(Fault(code="E_FIELD", message=message, field="/container", hint=hint))
        return None
    at = f"{path}/image" if task.image is not None else "/image"
    if not is_image(image):
        faults.append(Fault(code="E_IMAGE", field=at, got=quote(image), expected=IMAGE_EXPECTED))
        return None
    if task.tool is not None:
        faults.append(Fault(code="E_FIELD", message="tool and image exclude each other", field=at))
    asked = spec.container or ContainerSpec()
    return Container(
        image=image,
        mounts=_mounts(asked.mounts, faults),
        read_only=asked.read_only,
        pull=asked.pull,
    )


def network_of(
    spec: JobSpec, task: TaskSpec, path: str, *, container: Container | None, gang: bool, faults: list[Fault]
) -> NetworkPolicy:
    """The network of the entry's tasks. Ranks in containers have the node's: how else would they meet?"""
    policy = spec.network_policy if task.network_policy is None else task.network_policy
    field = f"{path}/network_policy" if task.network_policy is not None else "/network_policy"
    if policy is NetworkPolicy.NONE and gang:
        message = "the ranks of a gang meet over the network"
        faults.append(Fault(code="E_FIELD", message=message, field=field, got="none"))
    if policy is NetworkPolicy.NONE and task.tool is not None:
        message = "tools run within the guard, which has the node's network"
        faults.append(Fault(code="E_FIELD", message=message, field=field, got="none"))
    if policy is NetworkPolicy.DEFAULT and gang and container is not None:
        return NetworkPolicy.HOST
    return policy


def features_of(container: Container | None, network: NetworkPolicy, *, gpus: int) -> tuple[str, ...]:
    """What the node of such tasks must be able to; `gpus` in thousandths."""
    if container is not None:
        return (CONTAINER, CONTAINER_GPUS) if gpus else (CONTAINER,)
    return (NO_NETWORK,) if network is NetworkPolicy.NONE else ()


def _mounts(asked: Sequence[str], faults: list[Fault]) -> tuple[Mount, ...]:
    if len(asked) > MOUNTS_MAX:
        got, expected = f"{len(asked)} mounts", f"at most {MOUNTS_MAX}"
        faults.append(Fault(code="E_TOO_MANY", field="/container/mounts", got=got, expected=expected))
        return ()
    found: dict[str, Mount] = {}
    for position, text in enumerate(asked):
        field = f"/container/mounts/{position}"
        try:
            mount = parse_mount(text)
        except ValueError as error:
            fault = Fault(
                code="E_PATH", message=str(error), field=field, got=quote(text), expected=MOUNT_EXPECTED
            )
            faults.append(fault)
            continue
        if mount.inside in found:
            message = "two mounts at one place"
            faults.append(Fault(code="E_NAME_CLASH", message=message, field=field, got=quote(text)))
        found[mount.inside] = mount
    return tuple(found.values())
