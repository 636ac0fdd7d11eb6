"""A real guard and real processes: what a task gets, how it ends, and that nothing of it is left."""

from __future__ import annotations

import json
import os
import pwd
import signal
import time
from pathlib import Path

import pytest

from agent.guard import wire
from agent.guard.account import task_account
from tests.integration.agent.harness import WAIT_S, Guard, alive, boottime, wait_until
from tests.standstill import stand_still

KEY = (7, 3, 2)


def test_streams_are_kept_byte_for_byte(guard: Guard) -> None:
    exit_ = guard.run(KEY, "sh", "-c", r"printf 'a\000\377\r\n'; printf 'oh\n' >&2; exit 3")
    assert (exit_.outcome, exit_.exit_code, exit_.signal) == (wire.EXITED, 3, None)
    assert (exit_.stdout_size, exit_.stderr_size, exit_.stderr_tail) == (5, 3, b"oh\n")
    assert guard.read(KEY) == (0, b"a\0\xff\r\n", 5, True)
    assert guard.read(KEY, wire.STDERR, 1, 1) == (1, b"h", 3, True)
    assert guard.read((7, 99, 1)) == (0, b"", 0, True)


def test_the_environment_is_made_from_nothing(guard: Guard) -> None:
    exit_ = guard.run(
        KEY,
        "env",
        env={"MINE": "1", "CORRAL_NODE": "forged"},
        array_index=5,
        item="/a b",
        gpus=("GPU-b",),
        resources=(1, 1, 1, 0, 0),
    )
    assert exit_.exit_code == 0
    env = dict(line.split("=", 1) for line in guard.read(KEY)[1].decode().splitlines())
    base = f"{guard.folder}/tasks/7/3.2"
    account = pwd.getpwuid(task_account().uid).pw_name
    assert env == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": base + ".work",
        "TMPDIR": base + ".work",
        "LANG": "C.UTF-8",
        "HOSTNAME": os.uname().nodename,
        "USER": account,
        "LOGNAME": account,
        "MINE": "1",
        "CORRAL_GUARD": str(guard.folder),
        "CORRAL_NODE": "n1",
        "CORRAL_JOB_ID": "7",
        "CORRAL_TASK_ID": "7.3",
        "CORRAL_ATTEMPT": "2",
        "CORRAL_ARRAY_INDEX": "5",
        "CORRAL_ITEM": "/a b",
        "CORRAL_INPUT": f"{guard.folder}/tasks/no-input.json",
        "CORRAL_OUTPUT": base + ".result",
        "CORRAL_RESULT": base + ".notes",
        "CORRAL_CHILDREN": base + ".children",
        "CORRAL_ARTIFACTS": base + ".artifacts",
        "CORRAL_HELPER": f"{guard.folder}/tasks/helper/corral_task.py",
        "PYTHONPATH": f"{guard.folder}/tasks/helper",
        "CORRAL_GPUS": "GPU-b",
        "CUDA_VISIBLE_DEVICES": "GPU-b",
    } | ({"PWD": env["PWD"]} if "PWD" in env else {})


def test_a_task_runs_under_its_account_in_a_private_folder_of_its_own_session(guard: Guard) -> None:
    script = "id -u; stat -c %a .; pwd; ulimit -c; ps -o sid= -p $$; echo $$; ls -l /proc/$$/fd | wc -l"
    assert guard.run(KEY, "bash", "-c", script).exit_code == 0
    uid, mode, folder, core, session, pid, descriptors = guard.read(KEY)[1].decode().split()
    assert int(uid) == task_account().uid
    assert (mode, folder, core) == ("700", f"{guard.folder}/tasks/7/3.2.work", "0")
    assert session == pid
    assert int(descriptors) <= 5, "nothing of the guard is open in a task"


