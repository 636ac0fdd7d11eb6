"""Who may ask what: every operation for every role, and who is nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from bus.api import OPERATIONS
from bus.codec import Codec
from bus.values import Role
from coordinator.api import access as access_module
from coordinator.api.access import Access, viewer
from tests.unit.coordinator.fakes import USERS
from tests.unit.coordinator.shell import Shell, running_shell

BY_ROLE = {Role.READONLY: "rita", Role.USER: "alice", Role.OPERATOR: "olga", Role.ADMIN: "adam"}

REQUESTS: dict[str, dict[str, Any]] = {
    "job.submit": {"command": ["true"]},
    "job.show": {"job": "1"},
    "job.list": {},
    "job.cancel": {"target": "1"},
    "task.list": {"job": "1"},
    "task.show": {"task": "1.0"},
    "task.logs": {"task": "1.0"},
    "task.follow": {"task": "1.0"},
    "node.list": {},
    "node.show": {"node": "n1"},
    "node.logs": {"node": "n1"},
    "node.devices": {},
    "node.tools": {},
    "tool.add": {"name": "resize", "command": ["resize", "{input.file}"]},
    "tool.list": {},
    "tool.show": {"tool": "wordcount"},
    "tool.tag": {"tool": "wordcount", "add": ["words"]},
    "tool.enable": {"tool": "wordcount"},
    "tool.disable": {"tool": "wordcount@1.0.0", "reason": "broken"},
    "tool.remove": {"tool": "wordcount"},
    "tool.stats": {},
    "pool.create": {"name": "fast", "nodes": ["n1"], "path": "/srv/fast", "size": "1GiB"},
    "pool.list": {},
    "pool.show": {"pool": "fast"},
    "pool.remove": {"pool": "fast"},
    "volume.create": {"name": "data", "pool": "fast", "size": "1MiB"},
    "volume.list": {},
    "volume.show": {"volume": "data"},
    "volume.remove": {"volume": "data"},
    "volume.undelete": {"volume": "data"},
    "volume.set": {"volume": "data", "snapshots": "@daily keep 7"},
    "volume.snapshot": {"volume": "data", "snapshot": "s1"},
    "volume.restore": {"volume": "data", "snapshot": "s1"},
    "volume.backup": {"volume": "data"},
    "volume.backups": {},
    "volume.rehome": {"volume": "data", "backup": "s1"},
    "volume.unbackup": {"volume": "data", "snapshot": "s1"},
    "volume.promote": {"volume": "data"},
    "volume.unsnapshot": {"volume": "data", "snapshot": "s1"},
    "type.list": {},
    "type.add": {"name": "mine", "description": "Mine"},
    "worker.list": {},
    "topology.create": {"name": "lab", "subnet": "10.1.0.0/16", "bandwidth": "10Gbit"},
    "topology.list": {},
    "topology.remove": {"name": "lab"},
    "timeline.attempts": {"since": 1.0, "until": 2.0},
    "job.retry": {"target": "1"},
    "job.hold": {"job": "1"},
    "job.release": {"job": "1"},
    "job.pause": {"job": "1"},
    "job.resume": {"job": "1"},
    "job.requeue": {"target": "1"},
    "job.priority": {"job": "1", "priority": 9},
    "gpu.list": {},
    "gpu.quarantine": {"node": "n1", "gpu": "0"},
    "gpu.release": {"node": "n1", "gpu": "0"},
    "node.label": {"node": "n1", "labels": {"zone": "a"}},
    "bulk.steer": {"noun": "job", "verb": "cancel", "filter": ""},
    "event.resolve": {"event": "1:00000000-0000-0000-0000-000000000001"},
    "audit.list": {},
    "task.grep": {"task": "1.0", "pattern": "x"},
    "series.query": {"kind": "node", "metrics": ["cpu_millis"], "since": 1.0, "until": 2.0},
    "series.states": {},
    **{f"past.{noun}": {"at": 1.0} for noun in ("cluster", "jobs", "nodes", "scheduler", "users")},
    "past.why": {"at": 1.0, "target": "1"},
    "past.output": {"at": 1.0, "task": "1.0"},
    "past.tasks": {"at": 1.0, "job": "1"},
    **{f"past.{what}": {"since": 1.0, "until": 2.0} for what in ("changes", "spike")},
    "job.plan": {"command": ["true"]},
    "scheduler.plan": {"limit": 10},
    "job.whatif": {"order": "sjf"},
    "task.why": {"target": "1"},
    "task.metrics": {"task": "1.0"},
    "task.logged": {"target": "1.0"},
    "artifact.list": {},
    "artifact.show": {"artifact": "f"},
    "artifact.remove": {"artifact": "f"},
    "artifact.gc": {"dry_run": True},
    "replica.list": {},
    "replica.scrub": {},
    "checkpoint.list": {},
    "checkpoint.show": {"checkpoint": "1.0"},
    "checkpoint.best": {"target": "1", "metric": "loss"},
    "checkpoint.use": {"task": "1.0", "checkpoint": "1.0@5"},
    "checkpoint.remove": {"checkpoint": "1.0"},
    "model.register": {"name": "m", "version": "1", "artifact": "f"},
    "model.list": {},
    "model.show": {"model": "m"},
    "model.remove": {"model": "m@1"},
    "node.cordon": {"node": "n1"},
    "node.drain": {"node": "n1"},
    "node.maintenance": {"node": "n1"},
    "node.undrain": {"node": "n1"},
    "scheduler.status": {},
    "scheduler.mode": {"mode": "shadow"},
    "scheduler.train": {"policies": ["fcfs"]},
    "train.status": {"target": "1"},
    "train.ranks": {"task": "1.0"},
    "scheduler.replay": {"policies": ["sjf"]},
    "scheduler.export": {},
    "scheduler.import": {"document": "e30="},
    "event.list": {},
    "user.whoami": {},
    "user.list": {},
    "user.share": {"name": "alice", "shares": 2},
    "user.renew": {"key": "U" + "A" * 55},
    "user.logout": {"key": "U" + "A" * 55},
    "schedule.list": {},
    **{f"schedule.{verb}": {"name": "nightly"} for verb in ("pause", "resume", "remove")},
    "webhook.add": {"url": "https://hooks.example.com/", "on": ["job.failed"]},
    "webhook.list": {},
    **{f"webhook.{verb}": {"id": 1} for verb in ("remove", "enable", "test", "deliveries")},
    "webhook.redeliver": {"delivery": "01890000-0000-7000-8000-000000000001"},
    "token.create": {"kind": "node"},
    "token.list": {},
    "token.revoke": {"token": "0" * 16},
    "stream.open": {"kind": "pty", "task": "1.0"},
    "cluster.status": {},
    "cluster.verify": {},
    "cluster.gc": {"dry_run": True},
    "cluster.connections": {},
}


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    async with running_shell() as running:
        yield running


def test_every_operation_is_tried() -> None:
    assert REQUESTS.keys() == OPERATIONS.keys()


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_each_cell_of_the_matrix(shell: Shell, operation: str, role: Role) -> None:
    answer = await shell.ask(BY_ROLE[role], operation, **REQUESTS[operation])
    refused = answer.get("error", {}).get("code") == "E_FORBIDDEN"
    assert refused == (role.rank < OPERATIONS[operation].role.rank)
    if refused:
        assert answer["error"]["status"] == 403 and OPERATIONS[operation].role in answer["error"]["expected"]
        assert not shell.store.batches


@pytest.mark.parametrize(("user", "code"), [("nobody", "E_AUTH"), ("sam", "E_SUSPENDED")])
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("codec", Codec)
async def test_strangers_and_the_suspended_get_nothing(
    shell: Shell, operation: str, user: str, code: str, codec: Codec
) -> None:
    answer = await shell.ask(user, operation, codec=codec, **REQUESTS[operation])
    assert answer["error"]["code"] == code
    assert not shell.store.batches


def test_operators_see_everybody_and_users_themselves() -> None:
    assert viewer(USERS["alice"]) == "alice" and viewer(USERS["rita"]) == "rita"
    assert viewer(USERS["olga"]) is None and viewer(USERS["adam"]) is None


async def test_a_user_is_remembered_for_a_few_seconds(monkeypatch: Any) -> None:
    now_s, asked = 100.0, 0

    class Counting:
        async def user(self, name: str) -> Any:
            nonlocal asked
            asked += 1
            return USERS.get(name)

    monkeypatch.setattr(access_module.time, "monotonic", lambda: now_s)
    access = Access(Counting())
    for name in ("alice", "alice", "nobody", "nobody"):
        await access.find(name)  # type: ignore[arg-type]
    assert asked == 2
    now_s += 6
    await access.find("alice")  # type: ignore[arg-type]
    assert asked == 3
