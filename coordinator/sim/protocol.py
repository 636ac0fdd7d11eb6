"""Which windows of a trace are replayed: RLScheduler's evaluation (Zhang et al., SC'20), or as asked for."""

from __future__ import annotations

import hashlib
import struct

import numpy as np

LENGTH = 1024
SEQUENCES = 10
JOBS_MAX = 10_000
"""The published windows lie within the first ten thousand jobs."""


def window_starts(
    jobs: int, *, length: int = LENGTH, sequences: int = SEQUENCES, seed: int = 1
) -> tuple[int, ...]:
    """Where the windows begin; raises ValueError where the trace is too short for one.

    Drawn as OpenAI Gym seeded its generators, on which the published evaluation rests: the first eight bytes
    of SHA-512 of the seed's decimal digits, as words of 32 bits, seed NumPy's MT19937.
    """
    highest = min(jobs, JOBS_MAX) - length - 1
    if highest <= length:
        raise ValueError(f"{jobs} jobs are too few for windows of {length}: {2 * length + 3} are needed")
    words = struct.unpack("<2I", hashlib.sha512(str(seed).encode()).digest()[:8])
    generator = np.random.RandomState(list(words))
    return tuple(int(generator.randint(length, highest)) for _ in range(sequences))