def test_input_and_output_are_files(guard: Guard) -> None:
    script = 'cat "$CORRAL_INPUT"; echo "{\\"x\\": [1]}" > "$CORRAL_OUTPUT"'
    exit_ = guard.run(KEY, "sh", "-c", script, input=b'{"n":1}')
    assert exit_.output == b'{"x": [1]}\n'
    assert json.loads(guard.read(KEY)[1]) == {"input": {"n": 1}, "needs": {}}


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ('head -c 600000 /dev/zero > "$CORRAL_OUTPUT"', "600000 bytes is over the limit"),
        ('ln -s /etc/passwd "$CORRAL_OUTPUT"', "no regular file"),
        ('mkfifo "$CORRAL_OUTPUT"', "no regular file"),
        (': > "$CORRAL_OUTPUT"', "empty"),
    ],
)
def test_an_output_that_cannot_be_taken_is_told_and_the_outcome_stays(
    guard: Guard, script: str, words: str
) -> None:
    exit_ = guard.run(KEY, "sh", "-c", script)
    assert (exit_.outcome, exit_.exit_code, exit_.output) == (wire.EXITED, 0, None)
    assert words in exit_.message


def test_a_link_in_place_of_the_output_stream_is_not_followed(guard: Guard) -> None:
    script = 'b="${CORRAL_OUTPUT%.result}"; rm "$b.out"; ln -s /etc/passwd "$b.out"; sleep 0.01'
    guard.run(KEY, "sh", "-c", script)
    assert guard.read(KEY)[1] == b""


def test_standard_input_is_the_text_given_or_nothing(guard: Guard) -> None:
    guard.run(KEY, "cat", stdin="line ü\n")
    assert guard.read(KEY)[1] == "line ü\n".encode()
    assert guard.run((7, 4, 1), "cat").exit_code == 0


@pytest.mark.parametrize(
    ("argv", "outcome", "code", "words"),
    [
        (("no-such-program",), wire.NOT_FOUND, 127, "no-such-program not found on node n1 (PATH="),
        (("/no/such",), wire.NOT_FOUND, 127, "/no/such not found"),
        (("/etc/passwd/x",), wire.NOT_FOUND, 127, "not found"),
        (("/tmp",), wire.NOT_EXECUTABLE, 126, "is a directory"),
        (("/etc/passwd",), wire.NOT_EXECUTABLE, 126, "ermission denied"),
        (("true", "a\0b"), wire.NOT_STARTED, None, "null"),
    ],
)
def test_what_cannot_be_executed_says_why(
    guard: Guard, argv: tuple[str, ...], outcome: str, code: int | None, words: str
) -> None:
    exit_ = guard.run(KEY, *argv)
    assert (exit_.outcome, exit_.exit_code, exit_.started_at) == (outcome, code, None)
    assert words in exit_.message
    assert KEY not in guard.starts


def test_scripts_without_a_good_first_line_say_so(guard: Guard) -> None:
    folder = guard.folder / "scripts"
    folder.mkdir(mode=0o755)
    for name, text in {"bare": "echo hello\n", "lost": "#!/no/interpreter\n"}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    assert "no program" in guard.run((1, 0, 1), str(folder / "bare")).message
    lost = guard.run((1, 1, 1), str(folder / "lost"))
    assert lost.outcome == wire.NOT_FOUND and "names an interpreter" in lost.message


def test_a_work_directory_that_is_not_there_says_so(guard: Guard) -> None:
    exit_ = guard.run(KEY, "true", workdir="/no/such/folder")
    assert exit_.outcome == wire.NOT_STARTED
    assert "/no/such/folder" in exit_.message


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGTERM, signal.SIGXFSZ])
def test_a_death_by_signal_is_told(guard: Guard, number: signal.Signals) -> None:
    exit_ = guard.run(KEY, "sh", "-c", f"kill -{int(number)} $$")
    assert (exit_.outcome, exit_.exit_code, exit_.signal) == (wire.SIGNALED, None, int(number))


def test_walltime_ends_a_task(guard: Guard) -> None:
    exit_ = guard.run(KEY, "sleep", "1000", timeout_s=0.1)
    assert (exit_.outcome, exit_.signal) == (wire.TIMEOUT, signal.SIGTERM)


def test_who_ignores_term_is_killed_after_the_grace(guard: Guard) -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
    guard.spawn(KEY, "sh", "-c", script, grace_s=0.2)
    guard.started(KEY)
    wait_until(lambda: guard.read(KEY)[1], "the trap is set")
    guard.send(wire.CANCEL, [KEY])
    exit_ = guard.ended(KEY)
    assert (exit_.outcome, exit_.signal) == (wire.CANCELLED, signal.SIGKILL)


