"""Small traces under the names that documents give to the public ones."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

JOBS = 2_100
"""A little more than two windows: the fewest from which windows are drawn."""

_NODES = "sn,cpu_milli,memory_mib,gpu,model\n" + "".join(f"n{k},64000,262144,4,T4\n" for k in range(4))
_PODS = "name,cpu_milli,memory_mib,num_gpu,gpu_milli\n" + "".join(
    f"p{k},{2000 + 1000 * (k % 3)},8192,1,{(250, 500, 1000)[k % 3]}\n" for k in range(30)
)


def write_traces(folder: Path) -> None:
    """`lublin_256.swf.gz`, `nodes.csv` and `pods.csv`."""
    (folder / "lublin_256.swf.gz").write_bytes(gzip.compress(_swf(random.Random(1)).encode(), mtime=0))
    (folder / "nodes.csv").write_text(_NODES)
    (folder / "pods.csv").write_text(_PODS)


def _swf(rng: random.Random) -> str:
    lines = ["; MaxNodes: 16", "; MaxProcs: 16"]
    at_s = 0
    for number in range(1, JOBS + 1):
        at_s += rng.randrange(240)
        run_s = rng.randrange(1, 900)
        asked_s, wide, user = run_s + rng.randrange(900), rng.choice((1, 2, 4, 8)), rng.randrange(5)
        fields = (number, at_s, -1, run_s, wide, -1, -1, wide, asked_s, -1, 1, user, 1, -1, 1, -1, -1, -1)
        lines.append(" ".join(map(str, fields)))
    return "\n".join(lines) + "\n"
