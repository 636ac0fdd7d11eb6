"""One end of a byte stream as a pure state machine: frames and bytes in, frames and bytes out.

Each direction is a sliding window over byte offsets, as in TCP. The receiver says up to where the other may
send, and says more only as its bytes are read: nothing ever holds more than one window. What is sent is
kept until it is acknowledged; the receiver takes only what comes next, and whatever is lost, whether with
a connection or by a full queue, is sent again from the first byte that is missing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from msgspec import Struct

from bus.stream_frames import FRAME_BYTES, WINDOW_FIRST_BYTES, Frame, Piece, Reset

WINDOW_BYTES = 4 * 1024 * 1024
"""What one end holds at most of what came and was not read, and of what was sent and not acknowledged."""

RESEND_FIRST_S, RESEND_MAX_S = 1.0, 5.0
KEEP_ALIVE_S = 5.0
PEER_TIMEOUT_S = 30.0
"""An end that hears nothing for so long takes the other for gone."""

LOST = "E_STREAM_LOST"
BROKEN = "E_STREAM"


class Sent(Struct, frozen=True):
    """On its way, or lost: bytes from `offset`, and whether they are the last."""

    offset: int
    data: bytes
    end: bool

    @property
    def stop(self) -> int:
        """The offset that acknowledges all of it."""
        return self.offset + len(self.data) + self.end


class StreamState:
    """`receive` what comes, send all that `frames` yields, call `tick` at `deadline_s`.

    `window_bytes`: how much may wait here to be read, and to be acknowledged. All times are seconds of one
    clock that never goes back.
    """

    def __init__(self, now_s: float, *, window_bytes: int = WINDOW_BYTES) -> None:
        if window_bytes < WINDOW_FIRST_BYTES:
            raise ValueError(f"a window has {WINDOW_FIRST_BYTES} bytes at least")
        self._window = window_bytes
        self.failure: Reset | None = None
        # what we send
        self._unsent = bytearray()
        self._ending = False
        self._end_at: int | None = None
        self._sent: deque[Sent] = deque()
        self._resend = 0  # as many of `_sent` are on their way; those after them are to be sent again
        self._next = 0
        self._acked = 0
        self._limit = WINDOW_FIRST_BYTES
        self._resend_after_s = RESEND_FIRST_S
        self._progress_s = now_s
        self._rewound_at = -1  # the byte from which we sent again last because we were asked to
        self._probing = False  # one piece is sent again, the others only if it proves to have been missed
        # what comes
        self._came: deque[bytes] = deque()
        self._waiting = 0
        self._expected = 0
        self._granted = window_bytes
        self._ended = False
        # what is to be said
        self._say = True  # the first frame tells our window
        self._again = False
        self._say_reset = False
        self._heard_s = now_s
        self._said_s = now_s

    # the bytes

    @property
    def room(self) -> int:
        """How many bytes `write` takes now."""
        if self.failure is not None or self._ending:
            return 0
        return max(0, self._window - len(self._unsent) - (self._next - self._acked))

    def write(self, data: bytes | memoryview) -> int:
        """Take the first bytes of `data`, as many as there is room for; returns how many those are."""
        taken = min(len(data), self.room)
        self._unsent += data[:taken]
        return taken

    def end(self) -> None:
        """Nothing more will be written. Twice is fine."""
        self._ending = True

    @property
    def ending(self) -> bool:
        """Whether `end` was said."""
        return self._ending

    @property
    def waiting(self) -> int:
        """How many bytes `read` would give now."""
        return self._waiting

    def read(self, limit: int) -> bytes:
        """At most `limit` bytes of what came, which lets the other send as many more."""
        data = self._came.popleft() if self._came else b""
        if len(data) > limit:
            self._came.appendleft(data[limit:])
            data = data[:limit]
        self._waiting -= len(data)
        # every few bytes one word would be much talk; a quarter of the window keeps the other going
        if self._window - self._waiting + self._expected - self._granted >= self._window // 4:
            self._say = True
        return data

    @property
    def has_word(self) -> bool:
        """Whether the other end should be told something, be it only that it may send more."""
        return self._say or self._say_reset

    @property
    def at_end(self) -> bool:
        """Whether the other has ended its direction and all of it was read."""
        return self._ended and not self._waiting

    @property
    def written(self) -> int:
        """How many bytes were written so far."""
        return self._next + len(self._unsent) - (self._end_at is not None)

    @property
    def acknowledged(self) -> int:
        """How many bytes of what was written the other end has said to have, also once it broke."""
        return self._acked

    @property
    def delivered(self) -> bool:
        """Whether the other has all that was written; after `end`, also that it was the end."""
        is_said = not self._ending or self._end_at is not None
        return is_said and not self._unsent and self._acked == self._next

    @property
    def over(self) -> bool:
        """Whether both directions have ended, or the stream broke: nothing but repetitions will come."""
        return self.failure is not None or (self._ended and self._ending and self.delivered)

    def reset(self, code: str, message: str = "") -> None:
        """Break it off; of what is over already nothing changes."""
        if not self.over:
            self._fail(Reset(code, message[:500]))
            self._say_reset = True

    # the frames

    def receive(self, frame: Frame, now_s: float) -> None:
        """Something came from the other end."""
        self._heard_s = now_s
        if isinstance(frame, Reset):
            if not self.over:
                self._fail(frame)
            return
        if self.failure is not None:
            self._say_reset = True  # it has not heard
            return
        if frame.ack > self._next or not self._is_within(frame):
            self.reset(
                BROKEN, "the other end sent what it was not allowed to, or acknowledged what was not sent"
            )
            return
        self._take_ack(frame, now_s)
        self._take_data(frame)

    def frames(self, now_s: float) -> Iterator[Frame]:
        """All that is to be sent now."""
        if self._say_reset:
            assert self.failure is not None
            self._say_reset = False
            yield self.failure
        if self.failure is not None:
            return
        while True:
            sent = self._next_sent(now_s)
            if sent is None:
                break
            yield self._piece(sent, now_s)
        if self._say:
            yield self._piece(Sent(self._next, b"", False), now_s)

    def tick(self, now_s: float) -> None:
        """What time brings: sending again, a sign of life, giving up."""
        if self.over:
            return
        if now_s - self._heard_s >= PEER_TIMEOUT_S:
            self.reset(LOST, f"the other end was silent for {PEER_TIMEOUT_S:g} s")
            return
        if self._sent and now_s - self._progress_s >= self._resend_after_s:
            self._resend, self._probing, self._rewound_at = 0, True, -1
            self._progress_s = now_s
            self._resend_after_s = min(2 * self._resend_after_s, RESEND_MAX_S)
        if now_s - self._said_s >= KEEP_ALIVE_S:
            self._say = True

    def reconnected(self, now_s: float) -> None:
        """The way to the other end was cut and is there again: what was on it is lost."""
        self._resend, self._probing, self._rewound_at = 0, False, -1
        self._progress_s = now_s
        self._resend_after_s = RESEND_FIRST_S
        self._say = True

    @property
    def deadline_s(self) -> float | None:
        """When `tick` has something to do; None: never."""
        if self.over:
            return None
        due = min(self._heard_s + PEER_TIMEOUT_S, self._said_s + KEEP_ALIVE_S)
        return min(due, self._progress_s + self._resend_after_s) if self._sent else due

    def _is_within(self, frame: Piece) -> bool:
        """Whether these bytes were granted, and none comes after the end."""
        stop = frame.offset + len(frame.data)
        return not frame.data or stop <= (self._expected - 1 if self._ended else self._granted)

    def _take_ack(self, frame: Piece, now_s: float) -> None:
        self._limit = max(self._limit, frame.limit)
        if frame.ack > self._acked:
            self._acked = frame.ack
            self._progress_s = now_s
            self._resend_after_s = RESEND_FIRST_S
            self._probing = False
            while self._sent and self._sent[0].stop <= frame.ack:
                self._sent.popleft()
                self._resend = max(0, self._resend - 1)
        # the whole flight after a lost piece asks for it; once is enough
        if frame.again and frame.ack == self._acked and self._rewound_at != frame.ack:
            self._rewound_at = frame.ack
            self._resend, self._probing = 0, False
            self._progress_s = now_s

    def _take_data(self, frame: Piece) -> None:
        if not frame.data and not frame.end:
            if frame.offset > self._expected:
                self._say = self._again = True
            return
        self._say = True
        if frame.offset > self._expected:
            self._again = True
            return
        if self._ended:
            return
        fresh = frame.data[self._expected - frame.offset :]
        if frame.offset + len(frame.data) < self._expected:
            return
        if fresh:
            self._came.append(fresh)
            self._waiting += len(fresh)
            self._expected += len(fresh)
        if frame.end:
            self._ended = True
            self._expected += 1

    def _next_sent(self, now_s: float) -> Sent | None:
        """The next bytes to send, again or for the first time."""
        if self._probing and self._resend:
            return None
        if self._resend < len(self._sent):
            self._resend += 1
            return self._sent[self._resend - 1]
        size = min(len(self._unsent), FRAME_BYTES, self._limit - self._next)
        is_last = self._ending and self._end_at is None and size >= len(self._unsent)
        if size <= 0 and not is_last:
            return None
        sent = Sent(self._next, bytes(self._unsent[:size]), is_last)
        del self._unsent[:size]
        if not self._sent:
            self._progress_s = now_s
        self._sent.append(sent)
        self._resend += 1
        self._next = sent.stop
        if is_last:
            self._end_at = sent.stop
        return sent

    def _piece(self, sent: Sent, now_s: float) -> Piece:
        if not self._ended:
            self._granted = max(self._granted, self._expected + self._window - self._waiting)
        piece = Piece(sent.offset, self._expected, self._granted, sent.data, sent.end, self._again)
        self._say = self._again = False
        self._said_s = now_s
        return piece

    def _fail(self, failure: Reset) -> None:
        self.failure = failure
        self._unsent.clear()
        self._sent.clear()
        self._came.clear()
        self._waiting = self._resend = 0
