"""Starting one task: its environment from nothing, its streams, and clear words when it cannot start."""

from __future__ import annotations

import errno
import os
import signal
import stat
from collections.abc import Mapping

from agent.guard import account, alone, templating, wire
from agent.guard.alone import Actions
from agent.guard.containers import Containers
from agent.guard.files import TaskFiles, placed_volumes
from agent.guard.starting import CannotStart as CannotStart
from agent.guard.terminals import Terminals
from agent.guard.tree import CAUGHT as _RESET_SIGNALS
from agent.guard.tree import MARKER
from agent.guard.wire import GPU_MILLI, Body, Item
from agent.tools.registry import TOOLS, run_tool

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_CANNOT_EXECUTE = frozenset({errno.EACCES, errno.EPERM, errno.ENOEXEC, errno.EISDIR, errno.ETXTBSY})


class Spawner:
    """Starts tasks of one node under the account that this process already has."""

    def __init__(self, files: TaskFiles, *, node: str, user: str, folder: str) -> None:
        self._files = files
        self._user = user
        self._node = node
        self._folder = folder
        self.terminals = Terminals()
        self.containers = Containers(files.folder, files, guard=folder, node=node)
        self._resolved: dict[tuple[str, str], str] = {}
        self._pins = templating.Pins()

    def start(self, item: Item, body: Body) -> int:
        """Returns the pid, which leads its own session. Raises CannotStart.

        With a terminal that is its controlling one: the first that a leader of a session opens.
        """
        try:
            workdir = self._files.make_workdir(item.key)
            env = self._environment(item, body, workdir) | {
                "CORRAL_ARTIFACTS": self._files.make_artifacts(item.key),
            }
            stdin = self._files.write_stdin(item.key, body.stdin) if body.stdin is not None else "/dev/null"
        except OSError as error:
            raise CannotStart(wire.NOT_STARTED, f"cannot prepare its folder: {error.strerror}") from error
        except ValueError as error:  # a NUL, or half a character, in a name
            raise CannotStart(wire.NOT_STARTED, f"cannot prepare its folder: {error}") from error
        try:
            os.chdir(workdir if body.image else body.workdir or workdir)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            message = f"work directory {ascii(body.workdir)[1:-1]}: {why}"
            raise CannotStart(wire.NOT_STARTED, message) from error
        if body.file:
            self._pins.check(body.file, body.sha256)
        if body.tool is not None:
            return self._fork_tool(item, body.tool, env, stdin)
        argv = templating.filled(item, body.argv, env) if body.template else body.argv
        is_alone = body.network == "none"
        if body.image:
            argv, env = self.containers.command(item, body, env)
            is_alone = is_alone and self.containers.lacks_networks
        if body.pty:
            return self._spawn_in_terminal(item, argv, env, is_alone=is_alone)
        return self._spawn(argv, env, self._to_files(item, stdin), is_alone=is_alone)

    def _environment(self, item: Item, body: Body, workdir: str) -> dict[str, str]:
        job, place, fence = item.key
        env = {
            "PATH": DEFAULT_PATH,
            "HOME": workdir,
            "TMPDIR": workdir,
            "LANG": "C.UTF-8",
            "HOSTNAME": os.uname().nodename,
            "USER": self._user,
            "LOGNAME": self._user,
        }
        env.update(body.env)
        env |= {
            MARKER: self._folder,
            "CORRAL_NODE": self._node,
            "CORRAL_JOB_ID": str(job),
            "CORRAL_TASK_ID": f"{job}.{place % wire.RANK_STRIDE}",
            "CORRAL_ATTEMPT": str(fence),
            "CORRAL_INPUT": self._files.write_input(item.key, item.input, needs=item.needs),
            "CORRAL_OUTPUT": self._files.base(item.key) + ".result",
            "CORRAL_RESULT": self._files.base(item.key) + ".notes",
            "CORRAL_CHILDREN": self._files.base(item.key) + ".children",
            "CORRAL_HELPER": self._files.helper,
            "PYTHONPATH": os.path.dirname(self._files.helper),
            "CORRAL_GPUS": ",".join(item.gpus),
            "CUDA_VISIBLE_DEVICES": ",".join(item.gpus),
        }
        if item.gpu_milli:
            # the second is heeded by CUDA's multi-process service where that runs; else people's own code may
            env["CORRAL_GPU_SHARE"] = f"{item.gpu_milli / GPU_MILLI:g}"
            env["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] = f"{item.gpu_milli * 100 / GPU_MILLI:g}"
        if not body.image:  # a container has them where they are wanted
            self._files.link_volumes(item.key, placed_volumes(env))
        if hosts := env.pop("CORRAL_GANG_HOSTS", ""):
            env["CORRAL_GANG_HOSTFILE"] = self._files.write_hosts(item.key, hosts)
        if item.array_index is not None:
            env["CORRAL_ARRAY_INDEX"] = str(item.array_index)
        if item.item is not None:
            env["CORRAL_ITEM"] = item.item
        return env

    def _to_files(self, item: Item, stdin: str) -> Actions:
        base = self._files.base(item.key)
        create = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW
        return (
            (os.POSIX_SPAWN_OPEN, 0, stdin, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, base + ".out", create, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, base + ".err", create, 0o600),
        )

    def _spawn_in_terminal(
        self, item: Item, argv: tuple[str, ...], env: dict[str, str], *, is_alone: bool
    ) -> int:
        try:
            path = self.terminals.open(item.key, self._files.base(item.key) + ".out")
        except OSError as error:
            raise CannotStart(wire.NOT_STARTED, f"no terminal: {error.strerror}") from error
        actions: Actions = (
            (os.POSIX_SPAWN_OPEN, 0, path, os.O_RDWR, 0),
            (os.POSIX_SPAWN_DUP2, 0, 1),
            (os.POSIX_SPAWN_DUP2, 0, 2),
        )
        try:
            pid = self._spawn(argv, env, actions, is_alone=is_alone)
        except CannotStart:
            self.terminals.remove(item.key)
            raise
        self.terminals.lived_in(item.key)
        return pid

    def _spawn(
        self, argv: tuple[str, ...], env: dict[str, str], actions: Actions, *, is_alone: bool = False
    ) -> int:
        path = self._resolve(argv[0], env["PATH"])
        if is_alone:
            return alone.spawn(path, argv, env, actions, reset=_RESET_SIGNALS)
        try:
            return os.posix_spawn(
                path,
                argv,
                env,
                file_actions=actions,
                setsid=True,
                setsigdef=_RESET_SIGNALS,
            )
        except ValueError as error:  # a NUL inside an argument or variable
            raise CannotStart(wire.NOT_STARTED, str(error)) from error
        except OSError as error:
            self._resolved.pop((argv[0], env["PATH"]), None)
            raise _explained(error, path, argv[0], env["PATH"]) from error

    def _resolve(self, name: str, search: str) -> str:
        """The file to execute, found along `search` as a shell would. Raises CannotStart."""
        if "/" in name:
            return name
        known = self._resolved.get((name, search))
        if known is not None:
            return known
        denied = ""
        for folder in search.split(":"):
            path = f"{folder or '.'}/{name}"
            if os.path.isfile(path):
                if os.access(path, os.X_OK):
                    if folder.startswith("/"):  # others depend on the work directory
                        self._resolved[name, search] = path
                    return path
                denied = denied or path
        if denied:
            raise CannotStart(wire.NOT_EXECUTABLE, f"{denied} is not executable", 126)
        raise CannotStart(wire.NOT_FOUND, f"{name} not found on node {self._node} (PATH={search})", 127)

    def _fork_tool(self, item: Item, tool: str, env: Mapping[str, str], stdin: str) -> int:
        if tool not in TOOLS:
            known = ", ".join(sorted(TOOLS))
            message = f"no tool {tool!r} on node {self._node} (it has {known})"
            raise CannotStart(wire.NOT_FOUND, message, 127)
        guard = os.getpid()
        # What ends the tool before it has its own handlers waits until then: ours would swallow it.
        signal.pthread_sigmask(signal.SIG_BLOCK, _RESET_SIGNALS)
        try:
            pid = os.fork()
            if pid == 0:
                _be_tool(tool, env, stdin, self._files.base(item.key), guard=guard)
        except OSError as error:
            raise CannotStart(wire.NOT_STARTED, f"fork: {error.strerror}") from error
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _RESET_SIGNALS)
        return pid