def test_a_task_may_end_in_order_on_term(guard: Guard) -> None:
    script = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    guard.spawn(KEY, "sh", "-c", script)
    guard.started(KEY)
    wait_until(lambda: guard.read(KEY)[1], "the trap is set")
    guard.send(wire.CANCEL, [KEY])
    exit_ = guard.ended(KEY)
    assert (exit_.outcome, exit_.exit_code) == (wire.CANCELLED, 5)


TREE = """
sleep 1000 & echo $!
(setsid sh -c 'echo $$; trap "" TERM; while :; do sleep 0.05; done' &)
(setsid sh -c 'echo $$; sleep 1000 & echo $!; wait' &)
"""


@pytest.mark.parametrize("how", ["cancel", "exit", "kill"])
def test_the_whole_tree_goes_with_its_task(guard: Guard, how: str) -> None:
    script = TREE + ("while [ ! -e go ]; do sleep 0.02; done" if how == "exit" else "wait")
    guard.spawn(KEY, "bash", "-c", script, grace_s=0.1)
    leader = guard.started(KEY)
    wait_until(lambda: guard.read(KEY)[1].count(b"\n") == 4, "all four have said who they are")
    pids = list(map(int, guard.read(KEY)[1].split()))
    assert all(map(alive, pids))
    if how == "cancel":
        guard.send(wire.CANCEL, [KEY])
    elif how == "kill":
        os.kill(leader, signal.SIGKILL)
    else:
        (guard.folder / "tasks/7/3.2.work/go").touch()
    guard.ended(KEY)
    wait_until(lambda: not any(map(alive, pids)), "the tree is gone")


def test_the_tree_of_another_task_is_left_alone(guard: Guard) -> None:
    other = guard.spawn((8, 0, 1), "bash", "-c", "(setsid sleep 1000 & echo $!); sleep 1000")
    guard.started(other)
    wait_until(lambda: guard.read(other)[1].count(b"\n") == 1, "it has detached a child")
    child = int(guard.read(other)[1])
    guard.run(KEY, "bash", "-c", "(setsid sleep 1000 & echo $!)")
    stray = int(guard.read(KEY)[1])
    wait_until(lambda: not alive(stray), "the ended task's child is gone")
    assert alive(child)


def test_never_more_runs_than_there_is_and_in_order(guard: Guard) -> None:
    keys = [(9, n, 1) for n in range(4)]
    for key in keys[:3]:
        guard.spawn(key, "sh", "-c", "while [ ! -e ../go ]; do sleep 0.02; done", granted=False)
    guard.started(keys[0])
    guard.started(keys[1])
    guard.spawn(keys[3], "true", granted=True)
    running, queued, _ = guard.connect()
    assert {key for key, *_ in running} == set(keys[:2])
    assert list(queued) == [keys[3], keys[2]], "a granted one stands before those that wait"
    (guard.folder / "tasks/9/go").touch()
    for key in keys:
        if key not in guard.exits:
            guard.ended(key)


def test_gpus_are_chosen_where_none_were_named_and_never_shared(guard: Guard) -> None:
    one = (0, 0, 1, 0, 0)
    script = "echo $CORRAL_GPUS; while [ ! -e ../go ]; do sleep 0.02; done"
    guard.spawn((1, 0, 1), "sh", "-c", script, resources=one, gpus=("GPU-b",))
    guard.spawn((1, 1, 1), "sh", "-c", script, resources=one)
    wait_until(lambda: guard.read((1, 1, 1))[1] == b"GPU-a\n", "the free one is taken")
    guard.spawn((1, 2, 1), "true", resources=one, gpus=("GPU-a",))
    assert list(guard.connect()[1]) == [(1, 2, 1)]
    (guard.folder / "tasks/1/go").touch()
    assert guard.ended((1, 2, 1)).exit_code == 0


