"""Ends a run that hangs past the time limit of a test, with the stacks of all its threads.

pytest-timeout strikes once, with an exception in the main thread. What waits on the way out of that (a
fixture, a loop that is shut down, a thread that is joined) has no limit, and a run of all checks would be
ended from outside, where nobody learns why.
"""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Generator
from typing import TextIO

import pytest

GRACE_S = float(os.environ.get("CORRAL_TESTS_GRACE_S", "180"))
"""From the limit of a test, and at the end of the run, until all is over."""


class Watchdog:
    """Goes by the limits that pytest-timeout knows of each test."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._limit_s = 0.0

    def _arm(self) -> None:
        faulthandler.dump_traceback_later(self._limit_s, file=self._file, exit=True)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Generator[None, object, object]:
        try:
            return (yield)
        finally:
            self._limit_s = 0.0
            faulthandler.cancel_dump_traceback_later()

    @pytest.hookimpl(tryfirst=True)
    def pytest_timeout_set_timer(self, settings: object) -> None:
        self._limit_s = float(getattr(settings, "timeout", 0.0)) + GRACE_S
        self._arm()

    @pytest.hookimpl(trylast=True)
    def pytest_exception_interact(self) -> None:
        # others have just taken all timers away, with all of the teardown to come
        if self._limit_s:
            self._arm()

    def pytest_unconfigure(self) -> None:
        self._limit_s = GRACE_S
        self._arm()


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("usepdb"):
        # a copy: while tests run, what is written to the descriptor itself is captured
        config.pluginmanager.register(Watchdog(os.fdopen(os.dup(2), "w")))
