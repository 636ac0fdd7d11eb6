"""The tree of who runs what where: users, their jobs, the tasks of these, and the nodes they are on."""

from __future__ import annotations

from textual import on, work
from textual.binding import Binding
from textual.widget import Widget
from textual.widgets import Static

from bus.api import Job, Node, Task
from bus.errors import CorralError
from bus.people import User
from tui.client.session import Deltas
from tui.client.then import Then
from tui.client.wake import Wake
from tui.screens.document import job_details, node_details, task_details, why
from tui.screens.gantt import GanttScreen
from tui.screens.jobs import JobsScreen
from tui.screens.live import LiveScreen, error_text
from tui.screens.log import LogScreen
from tui.view.shell import command, moment
from tui.view.steering import Steering, steer_job, steer_node, steer_task
from tui.view.tree import (
    PAGE_ROWS,
    Branch,
    Kind,
    extended,
    grafted,
    is_waiting,
    job_branch,
    node_branch,
    opened,
    past_branch,
    task_branch,
    user_branch,
)
from tui.widgets.tree import TreeView

RELOAD_S = 10.0
OF_JOBS = frozenset({"cancel", "retry", "hold", "release"})
OF_TASKS = frozenset({"cancel", "retry"})
OF_NODES = frozenset({"cordon", "drain", "undrain"})


