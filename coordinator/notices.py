"""What is noticed about agents' messages, as events of the cluster: at most one a minute, a node and a kind.

A broken agent sends rubbish as fast as it sends anything; the history must stay readable beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from bus.values import AttemptRef, NodeName
from coordinator.clock import Clock
from coordinator.core.effects import EventRecord, Record, RemarkRecord
from coordinator.core.model import Node

INTERVAL_S = 60.0
_KEPT = 4096  # nodes come out of subjects, which the server checked: this bounds memory all the same


class _Seen(Struct):
    told_at: float
    untold: int = 0


class Notices:
    """`note` turns what happened into an event, or counts it towards the next one."""

    def __init__(
        self,
        record: Callable[[Sequence[Record]], object],
        clock: Clock,
        nodes: Mapping[NodeName, Node],
    ) -> None:
        self._record = record
        self._nodes = nodes
        self._clock = clock
        self._seen: dict[tuple[NodeName, str], _Seen] = {}

    def note(
        self,
        node: NodeName,
        kind: str,
        message: str,
        *,
        severity: Literal["warning", "error"] = "warning",
        attempt: AttemptRef | None = None,
    ) -> None:
        """Tell it now, unless the same was told of `node` within INTERVAL_S.

        The log of the task of `attempt` has it each time.
        """
        now_s = self._clock.now_s()
        if attempt is not None:
            remark = RemarkRecord(at=now_s, attempt=attempt, node=node, severity=severity, text=message)
            self._record([remark])
        seen = self._seen.get((node, kind))
        if seen is not None and now_s - seen.told_at < INTERVAL_S:
            seen.untold += 1
            return
        untold = seen.untold if seen is not None else 0
        if len(self._seen) >= _KEPT:
            self._seen.pop(next(iter(self._seen)))
        self._seen[node, kind] = _Seen(now_s)
        text = message + (f" (and {untold} more since the last one)" if untold else "")
        known = self._nodes.get(node)  # by its id everybody sees it who sees the node
        self._record(
            [
                EventRecord(
                    at=now_s,
                    event_type=kind,
                    severity=severity,
                    message=text,
                    node=node,
                    node_id=known.id if known is not None else None,
                    details={"untold": untold} if untold else {},
                )
            ]
        )
