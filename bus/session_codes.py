"""The error codes of streams and sessions: what `bus.codes.CODES` has of them."""

from __future__ import annotations

from bus.code import Code

SESSION_CODES: dict[str, Code] = {
    "E_STREAM": Code(
        "a broken stream",
        "One end of a byte stream broke its rules, or ended in the middle of something.",
        "open it again; the log of the agent says more",
        409,
        75,
    ),
    "E_STREAM_LOST": Code(
        "the other end is silent",
        "Nothing was heard of the other end of a byte stream for 30 s.",
        "corral node NODE shows whether the node is there; open the stream again",
        504,
        75,
        True,
    ),
    "E_STREAM_GONE": Code(
        "no such stream",
        "The node knows no such stream of this user: its agent was started anew, or the stream is over.",
        "open it again",
        404,
        75,
    ),
    "E_STREAM_LEFT": Code(
        "the other end has left",
        "The other end of a byte stream was done with it before its end.",
        "open it again where more was expected",
        409,
        75,
    ),
    "E_PORT": Code(
        "a port that cannot be used",
        "Ports are 1 to 65535. There the task itself must listen; here nobody else may.",
        "corral forward TASK [LOCAL:]PORT; LOCAL 0 takes any free port",
        422,
    ),
    "E_NO_TERMINAL": Code(
        "the task has no terminal",
        "Only tasks of a job of type interactive have a terminal that can be attached to.",
        "corral run -it -- bash; the output of others: corral logs -f",
        409,
    ),
    "E_NOT_RUNNING": Code(
        "the task does not run",
        "A session needs a task that runs: this one has not started, or is over.",
        "corral why says what it waits for, corral logs what it printed",
        409,
        75,
    ),
}
