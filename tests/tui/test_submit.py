"""A job is filled in, judged while one types, planned by the coordinator, submitted, and then looked at."""

from __future__ import annotations

from pathlib import Path

from textual.pilot import Pilot
from textual.widgets import Input

from bus.errors import Error, RequestTimeout
from bus.values import Role
from tests.tui.driving import gone, opened, painted, showing, until
from tui.client.fake import FakeCluster
from tui.modals.submit import Submit, completed
from tui.widgets.virtual_table import VirtualTable


async def fill(pilot: Pilot[None], line: str, text: str) -> None:
    """Type into one line of the form."""
    await until(pilot, lambda: bool(pilot.app.screen.query(f"#form-{line}-text")))
    pilot.app.screen.query_one(f"#form-{line}-text", Input).focus()
    await pilot.pause()
    await pilot.press(*text)


async def test_a_job_is_typed_planned_submitted_and_found(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("2")
        await showing(pilot, "n-0000", "LIVE")
        await pilot.press("S")
        await showing(pilot, "Submit a job", "says what to run", "ctrl-s submits")
        await pilot.press("ctrl+s")  # nothing is in order yet
        await fill(pilot, "command", "sleep 5")
        await fill(pilot, "cpu", "many")
        await showing(pilot, "✖ cpu: ", "expected")
        await pilot.press(*["backspace"] * 4, "2")
        await fill(pilot, "array", "0-9")
        await showing(pilot, "$ corral submit --array=0-9 --cpu=2 -- sleep 5", "10 tasks, 8 would start now")
        assert fake.done == []
        await pilot.press("ctrl+s")
        await showing(pilot, " jobs  ", "▌ 41")
        spec = fake.specs[41]
        assert spec["command"] == ["sleep", "5"] and spec["resources"] == {"cpu": "2"}
        assert pilot.app.screen.query_one(VirtualTable).row.number == 41


async def test_an_old_job_is_edited_and_submitted_again(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "▌ 40")
        await pilot.press("s")
        await showing(pilot, "Submit job 40 again", "python3 align-reads.py", "0-15")
        await fill(pilot, "priority", "\x08")
        await pilot.press("end", "backspace", "7", "ctrl+s")
        await showing(pilot, "▌ 41")
        assert fake.specs[41]["priority"] == 7 and fake.specs[41]["array"] == "0-15"


async def test_what_the_coordinator_refuses_is_said_at_its_line(fake: FakeCluster) -> None:
    fake.refusals["plan"] = Error(
        code="E_RANGE", message="more than any node has", field="/resources/gpu", expected="at most 8"
    )
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("S")
        await fill(pilot, "command", "x")
        await fill(pilot, "gpu", "99")
        await showing(pilot, "✖ gpu: more than any node has; expected at most 8")
        assert pilot.app.screen.query_one("#form-gpu-text").has_class("-wrong")
        await pilot.press("escape")
        await gone(pilot, "Submit a job")
    assert "submit" not in fake.asked


async def test_trying_again_after_no_answer_uses_the_same_key(fake: FakeCluster) -> None:
    keys: list[str | None] = []

    async def lost(spec: object = None) -> object:
        keys.append(getattr(spec, "dedupe_key", None))
        raise RequestTimeout("no answer in time")

    fake.submit = lost  # type: ignore[method-assign,assignment]
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("S")
        await fill(pilot, "shell", "a | b")
        await pilot.press("ctrl+s")
        await showing(pilot, "ctrl-s tries again, and does not submit it twice")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: len(keys) == 2)
    assert keys[0] == keys[1] and keys[0]


async def test_readonly_is_offered_no_form(fake: FakeCluster) -> None:
    fake.role = Role.READONLY
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE", "(readonly)")
        await pilot.press("S", "z")
        await pilot.pause()
        assert not isinstance(pilot.app.screen, Submit) and "Submit a job" not in painted(pilot)


def test_paths_are_completed_but_none_that_drives_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "evil\x1b[2J").touch()
    assert completed(f"{tmp_path}/jo") == f"{tmp_path}/jobs/"
    assert completed(f"{tmp_path}/ev") is None
    assert completed(f"{tmp_path}/jobs/") is None
    assert completed("/no/such/folder/x") is None
