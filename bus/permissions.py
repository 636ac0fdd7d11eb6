"""Who may publish and subscribe where: the templates behind every credential.

Pure data; `bus.auth` writes them into the JWTs, `bus.memory` checks them in-process, and
the tests try each hole on a real server. Rules that are not obvious from the subjects:

- No user may create a JetStream consumer: a push consumer's deliver subject would let them publish
  anywhere. Reading a key is a direct get, which answers into the reader's inbox.
- Users do not get STREAM.INFO of buckets keyed by user: it lists the keys of everybody.
- Operators and admins watch KV, which takes a consumer; they may create one on the buckets, nowhere else.
"""

from __future__ import annotations

from msgspec import Struct

from bus.api import OPERATIONS
from bus.storage import BUCKETS, OWNED, PRIVATE, SHARED, key_subject, stream_of
from bus.subjects import PUBLIC_NAME, AuthVerb, Peer, api, auth, errors, feed_of, inbox_prefix, matches
from bus.values import Role


class Permissions(Struct, frozen=True, kw_only=True):
    """What one connection may do. `respond`: also publish once to the reply subject of a message it got."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    publish_deny: tuple[str, ...] = ()
    respond: bool = False

    def may_publish(self, subject: str) -> bool:
        return any(matches(pattern, subject) for pattern in self.publish) and not any(
            matches(pattern, subject) for pattern in self.publish_deny
        )

    def may_subscribe(self, pattern: str) -> bool:
        """Whether everything that `pattern` covers lies within one allowed subject."""
        return any(_covers(allowed, pattern) for allowed in self.subscribe)


def user_permissions(name: str, role: Role) -> Permissions:
    """For a person or their program."""
    own = inbox_prefix(Peer.USER, name)
    requests = (
        _questions(name) if role is Role.READONLY else (f"corral.u.{name}.>", f"corral.s.{name}.*.*.up")
    )
    subscribe = [f"{own}.>", feed_of(None), errors(name), f"corral.node.*.log.{name}.*"]
    if role is not Role.READONLY:
        subscribe.append(f"corral.s.{name}.*.*.down")
    if role.rank >= Role.OPERATOR.rank:
        subscribe.append("corral.feed.>")
        buckets = _read_everything()
    else:
        subscribe.append(feed_of(name))
        buckets = _read_allowed(name)
    return Permissions(
        publish=(*requests, *_ping(), *buckets),
        # rejects come from the coordinator alone
        publish_deny=(errors(name),),
        subscribe=tuple(subscribe),
    )


def agent_permissions(node: str) -> Permissions:
    """For one node agent. With another it speaks only where one of them has the stream that it asked for."""
    return Permissions(
        publish=(
            f"corral.node.{node}.>",
            f"corral.s.*.{node}.*.down",
            f"corral.peer.*.{node}.*.down",
            f"corral.peer.{node}.*.*.up",
        ),
        subscribe=(
            f"{inbox_prefix(Peer.NODE, node)}.>",
            f"corral.node.{node}.>",
            f"corral.s.*.{node}.*.up",
            f"corral.peer.*.{node}.*.up",
            f"corral.peer.{node}.*.*.down",
        ),
        respond=True,
    )


def coordinator_permissions(name: str) -> Permissions:
    """For a coordinator: it answers into everybody's inbox, but listens to nobody else's."""
    return Permissions(
        publish=(">",),
        # of the server's own subjects but ACCOUNT_CONNECTIONS, which a denial of all would deny as well
        publish_deny=(
            "$SYS.ACCOUNT.>",
            "$SYS.DEBUG.>",
            "$SYS.SERVER.>",
            "$SYS.REQ.CLAIMS.>",
            "$SYS.REQ.SERVER.>",
            "$SYS.REQ.USER.>",
            "$SYS.REQ.ACCOUNT.PING.STATZ",
            "$SYS.REQ.ACCOUNT.*.*.>",
        ),
        subscribe=(f"{inbox_prefix(Peer.COORDINATOR, name)}.>", "corral.>", "$SRV.>", "$KV.>"),
    )


def public_permissions() -> Permissions:
    """For whoever was given a token: it asks for admission, and hears the answer.

    All bearers share one inbox. No secret goes there: an answer holds a JWT, worth nothing without the key
    that it was made for.
    """
    return Permissions(
        publish=tuple(auth(verb) for verb in AuthVerb),
        subscribe=(f"{inbox_prefix(Peer.PUBLIC, PUBLIC_NAME)}.>",),
    )


def _questions(name: str) -> tuple[str, ...]:
    """What only looks; one subject for a noun of which everything may be asked: a JWT is to stay short."""
    roles: dict[str, set[Role]] = {}
    for operation, what in OPERATIONS.items():
        roles.setdefault(operation.partition(".")[0], set()).add(what.role)
    open_nouns = {noun for noun, asked in roles.items() if asked == {Role.READONLY}}
    found = [
        f"corral.u.{name}.{noun}.*"
        if (noun := operation.partition(".")[0]) in open_nouns
        else api(name, operation)
        for operation, what in OPERATIONS.items()
        if what.role is Role.READONLY
    ]
    return tuple(dict.fromkeys(found))


def _ping() -> tuple[str, ...]:
    return ("$SRV.PING", "$SRV.PING.>", "$SRV.INFO", "$SRV.INFO.>", "$SRV.STATS", "$SRV.STATS.>")


def _read_allowed(user: str) -> tuple[str, ...]:
    shared = [
        subject
        for bucket in SHARED
        for subject in (
            f"$JS.API.STREAM.INFO.{stream_of(bucket)}",
            f"$JS.API.DIRECT.GET.{stream_of(bucket)}.{key_subject(bucket, '>')}",
        )
    ]
    owned = [f"$JS.API.DIRECT.GET.{stream_of(bucket)}.{key_subject(bucket, f'{user}.>')}" for bucket in OWNED]
    return (*shared, *owned)


def _read_everything() -> tuple[str, ...]:
    return tuple(
        subject
        for bucket in BUCKETS
        if bucket not in PRIVATE
        for subject in (
            f"$JS.API.STREAM.INFO.{stream_of(bucket)}",
            f"$JS.API.DIRECT.GET.{stream_of(bucket)}.{key_subject(bucket, '>')}",
            f"$JS.API.CONSUMER.CREATE.{stream_of(bucket)}.>",
            f"$JS.API.CONSUMER.DELETE.{stream_of(bucket)}.>",
            f"$JS.FC.{stream_of(bucket)}.>",
        )
    )


def _covers(allowed: str, pattern: str) -> bool:
    have, want = allowed.split("."), pattern.split(".")
    for position, token in enumerate(have):
        if token == ">":
            return len(want) > position
        if position >= len(want) or want[position] == ">":
            return False
        if token != "*" and token != want[position]:
            return False
    return len(have) == len(want)
