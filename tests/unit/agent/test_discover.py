"""What is found on this very machine is plausible, and what fails is left out instead of raised."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from agent import discover
from agent.config import Declared
from agent.gpus import GpuProcess, SimulatedGpus, parse_simulated
from agent.usage import UsageSampler
from bus.values import AttemptRef, GpuInfo, GpuUsage, InterfaceInfo, Inventory


def test_this_machine_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discover, "_RUNTIMES", ("git", "no-such-runtime", "false"))
    found = discover.inventory((), ())
    assert found.cpu_cores == len(os.sched_getaffinity(0))
    assert found.kernel_version and found.hostname and found.os_version and found.cpu_model
    assert "no-such-runtime" not in found.runtimes and "false" not in found.runtimes
    assert found.isolation["account"] == ("dropped" if os.geteuid() == 0 else "own")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=Inventory) == found


def test_capacity_is_what_was_found_unless_declared(tmp_path: Path) -> None:
    gpus = (
        *(parse_simulated("sim:2xA100-40", "n") or ()),
        GpuInfo(uuid="sick", model="m", mem_mib=1, healthy=False),
    )
    found = discover.inventory(gpus, ())
    offered, uuids = discover.capacity(Declared(), found, tmp_path)
    assert (offered.cpu_millis, offered.gpus) == (found.cpu_cores * 1000, 2)
    assert uuids == ("GPU-sim-n-0", "GPU-sim-n-1")
    assert offered.net_mbps == 1000, "no driver says how fast it is"
    cards = (
        InterfaceInfo(name="eth0", mac="", kind="data", speed_mbps=25_000),
        InterfaceInfo(name="ib0", mac="", kind="cluster", speed_mbps=400_000),
    )
    offered, _ = discover.capacity(Declared(), discover.inventory((), cards), tmp_path)
    assert offered.net_mbps == 25_000
    declared = Declared(cpu_millis=500, mem_mib=64, gpus=1, storage_mib=7, net_mbps=0)
    offered, uuids = discover.capacity(declared, found, tmp_path)
    assert list(msgspec.to_builtins(offered)) == [500, 64, 1, 7, 0, 0]
    assert uuids == ("GPU-sim-n-0",)


class FakeNvml:
    """The library with one good GPU, one that fails, and no thermometer."""

    NVML_TEMPERATURE_GPU = 0
    closed = False

    class NVMLError(Exception):
        pass

    def nvmlInit(self) -> None: ...

    def nvmlShutdown(self) -> None:
        self.closed = True

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, number: int) -> int:
        if number == 1:
            raise self.NVMLError("lost")
        return number

    def nvmlDeviceGetUUID(self, handle: int) -> bytes:
        return b"GPU-0"

    def nvmlDeviceGetName(self, handle: int) -> str:
        return "H100"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:
        return SimpleNamespace(total=80 * 2**30, used=2**30)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> SimpleNamespace:
        return SimpleNamespace(gpu=50)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(pid=os.getpid(), usedGpuMemory=2**30),
            SimpleNamespace(pid=1, usedGpuMemory=None),
        ]

    def nvmlDeviceGetProcessUtilization(self, handle: int, since: int) -> list[SimpleNamespace]:
        if since >= 200:
            raise self.NVMLError("not found")  # as the library says that it has none
        return [
            SimpleNamespace(pid=os.getpid(), timeStamp=200, smUtil=40),
            SimpleNamespace(pid=os.getpid(), timeStamp=100, smUtil=90),
        ]

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        return 312_500

    def nvmlDeviceGetTemperature(self, handle: int, kind: int) -> int:
        raise self.NVMLError("not supported")


def test_a_gpu_that_fails_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    driver = discover.NvmlGpus()
    assert driver.gpus() == (GpuInfo(uuid="GPU-0", model="H100", mem_mib=80 * 1024),)
    sample = driver.sample()["GPU-0"]
    assert (sample.utilisation, sample.mem_used_mib, sample.temperature_c) == (0.5, 1024.0, None)
    assert sample.power_w == 312.5
    driver.close()
    driver.close()
    assert fake.closed and driver.gpus() == () and driver.sample() == {}


def test_a_shared_gpu_is_counted_by_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
    driver = discover.NvmlGpus()
    driver.gpus()
    assert driver.processes() == {os.getpid(): GpuProcess(0.4, 1024.0), 1: GpuProcess(0.0, 0.0)}
    assert driver.processes()[os.getpid()].utilisation == 0.0, "nothing new was sampled"
    driver = discover.NvmlGpus()
    driver.gpus()
    _, (task,), _ = UsageSampler(driver, tmp_path).sample({AttemptRef(1, 0, 1): os.getpid()})
    assert (task.usage.gpus, task.usage.gpu_mem_mib) == (0.4, 1024.0)


def test_gpus_are_shareable_where_the_guard_can_share() -> None:
    found = discover.inventory(parse_simulated("sim:2xA100-40", "n") or (), ())
    assert [gpu.shareable for gpu in discover.with_sharing(found, shareable=False).gpus] == [False, False]
    assert [gpu.shareable for gpu in discover.with_sharing(found, shareable=True).gpus] == [True, True]


def test_without_a_driver_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeNvml()

    def refuse() -> None:
        raise FakeNvml.NVMLError("driver not loaded")

    monkeypatch.setattr(fake, "nvmlInit", refuse)
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    assert discover.NvmlGpus().gpus() == ()
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert discover.NvmlGpus().sample() == {}


def test_a_tasks_usage_is_that_of_its_whole_tree(tmp_path: Path) -> None:
    driver = SimulatedGpus(parse_simulated("sim:1xA100-40", "n") or ())
    sampler = UsageSampler(driver, tmp_path)
    script = "echo up; while :; do :; done & wait"
    with subprocess.Popen(["sh", "-c", script], start_new_session=True, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        attempt = AttemptRef(1, 0, 1)
        end = time.monotonic() + 20
        try:
            while True:
                node, tasks, gpus = sampler.sample({attempt: process.pid, AttemptRef(1, 1, 1): 2**22 + 1})
                if tasks[0].usage.cpu_millis > 0:
                    break
                assert time.monotonic() < end, "the busy child was never seen"
                time.sleep(0.02)
        finally:
            os.killpg(process.pid, 9)
    assert [task.attempt for task in tasks] == [attempt], "a process that is gone has no usage"
    assert tasks[0].usage.mem_mib > 0
    assert node.mem_mib > 0 and node.cpu_millis >= 0 and node.gpu_temperature_c == 30.0
    assert gpus == [GpuUsage(uuid="GPU-sim-n-0", utilisation=0.0, mem_mib=0.0, temperature_c=30.0)]
