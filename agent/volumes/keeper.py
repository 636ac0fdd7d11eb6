"""Keeps this node's volumes as the coordinator wants them, and gives them to tasks.

`wanted` takes the coordinator's word and answers how all is; `run` does the rest, volume after volume, a step
at a time (`agent.core.volumes`). `bring` and `over` are for tasks: from the one to the other the volume stays
as they have it. Each volume is worked on by one at a time, and what takes long is not done in the event loop.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Container
from pathlib import Path

from agent.core.model import Order
from agent.core.volumes import Deed, Step, next_step
from agent.scrubbing import Scrubs
from agent.volumes.backups import Backups
from agent.volumes.fetch import Fetch
from agent.volumes.scrubbing import VolumeScrubber
from agent.volumes.store import VolumeStore
from agent.volumes.volume import Volume
from agent.words import plain
from bus.errors import ApiError, BusError
from bus.mounts import Mount, variable
from bus.refusal import refusal
from bus.units import format_size_mib
from bus.values import AttemptRef
from bus.volume_wire import PoolFound, VolumeFound, VolumesFound, VolumesWanted, VolumeWanted

_log = logging.getLogger(__name__)

LOOK_S = 5.0
"""Between two looks at how full the volumes are that tasks write to …"""

_LOOK_SHARE = 20
"""… and at least so many times as long as the last look took."""

PLACES = "CORRAL_VOLUME_PLACES"
"""Tells the guard where tasks want their volumes (`agent.guard.files.Placed`); it takes that out again."""

_AT_ONCE = 2
_FAULT_MAX = 300
_MIB = 1024 * 1024


class Volumes:
    """`held`: the attempts of this node; `end` ends some with a reason; `fetch` brings replicas."""

    def __init__(
        self,
        store: VolumeStore,
        node: str,
        *,
        held: Callable[[], Container[AttemptRef]],
        end: Callable[[tuple[AttemptRef, ...], str], object],
        fetch: Fetch,
        scrubs: Scrubs | None = None,
    ) -> None:
        self._store = store
        self._node = node
        self._held = held
        self._end = end
        self._fetch = fetch
        self._backups = Backups(store, fetch)
        self._scrubber = VolumeScrubber(store, scrubs or Scrubs(), alone=self._lock)
        self._wanted: dict[str, VolumeWanted] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._pools = asyncio.Lock()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._fetching: dict[str, asyncio.Task[None]] = {}
        self._woken = asyncio.Event()
        self._look_at_s = 0.0
        self._cleared: set[str] = set()  # of what an agent before us left half done
        self._before: dict[tuple[str, AttemptRef], int] = {}  # how much was in a volume when a task came

    @property
    def fault(self) -> str:
        """What is wrong with a volume here; "" where nothing is."""
        faults = (
            f"volume {_name(volume)}: {volume.fault}"
            for volume in self._store.volumes.values()
            if volume.fault
        )
        return next(faults, "")

    def sealed_file(self, sha256: str) -> Path | None:
        """Content of a volume, or a snapshot, that lies here as a file of this hash."""
        return self._store.sealed_file(sha256)

    def scrub(self) -> None:
        """All sealed files are read again, and hashed."""
        self._scrubber.ask()

    async def wanted(self, message: VolumesWanted) -> VolumesFound:
        """How all is now. What is not as it should be is worked on from here on."""
        pools: list[PoolFound] = []
        async with self._pools:
            for pool in message.pools:
                pools.append(await asyncio.to_thread(self._store.keep_pool, pool))
        found: list[VolumeFound] = []
        for each in message.volumes:
            self._want(each)
            try:
                volume = self._store.volume(each)
                found.append(await asyncio.to_thread(volume.found))
            except (ApiError, OSError) as error:
                found.append(VolumeFound(id=each.id, fault=plain(str(error), _FAULT_MAX)))
        self._woken.set()
        return VolumesFound(
            node=self._node,
            epoch=message.epoch,
            pools=tuple(pools),
            volumes=tuple(found),
            backups=await self._backups.wanted(message.backups),
        )

    def _want(self, volume: VolumeWanted) -> None:
        """What is fetched in vain, since something else is wanted now, is fetched no more."""
        before = self._wanted.get(volume.id)
        self._wanted[volume.id] = volume
        fetching = self._fetching.get(volume.id)
        if before is not None and fetching is not None and _brings(volume) != _brings(before):
            fetching.cancel()

    async def bring(self, order: Order) -> dict[str, str]:
        """The folders of an order's volumes, as variables. Raises ApiError."""
        env: dict[str, str] = {}
        placed: list[tuple[str, str, str, bool]] = []
        for mount in order.work.settings.volumes:
            folder = str(await self._open(order.attempt, mount))
            env[variable(mount.name)] = folder
            placed.append((variable(mount.name), mount.target, folder, mount.read_only))
        return env | {PLACES: json.dumps(placed)} if placed else env

    async def _open(self, attempt: AttemptRef, mount: Mount) -> Path:
        volume = self._store.volumes.get(mount.volume)
        known = self._wanted.get(mount.volume)
        if volume is None or (known is not None and not known.primary):
            message = f"volume {mount.name} is not on this node yet"
            raise ApiError(refusal("E_UNAVAILABLE", message, retry_after_s=1.0))
        writes = not mount.read_only
        try:
            async with self._lock(volume.id):
                folder = await asyncio.to_thread(self._store.open, volume, attempt, writes=writes)
                used = (await asyncio.to_thread(self._store.measure, volume)).used
                self._before[volume.id, attempt] = used
        except OSError as error:
            message = f"volume {mount.name}: {error.strerror}"
            raise ApiError(refusal("E_UNAVAILABLE", message, retry_after_s=1.0)) from error
        return folder

    def over(self, attempt: AttemptRef) -> None:
        """It has ended: its volumes are others' again."""
        if any(attempt == user for _, user in self._before):
            self._woken.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._backups.run(), name="backups")
            group.create_task(self._scrubber.run(), name="scrub of volumes")
            while True:
                for identity in {*self._store.volumes, *self._wanted}:
                    if not self._lock(identity).locked():
                        group.create_task(self._settle(identity), name=f"volume {identity}")
                self._woken.clear()
                try:
                    async with asyncio.timeout(LOOK_S):
                        await self._woken.wait()
                except TimeoutError:
                    pass
                if time.monotonic() >= self._look_at_s:
                    await self._look()

    async def _settle(self, identity: str) -> None:
        """Step by step, until all is as it should be or a step fails: then it is tried at the next look."""
        async with self._lock(identity):
            try:
                volume = self._store.volumes.get(identity) or self._store.volume(self._wanted[identity])
            except ApiError:
                return  # of a pool that is not here: the coordinator is told when it asks
            try:
                await asyncio.to_thread(self._close, volume)
                if identity not in self._cleared:
                    await asyncio.to_thread(self._store.clear_up, volume)
                    self._cleared.add(identity)
                if volume.damage and await self._is_damaged(volume):
                    return
                while True:
                    wanted = self._wanted.get(identity)
                    step = next_step(wanted, await asyncio.to_thread(volume.seen))
                    if step is None:
                        break
                    _log.info("volume %s: %s %s", _name(volume), step.deed, step.snapshot)
                    if _is_far(step, wanted):  # may wait for others for long: in no slot
                        assert wanted is not None
                        await self._fetched(step, volume, wanted)
                        continue
                    async with self._slots:
                        await self._do(step, volume, wanted)
                volume.fault = ""
            except (ApiError, BusError, OSError) as error:
                volume.fault = plain(str(error), _FAULT_MAX)
                _log.warning("volume %s: %s", _name(volume), volume.fault)
            except Exception as error:  # noqa: BLE001 - top of its loop: the other volumes are sound
                volume.fault = plain(repr(error), _FAULT_MAX)
                _log.exception("volume %s", _name(volume))

    async def _is_damaged(self, volume: Volume) -> bool:
        """Nothing is done to one of which nothing is known, but that it goes where it is wanted no more."""
        await asyncio.to_thread(volume.read)
        volume.fault = plain(volume.damage, _FAULT_MAX)
        wanted = self._wanted.get(volume.id)
        is_wanted = wanted is None or not wanted.removed
        if volume.damage and not is_wanted and not await asyncio.to_thread(volume.uses):
            await self._do(Step(Deed.REMOVE), volume, wanted)
            volume.damage = volume.fault = ""
        return bool(volume.damage)

    async def _fetched(self, step: Step, volume: Volume, wanted: VolumeWanted) -> None:
        """From another node, unless something else is wanted meanwhile."""
        task = asyncio.create_task(self._bring(step, volume, wanted), name=f"fetch {volume.id}")
        self._fetching[volume.id] = task
        try:
            await asyncio.wait((task,))
        finally:
            task.cancel()  # where it is us who are to end
            self._fetching.pop(volume.id, None)
        if not task.cancelled():
            task.result()

    async def _bring(self, step: Step, volume: Volume, wanted: VolumeWanted) -> None:
        if step.deed is Deed.FETCH:
            async with self._fetch(wanted.sha256, wanted.size) as source:
                del self._fetching[volume.id]  # from here on it is finished
                await asyncio.to_thread(self._store.receive, volume, wanted, source)
            return
        if step.deed is Deed.FILL:
            await self._fill_from_backup(volume, wanted)
            return
        kept = next(each for each in wanted.kept if each.id == step.snapshot)
        if self.sealed_file(kept.sha256) is not None:
            del self._fetching[volume.id]
            await asyncio.to_thread(self._store.keep_snapshot, volume, kept)
            return
        async with self._fetch(kept.sha256, kept.size) as source:
            del self._fetching[volume.id]
            await asyncio.to_thread(self._store.receive_snapshot, volume, kept, source)

    async def _fill_from_backup(self, volume: Volume, wanted: VolumeWanted) -> None:
        assert wanted.content is not None
        own = self.sealed_file(wanted.content.sha256)
        if own is not None:
            del self._fetching[volume.id]
            await asyncio.to_thread(self._store.fill_from, volume, wanted, own)
            return
        async with self._fetch(wanted.content.sha256, wanted.content.size) as source:
            del self._fetching[volume.id]
            await asyncio.to_thread(self._store.fill_from, volume, wanted, source)

    def _close(self, volume: Volume) -> None:
        """For those that are over: also who was, before we were started, or while it was opened for them."""
        held = self._held()
        for attempt in volume.uses():
            if attempt not in held:
                self._store.close(volume, attempt)
                self._before.pop((volume.id, attempt), None)

    async def _do(self, step: Step, volume: Volume, wanted: VolumeWanted | None) -> None:
        store = self._store
        match step.deed:
            case Deed.SEAL:
                await asyncio.to_thread(store.seal, volume)
                return
            case Deed.PUT_AWAY:
                await asyncio.to_thread(store.put_away, volume)
                return
            case Deed.REMOVE:
                await asyncio.to_thread(store.remove, volume)
                self._wanted.pop(volume.id, None)
                volume.meta = None
                return
        assert wanted is not None
        match step.deed:
            case Deed.MAKE:
                await asyncio.to_thread(store.make, volume, wanted)
            case Deed.FILL:
                await asyncio.to_thread(store.fill, volume, wanted)
            case Deed.SNAPSHOT:
                await asyncio.to_thread(store.take_snapshot, volume, step.snapshot)
            case Deed.DROP:
                await asyncio.to_thread(store.drop_snapshot, volume, step.snapshot)
            case Deed.PACK:
                await asyncio.to_thread(store.pack_snapshot, volume, step.snapshot)
            case Deed.UNPACK:
                await asyncio.to_thread(store.unpack_snapshot, volume, step.snapshot)

    async def _look(self) -> None:
        """Whoever has filled a volume beyond its size is ended; who frees room in a full one goes on."""
        begun_s = time.monotonic()
        for volume in list(self._store.volumes.values()):
            if volume.meta is None or self._lock(volume.id).locked():
                continue
            try:
                uses = await asyncio.to_thread(volume.uses)
                writers = tuple([each for each, writes in uses.items() if writes])
                if not writers:
                    continue
                meta = await asyncio.to_thread(self._store.measure, volume)
            except (ApiError, OSError) as error:
                _log.warning("volume %s cannot be measured: %s", _name(volume), error)
                continue
            grown = tuple([each for each in writers if meta.used > self._used_before(volume, each)])
            if meta.used > meta.size_mib * _MIB and grown:
                used, size = format_size_mib(-(-meta.used // _MIB)), format_size_mib(meta.size_mib)
                self._end(grown, f"E_SPACE: volume {meta.name} holds {used}, and its size is {size}")
        took_s = time.monotonic() - begun_s
        self._look_at_s = begun_s + max(LOOK_S, _LOOK_SHARE * took_s)

    def _used_before(self, volume: Volume, attempt: AttemptRef) -> int:
        """How much was in it when that task came, or we did."""
        used = volume.meta.used if volume.meta is not None else 0
        return self._before.setdefault((volume.id, attempt), used)

    def _lock(self, identity: str) -> asyncio.Lock:
        return self._locks.setdefault(identity, asyncio.Lock())


def _brings(wanted: VolumeWanted) -> tuple[object, ...]:
    return wanted.primary, wanted.removed, wanted.sha256, wanted.kept, wanted.content


def _is_far(step: Step, wanted: VolumeWanted | None) -> bool:
    """Whether it needs what another node has."""
    if step.deed is Deed.FILL:
        return wanted is not None and wanted.content is not None and bool(wanted.content.sha256)
    return step.deed in (Deed.FETCH, Deed.BRING)


def _name(volume: Volume) -> str:
    return volume.id[-12:] if volume.meta is None else volume.meta.name
