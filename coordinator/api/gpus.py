"""`gpu.*`: the GPUs of the nodes, and which of them are given to tasks."""

from __future__ import annotations

from msgspec import Struct

from bus.errors import ApiError
from bus.gpus import GpuQuery, Gpus, GpuSteer
from bus.refusal import quote, refusal
from bus.values import NodeName
from coordinator.api.access import viewer
from coordinator.api.steer import Steer, check_reason
from coordinator.core.events import GpuAsked
from coordinator.loop import Loop
from coordinator.shown import gpus_shown
from coordinator.store.rows import UserRow


class GpuDesk:
    """The handlers. Everybody may see which GPUs there are, and who has one's own."""

    def __init__(self, loop: Loop, steer: Steer) -> None:
        self._loop = loop
        self._steer = steer
        self.handlers = {
            "gpu.list": self.list,
            "gpu.quarantine": self.quarantine,
            "gpu.release": self.release,
        }

    async def list(self, user: UserRow, request: Struct) -> Struct:
        """`gpu.list`."""
        assert isinstance(request, GpuQuery)
        await self._loop.barrier()
        nodes = self._loop.cluster.nodes
        if request.node and request.node not in nodes:
            raise ApiError(refusal("E_NOT_FOUND", "no such node", field="/node", got=quote(request.node)))
        found = [
            gpu
            for name, node in sorted(nodes.items())
            if request.node in ("", name)
            for gpu in gpus_shown(node, viewer=viewer(user))
        ]
        out = [gpu for gpu in found if gpu.state == "quarantined"]
        return Gpus(gpus=out if request.quarantined else found, total=len(found), quarantined=len(out))

    async def quarantine(self, user: UserRow, request: Struct) -> Struct:
        """`gpu.quarantine`: what runs on it goes on."""
        return await self._ask(user, request, quarantined=True)

    async def release(self, user: UserRow, request: Struct) -> Struct:
        """`gpu.release`: what its agent has told of it so far is forgiven."""
        return await self._ask(user, request, quarantined=False)

    async def _ask(self, user: UserRow, request: Struct, *, quarantined: bool) -> Struct:
        assert isinstance(request, GpuSteer)
        self._steer.check_database()
        check_reason(request.reason)
        return await self._steer.ask(
            GpuAsked(
                node=NodeName(request.node),
                gpu=request.gpu,
                quarantined=quarantined,
                reason=request.reason.strip(),
                by=user.name,
            )
        )
