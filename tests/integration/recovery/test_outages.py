"""A server goes away and comes back: nobody hangs meanwhile, nothing is lost, nothing that runs notices."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from bus.client import Client
from bus.connection import NatsBus
from bus.errors import ApiError, CorralError
from bus.jetstream import count_values
from bus.storage import BUCKETS, STREAMS, Bucket, stream_of
from bus.values import JobState
from tests.integration.recovery.rig import Rig

pytestmark = pytest.mark.asyncio(loop_scope="module")

ANSWER_S = 2.0
SLACK_S = 1.0
"""Of a machine shared with others."""

BACK_S = 10.0
"""Twice the promise of 5 s, for the same reason."""


QUESTIONS: dict[str, Callable[[Client, str], Awaitable[object]]] = {
    "job.submit": lambda client, task: client.submit(command=["true"], dedupe_key=f"q{time.monotonic_ns()}"),
    "job.list": lambda client, task: client.jobs(),
    "job.show": lambda client, task: client.job(task.partition(".")[0]),
    "task.show": lambda client, task: client.task(task),
    "task.list": lambda client, task: client.tasks(task.partition(".")[0]),
    "task.why": lambda client, task: client.why(task),
    "job.hold": lambda client, task: client.hold(task.partition(".")[0]),
    "node.list": lambda client, task: client.nodes(),
    "cluster.status": lambda client, task: client.cluster(),
    "event.list": lambda client, task: client.events(),
    "token.list": lambda client, task: client.tokens(),
    "user.whoami": lambda client, task: client.whoami(),
}


async def ask_everything(client: Client, task: str) -> dict[str, tuple[float, str]]:
    """Each question at once: how long it took, and the code of its refusal ("" for an answer)."""

    async def ask(question: Callable[[Client, str], Awaitable[object]]) -> tuple[float, str]:
        begun_s = time.monotonic()
        code = ""
        try:
            await question(client, task)
        except ApiError as error:
            code = error.error.code
            assert error.error.status == 503 and error.error.retry_after_s, error
        return time.monotonic() - begun_s, code

    answers = await asyncio.gather(*(ask(question) for question in QUESTIONS.values()))
    return dict(zip(QUESTIONS, answers, strict=True))


async def hears_at_once(client: Client, task: str) -> float:
    """The longest that anybody waited, right after the fault and a while later."""
    slowest_s = 0.0
    for _ in range(3):
        answers = await ask_everything(client, task)
        slowest_s = max(slowest_s, *(taken_s for taken_s, _ in answers.values()))
        assert {code for _, code in answers.values()} <= {"", "E_UNAVAILABLE"}, answers
        await asyncio.sleep(1.0)  # the leadership grows stale meanwhile: another path to the same answer
    assert {code for _, code in answers.values()} == {"E_UNAVAILABLE"}, answers
    assert slowest_s < ANSWER_S + SLACK_S, answers
    return slowest_s


async def accepts(rig: Rig, client: Client) -> float:
    """Seconds until a submission is accepted."""
    begun_s = time.monotonic()

    async def accepted() -> bool:
        await client.submit(command=["true"], dedupe_key=f"a{time.monotonic_ns()}")
        return True

    await rig.until_answered(accepted, "a submission is accepted")
    return time.monotonic() - begun_s


@pytest.mark.parametrize("lasting_s", [0.0, 16.0], ids=["for a moment", "for longer than a lease"])
async def test_a_frozen_database(rig: Rig, client: Client, bystander: str, lasting_s: float) -> None:
    """SIGSTOP: connections stand, and nothing answers on them. Heartbeats renew the leases all the while."""
    rig.signal_database(signal.SIGSTOP)
    frozen_s = time.monotonic()
    try:
        slowest_s = await hears_at_once(client, bystander)
        await asyncio.sleep(max(0.0, lasting_s - (time.monotonic() - frozen_s)))
    finally:
        rig.signal_database(signal.SIGCONT)
    back_s = await accepts(rig, client)
    print(f"frozen: answered within {slowest_s:.2f} s; accepting {back_s:.2f} s after its return")
    assert back_s < BACK_S


async def test_a_killed_database(rig: Rig, client: Client, bystander: str) -> None:
    jobs = [await client.submit(command=["true"]) for _ in range(5)]
    posting = [asyncio.create_task(client.submit(command=["true"], array="0-99")) for _ in range(20)]
    await asyncio.wait(posting, return_when=asyncio.FIRST_COMPLETED)
    rig.kill_database()
    outcomes = await asyncio.gather(*posting, return_exceptions=True)
    jobs += [each for each in outcomes if not isinstance(each, BaseException)]
    lost = [
        each for each in outcomes if isinstance(each, BaseException) and not isinstance(each, CorralError)
    ]
    assert not lost
    slowest_s = await hears_at_once(client, bystander)
    await asyncio.to_thread(rig.start_database)
    back_s = await accepts(rig, client)
    print(f"killed: answered within {slowest_s:.2f} s; accepting {back_s:.2f} s after its return")
    assert back_s < BACK_S
    for job in jobs:  # what was acknowledged is kept

        async def completed(number: int = job.number) -> bool:
            return (await client.job(number)).state is JobState.COMPLETED

        await rig.until_answered(completed, f"job {job.number} is complete")


async def test_a_database_that_may_only_be_read(rig: Rig, client: Client, bystander: str) -> None:
    """As after a failover to a replica, or on a full disk: connections stand, and writes are refused."""
    owner = await asyncpg.connect(rig.database_process.dsn)
    try:
        await owner.execute("alter system set default_transaction_read_only = on")
        await owner.execute("select pg_reload_conf()")
        try:
            slowest_s = await hears_at_once(client, bystander)
        finally:
            await owner.execute("set default_transaction_read_only = off")
            await owner.execute("alter system reset default_transaction_read_only")
            await owner.execute("select pg_reload_conf()")
        back_s = await accepts(rig, client)
    finally:
        await owner.close()
    print(f"read only: answered within {slowest_s:.2f} s; accepting {back_s:.2f} s after its return")
    assert back_s < BACK_S


async def test_a_full_disk_of_the_database(rig: Rig, client: Client, bystander: str) -> None:
    """The server's own refusal (53100) of every new job; the leadership is renewed, so only writing waits."""
    owner = await asyncpg.connect(rig.database_process.dsn)
    try:
        await owner.execute(
            "create function public.no_room() returns trigger language plpgsql as "
            "$$ begin raise exception 'could not extend file: No space left' using errcode = '53100'; end $$"
        )
        await owner.execute(
            "create trigger no_room before insert on corral.jobs "
            "for each statement execute function public.no_room()"
        )
        begun_s = time.monotonic()
        with pytest.raises(ApiError) as refused:
            await client.submit(command=["true"])
        slowest_s = time.monotonic() - begun_s
        assert refused.value.error.code == "E_UNAVAILABLE" and slowest_s < ANSWER_S + SLACK_S
        await owner.execute("drop trigger no_room on corral.jobs")
        back_s = await accepts(rig, client)
    finally:
        await owner.execute("drop function if exists public.no_room() cascade")
        await owner.close()
    print(f"disk full: answered within {slowest_s:.2f} s; accepting {back_s:.2f} s after there is room")
    assert back_s < BACK_S


