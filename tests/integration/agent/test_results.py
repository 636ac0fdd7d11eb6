"""What tasks tell, over a whole agent and a real guard: each line once, whatever is lost or restarted."""

from __future__ import annotations

from pathlib import Path

from bus.values import Outcome
from tests.integration.agent.world import A, B, Coordinator, World, until

LINE = 'echo "{\\"progress\\": $i, \\"metrics\\": {\\"loss\\": $i}}" >> "$CORRAL_RESULT"'


def values(coordinator: Coordinator) -> list[float]:
    return [point.value for told in coordinator.told for point in told.points]


async def test_it_is_told_while_the_task_runs_and_once(world: World) -> None:
    coordinator = world.coordinator
    go = "while [ ! -e ../go ]; do sleep 0.02; done"
    await coordinator.assign(A, "sh", "-c", f"for i in 1 2; do {LINE}; done; {go}; i=3; {LINE}")
    await until(lambda: values(coordinator) == [1.0, 2.0], "what it told first")
    assert [told.progress for told in coordinator.told] == [2.0]
    (world.node.config.tasks / "1" / "go").touch()
    await coordinator.ended(A)
    await until(lambda: values(coordinator) == [1.0, 2.0, 3.0], "the last line of a task that has ended")


async def test_lost_answers_and_a_restart_repeat_nothing(world: World) -> None:
    coordinator = world.coordinator
    coordinator.mute = True  # it takes what is told, and its answer is lost
    await coordinator.assign(A, "sh", "-c", f"for i in 1 2 3; do {LINE}; done; sleep 1000")
    await until(lambda: values(coordinator) == [1.0, 2.0, 3.0], "taken")
    await world.node.stop()
    coordinator.mute = False
    await world.start_again()
    notes = world.node.config.tasks / "1" / "0.1.notes"
    with notes.open("a") as file:
        file.write('{"progress": 4, "metrics": {"loss": 4}}\n')
    await until(lambda: 4.0 in values(coordinator), "what came after the restart")
    assert values(coordinator) == [1.0, 2.0, 3.0, 4.0]


async def test_its_output_may_be_a_line(world: World) -> None:
    coordinator = world.coordinator
    await coordinator.assign(A, "sh", "-c", 'python3 "$CORRAL_HELPER" output "[1, 2]"')
    assert (await coordinator.ended(A)).output == b"[1,2]"
    both = 'echo "{\\"output\\": 1}" > "$CORRAL_RESULT"; echo 2 > "$CORRAL_OUTPUT"'
    await coordinator.assign(B, "sh", "-c", both)
    assert (await coordinator.ended(B)).output == b"2\n"


async def test_the_helper_is_imported(world: World) -> None:
    program = "import corral_task; corral_task.progress(42, loss=1.5)"
    await world.coordinator.assign(A, "python3", "-c", program)
    assert (await world.coordinator.ended(A)).exit_code == 0
    await until(lambda: values(world.coordinator) == [1.5], "told")


async def test_bad_lines_are_counted(world: World) -> None:
    coordinator = world.coordinator
    script = 'printf "oops\\n{\\"progress\\": 7}\\nagain\\n" >> "$CORRAL_RESULT"; sleep 1000'
    await coordinator.assign(A, "sh", "-c", script)
    await until(lambda: coordinator.told, "told")
    (told,) = coordinator.told
    assert (told.faults, told.progress) == (2, 7.0) and told.fault


async def test_what_is_no_plain_file_is_not_read(world: World, tmp_path: Path) -> None:
    coordinator = world.coordinator
    secret = tmp_path / "secret"
    secret.write_text('{"progress": 66}\n')
    tricks = ('ln -s {} "$CORRAL_RESULT"', 'mkfifo "$CORRAL_RESULT"', 'mkdir "$CORRAL_RESULT"')
    for index, trick in enumerate(tricks):
        attempt = A._replace(index=index)
        await coordinator.assign(attempt, "sh", "-c", trick.format(secret) + "; sleep 0.1")
        assert (await coordinator.ended(attempt)).outcome is Outcome.EXITED
    linked = A._replace(index=9)
    other = 'echo "{\\"progress\\": 5}" > x; ln x "$CORRAL_RESULT"'  # one's own, but of two names
    await coordinator.assign(linked, "sh", "-c", other)
    await coordinator.ended(linked)
    last = A._replace(index=10)
    await coordinator.assign(last, "sh", "-c", "i=1; " + LINE)
    await until(lambda: values(coordinator) == [1.0], "the honest one after them")
    assert [told.attempt for told in coordinator.told] == [last]


async def test_who_is_stale_is_not_followed(world: World) -> None:
    coordinator = world.coordinator
    coordinator.stale.add(A)
    await coordinator.assign(A, "sh", "-c", f"i=1; {LINE}; sleep 1000")
    await until(lambda: coordinator.asked_of_stale, "told once")
    await coordinator.assign(B, "sh", "-c", f"i=2; {LINE}; sleep 1000")
    await until(lambda: values(coordinator) == [2.0], "the other one")


async def test_what_is_logged_is_told_once_in_pieces(world: World) -> None:
    """More lines than are heard at once: the rest follows a second later, in order."""
    coordinator = world.coordinator
    loop = "import corral_task; [corral_task.log(str(n), 'warning') for n in range(700)]"
    await coordinator.assign(A, "python3", "-c", loop)
    await coordinator.ended(A)

    def lines() -> list[tuple[str, str]]:
        return [(line.severity, line.text) for told in coordinator.told for line in told.lines]

    await until(lambda: len(lines()) >= 700, "all of them")
    assert lines() == [("warning", str(n)) for n in range(700)]
