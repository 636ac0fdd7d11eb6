"""Tags of the fake cluster's answers: it keeps no count of its changes, so a tag names what is told."""

from __future__ import annotations

from hashlib import blake2b
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from bus.api import Events, Jobs, Nodes, Tasks
from bus.equipment import Devices, Tools
from bus.people import Users

Page = TypeVar("Page", Jobs, Tasks, Nodes, Events, Devices, Tools, Users)


def unless_known(answer: Page, known: str) -> Page:
    """The answer with its tag; where that is `known`, no rows, which are its first field."""
    tag = blake2b(msgspec.msgpack.encode(answer), digest_size=12).hexdigest()
    if tag == known:
        return replace(answer, **{answer.__struct_fields__[0]: []}, tag=tag, unchanged=True)
    answer.tag = tag
    return answer
