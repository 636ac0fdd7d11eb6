"""Stories: a text of events, and below each what the core made of it.

A line that begins in the first column is an event (or a `#` comment); the indented lines below it are what
followed, in the order in which it happens:

    + a row of the transaction        ! a line of the cluster's history
    > what was told after its commit

`verbs` of `Story` are the language. Times are seconds since the story began.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any, assert_never

from bus.spec import TaskSpec
from bus.units import counted
from bus.values import (
    AttemptRef,
    NodeAdmin,
    NodeName,
    OnDisconnect,
    Outcome,
    Resources,
    Returned,
    Role,
    Started,
    TaskRef,
)
from coordinator.core import why
from coordinator.core.effects import (
    AnswerBeat,
    AnswerCancel,
    AnswerChanged,
    AnswerNode,
    AnswerRegister,
    AnswerReport,
    AnswerSubmit,
    AttemptChange,
    EventRecord,
    JobChange,
    Placement,
    Refuse,
    SendAssign,
    SendCancel,
    SendPause,
    SendRetract,
    TaskChange,
    Tell,
)
from coordinator.core.events import AgentBeat, CommandUnanswered, SelfChecked, Tick
from coordinator.core.ids import is_range_id
from coordinator.core.model import Cluster
from coordinator.store.rows import Batch
from tests.unit.coordinator.conftest import World
from tests.unit.coordinator.essence import essence
from tests.unit.coordinator.mirror import Mirror

STEP_S = 0.5
SHOWN_MAX = 6
NEVER_RAN = {Outcome.NOT_FOUND: 127, Outcome.NOT_EXECUTABLE: 126, Outcome.NOT_STARTED: None}


class RecordingMirror(Mirror):
    """Keeps the batches of the event that is being told."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[Batch] = []

    def write(self, batch: Batch) -> None:
        super().write(batch)
        self.batches.append(batch)


