"""The agents' door to the desks: what tasks tell, leave and save, and what nodes say of their content."""

from __future__ import annotations

from typing import assert_never

from bus.artifacts import Kept
from bus.checkpoints import ResumeAsked, Saved
from bus.children import ChildrenAsked
from bus.replication import Fetch, Held
from bus.results import Progress
from bus.values import NodeName
from coordinator.agents import Hear, Heard, HeardReply
from coordinator.artifacts import ArtifactDesk
from coordinator.checkpoints import CheckpointDesk
from coordinator.replication import Replication
from coordinator.results import ResultDesk


def hearing(
    results: ResultDesk, artifacts: ArtifactDesk, copies: Replication, checkpoints: CheckpointDesk
) -> Hear:
    """One function for all of them."""

    async def hear(node: NodeName, said: Heard) -> HeardReply:
        match said:
            case Progress():
                return await results.hear(node, said)
            case Kept():
                kept = await artifacts.keep(node, said)
                copies.came()
                return kept
            case Fetch():
                return await copies.fetch(node, said)
            case Held():
                return await copies.held(node, said)
            case Saved():
                reply = await checkpoints.keep(node, said)
                if reply.complete:
                    copies.came()
                return reply
            case ResumeAsked():
                return await checkpoints.resume(node, said)
            case ChildrenAsked():
                return await results.children(node, said)
            case _:
                assert_never(said)

    return hear
