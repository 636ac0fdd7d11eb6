"""The client asks in its own name, raises what it is refused, and waits without missing the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest
from msgspec.structs import replace

from bus import long_lists, patience
from bus.api import OPERATIONS, JobChanged, NodeChanged, TaskChanged
from bus.calls import Calls
from bus.client import Client
from bus.codec import Codec, encode
from bus.errors import ApiError, CredentialsError, DecodeError, Error, NoResponders, TooLarge
from bus.requests import Cancel, JobList, TaskList, WhatIf
from bus.spec import JobSpec, ResourceSpec
from bus.values import JobState, NodeAdmin, NodeHealth, TaskState
from tests.unit.bus.fake_coordinator import FakeCoordinator


@pytest.fixture
async def fake() -> AsyncIterator[FakeCoordinator]:
    made = await FakeCoordinator().start()
    yield made
    await made.stop()


def test_there_is_a_method_for_every_operation() -> None:
    methods = {
        "job.submit": Client.submit,
        "job.show": Client.job,
        "job.list": Client.jobs,
        "job.cancel": Client.cancel,
        "task.list": Client.tasks,
        "task.show": Client.task,
        "task.logs": Client.logs,
        "task.grep": Client.grep,
        "task.follow": Client.following,
        "task.why": Client.why,
        "task.metrics": Client.task_metrics,
        "task.logged": Client.logged,
        "artifact.list": Client.artifacts,
        "artifact.show": Client.artifact,
        "artifact.remove": Client.remove_artifact,
        "artifact.gc": Client.collect_artifacts,
        "replica.list": Client.replicas,
        "replica.scrub": Client.scrub_replicas,
        "checkpoint.list": Client.checkpoints,
        "checkpoint.show": Client.checkpoint,
        "checkpoint.best": Client.best_checkpoint,
        "checkpoint.use": Client.use_checkpoint,
        "checkpoint.remove": Client.remove_checkpoint,
        "model.register": Client.register_model,
        "model.list": Client.models,
        "model.show": Client.model,
        "model.remove": Client.remove_model,
        "job.retry": Client.retry,
        "job.hold": Client.hold,
        "job.release": Client.release,
        "job.pause": Client.pause,
        "job.resume": Client.resume,
        "job.requeue": Client.requeue,
        "past.cluster": Client.cluster,
        "past.jobs": Client.jobs,
        "past.tasks": Client.tasks,
        "past.nodes": Client.nodes,
        "past.scheduler": Client.scheduler,
        "past.why": Client.why,
        "past.output": Client.output_then,
        "past.users": Client.users,
        "past.changes": Client.changes,
        "past.spike": Client.spike,
        "job.priority": Client.prioritize,
        "node.label": Client.label,
        "bulk.steer": Client.steer_all,
        "event.resolve": Client.resolve,
        "audit.list": Client.audits,
        "job.plan": Client.plan,
        "job.whatif": Client.what_if,
        "scheduler.plan": Client.upcoming,
        "node.cordon": Client.cordon,
        "node.drain": Client.drain,
        "node.maintenance": Client.maintenance,
        "node.undrain": Client.undrain,
        "cluster.verify": Client.verify,
        "cluster.gc": Client.collect,
        "cluster.connections": Client.connections,
        "scheduler.status": Client.scheduler,
        "scheduler.mode": Client.scheduler_mode,
        "scheduler.train": Client.train,
        "scheduler.replay": Client.replay,
        "scheduler.export": Client.export_learned,
        "scheduler.import": Client.import_learned,
        "event.list": Client.events,
        "series.query": Client.series,
        "series.states": Client.states,
        "user.whoami": Client.whoami,
        "user.list": Client.users,
        "user.share": Client.share,
        "tool.add": Client.add_tool,
        "tool.list": Client.registered_tools,
        "tool.show": Client.tool,
        "tool.tag": Client.tag_tool,
        "tool.enable": Client.enable_tool,
        "tool.disable": Client.disable_tool,
        "tool.remove": Client.remove_tool,
        "tool.stats": Client.tool_stats,
        "pool.create": Client.create_pool,
        "pool.list": Client.pools,
        "pool.show": Client.pool,
        "pool.remove": Client.remove_pool,
        "volume.create": Client.create_volume,
        "volume.list": Client.volumes,
        "volume.show": Client.volume,
        "volume.remove": Client.remove_volume,
        "volume.undelete": Client.undelete_volume,
        "volume.set": Client.set_volume,
        "volume.snapshot": Client.snapshot_volume,
        "volume.restore": Client.restore_volume,
        "volume.backup": Client.backup_volume,
        "volume.rehome": Client.rehome_volume,
        "volume.backups": Client.backups,
        "volume.unbackup": Client.remove_backup,
        "volume.promote": Client.promote_volume,
        "volume.unsnapshot": Client.remove_snapshot,
        "type.list": Client.task_types,
        "type.add": Client.add_type,
        "worker.list": Client.workers,
        "topology.create": Client.create_topology,
        "topology.list": Client.topologies,
        "topology.remove": Client.remove_topology,
        "user.renew": Client.renew,
        "user.logout": Client.logout,
        "schedule.list": Client.schedules,
        "schedule.pause": Client.pause_schedule,
        "schedule.resume": Client.resume_schedule,
        "schedule.remove": Client.remove_schedule,
        "webhook.add": Client.add_webhook,
        "webhook.list": Client.webhooks,
        "webhook.remove": Client.remove_webhook,
        "webhook.enable": Client.enable_webhook,
        "webhook.test": Client.test_webhook,
        "webhook.deliveries": Client.deliveries,
        "webhook.redeliver": Client.redeliver,
        "token.create": Client.create_token,
        "token.list": Client.tokens,
        "token.revoke": Client.revoke_token,
        "train.status": Client.training,
        "train.ranks": Client.ranks,
        "gpu.list": Client.gpus,
        "gpu.quarantine": Client.quarantine_gpu,
        "gpu.release": Client.release_gpu,
        "node.list": Client.nodes,
        "node.show": Client.node,
        "node.logs": Client.node_log,
        "node.devices": Client.devices,
        "node.tools": Client.tools,
        "timeline.attempts": Client.timeline,
        "stream.open": Client.open_stream,
        "cluster.status": Client.cluster,
    }
    assert methods.keys() == OPERATIONS.keys()


async def test_refusals_are_raised(fake: FakeCoordinator) -> None:
    with pytest.raises(ApiError) as caught:
        await fake.client.cancel(7)
    assert caught.value.error.code == "E_NOT_FOUND"
    assert fake.asked == [Cancel(target="7")]


async def test_fields_become_a_spec(fake: FakeCoordinator) -> None:
    with pytest.raises(ApiError):
        await fake.client.submit(command=["true"], resources={"cpu": "2"})
    assert fake.asked == [JobSpec(command=["true"], resources=ResourceSpec(cpu="2"))]
    with pytest.raises(DecodeError) as refused:
        await fake.client.submit(comand=["true"], priority=1.5)
    assert {(fault.code, fault.field) for fault in refused.value.faults} == {
        ("E_FIELD", "/comand"),
        ("E_TYPE", "/priority"),
    }


async def test_what_is_too_large_is_not_sent(fake: FakeCoordinator) -> None:
    """B9."""
    with pytest.raises(TooLarge, match="bytes > 1048576"):
        await fake.client.submit(command=["cat"], stdin="x" * 2**20)
    assert fake.asked == []


async def test_lists_carry_their_filters(fake: FakeCoordinator) -> None:
    for asking in (
        fake.client.jobs(states=[JobState.RUNNING], limit=5, cursor="9"),
        fake.client.tasks(7, states=[TaskState.FAILED], sort="-index"),
    ):
        with pytest.raises(ApiError):
            await asking
    assert fake.asked == [
        JobList(states=[JobState.RUNNING], limit=5, cursor="9"),
        TaskList(job="7", states=[TaskState.FAILED], sort="-index"),
    ]


async def test_wait_returns_at_once_for_a_job_that_is_over(fake: FakeCoordinator) -> None:
    fake.job_state = JobState.FAILED
    assert (await fake.client.wait(7)).state is JobState.FAILED
    assert len(fake.asked) == 1


async def test_wait_is_woken_by_the_feed(fake: FakeCoordinator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.client.RECHECK_S", 3600.0)
    waiting = asyncio.create_task(fake.client.wait("7"))
    while len(fake.asked) < 2:  # one to find the job, one after the subscription stands
        await asyncio.sleep(0)
    await fake.say_job()  # still running: does not end the wait
    fake.job_state = JobState.COMPLETED
    await fake.say_job()
    job = await asyncio.wait_for(waiting, 5)
    assert job.state is JobState.COMPLETED


async def test_wait_sees_the_end_that_the_feed_lost(
    fake: FakeCoordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.client.RECHECK_S", 0.01)
    waiting = asyncio.create_task(fake.client.wait(7))
    while len(fake.asked) < 2:
        await asyncio.sleep(0)
    fake.job_state = JobState.CANCELLED
    assert (await asyncio.wait_for(waiting, 5)).state is JobState.CANCELLED


async def test_watch_tells_typed_changes(fake: FakeCoordinator) -> None:
    node = NodeChanged(node="n1", health=NodeHealth.HEALTHY, admin=NodeAdmin.ACTIVE, at=0.0)
    async with aclosing(fake.client.watch()) as changes:
        first = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0.01)
        await fake.bus.publish("corral.feed.alice.weather.1", b"{}")  # of a newer coordinator
        await fake.bus.publish("corral.feed.alice.job.7", b"\xff")
        await fake.say_job()
        await fake.say_task()
        await fake.bus.publish("corral.feed._.node.n1", encode(node, Codec.JSON))
        got = [await asyncio.wait_for(first, 5), await anext(changes), await anext(changes)]
    assert {type(change) for change in got} == {JobChanged, TaskChanged, NodeChanged}


async def test_who_takes_no_changes_can_still_stop_watching(
    fake: FakeCoordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the newest are kept, and nothing waits for room: that would hold up the unsubscribing for ever."""
    monkeypatch.setattr("bus.client.FEED_QUEUE_MAX", 2)
    async with asyncio.timeout(10):
        async with aclosing(fake.client.watch()) as changes:
            first = asyncio.ensure_future(anext(changes))
            while not first.done():
                await fake.say_job()
                await asyncio.sleep(0)
            for _ in range(5):
                await fake.say_job()
            await fake.say_task()
            for _ in range(100):
                await asyncio.sleep(0)
            assert [type(await anext(changes)) for _ in range(2)] == [JobChanged, TaskChanged]
            for _ in range(5):
                await fake.say_job()


