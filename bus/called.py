"""A registered tool inside a stored job: all that its version said when the job was submitted.

The coordinator writes this into the spec that it keeps, so that what a job means never depends on the
registry of a later day.
"""

from __future__ import annotations

from msgspec import Struct


class CalledTool(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`command` is a template (see `bus.templates`), or empty for a tool that nodes have built in.

    `required`: keys that the input of its task `type` must have. `file` on the node must have this `sha256`.
    `capability`: what its nodes must have shown that they can; `node`: the only one that it runs on.
    """

    version: str
    type: str
    command: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    file: str = ""
    sha256: str = ""
    capability: str = ""
    node: str = ""
    cpu: int | str | None = None
    memory: int | str | None = None
    timeout: float | str | None = None
