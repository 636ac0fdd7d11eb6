"""What is said to podman, docker and apptainer: their command lines, as pure functions.

A container has the rights of the tasks' account and no more. podman maps its root to that account, docker is
told to run as it, apptainer does so by itself; capabilities are dropped and none can be gained. Variables
go by a file or by the environment, because everybody can read a command line.
"""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple

PODMAN, DOCKER, APPTAINER = "podman", "docker", "apptainer"
KINDS = (PODMAN, DOCKER, APPTAINER)
"""In the order in which a node's agent takes them."""

ARCHIVES = ("oci-archive:", "docker-archive:")
GUARD_LABEL = "corral.guard"
_CPU_MILLIS = 1000
_UNKNOWN = ("manifest unknown", "name unknown", "repository name not known to registry")
_UNSURE = (
    "denied", "unauthorized", "refused", "timeout", "timed out", "deadline", "no such host", "unreachable",
    "reset by peer", "no space left", "tls:", "x509", "eof",
)  # fmt: skip


class Runtime(NamedTuple):
    """A runtime as it was found to work under the tasks' account; see `agent.guard.probing`.

    `options` stand before its verb, `run_options` after `run`. `env`: all that the runtime itself gets.
    `default_network`: what stands for the policy `default`; "": its own. `limits`: whether it can hold a
    container to CPU, memory and processes. `gpus`: how it hands them over: cdi, docker, nv, or "" not at all.
    """

    kind: str
    path: str
    options: tuple[str, ...]
    env: dict[str, str]
    run_options: tuple[str, ...] = ()
    default_network: str = ""
    limits: bool = False
    gpus: str = ""


class Box(NamedTuple):
    """A container to be. `mounts`: (there, inside, whether read-only). `names`: variables that the runtime
    finds in its own environment, the others are in `env_file`. `image` is as the runtime knows it by now."""

    name: str
    labels: dict[str, str]
    image: str
    argv: tuple[str, ...]
    workdir: str
    env_file: str
    names: tuple[str, ...]
    mounts: tuple[tuple[str, str, bool], ...]
    network: str
    read_only: bool
    account: tuple[int, int]
    cpu_millis: int
    mem_mib: int
    gpus: tuple[str, ...]
    stdin: bool
    pty: bool
    pid_file: str
    monitor_file: str
    processes_max: int = 4096


def run_argv(runtime: Runtime, box: Box) -> tuple[str, ...]:
    """The command line that runs `box` and ends as its command does."""
    if runtime.kind == APPTAINER:
        return _apptainer_run(runtime, box)
    is_podman = runtime.kind == PODMAN
    argv = [runtime.path, *runtime.options, "run", "--rm", "--name", box.name]
    for label, value in box.labels.items():
        argv += ["--label", f"{label}={value}"]
    argv += ["--pull", "never", "--log-driver", "none"]
    argv += ["--user", "0:0" if is_podman else f"{box.account[0]}:{box.account[1]}"]
    argv += ["--security-opt", "no-new-privileges", "--cap-drop", "all"]
    network = runtime.default_network if box.network == "default" else box.network
    argv += ["--network", network] if network else []
    argv += ["--workdir", box.workdir, "--env-file", box.env_file]
    for name in box.names:
        argv += ["--env", name]
    for there, inside, read_only in box.mounts:
        argv += ["--volume", f"{there}:{inside}{':ro' if read_only else ''}"]
    argv += [*runtime.run_options]
    if runtime.limits:
        argv += ["--cpus", f"{box.cpu_millis / _CPU_MILLIS:g}", "--memory", f"{box.mem_mib}m"]
        argv += ["--pids-limit", str(box.processes_max)]
    if is_podman:
        argv += ["--pidfile", box.pid_file, "--conmon-pidfile", box.monitor_file]
        argv += [word for gpu in box.gpus for word in ("--device", f"nvidia.com/gpu={gpu}")]
    else:
        argv += ["--cidfile", box.pid_file]
        argv += ["--gpus", f'"device={",".join(box.gpus)}"'] if box.gpus else []
    argv += ["--read-only"] if box.read_only else []
    argv += ["--interactive"] if box.stdin or box.pty else []
    argv += ["--tty"] if box.pty else []
    # podman would take a word that begins with "[" for a list
    argv += ["--entrypoint", json.dumps([box.argv[0]]) if is_podman else box.argv[0]]
    return (*argv, box.image, *box.argv[1:])


