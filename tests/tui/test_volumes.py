"""Volumes made, kept, given up and brought back from screen 8: asked first, with effect and command."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot

from bus.api import Error
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
