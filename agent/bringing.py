"""Content that tasks need as files: brought to this node, shown to one attempt, taken away when it is over.

    bringing = Bringing(tasks, store, fetch, files=Allowed(("/srv/data",)), buckets=None)
    env = await bringing.bring(order)          # CORRAL_MODEL_RESNET=…/brought/1042.7.1/models/resnet/w.bin
    bringing.over(attempt)

What lies in the cluster comes from the nodes that have it, what a pointer names from here (`file://`) or from
a bucket (`s3://`), both only where this node's operator allows it. All of it goes through the content store:
it is whole, and what its hash says, before the attempt starts.

An attempt sees hard links to the store's files, so nothing is copied (only where the tasks' folder is on
another disk). They belong to the agent's account and nobody may write to them; the folder is ours as well, so
that no task can put something else there. Where agent and tasks have one account, it is a matter of manners.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import stat
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from agent.blobs import Blob, BlobStore
from agent.buckets import S3Buckets, installed
from agent.config import Config
from agent.core.model import Order
from agent.inputs import Nowhere
from agent.peers import Peers, Wanted
from agent.records import name_of
from bus.contents import (
    BUCKETS,
    CONTENT,
    FILES_FOLDER,
    FILES_VARIABLE,
    NODE_FILES,
    Content,
    Pointer,
    Scheme,
    parse_pointer,
)
from bus.errors import ApiError
from bus.models import variable
from bus.refusal import quote, refusal
from bus.values import AttemptRef, Capability

_log = logging.getLogger(__name__)

FOLDER = "brought"
"""Below the tasks' folder."""

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PIN = "brought-"
_AGAIN = 2

Fetch = Callable[[Sequence[Content], str, AttemptRef], Awaitable[None]]
"""Brings content from the nodes that have it, under a pin. Raises ApiError."""


class Buckets(Protocol):
    """Where objects come from; see `agent.buckets`."""

    async def take(self, bucket: str, key: str, store: BlobStore, *, pin: str) -> Blob: ...


class Allowed:
    """Folders of this machine whose files tasks may have, as its operator says."""

    def __init__(self, folders: Iterable[Path] = ()) -> None:
        self._folders = tuple(folders)

    def open(self, path: str) -> int:
        """A descriptor of a file below one of them; no link is followed. Raises ApiError."""
        for folder in self._folders:
            if path.startswith(f"{str(folder).rstrip('/')}/"):
                return _open_below(folder, path[len(str(folder).rstrip("/")) + 1 :], path)
        hint = "its operator names folders in the setting agent.files"
        raise ApiError(refusal("E_FORBIDDEN", "this node gives no such file", got=quote(path), hint=hint))


