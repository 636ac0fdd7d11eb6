"""The one decoding path: the bad-input catalogue's envelope and JSON rows, both codecs, any bytes at all."""

from __future__ import annotations

import json

import msgpack
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus import faults
from bus.api import OPERATIONS, Job, Log, Submitted
from bus.codec import (
    Codec,
    answer,
    codec_of,
    decode,
    decode_answer,
    decode_from_agent,
    decode_from_agent_reply,
    decode_request,
    decode_to_agent,
    decode_to_agent_reply,
    encode,
)
from bus.errors import ApiError, DecodeError, Error
from bus.limits import BYTES_MAX, KEYS_MAX
from bus.messages import (
    Assign,
    Assignment,
    Body,
    Heartbeat,
    HeartbeatReply,
    LogChunk,
    Report,
)
from bus.requests import Empty, JobList
from bus.spec import JobSpec
from bus.values import AttemptRef, Ended, Outcome, Resources, Returned, Started, Stream, TaskRef, TaskSettings


def refused(data: bytes) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        decode(data, JobSpec, subject="corral.u.alice.job.submit")
    return caught.value


BIG = b'{"name": "' + b"x" * BYTES_MAX + b'"}'
MANY_KEYS = json.dumps({"metadata": {f"k{number}": 0 for number in range(KEYS_MAX + 1)}}).encode()


