"""Models: names for content that is never changed. What registers, lists, shows and removes them. Pure.

A version is a name, a word for the version, and content by its SHA-256 (`corral://<sha256>`), which lies on
nodes as that of artifacts does. NAME alone is the version that was registered last. Neither a version nor its
name is ever used for other content, not even when it has been removed.

    model.register  what an artifact has becomes a version
    blob.get        {"model": "NAME@VERSION", "offset": 0}, a stream: its content, see `bus.artifacts`
"""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct, field

from bus.requests import Request

Json = dict[str, Any]

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,49}")
TAG = re.compile(r"[a-z0-9][a-z0-9_-]{0,49}")


class Model(Struct, kw_only=True):
    """A version. `file` is the name that its content has on nodes; `nodes` have it. `at`: registered."""

    name: str
    version: str
    file: str
    media_type: str
    size: int
    sha256: str
    url: str
    user: str
    at: float
    tags: list[str] = []
    metrics: dict[str, float] = {}
    config: Json = {}
    nodes: list[str] = []


class ModelRegister(Request, kw_only=True):
    """`artifact`: an id, the start of it, or a name such as `1042.7/model.bin`. The same again is fine."""

    name: str
    version: str
    artifact: str
    tags: list[str] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    config: Json = field(default_factory=dict)


class ModelQuery(Request):
    """`model`: NAME, which is the version registered last, or NAME@VERSION."""

    model: str


class ModelList(Request, kw_only=True):
    """The newest first. `name`, `tag` narrow it."""

    name: str = ""
    tag: str = ""
    limit: int = 100  # 1 to 10,000
    cursor: str = ""  # the `next` of the page before


class Models(Struct, kw_only=True):
    models: list[Model]
    next: str = ""


def parse_reference(text: str) -> tuple[str, str]:
    """NAME and VERSION ("": the newest) of `text`. Raises ValueError where it cannot be either."""
    name, at, version = text.partition("@")
    if NAME.fullmatch(name) is None or (at and VERSION.fullmatch(version) is None):
        raise ValueError("NAME or NAME@VERSION")
    return name, version


def variable(name: str) -> str:
    """The environment variable in which a task finds the path of the model `name`."""
    return "CORRAL_MODEL_" + re.sub(r"[^A-Z0-9]", "_", name.upper())
