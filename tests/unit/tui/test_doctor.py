"""What doctor says of what it finds: every finding that is not ok comes with what to do."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec import structs

from bus.api import Happened, Node
from bus.findings import Level
from bus.layout import Layout
from bus.own import Greeting
from bus.values import Inventory, NodeAdmin, NodeHealth, NodeKind, Resources
from coordinator.doctor import of_database, of_rights, of_skew
from sql.own import Examined, Rights
from tui.cli import doctor
from tui.cli.dispatch import run

GOOD = Greeting(version="2.11.4", max_payload=8 << 20, jetstream=True, operator_mode=True, tls=False)
FIT = Examined(
    host="db/corral", version=170002, version_text="17.2", encrypted=True, protocol="TLSv1.3",
    timescale="2.19.3", license="apache", creates_roles=True, superuser=False, durable=True,
    migration=9, newest=9, now_s=1000.0,
)  # fmt: skip
LEAST = Rights(
    superuser=False, creates_roles=False, creates_databases=False, bypasses_rls=False, owns_schema=False,
    coordinates=True,
)  # fmt: skip


def changed(struct: object, **fields: object) -> object:
    return structs.replace(struct, **fields)


def levels(findings: list[object]) -> set[Level]:
    for each in findings:
        assert each.hint or each.level is Level.OK
    return {each.level for each in findings}


def test_a_good_server_is_ok() -> None:
    assert levels(doctor.of_greeting(GOOD, place="h")) == {Level.OK}


@pytest.mark.parametrize(
    ("fields", "level"),
    [
        ({"version": "2.9.1"}, Level.FAIL),
        ({"jetstream": False}, Level.FAIL),
        ({"operator_mode": False}, Level.FAIL),
        ({"max_payload": 1 << 20}, Level.WARN),
    ],
)
def test_a_servers_settings(fields: dict[str, object], level: Level) -> None:
    assert level in levels(doctor.of_greeting(changed(GOOD, **fields), place="h"))


@pytest.mark.contract("S2.2")
@pytest.mark.parametrize(
    ("license", "words"),
    [("timescale", "license=timescale"), ("apache", "license=apache"), ("", "native partitions")],
)
def test_the_edition_is_named(license: str, words: str) -> None:
    findings = of_database(changed(FIT, license=license), now_s=1000.0)
    assert levels(findings) == {Level.OK}
    assert any(words in each.message for each in findings)


@pytest.mark.parametrize(
    ("fields", "level"),
    [({"migration": 8}, Level.WARN), ({"durable": False}, Level.FAIL), ({"now_s": 1002.0}, Level.WARN)],
)
def test_a_databases_state(fields: dict[str, object], level: Level) -> None:
    assert level in levels(of_database(changed(FIT, **fields), now_s=1000.0))


@pytest.mark.parametrize(
    ("skew_s", "level"),
    [(0.9, Level.OK), (-1.0, Level.WARN), (4.9, Level.WARN), (5.0, Level.FAIL), (-60, Level.FAIL)],
)
def test_clocks(skew_s: float, level: Level) -> None:
    assert of_skew("it", skew_s).level is level


@pytest.mark.contract("S3.42")
@pytest.mark.parametrize(
    "right", ["superuser", "creates_roles", "creates_databases", "bypasses_rls", "owns_schema"]
)
def test_a_coordinator_with_rights_that_it_does_not_need_fails(right: str) -> None:
    assert levels(of_rights(LEAST)) == {Level.OK}
    assert levels(of_rights(changed(LEAST, **{right: True}))) == {Level.FAIL}
    assert levels(of_rights(changed(LEAST, coordinates=False))) == {Level.FAIL}


def test_a_way_that_others_can_read_is_a_finding() -> None:
    assert doctor.of_bus_tls("TLSv1.3", url="tls://bus1:4222").level is Level.OK
    assert doctor.of_bus_tls("", url="nats://[::1]:4222").level is Level.OK
    assert levels([doctor.of_bus_tls("", url="nats://bus1:4222")]) == {Level.WARN}


def test_the_last_word_on_each_agents_clock() -> None:
    events = [
        Happened(id=str(at), at=at, kind="clock_skew", node=node, message=f"{node} {at}")
        for node, at in (("n1", 3.0), ("n2", 2.0), ("n1", 1.0))
    ]
    findings = doctor.of_agents_clocks(events)
    assert levels(findings) == {Level.WARN}
    assert [each.message.rpartition(": ")[2] for each in findings] == ["n1 3.0", "n2 2.0"]
    assert doctor.of_agents_clocks([]) == []


def node(**isolation: str) -> Node:
    inventory = Inventory(
        hostname="n", ip="10.0.0.1", architecture="x86_64", os_version="", kernel_version="", cpu_model="",
        cpu_cores=1, isolation=isolation,
    )  # fmt: skip
    return Node(
        name="n1", id="", health=NodeHealth.HEALTHY, admin=NodeAdmin.ACTIVE, kind=NodeKind.COMPUTE,
        capacity=Resources(), allocated=Resources(), running=0, waiting=0, load=0.0, last_heartbeat_s=0.0,
        labels={}, version="", inventory=inventory,
    )  # fmt: skip


def test_the_isolation_that_a_node_really_has() -> None:
    assert levels(doctor.of_node(node(cgroup="v2", account="dropped"))) == {Level.OK}
    for weaker in (
        node(cgroup="v1", account="dropped"),
        node(account="dropped"),
        node(cgroup="v2", account="own"),
    ):
        assert levels(doctor.of_node(weaker)) == {Level.OK, Level.WARN}


def test_a_secret_that_others_can_read_fails(tmp_path: Path) -> None:
    path = Layout(tmp_path).credentials("alice")
    path.parent.mkdir()
    path.touch(mode=0o600)
    assert Level.FAIL not in levels(doctor.of_folder(Layout(tmp_path)))
    path.chmod(0o640)
    found = [each for each in doctor.of_folder(Layout(tmp_path)) if each.level is Level.FAIL]
    assert [each.hint for each in found] == [f"chmod 600 {path}"]


def test_keys_of_agents_are_looked_at_and_those_of_tasks_are_not(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    theirs = layout.agent("n1") / "tasks" / "1.0" / "theirs.key"
    theirs.parent.mkdir(parents=True)
    theirs.touch(mode=0o644)
    assert Level.FAIL not in levels(doctor.of_folder(layout))
    layout.agent_credentials("n1").touch(mode=0o644)
    assert Level.FAIL in levels(doctor.of_folder(layout))


def test_a_folder_of_somebody_else_is_not_called_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`glob` passes over what it may not read, and says nothing."""
    layout, listdir = Layout(tmp_path), os.listdir
    layout.keys.mkdir()

    def refusing(path: Path) -> list[str]:
        if path == layout.keys:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return listdir(path)

    monkeypatch.setattr(os, "listdir", refusing)
    found = [each for each in doctor.of_folder(layout) if each.area == "credentials"]
    assert [(each.level, each.message) for each in found] == [
        (Level.WARN, f"{layout.keys} is not yours to look into")
    ]


def test_little_space_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for free_mib, level in ((255, Level.FAIL), (2047, Level.WARN), (2048, Level.OK)):
        free = SimpleNamespace(free=free_mib << 20)
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _, free=free: free)
        assert doctor.of_folder(Layout(tmp_path))[0].level is level


@pytest.mark.contract("S2.6")
def test_without_a_cluster_it_says_what_it_could_not_look_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORRAL_DATA", str(tmp_path / "none"))
    assert run(["doctor", "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {each["area"] for each in document["findings"] if each["level"] == "warn"} >= {
        "data", "cluster", "database",
    }  # fmt: skip
    edges = {(a, b) for a, b, _ in document["graph"]}
    assert {("coordinator", "nats"), ("coordinator", "postgresql"), ("agent", "sqlite")} < edges
    assert run(["doctor"]) == 0
    assert "coordinator → postgresql" in capsys.readouterr().out
