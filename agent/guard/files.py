"""The tasks' folder: work directories, inputs, outputs and the two streams of every attempt.

`<job>/<index>.<fence>.out`, `.err` (streams), `.when` (when they came), `.in` and `.result` (CORRAL_INPUT,
CORRAL_OUTPUT), `.notes` (CORRAL_RESULT), `.children` (CORRAL_CHILDREN; `.children.ask` is the question),
`.stdin`, `.need.<n>` (outputs of needed tasks), `.work/` (the work directory), `.artifacts/`
(CORRAL_ARTIFACTS). `helper/corral_task.py` is there for all tasks. Only the guard writes here, under the
tasks' own account: a task may put a link wherever it likes and gains nothing by it.
The agent reads notes and artifacts, and follows no link either.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from agent.guard.arrivals import Arrivals, unpack_arrivals
from agent.guard.wire import RANK_STRIDE, STDERR, STDOUT, Key

OUTPUT_LIMIT = 512 * 1024
"""Equals `bus.values.OUTPUT_LIMIT`, which this process does not load."""

_SUFFIXES = (
    ".out", ".err", ".when", ".in", ".result", ".notes", ".stdin", ".children", ".children.ask",
    ".children.part", ".children.ask.part",
)  # fmt: skip
_STDERR_TAIL = 2048
_SPARE_MAX = 256
_ARRIVALS_MAX = 1024 * 1024
_PRIVATE_FOLDER = stat.S_IFDIR | 0o700
_HELPER = Path(__file__).parents[1].joinpath("helper", "corral_task.py").read_bytes()
"""Read while this process still has the rights for it."""

_NO_INPUT = b'{"input":{},"needs":{}}'


class Leavings(NamedTuple):
    """What an attempt left; `fault` says why there is no output although a file is there."""

    output: bytes | None
    fault: str
    stderr_tail: bytes
    stdout_size: int
    stderr_size: int


class Placed(NamedTuple):
    """A volume of a task: the variable that says where it is, where it is wanted, where it lies."""

    variable: str
    target: str
    folder: str
    read_only: bool


def placed_volumes(env: dict[str, str]) -> list[Placed]:
    """The volumes that `env` tells of in a variable that is for us alone; it is taken out."""
    return [Placed(*each) for each in json.loads(env.pop("CORRAL_VOLUME_PLACES", "[]"))]


class TaskFiles:
    """`folder` is owned by the tasks' account, mode 0700."""

    def __init__(self, folder: str) -> None:
        self.folder = self._folder = folder
        self.no_input = self._no_input = f"{folder}/no-input.json"
        self._needs: dict[Key, list[tuple[str, int, str]]] = {}
        self._resting: list[str] = []
        self._spare: list[str] = []
        self.helper = f"{folder}/helper/corral_task.py"
        _put(self._no_input, _NO_INPUT)
        _put(self.helper, _HELPER, folder=os.path.dirname(self.helper))

    def base(self, key: Key) -> str:
        """The common start of an attempt's paths."""
        return f"{self._folder}/{key[0]}/{key[1]}.{key[2]}"

    def brought(self, key: Key) -> str:
        """The folder of models and files that were brought for an attempt; see `agent.bringing`."""
        return f"{self._folder}/brought/{key[0]}.{key[1] % RANK_STRIDE}.{key[2]}"

    def make_workdir(self, key: Key) -> str:
        """An empty folder, 0700."""
        return self._make_folder(self.base(key) + ".work")

    def make_artifacts(self, key: Key) -> str:
        """The folder whose files are kept when the task has ended."""
        return self._make_folder(self.base(key) + ".artifacts")

    def _make_folder(self, path: str) -> str:
        if os.path.lexists(path):
            _remove_tree(path)
        try:
            self._make_or_move(path)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
            self._make_or_move(path)
        return path

    def _make_or_move(self, path: str) -> None:
        if self._spare:
            with suppress(OSError):  # a task of the same account may have meddled with it
                os.rename(self._spare.pop(), path)
                return
        os.mkdir(path, 0o700)

    def reuse_workdirs(self) -> None:
        """Nobody is left in the work directories of tasks that are over: the empty ones serve again."""
        self._spare += self._resting
        self._resting = []

    def write_input(self, key: Key, text: bytes | None, *, needs: bool) -> str:
        """The file for CORRAL_INPUT: {"input": …, "needs": {"<group>": ["<path>", …]}}."""
        if text is None and not needs:
            return self._no_input
        groups: dict[str, list[str]] = {}
        for group, _, path in sorted(self._needs.pop(key, [])):
            groups.setdefault(group, []).append(path)
        path = self.base(key) + ".in"
        write(path, b'{"input":%b,"needs":%b}' % (text or b"{}", json.dumps(groups).encode()))
        return path

    def write_need(self, key: Key, group: str, index: int, output: bytes) -> None:
        """Keep the output of a needed task until `write_input` lists it."""
        known = self._needs.setdefault(key, [])
        path = f"{self.base(key)}.need.{len(known)}"
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        write(path, output)
        known.append((group, index, path))

    def write_children(self, key: Key, text: bytes) -> None:
        """The file for CORRAL_CHILDREN, whole or not at all: its task is looking for it."""
        path = self.base(key) + ".children"
        with suppress(OSError):
            with suppress(FileNotFoundError):
                os.unlink(path + ".part")
            # of its own: a FIFO that a task put there would stop the guard
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(path + ".part", flags, 0o600)
            with open(fd, "wb") as file:
                file.write(text)
            os.rename(path + ".part", path)

    def write_stdin(self, key: Key, text: str) -> str:
        path = self.base(key) + ".stdin"
        write(path, text.encode("utf-8", "surrogateescape"))
        return path

    def write_hosts(self, key: Key, hosts: str) -> str:
        """The file for CORRAL_GANG_HOSTFILE: a line a node, in the order of the ranks, "HOST slots=RANKS"."""
        path = self.base(key) + ".hosts"
        write(path, hosts.replace(",", "\n").encode() + b"\n")
        return path

    def link_volumes(self, key: Key, volumes: Iterable[Placed]) -> None:
        """Each volume at its own path below the work directory."""
        base = self.base(key) + ".work"
        for volume in volumes:
            link = os.path.normpath(f"{base}/{volume.target}")
            if not link.startswith(base + "/"):
                raise PermissionError(errno.EPERM, f"{volume.target} is not below the work directory")
            os.makedirs(os.path.dirname(link), 0o700, exist_ok=True)
            os.symlink(volume.folder, link)

    def collect(self, key: Key, *, with_stderr: bool) -> Leavings:
        """Sizes and output of an attempt that is over; what is empty or was only for it is removed."""
        base = self.base(key)
        output, fault = _read_output(base + ".result")
        sizes = (_size_or_remove(base + ".out"), _size_or_remove(base + ".err"))
        tail = b""
        if with_stderr and sizes[1]:
            tail = read_regular(base + ".err", max(0, sizes[1] - _STDERR_TAIL), _STDERR_TAIL)[0]
        for folder in (base + ".work", base + ".artifacts"):
            with suppress(OSError):
                self._put_by(folder)
        return Leavings(output, fault, tail, *sizes)

    def _put_by(self, path: str) -> None:
        """Keep an empty work directory for another task: moving costs a third of making and removing."""
        has_room = len(self._resting) + len(self._spare) < _SPARE_MAX
        if has_room and os.lstat(path).st_mode == _PRIVATE_FOLDER and not os.listdir(path):
            self._resting.append(path)
        else:
            os.rmdir(path)  # only if it is empty

    def read(self, key: Key, stream: int, offset: int, limit: int) -> tuple[bytes, int]:
        """A piece of a stream and the stream's size; empty where nothing was written."""
        return read_regular(self._stream(key, stream), offset, limit)

    def written(self, key: Key, stream: int) -> tuple[int, float]:
        """A stream's size, and when it was written last; 0 where nothing was."""
        try:
            status = os.lstat(self._stream(key, stream))
        except OSError:
            return 0, 0.0
        return (status.st_size, status.st_mtime) if stat.S_ISREG(status.st_mode) else (0, 0.0)

    def write_arrivals(self, key: Key, arrivals: Arrivals) -> None:
        """Keep when its output came; on a full disk that is not known."""
        with suppress(OSError):
            write(self.base(key) + ".when", arrivals.pack())

    def read_arrivals(self, key: Key) -> Arrivals:
        """When the output of an attempt that is over came; what nobody saw come is dated by its last byte."""
        arrivals = unpack_arrivals(read_regular(self.base(key) + ".when", 0, _ARRIVALS_MAX)[0])
        for stream in (STDOUT, STDERR):
            arrivals.note(stream, *self.written(key, stream))
        return arrivals

    def _stream(self, key: Key, stream: int) -> str:
        return self.base(key) + (".out" if stream == STDOUT else ".err")

    def remove(self, key: Key) -> None:
        """Nobody asks for this attempt any more."""
        base = self.base(key)
        for suffix in _SUFFIXES:
            with suppress(OSError):
                os.unlink(base + suffix)
        for _, _, path in self._needs.pop(key, []):
            with suppress(OSError):
                os.unlink(path)
        _remove_tree(base + ".work")
        _remove_tree(base + ".artifacts")
        with suppress(OSError):
            os.rmdir(os.path.dirname(base))  # only after the job's last attempt


