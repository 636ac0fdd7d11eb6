"""Command lines of container runtimes, word by word, and what must hold of every one of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.guard import runtimes
from agent.guard.runtimes import Box, Runtime

PODMAN = Runtime("podman", "/usr/bin/podman", ("--root", "/s"), {"PATH": "/bin"}, ("--init",))
DOCKER = Runtime("docker", "/usr/bin/docker", (), {"PATH": "/bin"})
APPTAINER = Runtime("apptainer", "/usr/bin/apptainer", (), {"PATH": "/bin"})

BOX = Box(
    name="corral-n1-7-3-2-0000002a",
    labels={"corral.guard": "/g", "corral.task": "7.3", "corral.attempt": "2"},
    image="sha256:1",
    argv=("sh", "-c", "echo hi"),
    workdir="/t/7/3.2.work",
    env_file="/t/containers/7.3.2.env",
    names=("LINES",),
    mounts=(("/t/7", "/t/7", False), ("/data", "/in", True)),
    network="default",
    read_only=False,
    account=(994, 993),
    cpu_millis=1500,
    mem_mib=64,
    gpus=(),
    stdin=False,
    pty=False,
    pid_file="/t/containers/7.3.2.pid",
    monitor_file="/t/containers/7.3.2.monitor",
)
LABELS = "--label corral.guard=/g --label corral.task=7.3 --label corral.attempt=2"


def line(runtime: Runtime, box: Box = BOX) -> str:
    return " ".join(runtimes.run_argv(runtime, box))


def test_podman() -> None:
    assert line(PODMAN) == (
        f"/usr/bin/podman --root /s run --rm --name corral-n1-7-3-2-0000002a {LABELS} --pull never"
        " --log-driver none --user 0:0 --security-opt no-new-privileges --cap-drop all"
        " --workdir /t/7/3.2.work --env-file /t/containers/7.3.2.env --env LINES"
        " --volume /t/7:/t/7 --volume /data:/in:ro --init"
        " --pidfile /t/containers/7.3.2.pid --conmon-pidfile /t/containers/7.3.2.monitor"
        ' --entrypoint ["sh"] sha256:1 -c echo hi'
    )


def test_docker() -> None:
    assert line(DOCKER) == (
        f"/usr/bin/docker run --rm --name corral-n1-7-3-2-0000002a {LABELS} --pull never"
        " --log-driver none --user 994:993 --security-opt no-new-privileges --cap-drop all"
        " --workdir /t/7/3.2.work --env-file /t/containers/7.3.2.env --env LINES"
        " --volume /t/7:/t/7 --volume /data:/in:ro --cidfile /t/containers/7.3.2.pid"
        " --entrypoint sh sha256:1 -c echo hi"
    )


def test_apptainer() -> None:
    assert line(APPTAINER) == (
        "/usr/bin/apptainer exec --containall --no-home --pwd /t/7/3.2.work"
        " --bind /t/7:/t/7 --bind /data:/in:ro --writable-tmpfs sha256:1 sh -c echo hi"
    )


def test_what_a_task_asks_for_is_an_option() -> None:
    asked = BOX._replace(network="none", read_only=True, stdin=True, pty=True, gpus=("GPU-a", "GPU-b"))
    held = {"limits": True, "gpus": "x"}
    podman = line(PODMAN._replace(**held), asked)
    for words in (
        "--network none", "--read-only", "--interactive --tty", "--cpus 1.5 --memory 64m --pids-limit 4096",
        "--device nvidia.com/gpu=GPU-a --device nvidia.com/gpu=GPU-b",
    ):  # fmt: skip
        assert f" {words} " in podman
    assert ' --gpus "device=GPU-a,GPU-b" --read-only --interactive --tty ' in line(DOCKER, asked)
    apptainer = line(APPTAINER._replace(**held), asked)
    assert " --cpus 1.5 --memory 64M --pids-limit 4096 --nv sha256:1 " in apptainer
    assert "--writable-tmpfs" not in apptainer


@pytest.mark.parametrize(
    ("runtime", "policy", "words"),
    [
        (PODMAN, "default", ""),
        (PODMAN._replace(default_network="host"), "default", " --network host "),
        (PODMAN._replace(default_network="host"), "none", " --network none "),
        (DOCKER, "host", " --network host "),
    ],
)
def test_the_network_is_as_the_policy_says(runtime: Runtime, policy: str, words: str) -> None:
    found = line(runtime, BOX._replace(network=policy))
    assert words in found if words else "--network" not in found


@given(
    st.lists(st.text(min_size=1, max_size=9), min_size=1, max_size=4),
    st.sampled_from([PODMAN, DOCKER, APPTAINER]),
)
def test_no_word_of_a_command_is_an_option_of_the_runtime(words: list[str], runtime: Runtime) -> None:
    argv = runtimes.run_argv(runtime, BOX._replace(argv=tuple(words)))
    place = argv.index("sha256:1")
    tail = words if runtime.kind == "apptainer" else words[1:]
    assert list(argv[place + 1 :]) == tail
    if runtime.kind != "apptainer":
        assert argv[place - 2] == "--entrypoint"


def test_an_image_is_looked_for_before_it_is_fetched() -> None:
    base = ("/usr/bin/podman", "--root", "/s")
    here = (*base, "image", "inspect", "--format", "{{.Id}}", "a:1")
    fetch = (*base, "pull", "--quiet", "a:1")
    for pull, steps in {"missing": (here, fetch), "always": (fetch,), "never": (here,)}.items():
        assert runtimes.image_steps(PODMAN, "a:1", pull=pull, cache="/c") == steps
    archive = "oci-archive:/a.tar"
    fetch = (*base, "pull", "--quiet", archive)
    assert runtimes.image_steps(PODMAN, archive, pull="missing", cache="/c") == (fetch,)
    assert runtimes.image_steps(PODMAN, archive, pull="never", cache="/c") == ()
    assert runtimes.image_steps(DOCKER, archive, pull="missing", cache="/c") == ()


def test_apptainer_keeps_images_as_files() -> None:
    here, fetch = runtimes.image_steps(APPTAINER, "a:1", pull="missing", cache="/c")
    file = runtimes.image_file("a:1", cache="/c")
    assert here == ("/usr/bin/apptainer", "inspect", file)
    assert fetch == ("/usr/bin/apptainer", "pull", "--force", file, "docker://a:1")
    archive = "oci-archive:/a.tar"
    assert runtimes.image_steps(APPTAINER, archive, pull="always", cache="/c")[0][-1] == archive
    assert runtimes.known_image(APPTAINER, "a:1", "anything", cache="/c") == file
    assert runtimes.known_image(PODMAN, "a:1", "Trying\nabc123\n", cache="/c") == "abc123"
    assert runtimes.known_image(PODMAN, "a:1", "", cache="/c") == "a:1"


def test_what_ends_freezes_and_finds_containers() -> None:
    assert runtimes.remove_argv(PODMAN, "x") == (
        "/usr/bin/podman", "--root", "/s", "rm", "--force", "--time", "0", "--ignore", "x",
    )  # fmt: skip
    assert runtimes.remove_argv(DOCKER, "x") == ("/usr/bin/docker", "rm", "--force", "x")
    assert runtimes.list_argv(DOCKER, "/g") == (
        "/usr/bin/docker", "ps", "--all", "--quiet", "--filter", "label=corral.guard=/g",
    )  # fmt: skip
    assert runtimes.freeze_argv(DOCKER, "x", frozen=True) == ("/usr/bin/docker", "pause", "x")
    assert runtimes.freeze_argv(DOCKER, "x", frozen=False) == ("/usr/bin/docker", "unpause", "x")
    assert runtimes.freeze_argv(PODMAN, "x", frozen=True) is None
    for ask in (runtimes.remove_argv, runtimes.list_argv):
        assert ask(APPTAINER, "x") is None


@pytest.mark.parametrize(
    ("said", "nowhere"),
    [
        ("Error: initializing source docker://r/x:1: reading manifest 1 in r/x: manifest unknown", True),
        ("manifest for x:1 not found: manifest unknown: manifest unknown", True),
        ('FATAL: ... {"code":"NAME_UNKNOWN","message":"repository name not known to registry"}', True),
        ("Error: x: image not known", False),
        ("reading manifest 1 in docker.io/x: requested access to the resource is denied", False),
        ("pinging container registry r: dial tcp 127.0.0.1:1: connect: connection refused", False),
        ("2 errors occurred:\n * a: manifest unknown\n * b: connect: connection refused", False),
        ("writing blob: no space left on device", False),
        ("", False),
    ],
)
def test_only_a_registry_that_answered_says_that_an_image_is_nowhere(said: str, nowhere: bool) -> None:
    assert runtimes.is_nowhere(said) is nowhere
