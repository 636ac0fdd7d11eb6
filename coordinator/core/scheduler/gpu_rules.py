"""Static rules of placement on nodes with GPUs: larger scores first, ties by the order of the nodes.

As FGD's evaluation scores them (Weng et al., ATC'23, and its simulator); `c`, `g` are free processors and
GPUs of a node, `C`, `G` those of the largest node, `r` what is asked for.

- `random`: any that fits.
- `dot_product`: ⌊100 · (1 − (c/C · r_c/C + g/G · r_g/G) / 2)⌋
- `best_fit`: ⌊100 · (1 − ((c − r_c)/C + (g − r_g)/G) / 2)⌋, on the fullest GPU where a part is asked for.
- `gpu_packing`: GPUs in use before whole ones, whole ones before nodes that are untouched.
- `fgd`: ⌊100 · σ(ΔF / 1000)⌋, the fragmentation that the placement saves, on the GPU where it saves most.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from coordinator.core.scheduler.fragmentation import Typical
from coordinator.core.scheduler.gpus import WHOLE, Floats, GpuPool, Ints, Request

_PACKED, _WHOLE_ONES, _UNTOUCHED = 100, 50, 33


class Scored(NamedTuple):
    """Of some rows; `gpu` counts where a part of one is asked for."""

    score: Floats
    gpu: Ints


class GpuRule(Protocol):
    """`rows` are nodes on which `request` fits."""

    def __call__(
        self,
        pool: GpuPool,
        request: Request,
        rows: Ints,
        *,
        typical: Typical,
        rng: np.random.Generator,
    ) -> Scored: ...


def random(
    pool: GpuPool, request: Request, rows: Ints, *, typical: Typical, rng: np.random.Generator
) -> Scored:
    fits = pool.gpus[rows] >= request.milli
    return Scored(np.zeros(len(rows)), (rng.random(fits.shape) * fits).argmax(axis=1))


def dot_product(
    pool: GpuPool, request: Request, rows: Ints, *, typical: Typical, rng: np.random.Generator
) -> Scored:
    cpu = pool.cpu[rows] / pool.cpu_most * (request.cpu_millis / pool.cpu_most)
    gpu = pool.free_gpu(rows) / pool.gpu_most * (request.total_milli / pool.gpu_most)
    return Scored(np.floor(100 * (1 - (cpu + gpu) / 2)), _fullest(pool, request, rows))


def best_fit(
    pool: GpuPool, request: Request, rows: Ints, *, typical: Typical, rng: np.random.Generator
) -> Scored:
    cpu = (pool.cpu[rows] - request.cpu_millis) / pool.cpu_most
    gpu = (pool.free_gpu(rows) - request.total_milli) / pool.gpu_most
    return Scored(np.floor((1 - (cpu * 0.5 + gpu * 0.5)) * 100), _fullest(pool, request, rows))


def gpu_packing(
    pool: GpuPool, request: Request, rows: Ints, *, typical: Typical, rng: np.random.Generator
) -> Scored:
    gpus, chosen = pool.gpus[rows], _fullest(pool, request, rows)
    if not request.total_milli:
        return Scored(np.zeros(len(rows)), chosen)
    fitting = np.sort(np.where(gpus >= request.milli, gpus, np.iinfo(np.int64).max), axis=1)
    taken = fitting[:, : request.gpus]
    broken = (taken == WHOLE).sum(axis=1)
    packed = np.maximum(_PACKED - (taken // 10).sum(axis=1) // 10, _WHOLE_ONES)
    score = np.where(broken > 0, np.maximum(_WHOLE_ONES - broken, _UNTOUCHED), packed)
    whole = (gpus == WHOLE).sum(axis=1)
    untouched = whole == (gpus >= 0).sum(axis=1)
    score = np.where(untouched, np.maximum(_UNTOUCHED - whole, whole), score)
    return Scored(score.astype(np.float64), chosen)


def fgd(pool: GpuPool, request: Request, rows: Ints, *, typical: Typical, rng: np.random.Generator) -> Scored:
    before = typical.fragmentation(pool.gpus[rows], pool.cpu[rows])
    if not request.shares:
        left = typical.fragmentation(pool.after(request, rows), pool.cpu[rows] - request.cpu_millis)
        return Scored(_saved(before - left), np.zeros(len(rows), dtype=np.int64))
    which, gpu = np.nonzero(pool.gpus[rows] >= request.milli)
    nodes = rows[which]
    left = typical.fragmentation(pool.after(request, nodes, gpu), pool.cpu[nodes] - request.cpu_millis)
    score = np.full(pool.gpus[rows].shape, -np.inf)
    score[which, gpu] = _saved(before[which] - left)
    best = score.argmax(axis=1)
    return Scored(score[np.arange(len(rows)), best], best)


def _saved(fragmentation: Floats) -> Floats:
    found: Floats = np.floor(100 / (1 + np.exp(-fragmentation / 1000)))
    return found


def _fullest(pool: GpuPool, request: Request, rows: Ints) -> Ints:
    """The GPU with the least free that is enough."""
    gpus = pool.gpus[rows]
    found: Ints = np.where(gpus >= request.milli, gpus, np.iinfo(np.int64).max).argmin(axis=1)
    return found


GPU_RULES: dict[str, GpuRule] = {
    "random": random,
    "dot_product": dot_product,
    "best_fit": best_fit,
    "gpu_packing": gpu_packing,
    "fgd": fgd,
}
