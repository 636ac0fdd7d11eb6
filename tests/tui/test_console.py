"""The console shows what the cluster says, opens what is selected, and does nothing unasked."""

from __future__ import annotations

import re

from msgspec.structs import replace

from bus.api import JobChanged, TaskCounts
from bus.errors import Error
from bus.values import JobState, Role, Stream
from tests.tui.driving import HOSTILE, NOW_S, gone, opened, painted, showing, until
from tui.client.fake import FakeCluster
from tui.client.fake_world import World
from tui.screens.jobs import JobsScreen
from tui.screens.pulse import PulseScreen
from tui.widgets.virtual_table import VirtualTable


async def test_it_paints_before_it_connects(fake: FakeCluster) -> None:
    fake.reachable = False
    async with opened(fake) as pilot:
        await showing(pilot, "corral", "loading", "? help")


async def test_each_main_screen_has_its_key(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await showing(pilot, "pulse", "LIVE")
        for key, crumb, sign in (
            ("2", "nodes", "n-0003"),
            ("3", "jobs", "STATE"),
            ("7", "events", "EVENT"),
            ("1", "pulse", "memory"),
        ):
            await pilot.press(key)
            await showing(pilot, f" {crumb}  ", sign)


async def test_enter_leads_to_tasks_and_their_output_and_escape_back(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE")
        await pilot.press("enter")
        await showing(pilot, "jobs › 40 › tasks", "40.0")
        await pilot.press("l")
        await showing(pilot, "40.0 › output", "epoch 399", "! checkpoint written", "ended")
        await pilot.press("escape")
        await showing(pilot, "› tasks  ")
        await pilot.press("minus")
        await until(pilot, lambda: isinstance(pilot.app.screen, JobsScreen))


async def test_cancel_says_the_effect_and_the_command_and_asks(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE")
        await pilot.press("C")
        await showing(pilot, "Cancel job 40", "nothing would change: it is completed already")
        await pilot.press("n", "j", "C")
        await showing(pilot, "Cancel job 39", "$ corral cancel 39", "never start")
        await pilot.press("escape")
        await gone(pilot, "$ corral cancel 39")
        assert fake.done == []
        await pilot.press("C")
        await showing(pilot, "Cancel job 39")
        await pilot.press("y")
        await until(pilot, lambda: fake.done == [("cancel", "39")])
        await showing(pilot, "⊘  cancelled")


async def test_nodes_are_steered(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("2")
        await showing(pilot, "n-0000")
        for key, verb, word in (("u", "cordon", "inactive"), ("r", "drain", "draining")):
            await pilot.press(key)
            await showing(pilot, f"$ corral {verb} n-0000")
            await pilot.press("y")
            await showing(pilot, word)
        await pilot.press("t")
        await showing(pilot, "$ corral undrain n-0000")
        await pilot.press("enter")  # comes too easily to mean yes
        await gone(pilot, "$ corral undrain")
        assert fake.done[-1] == ("drain", "n-0000")
        await pilot.press("t")
        await showing(pilot, "$ corral undrain n-0000")
        await pilot.press("y")
        await until(pilot, lambda: fake.done[-1] == ("undrain", "n-0000"))


async def test_who_may_only_look_is_offered_nothing_else(fake: FakeCluster) -> None:
    fake.role = Role.READONLY
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE", "LIVE")
        assert "cancel" not in painted(pilot).splitlines()[-1]
        await pilot.press("C")
        await pilot.press("2")
        await showing(pilot, "n-0000")
        await pilot.press("r")
        await pilot.press("question_mark")
        await showing(pilot, "everywhere")
        assert "drain" not in painted(pilot)
    assert fake.done == []


async def test_a_filter_is_the_servers_and_its_faults_are_said_in_place(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE")
        await pilot.press("slash", *"stat=failed", "enter")
        await showing(pilot, "E_FIELD")
        await pilot.press("escape", "slash", *"state=failed", "enter")
        await showing(pilot, "[/state=failed]")
        await gone(pilot, "completed")
        await pilot.press("escape")
        await gone(pilot, "[/state=failed]")
        await showing(pilot, "completed")


async def test_nothing_that_matches_is_said_with_the_way_out(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("3", "slash", *"name~zzz", "enter")
        await showing(pilot, "Nothing matches name~zzz", "Esc shows everything")
        await pilot.press("escape")
        await showing(pilot, "STATE")


async def test_shifted_letters_sort_and_turn_round(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("2")
        await showing(pilot, "n-0000")
        await pilot.press("N")
        await showing(pilot, "NODE▴")
        await pilot.press("N")
        await showing(pilot, "NODE▾", "n-0019")


async def test_the_feed_patches_rows_in_place_and_the_cursor_stays(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE")
        await pilot.press("j", "j")
        table = pilot.app.screen.query_one(VirtualTable)
        assert table.cursor == 2
        asked = fake.asked.count("jobs")
        fake.change(
            JobChanged(
                number=39,
                state=JobState.PAUSED,
                counts=TaskCounts(total=7777),
                at=NOW_S,
            )
        )
        await showing(pilot, "‖  paused", "7777")
        assert fake.asked.count("jobs") == asked
        assert table.cursor == 2


async def test_new_rows_do_not_move_the_cursor_off_its_row(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE")
        await pilot.press("j", "j")
        job = replace(fake.world.jobs[-1], number=41, name="newcomer")
        fake.world.jobs.append(job)
        fake.change(JobChanged(number=41, state=job.state, counts=job.counts, at=job.submitted_at))
        await showing(pilot, "newcomer")
        row = pilot.app.screen.query_one(VirtualTable).row
        assert row is not None and row.number == 38


async def test_offline_keeps_the_last_picture_and_comes_back_by_itself(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE", "LIVE")
        fake.reachable = False
        await showing(pilot, "OFFLINE", "retry in", "no server answers", "old)")
        assert "render-shot" in painted(pilot)
        await pilot.press("C")
        await pilot.pause()
        assert fake.done == [] and "Cancel job" not in painted(pilot)
        fake.world.jobs[-1] = replace(fake.world.jobs[-1], name="after-the-outage")
        fake.reachable = True
        await showing(pilot, "LIVE", "after-the-outage")


async def test_a_refused_list_says_why_and_which_key_helps(fake: FakeCluster) -> None:
    fake.refusals["nodes"] = Error(
        code="E_FORBIDDEN", message="rita may not", hint="ask an admin", status=403
    )
    async with opened(fake) as pilot:
        await pilot.press("2")
        await showing(pilot, "E_FORBIDDEN: rita may not (ask an admin)", "ctrl-r asks again")
        fake.refusals.clear()
        await pilot.press("ctrl+r")
        await showing(pilot, "n-0000")


async def test_an_empty_cluster_says_what_to_do() -> None:
    async with opened(FakeCluster(World(seed=1, now_s=0.0, nodes=0, jobs=0)), size=(80, 24)) as pilot:
        await showing(pilot, "corral run -- echo hello")
        await pilot.press("2")
        await showing(pilot, "corral join")


async def test_help_is_made_of_the_bindings(fake: FakeCluster) -> None:
    async with opened(fake, size=(120, 60)) as pilot:
        await pilot.press("3", "question_mark")
        await showing(pilot, "here", "sort by", "A AGE", "half a page down", "everywhere", "glyphs", "hold")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, JobsScreen))


async def test_why_names_blockers_with_their_remedies(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("3", "slash", *"state=pending", "enter")
        await showing(pilot, "[/state=pending]", "○  pending")
        await pilot.press("w")
        await showing(pilot, "what keeps it back", "all GPUs are held", "--gpu 1 fits now")


async def test_help_lists_every_key_once(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE")
        await pilot.press("question_mark")
        await showing(pilot, "here", "sort by", "J JOB", "everywhere")
        words = painted(pilot)
        for key, label in (("C", "cancel"), ("esc -", "back"), ("^r", "ask again now")):
            assert len(re.findall(rf"  {re.escape(key)} {{2,}}{label}", words)) == 1, (key, words)
        await pilot.press("end")
        await showing(pilot, "glyphs", "leave")
        await pilot.press("escape")
        await gone(pilot, "glyphs")


async def test_a_job_that_is_held_looks_held(fake: FakeCluster) -> None:
    jobs = fake.world.jobs
    jobs[-1] = replace(jobs[-1], state=JobState.PENDING, held=True)
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "‖  pending, held", "‖ pending, held")


async def test_refused_credentials_are_told_how_to_get_others(fake: FakeCluster) -> None:
    fake.refusals["whoami"] = Error(code="E_AUTH", message="these credentials were revoked", status=401)
    async with opened(fake) as pilot:
        await showing(pilot, "REFUSED", "corral login URL TOKEN", "these credentials were revoked")
        del fake.refusals["whoami"]
        await pilot.press("ctrl+r")
        await showing(pilot, "LIVE", "STATE")


async def test_after_an_outage_a_log_goes_on_from_where_it_was(fake: FakeCluster) -> None:
    fake.printing = True
    fake.output = {Stream.STDOUT: [b"one\ntw"]}
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE")
        await pilot.press("enter", "l")
        await showing(pilot, "one", "live")
        fake.reachable = False
        await showing(pilot, "OFFLINE", "one", "no connection")
        fake.output = {Stream.STDOUT: [b"one\ntw", b"o\nthree\n"]}
        fake.reachable = True
        await showing(pilot, "LIVE", "three", "live")
        fake.printing = False
        await showing(pilot, "ended")
        lines = [line.strip() for line in painted(pilot).splitlines()]
        assert lines[2:5] == ["one", "two", "three"]


async def test_no_name_drives_the_terminal_or_runs_markup(fake: FakeCluster) -> None:
    jobs = fake.world.jobs
    jobs[-1] = replace(jobs[-1], name=HOSTILE, reason=HOSTILE, user=HOSTILE)
    async with opened(fake, size=(200, 60)) as pilot:
        await pilot.press("3")
        await showing(pilot, "[@click=app.quit]y[/]")
        for keys, sign in ((("d",), "details"), (("escape", "C"), "Cancel job"), (("n", "enter"), "› tasks")):
            await pilot.press(*keys)
            await showing(pilot, sign)
            assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(painted(pilot))


async def test_it_leaves_on_q(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await until(pilot, lambda: isinstance(pilot.app.screen, PulseScreen))
        await pilot.press("q")
    assert pilot.app.return_code == 0
