"""The bad-input catalogue: what is sent, and the one clear error that must come back.

A row may hold any of: `spec`, a job tried on every door that takes jobs; `raw`, bytes tried on every door
that takes bytes; `ask`, a request of another operation; `argv`, a line of the command; `agent`, what a node
says. `code` "" means that it is accepted.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from bus.limits import BYTES_MAX, KEYS_MAX
from bus.subjects import NodeVerb

NOTHING: dict[str, str] = {}


class Row(NamedTuple):
    """`words` must stand in what is told: message, place, got, expected or hint. `headers` go with `raw`."""

    id: str
    code: str
    words: str = ""
    spec: dict[str, Any] | None = None
    raw: bytes | None = None
    ask: tuple[str, dict[str, Any]] | None = None
    argv: tuple[str, ...] | None = None
    agent: tuple[NodeVerb, dict[str, Any]] | None = None
    headers: dict[str, str] = NOTHING
    is_file: bool = True  # whether `raw` is tried as a job file too


def job(**fields: Any) -> dict[str, Any]:
    """A job that is in order but for `fields`."""
    return {"command": ["true"]} | fields


def needing(**amounts: Any) -> dict[str, Any]:
    """A job that asks for these resources."""
    return job(resources=amounts)


def text(value: Any) -> bytes:
    """JSON that only Python writes: NaN, lone surrogates."""
    return json.dumps(value).encode()


def submit(*options: str) -> tuple[str, ...]:
    """`corral submit` of a job that is in order but for `options`."""
    return ("submit", *options, "--", "true")


_FULL = b'{"name": "' + b"x" * (BYTES_MAX - 11) + b'"}'  # one byte too long

_GRID = {"a": [*range(1001)], "b": [*range(1000)]}

ENVELOPE = (
    Row("B1", "E_EMPTY", "empty message; expected a JSON object", raw=b""),
    Row("B2", "E_JSON", "not JSON at line 1 column 1", raw=b"hello"),
    Row("B3", "E_JSON", "offset", raw=b'{"cmd":["ec'),
    Row("B4", "E_TYPE", "at /: got array; expected object", raw=b"[1]"),
    Row("B4", "E_TYPE", "got string; expected object", raw=b'"x"'),
    Row("B4", "E_TYPE", "got integer; expected object", raw=b"3"),
    Row("B4", "E_TYPE", "got null; expected object", raw=b"null"),
    Row("B4", "E_TYPE", "got boolean; expected object", raw=b"true"),
    Row("B4", "E_TYPE", "got array; expected object", raw=b"\x91\x01"),
    Row("B5", "E_JSON", "byte order mark; send UTF-8 without BOM", raw=b"\xef\xbb\xbf{}"),
    Row("B6", "E_ENCODING", "not UTF-8", raw='{"a":1}'.encode("utf-16")),
    Row("B6", "E_ENCODING", "not UTF-8", raw='{"a":1}'.encode("utf-16-le")),
    Row("B6", "E_ENCODING", "not UTF-8", raw='{"a":1}'.encode("utf-32-be")),
    Row("B7", "E_ENCODING", "0xE9 at offset 9", raw=b'{"name":"\xe9"}'),
    Row("B8", "E_TOO_LARGE", "1048577 bytes > 1048576", raw=_FULL, is_file=False),
    Row("B9", "E_TOO_LARGE", "--file", argv=("submit", "--file", "{large}")),
    Row("B9", "E_TOO_LARGE", "let tasks open large files", argv=submit("--stdin", "{large}")),
    Row("B9", "E_TOO_LARGE", "array", argv=submit("--env", "A=" + "x" * 2**20)),
    Row("B10", "E_VERSION", "this server speaks 1", spec=job(v=99)),
    Row("B10", "E_VERSION", "", ask=("cluster.status", {"v": 2})),
    Row("B11", "", spec=job()),
    Row("B11", "", spec=job(v=1)),
    Row("B12", "E_FIELD", "unknown field comand", spec={"comand": ["x"], "tool": "wordcount"}),
    Row("B12", "E_FIELD", "did you mean command?", spec={"comand": ["x"], "tool": "wordcount"}),
    Row("B12", "E_FIELD", "unknown field comand", spec={"comand": ["x"]}),
    Row("B13", "E_SUBJECT", "did you mean job.show?", ask=("job.shwo", {})),
    Row("B18", "E_KEY", "1–128 of [A-Za-z0-9._:-]", spec=job(dedupe_key="k" * 300)),
    Row("B18", "E_KEY", "/dedupe_key", spec=job(dedupe_key="a\nb")),
    Row("B18", "E_KEY", "", argv=submit("--dedupe-key", "a b")),
    Row("B20", "E_ENCODING", "zstd", raw=b"{}", headers={"Content-Encoding": "zstd"}, is_file=False),
    Row("B20", "E_ENCODING", "compressed (zstd)", raw=b"\x28\xb5\x2f\xfd\x00\x58" + b"\x00" * 30),
    Row("B20", "E_ENCODING", "compressed (gzip)", raw=b"\x1f\x8b\x08\x00" + b"\x00" * 30),
)

VALUES = (
    Row("B21", "E_DEPTH", "depth > 32", raw=b"[" * 100_000),
    Row("B21", "E_DEPTH", "depth > 32", raw=b'{"metadata":' + b'{"a":' * 40 + b"1" + b"}" * 41),
    Row("B21", "E_DEPTH", "depth > 32", raw=b"\x81\xa1a" + b"\x91" * 40 + b"\x90"),
    Row("B21", "E_DEPTH", "depth > 32", raw=b"\x91" * 100_000 + b"\x90"),
    Row("B22", "E_KEYS", "10001 keys", spec=job(metadata={f"k{n}": 0 for n in range(KEYS_MAX + 1)})),
    Row(
        "B22",
        "E_TOO_LARGE",
        "bytes >",
        raw=b"{" + b",".join(b'"%06d":0' % number for number in range(125_000)) + b"}",
        is_file=False,
    ),
    Row("B23", "E_DUP_KEY", "/user appears twice", raw=b'{"user":"a","user":"root"}'),
    Row("B23", "E_DUP_KEY", "/a appears twice", raw=b"\x82\xa1a\x01\xa1a\x02"),
    Row("B23", "E_DUP_KEY", "/metadata/a", raw=b'{"metadata":{"a":1,"a":2}}'),
    Row("B24", "E_NUMBER", "not a finite number", raw=text({"metadata": {"x": float("nan")}})),
    Row("B24", "E_NUMBER", "not a finite number", raw=text({"metadata": {"x": float("inf")}})),
    Row("B24", "E_NUMBER", "not a finite number", raw=text({"metadata": {"x": float("-inf")}})),
    Row("B24", "E_NUMBER", "not a finite number", raw=b'{"metadata":{"x":1e999}}'),
    Row("B24", "E_NUMBER", "/metadata/x", raw=b"\x81\xa8metadata\x81\xa1x\xcb\x7f\xf8\0\0\0\0\0\0"),
    Row("B25", "E_NUMBER", "outside int64", raw=b'{"metadata":{"x":%s}}' % (b"9" * 4000)),
    Row("B25", "E_NUMBER", "outside int64", raw=b'{"metadata":{"x":%s}}' % (b"9" * 5000)),
    Row("B25", "E_NUMBER", "outside int64", raw=b'{"priority":-%s}' % (b"9" * 20)),
    Row("B26", "E_TYPE", "got boolean true; expected integer", spec=job(retries=True)),
    Row("B27", "E_TYPE", "got string '4'; expected integer", spec=job(retries="4")),
    Row("B27", "", argv=submit("--retries", "4")),
    Row("B28", "E_CHAR", "NUL not allowed at /name", spec=job(name="a\0")),
    Row("B28", "E_CHAR", "in a key", spec=job(metadata={"a\0": 1})),
    Row("B29", "E_CHAR", "lone surrogate", raw=text(job(name="\ud800"))),
    Row("B29", "E_ENCODING", "not UTF-8", raw=b"\x81\xa4name\xa3\xed\xa0\x80"),
    Row("B30", "E_NULL", "/job: got null; expected string", ask=("job.show", {"job": None})),
    Row("B30", "E_NULL", "/retries: got null; expected integer", spec=job(retries=None)),
    Row("B31", "E_FIELD", "unknown field __class__", spec={"__class__": "os.system", "tool": "wordcount"}),
)

SPEC = (
    Row("B32", "E_REQUIRED", "/command", ask=("job.submit", {})),
    Row("B32", "E_REQUIRED", "nothing to run", argv=("submit",)),
    Row("B32", "E_REQUIRED", "", spec={"name": "x"}),
    Row("B33", "E_TYPE", "--shell", spec={"command": "echo hi"}),
    Row("B33", "", argv=("submit", "--shell", "echo hi")),
    Row("B34", "E_COMMAND", "/command", spec={"command": [""]}),
    Row("B34", "E_COMMAND", "an empty command", ask=("job.submit", {"command": []})),
    Row("B34", "E_COMMAND", "", argv=("submit", "--", "")),
    Row("B35", "E_TOO_LARGE", "at most 131072", spec={"command": ["x" * 200_000]}),
    Row("B38", "E_PATH", "got 'tmp'; expected an absolute path", spec=job(workdir="tmp")),
    Row("B38", "E_PATH", "/workdir", spec=job(workdir="/a/../b")),
    Row("B39", "E_RANGE", "0.001–1024 cores", spec=needing(cpu=0)),
    Row("B72", "E_RANGE", "/checkpoint/interval", spec=job(checkpoint={"interval": 0})),
    Row("B72", "E_PATH", "/checkpoint/dir", spec=job(checkpoint={"dir": "../../etc"})),
    Row("B39", "E_RANGE", "0.001–1024 cores", spec=needing(cpu=-1)),
    Row("B39", "E_RANGE", "0.001–1024 cores", spec=needing(cpu="0.0001")),
    Row("B39", "E_RANGE", "0.001–1024 cores", spec=needing(cpu=1_000_000_000)),
    Row("B39", "E_RANGE", "at --cpu", argv=submit("--cpu", "-1")),
    Row("B39", "E_TYPE", '"500m"', spec=needing(cpu=0.0001)),
    Row("B39", "E_UNSATISFIABLE", "nearest is n1", spec=needing(cpu="64")),
    Row("B40", "", spec=needing(memory="4 GB")),
    Row("B40", "", spec=needing(memory="2gb")),
    Row("B40", "", spec=needing(memory="2GiB")),
    Row("B40", "", spec=needing(memory="4")),
    Row("B40", "E_UNIT", "units: B, K, M, G, T, P", spec=needing(memory="-1G")),
    Row("B40", "E_UNIT", "got '4 parsecs'", spec=needing(memory="4 parsecs")),
    Row("B40", "E_UNIT", "at --memory", argv=submit("--memory", "4 parsecs")),
    Row("B44", "E_DURATION", "/timeout", spec=job(timeout=0)),
    Row("B44", "E_DURATION", "/timeout", spec=job(timeout=-3)),
    Row("B44", "E_DURATION", "got '1:99:00'", spec=job(timeout="1:99:00")),
    Row("B44", "E_DURATION", "up to 365 days", spec=job(timeout="400d")),
    Row("B44", "E_DURATION", "at --timeout", argv=submit("--timeout", "400d")),
    *(
        Row("B45", "E_ARRAY", words, spec=job(array=array))
        for array, words in {
            "0-": "indices such as",
            "5-1": "a start up to the end",
            "1-10:0": "a step of at least 1",
            "1-1000000000": "at most 1,000,000",
            "a-b": "got 'a-b'",
            "1,,2": "indices such as",
            "": "indices such as",
            "1,1": "each index once",
            "0-9%0": "after % a number",
        }.items()
    ),
    Row("B45", "E_ARRAY", "at --array", argv=submit("--array", "5-1")),
    Row("B60", "E_GANG", "/gang/size", spec=job(gang={"size": 0})),
    Row("B60", "E_GANG", "1–1024", spec=job(gang={"size": 1025})),
    Row("B60", "E_GANG", "more ranks than the nodes have places", spec=job(gang={"size": 1000})),
    Row("B60", "E_GANG", "gang and array exclude each other", spec=job(gang={"size": 2}, array="0-3")),
    Row("B60", "E_GANG", "/config/n_clients", spec=job(config={"distributed": True})),
    Row("B60", "E_GANG", "at --gang", argv=submit("--gang", "2", "--array", "0-3")),
    *(Row("B41", "E_GPU_SHARE", "/resources/gpu", spec=needing(gpu=gpu)) for gpu in (1.5, 0.0001, "2500m")),
    Row("B41", "E_GPU_SHARE", "at --gpu: got '1.5'", argv=submit("--gpu", "1.5")),
    *(Row("B41", "E_RANGE", "/resources/gpu", spec=needing(gpu=gpu)) for gpu in (-1, "-0.5", 1025)),
    *(Row("B41", "E_UNIT", "/resources/gpu", spec=needing(gpu=gpu)) for gpu in ("all", "", "half")),
    Row("B41", "E_TYPE", "/resources/gpu", spec=needing(gpu=True)),
    Row("B42", "E_UNSATISFIABLE", "capacity:gpus", spec=needing(gpu=3, gpu_type="h100")),
    Row("B42", "E_UNSATISFIABLE", "capacity:gpus", argv=submit("--gpu", "h100:3")),
    Row("B42", "E_FIELD", "gpu_type without gpu", spec=needing(gpu_type="h100")),
    Row("B42", "E_FIELD", "gpu_memory without gpu", spec=needing(gpu_memory="40GiB")),
    Row("B42", "E_VALUE", "/resources/gpu_type", spec=needing(gpu=1, gpu_type="!")),
    Row("B42", "E_TYPE", "/resources/gpu_type", spec=needing(gpu=1, gpu_type=5)),
    Row("B42", "E_UNIT", "/resources/gpu_memory", spec=needing(gpu=1, gpu_memory="much")),
    Row("B42", "E_USAGE", "--gpu", argv=submit("--gpu", "a100:1", "--gpu-type", "a100")),
    Row("B43", "E_UNSATISFIABLE", "no node has the GPU GPU-1", spec=needing(gpu=1, gpu_uuid="GPU-1")),
    Row("B43", "E_UNSATISFIABLE", "corral gpu ls", argv=submit("--gpu", "1", "--gpu-uuid", "GPU-1")),
    Row("B43", "E_FIELD", "gpu_uuid without gpu", spec=needing(gpu_uuid="GPU-1")),
    Row("B43", "E_FIELD", "one GPU is named", spec=needing(gpu=2, gpu_uuid="GPU-1")),
    Row("B43", "E_VALUE", "/resources/gpu_uuid", spec=needing(gpu=1, gpu_uuid="GPU 1")),
    Row("B43", "E_TYPE", "/resources/gpu_uuid", spec=needing(gpu=1, gpu_uuid=7)),
    Row("B43", "E_VALUE", "at --gpu-uuid", argv=submit("--gpu", "1", "--gpu-uuid", "x y")),
    Row("B47", "E_RANGE", "got 11; expected 0–10", spec=job(retries=11)),
    Row("B47", "E_RANGE", "0–10", spec=job(retries=-1)),
    Row("B47", "E_RANGE", "got number 2.5; expected integer 0–10", spec=job(retries=2.5)),
    Row("B47", "E_RANGE", "--retries", argv=submit("--retries", "2.5")),
    Row("B48", "E_RANGE", "/backoff:", spec=job(backoff=-1)),
    Row("B48", "E_RANGE", "at least the backoff of 9 s", spec=job(backoff=9, backoff_max=1)),
    Row("B49", "E_RANGE", "1–10, or low, normal, high", spec=job(priority=0)),
    Row("B49", "E_RANGE", "got 11", spec=job(priority=11)),
    Row("B49", "E_RANGE", "got 'urgent'", spec=job(priority="urgent")),
    Row("B49", "", spec=job(priority="high")),
    Row("B49", "", argv=submit("--priority", "high")),
    Row("B49", "E_RANGE", "at --priority", argv=submit("--priority", "11")),
    *(
        Row("B51", "E_TYPE_NAME", "3–50 of [a-z0-9_]", spec={"tool": tool})
        for tool in ("AB", "a", "a" * 51, "a b", "abc\n")
    ),
    Row("B52", "E_TYPE_UNKNOWN", "did you mean wordcount?", spec={"tool": "wordcuont"}),
    Row(
        "B53",
        "E_INPUT",
        'Missing required input key "source_lang" for task type "translation"',
        spec={"tool": "translation", "input": {"text": "a", "target_lang": "th"}},
    ),
    Row("B53", "E_INPUT", "an empty input", spec={"tool": "wordcount", "input": {}}),
    Row("B53", "E_TYPE", "/input: got array", spec={"tool": "wordcount", "input": []}),
    Row(
        "B54",
        "E_INPUT",
        "/text breaks the rule `type` of the tool's schema",
        spec={"tool": "text_analysis", "input": {"text": None}},
    ),
    Row(
        "B54",
        "E_INPUT",
        "at /tasks/0/input/keywords",
        spec={"tasks": [{"tool": "text_analysis", "input": {"text": "a", "keywords": 0}}]},
    ),
    Row("B55", "E_NAME", "a name of 300 characters", spec=job(name="x" * 300)),
    Row("B55", "E_NAME", "an empty name", spec=job(name="")),
    Row("B55", "E_NAME", "an empty name", spec=job(name="   ")),
    Row("B55", "", spec=job(name="x" * 128)),
    Row("B55", "", spec=job(name="วิเคราะห์ข้อมูล 🚀 👩‍💻")),
    Row("B55", "E_NAME", r"got 'a\u202eb'", spec=job(name="a\u202eb")),
    Row("B56", "E_NAME", r"\x1b[2J", spec=job(name="\x1b[2J")),
    Row("B56", "", spec=job(name="[bold] [@click=app.quit]")),
    Row("B57", "E_LABEL", "got 'a=b'", spec=job(constraints={"labels": {"a=b": "c"}})),
    Row("B57", "E_LABEL", "at most 64", spec=job(constraints={"labels": {f"k{n}": "" for n in range(1000)}})),
    Row("B57", "E_LABEL", "at most 256", spec=job(constraints={"labels": {"k": "x" * 10_240}})),
    Row("B58", "E_CONSTRAINT", "at column 6", argv=submit("--label", "zone==")),
    Row("B58", "E_CONSTRAINT", "NAME=VALUE", argv=submit("--label", "zone")),
    Row("B58", "E_CONSTRAINT", "/constraints/nodes/0", spec=job(constraints={"nodes": ["A B"]})),
    Row("B58", "E_UNSATISFIABLE", "label:zone", spec=job(constraints={"labels": {"zone": "mars"}})),
    Row(
        "B59",
        "E_CYCLE",
        "a -> b -> a",
        spec={
            "tasks": [
                {"name": "a", "command": ["true"], "needs": ["b"]},
                {"name": "b", "command": ["true"], "needs": ["a"]},
            ]
        },
    ),
    Row("B59", "E_CYCLE", "a -> a", spec={"tasks": [{"name": "a", "command": ["true"], "needs": ["a"]}]}),
    Row(
        "B59",
        "E_NOT_FOUND",
        "did you mean train?",
        spec={"tasks": [{"name": "train", "command": ["x"]}, {"command": ["x"], "needs": ["trian"]}]},
    ),
    Row("B59", "E_TOO_MANY", "at most 10000", spec={"tasks": [{"command": ["x"]}] * 10_001}),
    Row("B59", "E_NOT_FOUND", "no such job at /after/0: got 987654321", spec=job(after=[987654321])),
    Row("B59", "E_ID", '"1041:ok"', spec=job(after=["yesterday"])),
    Row("B59", "E_ENUM", "did you mean failed?", spec=job(after=["1041:fail"])),
    Row("B59", "E_FIELD", "job 7 is named twice", spec=job(after=[7, "7:any"])),
    Row("B59", "E_TOO_MANY", "at most 1000", spec=job(after=[*range(1, 1002)])),
    Row(
        "B59",
        "E_ENUM",
        "did you mean any?",
        spec={"tasks": [{"name": "a", "command": ["x"]}, {"command": ["x"], "needs": ["a:anyy"]}]},
    ),
    Row("B46", "E_ARRAY", "1001 x 1000 = 1001000 tasks", spec=job(matrix=_GRID)),
    Row("B46", "E_ARRAY", "at most 1000000", spec={"tasks": [job(matrix=_GRID)]}),
    Row("B46", "", spec=job(matrix={"lr": [0.1, 0.01], "model": ["small", "large"]}, max_parallel=1)),
    Row("B46", "E_ARRAY", "no value for a", spec=job(matrix={"a": []})),
    Row("B46", "E_ARRAY", "each value once", spec=job(matrix={"a": [1, 1.0]})),
    Row("B46", "E_ARRAY", "at /matrix", spec=job(matrix={"a-b": [1]})),
    Row("B46", "E_ARRAY", "1–16", spec=job(matrix={f"n{n}": [1] for n in range(17)})),
    Row("B46", "E_TYPE", "/matrix/a", spec=job(matrix={"a": [[1]]})),
    Row("B46", "E_FIELD", "array and matrix exclude", spec=job(array="0-9", matrix={"a": [1]})),
    Row("B46", "E_FIELD", "nothing to bound", spec=job(max_parallel=2)),
    Row("B46", "E_RANGE", "1–1000000", spec=job(max_parallel=0, array="0-9")),
    Row("B46", "E_FIELD", "says % already", spec=job(max_parallel=2, array="0-9%3")),
    Row("B46", "E_ARRAY", "at --matrix", argv=submit("--matrix", "lr=1,1")),
    Row("B48", "E_ENUM", "did you mean timeout?", spec=job(retry_on=["timeouts"])),
    Row("B48", "E_RANGE", "exit:1 to exit:255", spec=job(retry_on=["exit:256"])),
    Row("B48", "E_ENUM", "did you mean signal:KILL?", argv=submit("--retry-on", "signal:KIL")),
    Row("B48", "E_TOO_MANY", "at most 64", spec=job(retry_on=["failed"] * 65)),
    Row("B61", "", spec=job(start_at="2020-01-01T00:00:00Z")),
    Row("B61", "", spec=job(start_at=1_577_836_800)),
    Row("B61", "E_TIME", "with its zone", spec=job(start_at="2027-01-01T00:00:00")),
    Row("B61", "E_TIME", "at most ten years", spec=job(start_at="2099-01-01T00:00:00Z")),
    Row("B61", "E_TIME", "at /start_at", spec=job(start_at="2027-02-30T00:00:00Z")),
    Row("B61", "E_TIME", "at /start_at", spec=job(start_at="tomorrow")),
    Row("B61", "E_TIME", "at /start_at", spec=job(start_at=-1)),
    Row("B61", "E_TIME", "at --start-at", argv=submit("--start-at", "2027-01-01")),
    *(
        Row("B66", "E_IMAGE", "expected NAME[:TAG]", spec=job(image=image))
        for image in (
            "x; rm -rf /",
            "../../x",
            "x" * 600,
            "",
            " ",
            "-v",
            "--privileged",
            "a b",
            "a\tb",
            "$(id)",
            "Ａ",
            "x:",
            "x@sha256:12",
            "/etc/passwd",
            "oci-archive:/srv/../etc/x",
            "dir:/etc",
        )
    ),
    Row("B66", "E_IMAGE", "--image", argv=submit("--image", "x; rm -rf /")),
    Row("B66", "E_IMAGE", "/tasks/0/image", spec={"tasks": [{"command": ["true"], "image": "../../x"}]}),
    Row("B66", "E_PATH", "/container/mounts/0", spec=job(image="x", container={"mounts": ["/a/../b"]})),
    Row("B67", "", spec=job(image="python:3.11")),
    Row("B68", "E_ENUM", "default, none, host", spec=job(network_policy="banana")),
    Row("B68", "E_USAGE", "--network", argv=submit("--network", "banana")),
    Row("B62", "E_CRON", "five fields", spec=job(cron="* * * *")),
    Row("B62", "E_CRON", "bad minute", spec=job(cron="61 * * * *")),
    Row("B62", "E_CRON", "it never fires", spec=job(cron="* * 30 2 *")),
    Row("B62", "E_CRON", "at /cron", spec=job(cron="*/0 * * * *")),
    Row("B62", "E_CRON", "at /cron", spec=job(cron="* * * * * *")),
    Row("B62", "E_CRON", "at /cron", spec=job(cron="")),
    Row("B62", "E_CRON", "at /cron", spec=job(cron="9" * 300 + " * * * *")),
    Row("B62", "E_TIME", "at /zone", spec=job(cron="@daily", zone="Mars/Olympus")),
    Row("B62", "E_TIME", "at /zone", spec=job(cron="@daily", zone="../../etc/passwd")),
    Row("B62", "E_ENUM", "/overlap", spec=job(cron="@daily", overlap="perhaps")),
    Row("B62", "E_FIELD", "overlap without cron", spec=job(overlap="allow")),
    Row("B62", "E_FIELD", "exclude each other", spec=job(cron="@daily", start_at="2027-01-01T00:00:00Z")),
    Row("B63", "E_ENV", "got 'A=B'", spec=job(env={"A=B": "1"})),
    Row("B63", "E_CHAR", "in a key", spec=job(env={"A\0": "1"})),
    Row("B63", "E_ENV", "[A-Za-z_]", spec=job(env={"": "1"})),
    Row("B63", "E_ENV", "LD_PRELOAD", spec=job(env={"LD_PRELOAD": "x"})),
    Row("B63", "E_ENV", "CORRAL_X", spec=job(env={"CORRAL_X": "x"})),
    Row("B64", "", spec=job(env={"A": "two\nlines"})),
)

WEBHOOKS = (
    *(
        Row("B70", "E_URL", f"at /url: got '{url}'", ask=("webhook.add", {"url": url, "on": ["job.failed"]}))
        for url in (
            "http://169.254.169.254/",
            "file:///etc/passwd",
            "https://user:pw@hooks.example.com/",
            "http://127.0.0.1/",
            "https://other.example.com/",
        )
    ),
    Row("B70", "E_URL", "", argv=("webhook", "add", "http://169.254.169.254/", "--on", "job.failed")),
    Row("B70", "E_URL", "", argv=("webhook", "add", "file:///etc/passwd", "--on", "job.failed")),
    Row("B70", "E_ENUM", "job.failed", argv=("webhook", "add", "https://hooks.example.com/", "--on", "all")),
)

NODES = (
    Row("B85", "E_NODE_KEY", "got 'n2'; expected n1", agent=(NodeVerb.REGISTER, {"node": "n2"})),
    Row("B87", "E_RANGE", "cpu_millis", agent=(NodeVerb.REGISTER, {"capacity": [-1, 1, 0, 0, 0]})),
    Row("B87", "E_RANGE", "cpu_millis", agent=(NodeVerb.REGISTER, {"capacity": [10**12, 1, 0, 0, 0]})),
    Row("B89", "E_FENCED", "does not hold", agent=(NodeVerb.INPUTS, {"attempt": [1, 0, 99]})),
    Row("B92", "E_RANGE", "exit_code", agent=(NodeVerb.REPORT, {"exit_code": 256})),
    Row("B92", "E_RANGE", "exit_code", agent=(NodeVerb.REPORT, {"exit_code": -1})),
    Row("B92", "E_TYPE", "expected integer", agent=(NodeVerb.REPORT, {"exit_code": "zero"})),
    Row("B93", "E_VERSION", "older", agent=(NodeVerb.REGISTER, {"protocol": 0})),
    Row("B93", "E_VERSION", "install", agent=(NodeVerb.REGISTER, {"protocol": 99})),
    Row(
        "B94",
        "E_RANGE",
        "number of labels",
        agent=(NodeVerb.REGISTER, {"labels": {str(n): "" for n in range(999)}}),
    ),
    Row("B94", "E_RANGE", "length of a text", agent=(NodeVerb.REGISTER, {"labels": {"x" * 10_240: ""}})),
)

COMMAND = (
    Row("B107", "E_FIELD", "--columns", argv=("jobs", "--columns", "password_hash")),
    Row("B107", "E_FIELD", "evil", argv=("jobs", "--sort", "evil")),
    Row("B107", "E_FIELD", "/sort", ask=("job.list", {"sort": "evil"})),
    Row("B108", "E_TIME", "--since", argv=("events", "--since", "yesterday-ish")),
    Row("B108", "E_RANGE", "--limit", argv=("jobs", "--limit", "-1")),
    Row("B108", "E_RANGE", "10,000", argv=("jobs", "--limit", "1000000000")),
    Row("B108", "E_RANGE", "/limit", ask=("job.list", {"limit": -1})),
    Row("B108", "E_RANGE", "1–", ask=("job.list", {"limit": 1_000_000_000})),
    *(
        Row("B109", "E_ID", "1042", argv=("job", name))
        for name in ("abc", "1e3", " 12", "१२", "1042.", "-x", "")
        if not name.startswith("-")
    ),
    *(Row("B109", "E_ID", "1042", ask=("job.show", {"job": name})) for name in ("abc", "1e3", " 12", "१२")),
    Row("B110", "E_AMBIGUOUS", "more of", ask=("job.show", {"job": "abcdef01"})),
    Row("B112", "E_USAGE", "did you mean submit?", argv=("sumbit",)),
    Row("B112", "E_USAGE", "did you mean --limit?", argv=("jobs", "--lmit", "3")),
    Row("B113", "E_USAGE", "json", argv=("jobs", "-o", "yml")),
)

ROWS = ENVELOPE + VALUES + SPEC + WEBHOOKS + NODES + COMMAND

LATER: dict[str, dict[str, Any]] = {
    "B65": job(secrets=["secret://nope"]),
    "B69": job(ports=[0]),
    "B73": job(resume_from="1042"),
}
"""Rows of later work that a job can ask for already: refused today, by name, before anything happens."""
