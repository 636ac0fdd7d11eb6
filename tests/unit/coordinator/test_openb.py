"""Traces of GPU clusters: read with their units, refused with the line, and judged seed by seed."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from coordinator.core.scheduler.gpus import GpuNode, Request
from coordinator.sim.judging import UnknownPolicy
from coordinator.sim.openb import ARRIVING, arrivals, read_nodes, read_pods
from coordinator.sim.placement_bench import PlacementBench, judge_placements
from coordinator.sim.trace_files import TraceError

NODES = "sn,cpu_milli,memory_mib,gpu,model\nn1,64000,262144,4,T4\nn0,32000,131072,2,V100\n"
PODS = (
    "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos\n"
    "p0,6000,12288,1,460,,LS\np1,12000,24576,1,1000,T4|V100,LS\np2,1000,1024,0,1000,,BE\n"
)


def write(folder: Path, name: str, text: str, *, packed: bool = False) -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_nodes_and_pods(tmp_path: Path, packed: bool) -> None:
    nodes = read_nodes(write(tmp_path, "nodes.csv", NODES, packed=packed))
    assert nodes == (GpuNode("n0", 32000, 131072, 2, "V100"), GpuNode("n1", 64000, 262144, 4, "T4"))
    marked = "\ufeff" + PODS  # as some spreadsheets write
    assert read_pods(write(tmp_path, "pods.csv", marked, packed=packed)) == (
        Request(6000, 12288, 1, 460),
        Request(12000, 24576, 1, 1000, frozenset({"T4", "V100"})),
        Request(1000, 1024),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n", "line 1: no column 'name'"),
        (PODS + "p3,one,1,1,1,,\n", "line 5: cpu_milli is no whole number up to 1,000,000,000,000: 'one'"),
        (PODS + "p3,1,-1,1,1,,\n", "line 5: memory_mib is no whole number up to 1,000,000,000,000: '-1'"),
        (PODS.replace("6000", "9" * 5000), "line 2: cpu_milli is no whole number"),
        (PODS.replace("6000", "nan"), "line 2: cpu_milli is no whole number .*: 'nan'"),
        (PODS.replace("1,460", "1,4600"), "line 2: gpu_milli is no whole number up to 1,000: '4600'"),
        (PODS.replace("1,460", "2,460"), "line 2: 2 GPUs are taken whole: gpu_milli is 460, not 1000"),
        (PODS + "p3," + "1" * 100_000 + ",1,1,1,,\n", "line 5: longer than 65,536 characters"),
        (PODS + "p3,1\n", "line 5: not as many fields as columns"),
        (PODS.split("p0")[0], "no pod asks for a GPU"),
    ],
)
def test_what_is_no_trace_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = write(tmp_path, "pods.csv", text)
    with pytest.raises(TraceError, match=words) as refused:
        read_pods(path)
    assert str(path) in str(refused.value)


def test_a_cluster_without_gpus_and_half_a_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="no node has a GPU"):
        read_nodes(write(tmp_path, "nodes.csv", "sn,cpu_milli,memory_mib,gpu,model\nn0,1,1,0,\n"))
    path = write(tmp_path, "nodes.csv.gz", NODES * 100, packed=True)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(TraceError, match="not whole"):
        read_nodes(path)


def test_arrivals_end_before_they_ask_for_too_much() -> None:
    pods = [Request(1, 1, 1, 460), Request(1, 1, 1, 1000), Request(1, 1)]
    for capacity in (1000, 50_000):
        total = sum(pod.total_milli for pod in arrivals(pods, capacity, np.random.default_rng(1)))
        assert ARRIVING * capacity - 1000 < total <= ARRIVING * capacity


def test_a_pod_larger_than_all_that_may_arrive_leaves_nothing_to_place(tmp_path: Path) -> None:
    settings = PlacementBench(
        nodes=str(write(tmp_path, "nodes.csv", NODES)),
        pods=str(write(tmp_path, "pods.csv", PODS.splitlines()[0] + "\np0,1,1,8,1000,,\n")),
        policies=("fgd",),
        seeds=2,
    )
    (result,) = judge_placements(settings, lambda done, total: None)
    assert result.values == (0.0, 0.0)


def test_each_policy_gets_the_same_shuffles(tmp_path: Path) -> None:
    said: list[tuple[int, int]] = []
    settings = PlacementBench(
        nodes=str(write(tmp_path, "nodes.csv", NODES)),
        pods=str(write(tmp_path, "pods.csv", PODS)),
        policies=("random", "fgd"),
        seeds=3,
    )
    results = list(judge_placements(settings, lambda done, total: said.append((done, total))))
    assert [(result.policy, len(result.values)) for result in results] == [("random", 3), ("fgd", 3)]
    assert results[1].mean_gpu_allocation >= results[0].mean_gpu_allocation > 50
    assert said[-1] == (6, 6) and results[0].trace == "pods" and results[0].gpus == 6
    with pytest.raises(UnknownPolicy, match="no policy 'best'"):
        list(
            judge_placements(PlacementBench(nodes="", pods="", policies=("best",)), lambda done, total: None)
        )