def test_tasks_that_share_a_gpu_run_beside_each_other_and_know_their_part(guard: Guard) -> None:
    none = (0, 0, 0, 0, 0)
    script = (
        "echo $CUDA_VISIBLE_DEVICES $CORRAL_GPU_SHARE $CUDA_MPS_ACTIVE_THREAD_PERCENTAGE;"
        " while [ ! -e ../go ]; do sleep 0.02; done"
    )
    for index, milli in ((0, 500), (1, 250)):
        guard.spawn((1, index, 1), "sh", "-c", script, resources=none, gpus=("GPU-b",), gpu_milli=milli)
    wait_until(lambda: guard.read((1, 0, 1))[1] == b"GPU-b 0.5 50\n", "the first has its half")
    wait_until(lambda: guard.read((1, 1, 1))[1] == b"GPU-b 0.25 25\n", "the second runs beside it")
    guard.spawn((1, 2, 1), "true", resources=none, gpus=("GPU-b",), gpu_milli=500)
    assert list(guard.connect()[1]) == [(1, 2, 1)], "three quarters are taken"
    (guard.folder / "tasks/1/go").touch()
    assert guard.ended((1, 2, 1)).exit_code == 0


def test_a_task_without_gpus_sees_none(guard: Guard) -> None:
    script = 'echo "[$CUDA_VISIBLE_DEVICES][$CORRAL_GPU_SHARE]"; [ -n "${CUDA_VISIBLE_DEVICES+set}" ]'
    assert guard.run(KEY, "sh", "-c", script).exit_code == 0
    assert guard.read(KEY)[1] == b"[][]\n"


def test_what_can_never_fit_is_told_at_once(guard: Guard) -> None:
    exit_ = guard.run(KEY, "true", resources=(3000, 0, 0, 0, 0))
    assert exit_.outcome == wire.NOT_STARTED and "this node has" in exit_.message
    exit_ = guard.run((7, 4, 1), "true", resources=(0, 0, 1, 0, 0), gpus=("GPU-z",))
    assert "no GPU GPU-z" in exit_.message


def test_retract_gives_back_only_what_has_not_started(guard: Guard) -> None:
    guard.spawn((1, 0, 1), "sleep", "1000", resources=(2000, 0, 0, 0, 0))
    guard.spawn((1, 1, 1), "true")
    guard.started((1, 0, 1))
    guard.send(wire.RETRACT, [(1, 0, 1), (1, 1, 1)])
    assert guard.ended((1, 1, 1)).outcome == wire.RETURNED
    guard.spawn((1, 2, 1), "true")
    guard.send(wire.CANCEL, [(1, 2, 1), (1, 0, 1)])
    assert guard.ended((1, 2, 1)).outcome == wire.CANCELLED
    assert guard.ended((1, 0, 1)).outcome == wire.CANCELLED


def test_an_expired_lease_ends_what_runs_and_gives_back_what_waits(guard: Guard) -> None:
    stubborn = guard.spawn((1, 0, 1), "sh", "-c", "trap '' TERM; echo x; while :; do sleep 0.02; done")
    mild = guard.spawn((1, 1, 1), "sleep", "1000")
    waiting = guard.spawn((1, 2, 1), "true")
    wait_until(lambda: guard.read(stubborn)[1], "the trap is set")
    guard.renew(0.2, 0.5)
    kill_at = boottime() + 0.5
    assert guard.ended(waiting).outcome == wire.RETURNED
    exit_ = guard.ended(mild)
    assert (exit_.outcome, exit_.signal) == (wire.LEASE_EXPIRED, signal.SIGTERM)
    exit_ = guard.ended(stubborn)
    assert (exit_.outcome, exit_.signal) == (wire.LEASE_EXPIRED, signal.SIGKILL)
    assert boottime() >= kill_at - 0.1
    assert guard.run((1, 3, 1), "true").outcome == wire.RETURNED, "nothing starts without a lease"
    guard.renew(60.0, 62.0)
    assert guard.run((1, 4, 1), "true").outcome == wire.EXITED


