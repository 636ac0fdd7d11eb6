"""Rows of the catalogue that need more than one message: the tests that keep them."""

from __future__ import annotations

ELSEWHERE: dict[str, tuple[str, ...]] = {}
