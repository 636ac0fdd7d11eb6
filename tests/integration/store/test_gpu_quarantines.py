"""GPUs that are given to nobody, as rows: kept as they are, and kept though their node lost the GPU."""

from __future__ import annotations

import asyncpg
from msgspec.structs import replace

from bus.gpus import Quarantine
from tests.integration.store.conftest import Leader
from tests.integration.store.test_gpu_shares import with_gpus

OUT = Quarantine(uuid="GPU-1", kind="xid", reason="XID 79 · Δ", at=1_700_000_000.25, forgiven=("a", "b"))
OVER = Quarantine(
    uuid="GPU-9", kind="manual", reason="", at=1_700_000_000.0, by="olga", released_at=1_700_000_009.5,
    released_by="ann",
)  # fmt: skip


async def test_a_quarantine_comes_back_as_it_was_and_says_so_of_its_gpu(
    leader: Leader, database: asyncpg.Connection
) -> None:
    on = with_gpus("ill", "GPU-1", "GPU-2")
    await leader.commit(nodes=[replace(on, quarantines=(OUT, OVER))])
    (row,) = [each for each in (await leader.store.load()).nodes if each.name == "ill"]
    assert sorted(row.quarantines, key=lambda each: each.uuid) == [OUT, OVER]
    healthy = "select uuid, healthy from corral.gpus where node_id = $1 order by uuid"
    assert [tuple(each) for each in await database.fetch(healthy, on.id)] == [
        ("GPU-1", False),
        ("GPU-2", True),
    ]
    assert all(gpu.healthy for gpu in row.inventory.gpus), "what its agent said is left as it was"
    over = replace(OUT, released_at=1_700_000_020.0, released_by="ann")
    gone = with_gpus("ill", "GPU-2")
    await leader.commit(nodes=[replace(gone, id=on.id, quarantines=(over,))])
    (row,) = [each for each in (await leader.store.load()).nodes if each.name == "ill"]
    assert row.quarantines == (over,), "the other one is nobody's any more"
    assert [tuple(each) for each in await database.fetch(healthy, on.id)] == [("GPU-2", True)]
