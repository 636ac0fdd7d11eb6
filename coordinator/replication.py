"""Copies of content: who may fetch what from whom, which copies are made, what nodes found.

What to do is planned by `coordinator.core.replication`, kept, and only then told: a node is told again in
every round until it has said that the copy is there, so that nothing is lost by whoever dies meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Sequence

from bus.errors import ApiError, BusError, DecodeError
from bus.messages import OpenStream
from bus.refusal import refusal
from bus.replication import SEND, Fetch, FetchReply, Held, HeldBlob, HeldReply
from bus.values import NodeAdmin, NodeHealth, NodeKind, NodeName
from coordinator.clock import Clock
from coordinator.core.effects import EventRecord, GaugeRecord, Record
from coordinator.core.node import Node
from coordinator.core.replication import Plan, Site, choose_holder, plan_all
from coordinator.loop import Loop
from coordinator.store.errors import NotLeader, StoreError
from coordinator.store.replicas import Counts, ReplicaStore
from coordinator.tell import Teller
from coordinator.volumes import VolumeBook

log = logging.getLogger(__name__)

ROUND_S = 10.0
REPLACE_AFTER_S = 60.0
"""A node that was silent for so long is taken to be gone: its copies are made anew elsewhere."""

AT_ONCE = 500
TOLD_AT_ONCE = 200
LOOK_EVERY_S = 3600.0
_LOOKED_AT_ONCE = 2000
_MIB = 1024 * 1024


class Replication:
    """`fetch` and `held` for the agents' door, `run` beside it."""

    def __init__(
        self,
        loop: Loop,
        store: ReplicaStore,
        teller: Teller,
        clock: Clock,
        *,
        epoch: int,
        record: Callable[[Sequence[Record]], object],
        volumes: VolumeBook,
    ) -> None:
        self._loop = loop
        self._store = store
        self._teller = teller
        self._clock = clock
        self._epoch = epoch
        self._record = record
        self._volumes = volumes
        self._wake = asyncio.Event()
        self._cursor = ""
        self._lost: set[str] = set()
        self._looked: dict[NodeName, tuple[str, float]] = {}  # with which incarnation, when
        self._sending: Counter[NodeName] = Counter()

    # agents

    async def fetch(self, node: NodeName, asked: Fetch) -> FetchReply:
        """Open a stream to `node` at one that has what it wants. Raises ApiError, StoreUnavailable."""
        hashes = [sha256 for sha256, _ in asked.blobs]
        task = None
        if asked.attempt is not None:
            if not self._runs_there(node, asked):
                message = f"node {node} does not hold {asked.attempt}"
                raise ApiError(refusal("E_FENCED", message, field="/attempt"))
            task = asked.attempt.task.whole
        allowed = await self._store.allowed(node, hashes, task=task)
        allowed |= {sha256 for sha256 in hashes if self._volumes.may_fetch(node, sha256)}
        if not allowed.issuperset(hashes):
            refused = next(sha256 for sha256 in hashes if sha256 not in allowed)
            message = f"content {refused[:12]}… is not for node {node}"
            raise ApiError(refusal("E_FENCED", message, field="/blobs"))
        found = {sha256: set(names) for sha256, names in (await self._store.holders(hashes)).items()}
        for sha256 in hashes:
            if names := self._volumes.holders(sha256):
                found.setdefault(sha256, set()).update(map(NodeName, names))
        if not found:
            raise ApiError(refusal("E_NOT_FOUND", "no node has this content", field="/blobs"))
        sites = self.sites()
        for name, count in self._sending.items():
            if name in sites:
                sites[name].ordered = count
        holders = {sha256: frozenset(names) for sha256, names in found.items()}
        chosen = choose_holder(
            hashes, holders, sites=sites, asker=node, avoid=frozenset(map(NodeName, asked.avoid))
        ) or choose_holder(hashes, holders, sites=sites, asker=node, avoid=frozenset())
        if chosen is None:
            away = sorted({name for names in holders.values() for name in names} - {node})
            hint = f"it lies on {', '.join(away)}" if away else "it is said to lie there already"
            raise ApiError(
                refusal("E_UNAVAILABLE", "no node that has it answers", hint=hint, retry_after_s=2.0)
            )
        return await self._open(node, chosen[0], [(h, o) for h, o in asked.blobs if h in chosen[1]])

    async def held(self, node: NodeName, said: Held) -> HeldReply:
        """What a node found of its content. Raises StoreUnavailable."""
        counted = await self._store.held(node, said.blobs)
        for blob in said.blobs:
            if blob.code in ("E_HASH", "E_NOT_FOUND"):
                what = "is damaged" if blob.code == "E_HASH" else "is gone"
                text = f"content {blob.sha256[:12]}… {what} on {node}"
                self._event("content_damaged", "warning", text, node=node)
        if any(blob.code for blob in said.blobs):
            self._wake.set()
        return HeldReply(counted=tuple(counted))

    def came(self) -> None:
        """There is content that should have copies: do not wait for the next round."""
        self._wake.set()

    def _runs_there(self, node: NodeName, asked: Fetch) -> bool:
        assert asked.attempt is not None
        task = self._loop.cluster.find_task(asked.attempt.task)
        return task is not None and any(
            each.ref == asked.attempt and each.node == node for each in task.attempts
        )

    async def _open(self, asker: NodeName, holder: NodeName, blobs: list[tuple[str, int]]) -> FetchReply:
        stream = f"blob_send_{secrets.token_hex(6)}"
        command = OpenStream(
            epoch=0,  # the teller's to say
            stream=stream,
            user="",
            peer=asker,
            kind=SEND,
            params={"blobs": [[sha256, offset] for sha256, offset in blobs]},
        )
        try:
            reply = await self._teller.open_stream(holder, command)
        except (BusError, DecodeError) as error:
            message = f"node {holder} does not answer: {error}"
            raise ApiError(refusal("E_UNAVAILABLE", message, retry_after_s=2.0)) from error
        if reply.code:  # what it does not have it tells us by itself: then somebody else is asked
            raise ApiError(refusal("E_UNAVAILABLE", f"{holder}: {reply.error}", retry_after_s=2.0))
        self._sending[holder] += 1
        return FetchReply(holder=holder, stream=stream, blobs=tuple(sha256 for sha256, _ in blobs))

    # the background

    async def run(self) -> None:
        """Until cancelled: one round after the other."""
        while True:
            try:
                more = await self.round()
            except NotLeader:
                return  # whoever leads now goes on
            except StoreError as error:
                log.warning("copies are planned later: %s", error)
                more = False
            except Exception:  # whatever nodes said, nobody shall be without a coordinator for it
                log.exception("copies are planned later")
                more = False
            if not more:
                try:
                    async with asyncio.timeout(ROUND_S):
                        await self._wake.wait()
                except TimeoutError:
                    pass
                self._wake.clear()

    async def round(self) -> bool:
        """Look at the next pieces of content that need it. True: there are more. Raises StoreError."""
        await self._loop.barrier()
        self._sending.clear()
        sites = self.sites()
        away = [name for name, site in sites.items() if not site.is_there]
        if not self._cursor:
            await self._store.forget(epoch=self._epoch)
            await self._look(sites)
        contents = await self._store.troubled(away, after=self._cursor, limit=AT_ONCE)
        plans = plan_all(contents, sites)
        if plans and not await self._store.settle(plans, epoch=self._epoch):
            raise NotLeader("another coordinator leads")
        await self._tell(plans, sites)
        self._note_lost(plans)
        is_whole = len(contents) == AT_ONCE
        self._cursor = contents[-1].sha256 if is_whole else ""
        if not is_whole:
            self._gauge(await self._store.counts(away))
        return is_whole

    async def _tell(self, plans: Sequence[Plan], sites: dict[NodeName, Site]) -> None:
        orders: dict[NodeName, list[tuple[str, int]]] = {}
        spare: dict[NodeName, list[str]] = {}
        for plan in plans:
            for node in plan.ordered if plan.primary is not None else ():
                orders.setdefault(node, []).append((plan.sha256, plan.size))
            for node in plan.drop:
                spare.setdefault(node, []).append(plan.sha256)
        for node, blobs in orders.items():
            if sites[node].is_there:
                problem = await self._teller.copy_blobs(node, blobs[:TOLD_AT_ONCE])
                if problem is not None:
                    log.warning("node %s does not take an order of copies: %s", node, problem)
        for node, hashes in spare.items():
            marked = await self._store.spare(node, hashes, epoch=self._epoch)
            if marked and await self._teller.drop_blobs(node, marked) is None:
                await self._store.dropped(node, marked)

    async def _look(self, sites: dict[NodeName, Site]) -> None:
        """Whether nodes that began anew, or were not asked for long, still have what they are believed to."""
        now_s = self._clock.now_s()
        for name, site in sites.items():
            node = self._loop.cluster.nodes.get(name)
            if node is None or not site.is_there or node.health is NodeHealth.UNREACHABLE:
                continue
            incarnation, looked_s = self._looked.get(name, ("", 0.0))
            if incarnation == node.incarnation and now_s - looked_s < LOOK_EVERY_S:
                continue
            if await self._look_at(node):
                self._looked[name] = node.incarnation, now_s

    async def _look_at(self, node: Node) -> bool:
        after = ""
        while page := await self._store.believed(node.name, after=after, limit=_LOOKED_AT_ONCE):
            try:
                said = await self._teller.lacked_blobs(node.name, page)
            except (BusError, DecodeError) as error:
                log.warning("node %s was not asked what it has: %s", node.name, error)
                return False
            if lacked := set(page).intersection(said):  # what it was not asked for is none of its business
                blobs = tuple([HeldBlob(sha256, 0, "E_NOT_FOUND") for sha256 in sorted(lacked)])
                await self.held(node.name, Held(node=node.name, blobs=blobs))
            after = page[-1]
        return True

    def sites(self) -> dict[NodeName, Site]:
        """All nodes as copies see them now."""
        now_s = self._clock.now_s()
        return {name: site_of(node, now_s=now_s) for name, node in self._loop.cluster.nodes.items()}

    def _note_lost(self, plans: Sequence[Plan]) -> None:
        """Once each: when nobody has it any more."""
        for plan in plans:
            if plan.is_lost and plan.sha256 not in self._lost:
                self._lost.add(plan.sha256)
                text = f"the last good copy of content {plan.sha256[:12]}… ({plan.size} bytes) is lost"
                self._event("content_lost", "error", text, details={"sha256": plan.sha256})
            elif not plan.is_lost:
                self._lost.discard(plan.sha256)

    def _gauge(self, counts: Counts) -> None:
        now_s = self._clock.now_s()
        found = {"under_replicated": counts.under, "replicated": counts.total, "unheld": counts.unheld}
        self._record([GaugeRecord(at=now_s, name=name, value=float(value)) for name, value in found.items()])

    def _event(
        self,
        kind: str,
        severity: str,
        text: str,
        *,
        node: NodeName | None = None,
        details: dict[str, object] | None = None,
    ) -> None:
        known = self._loop.cluster.nodes.get(node) if node is not None else None
        self._record(
            [
                EventRecord(
                    at=self._clock.now_s(),
                    event_type=kind,
                    severity=severity,
                    message=text,
                    node=node,
                    node_id=known.id if known is not None else None,
                    details=details or {},
                )
            ]
        )


def site_of(node: Node, *, now_s: float) -> Site:
    """A node as copies see it."""
    silent_s = now_s - node.last_beat_s
    return Site(
        name=node.name,
        is_there=node.health is not NodeHealth.UNREACHABLE or silent_s < REPLACE_AFTER_S,
        takes=(
            node.health is NodeHealth.HEALTHY
            and node.admin is NodeAdmin.ACTIVE
            and node.kind is not NodeKind.CONTROL
        ),
        where=node.labels.get("rack") or node.labels.get("zone") or "",
        for_storage=node.kind is NodeKind.STORAGE,
        room_bytes=node.free.storage_mib * _MIB,
    )
