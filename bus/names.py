"""What users and nodes may be called. Pure."""

from __future__ import annotations

import re

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""What a user or a node may be called: one subject token, safe as a folder name."""


def is_name(text: str) -> bool:
    """Whether `text` can name a user or a node (whole string, no trailing newline)."""
    return NAME_PATTERN.fullmatch(text) is not None