class Bringing:
    """`tasks`: the folder of all tasks. One attempt is brought what it needs by one caller at a time.

    `able`: from where this node can bring content, for the coordinator to know.
    """

    def __init__(
        self,
        tasks: Path,
        store: BlobStore,
        fetch: Fetch,
        *,
        files: Allowed | None = None,
        buckets: Buckets | None = None,
        able: Mapping[str, Capability] | None = None,
    ) -> None:
        self._tasks = tasks
        self._store = store
        self._fetch = fetch
        self._files = files or Allowed()
        self._buckets = buckets
        self.able = dict(able or {})
        self._shown: set[AttemptRef] = set()

    async def bring(self, order: Order) -> dict[str, str]:
        """The variables that say where all of it lies. Twice is fine. Raises ApiError, Nowhere."""
        contents = order.work.settings.contents
        if not contents:
            return {}
        self._shown.add(order.attempt)
        pin = _pin(order.attempt)
        hashes = {
            each.said: await self._from_pointer(parse_pointer(each.url), pin) if each.url else each.sha256
            for each in contents.values()
        }
        inside = [each for each in contents.values() if not each.url]
        if inside:
            try:
                await self._fetch(inside, pin, order.attempt)
            except ApiError as error:
                if error.error.code != "E_NOT_FOUND":
                    raise
                lacked = ", ".join(each.said for each in inside if not self._store.has(each.sha256))
                message = "no node has this content"
                raise Nowhere(refusal("E_NOT_FOUND", message, got=quote(lacked))) from error
        shown = {place: hashes[each.said] for place, each in contents.items()}
        folder = await asyncio.to_thread(self._show, order.attempt, shown)
        env = {FILES_VARIABLE: f"{folder}/{FILES_FOLDER}"} if any(map(_is_file, contents)) else {}
        return env | {
            variable(each.model): f"{folder}/{place}" for place, each in contents.items() if each.model
        }

    def over(self, attempt: AttemptRef) -> None:
        """The attempt needs nothing any more. What it had stays in the store as a cache."""
        if attempt in self._shown:
            self._shown.discard(attempt)
            self._forget(attempt)

    def resume(self, held: Iterable[AttemptRef]) -> None:
        """After a start: what is left of attempts that are not `held` goes."""
        self._shown = set(held)
        keep = {_pin(attempt) for attempt in self._shown}
        folder = self._tasks / FOLDER
        try:
            for sha256 in self._store.names:
                for pin in self._store.pins(sha256):
                    if pin.startswith(_PIN) and pin not in keep:
                        self._store.unpin(sha256, pin)
            for left in os.listdir(folder) if folder.is_dir() else ():
                if f"{_PIN}{left}" not in keep:
                    shutil.rmtree(folder / left, ignore_errors=True)
        except OSError as error:  # it takes room, and nothing else
            _log.error("what was brought for tasks that are over stays: %s", error)

    def _forget(self, attempt: AttemptRef) -> None:
        shutil.rmtree(self._tasks / FOLDER / name_of(attempt), ignore_errors=True)
        pin = _pin(attempt)
        try:
            for sha256 in self._store.names:
                if pin in self._store.pins(sha256):
                    self._store.unpin(sha256, pin)
        except OSError as error:
            _log.error("what was brought for %s stays: %s", attempt, error)

    async def _from_pointer(self, pointer: Pointer, pin: str) -> str:
        """The hash of what it names, which the store has now."""
        if pointer.scheme is Scheme.FILE:
            return (await asyncio.to_thread(self._from_file, pointer.path, pin)).sha256
        if self._buckets is None:
            hint = "its operator names buckets in the setting agent.buckets"
            got = quote(f"s3://{pointer.path}")
            raise ApiError(refusal("E_FORBIDDEN", "this node reads no buckets", got=got, hint=hint))
        bucket, key = pointer.bucket_and_key
        return (await self._buckets.take(bucket, key, self._store, pin=pin)).sha256

    def _from_file(self, path: str, pin: str) -> Blob:
        for again in range(_AGAIN):
            fd = self._files.open(path)
            try:
                return self._store.take(fd, pin=pin)
            except ApiError as error:
                if error.error.code != "E_CHANGED" or again == _AGAIN - 1:
                    raise
            finally:
                os.close(fd)
        raise AssertionError("the last try returns or raises")

    def _show(self, attempt: AttemptRef, shown: dict[str, str]) -> Path:
        top = self._open_top()
        name = name_of(attempt)
        try:
            shutil.rmtree(name, ignore_errors=True, dir_fd=top)
            os.mkdir(name, 0o755, dir_fd=top)
            folder = os.open(name, _OPEN_FOLDER, dir_fd=top)
            try:
                for place, sha256 in shown.items():
                    self._show_one(folder, place, sha256)
            finally:
                os.close(folder)
        finally:
            os.close(top)
        return self._tasks / FOLDER / name

    def _show_one(self, folder: int, place: str, sha256: str) -> None:
        *parents, last = place.split("/")
        opened = [os.dup(folder)]
        try:
            for part in parents:
                try:
                    os.mkdir(part, 0o755, dir_fd=opened[-1])
                except FileExistsError:
                    pass
                opened.append(os.open(part, _OPEN_FOLDER, dir_fd=opened[-1]))
            self._store.show(sha256, last, at=opened[-1])
        finally:
            for fd in opened:
                os.close(fd)

    def _open_top(self) -> int:
        """The folder of all that was brought, which is ours: what a task put in its place goes."""
        tasks = os.open(self._tasks, _OPEN_FOLDER)
        try:
            for _ in range(_AGAIN):
                try:
                    top = os.open(FOLDER, _OPEN_FOLDER, dir_fd=tasks)
                except FileNotFoundError:
                    os.mkdir(FOLDER, 0o755, dir_fd=tasks)
                    continue
                except OSError:  # a link, or a file
                    os.unlink(FOLDER, dir_fd=tasks)
                    continue
                if os.fstat(top).st_uid == os.geteuid():
                    return top
                os.close(top)
                shutil.rmtree(FOLDER, dir_fd=tasks)
            return os.open(FOLDER, _OPEN_FOLDER, dir_fd=tasks)
        finally:
            os.close(tasks)


def bringing_of(config: Config, store: BlobStore, peers: Peers) -> Bringing:
    """What an agent of this configuration brings."""

    async def fetch(contents: Sequence[Content], pin: str, attempt: AttemptRef) -> None:
        wanted = [Wanted(each.sha256, each.size) for each in contents]
        await peers.fetch(wanted, pin=pin, attempt=attempt)

    yes = Capability(level=1.0, verified=True)
    able = {CONTENT: yes} | ({NODE_FILES: yes} if config.files else {})
    buckets = S3Buckets(config.buckets, endpoint=config.s3_endpoint) if config.buckets else None
    if buckets is not None:
        lacking = Capability(level=0.0, verified=False, fault="pip install 'corral[s3]' is needed")
        able[BUCKETS] = lacking if installed() is None else yes
    return Bringing(config.tasks, store, fetch, files=Allowed(config.files), buckets=buckets, able=able)


def _open_below(folder: Path, rest: str, path: str) -> int:
    """Part by part from `folder`, which may be reached over links; nothing below it may."""
    at = -1
    try:
        at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        *parents, last = rest.split("/")
        for part in parents:
            inner = os.open(part, _OPEN_FOLDER, dir_fd=at)
            os.close(at)
            at = inner
        fd = os.open(last, _OPEN_FILE, dir_fd=at)
    except FileNotFoundError as error:
        raise ApiError(refusal("E_NOT_FOUND", "no such file on this node", got=quote(path))) from error
    except OSError as error:
        message = f"it cannot be read: {error.strerror}"
        raise ApiError(refusal("E_FILETYPE", message, got=quote(path))) from error
    finally:
        if at >= 0:
            os.close(at)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ApiError(refusal("E_FILETYPE", got=quote(path)))
    return fd


def _is_file(place: str) -> bool:
    return place.startswith(f"{FILES_FOLDER}/")


def _pin(attempt: AttemptRef) -> str:
    return _PIN + name_of(attempt)
