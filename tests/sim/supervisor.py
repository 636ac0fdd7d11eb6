"""Who starts coordinators of the simulator again, and looks at what they do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coordinator.core.effects import Record, Tell
from coordinator.store.rows import Batch

if TYPE_CHECKING:
    from tests.sim.coordinator import Coordinator


class Supervisor:
    """Starts coordinators again; told of what they do."""

    def over(self, coordinator: Coordinator) -> None: ...

    def rebuilt(self, coordinator: Coordinator) -> None: ...

    def stepped(self, coordinator: Coordinator, batch: Batch) -> None: ...

    def recorded(self, coordinator: Coordinator, records: list[Record]) -> None: ...

    def telling(self, coordinator: Coordinator, tells: list[Tell]) -> None: ...

    def renewed(self, coordinator: Coordinator, node: str) -> None: ...
