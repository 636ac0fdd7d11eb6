"""A service is started after what it needs, restarted with growing pauses, and stopped within a bound."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from bus.supervision import ProcessHealth, ProcessStatus
from coordinator.supervisor import keeper as keeper_module
from coordinator.supervisor import logs as logs_module
from coordinator.supervisor.child import Child, Launch
from coordinator.supervisor.keeper import Keeper, LaunchFailed, Service, Unhealthy, backoff_s, describe_end
from coordinator.supervisor.logs import rotate

WAIT_S = 20.0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.005)


class Lab:
    """Services whose programs are a line of Python, under keepers that tests can look into."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tasks: list[asyncio.Task[None]] = []
        self.keepers: list[Keeper] = []

    def launch(self, program: str, *, name: str = "service") -> Launch:
        argv = (sys.executable, "-S", "-c", program)
        return Launch(argv=argv, cwd=self.folder, log=self.folder / f"{name}.log")

    def keep(
        self,
        program: str,
        *,
        name: str = "service",
        probe: Callable[[], None] = lambda: None,
        needs: tuple[Keeper, ...] = (),
        stop_timeout_s: float = 10.0,
    ) -> Keeper:
        async def launch() -> Launch:
            return self.launch(program, name=name)

        async def asked() -> None:
            probe()

        service = Service(name=name, launch=launch, probe=asked, stop_timeout_s=stop_timeout_s)
        return self.start(service, needs=needs)

    def start(self, service: Service, *, needs: tuple[Keeper, ...] = ()) -> Keeper:
        keeper = Keeper(service, status=ProcessStatus(name=service.name), changed=lambda: None)
        self.keepers.append(keeper)
        self.tasks.append(asyncio.create_task(keeper.run(needs)))
        return keeper

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for keeper in self.keepers:
            await keeper.stop()


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    made = Lab(tmp_path)
    yield made
    await made.close()


def never_well() -> None:
    raise Unhealthy("never")


SLEEP = "import time; time.sleep(60)"


def test_pauses_double_up_to_a_bound() -> None:
    assert [backoff_s(failures) for failures in (1, 2, 3, 4)] == [0.1, 0.2, 0.4, 0.8]
    assert backoff_s(50) == keeper_module.BACKOFF_MAX_S


@pytest.mark.parametrize(
    ("code", "text"),
    [(0, "exited with 0"), (3, "exited with 3"), (-9, "killed by SIGKILL"), (-99, "killed by signal 99")],
)
def test_an_end_is_told_in_words(code: int, text: str) -> None:
    assert describe_end(code) == text


async def test_a_killed_service_comes_back_as_another_process(lab: Lab) -> None:
    keeper = lab.keep(SLEEP)
    await until(lambda: keeper.status.health is ProcessHealth.HEALTHY)
    first = keeper.status.identity
    assert first is not None
    os.kill(first.pid, signal.SIGKILL)
    await until(lambda: keeper.status.identity not in (None, first) and keeper.status.restarts == 1)
    await until(lambda: keeper.status.health is ProcessHealth.HEALTHY)
    assert keeper.status.failures == 1


async def test_a_service_waits_for_what_it_needs(lab: Lab) -> None:
    well = False

    def probe() -> None:
        if not well:
            raise Unhealthy("not yet")

    first = lab.keep(SLEEP, name="first", probe=probe)
    second = lab.keep(SLEEP, name="second", needs=(first,))
    await until(lambda: first.status.message == "not yet")
    assert second.status.health is ProcessHealth.WAITING
    well = True
    await until(lambda: second.status.health is ProcessHealth.HEALTHY)
    assert second.status.ready_after_s is not None


async def test_a_service_that_cannot_start_counts_its_failures_and_says_why(lab: Lab) -> None:
    keeper = lab.keep("raise SystemExit(3)", probe=never_well)
    await until(lambda: keeper.status.failures >= 3)
    await until(lambda: keeper.status.health is ProcessHealth.BACKOFF)
    assert re.fullmatch(r"exited with 3 \(\d+ times in a row\)", keeper.status.message)
    assert keeper.status.ready_after_s is None


@pytest.mark.parametrize(
    "error", [LaunchFailed("no nats-server found"), OSError(28, "No space left on device")]
)
async def test_a_failed_preparation_is_a_failure_with_its_reason(lab: Lab, error: Exception) -> None:
    async def launch() -> Launch:
        raise error

    async def probe() -> None:
        raise AssertionError("nothing runs")

    keeper = lab.start(Service(name="service", launch=launch, probe=probe))
    await until(lambda: keeper.status.failures >= 2)
    assert str(error) in keeper.status.message


async def test_a_service_that_stops_answering_is_unhealthy_but_left_running(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "PROBE_HEALTHY_S", 0.01)
    well = True

    def probe() -> None:
        if not well:
            raise Unhealthy("no answer")

    keeper = lab.keep(SLEEP, probe=probe)
    await until(lambda: keeper.status.health is ProcessHealth.HEALTHY)
    identity, well = keeper.status.identity, False
    await until(lambda: keeper.status.health is ProcessHealth.UNHEALTHY)
    assert keeper.status.identity == identity
    well = True
    await until(lambda: keeper.status.health is ProcessHealth.HEALTHY)