def _put(path: str, data: bytes, *, folder: str = "") -> None:
    """A file that all tasks share, whatever a task has put in its place, or in that of its `folder`.

    On a full disk the old one serves, or none: tasks start all the same.
    """
    if read_regular(path, 0, len(data) + 1)[0] == data:
        return
    try:
        if folder:
            if os.path.lexists(folder) and not stat.S_ISDIR(os.lstat(folder).st_mode):
                os.unlink(folder)
            os.makedirs(folder, 0o700, exist_ok=True)
        if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
            if stat.S_ISDIR(os.lstat(path).st_mode):
                _remove_tree(path)
            else:
                os.unlink(path)
        write(path, data)
    except OSError as error:
        sys.stderr.write(f"{path} cannot be written: {error.strerror}\n")
        sys.stderr.flush()


def write(path: str, data: bytes) -> None:
    """A file of ours, which no link leads elsewhere. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(path, flags, 0o600)  # a pipe that somebody put there stops nobody
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
    finally:
        os.close(fd)


def read_regular(path: str, offset: int, limit: int) -> tuple[bytes, int]:
    """A piece of a plain file, and its size; empty where there is none, or it cannot be read."""
    try:
        # Without O_NONBLOCK a task that put a FIFO there would stop the guard.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b"", 0
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return b"", 0
        return os.pread(fd, limit, offset), status.st_size
    except (OSError, OverflowError):  # a disk that cannot read it; a place that no file has
        return b"", 0
    finally:
        os.close(fd)


def _read_output(path: str) -> tuple[bytes | None, str]:
    if not os.path.lexists(path):
        return None, ""
    data, size = read_regular(path, 0, OUTPUT_LIMIT + 1)
    if size > OUTPUT_LIMIT:
        return None, f"output of {size} bytes is over the limit of {OUTPUT_LIMIT}; leave an artifact instead"
    return (data, "") if data else (None, "output is empty or no regular file")


def _size_or_remove(path: str) -> int:
    try:
        size = os.lstat(path).st_size
        if size == 0:
            os.unlink(path)
    except OSError:
        return 0
    return size


def _remove_tree(path: str) -> None:
    """Without recursion, which a task could exhaust; what resists stays."""
    folders = [path]
    for folder in folders:
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    with suppress(OSError):
                        os.unlink(entry.path)
    for folder in reversed(folders):
        with suppress(OSError):
            os.rmdir(folder)
