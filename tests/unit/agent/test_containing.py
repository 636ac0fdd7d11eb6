"""What an agent tells of its container runtime, and the probe that finds it out: with made-up runtimes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent.config import AUTO
from agent.containing import Looked, RuntimeRecord, capabilities_of, in_words, look
from agent.guard.probing import find
from agent.guard.runtimes import KINDS, Runtime
from bus.values import Capability

ABLE = Capability(level=1.0, verified=True)
PODMAN = RuntimeRecord("podman", "/p", (), {}, (), "host", False, "")


def test_what_was_shown_is_a_capability_and_what_failed_says_why() -> None:
    assert capabilities_of(Looked()) == {"no_network": ABLE}
    found = capabilities_of(Looked(faults={"podman": "no", "docker": "nor that"}, cut_off="EPERM"))
    assert found == {
        "no_network": Capability(level=0.0, fault="EPERM"),
        "container": Capability(level=0.0, fault="podman: no; docker: nor that"),
    }
    found = capabilities_of(Looked(runtime=PODMAN))
    assert found["container"] == ABLE and not found["container_gpus"].verified
    assert capabilities_of(Looked(runtime=PODMAN), simulated_gpus=True)["container_gpus"] == ABLE
    with_gpus = msgspec.structs.replace(PODMAN, gpus="cdi")
    assert capabilities_of(Looked(runtime=with_gpus))["container_gpus"] == ABLE


def test_in_words() -> None:
    assert in_words(Looked()) == "none"
    assert in_words(Looked(faults={"podman": "no"})) == "podman cannot: no"
    assert in_words(Looked(runtime=PODMAN)) == "podman (the machine's network, no limits)"
    full = msgspec.structs.replace(PODMAN, default_network="", limits=True, gpus="cdi")
    assert in_words(Looked(runtime=full)) == "podman (networks of their own, limits, GPUs)"


def fake(folder: Path, name: str, script: str) -> None:
    """A runtime that answers as `script` says; it writes down what it was asked."""
    path = folder / name
    path.write_text(f'#!/bin/sh\necho "$@" >> {folder}/{name}.asked\n{script}\n')
    path.chmod(0o755)


def found_by(folder: Path, kinds: tuple[str, ...] = KINDS) -> tuple[Runtime | None, dict[str, str]]:
    search = f"{folder}:{os.environ['PATH']}" if not kinds else f"{folder}:/usr/bin:/bin"
    found = find(str(folder / "kept"), kinds=kinds, search=search, own={"HOME": str(folder)})
    return found.runtime, found.faults


def test_the_first_way_that_works_is_kept_with_what_else_works(tmp_path: Path) -> None:
    """Its own crun cannot, runc only with limits said; no network of its own, no init; limits hold."""
    fake(tmp_path, "crun", "")
    fake(tmp_path, "runc", "")
    fake(
        tmp_path,
        "podman",
        'case "$*" in\n'
        "*import*) exit 0;;\n"
        "*--init*) exit 125;;\n"
        '*"--runtime runc run"*--ulimit*--network*) exit 0;;\n'
        "*) echo first; echo 'Error: no crun' >&2; exit 126;;\nesac",
    )
    runtime, faults = found_by(tmp_path, ("podman",))
    assert not faults and runtime is not None
    assert runtime.options[-2:] == ("--runtime", "runc") and runtime.run_options[0] == "--ulimit"
    assert (runtime.default_network, runtime.limits, runtime.gpus) == ("host", True, "")
    asked = (tmp_path / "podman.asked").read_text()
    assert "--root" not in asked, "an account of its own keeps its images where it always does"


def test_limits_that_it_only_complains_about_are_none(tmp_path: Path) -> None:
    fake(tmp_path, "podman", 'case "$*" in *--memory*) echo "limits are ignored" >&2;; esac; exit 0')
    runtime, _ = found_by(tmp_path, ("podman",))
    assert runtime is not None and not runtime.limits
    assert runtime.default_network == "" and runtime.run_options == ("--init",)


def test_a_runtime_that_cannot_leaves_its_words_and_the_next_has_its_turn(tmp_path: Path) -> None:
    fake(tmp_path, "podman", "echo 'Error: no user namespaces' >&2; exit 125")
    fake(tmp_path, "docker", 'case "$1" in info) echo \'{"nvidia":{}}\';; esac; exit 0')
    runtime, faults = found_by(tmp_path)
    assert runtime is not None and runtime.kind == "docker" and runtime.gpus == "docker"
    assert faults == {"podman": "Error: no user namespaces"}
    runtime, faults = found_by(tmp_path, ("podman",))
    assert runtime is None and faults == {"podman": "Error: no user namespaces"}


def test_apptainer_is_tried_with_a_folder_as_its_image(tmp_path: Path) -> None:
    fake(tmp_path, "apptainer", "exit 0")
    runtime, faults = found_by(tmp_path, ("apptainer",))
    assert runtime is not None and runtime.kind == "apptainer" and not faults
    asked = (tmp_path / "apptainer.asked").read_text().splitlines()[0]
    assert asked.startswith("exec --containall --no-home --bind /usr:/usr:ro")
    assert asked.endswith(f"{tmp_path}/kept/empty /usr/bin/true")


async def test_what_goes_wrong_while_probing_is_told_as_a_fault(
    shared_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    found = await look(shared_folder / "tasks", choice=AUTO)
    assert found.runtime is None and not found.faults, "no runtime at all is no fault"
    fake(shared_folder, "docker", "exit 0")
    monkeypatch.setenv("PATH", f"{shared_folder}:/usr/bin:/bin")
    no_folder = shared_folder / "docker"
    found = await look(no_folder, choice="docker")
    assert found.runtime is None and "Error" in found.faults["docker"]


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """That the tasks' account can look into."""
    with tempfile.TemporaryDirectory(prefix="corral-") as folder:
        path = Path(folder)
        path.chmod(0o755)
        yield path