class Story:
    """Plays a story; every verb yields the lines that follow its event."""

    def __init__(self) -> None:
        self.world = World()
        self.mirror = self.world.mirror = RecordingMirror()
        self.began_s = self.world.now_s
        self.placements: dict[AttemptRef, tuple[str, Placement]] = {}
        self.silent: set[str] = set()
        self.agents: dict[str, str] = {}
        self.boots: dict[str, str] = {}

    def play(self, text: str) -> str:
        """The story as it really went."""
        out: list[str] = []
        for line in text.splitlines():
            if line.startswith((" ", "\t")):
                continue
            out.append(line)
            if line and not line.startswith("#"):
                verb, *words = shlex.split(line)
                plain = [word for word in words if "=" not in word]
                named = dict(word.split("=", 1) for word in words if "=" in word)
                out += (f"    {told}" for told in getattr(self, f"do_{verb}")(*plain, **named))
        return "\n".join(out) + "\n"

    def lines(self, tells: list[Tell]) -> Iterator[str]:
        """What the last batch did: rows, history, then tells."""
        for batch in self.mirror.batches:
            yield from self.rows(batch)
        self.mirror.batches.clear()
        for effect in self.world.effects:
            if isinstance(effect, EventRecord):
                yield f"! {effect.message}"
        for tell in tells:
            if isinstance(tell, SendAssign):
                self.placements.update((p.attempt, (tell.node, p)) for p in tell.placements)
            yield f"> {tell_line(tell)}"

    # the language

    def do_register(
        self, name: str, *, cpu: str = "2", boot: str = "boot", agent: str = "first"
    ) -> Iterator[str]:
        """A node of `cpu` cores introduces itself; another `agent`: another process.

        After another `boot` nothing of what it held is left.
        """
        self.silent.discard(name)
        if self.boots.setdefault(name, boot) != boot:
            self.world.held.pop(name, None)
        capacity = Resources(int(cpu) * 1000, 4096)
        tells = self.world.register(name, capacity=capacity, boot_id=boot, incarnation=agent)
        self.boots[name], self.agents[name] = boot, agent
        yield from self.lines(tells)

    def do_submit(
        self, *flags: str, by: str = "alice", tasks: str = "", dedupe: str | None = None, **fields: str
    ) -> Iterator[str]:
        """`tasks=a,b<a` are tasks by name and what they need; `after=1,2:any`; the rest are fields."""
        numbers = {name: int(value) for name, value in fields.items() if value.isdecimal()}
        spec: dict[str, Any] = {**fields, **numbers, **dict.fromkeys(flags, True)}
        if dedupe is not None:
            spec["dedupe_key"] = dedupe
        if "on_disconnect" in spec:
            spec["on_disconnect"] = OnDisconnect(spec["on_disconnect"])
        if "after" in spec:
            spec["after"] = fields["after"].split(",")
        command = spec.pop("command", "true")
        if tasks:
            spec["tasks"] = [task_spec(part) for part in tasks.split(",")]
        else:
            spec["command"] = [command]
        self.world.submit(owner=by, **spec)
        yield from self.lines(self.world.tells)

    def do_schedule(self) -> Iterator[str]:
        yield from self.lines(self.world.happen(schedule=True))

    def do_start(self, attempt: str) -> Iterator[str]:
        node, placement = self.find(attempt)
        started = Started(attempt=placement.attempt, started_at=self.world.now_s, pid=1)
        yield from self.lines(self.world.report(node, started))

    def do_end(self, attempt: str, *, exit: str = "0", outcome: str = "exited") -> Iterator[str]:
        node, placement = self.find(attempt)
        how = Outcome(outcome)
        never_ran = {"started_at": None} if how in NEVER_RAN else {}
        code = int(exit) if how is Outcome.EXITED else NEVER_RAN.get(how)
        yield from self.lines(self.world.end(placement, node, exit_code=code, outcome=how, **never_ran))

    def do_return(self, attempt: str) -> Iterator[str]:
        """The node hands an attempt back that it has not started."""
        node, placement = self.find(attempt)
        self.world.report(node, Returned(attempt=placement.attempt))
        yield from self.lines(self.world.tells)

    def do_confirm(self, node: str) -> Iterator[str]:
        """The node has everything on disk that it was assigned."""
        self.world.confirm(node)
        yield from self.lines(self.world.tells)

    def do_unanswered(self, node: str) -> Iterator[str]:
        """The last assignments to the node got no answer."""
        refs = tuple(self.world.held.get(node, {}))
        yield from self.lines(self.world.happen(CommandUnanswered(node=NodeName(node), attempts=refs)))

    def do_cancel(self, target: str, *, by: str = "alice", role: str = "user") -> Iterator[str]:
        job, _, index = target.partition(".")
        self.world.cancel(int(job), int(index) if index else None, by=by, role=Role(role))
        yield from self.lines(self.world.tells)

    def do_hold(self, job: str, *, by: str = "alice", role: str = "user") -> Iterator[str]:
        self.world.hold(int(job), by=by, role=Role(role))
        yield from self.lines(self.world.tells)

    def do_release(self, job: str, *, by: str = "alice", role: str = "user") -> Iterator[str]:
        self.world.hold(int(job), held=False, by=by, role=Role(role))
        yield from self.lines(self.world.tells)

    def do_retry(self, target: str, *, by: str = "alice", role: str = "user") -> Iterator[str]:
        job, _, index = target.partition(".")
        self.world.retry(int(job), int(index) if index else None, by=by, role=Role(role))
        yield from self.lines(self.world.tells)

    def do_cordon(self, node: str, *, by: str = "olga", reason: str = "") -> Iterator[str]:
        yield from self.lines(self.world.steer(node, NodeAdmin.INACTIVE, by=by, reason=reason))

    def do_pause(self, job: str, *, by: str = "alice", role: str = "user") -> Iterator[str]:
        self.world.pause(int(job), by=by, role=Role(role))
        yield from self.lines(self.world.tells)

    def do_resume(self, job: str, *, by: str = "alice", role: str = "user") -> Iterator[str]:
        self.world.pause(int(job), paused=False, by=by, role=Role(role))
        yield from self.lines(self.world.tells)

    def do_deaf(self) -> Iterator[str]:
        """From now on no node hears that it is to pause or to resume anything."""
        self.world.obedient = False
        yield from ()

    def do_hearing(self) -> Iterator[str]:
        """The opposite of `deaf`."""
        self.world.obedient = True
        yield from ()

    def do_requeue(self, target: str, *, by: str = "alice", role: str = "user") -> Iterator[str]:
        job, _, index = target.partition(".")
        self.world.requeue(int(job), int(index) if index else None, by=by, role=Role(role))
        yield from self.lines(self.world.tells)

    def do_drain(self, node: str, *, by: str = "olga", reason: str = "", deadline: str = "") -> Iterator[str]:
        """`deadline=` in seconds from now."""
        yield from self.steered(node, NodeAdmin.DRAINING, by=by, reason=reason, deadline=deadline)

    def do_maintenance(
        self, node: str, *, by: str = "olga", reason: str = "", deadline: str = ""
    ) -> Iterator[str]:
        yield from self.steered(node, NodeAdmin.MAINTENANCE, by=by, reason=reason, deadline=deadline)

    def steered(self, node: str, admin: NodeAdmin, *, by: str, reason: str, deadline: str) -> Iterator[str]:
        deadline_s = float(deadline) if deadline else None
        yield from self.lines(self.world.steer(node, admin, by=by, reason=reason, deadline_s=deadline_s))

    def do_undrain(self, node: str, *, by: str = "olga") -> Iterator[str]:
        yield from self.lines(self.world.steer(node, NodeAdmin.ACTIVE, by=by))

    def do_why(self, task: str) -> Iterator[str]:
        """What keeps a task from starting, and what would remove it."""
        number, index = map(int, task.split("."))
        cluster = self.world.cluster
        group = cluster.jobs[number].group_of(index)
        assert group is not None
        before, _ = why.ahead(cluster, group, index)
        found = why.blockers(cluster, group, index, now_s=self.world.now_s) + why.line_blocker(before)
        for blocker in found:
            yield f"? {blocker.code}: {blocker.message} → {blocker.remedy}"
        if not found:
            yield "? about to be placed"

    def do_checks(self, *wanting: str) -> Iterator[str]:
        """The coordinator looked at itself: bus, database and clock are well, except those named."""
        sound = {name: name not in wanting for name in ("bus", "database", "clock")}
        yield from self.lines(self.world.happen(SelfChecked(**sound)))

    def do_reconcile(self) -> Iterator[str]:
        yield from self.lines(self.world.reconcile())

    def do_beat(self, node: str, *, holds: str = "") -> Iterator[str]:
        """One heartbeat; `holds=` names other attempts than those that the node was given."""
        live = [attempt_ref(text) for text in holds.split(",")] if holds else None
        self.silent.discard(node)
        answer = self.world.beat(node, live=live, incarnation=self.agents.get(node, "first"))
        yield from self.lines([tell for tell in self.world.tells if tell is not answer])
        yield f"> {tell_line(answer)}"

    def do_silence(self, node: str, seconds: str) -> Iterator[str]:
        """Time passes, and nothing is heard of `node`, from now on."""
        self.silent.add(node)
        yield from self.do_wait(seconds)

    def do_wait(self, seconds: str) -> Iterator[str]:
        """Time passes, and the nodes that are not silent beat."""
        for _ in range(round(float(seconds) / STEP_S)):
            self.world.now_s += STEP_S
            at = f"{self.world.now_s - self.began_s:g} s"
            for name in self.world.cluster.nodes:
                if name not in self.silent:
                    held = tuple(self.world.held.get(name, {}))
                    beat = AgentBeat(
                        node=name,
                        incarnation=self.agents[name],
                        sequence=1,
                        load=0.0,
                        live=held,
                        paused=tuple(self.world.paused & set(held)),
                    )
                    yield from (f"{line} ({at})" for line in self.lines(self.world.happen(beat)))
            yield from (f"{line} ({at})" for line in self.lines(self.world.happen(Tick())))

    def do_pace(self, node: str, rounds: str) -> Iterator[str]:
        """Two tasks end every 10 ms and the next are placed: a busy node, told in one line."""
        ended = 0
        for _ in range(int(rounds)):
            for placement in list(self.world.held.get(node, {}).values())[:2]:
                self.world.end(placement, node)
                ended += 1
            for tell in self.world.happen(schedule=True):
                list(self.lines([tell]))
            self.world.now_s += 0.01
        self.mirror.batches.clear()
        yield f"{ended} tasks ended"

    def do_restart(self) -> Iterator[str]:
        """Another leader rebuilds its memory from the database."""
        before = essence(self.world.cluster)
        self.world.cluster = self.world.rebuilt()
        assert essence(self.world.cluster) == before
        yield "memory is the same"

    def do_show(self) -> Iterator[str]:
        yield from state_lines(self.world.cluster)

    # finding and telling

    def find(self, text: str) -> tuple[str, Placement]:
        """The placement of "1.0" (its newest) or "1.0#2"."""
        if "#" in text:
            return self.placements[attempt_ref(text)]
        job, index = map(int, text.split("."))
        task = TaskRef(job, index)
        return self.placements[max(ref for ref in self.placements if ref.task == task)]

    def rows(self, batch: Batch) -> Iterator[str]:
        for node in batch.nodes:
            words = ["joined" if node.registered else str(node.health)]
            words += [str(node.admin)] if node.admin is not NodeAdmin.ACTIVE else []
            words += [f"{node.admin_reason} ({node.admin_by})"] if node.admin_by else []
            if node.admin_deadline is not None:
                words.append(f"until {node.admin_deadline - self.began_s:g} s")
            words += [f"then {node.admin_goal}"] if node.admin_goal else []
            yield f"+ node {node.name}: {', '.join(words)}"
        for job in batch.new_jobs:
            yield f"+ job {job.number} of {job.owner}: {job.tasks} tasks"
        for _, change in batch.new_tasks:
            yield f"+ {self.task_line(change)}"
        for change in batch.task_changes:
            yield f"+ {self.task_line(change)}"
        for attempt in batch.attempts:
            yield f"+ {attempt_line(attempt)}"
        for ledger in batch.ledgers:
            yield f"+ ledger of {ledger.name}: {ledger.allocated.cpu_millis / 1000:g} cpu"
        for counts in batch.job_changes:
            yield f"+ {job_line(counts)}"
        for audit in batch.audits:
            yield f"+ audit: {audit.actor} {audit.action} {audit.object}"

    def task_line(self, change: TaskChange) -> str:
        path = " → ".join(change.path)
        if is_range_id(change.id):
            new, _ = self.mirror.tasks[change.id]
            last = new.task.index + new.count - 1
            return f"tasks {change.task}–{last}: {path}, {change.remaining} untouched"
        words = [f"task {change.task}: {path}"]
        if change.retries:
            words.append(f"retry {change.retries}")
        if change.message:
            words.append(change.message)
        return ", ".join(words)


