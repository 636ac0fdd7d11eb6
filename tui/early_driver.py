"""Textual's driver, going on from the early picture: some terminals wipe a screen they are told of twice."""

from __future__ import annotations

from textual.drivers.linux_driver import LinuxDriver

from tui.early_picture import OTHER_SCREEN


class GoingOn(LinuxDriver):
    """The first time it is on the other screen already; after a ctrl-Z it has to go there."""

    _is_there = True

    def write(self, data: str) -> None:
        """Everything but the first change of the screen."""
        if self._is_there and data == OTHER_SCREEN:
            self._is_there = False
        else:
            super().write(data)
