"""Fixtures that every test package shares: real servers, started once a session.

Properties know no clock, and try the same examples each time.
"""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

pytest_plugins = [
    "tests.watchdog",
    "tests.fixtures_nats",
    "tests.fixtures_postgres",
    "tests.fixtures_cluster",
]

# how long an example takes tells how busy the machine is
settings.register_profile(
    "corral", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("corral")

# a shell that runs checks in the background has all they start ignore ctrl-C, which some are tested with
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
