"""The codes of containers. Part of `bus.codes`."""

from __future__ import annotations

from bus.code import Code

CONTAINER_CODES: dict[str, Code] = {
    "E_IMAGE": Code(
        "not a container image",
        "Images are named as registries name them, in at most 500 characters: no blanks, no shell, no path"
        " but an archive's.",
        "corral submit --image python:3.11 -- python -V; docs/guides/containers.md has more",
    ),
}
