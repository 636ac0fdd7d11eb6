# ruff: noqa: E501 -- one row of the table, one line
"""The tables of docs/protocol.md, drawn from the code."""

from __future__ import annotations

from bus import subjects
from bus.api import OPERATIONS
from bus.limits import BYTES_MAX, DEPTH_MAX, KEYS_MAX
from bus.permissions import (
    Permissions,
    agent_permissions,
    coordinator_permissions,
    public_permissions,
    user_permissions,
)
from bus.server import MAX_PAYLOAD_BYTES
from bus.storage import BUCKETS, OWNED, PRIVATE, SHARED, STREAMS
from bus.subjects import AuthVerb, Direction, NodeVerb
from bus.values import Role, TaskRef

TASK = TaskRef(1042, 7)

SUBJECTS = {
    subjects.node("n1", NodeVerb.REGISTER): ("request", "agent → coordinator", "`Register`: who it is, what it has, what it holds; the reply carries epoch, intervals and lease"),
    subjects.node("n1", NodeVerb.HEARTBEAT): ("request", "agent → coordinator", "`Heartbeat`: the reply renews the leases of what is live"),
    subjects.node("n1", NodeVerb.USAGE): ("publish", "agent → coordinator", "`UsageReport`: samples of the node and of each task; what its agent warned of since"),
    subjects.node("n1", NodeVerb.REPORT): ("request", "agent → coordinator", "`Report`: task events out of the agent's outbox; answered after the commit"),
    subjects.node("n1", NodeVerb.INPUTS): ("request", "agent → coordinator", "`InputsRequest`: the outputs of the tasks that a task needs"),
    subjects.node("n1", NodeVerb.KEPT): ("request", "agent → coordinator", "`Kept`: files that the node has in its store, or could not take; answered after the commit"),
    subjects.node("n1", NodeVerb.SAVED): ("request", "agent → coordinator", "`Saved`: a checkpoint of an attempt, or of one rank of it, that the node has in its store; answered after the commit"),
    subjects.node("n1", NodeVerb.RESUME): ("request", "agent → coordinator", "`ResumeAsked`: from which checkpoint an attempt goes on; all its ranks hear the same"),
    subjects.node("n1", NodeVerb.PROGRESS): ("request", "agent → coordinator", "`Progress`: what running tasks told, each rank of a gang for itself, from the place that was heard before; answered after the commit"),
    subjects.node("n1", NodeVerb.CHILDREN): ("request", "agent → coordinator", "`ChildrenAsked`: what became of the jobs of tasks there that wait for them"),
    subjects.node("n1", NodeVerb.FETCH): ("request", "agent → coordinator", "`Fetch`: content that it was told to copy, or that a task there goes on from; the reply names who sends it"),
    subjects.node("n1", NodeVerb.HELD): ("request", "agent → coordinator", "`Held`: copies that it has made, and what it found when it read its content again; answered after the commit"),
    subjects.node("n1", NodeVerb.COMMAND): ("request", "coordinator → agent", "`Assign`, `Cancel`, `Retract`, `FetchLog`, `Follow`, `OpenStream`, `CopyBlobs`, `DropBlobs`; obeyed only with the highest epoch seen"),
    subjects.log("n1", "alice", TASK): ("publish", "agent → followers", "`LogChunk`: live output, only while `alice` follows"),
    subjects.api("alice", "job.submit"): ("request", "client → coordinator", "the operations below"),
    subjects.auth(AuthVerb.JOIN): ("request", "stranger → coordinator", "`Admission`: a machine with a token of kind node wants a credential for its own key"),
    subjects.auth(AuthVerb.LOGIN): ("request", "stranger → coordinator", "`Admission`: a person with a token of kind user wants the same"),
    subjects.publish("alice"): ("JetStream", "client → coordinator", "a `JobSpec` that waits for a coordinator"),
    subjects.errors("alice"): ("publish", "coordinator → client", "`ErrorReply`: why such a submission was rejected"),
    subjects.feed_job("alice", 1042): ("publish", "coordinator → clients", "`JobChanged`, after every commit that changed it"),
    subjects.feed_task("alice", TASK): ("publish", "coordinator → clients", "`TaskChanged`"),
    subjects.feed_node("n1"): ("publish", "coordinator → everybody", "`NodeChanged`"),
    subjects.stream("alice", "n1", "pty-1", direction=Direction.UP): ("publish", "client → agent", "frames of a byte stream that `stream.open` opened"),
    subjects.stream("alice", "n1", "pty-1", direction=Direction.DOWN): ("publish", "agent → client", "the same, the other way"),
    subjects.peer_stream("n1", "n2", "send-1", direction=Direction.UP): ("publish", "agent → agent", "frames of a stream that the coordinator had `n2` open for `n1`, who asked with `Fetch`"),
    subjects.peer_stream("n1", "n2", "send-1", direction=Direction.DOWN): ("publish", "agent → agent", "the same, the other way: the content"),
    subjects.LEADER: ("publish", "coordinator → coordinators", "`Leads`: who leads, each second; whoever believes to lead with a lower epoch stops"),
    subjects.dead_letter("alice"): ("JetStream", "coordinator → operators", "a rejected submission, as it came"),
}  # fmt: skip


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def rights(who: Permissions) -> list[str]:
    publish = [f"`{subject}`" for subject in who.publish if not subject.startswith("$JS.")]
    storage = [f"`{subject}`" for subject in who.publish if subject.startswith("$JS.")]
    if who.publish_deny:
        publish.append("not " + ", ".join(f"`{subject}`" for subject in who.publish_deny))
    if who.respond:
        publish.append("one answer to each message received")
    reading = f"{len(storage)} subjects for reading KV" if storage else ""
    return [
        ", ".join([*publish, *([reading] if reading else [])]),
        ", ".join(f"`{s}`" for s in who.subscribe),
    ]


