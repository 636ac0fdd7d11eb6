"""Time-series lie as the server's edition allows; where CI promises TimescaleDB, it really is TimescaleDB."""

from __future__ import annotations

import os

import asyncpg
import pytest

PROMISED = os.environ.get("CORRAL_TEST_EDITION", "")


@pytest.mark.contract("S2.2", "S0.41")
async def test_series_are_hypertables_or_native_partitions(database: asyncpg.Connection) -> None:
    edition = await database.fetchval("select corral.timeseries_edition()")
    extension = await database.fetchval("select extversion from pg_extension where extname = 'timescaledb'")
    assert (edition == "none") == (extension is None)
    if PROMISED == "timescaledb":
        assert edition in ("apache", "community")
    wanted = {
        row[0] for row in await database.fetch("select table_name from corral.timeseries where not native")
    }
    if extension is None:
        assert wanted == set()
        partitioned = (
            "select count(*) from pg_partitioned_table where partrelid = 'corral.node_usage'::regclass"
        )
        assert await database.fetchval(partitioned) == 1
    else:
        query = "select hypertable_name from timescaledb_information.hypertables"
        assert {row[0] for row in await database.fetch(query)} == wanted >= {"node_usage", "system_events"}
