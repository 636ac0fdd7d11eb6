"""What brings sealed files here; `agent.volumes.fetching` does it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import BinaryIO

Fetch = Callable[[str, int], AbstractAsyncContextManager[BinaryIO]]
"""Brings the sealed file of that hash and size here, verified, for as long as it is needed.

Raises ApiError, BusError.
"""
