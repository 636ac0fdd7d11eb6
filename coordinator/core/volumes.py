"""Volumes as tasks ask for them, and which nodes have them. Pure.

A node that holds a volume, or a replica, has the feature `volume:NAME`; the one on which tasks write to it
has `writes:NAME` as well. Both are the coordinator's word (`VolumesPlaced`). Of a ReadWriteOnce volume the
task that writes has a claim on its node: another one waits until it has ended.
"""

from __future__ import annotations

from collections.abc import Iterable

from bus.mounts import VOLUME_NAME, AccessMode, Mount, Mounted, path_fault, reads, variable, writes
from bus.refusal import quote
from bus.spec import JobSpec, TaskSpec
from coordinator.core.effects import Fault
from coordinator.core.events import VolumesPlaced
from coordinator.core.model import Cluster, Node

VOLUMES_MAX = 64
_EXPECTED = "NAME, NAME:PATH or NAME:PATH:ro"


def parse_volumes(words: Iterable[str], field: str, faults: list[Fault]) -> list[Mount]:
    """What `volumes` says, as far as it can be understood without knowing the volumes."""
    found: list[Mount] = []
    for position, word in enumerate(words):
        at = f"{field}/{position}"
        name, _, rest = word.partition(":")
        path, _, mode = rest.partition(":")
        if path in ("ro", "rw") and not mode:
            path, mode = "", path
        if VOLUME_NAME.fullmatch(name) is None or mode not in ("", "ro", "rw"):
            faults.append(Fault(code="E_VALUE", field=at, got=quote(word), expected=_EXPECTED))
            continue
        why = path_fault(path) if path else ""
        if why:
            expected = "an absolute path outside the system's folders"
            message = f"not a path to mount at: {why}"
            faults.append(Fault(code="E_PATH", message=message, field=at, got=quote(path), expected=expected))
            continue
        found.append(Mount(volume="", name=name, target=path, read_only=mode == "ro"))
    _check_apart(found, field, faults)
    return found


def _check_apart(found: list[Mount], field: str, faults: list[Fault]) -> None:
    if len(found) > VOLUMES_MAX:
        expected = f"at most {VOLUMES_MAX}"
        faults.append(Fault(code="E_TOO_MANY", message="too many volumes", field=field, expected=expected))
    for what, values in (
        ("variable", [variable(each.name) for each in found]),
        ("path", [each.target for each in found if each.target]),
    ):
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            message = f"two volumes with one {what}"
            faults.append(Fault(code="E_NAME_CLASH", message=message, field=field, got=quote(twice[0])))


def mounts_of(spec: JobSpec, task: TaskSpec, path: str, faults: list[Fault]) -> tuple[Mount, ...]:
    """The volumes of one entry, with what the coordinator wrote of them into the spec."""
    words, field = (spec.volumes, "/volumes") if task.volumes is None else (task.volumes, f"{path}/volumes")
    found = []
    for mount in parse_volumes(words, field, faults):
        known = spec.mounted.get(mount.name)
        if known is None:
            message = f"no volume {mount.name!r}"
            faults.append(Fault(code="E_NOT_FOUND", message=message, field=field, hint="corral volume ls"))
            continue
        if known.mode is AccessMode.READ_ONLY_MANY and not mount.read_only:
            message = f"volume {mount.name} is {known.mode}"
            hint = f"{mount.name}:{mount.target}:ro" if mount.target else f"{mount.name}:ro"
            faults.append(Fault(code="E_ACCESS_MODE", message=message, field=field, hint=hint))
            continue
        found.append(_mount(mount, known))
    return tuple(found)


def _mount(mount: Mount, known: Mounted) -> Mount:
    return Mount(
        volume=known.id,
        name=mount.name,
        target=mount.target or known.target or f"/volumes/{mount.name}",
        read_only=mount.read_only,
        exclusive=known.mode is AccessMode.READ_WRITE_ONCE and not mount.read_only,
    )


def features_of(mounts: Iterable[Mount]) -> tuple[str, ...]:
    """What a node must have for these."""
    return tuple([reads(each.name) if each.read_only else writes(each.name) for each in mounts])


def on_placed(cluster: Cluster, event: VolumesPlaced) -> None:
    """Which nodes have which volumes, all of them anew."""
    cluster.volumes = {name: frozenset(features) for name, features in event.features.items()}
    for node in cluster.nodes.values():
        place_volumes(cluster, node)
    cluster.dirty = True


def place_volumes(cluster: Cluster, node: Node) -> None:
    """What is known of the volumes of one node."""
    if node.volumes != cluster.volumes.get(node.name, frozenset()):
        node.volumes = cluster.volumes.get(node.name, frozenset())
        cluster.sizes.clear()