def test_an_agent_that_comes_back_learns_everything(guard: Guard) -> None:
    long = guard.spawn((1, 0, 1), "sleep", "1000")
    pid = guard.started(long)
    short = guard.spawn((1, 1, 1), "sh", "-c", "while [ ! -e ../go ]; do sleep 0.02; done; exit 9")
    guard.started(short)
    guard.disconnect()
    (guard.folder / "tasks/1/go").touch()
    wait_until(lambda: (guard.folder / "journal.0").stat().st_size, "the exit is in the journal")
    running, queued, exits = guard.connect()
    assert [entry[:2] for entry in running] == [(long, pid)]
    assert not queued
    assert [(entry[0], entry[4]) for entry in exits] == [(short, 9)]
    guard.send(wire.ACKNOWLEDGE, [short])
    assert guard.connect()[2] == ()
    assert (guard.folder / "journal.0").stat().st_size == 0


def test_a_killed_guard_leaves_its_exits_and_the_next_ends_its_tasks(guard: Guard) -> None:
    done = guard.spawn((1, 0, 1), "sh", "-c", "exit 4")
    guard.ended(done)
    lost = guard.spawn((1, 1, 1), "sh", "-c", "setsid sleep 1000 & echo $!; wait")
    pids = [guard.started(lost)]
    wait_until(lambda: guard.read(lost)[1], "its child is there")
    pids.append(int(guard.read(lost)[1]))
    guard.process.kill()
    guard.process.wait()
    guard.disconnect()
    assert all(map(alive, pids))
    guard.process = guard.launch()
    running, queued, exits = guard.connect()
    assert (running, queued) == ((), ())
    assert [(entry[0], entry[4]) for entry in exits] == [(done, 4)]
    wait_until(lambda: not any(map(alive, pids)), "the leftovers are gone")


def test_only_one_guard_serves_a_folder(guard: Guard) -> None:
    assert guard.launch().wait(20) == 75
    assert guard.run(KEY, "true").exit_code == 0


def test_a_guard_that_was_let_go_exits_after_its_last_task(guard: Guard) -> None:
    guard.spawn(KEY, "sh", "-c", "while [ ! -e ../go ]; do sleep 0.02; done")
    guard.started(KEY)
    guard.send(wire.LEAVE)
    guard.disconnect()
    assert guard.process.poll() is None
    (guard.folder / "tasks/7/go").touch()
    assert guard.process.wait(20) == 0


def test_a_broken_peer_is_cut_off_and_the_guard_lives(guard: Guard) -> None:
    guard.socket.sendall(b"\xff" * 100)
    assert guard.socket.recv(10) == b""
    guard.connect()
    assert guard.run(KEY, "true").exit_code == 0


def test_files_of_a_removed_attempt_are_gone(guard: Guard) -> None:
    guard.run(KEY, "sh", "-c", "echo x; mkdir -p a/b; ln -s / a/root; echo 1 > a/b/f")
    assert list((guard.folder / "tasks/7").iterdir())
    guard.send(wire.REMOVE, [KEY])
    guard.read(KEY)
    assert not (guard.folder / "tasks/7").exists()
    assert Path("/etc/passwd").exists()


def test_a_fork_bomb_that_detaches_is_ended(guard: Guard) -> None:
    bomb = "f() { setsid sh -c 'sleep 0.05; (setsid sleep 1000 &); sleep 1000' & }; "
    guard.spawn(KEY, "bash", "-c", bomb + "for i in $(seq 40); do f; done; echo up; wait", grace_s=0.3)
    wait_until(lambda: guard.read(KEY)[1], "it has spread")
    guard.send(wire.CANCEL, [KEY])
    guard.ended(KEY)

    def marked() -> list[int]:
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                environ = Path(f"/proc/{name}/environ").read_bytes()
            except OSError:
                continue
            if f"CORRAL_GUARD={guard.folder}".encode() in environ and alive(int(name)):
                found.append(int(name))
        return found

    wait_until(lambda: not marked(), "nobody is left")


def test_an_agent_that_goes_before_its_answer_comes_is_heard_out(guard: Guard) -> None:
    stand_still(guard.process.pid)
    guard.send(wire.READ, 0, KEY, wire.STDOUT, 0, 0)
    guard.send(wire.LEAVE)
    guard.disconnect()
    guard.process.send_signal(signal.SIGCONT)
    assert guard.process.wait(WAIT_S) == 0