@pytest.mark.parametrize(
    ("row", "data", "code", "words"),
    [
        ("B1", b"", "E_EMPTY", "empty message; expected a JSON object"),
        ("B2", b"hello", "E_JSON", "line 1 column 1"),
        ("B3", b'{"cmd":["ec', "E_JSON", "offset 8"),
        ("B4", b"[1]", "E_TYPE", "at /: got array; expected object"),
        ("B4", b'"x"', "E_TYPE", "got string"),
        ("B4", b"3", "E_TYPE", "got integer"),
        ("B4", b"null", "E_TYPE", "got null"),
        ("B4", b"\x91\x01", "E_TYPE", "got array"),
        ("B5", b"\xef\xbb\xbf{}", "E_JSON", "byte order mark; send UTF-8 without BOM"),
        ("B6", '{"a":1}'.encode("utf-16"), "E_ENCODING", "not UTF-8"),
        ("B6", '{"a":1}'.encode("utf-16-le"), "E_ENCODING", "not UTF-8"),
        ("B6", '{"a":1}'.encode("utf-32-be"), "E_ENCODING", "not UTF-8"),
        ("B7", b'{"name":"\xe9"}', "E_ENCODING", "0xE9 at offset 9"),
        ("B8", BIG, "E_TOO_LARGE", f"> {BYTES_MAX}"),
        ("B10", b'{"v":99}', "E_VERSION", "this server speaks 1"),
        ("B12", b'{"comand":["x"]}', "E_FIELD", "unknown field comand"),
        ("B21", b"[" * 100_000, "E_DEPTH", "depth > 32"),
        ("B21", b'{"metadata":' + b'{"a":' * 40 + b"1" + b"}" * 41, "E_DEPTH", "depth > 32"),
        ("B21", b"\x81\xa1a" + b"\x91" * 40 + b"\x90", "E_DEPTH", "depth > 32"),
        ("B21", b"\x91" * 100_000 + b"\x90", "E_DEPTH", "depth > 32"),
        ("B22", MANY_KEYS, "E_KEYS", "10001 keys"),
        (
            "B22",
            b'{"a":0,' + b",".join(b'"%06d":0' % n for n in range(1_000_000 // 8)) + b"}",
            "E_TOO_LARGE",
            "bytes",
        ),
        ("B23", b'{"user":"a","user":"root"}', "E_DUP_KEY", "/user appears twice"),
        ("B23", b"\x82\xa1a\x01\xa1a\x02", "E_DUP_KEY", "/a appears twice"),
        ("B23", b'{"metadata":{"a":1,"a":2}}', "E_DUP_KEY", "/metadata/a appears twice"),
        ("B24", b'{"metadata":{"x":NaN}}', "E_NUMBER", "not a finite number"),
        ("B24", b'{"metadata":{"x":Infinity}}', "E_NUMBER", "not a finite number"),
        ("B24", b'{"metadata":{"x":-Infinity}}', "E_NUMBER", "not a finite number"),
        ("B24", b'{"metadata":{"x":1e999}}', "E_NUMBER", "not a finite number"),
        (
            "B24",
            msgpack.packb({"metadata": {"x": float("nan")}}),
            "E_NUMBER",
            "not a finite number at /metadata/x",
        ),
        ("B25", b'{"metadata":{"x":%s}}' % (b"9" * 4000), "E_NUMBER", "outside int64"),
        ("B25", b'{"metadata":{"x":%s}}' % (b"9" * 5000), "E_NUMBER", "outside int64"),
        ("B25", b'{"metadata":{"x":9223372036854775808}}', "E_NUMBER", "outside int64"),
        ("B25", msgpack.packb({"metadata": {"x": 2**63}}), "E_NUMBER", "outside int64 at /metadata/x"),
        ("B26", b'{"retries":true}', "E_TYPE", "got boolean true; expected integer"),
        ("B27", b'{"retries":"4"}', "E_TYPE", "got string '4'; expected integer"),
        ("B28", b'{"name":"a\\u0000"}', "E_CHAR", "NUL not allowed at /name"),
        ("B28", msgpack.packb({"name": "a\0"}), "E_CHAR", "NUL not allowed at /name"),
        ("B28", b'{"metadata":{"a\\u0000":1}}', "E_CHAR", "in a key"),
        ("B29", b'{"name":"\\ud800"}', "E_CHAR", "lone surrogate"),
        ("B29", b"\x81\xa4name\xa3\xed\xa0\x80", "E_ENCODING", "not UTF-8"),
        ("B30", b'{"retries":null}', "E_NULL", "got null; expected integer"),
        ("B31", b'{"__class__":"os.system"}', "E_FIELD", "unknown field __class__"),
        ("", b"\x81\xa1a", "E_MSGPACK", "not MessagePack"),
        ("", b"\x81\xa1a\x01\x01", "E_MSGPACK", "not MessagePack"),
        ("", b"\x81\x01\x01", "E_MSGPACK", "not MessagePack"),
        ("", msgpack.packb({"metadata": {"x": msgpack.Timestamp(1)}}), "E_TYPE", "Timestamp is not allowed"),
        ("", b"\x81\xa1a\xdd\xff\xff\xff\xff", "E_MSGPACK", "not MessagePack"),
        ("", b'{"type":"batsh"}', "E_ENUM", "got 'batsh'"),
    ],
)
def test_catalogue(row: str, data: bytes, code: str, words: str) -> None:
    error = refused(data)
    assert error.code == code
    assert words in error.reason
    assert error.to_error().status in (400, 413, 422)


def test_missing_version_is_version_one() -> None:
    """B11; and `v` may be said to every request."""
    assert decode(b'{"command":["true"]}', JobSpec).v == 1
    assert decode_request("job.list", b'{"v":1}') == JobList()
    with pytest.raises(DecodeError, match="version 2"):
        decode_request("job.list", b'{"v":2}')


def test_every_fault_is_told_at_once_with_its_pointer() -> None:
    spec = {
        "comand": ["x"],
        "command": [1, "ok", None],
        "priority": True,
        "resources": {"cpu": 1.5, "mem": 3},
        "tasks": [{"name": "a"}, {"nam": "b", "needs": "a"}],
        "env": {"A": 1},
        "constraints": {"nodes": "n1"},
    }
    faults = {(fault.code, fault.field) for fault in refused(json.dumps(spec).encode()).faults}
    assert faults == {
        ("E_FIELD", "/comand"),
        ("E_TYPE", "/command/0"),
        ("E_NULL", "/command/2"),
        ("E_TYPE", "/priority"),
        ("E_TYPE", "/resources/cpu"),
        ("E_FIELD", "/resources/mem"),
        ("E_FIELD", "/tasks/1/nam"),
        ("E_TYPE", "/tasks/1/needs"),
        ("E_TYPE", "/env/A"),
        ("E_TYPE", "/constraints/nodes"),
    }


def test_of_thousands_of_unknown_fields_a_few_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    guesses: list[str] = []

    def guess(word: str, known: list[str]) -> None:
        guesses.append(word)

    monkeypatch.setattr(faults, "nearest", guess)
    told = refused(json.dumps({f"comand{number}": 1 for number in range(9_000)}).encode()).faults
    assert len(told) == len(guesses) == faults.FAULTS_MAX


def test_enum_faults_list_the_values_and_the_nearest() -> None:
    fault = refused(b'{"type":"batsh"}').to_error()
    assert fault.hint == "did you mean batch?"
    assert "rendering" in fault.expected


def test_missing_required_field() -> None:
    with pytest.raises(DecodeError) as caught:
        decode_request("job.show", b"{}")
    assert (caught.value.code, caught.value.pointer) == ("E_REQUIRED", "/job")


def test_unknown_operation() -> None:
    with pytest.raises(DecodeError) as caught:
        decode_request("job.explode", b"{}")
    assert caught.value.to_error().status == 404


def test_nothing_may_be_said_where_nothing_is_asked() -> None:
    assert decode_request("cluster.status", b"") == Empty()
    with pytest.raises(DecodeError):
        decode_request("job.list", b"")


EVENTS = (
    *tuple(
        Ended(
            attempt=AttemptRef(1042, index, 1),
            outcome=Outcome.EXITED,
            ended_at=2000000000.0,
            exit_code=0,
            output=b"{}\x00\xff",
        )
        for index in range(3)
    ),
    Started(attempt=AttemptRef(1, 2, 3), started_at=1.5, pid=9),
    Returned(attempt=AttemptRef(1, 2, 4)),
)
REPORT = Report(node="n1", sequence=3, events=EVENTS)
ASSIGN = Assign(
    epoch=1,
    bodies=(Body(settings=TaskSettings(resources=Resources(1000, 64), env={"A": "ü"}), command=("a", "b")),),
    items=(
        Assignment(AttemptRef(1, 0, 1), 0),
        Assignment(AttemptRef(1, 1, 1), 0, True, ("gpu-1",), 7, b'{"a":1}'),
    ),
)
CHUNK = LogChunk(
    task=TaskRef(1, 2), fence=1, stream=Stream.STDERR, offset=0, data=bytes(range(256)), size=256
)


@pytest.mark.parametrize("codec", Codec)
def test_messages_survive_both_codecs(codec: Codec) -> None:
    assert decode_from_agent(encode(REPORT, codec)) == REPORT
    assert decode_to_agent(encode(ASSIGN, codec)) == ASSIGN
    assert decode_from_agent_reply(encode(CHUNK, codec)) == CHUNK
    reply = HeartbeatReply(sequence=1, epoch=2, drop=(AttemptRef(1, 2, 3),))
    assert decode_to_agent_reply(encode(reply, codec)) == reply
    assert codec_of(encode(REPORT, codec)) is codec


def test_daemons_skip_what_they_do_not_know() -> None:
    beat = msgspec.to_builtins(Heartbeat(node="n1", incarnation="i", sequence=1, load=0.5))
    assert decode_from_agent(msgpack.packb({**beat, "added_in_2027": {"a": 1}})).sequence == 1  # type: ignore[union-attr]


@pytest.mark.parametrize("data", [b"{}", b'{"type":"dance"}', b'{"type":7}', b'{"type":"assign"}'])
def test_only_messages_of_the_union(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_from_agent(data)


def test_answers_keep_the_codec_of_the_question() -> None:
    done = Submitted(number=1, id="x", tasks=1)
    for codec in Codec:
        payload, headers = answer(done, codec)
        assert (codec_of(payload), headers) == (codec, {})
        assert decode_answer(payload, Submitted) == done


def test_refusals_carry_the_service_headers_and_raise() -> None:
    wrong = Error(
        code="E_NOT_FOUND", message="no such job", status=404, more=[Error(code="E_X", message="y")]
    )
    payload, headers = answer(wrong, Codec.JSON)
    assert headers["Nats-Service-Error-Code"] == "404"
    with pytest.raises(ApiError) as caught:
        decode_answer(payload, Job)
    assert caught.value.error == wrong
    with pytest.raises(ApiError):
        decode_to_agent_reply(payload)


def test_log_bytes_are_base64_in_json_and_binary_in_messagepack() -> None:
    log = Log(
        task="1.0", attempt=1, node="n", stream=Stream.STDOUT, offset=0, data=b"\xff\x00", size=2, ended=True
    )
    assert json.loads(encode(log, Codec.JSON))["data"] == "/wA="
    assert msgpack.unpackb(encode(log))["data"] == b"\xff\x00"


@given(st.binary(max_size=200))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # 2 shared cores
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    for kind in (JobSpec, JobList):
        try:
            decode(data, kind)
        except DecodeError as error:
            assert error.faults and all(fault.code.startswith("E_") for fault in error.faults)
    for union in (decode_from_agent, decode_to_agent, decode_from_agent_reply, decode_to_agent_reply):
        try:
            union(data)
        except (DecodeError, ApiError):
            continue


_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=4)
)
_TREES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_FIELDS = st.sampled_from([*JobSpec.__struct_fields__, "comand", "type", "v"])


@given(st.dictionaries(_FIELDS, _TREES, max_size=5))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # 2 shared cores
def test_any_values_in_known_fields_decode_or_are_refused(tree: dict[str, object]) -> None:
    for operation in OPERATIONS:
        try:
            decode_request(operation, msgpack.packb(tree))
        except DecodeError as error:
            assert error.to_error().code.startswith("E_")
        except OverflowError:  # the packer's own limit: such an integer cannot be sent at all
            return
