"""Contexts of the `nats` command: one file each, by which it reaches the cluster as a user of it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from bus.errors import CorralError
from bus.layout import ClientSettings, write_secret

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class ContextError(CorralError, ValueError):
    """Not a context's name."""


def context_folder() -> Path:
    """Where the `nats` command looks."""
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "nats" / "context"


def write_context(name: str, settings: ClientSettings, *, inbox_prefix: str) -> Path:
    """Make or replace the context. Raises ContextError."""
    if _NAME.fullmatch(name) is None:
        raise ContextError(f"got {name[:80]!r}; expected letters, digits, dot, dash and _")
    path = context_folder() / f"{name}.json"
    context = {
        "description": f"Corral as {settings.user}",
        "url": settings.url,
        "creds": settings.credentials,
        "ca": settings.ca if settings.url.startswith("tls://") else "",
        "inbox_prefix": inbox_prefix,
    }
    write_secret(path, json.dumps(context, indent=2) + "\n")
    return path


def remove_contexts(credentials: str) -> list[Path]:
    """Remove those that use this credentials file."""
    removed = []
    for path in sorted(context_folder().glob("*.json")):
        try:
            context = json.loads(path.read_text())
        except (OSError, ValueError):
            continue  # somebody else's
        if isinstance(context, dict) and context.get("creds") == credentials:
            path.unlink()
            removed.append(path)
    return removed
