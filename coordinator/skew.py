"""Which versions of an agent this coordinator works with: its own minor version, and the one on either side.

Machines are upgraded one after the other, so neighbours must get along; tests/versions keeps what each of
them says. Further apart nobody has tried it, and an agent is refused before it does any harm.
"""

from __future__ import annotations

from bus.errors import ApiError
from bus.refusal import quote, refusal
from coordinator.core.releases import minor_of


class TooFarApart(ApiError):
    """The agent's version is more than one minor version from ours (E_VERSION)."""


def check_version(theirs: str, *, ours: str, node: str) -> str:
    """What people should be told of an agent's version; "" where it is ours. Raises TooFarApart."""
    agent, coordinator = minor_of(theirs), minor_of(ours)
    if coordinator is None:
        return ""  # not an installed one: nothing to compare with
    if agent is None:
        return f"the agent of {node} is of an unknown version ({quote(theirs)}), the coordinator of {ours}"
    if agent == coordinator:
        return ""
    relation = "older" if agent < coordinator else "newer"
    if agent[0] == coordinator[0] and abs(agent[1] - coordinator[1]) == 1:
        return f"the agent of {node} is {relation} ({theirs}) than the coordinator ({ours})"
    major, minor = coordinator
    raise TooFarApart(
        refusal(
            "E_VERSION",
            f"the agent is {relation} than its coordinator by more than one minor version",
            field="/version",
            got=quote(theirs),
            expected=f"{major}.{max(minor - 1, 0)} to {major}.{minor + 1}",
            hint=f"install version {ours} of Corral on {node[:63]}, then restart its agent",
        )
    )
