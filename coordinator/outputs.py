"""Whether what a task left is what its tool promises: looked at when its end is reported, before the core."""

from __future__ import annotations

from msgspec.structs import replace

from bus.messages import Report
from bus.values import Ended, Outcome, TaskEvent
from coordinator.core.model import Cluster
from coordinator.registry import Registry
from coordinator.schemas import output_fault


class Outputs:
    """Notes a fault in the ends whose outputs break the schema of their tool: such tasks fail (E_OUTPUT)."""

    def __init__(self, cluster: Cluster, registry: Registry) -> None:
        self._cluster = cluster
        self._registry = registry

    async def checked(self, report: Report) -> Report:
        """The same report where there is nothing to say, as in nearly all."""
        if not any(self._schema(event) is not None for event in report.events):
            return report
        return replace(report, events=tuple([await self._judged(event) for event in report.events]))

    async def _judged(self, event: TaskEvent) -> TaskEvent:
        schema = self._schema(event)
        if schema is None:
            return event
        assert isinstance(event, Ended)
        fault = await output_fault(schema, event.output)
        return replace(event, fault=fault) if fault else event

    def _schema(self, event: TaskEvent) -> dict[str, object] | None:
        """What its output must be like; None where nobody says."""
        if not isinstance(event, Ended) or event.outcome is not Outcome.EXITED or event.exit_code != 0:
            return None
        task = self._cluster.find_task(event.attempt.task)
        row = self._registry.find(task.group.settings.called) if task is not None else None
        return row.output_schema if row is not None else None
