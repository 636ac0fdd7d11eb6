"""A file that is there while the coordinator knows this agent: how a supervisor sees it from outside."""

from __future__ import annotations

import logging
from pathlib import Path

_log = logging.getLogger(__name__)


class Presence:
    """`registered` in the agent's folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "registered"
        self.clear()  # of an agent that was killed

    def show(self) -> None:
        """The coordinator has taken our registration."""
        try:
            self._path.touch(mode=0o600)
        except OSError as error:  # a full disk: the work goes on
            _log.warning("%s: %s", self._path, error)

    def clear(self) -> None:
        """It has not, or the connection is gone."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:  # a disk that takes nothing, or a folder of that name: likewise
            _log.warning("%s: %s", self._path, error)
