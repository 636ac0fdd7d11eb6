"""Jobs handed over at a desk on a real cluster: typed, mended, from a file, and once more as they were."""

from __future__ import annotations

import re
from pathlib import Path

from bus.values import JobState
from tests.integration.console.desk import Desk
from tests.integration.console.test_reading import newest


def to_line(desk: Desk, label: str) -> None:
    """Down the form to a line of it."""
    while desk.screen.cursor_label() != label:
        desk.screen.go_to_next_line()


def open_form(desk: Desk) -> None:
    desk.at("3")
    desk.screen.press("S")
    desk.screen.wait_for("Submit a job", "says what to run")


def on_row_of(desk: Desk, number: int) -> None:
    """The list of jobs, with the cursor there."""
    pattern = re.compile(rf"^▌ *{number} ", re.MULTILINE)
    desk.screen.until(lambda: "there" if pattern.search(desk.screen.screen()) else "", f"at job {number}")


def completed(desk: Desk, number: int) -> None:
    desk.witness.sees(lambda client: client.job(number), lambda job: job.state is JobState.COMPLETED)


def test_a_job_is_typed_mended_run_read_and_submitted_again(desk: Desk) -> None:
    open_form(desk)
    to_line(desk, "shell")
    desk.screen.type("echo said by $CORRAL_JOB from-a-form")
    to_line(desk, "name")
    desk.screen.type("typed")
    to_line(desk, "cpu")
    desk.screen.type("lots")
    desk.screen.wait_for("✖ cpu: ")
    desk.screen.press("C-s")
    desk.screen.wait_for("✖ cpu: ", "Submit a job")
    assert not desk.witness.ask(lambda client: client.jobs(filter="name=typed")).jobs
    desk.screen.press("C-u")
    desk.screen.wait_for("--name=typed", gone=("✖ cpu: ", "lots"))
    desk.screen.type("100m")
    desk.screen.wait_for("--cpu=100m", "1 task")
    desk.screen.press("C-s")
    number = newest(desk, "typed")
    completed(desk, number)
    on_row_of(desk, number)
    desk.screen.press("l")
    desk.screen.wait_for("from-a-form", f"{number}.0")
    desk.screen.press("Escape")
    on_row_of(desk, number)
    desk.screen.press("s")
    desk.screen.wait_for(f"Submit job {number} again", "--cpu=100m")
    desk.screen.press("C-s")
    on_row_of(desk, number + 1)
    again = desk.witness.ask(lambda client: client.job(number + 1))
    assert again.name == "typed"
    completed(desk, again.number)


def test_a_job_comes_from_a_file(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    path.write_text('name = "of-a-file"\ncommand = ["true"]\narray = "0-2"\n[resources]\ncpu = "100m"\n')
    open_form(desk)
    to_line(desk, "file")
    desk.screen.type(str(path))
    desk.screen.wait_for("3 tasks")
    desk.screen.press("C-s")
    number = newest(desk, "of-a-file")
    completed(desk, number)
    assert desk.witness.ask(lambda client: client.job(number)).counts.completed == 3