def _apptainer_run(runtime: Runtime, box: Box) -> tuple[str, ...]:
    argv = [runtime.path, *runtime.options, "exec", "--containall", "--no-home", "--pwd", box.workdir]
    argv += [*runtime.run_options]
    for there, inside, read_only in box.mounts:
        argv += ["--bind", f"{there}:{inside}{':ro' if read_only else ''}"]
    if runtime.limits:
        argv += ["--cpus", f"{box.cpu_millis / _CPU_MILLIS:g}", "--memory", f"{box.mem_mib}M"]
        argv += ["--pids-limit", str(box.processes_max)]
    argv += ["--nv"] if box.gpus else []
    argv += [] if box.read_only else ["--writable-tmpfs"]
    return (*argv, box.image, *box.argv)


def image_steps(runtime: Runtime, image: str, *, pull: str, cache: str) -> tuple[tuple[str, ...], ...]:
    """Command lines of which the first that succeeds shows that the image is here, and which one it is.

    `pull`: missing, always or never. `cache` is the folder for images that a runtime keeps as files.
    """
    base = (runtime.path, *runtime.options)
    if runtime.kind == APPTAINER:
        file = image_file(image, cache=cache)
        source = image if image.startswith(ARCHIVES) else f"docker://{image}"
        here, fetch = (*base, "inspect", file), (*base, "pull", "--force", file, source)
    else:
        here = (*base, "image", "inspect", "--format", "{{.Id}}", image)
        fetch = (*base, "pull", "--quiet", image)
    if image.startswith(ARCHIVES) and runtime.kind != APPTAINER:
        return () if pull == "never" or runtime.kind == DOCKER else (fetch,)
    return {"missing": (here, fetch), "always": (fetch,), "never": (here,)}[pull]


def is_nowhere(said: str) -> bool:
    """Whether what a runtime `said` means that the registry was asked, and has no such image.

    Whoever asks again, from wherever, hears the same. A registry that denies access, or one of several that
    does not answer, says nothing of the kind: another node may have better credentials, or a better network.
    """
    text = said.lower().replace("_", " ")
    return any(words in text for words in _UNKNOWN) and not any(words in text for words in _UNSURE)


def image_file(image: str, *, cache: str) -> str:
    """Where a runtime that keeps images as files has this one."""
    return f"{cache}/{hashlib.sha256(image.encode()).hexdigest()}.sif"


def known_image(runtime: Runtime, image: str, said: str, *, cache: str) -> str:
    """What to run after a step succeeded and `said` something: the image's id, or its file."""
    if runtime.kind == APPTAINER:
        return image_file(image, cache=cache)
    lines = said.split()
    return lines[-1] if lines and not image.startswith("-") else image


def remove_argv(runtime: Runtime, name: str) -> tuple[str, ...] | None:
    """Ends and removes the container of that name, if there is one; None: it goes with its processes."""
    if runtime.kind == APPTAINER:
        return None
    quick = ("--time", "0", "--ignore") if runtime.kind == PODMAN else ()
    return (runtime.path, *runtime.options, "rm", "--force", *quick, name)


def list_argv(runtime: Runtime, folder: str) -> tuple[str, ...] | None:
    """Names the containers that the guard of `folder` has started; None: there is nothing to look for."""
    if runtime.kind == APPTAINER:
        return None
    label = f"label={GUARD_LABEL}={folder}"
    return (runtime.path, *runtime.options, "ps", "--all", "--quiet", "--filter", label)


def freeze_argv(runtime: Runtime, name: str, *, frozen: bool) -> tuple[str, ...] | None:
    """Stops a container where it stands, or lets it go on; None: signals to its processes do."""
    if runtime.kind != DOCKER:
        return None
    return (runtime.path, *runtime.options, "pause" if frozen else "unpause", name)
