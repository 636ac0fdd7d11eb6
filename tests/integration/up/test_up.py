"""`corral up` on real processes: everything starts, heals, and stops; jobs run as a person would run them."""

from __future__ import annotations

import json
import os
import pwd
import re
import signal
import sysconfig
import time
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import asyncpg
import psutil
import pytest

from bus.supervision import identify
from tests.integration.up.conftest import Corral

WAIT_S = 30.0
KINDS = {"supervisor", "postgresql", "nats", "coordinator"}


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def all_healthy(corral: Corral) -> bool:
    return all(process["health"] == "healthy" for process in corral.processes().values())


def test_every_process_is_healthy_and_has_a_pid(corral: Corral) -> None:
    processes = corral.processes()
    assert processes.keys() >= KINDS
    assert len(processes) == len(KINDS) + 3
    assert all(process["health"] == "healthy" for process in processes.values())
    assert all(identify(process["pid"]) is not None for process in processes.values())


def test_servers_run_under_accounts_of_their_own_and_listen_on_loopback_only(corral: Corral) -> None:
    processes = corral.processes()
    if os.geteuid() == 0:
        accounts = {
            name: psutil.Process(processes[name]["pid"]).username() for name in ("nats", "postgresql")
        }
        assert accounts == {"nats": "corral-bus", "postgresql": "corral-db"}
    for process in processes.values():
        for connection in psutil.Process(process["pid"]).net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip == "127.0.0.1"


def test_secrets_are_readable_by_their_owner_only(corral: Corral) -> None:
    secrets = [corral.data / "client.json", corral.data / "coordinator.toml", *corral.data.glob("*/*.creds")]
    assert len(secrets) >= 3
    secrets += [*corral.data.glob("*.password"), corral.data / "logs"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in secrets)


async def test_the_coordinator_works_without_the_owners_rights(corral: Corral) -> None:
    owner = await asyncpg.connect(
        tomllib.loads((corral.data / "coordinator.toml").read_text())["migrate_dsn"]
    )
    sessions = "select distinct usename from pg_stat_activity where application_name like 'corral%'"
    assert [row["usename"] for row in await owner.fetch(sessions)] == ["corral_coordinator"]
    await owner.close()


def test_a_second_up_says_that_one_runs(corral: Corral) -> None:
    before = corral.processes()
    done = corral("up", "--detach")
    assert done.returncode == 0
    assert b"already runs" in done.stderr
    assert corral.processes() == before


def test_the_person_who_started_it_is_an_admin(corral: Corral) -> None:
    assert corral.document("jobs")["jobs"] == []
    settings = json.loads((corral.data / "client.json").read_text())
    assert settings["user"] == pwd.getpwuid(os.geteuid()).pw_name


def test_run_streams_both_outputs_and_exits_with_the_jobs_code(corral: Corral) -> None:
    done = corral("run", "--", "sh", "-c", "printf 'out\\000\\377'; echo err >&2; exit 3")
    assert (done.stdout, done.stderr, done.returncode) == (b"out\0\xff", b"err\n", 3)
    assert corral("run", "--", "sh", "-c", "kill -9 $$").returncode == 128 + signal.SIGKILL
    missing = corral("run", "--", "no-such-program")
    assert missing.returncode == 127
    assert b"no-such-program not found" in missing.stderr


def test_run_passes_stdin_and_environment(corral: Corral) -> None:
    done = corral(
        "run", "--stdin", "-", "--env", "A=b c", "--", "sh", "-c", 'cat; echo "$A"', input=b"words\n"
    )
    assert done.stdout == b"words\nb c\n"


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_run_cancels_its_job(corral: Corral) -> None:
    child = corral.start("run", "--name", "long", "--", "sh", "-c", "echo started; sleep 600")
    assert child.stdout is not None
    assert child.stdout.readline() == b"started\n"
    child.send_signal(signal.SIGINT)
    _, stderr = child.communicate(timeout=WAIT_S)
    assert child.returncode == 130
    assert re.search(rb"job \d+ cancelled", stderr)
    until(lambda: corral.document("job", "@last")["state"] == "cancelled")


