"""Tasks that misbehave: whatever they do, their end is told and their guard lives."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.guard import tree, wire
from tests.integration.agent.harness import Guard, alive, wait_until

KEY = (7, 0, 1)
MIB = 1024 * 1024
HUNDRED_MB = 100_000_000

FATAL = [
    number
    for number in signal.Signals
    if number
    not in (
        signal.SIGCHLD,
        signal.SIGCONT,
        signal.SIGURG,
        signal.SIGWINCH,
        signal.SIGSTOP,
        signal.SIGTSTP,
        signal.SIGTTIN,
        signal.SIGTTOU,
    )
]


def peak_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def test_a_death_by_each_signal_is_told(guard: Guard) -> None:
    """By its number, not by its shell: no program in between may catch it."""
    for index, number in enumerate(FATAL):
        script = f"import os, signal; signal.signal({number}, signal.SIG_DFL) if {number} != 9 else 0; "
        exit_ = guard.run((7, index, 1), "python3", "-S", "-c", script + f"os.kill(os.getpid(), {number})")
        assert (exit_.outcome, exit_.signal, exit_.exit_code) == (wire.SIGNALED, number, None), number


def test_a_line_of_100_mb_is_kept_and_served_in_pieces(guard: Guard) -> None:
    exit_ = guard.run(KEY, "sh", "-c", f"head -c {HUNDRED_MB} /dev/zero | tr '\\0' x; echo; echo end >&2")
    assert (exit_.exit_code, exit_.stdout_size, exit_.stderr_size) == (0, HUNDRED_MB + 1, 4)
    offset, data, size, ended = guard.read(KEY, offset=HUNDRED_MB - 3, limit=100)
    assert (offset, data, size, ended) == (HUNDRED_MB - 3, b"xxx\n", HUNDRED_MB + 1, True)
    assert len(guard.read(KEY, offset=0, limit=MIB)[1]) == MIB
    assert peak_mib(guard.process.pid) < 64, "the guard never held it"


def test_memory_that_a_task_filled_is_told(guard: Guard) -> None:
    exit_ = guard.run(KEY, "python3", "-S", "-c", "held = bytearray(100 << 20)")
    assert exit_.exit_code == 0 and 100 <= exit_.max_rss_mib < 400
    assert peak_mib(guard.process.pid) < 64


def test_memory_beyond_its_limit_ends_the_task_alone(guard: Guard) -> None:
    script = "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 28, 1 << 28)); bytearray(1 << 30)"
    exit_ = guard.run(KEY, "python3", "-S", "-c", script)
    assert exit_.exit_code == 1 and b"MemoryError" in exit_.stderr_tail
    assert guard.run((7, 1, 1), "true").exit_code == 0


def test_an_end_without_a_word_is_an_end(guard: Guard) -> None:
    exit_ = guard.run(KEY, "true")
    assert (exit_.outcome, exit_.exit_code, exit_.output) == (wire.EXITED, 0, None)
    assert (exit_.stdout_size, exit_.stderr_size, exit_.message) == (0, 0, "")


def test_whoever_forks_and_forks_is_ended_whole(guard: Guard) -> None:
    """A bounded bomb: the guard and other tasks go on meanwhile, and nobody is left of it."""
    bomb = "import os, time\nfor _ in range(60):\n if os.fork() == 0: os.setsid(); time.sleep(1000)\n"
    guard.spawn(KEY, "python3", "-S", "-c", bomb + "print('up', flush=True); time.sleep(1000)", grace_s=0.1)
    guard.started(KEY)
    wait_until(lambda: guard.read(KEY)[1], "it has spread")
    assert guard.inspect()[0][KEY][1] == 61
    assert guard.run((7, 1, 1), "true").exit_code == 0
    guard.send(wire.CANCEL, [KEY])
    assert guard.ended(KEY).outcome == wire.CANCELLED
    wait_until(lambda: guard.inspect()[2] == (), "nobody is left")


@pytest.fixture
def cramped(node_folder: Path) -> Iterator[Guard]:
    """A guard whose files may have 5000 bytes: less than what one before it gave to tasks."""
    Guard(node_folder).stop()
    made = Guard(node_folder, file_bytes_max=5000)
    yield made
    made.stop()


def test_output_that_finds_no_room_costs_the_output_only(cramped: Guard) -> None:
    exit_ = cramped.run(KEY, "sh", "-c", "trap '' XFSZ; head -c 100000 /dev/zero; exit 3")
    assert (exit_.outcome, exit_.exit_code, exit_.stdout_size) == (wire.EXITED, 3, 5000)


def test_exits_that_find_no_room_in_the_journal_reach_the_agent(cramped: Guard) -> None:
    """More than the journal may hold; the guard's memory has them all, for a second agent too."""
    keys = [(7, index, 1) for index in range(60)]
    for key in keys:
        cramped.run(key, "sh", "-c", "head -c 100 /dev/zero | tr '\\0' x >&2; exit 4")
    assert 0 < (cramped.folder / "journal.0").stat().st_size <= 5000
    _, _, exits = cramped.connect()
    assert [(entry[0], entry[4]) for entry in exits] == [(key, 4) for key in keys]


def test_inputs_that_find_no_room_end_their_task_alone(cramped: Guard) -> None:
    other = cramped.spawn((7, 1, 1), "sleep", "1000")
    pid = cramped.started(other)
    cramped.send(wire.NEEDS, KEY, [("count", 0, b"[" + b"1," * 5000 + b"1]")])
    exit_ = cramped.run(KEY, "true", needs=True)
    assert exit_.outcome == wire.NOT_STARTED and "cannot write its inputs" in exit_.message
    assert alive(pid)


def test_what_ran_does_not_run_again_though_its_agent_forgot(guard: Guard) -> None:
    guard.run(KEY, "true")
    guard.send(wire.ACKNOWLEDGE, [KEY])
    guard.exits.clear()
    assert guard.run(KEY, "true").outcome == wire.RETURNED


def test_a_forked_tool_dies_with_its_guard(guard: Guard) -> None:
    guard.spawn(KEY, tool="wordcount", input=b'{"item":"/dev/zero"}')
    pid = guard.started(KEY)
    guard.process.kill()
    guard.process.wait()
    wait_until(lambda: not alive(pid), "the tool is gone")


@pytest.mark.parametrize("same", [True, False])
def test_a_leftover_is_known_by_its_start(guard: Guard, same: bool) -> None:
    """A later process of the same pid is somebody else's."""
    guard.spawn(KEY, "env", "-i", "sleep", "1000")
    pid = guard.started(KEY)
    ticks = tree.start_ticks(pid)
    assert ticks > 0 and guard.inventories[-1:] and alive(pid)
    guard.send(wire.LEFTOVERS, [(pid, ticks if same else ticks + 1), (2**22 + 1, 5), (pid, 0)])
    guard.read(KEY)
    assert alive(pid) is not same
