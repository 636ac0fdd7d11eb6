"""`python -m agent.guard.probing TASKS`: which runtime can run containers here, found out by doing it.

It becomes the tasks' account first, as the guard does, and then tries runtime after runtime, each with the
options that help where something is missing, until a command that does nothing has ended well in a
container. What it found it prints as JSON: the runtime, why the others cannot, and whether a task can be
given a network of its own. Nothing is fetched: the image is an empty one, with the machine's own programs
mounted into it.
"""

from __future__ import annotations

import io
import json
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from agent.guard import account, alone, tree
from agent.guard.runtimes import APPTAINER, DOCKER, KINDS, PODMAN, Runtime
from agent.guard.spawn import DEFAULT_PATH

_TIMEOUT_S = 60.0
_IMAGE = "localhost/corral-probe:1"
_FOLDERS = ("usr", "bin", "sbin", "lib", "lib64", "etc", "proc", "sys", "dev", "run", "tmp", "var")
_PROGRAMS = ("/usr", "/bin", "/sbin", "/lib", "/lib64")
_ULIMITS = ("--ulimit", "nproc=4096:4096", "--ulimit", "nofile=1024:1024")
_CDI = ("/etc/cdi", "/var/run/cdi")
_FAULT_MAX = 300


class Found(NamedTuple):
    """`faults`: of each runtime that is here and cannot serve. `cut_off`: why no task can be, if so."""

    runtime: Runtime | None
    faults: dict[str, str]
    cut_off: str


class CannotServe(Exception):
    """The words of a runtime that failed."""


def find(folder: str, *, kinds: tuple[str, ...], search: str, own: dict[str, str] | None) -> Found:
    """`folder` is for what runtimes keep; `own`: variables of an account that has runtimes set up itself."""
    faults: dict[str, str] = {}
    chosen = None
    for kind in kinds:
        path = shutil.which(kind, path=search)
        if path is None:
            continue
        try:
            chosen = _working(kind, path, folder, search=search, own=own)
            break
        except CannotServe as fault:
            faults[kind] = str(fault)
        except (OSError, subprocess.SubprocessError) as error:
            faults[kind] = f"{type(error).__name__}: {error}"[:_FAULT_MAX]
    return Found(chosen, faults, _cut_off_fault())


def _working(kind: str, path: str, folder: str, *, search: str, own: dict[str, str] | None) -> Runtime:
    """The runtime with the first options under which it works. Raises CannotServe with the first fault."""
    env = {"PATH": search, "LANG": "C.UTF-8"}
    if own is None:
        os.makedirs(f"{folder}/home", 0o700, exist_ok=True)
        env |= {"HOME": f"{folder}/home", "XDG_RUNTIME_DIR": _short_folder(folder)}
        env |= {"APPTAINER_CACHEDIR": f"{folder}/cache"} if kind == APPTAINER else {}
    else:
        env |= own
    faults: list[str] = []
    for store in _stores(kind, folder, is_own=own is not None):
        runtime = Runtime(kind, path, store, env)
        try:
            image = _empty_image(runtime, folder)
        except CannotServe as fault:
            faults.append(str(fault))
            continue
        for options, run_options in _ways(kind, search=search):
            tried = runtime._replace(options=(*store, *options), run_options=run_options)
            try:
                for network in ("none", "host"):
                    _run_nothing(tried, image, ("--network", network))
            except CannotServe as fault:
                faults.append(str(fault))
            else:
                return _refined(tried, image)
    raise CannotServe(faults[0])


def _stores(kind: str, folder: str, *, is_own: bool) -> list[tuple[str, ...]]:
    """Options that say where and how images are kept; an account of its own has that set up already."""
    if kind != PODMAN:
        return [()]
    quiet = ("--log-level", "fatal", "--events-backend", "none")
    if is_own:
        return [quiet]
    kept = ("--root", f"{folder}/storage", "--runroot", f"{_short_folder(folder)}/storage")
    place = (*quiet, *kept, "--cgroup-manager", "cgroupfs")
    single = ("--storage-driver", "overlay", "--storage-opt", "ignore_chown_errors=true")
    return [(*place, *single), (*place, "--storage-driver", "vfs")]


def _short_folder(folder: str) -> str:
    """Ours alone, for what ends with the machine's uptime: podman takes no path for that over 50 characters.

    Raises CannotServe where somebody else has made it.
    """
    path = f"/tmp/corral-{os.getuid()}-{zlib.crc32(os.fsencode(folder)):08x}"
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise CannotServe(f"{path} is not a folder of this account alone")
    return path


def _ways(kind: str, *, search: str) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """(options, options of run), the usual ones first: what makes the containers, and explicit limits."""
    yield (), ()
    if kind == PODMAN:
        runners = [name for name in ("crun", "runc") if shutil.which(name, path=search)]
        yield from ((("--runtime", name), limits) for limits in ((), _ULIMITS) for name in runners)


