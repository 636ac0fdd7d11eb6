"""Fixtures that every test package shares: real servers, started once a session."""

from __future__ import annotations

pytest_plugins = ["tests.fixtures_nats", "tests.fixtures_postgres", "tests.fixtures_cluster"]
