"""What some actions take besides their target: read as one types, and written as options of the command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, convert

from bus.units import UnitError, parse_duration_s


class Arguments(Struct, frozen=True, kw_only=True):
    """Each belongs to some actions; `deadline` as it was typed."""

    reason: str = ""
    deadline: str = ""
    mode: Literal["", "off", "shadow", "on"] = ""

    @property
    def deadline_s(self) -> float | None:
        """In seconds; None: never."""
        return parse_duration_s(self.deadline) if self.deadline else None

    def options(self) -> list[str]:
        """As the command takes them."""
        named = (("--reason", self.reason), ("--deadline", self.deadline))
        return [word for option, value in named if value for word in (option, value)]

    def told(self) -> str:
        """In words, for the question."""
        return ", ".join(
            text
            for text in (
                f"what still runs in {self.deadline} goes elsewhere" if self.deadline else "",
                f"reason: {self.reason}" if self.reason else "",
            )
            if text
        )


NOTHING = Arguments()


class Blank(Struct, frozen=True, kw_only=True):
    """One line to be filled in: `field` of `Arguments`."""

    field: str
    label: str
    example: str


REASON = Blank(field="reason", label="reason", example="shown to everybody who asks")
DEADLINE = Blank(
    field="deadline",
    label="deadline",
    example="90, 10m, 2h: what still runs then goes elsewhere; empty: never",
)

BLANKS: dict[str, tuple[Blank, ...]] = {
    "cordon": (REASON,),
    "drain": (DEADLINE, REASON),
    "maintenance": (DEADLINE, REASON),
}
"""What may be filled in for an action, before it is asked about."""


def fault_of(field: str, text: str) -> str:
    """What is wrong with `text` in that blank; "" where nothing is."""
    try:
        match field:
            case "deadline" if text:
                parse_duration_s(text)
            case _:
                pass
    except UnitError as error:
        return f"expected {error.expected}"
    return ""


def filled(texts: Mapping[str, str]) -> Arguments:
    """The arguments out of blanks that hold no fault."""
    return convert(dict(texts), Arguments)
