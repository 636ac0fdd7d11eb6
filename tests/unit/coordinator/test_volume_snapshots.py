"""Snapshots by the clock: which is due, which go; and at the coordinator's doors, what the nodes are told."""

from __future__ import annotations

from msgspec.structs import replace

from bus.snapshot_policy import parse_policy
from coordinator.core.volume_snapshots import Due, Taken, due, surplus
from tests.unit.coordinator.shell import Shell, running_shell
from tests.unit.coordinator.test_volume_desk import POOL, Disk, code, disk

DAY_S = 86_400.0
DAILY = parse_policy("@daily keep 2")
READY = Taken(id="a", asked_at_s=1.0, ready=True)


def test_one_is_due_at_its_instant_and_one_for_all_that_was_missed() -> None:
    assert due(DAILY, DAY_S, now_s=DAY_S - 1, taken=()) is None
    assert due(DAILY, DAY_S, now_s=DAY_S, taken=[READY]) == Due("auto-19700102-0000", DAY_S, 2 * DAY_S)
    late = due(DAILY, DAY_S, now_s=5.5 * DAY_S, taken=())
    assert late == Due("auto-19700106-0000", 5 * DAY_S, 6 * DAY_S)


def test_none_is_begun_while_the_last_one_waits_for_a_writer() -> None:
    waits = replace(READY, ready=False)
    assert due(DAILY, DAY_S, now_s=DAY_S, taken=[READY, waits]) == Due("", DAY_S, 2 * DAY_S)


def test_the_oldest_go_once_newer_ones_are_there() -> None:
    taken = [Taken(id=name, asked_at_s=at_s, ready=True) for at_s, name in enumerate("abcd")]
    assert surplus(reversed(taken), keep=2) == ["a", "b"]
    assert surplus(taken, keep=4) == []
    assert surplus([*taken[:2], replace(taken[2], ready=False)], keep=2) == [], "it is not there yet"
    assert surplus([replace(taken[0], used=True), *taken[1:]], keep=2) == ["b"], "a volume is filled with it"


class Days:
    """A clock that says what it is told."""

    def __init__(self, shell: Shell) -> None:
        self.now = 100 * DAY_S + 60.0
        shell.clock.now_s = lambda: self.now  # type: ignore[method-assign]


async def names(shell: Shell) -> list[str]:
    entry = await shell.ask("alice", "volume.show", volume="data")
    return [each["name"] for each in entry.get("snapshots", [])]


async def kept(shell: Shell) -> tuple[Disk, Days]:
    node, days = await disk(shell), Days(shell)
    await shell.ask("olga", "pool.create", **POOL)
    made = await shell.ask(
        "alice", "volume.create", name="data", pool="fast", size=1, snapshots="@daily keep 2"
    )
    assert (made["policy"], made["next_snapshot_at"]) == ("@daily keep 2", 101 * DAY_S)
    return node, days


def told(shell: Shell, kind: str) -> int:
    return sum(getattr(each, "event_type", "") == kind for each in shell.records)


async def test_the_clock_has_them_taken_and_so_many_are_kept() -> None:
    async with running_shell() as shell:
        _, days = await kept(shell)
        await shell.ask("alice", "volume.snapshot", volume="data", snapshot="mine")
        for _ in range(4):
            days.now += DAY_S
            for _ in range(3):  # asked for, taken, and the older ones gone
                await shell.keeper.round()
        assert await names(shell) == ["mine", "auto-19700414-0000", "auto-19700415-0000"]
        assert told(shell, "volume_snapshot") == 4
        assert await code(shell, "bob", "volume.set", volume="data", snapshots="") == (
            "E_NOT_FOUND",
            "/volume",
        )
        assert await code(shell, "alice", "volume.set", volume="data", snapshots="x") == (
            "E_VALUE",
            "/snapshots",
        )
        changed = await shell.ask("alice", "volume.set", volume="data", snapshots="")
        assert "policy" not in changed or not changed["policy"]
        days.now += DAY_S
        await shell.keeper.round()
        assert len(await names(shell)) == 3 and ("alice", "volume.set") in shell.volume_store.done


async def test_after_an_outage_of_its_node_one_is_taken_not_many() -> None:
    async with running_shell() as shell:
        _, days = await kept(shell)
        shell.volumes.silent.add("n1")
        days.now += 5 * DAY_S
        await shell.keeper._snapshots.look()
        assert await names(shell) == []
        for _ in range(3):
            await shell.keeper.round()
        assert await names(shell) == ["auto-19700416-0000"]


async def test_a_writer_that_never_ends_is_told_of() -> None:
    async with running_shell() as shell:
        node, days = await kept(shell)
        node.is_busy = True
        for _ in range(3):
            days.now += DAY_S
            await shell.keeper.round()
            await shell.keeper.round()
        assert await names(shell) == ["auto-19700412-0000"]
        assert told(shell, "volume_snapshot_late") == 2


async def test_a_zone_that_this_machine_does_not_know_stops_nobody() -> None:
    async with running_shell() as shell:
        _, days = await kept(shell)
        (row,) = shell.volume_store.kept.values()
        shell.volume_store.kept[row.id] = replace(row, policy="@daily Mars/Base keep 2")
        days.now += DAY_S
        await shell.keeper.round()
        assert await names(shell) == []
