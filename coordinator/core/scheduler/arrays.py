"""Arrays by name as bytes and back, bit for bit: npz without objects, of which nothing ever runs."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def pack(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Equal arrays give equal bytes."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def unpack(data: bytes, *needed: str) -> dict[str, NDArray[Any]]:
    """What `pack` wrote. Raises ValueError for anything else, and where one that is needed is missing."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except (ValueError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(str(error)) from error
    missing = [name for name in needed if name not in found]
    if missing:
        raise ValueError(f"{missing[0]} is not in it")
    return found
