"""A node as tests of the coordinator play it: it says what they want and keeps what it was told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bus import messages, subjects
from bus.artifacts import Kept
from bus.checkpoints import ResumeAsked, Saved
from bus.children import ChildrenAsked
from bus.codec import decode_to_agent, decode_to_agent_reply, encode
from bus.memory import MemoryHub
from bus.messages import CommandReply
from bus.replication import Fetch, Held
from bus.results import Progress
from bus.subjects import NodeVerb
from bus.transport import Message
from bus.values import AttemptRef, Inventory, Resources, TaskEvent

WAIT_S = 20.0

INVENTORY = Inventory(
    hostname="host",
    ip="127.0.0.1",
    architecture="x86_64",
    os_version="Linux",
    kernel_version="6",
    cpu_model="cpu",
    cpu_cores=2,
)


class FakeAgent:
    """A node: says what the test wants, keeps the commands it gets, answers them with `answer`."""

    def __init__(self, hub: MemoryHub, name: str) -> None:
        self.name = name
        self.bus = hub.connect_agent(name)
        self.commands: list[messages.ToAgent] = []
        self.answer: Callable[[messages.ToAgent], messages.FromAgentReply | bytes] = self._confirm

    def _confirm(self, command: messages.ToAgent) -> messages.FromAgentReply:
        return CommandReply(node=self.name)

    async def listen(self) -> None:
        await self.bus.subscribe(subjects.node(self.name, NodeVerb.COMMAND), self._on_command)

    async def _on_command(self, message: Message) -> None:
        command = decode_to_agent(message.data)
        self.commands.append(command)
        answer = self.answer(command)
        data = answer if isinstance(answer, bytes) else encode(answer)
        await self.bus.publish(message.reply, data)

    async def ask(self, message: messages.FromAgent, *, timeout_s: float = WAIT_S) -> messages.ToAgentReply:
        verb = {
            messages.Register: NodeVerb.REGISTER,
            messages.Heartbeat: NodeVerb.HEARTBEAT,
            messages.Report: NodeVerb.REPORT,
            messages.UsageReport: NodeVerb.USAGE,
            messages.InputsRequest: NodeVerb.INPUTS,
            Progress: NodeVerb.PROGRESS,
            Kept: NodeVerb.KEPT,
            Fetch: NodeVerb.FETCH,
            Held: NodeVerb.HELD,
            Saved: NodeVerb.SAVED,
            ResumeAsked: NodeVerb.RESUME,
            ChildrenAsked: NodeVerb.CHILDREN,
        }[type(message)]
        subject = subjects.node(self.name, verb)
        answer = await self.bus.request(subject, encode(message), timeout_s=timeout_s)
        return decode_to_agent_reply(answer.data)

    def registration(self, **changes: Any) -> messages.Register:
        fields = {
            "node": self.name,
            "incarnation": "first",
            "boot_id": "boot",
            "version": "1",
            "capacity": Resources(2000, 4096),
            "inventory": INVENTORY,
        }
        return messages.Register(**(fields | changes))

    async def register(self, **changes: Any) -> messages.ToAgentReply:
        return await self.ask(self.registration(**changes))

    async def beat(self, *live: AttemptRef, sequence: int = 1) -> messages.ToAgentReply:
        return await self.ask(
            messages.Heartbeat(
                node=self.name, incarnation="first", sequence=sequence, load=0.5, live=tuple(live)
            )
        )

    async def report(self, *events: TaskEvent, sequence: int = 1) -> messages.ToAgentReply:
        return await self.ask(messages.Report(node=self.name, sequence=sequence, events=events))

    def assigned(self) -> list[AttemptRef]:
        return [
            item.attempt
            for command in self.commands
            if isinstance(command, messages.Assign)
            for item in command.items
        ]