def test_an_array_runs_and_lists_as_it_should(corral: Corral) -> None:
    submitted = corral.document("submit", "--array", "0-9%3", "--", "sh", "-c", "echo $CORRAL_ARRAY_INDEX")
    assert submitted.keys() >= {"number", "id"}
    number = str(submitted["number"])
    corral.ok("wait", number)
    job = corral.document("job", number)
    assert (job["state"], job["counts"]["completed"]) == ("completed", 10)
    assert [corral.ok("logs", f"{number}.{index}") for index in (0, 9)] == ["0\n", "9\n"]
    assert [task["index"] for task in corral.document("tasks", number)["tasks"]] == list(range(10))


def test_a_toml_file_with_several_tasks_runs_in_order(corral: Corral, folder: Path) -> None:
    file = folder / "job.toml"
    file.write_text(
        'name = "pipeline"\n'
        '[[tasks]]\nname = "first"\ncommand = ["true"]\n'
        '[[tasks]]\nname = "second"\ncommand = ["false"]\nneeds = ["first"]\nretries = 0\n'
    )
    done = corral("submit", "--file", str(file), "--wait")
    assert done.returncode == 1
    assert b"1 of 2 tasks completed, 1 failed" in done.stdout


def test_wordcount_over_three_agents_equals_a_counter(corral: Corral, folder: Path) -> None:
    texts = folder / "texts"
    texts.mkdir()
    texts.chmod(0o755)
    expected: Counter[str] = Counter()
    library = Path(sysconfig.get_path("stdlib"))
    for index, source in enumerate(sorted(library.glob("*.py"))[:50]):
        copy = texts / f"{index:02d}.txt"
        copy.write_bytes(source.read_bytes())
        copy.chmod(0o644)
        expected.update(re.findall(r"\w+", copy.read_text(errors="replace").lower()))
    submitted = corral.document("submit", "--tool", "wordcount", "--for-each", str(texts / "*.txt"), "--wait")
    number, last = submitted["number"], submitted["counts"]["total"] - 1
    merged = corral.document("tasks", f"{number}.{last}")
    assert merged["output"]["counts"] == dict(expected)
    tasks = corral.document("tasks", str(number))["tasks"]
    nodes = {
        corral.document("tasks", f"{number}.{task['index']}")["attempts"][0]["node"] for task in tasks[:9]
    }
    assert len(nodes) == 3


def test_a_closed_pipe_ends_quietly(corral: Corral) -> None:
    child = corral.start("jobs", "-o", "json")
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.close()
    assert child.wait(WAIT_S) == 141
    assert child.stderr.read() == b""
    child.stderr.close()


def test_killed_processes_come_back_and_work_goes_on(corral: Corral) -> None:
    before = corral.processes()
    for name in ("coordinator", "nats", "postgresql"):
        os.kill(before[name]["pid"], signal.SIGKILL)
    until(lambda: corral.processes()["nats"]["restarts"] >= 1 and all_healthy(corral))
    assert corral.ok("run", "--", "echo", "again") == "again\n"


def test_a_killed_supervisors_processes_serve_on_and_are_taken_over(corral: Corral) -> None:
    before = corral.processes()
    os.kill(before["supervisor"]["pid"], signal.SIGKILL)
    until(lambda: corral.processes()["supervisor"]["pid"] is None)
    assert corral.ok("run", "--", "echo", "orphaned") == "orphaned\n"
    assert corral("status").returncode == 69
    corral.ok("up", "--detach")
    after = corral.processes()
    assert not {process["pid"] for process in before.values()} & {
        process["pid"] for process in after.values()
    }
    assert all(identify(process["pid"]) is None for process in before.values())
    assert len(corral.document("nodes")["nodes"]) == 3


def test_down_leaves_nothing_and_up_finds_the_jobs_again(corral: Corral) -> None:
    jobs = corral.document("jobs")["jobs"]
    url = json.loads((corral.data / "client.json").read_text())["url"]
    pids = {process["pid"] for process in corral.processes().values()}
    corral.ok("down")
    assert all(identify(pid) is None for pid in pids)
    assert corral("status").returncode == 69
    corral.ok("up", "--detach")
    assert corral.document("jobs")["jobs"] == jobs
    assert json.loads((corral.data / "client.json").read_text())["url"] == url