def _explained(error: OSError, path: str, name: str, search: str) -> CannotStart:
    """posix_spawn reports one errno for the executable and for the streams: look which it was."""
    if error.errno == errno.ENOENT:
        if not os.path.exists(path):
            return CannotStart(wire.NOT_FOUND, f"{name} not found (PATH={search})", 127)
        return CannotStart(wire.NOT_FOUND, f"{path} names an interpreter that is not there", 127)
    if error.errno == errno.ENOTDIR:
        return CannotStart(wire.NOT_FOUND, f"{name} not found: {error.strerror}", 127)
    if error.errno in _CANNOT_EXECUTE:
        return CannotStart(wire.NOT_EXECUTABLE, f"{path}: {_why_not_executable(path, error)}", 126)
    return CannotStart(wire.NOT_STARTED, f"cannot start {name}: {error.strerror}")


def _why_not_executable(path: str, error: OSError) -> str:
    try:
        is_folder = stat.S_ISDIR(os.stat(path).st_mode)
    except OSError:
        return os.strerror(error.errno or 0)
    if is_folder:
        return "is a directory"
    if error.errno == errno.ENOEXEC:
        return "no program: neither a binary of this machine nor a script with a #! line"
    return os.strerror(error.errno or 0)


def _be_tool(tool: str, env: Mapping[str, str], stdin: str, base: str, *, guard: int) -> None:
    """The life of a tool forked by `guard`; never returns. Nothing of the guard may stay open here."""
    code = 70
    try:
        signal.set_wakeup_fd(-1)
        for caught in _RESET_SIGNALS:
            signal.signal(caught, signal.SIG_DFL)
        # The kernel shows a fork's environment as its parent's, without our mark.
        account.die_with_parent(guard)
        os.setsid()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _RESET_SIGNALS)
        create = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW
        opened = ((stdin, os.O_RDONLY), (base + ".out", create), (base + ".err", create))
        for number, (path, flags) in enumerate(opened):
            fd = os.open(path, flags, 0o600)
            os.dup2(fd, number)
        os.closerange(3, 65_536)
        os.environ.clear()
        os.environ.update(env)
        code = run_tool(tool)
    finally:
        os._exit(code)
