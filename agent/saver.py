"""Checkpoints of tasks: taken into the content store and told; put back before a new attempt starts.

The folder of an attempt is the queue: what an outage, a full store or a restart holds up is taken later. A
record on our own disk (`saves/<attempt>.json`) says which attempts have one and what of it was taken. An
attempt ends for the cluster when what it saved last is kept (`settle`), so that the next one finds it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from agent.blobs import BlobStore
from agent.core import saving
from agent.core.model import Order
from agent.core.notes import LINE_MAX, hear
from agent.core.saving import Saving, Wanted, due
from agent.leavings import Leavings
from agent.records import PART, Damaged, attempt_named, name_of, read_record, sweep, write_whole
from agent.saved_folders import SavedFolders
from agent.taking import CLUSTER
from agent.words import plain
from bus import subjects
from bus.checkpoints import ResumeAsked, ResumeReply, Saved, SavedFile, SavedReply
from bus.codec import decode_to_agent_reply, encode
from bus.errors import ApiError, BusError, DecodeError
from bus.messages import FromAgent, ToAgentReply
from bus.refusal import refusal
from bus.subjects import NodeVerb
from bus.transport import Bus
from bus.values import AttemptRef

_log = logging.getLogger(__name__)

INTERVAL_S = 1.0
SETTLE_MAX_S = 60.0
"""So long an end waits for what was saved: the cluster should hear of it even where the store is full."""

_SETTLE_POLL_S = 0.2
_TIMEOUT_S = 10.0
_WAIT = frozenset({"E_SPACE", "E_UNAVAILABLE"})
_POINTS_MAX = 10_000
_PIN = "saved-"
_WORLD = (ApiError, BusError, DecodeError, OSError)

Fetch = Callable[[AttemptRef, Sequence[SavedFile], str], Awaitable[None]]
"""Brings content to this node's store, whoever has it, and pins it by the name given."""


class _Watched(Struct):
    """`over`: it has ended, and nobody writes there any more. `ending`: it was told to end. `stale`: the
    attempt does not count any more. `untold`: taken, pinned, and not yet heard by the coordinator."""

    state: Saving
    lock: asyncio.Lock
    ending: bool = False
    over: bool = False
    stale: bool = False
    fault: str = ""
    untold: tuple[Wanted, Saved] | None = None


