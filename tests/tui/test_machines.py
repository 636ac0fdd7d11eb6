"""Screens 8, 9 and 0: what machines have and who uses them; empty, refused, and what the role may see."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from bus.errors import Error
from bus.values import Role
from tests.tui.driving import NOW_S, gone, opened, painted, showing, until
from tui.client.fake import FakeCluster
from tui.client.fake_world import World


async def test_disks_and_cards_are_listed_and_lead_to_their_node(fake: FakeCluster) -> None:
    async with opened(fake, size=(160, 40)) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("8")
        await showing(pilot, "storage", "/scratch", "eth0", "25 Gbit/s", "20 nodes", "█", "quarantined")
        await pilot.press("t")
        await gone(pilot, "eth0")
        await showing(pilot, "FREE")
        await pilot.press("t")
        await showing(pilot, "eth0", "NETWORK")
        await gone(pilot, "/scratch")
        assert "FREE" not in painted(pilot) and "USED" not in painted(pilot)
        await pilot.press("t")
        await showing(pilot, "NVIDIA H100", "TAKEN", "xid: XID 79", "3 nodes")
        await gone(pilot, "eth0")
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


async def test_a_node_says_what_it_can(fake: FakeCluster) -> None:
    async with opened(fake, size=(120, 40)) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("colon", *"node n-0001", "enter")
        await showing(pilot, "n-0001 › details")
        await pilot.press("shift+tab")
        await showing(pilot, "[abilities]", "✖ container_gpus", "podman: no GPUs were found", "✔ wordcount")
        await showing(pilot, "roles      analysis execution")


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


async def to_gpus(pilot: Pilot[None]) -> None:
    """The list of GPUs alone, on the one that is quarantined."""
    await showing(pilot, "LIVE")
    await pilot.press("8")
    await showing(pilot, "/scratch")
    await pilot.press("t", "t", "t")
    await showing(pilot, "TAKEN", "XID 79")
    await pilot.press(*["j"] * 10)
    await showing(pilot, "▌n-0008  ✖")


async def test_operators_release_a_gpu_and_take_it_out_again(fake: FakeCluster) -> None:
    async with opened(fake, size=(200, 40)) as pilot:
        await to_gpus(pilot)
        await showing(pilot, "a critical error of the driver", "when somebody releases it")
        await pilot.press("e")
        await showing(pilot, "Release GPU 2 of n-0008?", "$ corral gpu release n-0008 2", "given out again")
        await pilot.press("y")
        await gone(pilot, "XID 79")
        assert fake.done == [("release_gpu", "n-0008 2")]
        await pilot.press("u")
        await showing(pilot, "Quarantine GPU 2 of n-0008?", "given to no new task until released")
        await pilot.press("o")
        await showing(pilot, "reason")
        await pilot.press(*"fan", "enter")
        await showing(pilot, "$ corral gpu quarantine n-0008 2 --reason fan")
        await pilot.press("y")
        await showing(pilot, "manual: fan (demo)")
        await pilot.press("z")
        await showing(pilot, "Take back: quarantine", "$ corral gpu release n-0008 2")
        await pilot.press("y")
        await gone(pilot, "manual: fan (demo)")


async def test_of_marked_devices_only_gpus_that_it_fits_are_meant(fake: FakeCluster) -> None:
    async with opened(fake, size=(120, 40)) as pilot:
        await to_gpus(pilot)
        await pilot.press("space", "space", "u")
        await showing(pilot, "$ corral gpu quarantine n-0008 3", "is quarantined already")
        await pilot.press("n")
        await pilot.press("u", "escape", "escape", "g", "t")
        await showing(pilot, "/scratch")
        await pilot.press("u")
        await until(pilot, lambda: any("only GPUs are" in note.message for note in pilot.app._notifications))
    assert fake.done == []


async def test_a_refused_release_says_why_on_the_gpu(fake: FakeCluster) -> None:
    fake.refusals["release_gpu"] = Error(code="E_QUARANTINED", message="its agent still sees it", status=409)
    async with opened(fake, size=(200, 40)) as pilot:
        await to_gpus(pilot)
        await pilot.press("e")
        await showing(pilot, "Release GPU 2 of n-0008?")
        await pilot.press("y")
        await showing(pilot, "✖ not released", "its agent still sees it")


@pytest.mark.parametrize("role", [Role.USER, Role.READONLY])
async def test_others_see_gpus_and_are_offered_nothing(fake: FakeCluster, role: Role) -> None:
    fake.role = role
    async with opened(fake, size=(120, 40)) as pilot:
        await to_gpus(pilot)
        await pilot.press("e", "u")
        await until(pilot, lambda: any("needs operator" in note.message for note in pilot.app._notifications))
        await pilot.press("question_mark")
        await showing(pilot, "here")
        assert "release a GPU" not in painted(pilot)
    assert fake.done == []


async def test_pools_lead_to_their_volumes_and_say_what_is_faulty(fake: FakeCluster) -> None:
    async with opened(fake, size=(200, 40)) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("8", "p")
        await showing(pilot, "storage › pools", "archive", "no disk below /srv", "33%")
        await pilot.press("j", "enter")
        await showing(pilot, "fast › volumes", "patients")
        await pilot.press("escape")
        await showing(pilot, "storage › pools")
        await pilot.press("g", "enter")
        await showing(pilot, "archive › volumes", "No volumes")


async def test_topologies_say_what_does_not_agree(fake: FakeCluster) -> None:
    async with opened(fake, size=(200, 40)) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("8", "o")
        await showing(pilot, "storage › topologies", "lab", "172.16.4.0/24", "n-0007 eth0: MTU 1500")
        await pilot.press("enter")
        await showing(pilot, "n-0000 › details")


@pytest.mark.parametrize(("key", "words"), [("v", "No volumes"), ("p", "No pools"), ("o", "No networks")])
async def test_lists_behind_storage_say_what_would_fill_them(key: str, words: str) -> None:
    async with opened(FakeCluster(World(seed=1, now_s=NOW_S, nodes=0, jobs=0))) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("8", key)
        await showing(pilot, words)


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
