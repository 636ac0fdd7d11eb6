"""Pauses at a real guard: the whole tree stands still, and its walltime; nothing of it escapes."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from agent.guard import wire
from tests.integration.agent.harness import Guard, alive, boottime, wait_until

KEY = (7, 0, 1)

COUNTING = "i=0; while :; do i=$((i+1)); echo $i > count; sleep 0.02; done"

TREE = """
(setsid sh -c 'echo $$; while :; do sleep 0.02; done' &)
sh -c 'echo $$; while :; do sleep 0.02; done' &
wait
"""

BOMB = """
grow() { while :; do (setsid sleep 1000 &); sleep 0.03; done; }
for i in 1 2 3 4; do grow & done; echo up; wait
"""


def states(folder: Path) -> dict[int, str]:
    """State letters of all processes with the mark of the guard of `folder`."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environ = (entry / "environ").read_bytes()
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            if f"CORRAL_GUARD={folder}".encode() in environ.split(b"\0"):
                found[int(entry.name)] = stat.rpartition(")")[2].split()[0]
    return {pid: state for pid, state in found.items() if state != "Z"}


def pause(guard: Guard) -> None:
    guard.send(wire.PAUSE, [KEY])
    wait_until(lambda: guard.inspect()[0][KEY][2], "it is paused")
    # D: a shell between vfork and its child's exec; it goes on when the child, which is stopped, does.
    wait_until(lambda: set(states(guard.folder).values()) <= {"T", "D"}, "all stand still")


def test_a_paused_task_stands_still_and_goes_on(guard: Guard) -> None:
    guard.spawn(KEY, "sh", "-c", COUNTING)
    guard.started(KEY)
    count = guard.folder / "tasks/7/0.1.work/count"
    wait_until(lambda: count.exists() and count.read_text().strip(), "it counts")
    pause(guard)
    before = count.read_text()
    until = boottime() + 0.2
    wait_until(lambda: boottime() > until, "some time has passed")
    assert count.read_text() == before
    guard.send(wire.RESUME, [KEY])
    wait_until(lambda: count.read_text() not in ("", before), "it counts on")
    assert not guard.inspect()[0][KEY][2]


def test_the_whole_tree_stands_still_the_detached_too(guard: Guard) -> None:
    guard.spawn(KEY, "bash", "-c", TREE)
    guard.started(KEY)
    wait_until(lambda: guard.read(KEY)[1].count(b"\n") == 2, "both have said who they are")
    pause(guard)
    assert len(states(guard.folder)) >= 3
    guard.send(wire.RESUME, [KEY])
    wait_until(lambda: "T" not in states(guard.folder).values(), "all go on")


def test_who_forks_meanwhile_does_not_escape(guard: Guard) -> None:
    guard.spawn(KEY, "bash", "-c", BOMB, grace_s=0.2)
    guard.started(KEY)
    wait_until(lambda: len(states(guard.folder)) > 20, "it spreads")
    pause(guard)
    stopped = states(guard.folder)
    until = boottime() + 0.3
    wait_until(lambda: boottime() > until, "some time has passed")
    assert states(guard.folder) == stopped, "nobody was born, nobody moved"
    guard.send(wire.CANCEL, [KEY])
    guard.ended(KEY)
    wait_until(lambda: not states(guard.folder), "nobody is left")


def test_the_walltime_stands_still_too(guard: Guard) -> None:
    guard.spawn(KEY, "sleep", "1000", timeout_s=0.6)
    guard.started(KEY)
    pause(guard)
    until = boottime() + 0.8
    wait_until(lambda: boottime() > until, "the walltime would be over")
    assert guard.inspect()[0][KEY][2], "it is still there"
    guard.send(wire.RESUME, [KEY])
    resumed_at = boottime()
    assert guard.ended(KEY).outcome == wire.TIMEOUT
    assert boottime() - resumed_at < 0.6 + 5.0


def test_term_reaches_a_stopped_process(guard: Guard) -> None:
    """It hears of its cancel at once and may end in order, long before its grace is over."""
    guard.spawn(KEY, "sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.02; done", grace_s=60.0)
    guard.started(KEY)
    wait_until(lambda: guard.read(KEY)[1], "the trap is set")
    pause(guard)
    guard.send(wire.CANCEL, [KEY])
    exit_ = guard.ended(KEY)
    assert (exit_.outcome, exit_.exit_code) == (wire.CANCELLED, 5)