def _refined(runtime: Runtime, image: str) -> Runtime:
    """What else of it works: its own network, an init that reaps and passes signals on, limits, GPUs."""
    if runtime.kind == APPTAINER:
        gpus = "nv" if os.path.exists("/proc/driver/nvidia/version") else ""
        return runtime._replace(gpus=gpus)
    if not _works(runtime, image, ()):
        runtime = runtime._replace(default_network="host")
    if _works(runtime, image, ("--network", "none", "--init")):
        runtime = runtime._replace(run_options=(*runtime.run_options, "--init"))
    held = ("--network", "none", "--cpus", "0.5", "--memory", "64m", "--pids-limit", "64")
    return runtime._replace(limits=_works(runtime, image, held), gpus=_gpus(runtime))


def _works(runtime: Runtime, image: str, options: tuple[str, ...]) -> bool:
    try:
        return not _run_nothing(runtime, image, options)
    except CannotServe:
        return False


def _gpus(runtime: Runtime) -> str:
    """How it hands GPUs over: by NVIDIA's specification of devices, or by docker's own runtime for them."""
    if runtime.kind == DOCKER:
        answer = _say(runtime, ("info", "--format", "{{json .Runtimes}}"))
        return "docker" if answer.returncode == 0 and "nvidia" in answer.stdout else ""
    names = [name for folder in _CDI if os.path.isdir(folder) for name in os.listdir(folder)]
    return "cdi" if any("nvidia" in name for name in names) else ""


def _empty_image(runtime: Runtime, folder: str) -> str:
    """An image with folders to mount into and nothing else. Raises CannotServe."""
    os.makedirs(folder, 0o700, exist_ok=True)
    if runtime.kind == APPTAINER:
        for name in _FOLDERS:
            os.makedirs(f"{folder}/empty/{name}", 0o755, exist_ok=True)
        return f"{folder}/empty"
    archive = f"{folder}/empty.tar"
    with tarfile.open(archive, "w") as tar:
        for name in _FOLDERS:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry, io.BytesIO())
    answer = _say(runtime, ("import", archive, _IMAGE))
    if answer.returncode:
        raise CannotServe(_words(answer))
    return _IMAGE


def _run_nothing(runtime: Runtime, image: str, options: tuple[str, ...]) -> str:
    """What it says on the side while a command that does nothing ends well. Raises CannotServe."""
    if runtime.kind == APPTAINER:
        binds = [
            word for path in _PROGRAMS if os.path.isdir(path) for word in ("--bind", f"{path}:{path}:ro")
        ]
        answer = _say(runtime, ("exec", "--containall", "--no-home", *binds, image, "/usr/bin/true"))
    else:
        user = "0:0" if runtime.kind == PODMAN else f"{os.getuid()}:{os.getgid()}"
        words = ["run", "--rm", "--pull", "never", "--log-driver", "none", "--user", user]
        words += ["--security-opt", "no-new-privileges", "--cap-drop", "all", *runtime.run_options, *options]
        for path in _PROGRAMS:
            words += ["--volume", f"{path}:{path}:ro"] if os.path.isdir(path) else []
        answer = _say(runtime, (*words, "--entrypoint", "/usr/bin/true", image))
    if answer.returncode:
        raise CannotServe(_words(answer))
    return answer.stderr.strip()


def _say(runtime: Runtime, words: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [runtime.path, *runtime.options, *words],
        env=runtime.env, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
        timeout=_TIMEOUT_S, check=False,
    )  # fmt: skip


def _words(answer: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in answer.stderr.splitlines() if line.strip()]
    return (lines[-1] if lines else f"exit code {answer.returncode}")[:_FAULT_MAX]


def _cut_off_fault() -> str:
    """Why a task of this account cannot have a network of its own; "" if it can."""
    told, teller = os.pipe()
    pid = os.fork()
    if pid == 0:
        fault = "it ended at once"
        try:
            alone.cut_off()
            fault = ""
        except OSError as error:
            fault = str(error)
        finally:
            os.write(teller, fault.encode()[:_FAULT_MAX])
            os._exit(0)
    os.close(teller)
    with os.fdopen(told, "rb") as file:
        fault = file.read().decode(errors="replace")
    os.waitpid(pid, 0)
    return fault


def main(tasks: str, kinds: tuple[str, ...]) -> int:
    """Become the tasks' account, look, and say it."""
    search = os.environ.get("PATH", DEFAULT_PATH)
    runs_as = account.task_account()
    is_dropped = os.geteuid() == 0
    account.become(runs_as)
    own = None
    if not is_dropped:
        own = {name: value for name in ("XDG_RUNTIME_DIR", "DOCKER_HOST") if (value := os.environ.get(name))}
        own["HOME"] = os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir
    found = find(f"{tasks}/containers", kinds=kinds, search=search, own=own)
    for left in tree.own_children():  # podman keeps a process that holds its namespace
        os.kill(left, tree.KILL)
        os.waitpid(left, 0)
    sys.stdout.write(json.dumps({"runtime": found.runtime, "faults": found.faults, "cut_off": found.cut_off}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], tuple(sys.argv[2].split(",")) if len(sys.argv) > 2 else KINDS))
