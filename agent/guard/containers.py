"""The containers of tasks: their images made ready, their commands wrapped, their ends made certain.

The runtime's client is the task's process as far as the keeper can see. Where it keeps a monitor (podman's
conmon), that leaves the client, becomes the guard's child, since the guard is a subreaper, and the command
is a child of the monitor: so signals reach it as they reach any task. Where a daemon starts it (docker) it is
known by its control group, and of our account all the same. A container that must end is killed
with its client, and removed by its name; its task is over when neither removal nor monitor is left.
"""

from __future__ import annotations

import os
import signal
import time
import zlib
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import msgpack

from agent.guard import runtimes, tree, wire
from agent.guard.files import Placed, TaskFiles, placed_volumes, read_regular, write
from agent.guard.runtimes import APPTAINER, DOCKER, Box, Runtime
from agent.guard.starting import CannotStart
from agent.guard.wire import RANK_STRIDE, Body, Item, Key

PULL_MAX_S = 1800.0
_REMOVE_MAX_S, _REMOVE_TRIES = 20.0, 3
_LEAVE_MAX_S = 30.0
_CLIENT_MAX_S = 2.0
_FOLLOW_MAX_S = 0.5
"""How long a monitor may outlive its removed container: one whose client ended too early waits for ever."""

_RUNTIME_MAX = 64 * 1024
_SAID_MAX = 2000
_MONITORS = frozenset(
    {"conmon", "podman", "podman pause", "catatonit", "slirp4netns", "pasta", "rootlessport"}
)
_OF_THE_NODE = frozenset({"PATH", "HOSTNAME", "USER", "LOGNAME", "LANG"})
"""Variables in which an image knows better."""

_READ_BY_RUNTIMES = (
    "PATH", "HOME", "TMPDIR", "XDG_", "DOCKER_", "CONTAINER", "STORAGE_", "REGISTR", "BUILDAH_", "APPTAINER",
    "SINGULARITY", "SSL_", "GO", "HTTP", "NO_PROXY", "_",
)  # fmt: skip
_ENV_PREFIX = "APPTAINERENV_"


class Prepared(NamedTuple):
    """The image of `key` is here; or, with `fault`, cannot be had: `nowhere`, says its registry."""

    key: Key
    fault: str = ""
    nowhere: bool = False


class _Step(NamedTuple):
    """A process of ours that is no task: it looks for an image, fetches or removes something."""

    key: Key
    image: str  # "": it removes
    said: str
    until_s: float
    later: tuple[tuple[str, ...], ...]


class _Made(NamedTuple):
    """A container of a task that is not over. `asked`: who was asked to end: pid and program."""

    name: str
    pid_file: str
    monitor_file: str
    pty: bool
    asked: set[tuple[int, str]]


