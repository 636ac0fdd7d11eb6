"""Every fault: how it befalls the world, and how it heals."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.sim.machine import Machine
from tests.sim.network import Weather
from tests.sim.plan import Fault, FaultKind
from tests.sim.spool import File
from tests.sim.timeline import Host, Process

if TYPE_CHECKING:
    from tests.sim.world import World

HOUR_S = 3600.0
CALM = Weather()
DRIFT_MAX = 0.01  # two hundred times what a clock may be off that NTP disciplines


class Faults:
    """`befall` begins a fault and plans its end; `heal` ends all of them for good."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._timeline = world.timeline
        self._network = world.network
        self._database = world.database
        self._healed = False

    def befall(self, fault: Fault) -> None:
        if self._healed:
            return
        self._world.note(f"fault: {fault.kind} ({fault.which}) for {fault.for_s:.1f} s")
        self._world.faults[fault.kind] += 1
        machine = self._world.machines[fault.which % len(self._world.machines)]
        if fault.kind in _OF_MACHINES:
            self._befall_machine(fault, machine)
        elif fault.kind in _OF_COORDINATORS:
            self._befall_coordinator(fault)
        else:
            self._befall_middle(fault)

    def heal(self) -> None:
        """The last fault is over: from now on everything must come right by itself."""
        self._healed = True
        self._world.note("everything is healed")
        self._network.weather = CALM
        self._network.cut.clear()
        self._database.cut.clear()
        self._database.away = False
        self._database.slow_s = self._database.torn = 0.0
        for twin in self._world.twins:
            twin.reboot(journal_kept=False)
        for host in self._world.hosts:
            host.drift(1.0)
        for machine in self._world.machines:
            machine.disk_full = False
            machine.drift(1.0)
            self._go_on(machine.guard)
            self._go_on(machine.agent)
            self._start_again(machine)
        self._see_to_the_fenced()
        for number, coordinator in enumerate(self._world.coordinators):
            self._go_on(coordinator)
            self._world.start_coordinator(number)
        self._world.healed_at_s = self._timeline.now

    def _later(self, fault: Fault, call: Callable[[], None]) -> None:
        """Heal this one fault, unless all are healed by then."""

        def heal() -> None:
            if not self._healed:
                self._world.note(f"over: {fault.kind} ({fault.which})")
                call()

        self._timeline.after(fault.for_s, heal)

    def _go_on(self, process: Process | None) -> None:
        if process is not None and process.stopped:
            process.go_on()

    # agents and their machines

    def _befall_machine(self, fault: Fault, machine: Machine) -> None:
        agent = machine.agent
        match fault.kind:
            case FaultKind.AGENT_KILLED | FaultKind.STATE_LOST:
                if agent is not None:
                    agent.kill()
                if fault.kind is FaultKind.STATE_LOST:
                    machine.disk["state.db"] = File()
                    machine.forgetful = True
                self._later(fault, lambda: self._world.start_agent(machine))
            case FaultKind.AGENT_STOPPED if agent is not None:
                agent.stop()
                self._later(fault, lambda: self._go_on(agent))
            case FaultKind.AGENT_CUT:
                self._cut(fault, self._network.cut, machine)
            case FaultKind.AGENT_TWIN:
                self._begin_twin(fault, machine)
            case FaultKind.GUARD_KILLED:
                machine.kill_guard()
            case FaultKind.GUARD_STOPPED | FaultKind.GUARD_HUNG:
                machine.hang_guard(hard=fault.kind is FaultKind.GUARD_HUNG)
                self._later(fault, lambda: self._go_on(machine.guard))
            case FaultKind.AGENT_DRIFTS:
                self._drift(fault, machine)
            case FaultKind.MACHINE_REBOOTED:
                machine.reboot(journal_kept=fault.amount < 0.5)
                self._later(fault, lambda: self._world.start_agent(machine))
            case FaultKind.DISK_FULL:
                machine.disk_full = True
                self._later(fault, lambda: setattr(machine, "disk_full", False))
            case FaultKind.AGENT_CLOCK:
                machine.wall_offset_s += HOUR_S if fault.amount < 0.5 else -HOUR_S
            case _:
                pass

    def _begin_twin(self, fault: Fault, machine: Machine) -> None:
        """Somebody copied the agent's key to another machine and starts it there."""
        twin = self._world.make_machine(f"{machine.name}-twin-{len(self._world.twins)}", machine.node)
        self._world.twins.append(twin)
        machine.copied = twin.copied = True
        self._world.start_agent(twin)

        def end() -> None:
            twin.reboot(journal_kept=False)
            self._start_again(machine)

        self._later(fault, end)

    def _start_again(self, machine: Machine) -> None:
        """What people do with an agent that was fenced off, once its twin is gone."""
        if machine.agent is not None and machine.agent.fenced:
            machine.agent.kill()
        self._world.start_agent(machine)

    def _see_to_the_fenced(self) -> None:
        """Word of a twin may still be under way when it is gone, and fence off the one that is left."""
        for machine in self._world.machines:
            if machine.agent is not None and machine.agent.fenced:
                self._start_again(machine)
        self._timeline.after(self._world.plan.limits.lease_s, self._see_to_the_fenced)

    def _drift(self, fault: Fault, host: Host) -> None:
        host.drift(1.0 + DRIFT_MAX * (2.0 * fault.amount - 1.0))
        self._later(fault, lambda: host.drift(1.0))

    def _cut(self, fault: Fault, hosts: set[Host], host: Host) -> None:
        hosts.add(host)
        self._later(fault, lambda: hosts.discard(host))

    # coordinators

    def _befall_coordinator(self, fault: Fault) -> None:
        number = fault.which % len(self._world.coordinators)
        leader = self._world.leader()
        if leader is not None and fault.amount < 0.7:
            number = self._world.coordinators.index(leader)
        coordinator = self._world.coordinators[number]
        host = self._world.hosts[number]
        match fault.kind:
            case FaultKind.COORDINATOR_KILLED:
                if coordinator is not None:
                    coordinator.kill()
                self._later(fault, lambda: self._world.start_coordinator(number))
            case FaultKind.COORDINATOR_STOPPED if coordinator is not None:
                coordinator.stop()
                self._later(fault, lambda: self._go_on(coordinator))
            case FaultKind.COORDINATOR_CUT:
                self._cut(fault, self._network.cut, host)
            case FaultKind.COORDINATOR_UNPLUGGED:
                self._cut(fault, self._database.cut, host)
            case FaultKind.COORDINATOR_DRIFTS:
                self._drift(fault, host)
            case FaultKind.COORDINATOR_CLOCK:
                host.wall_offset_s += HOUR_S if fault.amount < 0.35 else -HOUR_S
            case _:
                pass

    # the bus, the database, and all at once

    def _befall_middle(self, fault: Fault) -> None:
        database = self._database
        match fault.kind:
            case FaultKind.DATABASE_AWAY:
                database.crash()
                self._later(fault, lambda: setattr(database, "away", False))
            case FaultKind.DATABASE_SLOW:
                database.slow_s = fault.amount * self._world.plan.limits.heartbeat_interval_s
                self._later(fault, lambda: setattr(database, "slow_s", 0.0))
            case FaultKind.DATABASE_TORN:
                database.torn = fault.amount * 0.6
                self._later(fault, lambda: setattr(database, "torn", 0.0))
            case FaultKind.BUS_LOSES:
                self._change_weather(fault, Weather(lost=fault.amount * 0.6))
            case FaultKind.BUS_REPEATS:
                late_s = self._world.plan.limits.heartbeat_interval_s * (0.05 + fault.amount)
                self._change_weather(fault, Weather(twice=fault.amount, late=0.3, late_s=late_s))
            case FaultKind.BUS_DELAYS:
                late_s = self._world.plan.limits.heartbeat_interval_s * (0.1 + 2 * fault.amount)
                self._change_weather(fault, Weather(late=fault.amount, late_s=late_s))
            case FaultKind.BUS_SPOILS:
                self._change_weather(fault, Weather(spoilt=fault.amount * 0.6))
            case FaultKind.JETSTREAM_WIPED:
                self._world.stream.wipe()
            case FaultKind.EVERYTHING_KILLED:
                self._kill_everything(fault)
            case _:
                raise AssertionError(fault.kind)

    def _change_weather(self, fault: Fault, weather: Weather) -> None:
        self._network.weather = weather
        self._later(fault, lambda: setattr(self._network, "weather", CALM))

    def _kill_everything(self, fault: Fault) -> None:
        self._database.crash()
        for coordinator in self._world.coordinators:
            if coordinator is not None:
                coordinator.kill()
        for machine in self._world.machines:
            if machine.agent is not None:
                machine.agent.kill()

        def start() -> None:
            self._database.away = False
            for number in range(len(self._world.coordinators)):
                self._world.start_coordinator(number)
            for machine in self._world.machines:
                self._world.start_agent(machine)

        self._later(fault, start)


_OF_MACHINES = frozenset(
    {
        FaultKind.AGENT_KILLED,
        FaultKind.AGENT_STOPPED,
        FaultKind.AGENT_CUT,
        FaultKind.AGENT_TWIN,
        FaultKind.AGENT_DRIFTS,
        FaultKind.GUARD_STOPPED,
        FaultKind.GUARD_HUNG,
        FaultKind.GUARD_KILLED,
        FaultKind.STATE_LOST,
        FaultKind.MACHINE_REBOOTED,
        FaultKind.DISK_FULL,
        FaultKind.AGENT_CLOCK,
    }
)
_OF_COORDINATORS = frozenset(
    {
        FaultKind.COORDINATOR_KILLED,
        FaultKind.COORDINATOR_STOPPED,
        FaultKind.COORDINATOR_CUT,
        FaultKind.COORDINATOR_UNPLUGGED,
        FaultKind.COORDINATOR_CLOCK,
        FaultKind.COORDINATOR_DRIFTS,
    }
)
