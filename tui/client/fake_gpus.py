"""The GPUs of the cluster that never was: eight on every eighth node, one of them with a fault."""

from __future__ import annotations

import time
import zlib

from msgspec.structs import replace

from bus.api import Node, NodeChanged
from bus.client import Change
from bus.gpus import MANUAL, Gpu
from tui.client.fake_world import World, not_found

GIVEN = 1_000
FAULTY = "n-0008 2"
FAULTS_S = 8_040.0
OWN_TASKS = 400


class FakeGpus:
    """A part of FakeCluster. `held`: by name, GPUs that were steered, as they are since."""

    world: World
    done: list[tuple[str, str]]
    held: dict[str, Gpu]

    def _check(self, operation: str) -> None:
        raise NotImplementedError

    def change(self, change: Change) -> None:
        """Tell the feed."""
        raise NotImplementedError

    def _audit(self) -> str:
        raise NotImplementedError

    def gpus_of(self, node: Node) -> list[Gpu]:
        """In their order; the first few are taken by tasks."""
        return [self._gpu(node, index) for index in range(node.capacity.gpus)]

    async def quarantine_gpu(self, node: str, gpu: str, *, reason: str = "") -> Gpu:
        """What runs on it goes on."""
        self._check("quarantine_gpu")
        found = self._found(node, gpu)
        return self._steered(
            replace(found, state="quarantined", kind=MANUAL, reason=reason, since=time.time(), by="demo")
        )

    async def release_gpu(self, node: str, gpu: str, *, reason: str = "") -> Gpu:
        """Whatever was wrong with it."""
        self._check("release_gpu")
        found = self._found(node, gpu)
        state = "taken" if found.taken_milli else "free"
        return self._steered(replace(found, state=state, kind="", reason="", since=None, by=""))

    def _steered(self, gpu: Gpu) -> Gpu:
        name = f"{gpu.node} {gpu.index}"
        self.held[name] = gpu
        self.done.append(("quarantine_gpu" if gpu.state == "quarantined" else "release_gpu", name))
        node = self.world.node(gpu.node)
        self.change(NodeChanged(node=node.name, health=node.health, admin=node.admin, at=time.time()))
        return replace(gpu, audit=self._audit())

    def _found(self, node: str, gpu: str) -> Gpu:
        found = next((each for each in self.gpus_of(self.world.node(node)) if str(each.index) == gpu), None)
        if found is None:
            raise not_found(f"no GPU {gpu} of {node}")
        return found

    def _gpu(self, node: Node, index: int) -> Gpu:
        name = f"{node.name} {index}"
        if (held := self.held.get(name)) is not None:
            return held
        is_taken = index < node.allocated.gpus
        gpu = Gpu(
            node=node.name,
            index=index,
            uuid=f"GPU-{zlib.crc32(name.encode()):08x}-4d1e-7c30-9a55-{zlib.crc32(name[::-1].encode()):012x}",
            model="NVIDIA H100 80GB",
            mem_mib=81_559,
            state="taken" if is_taken else "free",
            taken_milli=GIVEN if is_taken else 0,
            shareable=True,
            tasks=[f"{OWN_TASKS - index}.0"] if is_taken else [],
        )
        if name != FAULTY:
            return gpu
        reason = "XID 79: GPU has fallen off the bus"
        since = time.time() - FAULTS_S
        return replace(
            gpu, state="quarantined", kind="xid", reason=reason, since=since, taken_milli=0, tasks=[]
        )