def test_the_end_of_the_lease_ends_stopped_tasks_too(guard: Guard) -> None:
    guard.spawn(KEY, "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.02; done")
    guard.started(KEY)
    wait_until(lambda: guard.read(KEY)[1], "the trap is set")
    pause(guard)
    guard.renew(0.1, 0.3)
    exit_ = guard.ended(KEY)
    assert (exit_.outcome, exit_.signal) == (wire.LEASE_EXPIRED, signal.SIGKILL)
    wait_until(lambda: not states(guard.folder), "nobody is left")


def test_a_pause_outlives_the_agent(guard: Guard) -> None:
    guard.spawn(KEY, "sleep", "1000")
    guard.spawn((7, 1, 1), "true", resources=(2000, 0, 0, 0, 0))
    pid = guard.started(KEY)
    guard.send(wire.PAUSE, [KEY, (7, 1, 1)])
    guard.disconnect()
    guard.connect()
    running, queued, _, paused, version = guard.inventories[-1]
    assert [(key, at) for key, at, *_ in running] == [(KEY, pid)] and queued == ((7, 1, 1),)
    assert (set(paused), version) == ({KEY, (7, 1, 1)}, wire.VERSION)


def test_what_has_not_started_waits_and_stands_in_nobodys_way(guard: Guard) -> None:
    big, paused, other = (1, 0, 1), (1, 1, 1), (1, 2, 1)
    guard.spawn(big, "sh", "-c", "while [ ! -e ../go ]; do sleep 0.02; done", resources=(2000, 0, 0, 0, 0))
    guard.started(big)
    guard.spawn(paused, "true")
    guard.send(wire.PAUSE, [paused])
    guard.spawn(other, "true")
    (guard.folder / "tasks/1/go").touch()
    guard.ended(other)
    assert paused not in guard.starts and guard.inspect()[1] == (paused,)
    guard.send(wire.RESUME, [paused])
    assert guard.ended(paused).exit_code == 0


def test_a_lease_that_ends_gives_back_what_was_paused_before_it_started(guard: Guard) -> None:
    guard.spawn(KEY, "sleep", "1000", resources=(2000, 0, 0, 0, 0))
    guard.spawn((7, 1, 1), "true")
    guard.send(wire.PAUSE, [(7, 1, 1)])
    guard.renew(0.1, 0.2)
    assert guard.ended((7, 1, 1)).outcome == wire.RETURNED


def test_a_task_that_runs_on_outlives_the_lease(guard: Guard) -> None:
    stays = guard.spawn((1, 0, 1), "sleep", "1000", run_on=True)
    goes = guard.spawn((1, 1, 1), "sleep", "1000")
    waits = guard.spawn((1, 2, 1), "true", run_on=True)
    pid = guard.started(stays)
    guard.renew(0.1, 0.2)
    assert guard.ended(goes).outcome == wire.LEASE_EXPIRED
    assert guard.ended(waits).outcome == wire.RETURNED, "what has not started may run elsewhere"
    until = boottime() + 0.3
    wait_until(lambda: boottime() > until, "the second deadline has passed")
    assert alive(pid)
    guard.disconnect()
    running, _, _ = guard.connect()
    assert [entry[:2] for entry in running] == [(stays, pid)]
    guard.send(wire.CANCEL, [stays])
    assert guard.ended(stays).outcome == wire.CANCELLED


def test_an_inspection_counts_what_is_really_there(guard: Guard) -> None:
    guard.spawn(KEY, "bash", "-c", TREE)
    hidden = guard.spawn((7, 1, 1), "env", "-i", "sleep", "1000")
    pid = guard.started(KEY)
    guard.started(hidden)
    wait_until(lambda: guard.read(KEY)[1].count(b"\n") == 2, "both have said who they are")
    guard.spawn((7, 2, 1), "true")
    running, queued, strays = guard.inspect()
    assert running[KEY][0] == pid and running[KEY][1] >= 3, "the shell, its child and the detached one"
    assert running[hidden][1] == 1, "though its environment is empty"
    assert (queued, strays) == (((7, 2, 1),), ())


@pytest.mark.parametrize("fields", [7, 8])
def test_an_agent_that_knows_nothing_of_running_on_is_understood(guard: Guard, fields: int) -> None:
    body = (("true",), None, {}, None, None, None, 10.0, False)[:fields]
    item = (KEY, 0, True, (1000, 10, 0, 0, 0), (), None, None, None, False)
    guard.send(wire.SPAWN, [body], [item])
    assert guard.ended(KEY).exit_code == 0