class Saver:
    """`run` for ever. `prepare` before a start, `settle` at an end, `over` once that is told."""

    def __init__(
        self, bus: Bus, node: str, tasks: Path, records: Path, store: BlobStore, *, fetch: Fetch
    ) -> None:
        self._bus = bus
        self._node = node
        self._folders = SavedFolders(tasks)
        self._leavings = Leavings(tasks)
        self._records = records
        self._store = store
        self._fetch = fetch
        self._watched: dict[AttemptRef, _Watched] = {}
        self._settling: set[asyncio.Task[None]] = set()
        for sha256 in store.names:
            for pin in store.pins(sha256):
                if pin.startswith(_PIN):  # of before: what it was taken for is taken anew
                    store.unpin(sha256, pin)
        records.mkdir(0o700, parents=True, exist_ok=True)
        sweep(records.glob(f"*{PART}"))
        for path in records.glob("*.json"):
            attempt = attempt_named(path.stem)
            if attempt is not None:
                self._watched[attempt] = _Watched(_recorded(path), asyncio.Lock())

    @property
    def fault(self) -> str:
        """What hinders it; empty: nothing."""
        return next((one.fault for one in self._watched.values() if one.fault), "")

    def holds(self, attempt: AttemptRef) -> bool:
        """Whether its end is to wait for `settle`."""
        return attempt in self._watched

    def ending(self, attempts: Sequence[AttemptRef]) -> None:
        """These were told to end: what they save from now on are emergencies."""
        for attempt in attempts:
            if attempt in self._watched:
                self._watched[attempt].ending = True

    def over(self, attempt: AttemptRef) -> None:
        """It is over here, however it ended."""
        if attempt in self._watched:
            self._watched[attempt].over = True

    async def prepare(self, order: Order) -> dict[str, str]:
        """The variables of an order; its folder, with what it goes on from.

        Only a later attempt asks: the first one has nothing to go on from. Raises ApiError, BusError,
        DecodeError.
        """
        settings = order.work.settings.checkpoint
        if settings is None:
            return {}
        attempt = order.attempt
        state = Saving(folder=settings.folder, interval_s=settings.interval_s)
        found = await self._ask_resume(attempt) if attempt.fence > 1 else ResumeReply()
        if found.id:
            pin = _pin(attempt)
            await self._fetch(attempt, found.files, pin)
            try:
                await asyncio.to_thread(self._restore, attempt, found)
            finally:
                for file in found.files:
                    await asyncio.to_thread(self._store.unpin, file.sha256, pin)
            state.done = await asyncio.to_thread(self._folders.entries, attempt, state.folder, [found.path])
        else:
            await asyncio.to_thread(self._folders.make, attempt)
        self._watched[attempt] = _Watched(state, asyncio.Lock())
        await asyncio.to_thread(self._record, attempt, state)
        env = {"CORRAL_CHECKPOINT_DIR": self._folders.path(attempt)}
        if settings.interval_s is not None:
            env["CORRAL_CHECKPOINT_INTERVAL"] = f"{settings.interval_s:g}"
        if found.id:
            env["CORRAL_RESUME"] = f"{self._folders.path(attempt)}/{found.path}"
            env["CORRAL_RESUME_STEP"] = str(found.step)
        return env

    async def settle(self, attempt: AttemptRef, *, emergency: bool) -> None:
        """Take what an attempt that has just ended saved last; not for longer than SETTLE_MAX_S."""
        watched = self._watched.get(attempt)
        if watched is None:
            return
        watched.over = True
        watched.ending = watched.ending or emergency
        work = asyncio.create_task(self._take_all(attempt, watched), name=f"saves of {attempt}")
        self._settling.add(work)
        work.add_done_callback(self._settling.discard)
        done, _ = await asyncio.wait({work}, timeout=SETTLE_MAX_S)
        if not done:  # it goes on, and may come in time for the next attempt yet
            _log.warning("%s has ended, and what it saved last is not kept yet: %s", attempt, watched.fault)

    async def run(self) -> None:
        """Look at each folder each second."""
        while True:
            for attempt, watched in list(self._watched.items()):
                is_over = watched.over
                try:
                    if await self._look(attempt, watched) and is_over:
                        await asyncio.to_thread(self._forget, attempt)
                except Exception as error:  # noqa: BLE001 - top of its loop: what others save is taken
                    watched.fault = f"what {attempt} saved waits: {error!r}"[:500]
                    _log.exception("what %s saved", attempt)
            await asyncio.sleep(INTERVAL_S)

    async def _take_all(self, attempt: AttemptRef, watched: _Watched) -> None:
        while True:
            if await self._look(attempt, watched):
                return
            await asyncio.sleep(_SETTLE_POLL_S)

    async def _look(self, attempt: AttemptRef, watched: _Watched) -> bool:
        """Take what is due. False: something could not be taken just now."""
        async with watched.lock:
            state = watched.state
            try:
                await self._tell(attempt, watched)
                if watched.stale:
                    return True
                await asyncio.to_thread(self._hear, attempt, state)
                entries = await asyncio.to_thread(
                    self._folders.entries, attempt, state.folder, list(state.told)
                )
                for wanted in due(state, entries, now_s=time.monotonic(), over=watched.over):
                    await self._take(attempt, watched, wanted)
            except _WORLD as error:
                watched.fault = f"what {attempt} saved waits: {error}"[:500]
                _log.warning("%s", watched.fault)
                return False
            watched.fault = ""
            return True

    def _hear(self, attempt: AttemptRef, state: Saving) -> None:
        """What its notes tell of checkpoints, from where they were read last."""
        fd = self._leavings.open_notes(attempt)
        if fd is None:
            return
        try:
            while data := os.pread(fd, LINE_MAX, state.place):
                heard = hear(data, values_max=_POINTS_MAX)
                state.place += heard.used
                for save in heard.saves:
                    state.told[save.path] = save
                if not heard.used:
                    return
        finally:
            os.close(fd)

    async def _take(self, attempt: AttemptRef, watched: _Watched, wanted: Wanted) -> None:
        said = Saved(
            node=self._node,
            attempt=attempt,
            step=wanted.step,
            path=plain(wanted.path, 1000),
            emergency=watched.ending,
            shard=wanted.shard,
            metrics=wanted.metrics,
        )
        try:
            if wanted.fault:
                raise ApiError(refusal("E_VALUE", wanted.fault))
            said.files = await asyncio.to_thread(self._copy, attempt, wanted.path)
        except ApiError as error:
            code = error.error.code
            if code in _WAIT or (code == "E_CHANGED" and watched.over):
                raise
            if code == "E_CHANGED":
                return  # it is being written: it is looked at again
            said.code, said.message = code, error.error.message[:200]
        watched.untold = wanted, said
        await self._tell(attempt, watched)

    async def _tell(self, attempt: AttemptRef, watched: _Watched) -> None:
        """What was taken last, if the coordinator has not heard of it yet: the next one waits for that."""
        if watched.untold is None:
            return
        wanted, said = watched.untold
        reply = await self._ask(said, NodeVerb.SAVED)
        if not isinstance(reply, SavedReply):
            raise BusError(f"a checkpoint was answered with {type(reply).__name__}")
        if reply.code in _WAIT:
            raise BusError(reply.message or reply.code)
        await asyncio.to_thread(self._keep, attempt, said, reply)
        if reply.code:
            watched.stale = reply.code == "E_FENCED"
            _log.info("%s of %s is not kept: %s %s", ascii(said.path), attempt, reply.code, reply.message)
        watched.untold = None
        saving.settle(watched.state, wanted, now_s=time.monotonic())
        await asyncio.to_thread(self._record, attempt, watched.state)

    def _keep(self, attempt: AttemptRef, said: Saved, reply: SavedReply) -> None:
        for file in said.files:
            if not reply.code:
                self._store.pin(file.sha256, CLUSTER)
            self._store.unpin(file.sha256, _pin(attempt))
        for path in reply.gone:
            self._folders.remove(attempt, path)

    def _copy(self, attempt: AttemptRef, path: str) -> tuple[SavedFile, ...]:
        taken: list[SavedFile] = []
        pin = _pin(attempt)
        try:
            for name in self._folders.names(attempt, path):
                fd = self._folders.open(attempt, name)
                try:
                    blob = self._store.take(fd, pin=pin)
                finally:
                    os.close(fd)
                taken.append(SavedFile(name, blob.sha256, blob.size))
        except BaseException:
            for file in taken:
                self._store.unpin(file.sha256, pin)
            raise
        return tuple(taken)

    def _restore(self, attempt: AttemptRef, found: ResumeReply) -> None:
        self._folders.make(attempt)
        for file in found.files:
            try:
                with self._store.open(file.sha256) as source:
                    self._folders.write(attempt, file.name, source, sha256=file.sha256)
            except ApiError as error:
                if error.error.code == "E_HASH":
                    self._store.scrub(file.sha256)  # damaged here: the next try has it from elsewhere
                raise

    async def _ask_resume(self, attempt: AttemptRef) -> ResumeReply:
        reply = await self._ask(ResumeAsked(node=self._node, attempt=attempt), NodeVerb.RESUME)
        if not isinstance(reply, ResumeReply):
            raise BusError(f"a question for a checkpoint was answered with {type(reply).__name__}")
        return reply

    async def _ask(self, message: FromAgent, verb: NodeVerb) -> ToAgentReply:
        subject = subjects.node(self._node, verb)
        answer = await self._bus.request(subject, encode(message), timeout_s=_TIMEOUT_S)
        return decode_to_agent_reply(answer.data, subject=subject)

    def _record(self, attempt: AttemptRef, state: Saving) -> None:
        """On a full disk it is not written: then what was taken is told again after a restart, once."""
        with suppress(OSError):
            write_whole(self._records / f"{name_of(attempt)}.json", msgspec.json.encode(state))

    def _forget(self, attempt: AttemptRef) -> None:
        self._watched.pop(attempt, None)
        path = self._records / f"{name_of(attempt)}.json"
        try:
            self._folders.remove(attempt)
            path.unlink(missing_ok=True)
        except OSError as error:  # an agent after us finds it, and nothing in it
            _log.warning("%s stays: %s", path, error)


def _pin(attempt: AttemptRef) -> str:
    return _PIN + name_of(attempt)


def _recorded(path: Path) -> Saving:
    """What is known of an attempt. Of one whose record is damaged all that lies there is taken again."""
    try:
        return read_record(path, Saving)
    except (Damaged, FileNotFoundError) as error:
        _log.error("%s; what its attempt saved is taken again, where it was not told of a folder", error)
        return Saving()
