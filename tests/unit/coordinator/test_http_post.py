"""One POST to a real server: what is sent, what is read at most, and what is said where no answer comes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from coordinator.destinations import Target
from coordinator.http_post import ANSWER_BYTES_MAX, BODY_BYTES_MAX, Answer, NoAnswer, post
from tests.certificates import Issuer
from tests.unit.coordinator.receiver import Receiver, receiving

TRUST = ssl.create_default_context()
WAIT_S = 20.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


async def send(
    port: int,
    *,
    scheme: str = "http",
    host: str = "hooks.example.com",
    timeout_s: float = WAIT_S,
    trust: ssl.SSLContext = TRUST,
) -> Answer:
    target = Target(scheme=scheme, host=host, port=port, path="/in?x=1")
    return await post(
        target, "127.0.0.1", headers={"A-Header": "1"}, body=b'{"a": 1}', timeout_s=timeout_s, trust=trust
    )


@asynccontextmanager
async def saying(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    *,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    """A server that does what it likes once a request's head has come; its port."""

    serving: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        try:
            await reader.readuntil(b"\r\n\r\n")
            await answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # who asked has heard enough
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]
    await asyncio.gather(*filter(None, serving))


async def test_what_is_sent_is_what_was_meant(receiver: Receiver) -> None:
    receiver.answers = [(202, {}, b"thanks")]
    answer = await send(receiver.port)
    assert answer == Answer(status=202, text="thanks")
    [call] = receiver.calls
    assert call.path == "/in?x=1" and call.body == b'{"a": 1}'
    assert call.headers["host"] == f"hooks.example.com:{receiver.port}"
    assert call.headers["a-header"] == "1" and call.headers["connection"] == "close"


async def test_a_redirect_is_an_answer_like_any_other(receiver: Receiver) -> None:
    receiver.answers = [(307, {"Location": receiver.url}, b"")]
    assert (await send(receiver.port)).status == 307
    assert len(receiver.calls) == 1


async def test_when_to_come_back_is_read_where_it_is_in_seconds(receiver: Receiver) -> None:
    said = ("120", "0", "Wed, 21 Oct 2026 07:28:00 GMT", "-5", "1e5", "9" * 30)
    receiver.answers = [(429, {"Retry-After": each}, b"") for each in said]
    heard = [(await send(receiver.port)).retry_after_s for _ in said]
    assert heard == [120.0, 0.0, None, None, None, None]


async def test_of_a_long_answer_the_beginning_is_read() -> None:
    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()

    async with saying(pour) as port:
        answer = await send(port)
    assert answer.status == 200 and answer.text == "x" * BODY_BYTES_MAX


async def test_an_endless_head_is_refused() -> None:
    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-Long: " + b"x" * 65_536)
            await writer.drain()

    async with saying(pour) as port:
        with pytest.raises(NoAnswer, match="not an answer in HTTP"):
            await send(port)


async def test_endless_words_before_the_answer_are_refused() -> None:
    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"HTTP/1.1 102 Processing\r\n\r\n" * 100)
            await writer.drain()

    async with saying(pour) as port:
        with pytest.raises(NoAnswer, match=f"more than {ANSWER_BYTES_MAX} bytes"):
            await send(port)


@pytest.mark.parametrize(
    "said", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"]
)
async def test_what_is_no_answer_is_said_to_be_none(said: bytes) -> None:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await writer.drain()

    async with saying(say) as port:
        with pytest.raises(NoAnswer, match="not an answer in HTTP"):
            await send(port)


async def test_who_never_answers_is_waited_for_so_long_and_no_longer() -> None:
    async def think(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with saying(think) as port:
        with pytest.raises(NoAnswer, match=r"no whole answer within 0\.05 s"):
            await send(port, timeout_s=0.05)


async def test_who_is_not_there_is_said_to_be_so() -> None:
    async with saying(lambda reader, writer: asyncio.sleep(0)) as port:
        pass
    with pytest.raises(NoAnswer, match=r"cannot connect to 127\.0\.0\.1"):
        await send(port)


async def test_a_certificate_counts_for_the_name_and_not_for_the_address(tmp_path: Path) -> None:
    issuer = Issuer(tmp_path)
    files = issuer.issue(["hooks.example.com"])
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(files.certificate, files.key)
    trust = ssl.create_default_context(cafile=issuer.ca)

    async def agree(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()

    async with saying(agree, tls=serving) as port:
        assert (await send(port, scheme="https", trust=trust)).status == 204
        with pytest.raises(NoAnswer, match="certificate is not trusted"):
            await send(port, scheme="https", host="other.example.com", trust=trust)
        with pytest.raises(NoAnswer, match="certificate is not trusted"):
            await send(port, scheme="https")
