"""One method for each operation of `bus.api.OPERATIONS`: its request sent, its answer decoded.

Every method raises ApiError where the coordinator refuses, and the BusErrors of the connection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar

from msgspec import Struct
from msgspec.structs import asdict

from bus.api import (
    Admitted,
    Cancelled,
    Changed,
    Cluster,
    Events,
    Following,
    Job,
    Jobs,
    Log,
    Node,
    Nodes,
    Outlook,
    Plan,
    Resolved,
    Submitted,
    Task,
    Tasks,
    Token,
    Tokens,
    Verification,
    Whoami,
    Why,
)
from bus.bulk import AuditList, Audits, BulkSteer, BulkSteered, EventResolve, JobPriority, NodeLabel
from bus.codec import from_fields
from bus.content_calls import ContentCalls
from bus.equipment import DeviceQuery, Devices, ToolList, Tools
from bus.grep import Grep, LogGrep
from bus.housekeeping import Collected, Connections
from bus.item_lists import READING_S, points
from bus.network_calls import NetworkCalls
from bus.node_calls import NodeCalls
from bus.past import (
    Changes,
    OutputThen,
    PastChanges,
    PastCluster,
    PastJobs,
    PastNodes,
    PastOutput,
    PastScheduler,
    PastSpike,
    PastTasks,
    PastUsers,
    PastWhy,
    Spike,
)
from bus.people import UserList, Users, UserShare
from bus.registry_calls import RegistryCalls
from bus.requests import (
    Cancel,
    Collect,
    Empty,
    EventList,
    Hold,
    JobList,
    JobQuery,
    KeyQuery,
    LogFollow,
    LogQuery,
    NodeList,
    NodeQuery,
    NodeSteer,
    Pause,
    Requeue,
    Retry,
    TaskList,
    TaskQuery,
    TokenCreate,
    TokenQuery,
    WhatIf,
    WhyQuery,
)
from bus.schedules import Schedule, ScheduleList, ScheduleQuery, Schedules
from bus.scheduling import (
    Exported,
    Scheduler,
    SchedulerExport,
    SchedulerImport,
    SchedulerMode,
    SchedulerTest,
)
from bus.series import Measured, SeriesQuery, States, StatesQuery
from bus.sessions import StreamOpen, StreamOpened
from bus.spec import JobSpec
from bus.timeline import Timeline, TimelineQuery
from bus.upcoming import Upcoming, UpcomingQuery
from bus.values import JobState, Role, Stream, TaskState
from bus.volume_calls import VolumeCalls
from bus.webhook_calls import WebhookCalls

S = TypeVar("S", bound=Struct)

TIMELINE_TIMEOUT_S = 30.0

VERIFY_TIMEOUT_S = 120.0
"""A cluster with much in its books takes a while to compare."""

BULK_TIMEOUT_S = 120.0
"""A coordinator steers for 60 s at most, and says what is left."""

COLLECT_TIMEOUT_S = 120.0
"""A coordinator collects for 60 s at most, and may be at the last job of many tasks then."""


class Calls(VolumeCalls, RegistryCalls, ContentCalls, NodeCalls, NetworkCalls, WebhookCalls):
    """What may be asked of a coordinator; `_call` is the way there."""

    async def submit(self, spec: JobSpec | None = None, **fields: object) -> Submitted:
        """Hand over a job: a JobSpec, or its fields (`command=["echo", "hi"], array="0-9"`).

        Raises DecodeError where the fields are none of a job, ApiError where the coordinator refuses it.
        Where no answer comes, the job may or may not be accepted; a `dedupe_key` makes repeating safe.
        """
        if spec is None:
            spec = from_fields(fields, JobSpec)
        return await self._call("job.submit", spec, Submitted, timeout_s=READING_S if points(spec) else None)

    async def job(self, job: str | int) -> Job:
        return await self._call("job.show", JobQuery(job=str(job)), Job)

    async def jobs(
        self,
        *,
        states: Sequence[JobState] = (),
        user: str | None = None,
        filter: str = "",
        sort: str = "",
        limit: int = 100,
        cursor: str = "",
        at: float | None = None,
        known: str = "",
    ) -> Jobs:
        """Newest first; see JobList. `at`: as they were at that moment."""
        asked = JobList(
            states=list(states), user=user, filter=filter, sort=sort, limit=limit, cursor=cursor, known=known
        )
        if at is not None:
            return await self._call("past.jobs", PastJobs(at=at, **asdict(asked)), Jobs)
        return await self._call("job.list", asked, Jobs)

    async def cancel(self, target: str | int) -> Cancelled:
        """A job ("1042") or a task ("1042.7")."""
        return await self._call("job.cancel", Cancel(target=str(target)), Cancelled)

    async def retry(self, target: str | int) -> Changed:
        """Queue again what failed or ran out of time: of a job ("1042"), or one task ("1042.7")."""
        return await self._call("job.retry", Retry(target=str(target)), Changed)

    async def hold(self, job: str | int) -> Changed:
        """Keep the job's waiting tasks from being placed."""
        return await self._call("job.hold", Hold(job=str(job)), Changed)

    async def release(self, job: str | int) -> Changed:
        """The opposite of `hold`."""
        return await self._call("job.release", Hold(job=str(job)), Changed)

    async def pause(self, job: str | int) -> Changed:
        """Let what runs of the job stand still, and place nothing more of it."""
        return await self._call("job.pause", Pause(job=str(job)), Changed)

    async def resume(self, job: str | int) -> Changed:
        """The opposite of `pause`."""
        return await self._call("job.resume", Pause(job=str(job)), Changed)

    async def requeue(self, target: str | int) -> Changed:
        """End what runs of a job ("1042") or a task ("1042.7") and queue it again, charged to nobody."""
        return await self._call("job.requeue", Requeue(target=str(target)), Changed)

    async def prioritize(self, job: str | int, priority: int) -> Changed:
        """Move what waits of the job in the line: 1 to 10, higher first."""
        return await self._call("job.priority", JobPriority(job=str(job), priority=priority), Changed)

    async def steer_all(self, asked: BulkSteer) -> BulkSteered:
        """Steer all that a filter lets through, or only say what that would do; see BulkSteer."""
        return await self._call("bulk.steer", asked, BulkSteered, timeout_s=BULK_TIMEOUT_S)

    async def plan(self, spec: JobSpec) -> Plan:
        """What the job would become if it were submitted now; nothing is kept."""
        return await self._call("job.plan", spec, Plan, timeout_s=READING_S if points(spec) else None)

    async def what_if(self, change: WhatIf) -> Outlook:
        """What would become of what waits; nothing is changed."""
        return await self._call("job.whatif", change, Outlook)

    async def why(self, target: str | int, *, at: float | None = None) -> Why:
        """Why a task is where it is, or is not placed yet; see WhyQuery. `at`: as it was at that moment."""
        if at is not None:
            return await self._call("past.why", PastWhy(target=str(target), at=at), Why)
        return await self._call("task.why", WhyQuery(target=str(target)), Why)

    async def task(self, task: str | int) -> Task:
        return await self._call("task.show", TaskQuery(task=str(task)), Task)

    async def tasks(
        self,
        job: str | int = "",
        *,
        states: Sequence[TaskState] = (),
        filter: str = "",
        sort: str = "",
        limit: int = 100,
        cursor: str = "",
        at: float | None = None,
        known: str = "",
    ) -> Tasks:
        """Of one job, by index; or of all jobs. See TaskList."""
        asked = TaskList(
            job=str(job),
            states=list(states),
            filter=filter,
            sort=sort,
            limit=limit,
            cursor=cursor,
            known=known,
        )
        if at is not None:
            return await self._call("past.tasks", PastTasks(at=at, **asdict(asked)), Tasks)
        return await self._call("task.list", asked, Tasks)

    async def logs(
        self,
        task: str | int,
        *,
        stream: Stream = Stream.STDOUT,
        attempt: int = 0,
        offset: int = 0,
        limit: int = 262_144,
    ) -> Log:
        """One piece of a task's output."""
        asked = LogQuery(task=str(task), stream=stream, attempt=attempt, offset=offset, limit=limit)
        return await self._call("task.logs", asked, Log)

    async def output_then(
        self, task: str | int, at: float, *, stream: Stream = Stream.STDOUT, attempt: int = 0
    ) -> OutputThen:
        """How far a task's output had come at a moment; `logs` has its bytes."""
        asked = PastOutput(task=str(task), at=at, stream=stream, attempt=attempt)
        return await self._call("past.output", asked, OutputThen)

    async def grep(self, query: LogGrep) -> Grep:
        """Lines of a task's output that match; see LogGrep."""
        return await self._call("task.grep", query, Grep)

    async def following(self, task: str | int) -> Following:
        """Have the task's node publish its output for us for a while; see `follow`."""
        return await self._call("task.follow", LogFollow(task=str(task)), Following)

    async def nodes(
        self,
        *,
        filter: str = "",
        sort: str = "",
        limit: int = 10_000,
        cursor: str = "",
        at: float | None = None,
        known: str = "",
    ) -> Nodes:
        """By name; see NodeList."""
        asked = NodeList(filter=filter, sort=sort, limit=limit, cursor=cursor, known=known)
        if at is not None:
            return await self._call("past.nodes", PastNodes(at=at, **asdict(asked)), Nodes)
        return await self._call("node.list", asked, Nodes)

    async def node(self, node: str) -> Node:
        return await self._call("node.show", NodeQuery(node=node), Node)

    async def devices(self, query: DeviceQuery | None = None) -> Devices:
        """Disks and network interfaces, by node."""
        return await self._call("node.devices", query or DeviceQuery(), Devices)

    async def tools(self, *, known: str = "") -> Tools:
        """What tasks can have: tools, container runtimes, isolation, models of GPUs."""
        return await self._call("node.tools", ToolList(known=known), Tools)

    async def timeline(self, query: TimelineQuery) -> Timeline:
        """What ran where and when, and what else kept nodes from work."""
        return await self._call("timeline.attempts", query, Timeline, timeout_s=TIMELINE_TIMEOUT_S)

    async def cordon(self, node: str, *, reason: str = "") -> Node:
        """The node takes no new work; what it has stays."""
        return await self._call("node.cordon", NodeSteer(node=node, reason=reason), Node)

    async def drain(self, node: str, *, reason: str = "", deadline_s: float | None = None) -> Node:
        """The node takes no new work, gives back what waits there, and lets what runs end: for as long as
        it takes, or for `deadline_s`, after which the rest is queued again elsewhere."""
        asked = NodeSteer(node=node, reason=reason, deadline_s=deadline_s)
        return await self._call("node.drain", asked, Node)

    async def maintenance(self, node: str, *, reason: str = "", deadline_s: float | None = None) -> Node:
        """Drain the node, and take it into maintenance once nothing runs on it any more."""
        asked = NodeSteer(node=node, reason=reason, deadline_s=deadline_s)
        return await self._call("node.maintenance", asked, Node)

    async def undrain(self, node: str, *, reason: str = "") -> Node:
        """The node takes work again, whether it was cordoned or drained."""
        return await self._call("node.undrain", NodeSteer(node=node, reason=reason), Node)

    async def label(self, node: str, labels: Mapping[str, str | None]) -> Node:
        """Set labels of a node; None takes one away."""
        return await self._call("node.label", NodeLabel(node=node, labels=dict(labels)), Node)

    async def events(self, query: EventList | None = None) -> Events:
        """What happened, newest first."""
        return await self._call("event.list", query or EventList(), Events)

    async def changes(self, since: float, until: float | None = None, *, before: int = 0) -> Changes:
        """What became different between two moments, the second of which is now unless given.

        Of very many jobs it is a page; `before` is the `next` of the page before.
        """
        asked = PastChanges(since=since, until=until, before=before)
        return await self._call("past.changes", asked, Changes)

    async def spike(self, since: float, until: float) -> Spike:
        """What stands out between two moments against the time before."""
        return await self._call("past.spike", PastSpike(since=since, until=until), Spike)

    async def resolve(self, event: str, *, note: str = "") -> Resolved:
        """Say that an event is dealt with; it keeps who said so first."""
        return await self._call("event.resolve", EventResolve(event=event, note=note), Resolved)

    async def audits(self, query: AuditList | None = None) -> Audits:
        """Who did what, newest first; who is no operator sees what they did themselves."""
        return await self._call("audit.list", query or AuditList(), Audits)

    async def series(self, query: SeriesQuery) -> Measured:
        """Gauges over time; see SeriesQuery."""
        return await self._call("series.query", query, Measured)

    async def states(self, window_s: float = 86_400.0) -> States:
        """What became of the jobs that were submitted in the last `window_s`."""
        return await self._call("series.states", StatesQuery(window_s=window_s), States)

    async def scheduler(self, *, at: float | None = None) -> Scheduler:
        """What orders the tasks, why, and what was learned. `at`: as it was at that moment."""
        if at is not None:
            return await self._call("past.scheduler", PastScheduler(at=at), Scheduler)
        return await self._call("scheduler.status", Empty(), Scheduler)

    async def upcoming(self, limit: int = 50) -> Upcoming:
        """What would start next of all that waits; see UpcomingQuery."""
        return await self._call("scheduler.plan", UpcomingQuery(limit=limit), Upcoming)

    async def scheduler_mode(self, mode: Literal["off", "shadow", "on"]) -> Scheduler:
        return await self._call("scheduler.mode", SchedulerMode(mode=mode), Scheduler)

    async def train(self, test: SchedulerTest) -> Scheduler:
        """Replay orders, and let act what passes; `scheduler` tells how far that is."""
        return await self._call("scheduler.train", test, Scheduler)

    async def replay(self, test: SchedulerTest) -> Scheduler:
        """Replay orders, and change nothing."""
        return await self._call("scheduler.replay", test, Scheduler)

    async def export_learned(self, snapshot: int = 0) -> Exported:
        return await self._call("scheduler.export", SchedulerExport(snapshot=snapshot), Exported)

    async def import_learned(self, document: bytes) -> Scheduler:
        return await self._call("scheduler.import", SchedulerImport(document=document), Scheduler)

    async def whoami(self) -> Whoami:
        return await self._call("user.whoami", Empty(), Whoami)

    async def users(self, *, known: str = "", at: float | None = None) -> Users:
        """Everybody the asker may see, and what each has used of the cluster. `at`: up to that moment."""
        if at is not None:
            return await self._call("past.users", PastUsers(at=at), Users)
        return await self._call("user.list", UserList(known=known), Users)

    async def share(self, name: str, shares: int) -> Changed:
        """Give `name` so many shares of the cluster, as against those of the others."""
        return await self._call("user.share", UserShare(name=name, shares=shares), Changed)

    async def renew(self, key: str) -> Admitted:
        """A fresh JWT for one of our own keys, before the old one expires."""
        return await self._call("user.renew", KeyQuery(key=key), Admitted)

    async def logout(self, key: str) -> Token:
        """Have one of our own keys refused from now on; the answer may be lost with the connection."""
        return await self._call("user.logout", KeyQuery(key=key), Token)

    async def schedules(self, *, user: str = "") -> Schedules:
        """Jobs that repeat; see ScheduleList."""
        return await self._call("schedule.list", ScheduleList(user=user), Schedules)

    async def pause_schedule(self, name: str, *, user: str = "") -> Schedule:
        return await self._call("schedule.pause", ScheduleQuery(name=name, user=user), Schedule)

    async def resume_schedule(self, name: str, *, user: str = "") -> Schedule:
        return await self._call("schedule.resume", ScheduleQuery(name=name, user=user), Schedule)

    async def remove_schedule(self, name: str, *, user: str = "") -> Schedule:
        """Its jobs stay."""
        return await self._call("schedule.remove", ScheduleQuery(name=name, user=user), Schedule)

    async def create_token(
        self,
        kind: Literal["node", "user"],
        *,
        name: str | None = None,
        role: Role = Role.USER,
        ttl_s: float = 3600.0,
    ) -> Token:
        """A single-use token for `corral join` or `corral login`; see TokenCreate."""
        asked = TokenCreate(kind=kind, name=name, role=role, ttl_s=ttl_s)
        return await self._call("token.create", asked, Token)

    async def tokens(self) -> Tokens:
        return await self._call("token.list", Empty(), Tokens)

    async def revoke_token(self, token: str) -> Token:
        """By its public id."""
        return await self._call("token.revoke", TokenQuery(token=token), Token)

    async def cluster(self, *, at: float | None = None) -> Cluster:
        if at is not None:
            return await self._call("past.cluster", PastCluster(at=at), Cluster)
        return await self._call("cluster.status", Empty(), Cluster)

    async def verify(self) -> Verification:
        """Compare the database, the coordinator's memory and what runs on the nodes."""
        return await self._call("cluster.verify", Empty(), Verification, timeout_s=VERIFY_TIMEOUT_S)

    async def collect(self, *, older_than_s: float | None = None, dry_run: bool = False) -> Collected:
        """Move jobs that are over into the archive; see Collect."""
        asked = Collect(older_than_s=older_than_s, dry_run=dry_run)
        return await self._call("cluster.gc", asked, Collected, timeout_s=COLLECT_TIMEOUT_S)

    async def connections(self) -> Connections:
        """Who is connected to the bus."""
        return await self._call("cluster.connections", Empty(), Connections)

    async def open_stream(
        self, kind: str, *, task: str = "", node: str = "", params: Mapping[str, object] | None = None
    ) -> StreamOpened:
        """A byte stream to the node of a task, or to a node; join it with `bus.streams.joined`."""
        asked = StreamOpen(kind=kind, task=task, node=node, params=dict(params or {}))
        return await self._call("stream.open", asked, StreamOpened)

    async def _call(
        self, operation: str, request: Struct, kind: type[S], *, timeout_s: float | None = None
    ) -> S:
        """Send `request` and decode its answer as `kind`, within `timeout_s` or the client's own time."""
        raise NotImplementedError