def test_tools_run_inside_the_guards_account(guard: Guard) -> None:
    exit_ = guard.run(KEY, tool="wordcount", input=b'{"text":"One two, one."}')
    assert (exit_.outcome, exit_.exit_code) == (wire.EXITED, 0)
    assert json.loads(exit_.output or b"") == {"words": 3, "counts": {"one": 2, "two": 1}}
    for index, count in enumerate((1, 2)):
        output = json.dumps({"words": count, "counts": {"one": count}}).encode()
        guard.send(wire.NEEDS, (8, 0, 1), [("count", index, output)])
    merged = guard.run((8, 0, 1), tool="wordcount_merge", needs=True)
    assert json.loads(merged.output or b"") == {"words": 3, "counts": {"one": 3}}


def test_a_tool_says_what_is_wrong(guard: Guard) -> None:
    assert guard.run((1, 0, 1), tool="nope").outcome == wire.NOT_FOUND
    missing = guard.run((1, 1, 1), tool="wordcount", input=b'{"item":"/no/file"}')
    assert missing.exit_code == 1 and b"/no/file" in missing.stderr_tail
    wrong = guard.run((1, 2, 1), tool="wordcount", input=b'{"file":"x"}')
    assert wrong.exit_code == 1 and b"must be" in wrong.stderr_tail


def test_a_running_tool_can_be_cancelled(guard: Guard) -> None:
    guard.spawn(KEY, tool="wordcount", input=b'{"item":"/dev/zero"}')
    guard.started(KEY)
    guard.send(wire.CANCEL, [KEY])
    exit_ = guard.ended(KEY)
    assert (exit_.outcome, exit_.signal) == (wire.CANCELLED, signal.SIGTERM)


def test_output_is_dated_while_somebody_reads_it_and_when_it_is_over(guard: Guard) -> None:
    begun = time.time()
    script = "trap 'echo second; exit 0' TERM; echo first; echo oh >&2; while :; do sleep 0.02; done"
    guard.spawn(KEY, "sh", "-c", script, grace_s=60.0)
    guard.started(KEY)
    wait_until(lambda: guard.read(KEY)[1] == b"first\n", "it has begun")
    ((size, first_at),) = guard.came(KEY)
    read_at = time.time()
    assert size == 6 and begun <= first_at <= read_at
    guard.send(wire.CANCEL, [KEY])
    guard.ended(KEY)
    assert guard.read(KEY)[1] == b"first\nsecond\n"
    assert guard.came(KEY)[0] == (6, first_at)
    ((size, second_at),) = guard.came(KEY, offset=6)
    assert size == 13 and first_at <= second_at <= time.time()
    size, at = guard.came(KEY, wire.STDERR)[-1]
    assert size == guard.read(KEY, wire.STDERR)[2] and begun - 0.1 <= at <= time.time()
    guard.send(wire.REMOVE, [KEY])
    wait_until(lambda: not guard.read(KEY)[1], "it is removed")
    assert guard.came(KEY) == () and not list((guard.folder / "tasks").glob("7/*"))


def test_output_that_nobody_reads_is_dated_too(guard: Guard) -> None:
    exit_ = guard.run(KEY, "sh", "-c", "echo first; sleep 2.2; echo second")
    assert exit_.stdout_size == 13
    first, second = guard.came(KEY)
    assert (first[0], second[0]) == (6, 13)
    assert second[1] - first[1] > 0.5, "looked at in between"


def test_another_capacity_counts_at_once(guard: Guard) -> None:
    """More lets the next one start; with less, what runs goes on and what no longer fits comes back."""
    first, second, third = (KEY[0], 1, 1), (KEY[0], 2, 1), (KEY[0], 3, 1)
    for key in (first, second, third):
        guard.spawn(key, "sleep", "1000", resources=(1, 1, 0, 0, 6_000))
    guard.started(first)
    guard.send(wire.FIT, (2_000, 10_000, 2, 10_000, 12_000), ("GPU-a", "GPU-b"))
    guard.started(second)
    guard.send(wire.FIT, (2_000, 10_000, 2, 10_000, 5_000), ("GPU-a", "GPU-b"))
    assert guard.ended(third).outcome == wire.RETURNED
    assert alive(guard.started(first)) and alive(guard.started(second))
