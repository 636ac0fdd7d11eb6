"""Outputs read at a desk on a real cluster: on into the next attempt, and however fast a task prints."""

from __future__ import annotations

from typing import Any

from tests.integration.console.desk import Desk

SMALL = {"cpu": "100m", "memory": "64MiB"}


def newest(desk: Desk, name: str) -> int:
    """The number of the job of that name, once it is there."""
    found = desk.witness.sees(lambda client: client.jobs(filter=f"name={name}"), lambda seen: seen.jobs)
    return found.jobs[0].number


def started(desk: Desk, name: str, script: str, **fields: Any) -> int:
    """A job whose task runs."""
    spec = {"name": name, "command": ["sh", "-c", script], "resources": SMALL, **fields}
    number = desk.witness.ask(lambda client: client.submit(**spec)).number
    desk.witness.sees(lambda client: client.task(f"{number}.0"), lambda seen: seen.fence >= 1)
    return number


def read(desk: Desk, number: int, name: str, *words: str) -> None:
    desk.at("3")
    desk.filtered(f"name={name}", name)
    desk.screen.press("l")
    desk.screen.wait_for(f"{number}.0", *words)


def test_who_follows_goes_on_with_the_next_attempt(desk: Desk) -> None:
    """One that is retried by hand after its end, then one that is begun anew while it prints."""
    script = 'echo attempt-$CORRAL_ATTEMPT says-hello; test "$CORRAL_ATTEMPT" = 1 && exit 3; sleep 600'
    number = started(desk, "twice", script, retries=0)
    read(desk, number, "twice", "attempt-1 says-hello", "ended")
    desk.witness.ask(lambda client: client.retry(f"{number}.0"))
    desk.screen.wait_for(
        "attempt-1 says-hello", "attempt 2 begins here", "attempt-2 says-hello", "● live", "attempt 2 of 2"
    )
    desk.witness.ask(lambda client: client.requeue(f"{number}.0"))
    desk.screen.wait_for("attempt 3 begins here", "attempt-3 says-hello", "attempt 3 of 3")
    desk.screen.press("a")
    desk.screen.wait_for("attempt 2 of 3", "attempt-2 says-hello", gone=("attempt-3",))
    desk.screen.press("Escape")
    desk.witness.ask(lambda client: client.cancel(number))


def test_a_flood_is_followed(desk: Desk) -> None:
    """50,000 lines a second for as long as one looks: the newest are on the screen, and keys are heard."""
    line = "a line of a flood that is about as long as lines of programs are"
    script = f"for i in $(seq 80); do yes '{line}' | head -n 5000; sleep 0.1; done; echo OVER"
    number = started(desk, "flood", script)
    read(desk, number, "flood", "flood that is")
    desk.screen.press("f")
    desk.screen.wait_for("f follows")
    desk.screen.press("f")
    desk.screen.wait_for("OVER", "following")
    desk.screen.press("Escape")
    desk.screen.wait_for("[/name=flood]", "completed")