class Containers:
    """`folder` holds the tasks; `guard` is what their labels name, `node` what people are told."""

    def __init__(self, folder: str, files: TaskFiles | None, *, guard: str, node: str) -> None:
        self._folder = f"{folder}/containers"
        self._files = files
        self._guard = guard
        self._node = node
        self._steps: dict[int, _Step] = {}
        self._images: dict[str, str] = {}
        self._made: dict[Key, _Made] = {}
        self._leaving: dict[Key, float] = {}  # their clients have ended; until when their monitors may follow
        self._gone: dict[Key, float] = {}  # their monitors have ended, and their clients not: since when
        self.runtime: Runtime | None = None

    def use(self, runtime: Runtime | None) -> None:
        """What runs containers from now on; kept for a guard after us, which ends what we leave."""
        self.runtime = runtime
        self._images.clear()
        with suppress(OSError):
            os.makedirs(self._folder, 0o700, exist_ok=True)
            write(f"{self._folder}/runtime", msgpack.packb(runtime))

    @property
    def lacks_networks(self) -> bool:
        """Whether the runtime gives containers no network of their own: the task is cut off without it."""
        return self.runtime is not None and self.runtime.kind == APPTAINER

    def end_leftovers(self, *, within_s: float = 10.0) -> None:
        """End what a guard before us left running in a runtime that keeps containers by itself."""
        try:
            packed, _ = read_regular(f"{self._folder}/runtime", 0, _RUNTIME_MAX)
            kept = msgpack.unpackb(packed, use_list=False)
            runtime = Runtime(*kept) if kept else None
            argv = None if runtime is None else runtimes.list_argv(runtime, self._guard)
        except (ValueError, TypeError, AttributeError):  # of nothing, or of what rot or a task made of it
            return
        if runtime is None or argv is None:
            return
        until_s = time.monotonic() + within_s
        for name in self._wait_for(runtime, argv, until_s=until_s).split():
            gone = runtimes.remove_argv(runtime, name)
            if gone is not None:
                self._wait_for(runtime, gone, until_s=until_s)

    # the image

    def prepare(self, key: Key, body: Body) -> bool:
        """Whether its image is known to be here; else that is found out, and `on_exit` answers.

        Raises CannotStart where there is no runtime, or it cannot be asked.
        """
        runtime = self._needed()
        if body.pull != "always" and body.image in self._images:
            return True
        steps = runtimes.image_steps(runtime, body.image, pull=body.pull, cache=f"{self._folder}/images")
        if not steps:
            message = f"E_IMAGE: {runtime.kind} on node {self._node} cannot run {body.image}"
            raise CannotStart(wire.NOT_EXECUTABLE, message, 126)
        try:
            for folder in (self._folder, f"{self._folder}/images"):
                os.makedirs(folder, 0o700, exist_ok=True)
        except OSError as error:
            message = f"cannot prepare {self._folder}: {error.strerror}"
            raise CannotStart(wire.NOT_STARTED, message) from error
        self._begin(key, steps, image=body.image)
        return False

    def on_exit(self, pid: int, status: int) -> Prepared | None:
        """What became of a step that has ended; None while there is a next one, or nobody waits for it."""
        step = self._steps.pop(pid, None)
        if step is None:
            return None
        said = _read(step.said)
        with suppress(OSError):
            os.unlink(step.said)
        if not step.image:
            if status and step.later and step.key in self._made:
                with suppress(CannotStart):
                    self._begin(step.key, step.later, image="")
            elif step.key in self._leaving:
                self._leaving[step.key] = min(self._leaving[step.key], _now() + _FOLLOW_MAX_S)
            return None
        if status == 0 and self.runtime is not None:
            cache = f"{self._folder}/images"
            self._images[step.image] = runtimes.known_image(self.runtime, step.image, said, cache=cache)
            return Prepared(step.key)
        if step.later and os.WIFEXITED(status):
            try:
                self._begin(step.key, step.later, image=step.image)
            except CannotStart as error:
                return Prepared(step.key, str(error))
            return None
        if os.WIFEXITED(status) and runtimes.is_nowhere(said):
            fault = f"E_IMAGE: there is no image {step.image}, says its registry: {_last_line(said)}"
            return Prepared(step.key, fault, nowhere=True)
        why = _last_line(said) or "it did not come in time"
        return Prepared(step.key, f"E_IMAGE: {step.image} cannot be had on node {self._node}: {why}")

    def forget_image(self, image: str) -> None:
        """It may have been removed behind our back: look for it again."""
        self._images.pop(image, None)

    def abandon(self, key: Key) -> None:
        """Nobody waits for its image any more."""
        for pid, step in self._steps.items():
            if step.key == key and step.image:
                self._steps[pid] = step._replace(image="")
                _kill(pid)

    # the container

    def command(self, item: Item, body: Body, env: dict[str, str]) -> tuple[tuple[str, ...], dict[str, str]]:
        """The runtime's command line and environment for the command of `body`. Raises CannotStart."""
        runtime = self._needed()
        assert self._files is not None
        job, place, fence = item.key
        mark = zlib.crc32(os.fsencode(self._guard))
        base = f"{self._folder}/{job}.{place}.{fence}"
        made = _Made(
            f"corral-{self._node}-{job}-{place}-{fence}-{mark:08x}",
            f"{base}.pid",
            f"{base}.monitor",
            body.pty,
            set(),
        )
        for path in (made.pid_file, made.monitor_file):
            with suppress(OSError):
                os.unlink(path)
        volumes = placed_volumes(env)
        env |= {volume.variable: volume.target for volume in volumes}
        inside = {name: value for name, value in env.items() if name not in _OF_THE_NODE or name in body.env}
        own_env = {**runtime.env, tree.MARKER: self._guard}
        names: tuple[str, ...] = ()
        if runtime.kind == APPTAINER:
            own_env |= {_ENV_PREFIX + name: value for name, value in inside.items()}
        else:
            names = _of_several_lines(inside)
            own_env |= {name: inside[name] for name in names}
            _write_env(f"{base}.env", {name: value for name, value in inside.items() if name not in names})
        box = Box(
            name=made.name,
            labels={
                runtimes.GUARD_LABEL: self._guard,
                "corral.task": f"{job}.{place % RANK_STRIDE}",
                "corral.attempt": str(fence),
            },
            image=self._images.get(body.image, body.image),
            argv=body.argv,
            workdir=body.workdir or env["HOME"],
            env_file=f"{base}.env",
            names=names,
            mounts=self._mounts(item.key, body, volumes),
            network=body.network,
            read_only=body.read_only,
            account=(os.getuid(), os.getgid()),
            cpu_millis=item.resources[0],
            mem_mib=item.resources[1],
            gpus=item.gpus,
            stdin=body.stdin is not None,
            pty=body.pty,
            pid_file=made.pid_file,
            monitor_file=made.monitor_file,
        )
        self._made[item.key] = made
        return runtimes.run_argv(runtime, box), own_env

    def _mounts(self, key: Key, body: Body, volumes: Sequence[Placed]) -> tuple[tuple[str, str, bool], ...]:
        """What every task has and what it was brought, under the same paths; then what was asked for."""
        files = self._files
        assert files is not None
        job_folder, helper = os.path.dirname(files.base(key)), os.path.dirname(files.helper)
        brought = files.brought(key)
        mounts = [(job_folder, job_folder, False), (helper, helper, True)]
        mounts.append((files.no_input, files.no_input, True))
        if os.path.isdir(brought):
            mounts.append((brought, brought, True))
        mounts += [(volume.folder, volume.target, volume.read_only) for volume in volumes]
        for there, inside, read_only in body.mounts:
            if not os.path.exists(there):
                message = f"mount {there}: not there on node {self._node}, or closed to the tasks' account"
                raise CannotStart(wire.NOT_STARTED, message)
            mounts.append((there, inside, read_only))
        for there, inside, _ in mounts:
            if ":" in there or ":" in inside:
                message = f"containers cannot be given a path with a colon: {there} at {inside}"
                raise CannotStart(wire.NOT_STARTED, message)
        return tuple(mounts)

    def roots(self, key: Key) -> set[int]:
        """The processes that the container of `key` began with; empty while, or where, they are not ours."""
        made = self._made.get(key)
        if made is not None and self.runtime is not None and self.runtime.kind == DOCKER:
            return tree.in_group(_read(made.pid_file).strip())
        monitor = self._monitor(key)
        return set(tree.children(monitor)) if monitor else set()

    def ask(self, key: Key, *numbers: signal.Signals) -> bool:
        """Signal who began it and was not asked yet: each once for each program that it is.

        A process may have been the runtime's when it was asked, and be the command's by now. Who would have
        ended by TERM, were it not the first of its namespace, is killed: the kernel passes no signal on to it
        without a handler. Returns whether anybody is inside.
        """
        made = self._made.get(key)
        roots = self.roots(key)
        fresh = {(pid, tree.executable(pid)) for pid in roots} - (made.asked if made is not None else set())
        # looked at first: who heeds it may drop its handler at once, and tidy up
        heedless = [pid for pid, _ in fresh if tree.is_ended_by(pid, signal.SIGTERM)]
        if made is not None and fresh:
            made.asked.update(fresh)
            tree.signal_tree({pid for pid, _ in fresh}, *numbers)
        for pid in heedless:
            with suppress(OSError):
                os.kill(pid, tree.KILL)
        return bool(roots)

    def has_gone(self, key: Key, now_s: float) -> bool:
        """Whether its monitor came and went some time ago: a client that still waits then, waits for ever.

        podman does, where what it started ended before it was told to go on, or before it listened to it.
        """
        made = self._made.get(key)
        if made is None or not _number(made.monitor_file) or self._monitor(key):
            return False
        return now_s >= self._gone.setdefault(key, now_s) + _CLIENT_MAX_S

    def freeze(self, key: Key, *, frozen: bool) -> None:
        """Stop it or let it go on, where the runtime itself must do that."""
        made = self._made.get(key)
        if made is not None and self.runtime is not None:
            argv = runtimes.freeze_argv(self.runtime, made.name, frozen=frozen)
            if argv is not None:
                self._begin(key, (argv,), image="")

    def close(self, key: Key, *, by_force: bool) -> None:
        """Its client has ended; `by_force`: the container may have not, and must."""
        made, runtime = self._made.get(key), self.runtime
        if made is None or runtime is None:
            return
        self._leaving[key] = _now() + _LEAVE_MAX_S
        if not by_force:
            return
        roots = self.roots(key)
        if roots:
            tree.signal_tree(roots, tree.KILL)
        self._remove(key)

    def _remove(self, key: Key) -> None:
        made, runtime = self._made.get(key), self.runtime
        argv = None if made is None or runtime is None else runtimes.remove_argv(runtime, made.name)
        if argv is not None:
            with suppress(CannotStart):
                self._begin(key, (argv,) * _REMOVE_TRIES, image="")

    def is_gone(self, key: Key) -> bool:
        """Whether nothing of its container is left, nor anything on its way to remove it."""
        return not self._monitor(key) and all(step.key != key or step.image for step in self._steps.values())

    def forget(self, key: Key) -> None:
        """Its task is over."""
        made = self._made.pop(key, None)
        self._leaving.pop(key, None)
        self._gone.pop(key, None)
        if made is not None:
            for path in (made.pid_file, made.monitor_file, made.pid_file.removesuffix("pid") + "env"):
                with suppress(OSError):
                    os.unlink(path)

    def owner_of(self, monitor: int) -> Key | None:
        """Whose monitor that was: what it used is its task's."""
        return next((key for key, made in self._made.items() if _number(made.monitor_file) == monitor), None)

    def verdict(self, key: Key, code: int | None, stderr_tail: bytes) -> tuple[str, str] | None:
        """(outcome, message) where it was the runtime that ended with `code`, and not the command."""
        made, runtime = self._made.get(key), self.runtime
        if made is None or runtime is None or code is None:
            return None
        tail = stderr_tail.decode(errors="replace")
        began = os.path.exists(made.pid_file)
        if runtime.kind == APPTAINER:
            failed = code == 255 and "FATAL:" in tail
            code = 127 if "not found" in tail else code
        elif runtime.kind == DOCKER:
            failed = code in (125, 126, 127) and "docker: " in tail
            tail = next((line for line in tail.splitlines() if line.startswith("docker: ")), tail)
        else:
            failed = code in (125, 126, 127) and not began
        if not failed:
            return None
        outcome = {127: wire.NOT_FOUND, 126: wire.NOT_EXECUTABLE}.get(code, wire.NOT_STARTED)
        return outcome, f"{runtime.kind} on node {self._node}: {_last_line(tail)}"

    def owns(self, pid: int) -> bool:
        """Whether this child of the guard is needed by containers, and nobody's leftover."""
        if not self._made and not self._steps:
            return False
        return pid in self._steps or tree.command_name(pid) in _MONITORS

    def tick(self, now_s: float) -> None:
        """End what takes too long."""
        for pid, step in self._steps.items():
            if now_s >= step.until_s:
                _kill(pid)
        for key, until_s in list(self._leaving.items()):
            if now_s >= until_s and (monitor := self._monitor(key)):
                tree.signal_tree({monitor}, tree.KILL)
                self._leaving[key] = now_s + _LEAVE_MAX_S
                self._remove(key)  # what the monitor may have made after it was removed

    def _monitor(self, key: Key) -> int:
        """The pid of its monitor, a child of ours; 0 if there is none."""
        made = self._made.get(key)
        pid = _number(made.monitor_file) if made is not None else 0
        return pid if pid and tree.command_name(pid) == "conmon" and pid in tree.own_children() else 0

    def _needed(self) -> Runtime:
        if self.runtime is None:
            raise CannotStart(wire.NOT_STARTED, f"no runtime on node {self._node} can run containers")
        return self.runtime

    def _begin(self, key: Key, argvs: tuple[tuple[str, ...], ...], *, image: str) -> None:
        runtime = self._needed()
        said = f"{self._folder}/{key[0]}.{key[1]}.{key[2]}.{'said' if image else 'gone'}"
        until_s = _now() + (PULL_MAX_S if image else _REMOVE_MAX_S)
        pid = self._spawn(runtime, argvs[0], said)
        self._steps[pid] = _Step(key, image, said, until_s, argvs[1:])

    def _spawn(self, runtime: Runtime, argv: tuple[str, ...], said: str) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        os.chdir("/")
        try:
            return os.posix_spawn(
                argv[0],
                argv,
                {**runtime.env, tree.MARKER: self._guard},
                file_actions=(
                    (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, said, flags, 0o600),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ),
                setsid=True,
                setsigdef=tree.CAUGHT,
            )
        except (OSError, ValueError) as error:
            raise CannotStart(wire.NOT_STARTED, f"cannot run {runtime.path}: {error}") from error

    def _wait_for(self, runtime: Runtime, argv: tuple[str, ...], *, until_s: float) -> str:
        """What it says; nothing where it fails or takes too long."""
        said = f"{self._folder}/leftovers.said"
        try:
            pid = self._spawn(runtime, argv, said)
        except CannotStart:
            return ""
        while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
            if time.monotonic() >= until_s:
                _kill(pid)
            time.sleep(0.01)
        return _read(said) if os.waitstatus_to_exitcode(ended[1]) == 0 else ""


def _of_several_lines(env: dict[str, str]) -> tuple[str, ...]:
    """Variables that no file of lines can hold. Raises CannotStart for those that runtimes read."""
    names = tuple([name for name, value in env.items() if "\n" in value or "\r" in value])
    for name in names:
        if name.upper().startswith(_READ_BY_RUNTIMES):
            message = f"E_ENV: {name} of a container can have one line only"
            raise CannotStart(wire.NOT_EXECUTABLE, message, 126)
    return names


def _write_env(path: str, env: dict[str, str]) -> None:
    text = "".join(f"{name}={value}\n" for name, value in env.items())
    try:
        write(path, text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise CannotStart(wire.NOT_STARTED, f"cannot write its variables: {error.strerror}") from error


def _read(path: str) -> str:
    return read_regular(path, 0, 64 * _SAID_MAX)[0][-_SAID_MAX:].decode(errors="replace")


def _number(path: str) -> int:
    text = _read(path).strip()
    return int(text) if text.isascii() and text.isdigit() else 0


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:500] if lines else ""


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _kill(pid: int) -> None:
    with suppress(OSError):
        os.killpg(pid, tree.KILL)
