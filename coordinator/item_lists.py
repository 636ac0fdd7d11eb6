"""Lists that the `for_each` of submissions points to: read once from a node that has them, checked, kept.

The text never becomes a whole in memory: it is checked as it comes, and kept packed. What is in the database
already, or with a live job, is not read again. One list is read at a time, so that many submissions at once
cost the memory of one.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Iterator

from msgspec import Struct

from bus.artifacts import GET, Artifact
from bus.contents import KeptList, Scheme, parse_pointer
from bus.errors import ApiError, BusError, DecodeError
from bus.item_lists import BYTES_MAX, ItemList, ItemReader, ListFault
from bus.messages import OpenStream
from bus.refusal import quote, refusal
from bus.spec import JobSpec, TaskSpec
from bus.streams import StreamBroken, joined
from bus.transport import Bus
from coordinator.artifacts import ArtifactDesk
from coordinator.core.model import Cluster
from coordinator.loop import Loop
from coordinator.store.errors import StoreError
from coordinator.store.item_lists import ItemListStore
from coordinator.store.rows import UserRow
from coordinator.tell import Teller

log = logging.getLogger(__name__)

LISTS_MAX = 16
"""Different lists in one job."""

PACKED_BYTES_MAX = 256 * 2**20
"""Of the lists of all live jobs together, as they are kept in memory."""

READ_S = 60.0
PIECE = 256 * 1024
ROUND_S = 600.0
UNUSED_S = 3_600.0
"""How long a list stays that no job names: whoever submits it again within that time need not bring it."""


class Lists(Struct, frozen=True):
    """What the lists of a submission mean, by the pointers that it says, and by their hashes."""

    kept: dict[str, KeptList]
    content: dict[str, ItemList]


NONE = Lists({}, {})


class ItemLists:
    """`of` for who takes submissions in; `run` is housekeeping in the background."""

    def __init__(
        self, bus: Bus, store: ItemListStore, artifacts: ArtifactDesk, loop: Loop, teller: Teller
    ) -> None:
        self._bus = bus
        self._store = store
        self._artifacts = artifacts
        self._loop = loop
        self._teller = teller
        self._reading = asyncio.Lock()

    async def of(self, user: UserRow, spec: JobSpec) -> Lists:
        """All that `spec` points to. Raises ApiError with what is wrong with the first that is none,
        StoreUnavailable."""
        said = dict(_said(spec))
        if not said:
            return NONE
        if len(said) > LISTS_MAX:
            got, expected = str(len(said)), f"at most {LISTS_MAX} different lists in a job"
            raise ApiError(refusal("E_TOO_MANY", field="/tasks", got=got, expected=expected))
        kept: dict[str, KeptList] = {}
        content: dict[str, ItemList] = {}
        for word, field in said.items():
            found = await self._find(user, word, field)
            items = content.get(found.sha256) or await self._items(user, found, field)
            content[found.sha256], kept[word] = items, KeptList(found.sha256, items.count)
        return Lists(kept, content)

    async def run(self) -> None:
        """Let go of lists that no job names any more, now and then, until cancelled."""
        while True:
            try:
                if dropped := await self._store.drop(unused_s=UNUSED_S):
                    log.info("%d lists of items that no job names went", dropped)
            except StoreError as error:
                log.warning("unused lists of items stay for now: %s", error)
            await asyncio.sleep(ROUND_S)

    async def _find(self, user: UserRow, word: str, field: str) -> Artifact:
        expected = "a list of items, or a pointer to one: corral://1042.7/names.txt"
        hint = ""
        if any(mark in word for mark in "*?["):
            hint = "`corral submit --for-each` expands patterns where the files are"
        try:
            pointer = parse_pointer(word) if word.startswith(f"{Scheme.CORRAL}://") else None
        except ValueError:
            pointer = None
        if pointer is None:
            raise ApiError(refusal("E_VALUE", field=field, got=quote(word), expected=expected, hint=hint))
        found = await self._artifacts.find(user, pointer.path, field=field)
        if found.size > BYTES_MAX:
            message = f"{found.name} is too long for a list"
            got, expected = f"{found.size} bytes", f"at most {BYTES_MAX}"
            hint = "submit several jobs"
            raise ApiError(
                refusal("E_TOO_LARGE", message, field=field, got=got, expected=expected, hint=hint)
            )
        return found

    async def _items(self, user: UserRow, found: Artifact, field: str) -> ItemList:
        async with self._reading:
            live = dict(live_lists(self._loop.cluster))
            items = live.get(found.sha256) or await self._store.find(found.sha256)
            read = items is None
            if items is None:
                items = await self._read(user, found, field)
            held = sum(each.packed_bytes for sha256, each in live.items() if sha256 != found.sha256)
            if held + items.packed_bytes > PACKED_BYTES_MAX:
                message = f"the lists of live jobs take {held >> 20} MiB already"
                raise ApiError(
                    refusal(
                        "E_TOO_MANY",
                        message,
                        field=field,
                        got=f"{items.packed_bytes >> 20} MiB more, packed",
                        expected=f"at most {PACKED_BYTES_MAX >> 20} MiB together",
                        hint="submit it when some of these jobs are over",
                        retry_after_s=60.0,
                    )
                )
            if read:
                await self._store.keep(found.sha256, items)
            return items

    async def _read(self, user: UserRow, found: Artifact, field: str) -> ItemList:
        """From a node that has it, as the user could. Raises ApiError."""
        target = await self._artifacts.sender(found.sha256, found.nodes, offset=0)
        stream = f"blob_get_{secrets.token_hex(6)}"
        command = OpenStream(epoch=0, stream=stream, user=user.name, kind=GET, params=target.params)
        reader, digest, size = ItemReader(), hashlib.sha256(), 0
        try:
            async with asyncio.timeout(READ_S):
                reply = await self._teller.open_stream(target.node, command)
                if reply.code:
                    raise ApiError(refusal(reply.code, reply.error, field=field))
                async with joined(self._bus, target.node, stream, user=user.name) as end:
                    while piece := await end.read(PIECE):
                        size += len(piece)
                        digest.update(piece)
                        await asyncio.to_thread(reader.feed, piece)
                items = await asyncio.to_thread(reader.finish)
        except ListFault as fault:
            message, hint = f"{found.name}, {fault}", "mend the list, and submit it again"
            raise ApiError(
                refusal(fault.code, message, field=field, got=fault.got, expected=fault.expected, hint=hint)
            ) from fault
        except (TimeoutError, StreamBroken, BusError, DecodeError) as fault:
            message = f"{found.name} cannot be read from {target.node}: {str(fault) or 'no answer in time'}"
            raise ApiError(refusal("E_UNAVAILABLE", message, field=field, retry_after_s=5.0)) from fault
        if size != found.size or digest.hexdigest() != found.sha256:
            message = f"what {target.node} has of {found.name} is not what its hash says"
            got, expected = f"{size} bytes, {digest.hexdigest()}", f"{found.size} bytes, {found.sha256}"
            raise ApiError(refusal("E_HASH", message, field=field, got=got, expected=expected))
        return items


def _said(spec: JobSpec) -> Iterator[tuple[str, str]]:
    """The pointers of a job, each with the last place where it stands."""
    entries: list[tuple[str, JobSpec | TaskSpec]] = [("", spec)]
    entries += [(f"/tasks/{place}", task) for place, task in enumerate(spec.tasks or ())]
    for path, entry in entries:
        if isinstance(entry.for_each, str):
            yield entry.for_each, f"{path}/for_each"


def live_lists(cluster: Cluster) -> Iterator[tuple[str, ItemList]]:
    """Those that live jobs stand on, by hash."""
    for job in cluster.jobs.values():
        for group in job.groups:
            if group.values is not None and group.values.listed is not None:
                yield group.values.listed_as, group.values.listed
