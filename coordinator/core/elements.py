"""What the elements of an array stand for."""

from __future__ import annotations

from msgspec import Struct

from bus.item_lists import ItemList
from bus.matrix import Matrix
from bus.units import ArrayRange


class Values(Struct, frozen=True):
    """What element k of a group stands for: an array index, an item of a list, a combination of a matrix."""

    array: ArrayRange | None = None
    items: tuple[str, ...] = ()
    matrix: Matrix | None = None
    listed: ItemList | None = None  # items as well, too many for a message
    listed_as: str = ""  # the hash of their text