def task_spec(text: str) -> TaskSpec:
    """`c<a+b`: task c needs a and b."""
    name, _, needs = text.partition("<")
    return TaskSpec(name=name, command=["true"], needs=needs.split("+") if needs else [])


def attempt_ref(text: str) -> AttemptRef:
    task, _, fence = text.partition("#")
    job, index = map(int, task.split("."))
    return AttemptRef(job, index, int(fence))


def refs_text(refs: tuple[AttemptRef, ...]) -> str:
    shown = " ".join(map(str, refs[:SHOWN_MAX]))
    return f"{shown} … ({len(refs)})" if len(refs) > SHOWN_MAX else shown or "nothing"


def attempt_line(attempt: AttemptChange) -> str:
    words = [f"attempt {attempt.attempt} on {attempt.node}: {attempt.state}"]
    if attempt.waiting:
        words.append("waiting there")
    if attempt.cancelling:
        words.append("cancelling")
    if attempt.yielding:
        words.append(f"yielding, {attempt.message}")
    return ", ".join(words)


def job_line(job: JobChange) -> str:
    names = ("pending", "queued", "assigned", "running", "completed", "failed", "cancelled")
    counts = ", ".join(f"{getattr(job, name)} {name}" for name in names if getattr(job, name))
    tail = "" if job.exit_code is None else f", exit code {job.exit_code}"
    tail += f", held by {job.held_by}" if job.held_by else ""
    tail += f", paused by {job.paused_by}" if job.paused_by else ""
    reason = f" ({job.reason})" if job.reason else ""
    return f"job {job.number} {job.state}: {counts}{tail}{reason}"