class XRayScreen(LiveScreen):
    """Branches are asked for when they are opened, and again while they are open."""

    BINDINGS = [
        Binding("d", "details", "details", id="xray.details"),
        Binding("w", "why", "why", id="xray.why"),
        Binding("l", "open_log", "output", id="xray.logs"),
        Binding("b", "gantt", "gantt", show=False, id="xray.gantt"),
        Binding("C", "steer('cancel')", "cancel", id="xray.cancel"),
        Binding("R", "steer('retry')", "retry", show=False, id="xray.retry"),
        Binding("H", "steer('hold')", "hold", show=False, id="xray.hold"),
        Binding("E", "steer('release')", "release", show=False, id="xray.release"),
        Binding("u", "steer('cordon')", "cordon", show=False, id="xray.cordon"),
        Binding("r", "steer('drain')", "drain", show=False, id="xray.drain"),
        Binding("t", "steer('undrain')", "undrain", show=False, id="xray.undrain"),
        Binding("ctrl+r", "reload", "ask again now", show=False, id="xray.reload"),
    ]
    crumb = "xray"

    def __init__(self, user: str = "") -> None:
        super().__init__()
        self._user = user
        self._roots: list[Branch] = []
        self._wake = Wake()
        if user:
            self.crumb = f"{user} › xray"

    def shell_command(self) -> str:
        """The tree, with jobs that are over."""
        at = None if self.console.moment is None else moment(self.console.moment)
        return command("tree", *([self._user] if self._user else []), all=True, at=at)

    def body(self) -> list[Widget]:
        """The tree, or a note in its place."""
        return [TreeView(id="tree"), Static("loading …", markup=False, id="note")]

    @property
    def tree_view(self) -> TreeView:
        """The tree."""
        return self.query_one("#tree", TreeView)

    def on_mount(self) -> None:
        """Begin to keep it up to date."""
        self.tree_view.display = False
        self._keep()

    def on_online(self) -> None:
        """Look again where something was missing."""
        if self.is_bare or self.asking.error is not None:
            self._wake.now()

    def on_offline(self) -> None:
        """Say why nothing is there, where nothing is."""
        self.on_condition()

    @property
    def is_bare(self) -> bool:
        """Without a tree."""
        return not self._roots

    def on_condition(self) -> None:
        """The note and the crumbs say it."""
        if self.has_parts("#tree", "#note"):
            self._draw_note()
        super().on_condition()

    def on_screen_resume(self) -> None:
        """What was missed while away is asked for."""
        self._wake.now()

    def on_deltas(self, deltas: Deltas) -> None:
        """It may be about a branch that is open."""
        if self.console.moment is None:
            self._wake.soon()

    def on_moment(self) -> None:
        """Another moment has another tree; what is open stays open in it."""
        self._wake.now()
        self._keep()  # an answer for the moment before is of no use any more

    def on_steered(self) -> None:
        """See what came of it."""
        self._wake.now()

    def action_reload(self) -> None:
        """Ask again now, also for the connection."""
        self.session.hurry()
        self._wake.now()

    def action_details(self) -> None:
        """All that is known of what is under the cursor; of somebody, their jobs."""
        match self._row():
            case User(name=name):
                self.app.push_screen(JobsScreen(filter=f"user={name}"))
            case Job(number=number):
                self.app.push_screen(job_details(str(number)))
            case Task(job=job, index=index):
                self.app.push_screen(task_details(f"{job}.{index}"))
            case Node(name=name):
                self.app.push_screen(node_details(name))

    def action_why(self) -> None:
        """Why a job or a task is where it is, or what keeps it back."""
        match self._row():
            case Job(number=number):
                self.app.push_screen(why(str(number)))
            case Task(job=job, index=index):
                self.app.push_screen(why(f"{job}.{index}"))

    def action_open_log(self) -> None:
        """What a task printed."""
        match self._row():
            case Task(job=job, index=index):
                self.app.push_screen(LogScreen(f"{job}.{index}"))

    def action_gantt(self) -> None:
        """What ran when, of a job or on a node."""
        match self._row():
            case Job(number=number):
                self.app.push_screen(GanttScreen(job=number))
            case Node(name=name):
                self.app.push_screen(GanttScreen(node=name))

    def action_steer(self, verb: str) -> None:
        """Do it to what is under the cursor, where it can be done to that."""
        if (steering := self._steering(verb)) is not None:
            self.steer(steering)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offered: what makes sense of what is under the cursor."""
        allowed = super().check_action(action, parameters)
        if action == "steer" and allowed and self._steering(str(parameters[0])) is None:
            return False
        return allowed

    def _steering(self, verb: str) -> Steering | None:
        match self._row():
            case Job() as job if verb in OF_JOBS:
                return steer_job(verb, job)
            case Task() as task if verb in OF_TASKS:
                return steer_task(verb, task)
            case Node() as node if verb in OF_NODES:
                return steer_node(verb, node)
            case _:
                return None

    def _row(self) -> User | Job | Task | Node | None:
        branch = self.tree_view.branch if self.is_mounted else None
        return None if branch is None else branch.row

    @on(TreeView.Moved)
    def _on_moved(self) -> None:
        self.refresh_bindings()

    @on(TreeView.Chosen)
    def _on_chosen(self, event: TreeView.Chosen) -> None:
        branch = event.branch
        if branch.kind is Kind.MORE:
            if (parent := self.tree_view.parent_of(branch)) is not None:
                self._fill(parent, more=True)
        elif not branch.can_open:
            self.action_details()
        elif branch.open:
            branch.open = False
            self.tree_view.show(self._roots)
        else:
            branch.open = True
            self._fill(branch)

    @work(group="fill")
    async def _fill(self, branch: Branch, *, more: bool = False) -> None:
        try:
            with self.asking.under_way():
                await self._ask(Then(self.session.source, self.console.moment), branch, more=more)
        except CorralError as error:
            note = Branch(kind=Kind.NOTE, key="fault", text=error_text(error), glyph="✖", tone="bad")
            branch.children = [note]
        self.tree_view.show(self._roots)

    @work(exclusive=True, group="keep")
    async def _keep(self) -> None:
        while True:
            if self.is_current and self.is_online:
                with self.asks():
                    await self._load(Then(self.session.source, self.console.moment))
                    self.arrived()
                self.on_condition()
            await self._wake.wait(RELOAD_S)

    async def _load(self, then: Then) -> None:
        """The users, and again what is open below them."""
        answer = await then.users()
        roots = Branch(kind=Kind.NOTE, key="", text="", children=self._roots)
        users = [user for user in answer.users if self._user in ("", user.name)]
        grafted(roots, [user_branch(user) for user in users], cursor="")
        self._roots = [each for each in roots.children or () if each.kind is Kind.USER]
        if len(self._roots) == 1 and self._roots[0].children is None:
            self._roots[0].open = True
        for branch in opened(self._roots):
            await self._ask(then, branch)
        self.tree_view.show(self._roots)

    async def _ask(self, then: Then, branch: Branch, *, more: bool = False) -> None:
        """The children of a branch: again as many as it has, or the page behind them."""
        cursor = branch.cursor if more else ""
        known = len(branch.children or ())
        limit = PAGE_ROWS if more else max(PAGE_ROWS, known)
        join = extended if more else grafted
        match branch.row:
            case User(name=name):
                jobs = await then.jobs(filter=f"user={name}", limit=limit, cursor=cursor)
                join(branch, [job_branch(job) for job in jobs.jobs], cursor=jobs.next)
            case Job(number=number):
                tasks = await then.tasks(number, limit=limit, cursor=cursor)
                join(branch, [task_branch(task) for task in tasks.tasks], cursor=tasks.next)
            case Task() as task:
                join(branch, [*await self._places(then, task), *await self._children(then, task)], cursor="")

    async def _children(self, then: Then, task: Task) -> list[Branch]:
        """The jobs that it submitted, the newest first."""
        found = await then.jobs(filter=f"parent={task.job}.{task.index}", limit=PAGE_ROWS)
        branches = [job_branch(job) for job in found.jobs]
        if (more := found.total - len(branches)) > 0:
            text = f"and {more:,} more jobs"
            branches.append(Branch(kind=Kind.NOTE, key="jobs", text=text, tone="idle"))
        return branches

    async def _places(self, then: Then, task: Task) -> list[Branch]:
        """The nodes that its attempts were on, the newest first."""
        if task.count > 1 or is_waiting(task):
            return [Branch(kind=Kind.NOTE, key="waits", text="on no node yet: w says why", tone="idle")]
        found = await then.task(f"{task.job}.{task.index}")
        places = []
        if found.node is not None:
            places.append(node_branch(await then.node(found.node), attempt=found.fence))
        earlier = [each for each in reversed(found.attempts) if each.fence != found.fence]
        return places + [past_branch(each.node, attempt=each.fence, state=each.state) for each in earlier]

    def _draw_note(self) -> None:
        text = self.note("Nobody here.\n\nEsc goes back.") if self.is_bare else ""
        note = self.query_one("#note", Static)
        self.tree_view.display = not text
        note.display = bool(text)
        if text:
            note.update(text)
        elif self.focused is None:
            self.tree_view.focus()
