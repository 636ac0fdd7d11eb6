"""`replica.*`: what copies of content there are, what lacks some, and a look at all of it again."""

from __future__ import annotations

from msgspec import Struct

from bus.copies import ReplicaList, Replicas, ReplicaScrub, ReplicaScrubbed
from bus.errors import ApiError
from bus.refusal import quote, refusal
from bus.values import NodeName
from coordinator.api.access import viewer
from coordinator.api.find import Finder
from coordinator.api.jobs import check_range
from coordinator.api.listing import LIMIT_MAX, cut, row_of
from coordinator.core.replication import ReplicaState
from coordinator.loop import Loop
from coordinator.replication import Replication
from coordinator.store.replicas import Asked, ReplicaStore
from coordinator.store.rows import UserRow
from coordinator.tell import Teller


class ReplicaDesk:
    """The handlers of `replica.*`."""

    def __init__(
        self, loop: Loop, store: ReplicaStore, finder: Finder, teller: Teller, copies: Replication
    ) -> None:
        self._loop = loop
        self._store = store
        self._finder = finder
        self._teller = teller
        self._copies = copies
        self.handlers = {"replica.list": self.page, "replica.scrub": self.scrub}

    async def page(self, user: UserRow, request: Struct) -> Replicas:
        """`replica.list`: raises ApiError (E_RANGE, E_ENUM, E_CURSOR, and what ids raise)."""
        assert isinstance(request, ReplicaList)
        check_range(request.limit, 1, LIMIT_MAX, field="/limit")
        if request.state and request.state not in set(ReplicaState):
            expected = ", ".join(ReplicaState)
            raise ApiError(refusal("E_ENUM", field="/state", got=quote(request.state), expected=expected))
        await self._loop.barrier()
        if request.node and NodeName(request.node) not in self._loop.cluster.nodes:
            raise ApiError(refusal("E_NOT_FOUND", "no such node", field="/node", got=quote(request.node)))
        job, index = await self._finder.target_if_any(user, request.target, field="/target")
        asked = Asked(
            viewer=viewer(user),
            job=job,
            index=index,
            node=request.node or None,
            state=request.state or None,
            limit=request.limit + 1,
        )
        away = [name for name, site in self._copies.sites().items() if not site.is_there]
        counts = await self._store.counts(away)
        answer = Replicas(total=counts.total, lacking=counts.under, lost=counts.unheld)
        if request.under:
            lacking = await self._store.page_under(asked, away=away, after=request.cursor)
            answer.under, answer.next = cut(lacking, request.limit, lambda each: each.sha256)
        else:
            found = await self._store.page(asked, before=row_of(request.cursor))
            answer.replicas, answer.next = cut(found, request.limit, lambda each: each.id)
        return answer

    async def scrub(self, user: UserRow, request: Struct) -> ReplicaScrubbed:
        """`replica.scrub`."""
        assert isinstance(request, ReplicaScrub)
        await self._loop.barrier()
        nodes = self._loop.cluster.nodes
        if request.node and NodeName(request.node) not in nodes:
            raise ApiError(refusal("E_NOT_FOUND", "no such node", field="/node", got=quote(request.node)))
        wanted = [NodeName(request.node)] if request.node else sorted(nodes)
        answer = ReplicaScrubbed(nodes=[])
        for name in wanted:
            problem = await self._teller.scrub_blobs(name)
            if problem is None:
                answer.nodes.append(name)
            else:
                answer.unanswered[name] = problem
        return answer
