"""When output came: how long each stream was at moments somebody looked.

A mark (size, at) says that the first `size` bytes were there at `at` (Unix epoch), and those after the mark
before were not yet. The guard looks once a second, and whenever somebody reads; so a line is dated to the
second while nobody watches, and better while somebody does. Nothing is said that was not seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgpack

LOOK_S = 1.0
MARKS_MAX = 2_048
"""Of a stream. Then every second one is forgotten: a long life is dated more coarsely, in bounded room."""

ANSWERED_MAX = 256
"""Of one piece."""

Mark = tuple[int, float]


class Arrivals:
    """The marks of one attempt's two streams; `streams` are numbered as on the wire, from 1."""

    __slots__ = ("_marks",)

    def __init__(self, marks: Sequence[Sequence[Mark]] = ((), ())) -> None:
        self._marks = [list(stream) for stream in marks]

    def note(self, stream: int, size: int, at: float) -> None:
        """It has this size now. A clock that was set back does not turn the order round."""
        marks = self._marks[stream - 1]
        last_size, last_at = marks[-1] if marks else (0, 0.0)
        if size <= last_size:
            return
        marks.append((size, max(at, last_at)))
        if len(marks) > MARKS_MAX:
            del marks[-2::-2]

    def covering(self, stream: int, begin: int, end: int) -> list[Mark]:
        """The marks that date [begin, end): from the first beyond `begin` to the first not before `end`."""
        found: list[Mark] = []
        for mark in self._marks[stream - 1]:
            if mark[0] > begin:
                found.append(mark)
                if mark[0] >= end:
                    break
        while len(found) > ANSWERED_MAX:
            del found[-2::-2]
        return found if end > begin else []

    @property
    def is_empty(self) -> bool:
        return not any(self._marks)

    def pack(self) -> bytes:
        """For a file beside the streams."""
        data: bytes = msgpack.packb(self._marks)
        return data


def unpack_arrivals(data: bytes) -> Arrivals:
    """What `pack` wrote; of a file that is none, or half of one, nothing."""
    try:
        marks = msgpack.unpackb(data, use_list=False)
        out, err = marks
        return Arrivals(([(int(s), float(a)) for s, a in out], [(int(s), float(a)) for s, a in err]))
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException):
        return Arrivals()
