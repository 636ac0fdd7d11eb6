"""Every subject, stream and bucket of the bus: built here, parsed here, spelt nowhere else.

`docs/protocol.md` shows them in a table; a test keeps it true. Users and nodes are names
(`bus.values.is_name`), tasks are the token `1042-7`. Inboxes tell who receives an answer: users
`_INBOX_<user>`, nodes `_INBOX_N_<node>`, coordinators `_INBOX_C_<name>`, those not yet admitted
`_INBOX_P_public`; no name has capitals, so no user can pass for a node.
"""

from __future__ import annotations

import re
from enum import StrEnum

from msgspec import Struct

from bus.errors import CorralError
from bus.values import NodeName, TaskRef, UserName, is_name

PUBLIC_NAME = "public"
"""Whoever connects with the public credential."""

EVERYBODY = "_"
"""In the place of a user on the feed: what everybody may see (nodes, the cluster)."""


class SubjectError(CorralError, ValueError):
    """A subject that the protocol does not know, or a part that cannot stand in one (E_SUBJECT)."""

    code = "E_SUBJECT"


class NodeVerb(StrEnum):
    REGISTER = "register"
    HEARTBEAT = "heartbeat"
    USAGE = "usage"
    REPORT = "report"
    INPUTS = "inputs"
    PROGRESS = "progress"
    KEPT = "kept"
    FETCH = "fetch"
    HELD = "held"
    SAVED = "saved"
    RESUME = "resume"
    CHILDREN = "children"
    COMMAND = "command"


class Noun(StrEnum):
    """What the feed tells about."""

    JOB = "job"
    TASK = "task"
    NODE = "node"


class Direction(StrEnum):
    UP = "up"  # client to agent
    DOWN = "down"


class Peer(StrEnum):
    """Whose inbox it is."""

    USER = "user"
    NODE = "node"
    COORDINATOR = "coordinator"
    PUBLIC = "public"  # whoever holds a token, before being admitted


class AuthVerb(StrEnum):
    """What the public credential may ask."""

    JOIN = "join"
    LOGIN = "login"


class NodeSubject(Struct, frozen=True):
    """`corral.node.<node>.<verb>`."""

    node: NodeName
    verb: NodeVerb


class LogSubject(Struct, frozen=True):
    """`corral.node.<node>.log.<user>.<task>`: live output of a task for one user."""

    node: NodeName
    user: UserName
    task: TaskRef


class ApiSubject(Struct, frozen=True):
    """`corral.u.<user>.<noun>.<verb>`; `operation` is "noun.verb", a key of `bus.api.OPERATIONS` if known."""

    user: UserName
    operation: str


class PublishSubject(Struct, frozen=True):
    """`corral.u.<user>.publish`: a submission that waits in JetStream."""

    user: UserName


class ErrorsSubject(Struct, frozen=True):
    """`corral.u.<user>.errors`: what became of a message that nobody waited for."""

    user: UserName


class FeedSubject(Struct, frozen=True):
    """`corral.feed.<user>.<noun>.<id>`; user None: everybody's."""

    user: UserName | None
    noun: Noun
    id: str


class StreamSubject(Struct, frozen=True):
    """`corral.s.<user>.<node>.<stream>.up|down`."""

    user: UserName
    node: NodeName
    stream: str
    direction: Direction


class PeerSubject(Struct, frozen=True):
    """`corral.peer.<asker>.<node>.<stream>.up|down`: the agent of `asker` fetches from that of `node`."""

    asker: NodeName
    node: NodeName
    stream: str
    direction: Direction


class AuthSubject(Struct, frozen=True):
    """`corral.auth.<verb>`: asks for admission with a token."""

    verb: AuthVerb


Parsed = (
    NodeSubject
    | LogSubject
    | ApiSubject
    | PublishSubject
    | ErrorsSubject
    | FeedSubject
    | StreamSubject
    | PeerSubject
    | AuthSubject
)

API_ALL = "corral.u.*.*.*"
"""All requests of all users: what the leading coordinator subscribes to."""

