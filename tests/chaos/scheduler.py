"""The learning scheduler amid it all: a learned order acts, and nothing of what was learned may be lost."""

from __future__ import annotations

import asyncio
import time

import asyncpg

from bus.client import Client
from bus.errors import CorralError
from bus.scheduling import SchedulerTest
from tests.chaos.evidence import Learned

POLICY = "predicted short"
TRAINED_S = 120.0
WRITTEN_S = 20.0
"""Experiences are written behind the batches that they came of."""

LONG_FIRST = "; MaxProcs: 4\n" + "".join(
    f"{job} {job * 60} -1 {run_s} 4 -1 -1 4 {run_s} -1 1 {job % 3} -1 -1 -1 -1 -1 -1\n"
    for job, run_s in enumerate([600, 5, 5, 60] * 150, start=1)
)
"""A trace on which whoever lets short jobs go first wins."""

_EXPERIENCES = """
select count(distinct sequence) from corral.learning_experiences where sequence is not null
"""

_RAN_AHEAD = "select count(*) from corral.attempts where explanation ? 'backfill'"


async def teach(admin: Client) -> None:
    """Until the gate has let POLICY act. Raises TimeoutError."""
    await admin.train(SchedulerTest(policies=("fcfs", POLICY), swf=LONG_FIRST.encode()))
    async with asyncio.timeout(TRAINED_S):
        while (await admin.scheduler()).acts != POLICY:
            await asyncio.sleep(0.2)


async def learned(admin: Client, dsn: str) -> Learned:
    """What is known in the end, once as many experiences are written, or the bound has passed."""
    end = time.monotonic() + WRITTEN_S
    connection = await asyncpg.connect(dsn)
    try:
        while True:
            written = await connection.fetchval(_EXPERIENCES)
            try:
                known = await admin.scheduler()
            except CorralError:
                if time.monotonic() > end:
                    raise
            else:
                found = Learned(
                    mode=known.mode,
                    acts=known.acts,
                    decisions=known.decisions,
                    experiences=written,
                    ran_ahead=await connection.fetchval(_RAN_AHEAD),
                )
                if known.decisions == written or time.monotonic() > end:
                    return found
            await asyncio.sleep(0.2)
    finally:
        await connection.close()
