"""What a coordinator says of itself in a file of the data folder, each second: leading, or standing by.

A supervisor cannot ask one that stands by, since only the leader listens on the bus; and one that hangs says
nothing any more, which is seen by the age of its last word.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from bus.supervision import CoordinatorRole, CoordinatorState, write_coordinator_state

log = logging.getLogger(__name__)


class Presence:
    """Of the process that makes it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def show(self, role: CoordinatorRole, *, epoch: int = 0, trouble: str = "") -> None:
        """Say so, as of now. A full disk is no reason to end."""
        state = CoordinatorState(
            pid=os.getpid(), role=role, epoch=epoch, trouble=trouble, said_s=time.monotonic()
        )
        try:
            write_coordinator_state(self._path, state)
        except OSError as error:
            log.warning("%s not written: %s", self._path.name, error.strerror)

    def clear(self) -> None:
        """Nothing to say any more."""
        self._path.unlink(missing_ok=True)
