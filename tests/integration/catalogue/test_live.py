"""The catalogue's jobs and bytes against a whole cluster: real NATS, real PostgreSQL, the real command."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import asyncpg

from bus import subjects
from bus.errors import RequestTimeout
from bus.layout import Layout
from bus.transport import Message
from tests.catalogue.doors import told_by
from tests.catalogue.rows import ROWS, Row
from tests.fixtures_cluster import LiveCluster

BAD = [row for row in ROWS if row.code not in ("", "E_UNSATISFIABLE") and (row.spec or row.raw is not None)]


def payload(row: Row) -> bytes:
    return row.raw if row.raw is not None else json.dumps(row.spec).encode()


async def jobs_kept(cluster: LiveCluster) -> int:
    connection = await asyncpg.connect(cluster.owner_dsn)
    try:
        kept: int = await connection.fetchval("select count(*) from corral.jobs")
        return kept
    finally:
        await connection.close()


async def test_every_bad_request_is_answered_and_nothing_is_kept(cluster: LiveCluster) -> None:
    before = await jobs_kept(cluster)
    async with cluster.client() as client:
        for row in BAD:
            try:
                answer = await client.bus.request(
                    subjects.api("alice", "job.submit"), payload(row), timeout_s=10.0, headers=row.headers
                )
            except RequestTimeout:
                raise AssertionError(f"no answer to {row.id}: {payload(row)[:80]!r}") from None
            codes, words = told_by(answer)
            assert row.code in codes and row.words in words, (row.id, codes, words)
    assert await jobs_kept(cluster) == before


async def test_every_bad_publication_is_told_to_its_sender(cluster: LiveCluster) -> None:
    before = await jobs_kept(cluster)
    heard: list[Message] = []

    async def keep(message: Message) -> None:
        heard.append(message)

    async with cluster.client() as client:
        await client.bus.subscribe(subjects.errors("alice"), keep)
        for row in BAD:
            await client.bus.publish(subjects.publish("alice"), payload(row), headers=row.headers or None)

        async def all_heard() -> bool:
            return len(heard) >= len(BAD)

        await cluster.until(all_heard, f"{len(BAD)} rejects")
    assert len(heard) == len(BAD)
    said = [message.data.decode() for message in heard]
    for row in BAD:
        assert any(row.code in text for text in said), row
    assert await jobs_kept(cluster) == before


async def test_the_command_says_it_in_one_line_and_a_hint(cluster: LiveCluster, tmp_path: Path) -> None:
    """What only the coordinator can know goes the whole way, with the exit code of its table."""
    credentials = str(Layout(cluster.folder).credentials("alice"))
    reach = ("--url", cluster.nats.url, "--credentials", credentials)
    lines = {
        ("submit", *reach, "--cpu", "64", "--", "true"): (7, "error[E_UNSATISFIABLE]: "),
        ("submit", *reach, "--tool", "wordcuont"): (2, "error[E_TYPE_UNKNOWN]: "),
        ("job", *reach, "999999"): (3, "error[E_NOT_FOUND]: "),
        ("cancel", *reach, "999999"): (3, "error[E_NOT_FOUND]: "),
        ("drain", *reach, "n1"): (5, "error[E_FORBIDDEN]: "),
        ("jobs", *reach, "--sort", "evil"): (2, "error[E_FIELD]: "),
    }
    for line, (code, words) in lines.items():
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "tui", *line],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout) == (code, ""), (line, done.stderr)
        first, hint, *more = done.stderr.splitlines()
        assert first.startswith(words) and hint.startswith("hint: ") and not more, done.stderr
