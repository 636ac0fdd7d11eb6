"""Backups at the coordinator's doors: where they are put, what nodes are told, what comes back and where."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from bus.values import NodeHealth, NodeName
from bus.volume_wire import BackupFound, BackupWanted, SnapshotFound, VolumesFound
from coordinator.core.volume_backups import AT_ONCE, Lying, Plan, plan_backup
from tests.unit.coordinator.shell import Shell, running_shell
from tests.unit.coordinator.test_volume_desk import Disk, code, lose
from tests.unit.coordinator.test_volume_snapshots import DAY_S, Days, told

SEALED = "ab" * 32
WIDE = {"name": "wide", "nodes": ["n1", "n2"], "path": "/srv/wide", "size": "1GiB"}


class Node(Disk):
    """Packs and brings at once what it is told to; `lies` are the backups it has."""

    def __init__(self) -> None:
        super().__init__()
        self.lies: set[str] = set()
        self.trouble = ""
        self.broken: set[str] = set()
        self.size = 3_000_000

    def answer(self, command: Any) -> Any:
        found = super().answer(command)
        if not isinstance(found, VolumesFound):
            return found
        packed = {each.id: each.packed for each in self.wanted.volumes}
        volumes = tuple(
            replace(
                each,
                packs=tuple(self.pack(name) for name in packed[each.id]),
            )
            for each in found.volumes
        )
        backups = tuple(self.look(each) for each in self.wanted.backups)
        return replace(found, volumes=volumes, backups=backups)

    def pack(self, snapshot: str) -> SnapshotFound:
        return SnapshotFound(id=snapshot, size=self.size, sha256=SEALED)

    def look(self, backup: BackupWanted) -> BackupFound:
        if backup.removed:
            self.lies.discard(backup.id)
            self.broken.discard(backup.id)
            return BackupFound(id=backup.id, removed=True)
        if self.trouble:
            return BackupFound(id=backup.id, fault=self.trouble)
        if backup.id in self.broken:
            return BackupFound(id=backup.id, damaged=True)
        self.lies.add(backup.id)
        return BackupFound(id=backup.id, ready=True)


def plan(*copies: Lying, wanted: int = 1, has_source: bool = True, most: int = 4) -> Plan:
    return plan_backup(copies, wanted=wanted, has_source=has_source, most=most, grace_s=600.0)


WHOLE, COMING = Lying(id="a"), Lying(id="c", ready=False)
AWAY = Lying(id="b", there=False, away_s=599.9)
LOST = Lying(id="b", there=False, away_s=600.0)


def test_who_is_away_for_a_while_costs_nothing() -> None:
    assert plan(WHOLE) == plan(AWAY) == plan(Lying(id="b", there=False)) == Plan()
    assert plan(LOST) == Plan(begin=1, lost=("b",))
    assert plan(LOST, COMING) == Plan(lost=("b",)), "one is being made"
    assert plan(LOST, has_source=False) == plan(LOST, most=0) == plan(LOST, most=-1) == Plan(lost=("b",))
    assert plan(LOST, WHOLE) == Plan(drop=("b",)), "as many as are wanted are there"
    assert plan(replace(LOST, used=True), WHOLE) == Plan(), "a volume is being filled with it"
    assert plan(WHOLE, COMING) == Plan(drop=("c",)), "who was away is back"


def test_so_many_copies_are_made_as_are_wanted() -> None:
    assert plan(COMING, wanted=3) == Plan(begin=2)
    assert plan(WHOLE, wanted=3, most=1) == Plan(begin=1)
    assert plan(WHOLE, AWAY, wanted=2) == Plan()
    assert plan(WHOLE, LOST, wanted=2) == Plan(begin=1, lost=("b",))
    damaged = Lying(id="d", damaged=True)
    assert plan(WHOLE, damaged, wanted=2) == Plan(), "it is repaired where it lies"
    assert plan(WHOLE, damaged) == Plan(drop=("d",))
    assert plan(WHOLE, Lying(id="e")) == Plan(drop=("e",)), "fewer are wanted than before"


async def nodes(shell: Shell, *names: str) -> list[Node]:
    made = [Node() for _ in names]
    for name, each in zip(names, made, strict=True):
        (await shell.agent(name)).answer = each.answer
    return made


async def rounds(shell: Shell, count: int = 4) -> None:
    for _ in range(count):
        await shell.keeper.round()


async def backed_up(shell: Shell, **pool: Any) -> list[Node]:
    """A volume `data` on n1 with a backup `one` on n2."""
    made = await nodes(shell, "n1", "n2")
    await shell.ask("olga", "pool.create", **(WIDE | pool))
    await shell.ask("alice", "volume.create", name="data", pool="wide", size="100MiB", node="n1")
    asked = await shell.ask("alice", "volume.backup", volume="data", snapshot="one")
    assert [(each["name"], each["state"]) for each in asked["backups"]] == [("one", "copying")]
    await rounds(shell)
    return made


async def shown(shell: Shell) -> Any:
    return await shell.ask("alice", "volume.show", volume="data")


def back(shell: Shell, name: str) -> None:
    shell.cluster.nodes[NodeName(name)].health = NodeHealth.HEALTHY


@pytest.mark.contract("S2.72")
async def test_a_backup_lies_on_another_node_and_takes_room_there() -> None:
    async with running_shell() as shell:
        first, second = await backed_up(shell)
        (backup,) = (await shown(shell))["backups"]
        assert (backup["state"], backup["node"], backup["pool"]) == ("ready", "n2", "wide")
        assert [(each.sha256, each.size) for each in second.wanted.backups] == [(SEALED, 3_000_000)]
        assert not next(each for each in first.wanted.volumes).packed, "what was fetched need not lie there"
        assert (await shell.ask("olga", "pool.show", pool="wide"))["used_mib"] == 103
        assert shell.volumes.holders(SEALED) == {"n2"}
        assert told(shell, "volume_backed_up") == 1
        assert await code(shell, "olga", "pool.remove", pool="wide") == ("E_CONFLICT", "/pool")
        gone = {"volume": "data", "snapshot": "one"}
        assert await code(shell, "bob", "volume.unbackup", **gone) == ("E_NOT_FOUND", "/snapshot")
        assert (await shell.ask("alice", "volume.unbackup", **gone))["name"] == "one"
        await rounds(shell)
        assert not shell.backups.kept and not second.lies


async def test_a_backup_outlives_its_volume_and_becomes_a_new_one() -> None:
    async with running_shell() as shell:
        await backed_up(shell)
        await shell.ask("alice", "volume.remove", volume="data", now=True)
        await rounds(shell)
        assert not shell.volume_store.kept
        assert (await shell.ask("bob", "volume.backups"))["backups"] == []
        (backup,) = (await shell.ask("alice", "volume.backups", volume="data"))["backups"]
        assert backup["volume"] == "data"
        again = {"name": "again", "pool": "wide", "size": "100MiB", "source": "data@one", "node": "n2"}
        assert await code(shell, "bob", "volume.create", **again) == ("E_NOT_FOUND", "/source")
        assert await code(shell, "alice", "volume.create", **(again | {"source": "data@two"})) == (
            "E_NOT_FOUND",
            "/source",
        )
        made = await shell.ask("alice", "volume.create", **again)
        assert (made["node"], made["state"]) == ("n2", "ready")
        pool = next(iter(shell.volume_store.kept_pools.values()))
        shell.backups.kept = {
            name: replace(each, used=200 * 1024 * 1024) for name, each in shell.backups.kept.items()
        }
        await shell.keeper.round()
        assert await code(shell, "alice", "volume.create", **(again | {"name": "b"})) == ("E_RANGE", "/size")
        assert pool.name == "wide"


async def test_a_volume_whose_node_is_lost_begins_anew_elsewhere() -> None:
    async with running_shell() as shell:
        first, second = await backed_up(shell)
        asked = {"volume": "data", "backup": "one", "node": "n2"}
        assert await code(shell, "alice", "volume.rehome", **asked) == ("E_CONFLICT", "/node")
        lose(shell, "n1")
        await shell.keeper.round()
        missing = asked | {"backup": "two"}
        assert await code(shell, "alice", "volume.rehome", **missing) == ("E_NOT_FOUND", "/backup")
        shell.backups.others_lead = True
        assert (await code(shell, "alice", "volume.rehome", **asked))[0] == "E_CONFLICT"
        shell.backups.others_lead = False
        restored = await shell.ask("alice", "volume.rehome", **asked)
        assert (restored["node"], restored["state"]) == ("n2", "ready")
        content = next(each for each in second.wanted.volumes if each.name == "data").content
        assert content is not None and (content.sha256, content.key_pool) == (SEALED, "")
        assert shell.volumes.may_fetch("n2", SEALED)
        back(shell, "n1")
        await rounds(shell)
        assert not first.wanted.volumes and not shell.leftovers.kept, "it let go of what it had"


async def test_what_is_encrypted_is_read_by_who_has_the_key() -> None:
    async with running_shell() as shell:
        await nodes(shell, "n1", "n2", "n3")
        await shell.ask("olga", "pool.create", **WIDE, encrypt=True)
        plain = {"name": "plain", "nodes": ["n3"], "path": "/srv/plain", "size": "1GiB"}
        await shell.ask("olga", "pool.create", **plain)
        locked = plain | {"name": "locked", "path": "/srv/locked"}
        await shell.ask("olga", "pool.create", **locked, encrypt=True)
        await shell.ask("alice", "volume.create", name="data", pool="wide", size="100MiB", node="n1")
        asked = {"volume": "data", "snapshot": "one", "pool": "locked"}
        assert await code(shell, "alice", "volume.backup", **asked) == ("E_CONSTRAINT", "/backup_pool")
        await shell.ask("alice", "volume.backup", **(asked | {"pool": "plain"}))
        await rounds(shell)
        (backup,) = (await shown(shell))["backups"]
        assert (backup["state"], backup["node"]) == ("ready", "n3")
        fresh = {"name": "fresh", "pool": "plain", "size": "100MiB", "source": "data@one"}
        assert (await code(shell, "alice", "volume.create", **fresh))[0] == "E_UNAVAILABLE"
        made = await shell.ask("alice", "volume.create", **(fresh | {"pool": "wide", "node": "n2"}))
        assert made["node"] == "n2"
        row = shell.volumes.volume("fresh")
        assert row is not None and shell.volumes.wanted("n2").volumes[-1].content.key_pool == row.pool  # type: ignore[union-attr]
        single = {"name": "single", "nodes": ["n1"], "path": "/srv/single", "size": "1GiB", "encrypt": True}
        await shell.ask("olga", "pool.create", **single)
        await shell.ask("alice", "volume.create", name="own", pool="single", size=1)
        lonely = {"volume": "own", "pool": "plain"}
        assert await code(shell, "alice", "volume.backup", **lonely) == ("E_CONSTRAINT", "/backup")


async def test_the_clock_backs_up_what_it_takes_and_keeps_so_many() -> None:
    async with running_shell() as shell:
        await nodes(shell, "n1", "n2")
        days = Days(shell)
        await shell.ask("olga", "pool.create", **WIDE)
        made = await shell.ask(
            "alice",
            "volume.create",
            name="data",
            pool="wide",
            size="100MiB",
            node="n1",
            snapshots="@daily keep 2",
            backup=True,
        )
        assert made["backup_pool"] == "wide"
        for _ in range(4):
            days.now += DAY_S
            await rounds(shell, 6)
        kept = [each["name"] for each in (await shown(shell))["backups"]]
        assert kept == ["auto-19700414-0000", "auto-19700415-0000"]
        assert await code(shell, "alice", "volume.set", volume="data", snapshots="") == (
            "E_REQUIRED",
            "/snapshots",
        )
        changed = await shell.ask("alice", "volume.set", volume="data", backup=False)
        assert not changed.get("backup_pool") and changed["policy"] == "@daily keep 2"
        days.now += DAY_S
        await rounds(shell, 6)
        assert [each["name"] for each in (await shown(shell))["backups"]] == kept


async def test_what_cannot_be_backed_up_yet_says_why() -> None:
    async with running_shell() as shell:
        first, second = await nodes(shell, "n1", "n2")
        await shell.ask("olga", "pool.create", **WIDE)
        await shell.ask("alice", "volume.create", name="data", pool="wide", size="100MiB", node="n1")
        first.size = 2 << 30
        await shell.ask("alice", "volume.backup", volume="data", snapshot="one")
        await rounds(shell)
        (backup,) = (await shown(shell))["backups"]
        assert backup["state"] == "waiting" and "2 GiB left" in backup["fault"]
        assert told(shell, "volume_backup_failed") == 1
        first.size, second.trouble = 5, "E_SPACE: no room"
        await rounds(shell)
        (backup,) = (await shown(shell))["backups"]
        assert (backup["state"], backup["fault"]) == ("copying", "E_SPACE: no room")
        taken = {"volume": "data", "snapshot": "one"}
        assert await code(shell, "alice", "volume.unsnapshot", **taken) == ("E_CONFLICT", "/snapshot")
        lose(shell, "n2")
        await rounds(shell)
        (backup,) = (await shown(shell))["backups"]
        assert backup["state"] == "waiting", "its node is lost: another place is looked for"
        assert [each.kind for each in shell.leftovers.kept] == ["backup"]
        await shell.ask("alice", "volume.remove", volume="data", now=True)
        await rounds(shell)
        assert not shell.backups.kept and told(shell, "volume_backup_failed") >= 2
        back(shell, "n2")
        await rounds(shell)
        assert not shell.leftovers.kept


def later(shell: Shell, days: Days, name: str, seconds: float) -> None:
    """A node is lost for so long."""
    lose(shell, name)
    shell.cluster.nodes[NodeName(name)].lease_from_s = days.now - seconds


async def lying(shell: Shell) -> list[tuple[str, str]]:
    found = await shell.ask("alice", "volume.backups", volume="data")
    return sorted((each.get("node", ""), each["state"]) for each in found["backups"])


THREE = {"nodes": ["n1", "n2", "n3"]}


async def three(shell: Shell, **backup: Any) -> tuple[list[Node], Days]:
    """A volume `data` on n1 with a backup `one`; nodes n2 and n3 may have it."""
    made = await nodes(shell, "n1", "n2", "n3")
    days = Days(shell)
    await shell.ask("olga", "pool.create", **(WIDE | THREE))
    await shell.ask("alice", "volume.create", name="data", pool="wide", size="100MiB", node="n1")
    await shell.ask("alice", "volume.backup", volume="data", snapshot="one", **backup)
    await rounds(shell)
    return made, days


async def test_a_backup_whose_node_is_lost_for_long_is_made_again_on_another() -> None:
    async with running_shell() as shell:
        (_, second, third), days = await three(shell)
        assert await lying(shell) == [("n2", "ready")]
        later(shell, days, "n2", 599.0)
        await rounds(shell)
        assert await lying(shell) == [("n2", "away")], "who only reboots is waited for"
        (backup,) = (await shown(shell))["backups"]
        assert backup["fault"] == "n2 is lost: made again elsewhere in 1 min"
        later(shell, days, "n2", 600.0)
        await shell.keeper.round()
        assert await lying(shell) == [("", "waiting"), ("n2", "away")]
        await rounds(shell)
        assert await lying(shell) == [("n3", "ready")] and third.lies
        assert told(shell, "volume_backup_lost") == 1 and told(shell, "volume_backed_up") == 2
        back(shell, "n2")
        await rounds(shell)
        assert not second.lies and not shell.leftovers.kept, "it let go of what it had"


async def test_a_node_that_is_back_meanwhile_keeps_its_backup() -> None:
    async with running_shell() as shell:
        (_, second, third), days = await three(shell)
        third.trouble = "E_SPACE: no room"
        later(shell, days, "n2", 700.0)
        await rounds(shell)
        assert await lying(shell) == [("n2", "away"), ("n3", "copying")]
        taken = {"volume": "data", "snapshot": "one"}
        assert await code(shell, "alice", "volume.unsnapshot", **taken) == ("E_CONFLICT", "/snapshot")
        back(shell, "n2")
        await rounds(shell)
        assert await lying(shell) == [("n2", "ready")] and second.lies
        (backup,) = (await shown(shell))["backups"]
        assert not backup.get("fault")


async def test_a_backup_without_snapshot_is_made_again_of_another_copy_only() -> None:
    async with running_shell() as shell:
        _, days = await three(shell)
        await shell.ask("alice", "volume.unsnapshot", volume="data", snapshot="one")
        later(shell, days, "n2", 700.0)
        await rounds(shell)
        assert await lying(shell) == [("n2", "away")]
        (backup,) = (await shown(shell))["backups"]
        assert backup["fault"].endswith("no other copy can be made: its snapshot is gone")
        assert told(shell, "volume_backup_lost") == 1


async def test_a_backup_on_two_nodes_outlives_all_else() -> None:
    async with running_shell() as shell:
        (first, _, _), days = await three(shell, copies=2)
        assert await lying(shell) == [("n2", "ready"), ("n3", "ready")]
        await shell.ask("alice", "volume.remove", volume="data", now=True)
        await rounds(shell)
        assert not shell.volume_store.kept, "volume and snapshot are gone"
        later(shell, days, "n3", 700.0)
        await rounds(shell, 6)
        assert await lying(shell) == [("n1", "ready"), ("n2", "ready")] and first.lies
        again = {"name": "again", "pool": "wide", "size": "100MiB", "source": "data@one", "node": "n2"}
        assert (await shell.ask("alice", "volume.create", **again))["state"] == "ready"
        await shell.ask("alice", "volume.unbackup", volume="data", snapshot="one")
        await rounds(shell)
        assert await lying(shell) == [] and not shell.backups.kept


async def test_what_is_damaged_is_made_anew_of_its_other_copy() -> None:
    async with running_shell() as shell:
        (_, second, _), days = await three(shell, copies=2)
        await shell.ask("alice", "volume.unsnapshot", volume="data", snapshot="one")
        await rounds(shell)
        second.broken |= second.lies
        await rounds(shell, 6)
        assert await lying(shell) == [("n2", "ready"), ("n3", "ready")] and not second.broken
        assert days.now > 0 and told(shell, "volume_damaged") == 1


async def test_so_many_copies_as_a_volume_says() -> None:
    async with running_shell() as shell:
        await nodes(shell, "n1", "n2", "n3")
        days = Days(shell)
        await shell.ask("olga", "pool.create", **(WIDE | THREE))
        data = {"name": "data", "pool": "wide", "size": "100MiB", "node": "n1", "snapshots": "@daily keep 2"}
        for copies, refused in ((0, "E_RANGE"), (6, "E_RANGE"), (3, "E_CONSTRAINT")):
            wrong = await code(shell, "alice", "volume.create", **data, backup_copies=copies)
            assert wrong == (refused, "/backup_copies")
        made = await shell.ask("alice", "volume.create", **data, backup_copies=2)
        assert (made["backup_pool"], made["backup_copies"]) == ("wide", 2)
        for _ in range(3):
            days.now += DAY_S
            await rounds(shell, 6)
        assert await lying(shell) == [("n2", "ready")] * 2 + [("n3", "ready")] * 2
        for copies in (1, 2):
            await shell.ask("alice", "volume.set", volume="data", backup_copies=copies)
            await rounds(shell, 6)
            assert len(await lying(shell)) == 2 * copies
        assert await code(shell, "alice", "volume.backup", volume="data", copies=3) == (
            "E_CONSTRAINT",
            "/copies",
        )
        assert await code(shell, "alice", "volume.backup", volume="data", copies=-1) == ("E_RANGE", "/copies")


async def test_few_are_made_again_at_a_time() -> None:
    async with running_shell() as shell:
        (_, _, third), days = await three(shell)
        third.trouble = "E_SPACE: no room"
        shell.cluster.nodes[NodeName("n3")].health = NodeHealth.DEGRADED
        for number in range(AT_ONCE + 2):
            await shell.ask("alice", "volume.backup", volume="data", snapshot=f"more-{number}")
        await rounds(shell)
        assert await lying(shell) == [("n2", "ready")] * (AT_ONCE + 3)
        back(shell, "n3")
        later(shell, days, "n2", 700.0)
        await rounds(shell)
        assert (await lying(shell)).count(("n3", "copying")) == AT_ONCE
        third.trouble = ""
        await rounds(shell, 12)
        assert await lying(shell) == [("n3", "ready")] * (AT_ONCE + 3)


async def test_a_lost_node_keeps_no_backup_that_is_to_go() -> None:
    async with running_shell() as shell:
        _, second = await backed_up(shell)
        lose(shell, "n2")
        await shell.keeper.round()
        assert (await shown(shell))["backups"][0]["state"] == "away"
        await shell.ask("alice", "volume.unbackup", volume="data", snapshot="one")
        assert not shell.backups.kept and [each.kind for each in shell.leftovers.kept] == ["backup"]
        back(shell, "n2")
        await rounds(shell)
        assert not second.lies and not shell.leftovers.kept
