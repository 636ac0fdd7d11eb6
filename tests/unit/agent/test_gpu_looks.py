"""NVIDIA's library, as the agent asks it: what devices say, what they do not know, and how one is lost."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from agent import discover
from agent.core.gpus import Look

FAKE = Path(__file__).parents[2] / "fake_nvml" / "pynvml.py"


class Devices:
    """The file that the stand-in reads, and the driver over it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.gpus: list[dict[str, Any]] = [
            {"uuid": "GPU-a", "model": "H100", "mem_mib": 81_559},
            {"uuid": "GPU-b", "model": "H100", "mem_mib": 81_559},
        ]
        self.write()

    def write(self) -> None:
        self._path.write_text(json.dumps({"gpus": self.gpus}))

    def opened(self) -> discover.NvmlGpus:
        driver = discover.NvmlGpus()
        assert [gpu.uuid for gpu in driver.gpus()] == ["GPU-a", "GPU-b"]
        return driver


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Devices:
    spec = importlib.util.spec_from_file_location("pynvml", FAKE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "pynvml", module)
    monkeypatch.setenv("FAKE_NVML", str(tmp_path / "gpus.json"))
    return Devices(tmp_path / "gpus.json")


def test_a_device_says_what_it_knows(devices: Devices) -> None:
    devices.gpus[0] |= {
        "used_mib": 700, "pids": {"71": 100}, "ecc": 2, "remap": [0, 1, 1, 0],
        "temperature": 40, "slowdown": 90,
    }  # fmt: skip
    devices.write()
    known, bare = devices.opened().look()
    assert known == Look(
        uuid="GPU-a", mem_mib=81_559.0, used_mib=700.0, pids=(71,), ecc=2, remap_pending=True,
        temperature_c=40, slowdown_c=90,
    )  # fmt: skip
    assert bare == Look(uuid="GPU-b", mem_mib=81_559.0, used_mib=600.0)


def test_xids_are_heard_once_by_the_device_that_had_them(devices: Devices) -> None:
    driver = devices.opened()
    assert [each.xids for each in driver.look()] == [(), ()]
    devices.gpus[1]["xids"] = [79, 48]
    devices.write()
    assert [each.xids for each in driver.look()] == [(), (79, 48)]
    assert [each.xids for each in driver.look()] == [(), ()]


def test_a_device_that_tells_of_no_xids_is_looked_at_all_the_same(
    devices: Devices, caplog: pytest.LogCaptureFixture
) -> None:
    devices.gpus[0] |= {"deaf": True, "xids": [79], "ecc": 1}
    devices.write()
    driver = devices.opened()
    assert (driver.look()[0].xids, driver.look()[0].ecc) == ((), 1)
    assert len([record for record in caplog.records if "GPU-a are not heard of" in record.message]) == 1


@pytest.mark.parametrize(
    ("error", "lost", "answers"),
    [("GPU_IS_LOST", True, True), ("GPU_NOT_FOUND", True, True), ("UNKNOWN", False, False)],
)
def test_a_device_that_fails_is_lost_or_silent_and_the_others_are_not(
    devices: Devices, error: str, lost: bool, answers: bool
) -> None:
    driver = devices.opened()
    devices.gpus[0]["error"] = error
    devices.write()
    ill, well = driver.look()
    assert (ill.lost, ill.answers) == (lost, answers) and not well.lost and well.answers
    del devices.gpus[0]["error"]
    devices.write()
    assert driver.look()[0].answers and not driver.look()[0].lost


def test_after_its_end_there_is_nothing_to_see(devices: Devices) -> None:
    driver = devices.opened()
    driver.look()
    driver.close()
    driver.close()
    assert driver.look() == ()