def tell_line(tell: Tell) -> str:
    match tell:
        case SendAssign():
            waiting = sum(placement.waiting for placement in tell.placements)
            refs = refs_text(tuple(placement.attempt for placement in tell.placements))
            return f"{tell.node}: run {refs}" + (f", {waiting} of them when others end" if waiting else "")
        case SendCancel():
            return f"{tell.node}: end {refs_text(tell.attempts)}"
        case SendRetract():
            return f"{tell.node}: give back {refs_text(tell.attempts)}"
        case SendPause():
            word = "pause" if tell.paused else "resume"
            return f"{tell.node}: {word} {refs_text(tell.attempts)}"
        case AnswerSubmit():
            again = ", as before" if tell.duplicate else ""
            return f"submitter: job {tell.number}, {tell.tasks} tasks{again}"
        case AnswerCancel():
            return f"asker: {tell.tasks} tasks end"
        case AnswerChanged():
            hint = f"; {tell.hint}" if tell.hint else ""
            return f"asker: {counted(tell.tasks, 'task')} changed{hint}"
        case AnswerNode():
            return f"asker: {tell.node.name} is {tell.node.admin}"
        case AnswerRegister():
            return f"node: welcome, drop {refs_text(tell.drop)}"
        case AnswerBeat():
            return (
                "node: register again"
                if tell.register_again
                else f"node: renewed, drop {refs_text(tell.drop)}"
            )
        case AnswerReport():
            return f"node: noted, drop {refs_text(tell.drop)}"
        case Refuse():
            return "asker: " + "; ".join(f"{fault.code} {fault.message}" for fault in tell.faults)
        case _:
            assert_never(tell)


def state_lines(cluster: Cluster) -> Iterator[str]:
    """The whole cluster, briefly."""
    for node in cluster.nodes.values():
        free = node.free.cpu_millis / 1000
        yield f"{node.name} {node.health}: {node.holding} run, {node.waiting} wait, {free:g} cpu free"
    for job in cluster.jobs.values():
        tasks = [task for group in job.groups for task in (group.tasks or {}).values()]
        words = [f"{task.ref} {task.state}" for task in tasks[:SHOWN_MAX]]
        if len(tasks) > SHOWN_MAX:
            words.append(f"… ({len(tasks)})")
        untouched = sum(group.untouched for group in job.groups)
        if untouched:
            words.append(f"{untouched} untouched")
        yield f"job {job.number} {job.state}: {', '.join(words)}"
