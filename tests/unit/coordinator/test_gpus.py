"""Parts of GPUs: where a request fits, what it leaves, how fragmented that is, where each rule puts it."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from coordinator.core.scheduler.fragmentation import Typical
from coordinator.core.scheduler.gpu_rules import GPU_RULES
from coordinator.core.scheduler.gpus import ABSENT, WHOLE, GpuNode, GpuPool, Request
from coordinator.sim.filling import fill

HALF = Request(1000, 1024, 1, 500)
WHOLE_ONE = Request(1000, 1024, 1, WHOLE)
PAIR = Request(2000, 2048, 2, WHOLE)
CPU = Request(1000, 1024)
TYPICAL = Typical([HALF, HALF, WHOLE_ONE, PAIR, CPU])
RNG = np.random.default_rng(1)


def pool_of(*gpus: int, cpu: int = 8000, model: str = "A100") -> GpuPool:
    return GpuPool([GpuNode(f"n{i}", cpu, 65_536, count, model) for i, count in enumerate(gpus)])


def place(rule: str, pool: GpuPool, request: Request) -> tuple[int, int]:
    """The node and the GPU that it would get."""
    rows = np.arange(len(pool.nodes))
    rows = rows[pool.fits(request, rows)]
    scored = GPU_RULES[rule](pool, request, rows, typical=TYPICAL, rng=RNG)
    best = int(scored.score.argmax())
    return int(rows[best]), int(scored.gpu[best])


def test_what_fits_where() -> None:
    pool = GpuPool([GpuNode("a", 4000, 4096, 2, "A100"), GpuNode("b", 4000, 4096, 1, "T4")])
    rows = np.arange(2)
    assert pool.fits(PAIR, rows).tolist() == [True, False]
    assert pool.fits(HALF._replace(models=frozenset({"T4"})), rows).tolist() == [False, True]
    assert pool.fits(CPU._replace(cpu_millis=5000), rows).tolist() == [False, False]
    assert pool.fits(CPU._replace(mem_mib=4097), rows).tolist() == [False, False]
    assert pool.gpus.tolist() == [[WHOLE, WHOLE], [WHOLE, ABSENT]]
    assert (pool.capacity, pool.free_gpu(rows).tolist()) == (3 * WHOLE, [2 * WHOLE, WHOLE])


def test_what_is_taken() -> None:
    pool = pool_of(4)
    pool.take(HALF, 0, 2)
    assert pool.gpus[0].tolist() == [1000, 1000, 500, 1000]
    pool.take(PAIR, 0, 0)
    assert pool.gpus[0].tolist() == [0, 0, 500, 1000]
    pool.take(CPU, 0, 0)
    assert pool.gpus[0].tolist() == [0, 0, 500, 1000] and pool.cpu[0] == 8000 - 1000 - 2000 - 1000


def test_fragmentation_by_hand() -> None:
    """Shares: HALF 0.4, the others 0.2 each. Left are half a GPU and a whole one."""
    pool = pool_of(2)
    pool.take(HALF, 0, 0)
    assert TYPICAL.shares.sum() == pytest.approx(1.0)
    unusable = dict(zip(TYPICAL.requests, TYPICAL.unusable(pool.gpus, pool.cpu)[0].tolist(), strict=True))
    assert {request.gpus * request.milli: left for request, left in unusable.items()} == {
        500: 0.0,
        1000: 500.0,  # the half is too full for a whole one
        2000: 1500.0,  # no pair fits: all of it
        0: 1500.0,  # who wants no GPU uses none
    }
    assert TYPICAL.fragmentation(pool.gpus, pool.cpu)[0] == pytest.approx(0.2 * (500 + 1500 + 1500))


def test_the_rare_are_not_typical() -> None:
    requests = [HALF] * 96 + [PAIR] * 4
    assert Typical(requests).requests == (HALF._replace(mem_mib=0),)
    assert len(Typical([HALF._replace(models=frozenset({"T4"})), HALF]).requests) == 1


def test_half_a_gpu_goes_where_a_half_is_left() -> None:
    """Packing, best fit and FGD keep whole GPUs whole."""
    pool = pool_of(2, 2)
    pool.take(HALF, 1, 1)
    for rule in ("best_fit", "gpu_packing", "fgd"):
        assert place(rule, pool, HALF) == (1, 1), rule


def test_packing_breaks_an_untouched_node_last() -> None:
    pool = pool_of(2, 2)
    pool.take(HALF, 1, 0)
    assert place("gpu_packing", pool, WHOLE_ONE) == (1, 1)
    assert place("gpu_packing", pool, CPU)[0] == 0


def test_a_dot_product_likes_what_is_full() -> None:
    pool = pool_of(2, 2)
    pool.take(WHOLE_ONE, 1, 0)
    assert place("dot_product", pool, WHOLE_ONE)[0] == 1


def test_fgd_puts_a_pair_where_no_pair_would_fit_after() -> None:
    pool = pool_of(4, 2)
    assert place("fgd", pool, WHOLE_ONE)[0] == place("fgd", pool, WHOLE_ONE)[0]
    pool.take(WHOLE_ONE, 0, 0)
    assert place("fgd", pool, WHOLE_ONE)[0] == 0, "three are left: one of them is of no use to pairs"


def requests(gpus: st.SearchStrategy[int], milli: st.SearchStrategy[int]) -> st.SearchStrategy[Request]:
    return st.builds(
        Request, st.integers(100, 4000), st.integers(1, 8192), gpus, milli, st.just(frozenset[str]())
    )


REQUESTS = st.lists(
    st.one_of(
        requests(st.just(0), st.just(0)),
        requests(st.just(1), st.integers(1, WHOLE)),
        requests(st.integers(2, 4), st.just(WHOLE)),
    ),
    min_size=1,
    max_size=30,
)


@given(REQUESTS, st.sampled_from(sorted(GPU_RULES)))
def test_a_full_cluster_is_full_and_never_more(wanted: list[Request], rule: str) -> None:
    pool = pool_of(1, 2, 4)
    typical = Typical(wanted)
    free = pool.free_gpu(np.arange(3)).sum()
    filled = fill(
        pool,
        wanted,
        GPU_RULES[rule],
        typical=typical,
        rng=np.random.default_rng(1),
        epsilon=float(rule == "random"),
    )
    assert filled.placed + filled.refused == len(wanted)
    assert (pool.gpus[pool.gpus != ABSENT] >= 0).all() and (pool.cpu >= 0).all() and (pool.memory >= 0).all()
    given_away = free - pool.free_gpu(np.arange(3)).sum()
    assert filled.allocation == pytest.approx(given_away / pool.capacity * 100)
    assert (typical.fragmentation(pool.gpus, pool.cpu) <= pool.free_gpu(np.arange(3)) + 1e-6).all()


@given(REQUESTS, st.sampled_from(["dot_product", "best_fit", "gpu_packing", "fgd"]))
def test_scores_that_were_kept_are_those_made_anew(wanted: list[Request], rule: str) -> None:
    """One placement at a time on a copy, all scores anew, against the kept ones."""
    kept, anew = pool_of(2, 2, 4), pool_of(2, 2, 4)
    typical = Typical(wanted)
    rng = np.random.default_rng(1)
    fill(kept, wanted, GPU_RULES[rule], typical=typical, rng=rng)
    for request in wanted:
        fill(anew, [request], GPU_RULES[rule], typical=typical, rng=rng)
    assert kept.gpus.tolist() == anew.gpus.tolist() and kept.cpu.tolist() == anew.cpu.tolist()
