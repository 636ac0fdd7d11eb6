"""`python -m agent`: reads the command line, connects, serves until SIGTERM."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from agent.config import Config, ConfigError, parse_arguments
from agent.guard.client import GuardError
from agent.loop import Agent
from agent.spool import SpoolError
from bus.connection import ConnectionState, NatsBus, StateCallback
from bus.credentials import Credentials, parse_credentials
from bus.errors import BusError, CredentialsError, Disconnected
from bus.layout import read_secret

_log = logging.getLogger("agent")

EXIT_CONFIG = 78
EXIT_BROKEN = 70
EXIT_ANOTHER = 75
EXIT_FENCED = 6

_CONNECT_RETRY_S = 1.0
_NEW_CREDENTIALS = "corral up makes those of its own machine anew, corral join URL TOKEN those of another one"


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 78 for what the operator must change, 75 where another agent uses the folder,
    6 where it was stopped after another agent had taken its name."""
    try:
        config = parse_arguments(sys.argv[1:] if arguments is None else arguments)
        logging.basicConfig(
            level=logging.DEBUG if config.verbose else logging.INFO,
            format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        )
        logging.getLogger("asyncio").setLevel(logging.WARNING)
        lock = _claim(config)
        if lock is None:
            sys.stderr.write(f"another agent uses {config.data}\n")
            return EXIT_ANOTHER
        return _run(config)
    except CredentialsError as error:
        sys.stderr.write(f"error: {error}\nhint: {_NEW_CREDENTIALS}\n")
        return EXIT_CONFIG
    except (ConfigError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_CONFIG


def _claim(config: Config) -> int | None:
    """The folder, made where it is missing, and its lock; tasks pass through it to their own."""
    config.data.mkdir(mode=0o711, parents=True, exist_ok=True)
    if os.geteuid() == 0:
        config.data.chmod(0o711)
    lock = os.open(config.data / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _run(config: Config) -> int:
    try:
        import uvloop
    except ImportError:
        factory = asyncio.new_event_loop
    else:
        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        try:
            return runner.run(_serve(config))
        except CredentialsError:
            raise  # though it came over the bus, it is the operator's to mend
        except (GuardError, SpoolError, BusError) as error:
            sys.stderr.write(f"error: {error}\n")
            return EXIT_BROKEN
        except ExceptionGroup as group:
            known, unknown = group.split((GuardError, SpoolError, BusError))
            if known is None or unknown is not None:
                raise
            sys.stderr.write("".join(f"error: {error}\n" for error in known.exceptions))
            return EXIT_BROKEN


async def _serve(config: Config) -> int:
    serving = asyncio.current_task()
    assert serving is not None
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    refused = asyncio.Event()

    def on_state(state: ConnectionState) -> None:
        if state is ConnectionState.CONNECTED and agent is not None:
            agent.on_reconnected()
        if state is ConnectionState.CLOSED and bus is not None and bus.refusal is not None:
            refused.set()
            serving.cancel()

    bus: NatsBus | None = None
    agent: Agent | None = None

    async def end_in_order() -> None:
        await stop.wait()
        try:
            if agent is not None:
                await agent.leave()
        finally:
            serving.cancel()

    ending = asyncio.create_task(end_in_order(), name="end")
    with suppress(asyncio.CancelledError):
        credentials = _identity(config)
        bus = await _connect(config, credentials, on_state)
        agent = Agent(config, bus, version=_version(), key=credentials.public_key)
        try:
            await agent.run()
        finally:
            await bus.close()
    ending.cancel()
    if refused.is_set():
        assert bus is not None
        assert bus.refusal is not None
        raise bus.refusal
    return EXIT_FENCED if agent is not None and agent.fenced else 0


def _identity(config: Config) -> Credentials:
    """Who this agent is. Raises CredentialsError, which names the file."""
    text = read_secret(config.credentials)
    try:
        return parse_credentials(text)
    except CredentialsError as error:
        raise CredentialsError(error.code, f"{config.credentials}: {error}", error.hint) from error


async def _connect(config: Config, credentials: Credentials, on_state: StateCallback) -> NatsBus:
    if credentials.name != config.node:
        raise ConfigError(f"{config.credentials} is for {credentials.name}, not for {config.node}")
    while True:
        try:
            return await NatsBus.connect(
                config.nats_url, credentials, name=f"agent {config.node}", on_state=on_state
            )
        except Disconnected as error:
            _log.warning("%s; trying again", error)
            await asyncio.sleep(_CONNECT_RETRY_S)


def _version() -> str:
    try:
        return version("corral")
    except PackageNotFoundError:
        return "0"


if __name__ == "__main__":
    sys.exit(main())
