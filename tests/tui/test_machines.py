"""Screens 8, 9 and 0: what machines have and who uses them; empty, refused, and what the role may see."""

from __future__ import annotations

import pytest

from bus.api import Error
from bus.values import Role
from tests.tui.driving import NOW_S, gone, opened, painted, showing, until
from tui.client.fake import FakeCluster
from tui.client.fake_world import World


async def test_disks_and_cards_are_listed_and_lead_to_their_node(fake: FakeCluster) -> None:
    async with opened(fake, size=(160, 40)) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("8")
        await showing(pilot, "storage", "/scratch", "eth0", "25 Gbit/s", "20 nodes", "█")
        await pilot.press("t")
        await gone(pilot, "eth0")
        await pilot.press("t")
        await showing(pilot, "eth0")
        await gone(pilot, "/scratch")
        await pilot.press("t", "slash", *"name=n-0007", "enter")
        await showing(pilot, "[/name=n-0007]", "1 nodes")
        await pilot.press("enter")
        await showing(pilot, "n-0007 › details")


async def test_tools_say_how_many_nodes_have_them(fake: FakeCluster) -> None:
    async with opened(fake, size=(160, 40)) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("9")
        await showing(pilot, "wordcount", "podman", "4.9.3", "NVIDIA H100")
        await pilot.press("slash")
        await pilot.press("enter")
        await showing(pilot, "n-0000 › details")


@pytest.mark.parametrize(("key", "words"), [("8", "No disks"), ("9", "No tools, runtimes or GPUs")])
async def test_where_nothing_is_it_says_what_would_fill_it(key: str, words: str) -> None:
    async with opened(FakeCluster(World(seed=1, now_s=NOW_S, nodes=0, jobs=0))) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press(key)
        await showing(pilot, words)


async def test_people_lead_to_their_jobs(fake: FakeCluster) -> None:
    async with opened(fake, size=(160, 40)) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("0")
        await showing(pilot, "users", "ann", "demo", "SHARES", "suspended")
        await pilot.press("enter")
        await showing(pilot, "[/user=ann]")


async def test_admins_see_tokens_and_connections(fake: FakeCluster) -> None:
    async with opened(fake, size=(160, 40)) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("0")
        await showing(pilot, "ann")
        await pilot.press("t")
        await showing(pilot, "users › tokens", "8f3a91c2d4e5b607", "waits", "used")
        await pilot.press("escape", "o")
        await showing(pilot, "users › connections", "corral console", "agent n-0003")


async def test_others_are_not_offered_them(fake: FakeCluster) -> None:
    fake.role = Role.USER
    async with opened(fake, size=(160, 40)) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("0")
        await showing(pilot, "users", "demo")
        assert "ann" not in painted(pilot) and "tokens" not in painted(pilot).splitlines()[-1]
        await pilot.press("t", "o")
        await pilot.pause()
        assert "tokens" not in fake.asked and "connections" not in fake.asked


@pytest.mark.parametrize(("key", "operation"), [("8", "devices"), ("9", "tools"), ("0", "users")])
async def test_what_is_refused_says_why_and_which_key_helps(
    fake: FakeCluster, key: str, operation: str
) -> None:
    fake.refusals[operation] = Error(code="E_FORBIDDEN", message="not for you", status=403)
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press(key)
        await showing(pilot, "E_FORBIDDEN: not for you", "ctrl-r asks again")
        del fake.refusals[operation]
        asked = len(fake.asked)
        await pilot.press("ctrl+r")
        await gone(pilot, "E_FORBIDDEN")
        await until(pilot, lambda: operation in fake.asked[asked:])
