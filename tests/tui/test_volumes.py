"""Volumes made, kept, given up and brought back from screen 8: asked first, with effect and command."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot

from bus.errors import Error
from bus.values import Role
from tests.tui.driving import gone, opened, painted, showing, until
from tests.tui.test_actions import told
from tui.client.fake import FakeCluster


async def to_volumes(pilot: Pilot[None]) -> None:
    """The list, the cursor on the first: `data`."""
    await showing(pilot, "LIVE")
    await pilot.press("8", "v")
    await showing(pilot, "storage › volumes", "▌data", "patients")


async def fill(pilot: Pilot[None], *texts: str) -> None:
    """The lines of a form, one after the other; the last is entered."""
    for place, text in enumerate(texts):
        if place:
            await pilot.press("tab")
        await pilot.press(*text)
    await pilot.press("enter")


async def test_a_volume_is_created_by_a_form(fake: FakeCluster) -> None:
    async with opened(fake, size=(200, 60)) as pilot:
        await to_volumes(pilot)
        await pilot.press("c")
        await showing(pilot, "Create a volume", "one of archive, fast", "ReadWriteOnce | ReadOnlyMany")
        await fill(pilot, "Models")
        await showing(pilot, "name: expected 1 to 63 of a–z")
        await pilot.press(*["backspace"] * 6)
        await fill(pilot, "models", "fast", "20", "ReadWriteMany", "", "/mnt/m")
        await showing(pilot, "Create volume models?", "20 of pool fast where most room is, empty")
        await showing(
            pilot, "$ corral volume create models --pool fast --size 20 --mode ReadWriteMany --path"
        )
        assert fake.done == []
        await pilot.press("y")
        await told(pilot, "models is ready on n-0000")
        await showing(pilot, "models", "20 MiB")
    assert fake.done == [("create", "models")]


async def test_a_refused_volume_is_filled_in_again(fake: FakeCluster) -> None:
    fake.refusals["create_volume"] = Error(code="E_POOL_FULL", message="1 MiB is left", status=409)
    async with opened(fake, size=(120, 40)) as pilot:
        await to_volumes(pilot)
        await pilot.press("c")
        await showing(pilot, "Create a volume")
        await fill(pilot, "models", "fast", "20GiB")
        await showing(pilot, "$ corral volume create models")
        await pilot.press("y")
        await told(pilot, "1 MiB is left")
        await pilot.press("c")
        await showing(pilot, "Create a volume", "models", "20GiB")


async def test_a_snapshot_is_taken_restored_and_removed(fake: FakeCluster) -> None:
    async with opened(fake, size=(200, 60)) as pilot:
        await to_volumes(pilot)
        await pilot.press("j", "s")
        await showing(pilot, "snapshot", "before-upgrade")
        await fill(pilot, "tuesday")
        await showing(pilot, "Take a snapshot of volume patients?", "kept as tuesday")
        await showing(pilot, "$ corral volume snapshot patients tuesday")
        await pilot.press("y")
        await showing(pilot, "tuesday: 9.3 GiB")
        await pilot.press("R")
        await showing(pilot, "as it was in tuesday: what is in it now is lost", "there: monday, tuesday")
        await pilot.press("o")
        await showing(pilot, "snapshot")
        await pilot.press(*["backspace"] * 7, *"monday", "enter")
        await showing(pilot, "$ corral volume restore patients monday")
        await pilot.press("y")
        await showing(pilot, "3 GiB used")
        await pilot.press("U")
        await showing(pilot, "$ corral volume unsnapshot patients tuesday", "gone for ever")
        await pilot.press("y")
        await gone(pilot, "tuesday:")
    assert fake.done == [(verb, "patients") for verb in ("snapshot", "restore", "unsnapshot")]


async def test_a_volume_is_removed_brought_back_and_removed_at_once(fake: FakeCluster) -> None:
    async with opened(fake, size=(200, 60)) as pilot:
        await to_volumes(pilot)
        await pilot.press("D")
        await showing(
            pilot, "Remove volume data?", "gone after the days of grace", "while tasks have it: 37.0"
        )
        await pilot.press("y")
        await gone(pilot, "▌data")
        await pilot.press("t")
        await showing(pilot, "1 deleted", "⊘")
        await pilot.press("Y")
        await told(pilot, "$ corral volume ls --deleted")
        await pilot.press("z")
        await showing(pilot, "Take back: remove volume data?", "$ corral volume undelete data")
        await pilot.press("y")
        await gone(pilot, "1 deleted")
        await pilot.press("g", "D", "o")
        await showing(pilot, "nothing brings it back")
        await fill(pilot, "maybe")
        await showing(pilot, "at once: expected yes, or nothing")
        await pilot.press(*["backspace"] * 5, *"yes", "enter")
        await showing(pilot, "$ corral volume rm data --now", "gone at once, with all snapshots")
        await pilot.press("y")
        await gone(pilot, "▌data")
    assert fake.done == [(verb, "data") for verb in ("remove", "undelete", "remove")]


async def test_a_copy_takes_over_and_marked_volumes_are_meant_together(fake: FakeCluster) -> None:
    async with opened(fake, size=(200, 60)) as pilot:
        await to_volumes(pilot)
        await pilot.press("space", "space", "space", "m")
        await showing(
            pilot, "$ corral volume promote scratch", "data has no copies", "only the lost node has"
        )
        await pilot.press("y")
        await until(pilot, lambda: fake.done == [("promote", "scratch")])
        await pilot.press("g", "space", "space", "D")
        await showing(pilot, "Remove 2 volumes?", "$ corral volume rm data", "$ corral volume rm patients")
        await pilot.press("escape")


async def test_what_makes_no_sense_says_why(fake: FakeCluster) -> None:
    fake.volumes_kept["data"] = replace(fake.volumes_kept["data"], snapshots=[])
    fake.refusals["snapshot_volume"] = Error(code="E_VOLUME_IN_USE", message="37.0 writes", status=409)
    async with opened(fake, size=(200, 60)) as pilot:
        await to_volumes(pilot)
        await pilot.press("R")
        await told(pilot, "no snapshot is there; s takes one")
        await pilot.press("u")
        await showing(pilot, "nothing would change: it is not deleted")
        await pilot.press("escape", "s")
        await showing(pilot, "before-upgrade")
        await fill(pilot, "Bad Name")
        await showing(pilot, "snapshot: expected 1 to 63")
        await pilot.press(*["backspace"] * 8)
        await fill(pilot, "a")
        await showing(pilot, "refused while tasks write to it: 37.0")
        await pilot.press("y")
        await showing(pilot, "✖ not snapshot taken", "37.0 writes")


@pytest.mark.parametrize("keys", ["c", "D", "s"])
async def test_who_only_looks_changes_nothing(fake: FakeCluster, keys: str) -> None:
    fake.role = Role.READONLY
    async with opened(fake, size=(120, 40)) as pilot:
        await to_volumes(pilot)
        await pilot.press(*keys)
        await told(pilot, "needs user")
        assert "create" not in painted(pilot).splitlines()[-1]
    assert fake.done == []


async def test_policies_of_a_volume_are_set_by_the_same_form_and_taken_back(fake: FakeCluster) -> None:
    async with opened(fake, size=(200, 60)) as pilot:
        await to_volumes(pilot)
        await pilot.press("e")
        await showing(pilot, "Snapshots and backups of volume data", "@daily keep 7; empty: none")
        await fill(pilot, "daily")
        await showing(pilot, "snapshots: expected")
        await pilot.press(*["backspace"] * 5)
        await fill(pilot, "@daily keep 3", "yes", "archive", "9")
        await showing(pilot, "copies: expected 1 to 5")
        await pilot.press("backspace")
        await fill(pilot, "2")
        await showing(
            pilot, "Set the policies of volume data?", "each is kept on 2 other nodes of pool archive"
        )
        await showing(pilot, "corral volume set data --snapshots '@daily keep 3' --backup", "now: none")
        assert fake.done == []
        await pilot.press("y")
        await showing(pilot, "snapshots @daily keep 3", "in pool archive on 2 nodes")
        await pilot.press("e")
        await showing(pilot, "Snapshots and backups of volume data", "archive")
        await pilot.press("escape", "z")
        await showing(pilot, "Take back: set the policies of volume data?", "--snapshots '' --no-backup")
        await pilot.press("y")
        await gone(pilot, "snapshots @daily keep 3")
    assert fake.done == [("set", "data"), ("set", "data")]


async def test_policies_that_are_refused_stand_in_the_form_again(fake: FakeCluster) -> None:
    fake.refusals["set_volume"] = Error(code="E_CONSTRAINT", message="pool fast is on n1 alone", status=409)
    async with opened(fake, size=(120, 40)) as pilot:
        await to_volumes(pilot)
        await pilot.press("space", "space", "e")
        await showing(pilot, "Snapshots and backups of 2 volumes")
        await fill(pilot, "@hourly keep 9", "yes")
        await showing(pilot, "Set the policies of 2 volumes?", "corral volume set patients")
        await pilot.press("escape")
        await gone(pilot, "Set the policies of 2 volumes?")
        await pilot.press("escape", "g", "e")
        await showing(pilot, "Snapshots and backups of volume data")
        await fill(pilot, "", "yes")
        await showing(pilot, "refused: what is backed up is what the clock has taken")
        await pilot.press("y")
        await showing(pilot, "✖ not policies set", "pool fast is on n1 alone")
        await pilot.press("e")
        await showing(pilot, "backup    yes")


async def to_pools(pilot: Pilot[None]) -> None:
    """The list, the cursor on the first: `archive`."""
    await showing(pilot, "LIVE")
    await pilot.press("8", "p")
    await showing(pilot, "storage › pools", "▌archive", "fast")


async def test_a_pool_is_created_by_a_form_and_taken_back(fake: FakeCluster) -> None:
    async with opened(fake, size=(200, 60)) as pilot:
        await to_pools(pilot)
        await pilot.press("c")
        await showing(pilot, "Create a pool", "n-0000,n-0001,n-0002: those that have the folder")
        await fill(pilot, "quick", "n-0000,", "/srv/quick", "10GiB")
        await showing(pilot, "nodes: expected the nodes that have the folder")
        await pilot.press("escape")
        await gone(pilot, "Create a pool")
        await pilot.press("c")
        await showing(pilot, "Create a pool")
        await fill(pilot, "quick", "n-0000,n-0001", "/srv/quick", "10GiB", "", "", "yes")
        await showing(pilot, "Create pool quick?", "10GiB on each of 2 nodes, encrypted at rest")
        await showing(
            pilot, "corral pool create quick --size 10GiB --path /srv/quick --nodes n-0000,n-0001 --encrypt"
        )
        await pilot.press("y")
        await told(pilot, "pool quick on 2 nodes")
        await showing(pilot, "quick")
        await pilot.press("z")
        await showing(pilot, "Take back: create pool quick?", "$ corral pool rm quick")
        await pilot.press("y")
        await gone(pilot, "quick")
    assert fake.done == [("pool_create", "quick"), ("pool_remove", "quick")]


async def test_a_pool_is_removed_and_made_again(fake: FakeCluster) -> None:
    fake.refusals["remove_pool"] = Error(code="E_CONFLICT", message="3 volumes are in it", status=409)
    async with opened(fake, size=(200, 60)) as pilot:
        await to_pools(pilot)
        await pilot.press("j", "D")
        await showing(pilot, "Remove pool fast?", "refused while volumes are in it: fast")
        await pilot.press("y")
        await showing(pilot, "✖ not removed", "3 volumes are in it")
        fake.refusals.clear()
        await pilot.press("k", "D")
        await showing(pilot, "$ corral pool rm archive")
        await pilot.press("y")
        await gone(pilot, "archive")
        await pilot.press("z")
        await showing(
            pilot, "Take back: remove pool archive?", "made again", "--size 2000000MiB --path /srv/archive"
        )
        await pilot.press("y")
        await showing(pilot, "archive")
    assert fake.done == [("pool_remove", "archive"), ("pool_create", "archive")]


@pytest.mark.parametrize("keys", ["c", "D"])
async def test_pools_are_made_by_operators(fake: FakeCluster, keys: str) -> None:
    fake.role = Role.USER
    async with opened(fake, size=(120, 40)) as pilot:
        await to_pools(pilot)
        await pilot.press(*keys)
        await told(pilot, "needs operator")
    assert fake.done == []
