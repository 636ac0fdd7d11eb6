"""Output on the screen: opened at its end, looked through, filtered, dated, saved; alone and in windows."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot

from bus.api import Attempt
from bus.errors import Error
from bus.values import Stream, TaskState
from tests.tui.driving import HOSTILE, NOW_S, gone, opened, painted, showing, until
from tui.client.fake import FakeCluster
from tui.client.log_saving import save_log
from tui.screens.logs import LogsScreen
from tui.widgets.log_pane import LogPane
from tui.widgets.prompt import SafeInput

AWAY = Error(
    code="E_UNAVAILABLE", message="node n9 keeps this output and does not answer", status=503, retryable=True
)


def long_output(lines: int) -> bytes:
    return b"".join(
        b"line %d of many, %s\n" % (n, b"loss nan" if n % 5_000 == 77 else b"fine") for n in range(lines)
    )


async def open_log(pilot: Pilot[None], *words: str) -> None:
    await pilot.press("3")
    await showing(pilot, "STATE")
    await pilot.press("enter")
    await showing(pilot, "40 › tasks", "40.0")
    await pilot.press("l")
    await showing(pilot, "40.0 › output", *words)


def the_pane(pilot: Pilot[None]) -> LogPane:
    return pilot.app.screen.query_one(LogPane)


async def test_a_long_output_opens_at_its_end_and_g_leads_to_its_true_beginning(fake: FakeCluster) -> None:
    fake.output = {Stream.STDOUT: [long_output(200_000)]}
    async with opened(fake) as pilot:
        await open_log(pilot, "line 199999 of many", "ended")
        assert the_pane(pilot).log_view.line_count < 40_000
        await pilot.press("g")
        await showing(pilot, "line 0 of many", "further below", " 0%")
        await pilot.press("G")
        await showing(pilot, "line 199999 of many", "following")


async def test_scrolling_asks_for_more_on_either_side(fake: FakeCluster) -> None:
    fake.output = {Stream.STDOUT: [long_output(60_000)]}
    async with opened(fake) as pilot:
        await open_log(pilot, "line 59999 of many")
        view = the_pane(pilot).log_view
        first = view.lines[0].offset
        view.following = False
        view.scroll_to(y=0, animate=False)
        await until(pilot, lambda: view.lines[0].offset < first)
        await pilot.press("g")
        await showing(pilot, "line 0 of many")
        last = view.lines[-1].end
        view.scroll_to(y=view.max_scroll_y, animate=False)
        await until(pilot, lambda: view.lines[-1].end > last)


async def test_search_goes_on_where_nothing_is_held(fake: FakeCluster) -> None:
    fake.output = {Stream.STDOUT: [long_output(100_000)]}
    async with opened(fake) as pilot:
        await open_log(pilot, "line 99999 of many")
        await pilot.press("slash", *"loss*nan", "enter")
        await showing(pilot, "nothing further below")
        await pilot.press("N")
        await showing(pilot, "line 95077 of many, loss nan")
        for _ in range(6):
            await pilot.press("N")
            await pilot.pause()
        await showing(pilot, "line 65077 of many, loss nan")
        await pilot.press("n")
        await showing(pilot, "line 70077 of many, loss nan")


async def test_a_filter_shows_what_matches_with_context_and_leaves_one_in_place(fake: FakeCluster) -> None:
    fake.output = {Stream.STDOUT: [long_output(100_000)]}
    async with opened(fake) as pilot:
        await open_log(pilot, "line 99999 of many")
        await pilot.press("ampersand", *"loss nan", "enter")
        await showing(pilot, "[&loss nan] 20 lines", "line 77 of many", "line 95077 of many")
        assert "fine" not in painted(pilot)
        await pilot.press("plus")
        await showing(pilot, "±1", "line 95076 of many, fine", "⋯")
        await pilot.press("minus")
        await gone(pilot, "fine")
        await pilot.press("g")
        await showing(pilot, "line 77 of many")
        await pilot.press("escape")
        await showing(pilot, "line 77 of many", "line 78 of many, fine")
        assert "[&" not in painted(pilot)


async def test_a_pattern_without_a_word_is_refused_in_place(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await open_log(pilot, "epoch 399")
        await pilot.press("ampersand", *"**", "enter")
        await showing(pilot, "at least one character")


async def test_times_streams_and_wrapping(fake: FakeCluster) -> None:
    fake.output = {Stream.STDOUT: [b"x" * 150 + b"END\n"], Stream.STDERR: [b"oh\n"]}
    async with opened(fake, size=(80, 24)) as pilot:
        await open_log(pilot, "! oh", "…")
        await pilot.press("t")
        await until(pilot, lambda: painted(pilot).splitlines()[2].strip()[:2].isdigit())
        await pilot.press("t")
        await showing(pilot, "+0:01")
        await pilot.press("t", "W")
        await showing(pilot, "↪", "END")
        await pilot.press("e")
        await gone(pilot, "! oh")
        await pilot.press("e")
        await showing(pilot, "! oh")
        assert "xxx" not in painted(pilot)


async def test_a_line_without_its_end_is_shown_while_it_is_written(fake: FakeCluster) -> None:
    fake.printing = True
    fake.output = {Stream.STDOUT: [b"one\nPassword: "]}
    async with opened(fake) as pilot:
        await open_log(pilot, "one", "Password:", "live")
        fake.output = {Stream.STDOUT: [b"one\nPassword: ***\ntwo\n"]}
        await showing(pilot, "Password: ***", "two")
        fake.printing = False
        await showing(pilot, "ended")
        assert painted(pilot).count("Password") == 1


async def test_what_grows_while_it_is_opened_is_followed_all_the_same(
    fake: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.printing = True
    # longer each time that somebody asks, for a while
    sizes = itertools.chain(range(300_000, 300_080, 10), itertools.repeat(300_080))
    monkeypatch.setattr(fake, "_size", lambda task, stream: next(sizes))
    monkeypatch.setattr(fake, "_read", lambda task, stream, offset, limit: b"tick tock\n" * (limit // 10))
    async with opened(fake) as pilot:
        await open_log(pilot, "tick tock", "live", "following")


async def test_an_older_attempt_is_a_key_away(fake: FakeCluster) -> None:
    tasks = fake.world.tasks(40)
    tasks[0] = replace(tasks[0], fence=3)
    async with opened(fake) as pilot:
        await open_log(pilot, "attempt 3 of 3")
        await pilot.press("a")
        await showing(pilot, "attempt 2 of 3")
        await pilot.press("a", "a")
        await showing(pilot, "attempt 3 of 3")


async def test_a_node_that_is_away_is_said_with_what_is_known(fake: FakeCluster) -> None:
    tasks = fake.world.tasks(40)
    lost = Attempt(
        fence=1, node="n9", state="failed", assigned_at=NOW_S, exit_code=9, message="out of memory"
    )
    tasks[0] = replace(tasks[0], state=TaskState.FAILED, attempts=[lost])
    fake.refusals["logs"] = AWAY
    async with opened(fake) as pilot:
        await open_log(pilot, "node n9 keeps this output", "attempt 1 on n9: failed, exit 9", "out of memory")


async def test_what_may_not_be_read_is_said(fake: FakeCluster) -> None:
    fake.refusals["logs"] = Error(code="E_NOT_FOUND", message="no task 40.0", status=404)
    async with opened(fake) as pilot:
        await open_log(pilot, "E_NOT_FOUND: no task 40.0")


async def test_an_output_is_saved_byte_for_byte_and_never_over_another_file(
    fake: FakeCluster, tmp_path: Path
) -> None:
    fake.output = {Stream.STDOUT: [bytes(range(256)) * 5_000], Stream.STDERR: [b"\xffoh"]}
    file = tmp_path / "a b.out"
    async with opened(fake) as pilot:
        await open_log(pilot, "ended")
        await pilot.press("s")
        pilot.app.screen.query_one(SafeInput).value = str(file)
        await pilot.press("enter")
        await until(pilot, (tmp_path / "a b.out.err").exists)
    assert file.read_bytes() == bytes(range(256)) * 5_000
    assert (tmp_path / "a b.out.err").read_bytes() == b"\xffoh"
    with pytest.raises(FileExistsError, match="choose another name"):
        await save_log(fake, "40.0", stream=Stream.STDERR, attempt=1, path=file, told=lambda *_: None)
    assert len(list(tmp_path.iterdir())) == 2, "nothing half done is left"


async def test_hostile_output_is_spelled_out_and_colours_are_ours(fake: FakeCluster) -> None:
    fake.output = {Stream.STDOUT: [HOSTILE.encode() + b"\n\x1b[31mred\x1b[0m\n\xff\xfe\x00\n"]}
    async with opened(fake) as pilot:
        await open_log(pilot, "␛]52;c;ZXZpbA==", "red", "␀")
        assert "[31m" not in painted(pilot).replace("\\x9b31m", "")
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(painted(pilot))


async def open_windows(pilot: Pilot[None], count: int) -> LogsScreen:
    await pilot.press("4")
    await showing(pilot, "No output is open here")
    await pilot.press("o", *(" ".join(f"{40 - n}.0" for n in range(count))), "enter")
    await until(pilot, lambda: len(screen_of(pilot).panes) == min(count, 6))
    return screen_of(pilot)


def screen_of(pilot: Pilot[None]) -> LogsScreen:
    screen = pilot.app.screen
    assert isinstance(screen, LogsScreen)
    return screen


async def test_windows_stand_side_by_side_and_one_can_be_alone(fake: FakeCluster) -> None:
    async with opened(fake, size=(200, 60)) as pilot:
        screen = await open_windows(pilot, 6)
        await showing(pilot, *(f"{n} {41 - n}.0" for n in range(1, 7)), "6 windows")
        assert {pane.region.width for pane in screen.panes} <= {60, 61}
        await pilot.press("ctrl+w")
        await showing(pilot, "ctrl-w … 1 to 6")
        await pilot.press("2", "z")
        await gone(pilot, "5 36.0")
        assert screen.pane is screen.panes[1] and "2 39.0" in painted(pilot)
        await pilot.press("tab")
        await showing(pilot, "3 38.0")
        await pilot.press("escape")
        await showing(pilot, "1 40.0", "6 35.0")
        await pilot.press("x")
        await until(pilot, lambda: len(screen.panes) == 5)
        await pilot.press("2")
        await showing(pilot, "n-0000")


async def test_what_leads_back_leads_to_the_list_whose_key_opened_the_windows(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE")
        await pilot.press("space", "down", "space", "l")
        await until(pilot, lambda: pilot.app.current_mode == "logs" and len(screen_of(pilot).panes) == 2)
        await pilot.press("question_mark", "escape", "escape")
        await until(pilot, lambda: pilot.app.current_mode == "jobs")
        await pilot.press("4")
        await showing(pilot, "2 windows")
        await pilot.press("escape")
        await pilot.pause()
        assert pilot.app.current_mode == "logs", "who came by its digit stays"


async def test_a_seventh_takes_the_place_of_the_oldest_that_is_not_pinned(fake: FakeCluster) -> None:
    async with opened(fake, size=(200, 60)) as pilot:
        screen = await open_windows(pilot, 6)
        await pilot.press("ctrl+w", "1", "p")
        await showing(pilot, "pinned")
        await pilot.press("o", *"30.0", "enter")
        await until(pilot, lambda: "30.0" in [pane.task_name for pane in screen.panes])
        names = [pane.task_name for pane in screen.panes]
        assert len(names) == 6 and "40.0" in names and "39.0" not in names


async def test_a_small_screen_shows_one_window_at_a_time(fake: FakeCluster) -> None:
    async with opened(fake, size=(80, 24)) as pilot:
        screen = await open_windows(pilot, 5)
        assert sum(pane.display for pane in screen.panes) == 1
        await showing(pilot, "one of 5 windows")


async def test_marked_tasks_and_the_command_line_open_windows(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE")
        await pilot.press("space", "space", "l")
        await until(
            pilot, lambda: isinstance(pilot.app.screen, LogsScreen) and len(screen_of(pilot).panes) == 2
        )
        await pilot.press("colon", *"logs 30.0", "enter")
        await until(pilot, lambda: len(screen_of(pilot).panes) == 3)
        await showing(pilot, "30.0")


async def test_a_task_that_is_not_there_opens_no_window(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("4", "o", *"999.0", "enter")
        await showing(pilot, "E_NOT_FOUND")
        assert screen_of(pilot).panes == []
