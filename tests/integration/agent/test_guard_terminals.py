"""Tasks that live in a terminal: what the guard gives them, keeps of them, and how they end."""

from __future__ import annotations

import os
import time

from agent.guard import wire
from tests.integration.agent.harness import Guard, alive, wait_until

KEY = (1, 0, 1)
SHELL = ("/bin/sh", "-i")
PROMPT = {"PS1": "ready> ", "ENV": "", "TERM": "xterm"}


def shell(guard: Guard, **options: object) -> int:
    """An interactive shell that has said that it is ready; returns its pid."""
    guard.spawn(KEY, *SHELL, pty=True, env=PROMPT, **options)
    pid = guard.started(KEY)
    guard.shown(KEY, b"ready> ")
    return pid


def test_a_task_leads_the_session_of_its_terminal(guard: Guard) -> None:
    pid = shell(guard)
    assert guard.type(KEY, b"tty; stty size; ps -o sid= -p $$ | tr -d ' '\n") > 0
    seen = guard.shown(KEY, b"%d\r\n" % pid)
    assert b"/dev/pts/" in seen and b"24 80\r\n" in seen
    guard.type(KEY, b"exit 7\n")
    ended = guard.ended(KEY)
    assert (ended.outcome, ended.exit_code) == (wire.EXITED, 7)
    assert ended.stdout_size == len(guard.read(KEY)[1])


def test_what_was_shown_last_is_kept(guard: Guard) -> None:
    ended = guard.run(KEY, "/bin/sh", "-c", "echo first; sleep 0.1; echo last", pty=True)
    assert ended.exit_code == 0
    assert guard.read(KEY)[1] == b"first\r\nlast\r\n"


def test_ctrl_c_goes_to_what_runs_in_front(guard: Guard) -> None:
    pid = shell(guard)
    guard.type(KEY, b"sleep 600; echo interrupted $?\n")
    guard.shown(KEY, b"sleep 600")
    front = wait_for_child(guard)
    guard.type(KEY, b"\x03")
    wait_until(lambda: not alive(front), "the sleep ended")
    wait_until(lambda: in_front(pid) == pid, "the shell is back: what is typed before it forgets")
    guard.type(KEY, b"echo still here\n")
    guard.shown(KEY, b"\r\nstill here")


def wait_for_child(guard: Guard) -> int:
    pid = guard.starts[KEY][0]
    found: list[int] = []

    def has_child() -> bool:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            found[:] = map(int, file.read().split())
        return bool(found) and in_front(pid) == found[0]

    wait_until(has_child, "a child in front")
    return found[0]


def in_front(pid: int) -> int:
    """The process group that the terminal of `pid` sends its signals to (proc(5): tpgid)."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return int(file.read().rpartition(")")[2].split()[5])


def test_a_new_size_is_told(guard: Guard) -> None:
    shell(guard)
    guard.type(KEY, b"trap 'echo size $(stty size)' WINCH; echo se''t\n")
    guard.shown(KEY, b"\r\nset")
    guard.send(wire.RESIZE, KEY, 50, 132)
    guard.type(KEY, b"\n")
    guard.shown(KEY, b"size 50 132")


def test_the_same_size_is_told_as_well(guard: Guard) -> None:
    shell(guard)
    guard.type(KEY, b"trap 'echo drawn again' WINCH; echo se''t\n")
    guard.shown(KEY, b"\r\nset")
    guard.send(wire.RESIZE, KEY, 24, 80)
    guard.type(KEY, b"\n")
    guard.shown(KEY, b"drawn again\r\n")


def test_a_cancelled_shell_is_told_that_its_terminal_is_gone(guard: Guard) -> None:
    shell(guard, grace_s=30.0)
    began = time.monotonic()
    guard.send(wire.CANCEL, [KEY])
    assert guard.ended(KEY).outcome == wire.CANCELLED
    assert time.monotonic() - began < 15, "not by KILL after its grace"


def test_a_terminal_outlives_those_who_look(guard: Guard) -> None:
    shell(guard)
    guard.send(wire.AWAIT, 0, KEY, 1 << 20, 100)  # somebody waits, and goes away
    guard.disconnect()
    guard.connect()
    guard.renew(60.0, 62.0)
    guard.type(KEY, b"echo wel''come back\n")
    guard.shown(KEY, b"welcome back")
    guard.type(KEY, b"exit\n")
    assert guard.ended(KEY).exit_code == 0


def test_who_waits_hears_of_the_end(guard: Guard) -> None:
    shell(guard)
    size = guard.read(KEY)[2]
    guard.send(wire.AWAIT, 77, KEY, size + 1000, 100)
    guard.type(KEY, b"exit\n")
    guard.receive_until(lambda: any(data[0] == 77 for data in guard.data))
    [(_, _, data, _, ended)] = [data[:5] for data in guard.data if data[0] == 77]
    assert (data, ended) == (b"", True)


def test_nobody_types_where_there_is_no_terminal(guard: Guard) -> None:
    guard.spawn(KEY, "sleep", "60")
    guard.started(KEY)
    assert guard.type(KEY, b"x") == -1
    assert guard.type((9, 9, 9), b"x") == -1
    guard.send(wire.RESIZE, (9, 9, 9), 10, 10)
    assert guard.read(KEY)[1] == b""


def test_who_does_not_read_takes_no_more_than_fits(guard: Guard) -> None:
    guard.spawn(KEY, "/bin/sh", "-c", "stty raw -echo; echo set; sleep 60", pty=True)
    guard.started(KEY)
    guard.shown(KEY, b"set")
    taken = sum(guard.type(KEY, bytes(4096)) for _ in range(50))
    assert 0 < taken < 50 * 4096


def test_a_flood_of_output_holds_up_nobody(guard: Guard) -> None:
    guard.spawn(KEY, "yes", pty=True)
    guard.started(KEY)
    other = guard.run((2, 0, 1), "echo", "quick")
    assert other.exit_code == 0
    guard.send(wire.CANCEL, [KEY])
    ended = guard.ended(KEY)
    assert ended.outcome == wire.CANCELLED
    assert ended.stdout_size == guard.read(KEY, limit=0)[2]


def test_a_paused_terminal_stands_still_and_goes_on(guard: Guard) -> None:
    shell(guard)
    guard.send(wire.PAUSE, [KEY])
    guard.type(KEY, b"echo af''ter\n")
    assert b"after" not in guard.read(KEY)[1]
    guard.send(wire.RESUME, [KEY])
    guard.shown(KEY, b"after")


def test_a_command_that_is_not_there_leaves_no_terminal(guard: Guard) -> None:
    before = len(os.listdir(f"/proc/{guard.process.pid}/fd"))
    ended = guard.run(KEY, "no-such-command", pty=True)
    assert (ended.outcome, ended.exit_code) == (wire.NOT_FOUND, 127)
    assert len(os.listdir(f"/proc/{guard.process.pid}/fd")) == before