AUTH_ALL = "corral.auth.*"
"""All requests for admission."""

SUBMISSIONS_ALL = "corral.u.*.publish"

ACCOUNT_CONNECTIONS = "$SYS.REQ.ACCOUNT.PING.CONNZ"
"""Where the server tells an account who is connected to it: its own connections, nobody else's."""

LEADER = "corral.leader"
"""Where the leading coordinator announces its epoch, each second."""

_WORD = re.compile(r"[a-z][a-z_]{0,30}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_VERBS = frozenset(map(str, NodeVerb))
_AUTH = frozenset(map(str, AuthVerb))
_NOUNS = frozenset(map(str, Noun))
_DIRECTIONS = frozenset(map(str, Direction))
_TASK = re.compile(r"([1-9][0-9]{0,17})-(0|[1-9][0-9]{0,9})")


# build


def node(name: str, verb: NodeVerb) -> str:
    """What the node `name` says or is told."""
    return f"corral.node.{_name(name)}.{verb}"


def every_node(verb: NodeVerb) -> str:
    """For the coordinator: `verb` of all nodes."""
    return f"corral.node.*.{verb}"


def log(node_name: str, user: str, task: TaskRef) -> str:
    """Where `node_name` publishes the output of `task` while `user` follows it."""
    return f"corral.node.{_name(node_name)}.log.{_name(user)}.{task_token(task)}"


def logs_of(user: str, task: TaskRef) -> str:
    """The output of `task` for `user`, from whichever node runs it."""
    return f"corral.node.*.log.{_name(user)}.{task_token(task)}"


def api(user: str, operation: str) -> str:
    """A request of `user`: "job.submit" and the other keys of `bus.api.OPERATIONS`."""
    noun, _, verb = operation.partition(".")
    if _WORD.fullmatch(noun) is None or _WORD.fullmatch(verb) is None:
        raise SubjectError(f"not an operation: {operation[:80]!r}")
    return f"corral.u.{_name(user)}.{noun}.{verb}"


def auth(verb: AuthVerb) -> str:
    """Where a stranger asks for admission."""
    return f"corral.auth.{verb}"


def publish(user: str) -> str:
    """Submission without waiting for the coordinator."""
    return f"corral.u.{_name(user)}.publish"


def errors(user: str) -> str:
    """Where `user` learns why a submission was rejected."""
    return f"corral.u.{_name(user)}.errors"


def dead_letter(user: str) -> str:
    """Where a rejected submission of `user` is kept, for operators."""
    return f"corral.dead.{_name(user)}"


def feed_job(user: str, job: int) -> str:
    return f"corral.feed.{_name(user)}.job.{job}"


def feed_task(user: str, task: TaskRef) -> str:
    return f"corral.feed.{_name(user)}.task.{task_token(task)}"


def feed_node(name: str) -> str:
    return f"corral.feed.{EVERYBODY}.node.{_name(name)}"


def feed_of(user: str | None) -> str:
    """The whole feed of `user`, or everybody's."""
    return f"corral.feed.{EVERYBODY if user is None else _name(user)}.>"


def stream(user: str, node_name: str, stream_id: str, *, direction: Direction) -> str:
    """A byte stream between a client of `user` and an agent."""
    if _TOKEN.fullmatch(stream_id) is None:
        raise SubjectError(f"not a stream id: {stream_id[:80]!r}")
    return f"corral.s.{_name(user)}.{_name(node_name)}.{stream_id}.{direction}"


def peer_stream(asker: str, node_name: str, stream_id: str, *, direction: Direction) -> str:
    """A byte stream between two agents: `asker` fetches from `node_name`."""
    if _TOKEN.fullmatch(stream_id) is None:
        raise SubjectError(f"not a stream id: {stream_id[:80]!r}")
    return f"corral.peer.{_name(asker)}.{_name(node_name)}.{stream_id}.{direction}"


def task_token(task: TaskRef) -> str:
    """1042.7 -> "1042-7": one subject token."""
    return f"{task.job}-{task.index}"


def parse_task_token(token: str) -> TaskRef:
    """The inverse of `task_token`. Raises SubjectError."""
    match = _TASK.fullmatch(token)
    if match is None:
        raise SubjectError(f"not a task: {token[:80]!r}")
    return TaskRef(int(match[1]), int(match[2]))


def inbox_prefix(peer: Peer, name: str) -> str:
    """Where `name` receives answers; no other connection may subscribe there."""
    letter = {Peer.USER: "", Peer.NODE: "N_", Peer.COORDINATOR: "C_", Peer.PUBLIC: "P_"}[peer]
    return f"_INBOX_{letter}{_name(name)}"


# parse


def parse(subject: str) -> Parsed:
    """The typed meaning of a concrete subject. Raises SubjectError."""
    match subject.split("."):
        case ["corral", "node", name, "log", user, task]:
            return LogSubject(NodeName(_name(name)), UserName(_name(user)), parse_task_token(task))
        case ["corral", "node", name, verb] if verb in _VERBS:
            return NodeSubject(NodeName(_name(name)), NodeVerb(verb))
        case ["corral", "auth", verb] if verb in _AUTH:
            return AuthSubject(AuthVerb(verb))
        case ["corral", "u", user, "publish"]:
            return PublishSubject(UserName(_name(user)))
        case ["corral", "u", user, "errors"]:
            return ErrorsSubject(UserName(_name(user)))
        case ["corral", "u", user, noun, verb] if _WORD.fullmatch(noun) and _WORD.fullmatch(verb):
            return ApiSubject(UserName(_name(user)), f"{noun}.{verb}")
        case ["corral", "feed", user, noun, ident] if noun in _NOUNS and _TOKEN.fullmatch(ident):
            owner = None if user == EVERYBODY else UserName(_name(user))
            return FeedSubject(owner, Noun(noun), ident)
        case ["corral", "s", user, name, ident, direction] if direction in _DIRECTIONS and _TOKEN.fullmatch(
            ident
        ):
            return StreamSubject(UserName(_name(user)), NodeName(_name(name)), ident, Direction(direction))
        case ["corral", "peer", asker, name, ident, direction] if (
            direction in _DIRECTIONS and _TOKEN.fullmatch(ident)
        ):
            return PeerSubject(NodeName(_name(asker)), NodeName(_name(name)), ident, Direction(direction))
    raise SubjectError(f"not a subject of this protocol: {subject[:80]!r}")


def is_own_inbox(subject: str, reply: str) -> bool:
    """Whether the answer to a request on `subject` would go to its sender's own inbox.

    The server checks what a client publishes, not the reply subject it names (measured: an answer can be
    made to land on an agent's command subject), so whoever answers must ask this first.
    """
    try:
        sender = parse(subject)
    except SubjectError:
        return False
    match sender:
        case ApiSubject() | PublishSubject():
            return reply.startswith(inbox_prefix(Peer.USER, sender.user) + ".")
        case AuthSubject():
            return reply.startswith(inbox_prefix(Peer.PUBLIC, PUBLIC_NAME) + ".")
        case NodeSubject(verb=NodeVerb.COMMAND):
            return is_coordinator_inbox(reply)
        case NodeSubject():
            return reply.startswith(inbox_prefix(Peer.NODE, sender.node) + ".")
        case _:
            return False


def is_coordinator_inbox(reply: str) -> bool:
    """Whether a coordinator asks. An agent obeys no other command: the answers that the server's own
    services give can be steered onto its command subject, but they carry no such reply."""
    return reply.startswith("_INBOX_C_")


def matches(pattern: str, subject: str) -> bool:
    """Whether `pattern` with the wildcards `*` (one token) and a closing `>` (the rest) covers `subject`."""
    wanted, given = pattern.split("."), subject.split(".")
    for position, token in enumerate(wanted):
        if token == ">":
            return len(given) > position
        if position >= len(given) or (token != "*" and token != given[position]):
            return False
    return len(wanted) == len(given)


def _name(text: str) -> str:
    if not is_name(text):
        raise SubjectError(f"not a name of a user or node: {text[:80]!r}")
    return text