async def test_a_transaction_that_must_be_tried_again_is(rig: Rig, client: Client, bystander: str) -> None:
    """A serialization failure in the middle of commits: nobody hears of it."""
    owner = await asyncpg.connect(rig.database_process.dsn)
    try:
        await owner.execute("create sequence public.tries")
        await owner.execute("grant usage on sequence public.tries to public")
        await owner.execute(
            "create function public.again() returns trigger language plpgsql as "
            "$$ begin if nextval('public.tries') % 2 = 1 then "
            "raise exception 'try again' using errcode = '40001'; end if; return null; end $$"
        )
        await owner.execute(
            "create trigger again before insert on corral.jobs "
            "for each statement execute function public.again()"
        )
        for _ in range(5):
            await client.submit(command=["true"])
        assert await owner.fetchval("select last_value from public.tries") >= 10
    finally:
        await owner.execute("drop function if exists public.again() cascade")
        await owner.execute("drop sequence if exists public.tries")
        await owner.close()


@pytest.mark.usefixtures("bystander")
@pytest.mark.parametrize("wipe", [False, True], ids=["restarted", "wiped"])
async def test_the_bus_restarted(rig: Rig, client: Client, wipe: bool) -> None:
    jobs = [await client.submit(command=["sleep", "1"], array="0-9") for _ in range(3)]
    leader = rig.leader
    await asyncio.to_thread(rig.restart_nats, wipe=wipe)
    placed_s = await rig.placed(client)
    print(f"bus {'wiped' if wipe else 'restarted'}: placing after {placed_s:.2f} s")
    assert placed_s < BACK_S
    for job in jobs:
        assert (await client.wait(job.number)).state is JobState.COMPLETED
    assert leader.process is not None and leader.process.poll() is None
    await everything_is_there(rig, client)


async def everything_is_there(rig: Rig, client: Client) -> None:
    """Streams and buckets made anew, the caches put again, and the line of published jobs open."""
    bus = await NatsBus.connect(rig.nats_process.url, rig.authority.mint_coordinator(), name="test")
    try:

        async def there() -> bool:
            counts = [await count_values(bus, bucket) for bucket in (Bucket.CLUSTER, Bucket.HEARTBEATS)]
            names = json.loads((await bus.request("$JS.API.STREAM.NAMES", b"", timeout_s=20)).data)["streams"]
            wanted = {*map(stream_of, BUCKETS), *(spec.name for spec in STREAMS)}
            return min(counts) > 0 and wanted <= set(names)

        await rig.until_answered(there, "streams and caches are there again")
    finally:
        await bus.close()
    before = max(job.number for job in (await client.jobs()).jobs)
    await client.bus.publish("corral.u.adam.publish", b'{"command": ["true"]}')

    async def taken() -> bool:
        return max(job.number for job in (await client.jobs()).jobs) > before

    await rig.until_answered(taken, "a published job is taken")
