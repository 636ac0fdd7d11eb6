"""Why a task could not be started."""

from __future__ import annotations


class CannotStart(Exception):
    """A task could not be started: `outcome` (of `agent.guard.wire`) and `exit_code` say how it ends."""

    def __init__(self, outcome: str, message: str, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.exit_code = exit_code