async def test_a_deaf_service_is_killed_after_its_bound(lab: Lab) -> None:
    ready = lab.folder / "ready"
    program = (
        f"import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open({str(ready)!r}, 'w');"
        "time.sleep(60)"
    )
    keeper = lab.keep(program, stop_timeout_s=0.05)
    await until(ready.exists)
    lab.tasks.pop().cancel()
    await keeper.stop()
    assert keeper.status.health is ProcessHealth.STOPPED
    assert keeper.status.message == "had to be killed"


async def test_output_is_appended_also_after_the_log_was_put_aside(lab: Lab) -> None:
    log = lab.folder / "service.log"
    for number in range(6):
        child = Child(lab.launch(f"print('words {number}')"))
        async with asyncio.timeout(WAIT_S):
            await child.ended.wait()
        assert child.code == 0
        assert rotate(log, limit_bytes=1, kept=3)
    assert log.read_text() == ""
    kept = [log.with_name(f"service.log.{number}") for number in (1, 2, 3)]
    assert [path.read_text() for path in kept] == ["words 5\n", "words 4\n", "words 3\n"]
    assert not log.with_name("service.log.4").exists()


def test_a_full_disk_costs_no_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again every few seconds: each try must leave what was put aside before."""
    log = tmp_path / "service.log"
    for words in ("first", "second"):
        log.write_text(words)
        assert rotate(log, limit_bytes=1)
    log.write_text("third")

    def fill(_source: Path, target: Path) -> None:
        target.write_text("th")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(logs_module.shutil, "copyfile", fill)
    for _ in range(5):
        with pytest.raises(OSError, match="No space"):
            rotate(log, limit_bytes=1)
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {"service.log": "third", "service.log.1": "second", "service.log.2": "first"}


async def test_a_running_process_goes_on_at_the_new_end_of_its_log(lab: Lab) -> None:
    log, gate = lab.folder / "service.log", lab.folder / "gate"
    child = Child(
        lab.launch(
            f"import os, time\nprint('before', flush=True)\n"
            f"while not os.path.exists({str(gate)!r}): time.sleep(0.005)\nprint('after')"
        )
    )
    await until(lambda: log.read_text() == "before\n")
    assert rotate(log, limit_bytes=1)
    gate.touch()
    async with asyncio.timeout(WAIT_S):
        await child.ended.wait()
    assert (log.read_text(), log.with_name("service.log.1").read_text()) == ("after\n", "before\n")
    assert not rotate(log, limit_bytes=1000)
    assert not rotate(lab.folder / "none.log")


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_module, "PROBE_HEALTHY_S", 0.01)
    monkeypatch.setattr(keeper_module, "PROBE_TIMEOUT_S", 0.05)


@pytest.mark.usefixtures("hasty")
async def test_a_service_that_hangs_is_killed_and_comes_back(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    """SIGSTOP: no process ends of it, and no SIGTERM reaches it."""
    silent = False

    async def launch() -> Launch:
        nonlocal silent
        silent = False
        return lab.launch(SLEEP)

    async def probe() -> None:
        if silent:
            raise Unhealthy("no word", silent=True)

    keeper = lab.start(Service(name="service", launch=launch, probe=probe, hung_after_s=0.1))
    await until(lambda: keeper.status.health is ProcessHealth.HEALTHY)
    first = keeper.status.identity
    assert first is not None
    os.kill(first.pid, signal.SIGSTOP)
    silent = True
    await until(lambda: keeper.status.identity not in (None, first))
    await until(lambda: keeper.status.health is ProcessHealth.HEALTHY)
    assert (keeper.status.restarts, keeper.status.failures) == (1, 1)
    assert any(text.startswith("service: hung: no word; killed after") for text in caplog.messages)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(("hung_after_s", "silent"), [(None, True), (0.05, False)])
async def test_who_complains_or_nobody_kills_goes_on(
    lab: Lab, hung_after_s: float | None, silent: bool
) -> None:
    probes = 0

    async def launch() -> Launch:
        return lab.launch(SLEEP)

    async def probe() -> None:
        nonlocal probes
        probes += 1
        if probes > 1:
            raise Unhealthy("not well", silent=silent)

    keeper = lab.start(Service(name="service", launch=launch, probe=probe, hung_after_s=hung_after_s))
    await until(lambda: probes > 30)
    assert (keeper.status.restarts, keeper.status.health) == (0, ProcessHealth.UNHEALTHY)


@pytest.mark.usefixtures("hasty")
async def test_an_end_in_good_order_is_no_failure_and_a_role_is_shown(lab: Lab) -> None:
    role, lives = "leading", 0

    async def launch() -> Launch:
        nonlocal lives
        lives += 1
        return lab.launch("raise SystemExit(75)" if lives < 4 else SLEEP)

    async def probe() -> str:
        if lives < 4:
            raise Unhealthy("not up yet")
        return role

    keeper = lab.start(Service(name="service", launch=launch, probe=probe, calm_codes=(75,)))
    await until(lambda: keeper.status.role == "leading")
    assert (keeper.status.restarts, keeper.status.failures) == (3, 0)
    role = "standing by"
    await until(lambda: keeper.status.role == "standing by")