def drawn() -> dict[str, str]:
    """Each by the name that stands before it in the document."""
    people = {role: user_permissions("alice", role) for role in Role}
    holders = dict.fromkeys(BUCKETS, "operators and admins")
    holders |= dict.fromkeys(SHARED, "everybody")
    holders |= dict.fromkeys(OWNED, "the user of the key; operators and admins")
    holders |= dict.fromkeys(PRIVATE, "the coordinator")
    return {
        "subjects": table(
            ["subject", "kind", "who → whom", "what"],
            [[f"`{subject}`", *told] for subject, told in SUBJECTS.items()],
        ),
        "operations": table(
            ["operation", "request", "answer", "least role"],
            [
                [f"`{name}`", f"`{one.request.__name__}`", f"`{one.answer.__name__}`", str(one.role)]
                for name, one in OPERATIONS.items()
            ],
        ),
        "limits": table(
            ["limit", "value"],
            [
                ["bytes of a message", f"{BYTES_MAX:,}"],
                ["bytes that the server takes at all", f"{MAX_PAYLOAD_BYTES:,}"],
                ["levels of nesting", str(DEPTH_MAX)],
                ["keys of one object", f"{KEYS_MAX:,}"],
            ],
        ),
        "buckets": table(
            ["bucket", "holds", "a value lives", "who may read"],
            [
                [f"`{name}`", spec.holds, f"{spec.ttl_s} s" if spec.ttl_s else "until deleted", holders[name]]
                for name, spec in BUCKETS.items()
            ],
        ),
        "streams": table(
            ["stream", "subjects", "holds", "at most"],
            [
                [
                    f"`{spec.name}`",
                    ", ".join(f"`{subject}`" for subject in spec.subjects),
                    spec.holds,
                    f"{spec.limit_bytes >> 20} MiB"
                    + (f", {spec.max_age_s // 86_400} days" if spec.max_age_s else ""),
                ]
                for spec in STREAMS
            ],
        ),
        "rights": table(
            ["who", "may publish", "may subscribe"],
            [
                *([str(role), *rights(permissions)] for role, permissions in people.items()),
                ["stranger with a token", *rights(public_permissions())],
                ["agent", *rights(agent_permissions("n1"))],
                ["coordinator", *rights(coordinator_permissions("coordinator"))],
            ],
        ),
    }
