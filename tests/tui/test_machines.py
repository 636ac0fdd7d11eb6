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
        await pilot.press("d")
        await showing(pilot, "n-0000 › details")


async def test_a_tool_leads_to_what_it_takes_and_gives_and_how_its_calls_went(fake: FakeCluster) -> None:
    async with opened(fake, size=(120, 40)) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("9")
        await showing(pilot, "wordcount", "podman")
        await pilot.press("j", "enter")
        await showing(pilot, "wordcount › tool", "wordcount@1.0.0", "corral tool call wordcount --input")
        await pilot.press("tab")
        await showing(pilot, "[input]", '"type": "object"')
        await pilot.press("tab")
        await showing(pilot, "[output]", '"counts"')
        await pilot.press("tab")
        await showing(pilot, "[calls]", "1,021 completed, 3 failed", "p95 1.70 s")


async def test_volumes_stand_beside_disks_and_lead_to_their_node(fake: FakeCluster) -> None:
    async with opened(fake, size=(200, 40)) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("8", "v")
        await showing(pilot, "storage › volumes", "patients", "93%", "✖  away", "1 writer")
        await pilot.press("j")
        await showing(pilot, "encrypted at rest")
        await pilot.press("g", "enter")
        await showing(pilot, "n-0000 › details")


async def test_a_task_that_trains_says_where_its_next_attempt_begins(fake: FakeCluster) -> None:
    training = next(job.number for job in fake.world.jobs if job.kind == "ai_training")
    async with opened(fake, size=(160, 40)) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("colon", *f"task {training}.0", "enter")
        await showing(pilot, f"{training}.0 › details")
        await pilot.press(*["tab"] * 4)
        await showing(pilot, "[checkpoints]", "▲ step 300", "1/2 copies", "← the next attempt", "loss=0.31")


async def test_what_is_no_tool_leads_to_a_node(fake: FakeCluster) -> None:
    async with opened(fake, size=(120, 40)) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("9")
        await showing(pilot, "podman")
        await pilot.press("G", "enter")
        await showing(pilot, "› details")


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