async def test_an_outage_is_outlasted_within_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "RETRY_S", 0.001)
    tries = 0

    async def third_time() -> str:
        nonlocal tries
        tries += 1
        match tries:
            case 1:
                raise NoResponders("away")
            case 2:
                raise ApiError(Error(code="E_STARTING", message="soon", status=503))
        return "yes"

    assert await patience.outlast(third_time) == "yes"
    tries = 0
    with pytest.raises(NoResponders):
        await patience.outlast(third_time, outage_s=0)

    async def refused() -> str:
        raise ApiError(Error(code="E_NOT_FOUND", message="no", status=404))

    with pytest.raises(ApiError):
        await patience.outlast(refused)


async def test_no_data_folder_is_said(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """B74."""
    monkeypatch.setenv("CORRAL_DATA", f"{tmp_path}/none")
    with pytest.raises(CredentialsError) as caught:
        async with Client.connect():
            pass
    assert caught.value.code == "E_AUTH"


async def test_a_request_waits_for_the_coordinator_that_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.client.TAKEOVER_RETRY_S", 0.0)
    fake = FakeCoordinator()
    asking = asyncio.create_task(fake.client.job(7))
    await asyncio.sleep(0)
    assert not asking.done() and not fake.asked
    await fake.start()
    assert (await asyncio.wait_for(asking, 5)).number == 7
    await fake.stop()


async def test_nobody_waits_for_ever_where_none_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.client.TAKEOVER_S", 0.01)
    monkeypatch.setattr("bus.client.TAKEOVER_RETRY_S", 0.0)
    fake = FakeCoordinator()
    with pytest.raises(NoResponders):
        await fake.client.job(7)
    await fake.stop()


async def test_wait_ends_early_where_what_is_waited_for_holds(
    fake: FakeCoordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.client.RECHECK_S", 3600.0)
    fake.job_state = JobState.PENDING
    waiting = asyncio.create_task(fake.client.wait(7, until=lambda job: job.state is JobState.RUNNING))
    while len(fake.asked) < 2:
        await asyncio.sleep(0)
    await fake.say_job()  # still pending: asked once more, and waited for again
    while len(fake.asked) < 3:
        await asyncio.sleep(0)
    fake.job_state = JobState.RUNNING
    await fake.say_job()
    assert (await asyncio.wait_for(waiting, 5)).state is JobState.RUNNING
    fake.job_state = JobState.FAILED
    ended = await asyncio.wait_for(fake.client.wait(7, until=lambda job: False), 5)
    assert ended.state is JobState.FAILED, "a job that is over becomes nothing else"


async def test_a_what_if_sends_a_long_list_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[WhatIf] = []

    @asynccontextmanager
    async def shortened(_: Client, spec: JobSpec) -> AsyncIterator[JobSpec]:
        yield replace(spec, for_each="corral://list")

    async def what_if(_: Calls, change: WhatIf) -> None:
        asked.append(change)

    monkeypatch.setattr(long_lists, "shortened", shortened)
    monkeypatch.setattr(Calls, "what_if", what_if)
    client = object.__new__(Client)
    await client.what_if(WhatIf(order="sjf", job=JobSpec(command=["cat"], for_each=["a"])))
    await client.what_if(WhatIf(drain=["n1"]))
    assert [each.job and each.job.for_each for each in asked] == ["corral://list", None]
    assert (asked[0].order, asked[1].drain) == ("sjf", ["n1"])
