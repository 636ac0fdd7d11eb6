"""Every error code: what it means, what to do about it, the status and the exit code that go with it.

A code is stable once it is here. `corral help E_CODE` and docs/errors.md are drawn from this table.
"""

from __future__ import annotations

from bus.code import Code
from bus.container_codes import CONTAINER_CODES
from bus.content_codes import CONTENT_CODES
from bus.gpu_codes import GPU_CODES
from bus.session_codes import SESSION_CODES
from bus.tool_codes import TOOL_CODES
from bus.volume_codes import VOLUME_CODES
from bus.webhook_codes import WEBHOOK_CODES

CODES: dict[str, Code] = {
    **CONTAINER_CODES,
    **CONTENT_CODES,
    **TOOL_CODES,
    **GPU_CODES,
    **VOLUME_CODES,
    **WEBHOOK_CODES,
    # the message as a whole
    "E_EMPTY": Code(
        "empty message",
        "The payload has no bytes, and this operation asks for something.",
        'send one JSON object, for example {"job": "1042"}',
        400,
    ),
    "E_JSON": Code(
        "not JSON",
        "The payload, or a job file, cannot be read as JSON (TOML, YAML); it says where reading ended.",
        "send one JSON object in UTF-8 without a byte order mark",
        400,
    ),
    "E_MSGPACK": Code(
        "not MessagePack",
        "The first byte announces MessagePack, and what follows is none.",
        "send one map; JSON is understood as well",
        400,
    ),
    "E_ENCODING": Code(
        "not UTF-8",
        "The text is not UTF-8, or the payload is compressed or in an encoding that is not spoken here.",
        "send plain UTF-8, uncompressed, without a Content-Encoding header",
        400,
    ),
    "E_TOO_LARGE": Code(
        "too large",
        "A message holds at most 1 MiB, a command's arguments at most 128 KiB.",
        "an array or --for-each stays one short message; long input belongs into a file or --stdin",
        413,
    ),
    "E_DEPTH": Code(
        "nested too deeply",
        "Lists and objects nest at most 32 levels.",
        "flatten the message",
        400,
    ),
    "E_KEYS": Code(
        "too many keys",
        "One object holds at most 10,000 keys.",
        "put large data into a file",
        400,
    ),
    "E_DUP_KEY": Code(
        "a key appears twice",
        "Readers differ in which of two equal keys they take, so neither is taken.",
        "send each key once",
        400,
    ),
    "E_NUMBER": Code(
        "not a number that can be kept",
        "Integers are within int64, other numbers finite: no NaN, no Infinity.",
        "send very large numbers as text",
        400,
    ),
    "E_CHAR": Code(
        "a character that no text may hold",
        "NUL and lone surrogates can be stored nowhere.",
        "leave the character out, or encode the data as base64",
        400,
    ),
    "E_VERSION": Code(
        "unknown version",
        "The message, client or agent speaks a version of the protocol that this coordinator does not.",
        "install the same version of Corral on both sides",
        400,
        78,
    ),
    "E_SUBJECT": Code(
        "no such subject",
        "The operation does not exist, or a token of the subject cannot be one.",
        "docs/protocol.md lists every subject",
        404,
    ),
    "E_REPLY": Code(
        "the answer would go elsewhere",
        "A request names the subject for its answer; it must lie below its sender's own inbox.",
        "set the client's inbox prefix; to submit without an answer, publish on corral.u.<user>.publish",
        403,
        5,
    ),
    # fields of a request
    "E_FIELD": Code(
        "unknown field",
        "Requests are strict: a field that is not known, or not together with another one, is refused.",
        "docs/protocol.md lists the fields",
    ),
    "E_REQUIRED": Code(
        "a required field is missing",
        "Without this field the request means nothing.",
        "add the field",
    ),
    "E_NULL": Code(
        "null where a value is needed",
        "null is not a value of this field.",
        "leave the field out to have its default",
    ),
    "E_TYPE": Code(
        "wrong type",
        'Values are never converted on the bus: "4" is no integer, true is none either.',
        "send the type that is named",
    ),
    "E_ENUM": Code(
        "unknown value",
        "The field takes one of a few words.",
        "use one of the words that are listed",
    ),
    "E_VALUE": Code(
        "invalid value",
        "The value breaks a rule of its field.",
        "see the message",
    ),
    "E_GPU_SHARE": Code(
        "not a share of a GPU",
        "A task gets whole GPUs, or a share of a single one in thousandths; there is no GPU and a half.",
        'for example 2, "0.5" or "250m"',
    ),
    "E_RANGE": Code(
        "out of range",
        "A number lies outside what its field allows.",
        "use a number in the range that is named",
    ),
    "E_UNIT": Code(
        "not an amount",
        "Cores are 2, 0.5 or 500m; sizes 512 (MiB), 512M, 4GiB or 4GB; rates 100Mbit or 1Gbit.",
        "write a number with one of the units that are listed",
    ),
    "E_DURATION": Code(
        "not a duration",
        "Durations are 90 (seconds), 1h30m, 02:00:00 or 1-02:00:00, above zero and at most 365 days.",
        "write a duration in one of these forms",
    ),
    "E_TIME": Code(
        "not an instant",
        "Instants are seconds of the Unix epoch on the bus, RFC 3339 or a duration ago on the command line.",
        "write for example 2026-05-01T12:00:00Z, or 2h for two hours ago",
    ),
    "E_CRON": Code(
        "not a time that repeats",
        "Five fields: minute, hour, day of the month, month, weekday, as in crontab(5); or @hourly, @daily, "
        "@weekly, @monthly, @yearly.",
        "write for example 30 4 * * mon-fri",
    ),
    "E_ID": Code(
        "not an id",
        "Jobs are named 1042, @last or by the first 8 characters of an id; tasks 1042.7, attempts 1042.7#2.",
        "corral jobs and corral tasks JOB show the ids",
    ),
    "E_AMBIGUOUS": Code(
        "more than one fits",
        "The beginning of an id fits several jobs.",
        "write more of the id",
        409,
    ),
    "E_FILTER": Code(
        "not a filter",
        "A filter is conditions such as state=failed age>1h, all of which must hold.",
        "docs/filter.md explains the conditions",
    ),
    "E_CURSOR": Code(
        "not a cursor of this list",
        "A cursor continues the list that it came from, with the same filter and order.",
        "start again without a cursor",
    ),
    # a job
    "E_COMMAND": Code(
        "an empty command",
        "A command is a list whose first word names a program.",
        'for example ["sh", "-c", "echo hello"]',
    ),
    "E_NAME": Code(
        "not a name",
        "Names of jobs have 1 to 128 characters of any script, none of them invisible; names of tasks,"
        " nodes and users are shorter and plainer.",
        "small letters, digits and hyphens are fine everywhere",
    ),
    "E_NAME_CLASH": Code(
        "a name is used twice",
        "Tasks of one job, and what must be told apart otherwise, have different names.",
        "choose another name",
    ),
    "E_TYPE_NAME": Code(
        "not a task type",
        "Names of task types and tools are 3 to 50 of a-z, 0-9 and _.",
        "corral submit --help names the tools",
    ),
    "E_TYPE_UNKNOWN": Code(
        "unknown task type",
        "No tool of this cluster has that name.",
        "use one of the tools that are listed, or a command",
    ),
    "E_INPUT": Code(
        "input that its task type cannot use",
        "A task type names the keys that its input must have.",
        "add the key that is named",
    ),
    "E_ENV": Code(
        "a variable that a job may not set",
        "Names are letters, digits and _; those that change the loader, a shell's start or Corral itself"
        " (LD_*, CORRAL_*, NATS_*, PG*, PYTHONPATH, BASH_ENV …) are refused.",
        "choose another name, or set it inside the command",
    ),
    "E_PATH": Code(
        "not a usable path",
        "The path does not exist here, is not absolute, or climbs with `..`.",
        "write an absolute path",
    ),
    "E_TRACE": Code(
        "not a usable trace",
        "The file is no workload in the format that was named, or too short for what was asked.",
        "look at the line that is named; SWF has 18 numbers a job, openb CSV files with a header",
    ),
    "E_ARRAY": Code(
        "not an array of tasks",
        "Indices are written 0-99, 0-99%10 (ten at once) or 1,5,9-20:2; a matrix is names with lists of "
        "values. At most 1,000,000 tasks, each once.",
        "write the indices or values in one of these forms, or submit several jobs",
    ),
    "E_GANG": Code(
        "not a gang that could start",
        "A gang is one task of 1 to 1,024 ranks that start together: no array, no more than fit at once.",
        "ask for fewer ranks, or for less in each",
    ),
    "E_TOO_MANY": Code(
        "too many entries",
        "One message lists at most 10,000 tasks.",
        "use an array or for_each, which stay one short message",
    ),
    "E_CYCLE": Code(
        "tasks wait for each other in a circle",
        "The names along the circle are told, the first one repeated.",
        "take one `needs` out of the circle",
    ),
    "E_LABEL": Code(
        "not a label",
        "At most 64 labels; a name is 1 to 63 of letters, digits, _ . / -; a value at most 256 characters.",
        "corral nodes -o wide shows the labels of the nodes",
    ),
    "E_CONSTRAINT": Code(
        "not a constraint",
        "A constraint is NAME=VALUE for a label, or the name of a node.",
        "for example --label zone=a, --node n1",
    ),
    "E_KEY": Code(
        "not an idempotency key",
        "A key is 1 to 128 of letters, digits, . _ : -.",
        "a UUID is a good key",
    ),
    "E_IDEM_CONFLICT": Code(
        "the key belongs to another job",
        "The same key was sent with another body; the first job stands.",
        "choose a new key for a new job",
        409,
        6,
    ),
    "E_UNSATISFIABLE": Code(
        "no node could ever run it",
        "No registered node, up or down, has the resources, labels or tools that are asked for.",
        "ask for less, or add a node",
        422,
        7,
    ),
    "E_LEARNED": Code(
        "not what was learned",
        "The document is damaged, or of a version that this coordinator does not read.",
        "give corral scheduler import a file that corral scheduler export wrote",
    ),
    "E_REPLAY": Code(
        "the replay failed",
        "Orders could not be replayed: the trace cannot be read, or it took too long.",
        "corral scheduler status says why; the coordinator's log says more",
        500,
        1,
    ),
    "E_PICKLE": Code(
        "a pickle",
        "A pickle is a program that runs when it is read, so none is: neither alone nor within an archive.",
        "what was learned is JSON, and its weights are npz without objects",
    ),
    # who asks
    "E_AUTH": Code(
        "not known here",
        "There are no credentials, they cannot be read, or no user has that name.",
        "corral login, or --credentials FILE",
        401,
        4,
    ),
    "E_TOKEN_FORMAT": Code(
        "not a credential",
        "The token or credentials file is damaged or something else.",
        "copy it again, whole",
        401,
        4,
    ),
    "E_TOKEN_MODE": Code(
        "a secret that others can read",
        "Files with secrets are readable by their owner only.",
        "chmod 600 FILE",
        401,
        4,
    ),
    "E_TOKEN_EXPIRED": Code(
        "expired",
        "The token or credential was good for a time that is over.",
        "corral login with a new token from an admin; corral token makes tokens",
        401,
        4,
    ),
    "E_TOKEN_REVOKED": Code(
        "used or revoked",
        "The token was used before, or an admin took it or the credential back, or it is of another cluster.",
        "corral login with a new token from an admin; corral token makes tokens",
        401,
        4,
    ),
    "E_TLS": Code(
        "the server cannot be trusted",
        "What answers at the address did not prove that it is the cluster's server; nothing was told to it.",
        "check the address: its name must be one that corral up --listen was given",
        503,
        69,
    ),
    "E_TOO_OFTEN": Code(
        "too many requests",
        "More was asked in a moment than is answered in one.",
        "wait a moment and ask again",
        429,
        75,
        True,
    ),
    "E_SUSPENDED": Code(
        "the user is suspended",
        "The account exists and may do nothing now.",
        "ask an admin",
        403,
        5,
    ),
    "E_FORBIDDEN": Code(
        "not allowed",
        "The role or the credentials do not allow this.",
        "ask an operator or admin",
        403,
        5,
    ),
    "E_NOT_FOUND": Code(
        "no such thing",
        "It does not exist, or is somebody else's: the answer is the same.",
        "corral jobs, corral nodes list what there is",
        404,
        3,
    ),
    # agents
    "E_NODE_KEY": Code(
        "a node spoke for another one",
        "A node's key belongs to one name.",
        "give every machine its own name and its own key",
        403,
        5,
    ),
    "E_FENCED": Code(
        "somebody else has its place",
        "A node's attempt was given to somebody else, or a second agent runs with the same key; what the"
        " older one says changes nothing.",
        "give every machine one agent with a key of its own",
        409,
        6,
    ),
    # the state of things
    "E_CONFLICT": Code(
        "not in its present state",
        "What is asked does not go together with the state of the job, task or node.",
        "look at its state first",
        409,
        6,
    ),
    "E_STALE": Code(
        "the list has changed",
        "A filter lets others through than when the list was looked at: nothing was done.",
        "look at the list again, and ask with its revision; 0 takes whatever matches now",
        409,
        6,
    ),
    "E_UNAVAILABLE": Code(
        "not available now",
        "Nobody answers: the coordinator, the database or a node is away, or just starting.",
        "try again; corral status shows what runs on this machine",
        503,
        69,
        True,
    ),
    "E_TIMEOUT": Code(
        "no answer in time",
        "The request may or may not have been carried out.",
        "look first, or repeat with the same --dedupe-key",
        504,
        75,
        True,
    ),
    "E_INTERNAL": Code(
        "internal error",
        "A fault of Corral itself; the coordinator's log has the details.",
        "report it with the request id",
        500,
        69,
    ),
    # the command and its machine
    "E_USAGE": Code(
        "a wrong command line",
        "The line could not be understood.",
        "corral VERB --help",
        400,
    ),
    "E_CONFIG": Code(
        "a wrong setting",
        "A configuration file or variable cannot be used; the file and line are named.",
        "corral config explain KEY shows where a setting comes from",
        400,
        78,
    ),
    "E_DATA": Code(
        "the data folder cannot be used",
        "It belongs to somebody else, is full, or was made by another version.",
        "choose another with --data",
        400,
        78,
    ),
    "E_START": Code(
        "a program did not start",
        "One of Corral's processes ended while it started; its log is named.",
        "corral status, and the logs in the data folder",
        503,
        69,
    ),
    "E_IO": Code(
        "reading or writing failed",
        "A file or stream on this machine could not be used.",
        "the file is named; look at its permissions and the space on its disk",
        400,
        69,
    ),
    "E_TERMINAL": Code(
        "no terminal",
        "The console needs a terminal.",
        "use the other verbs in scripts and pipes",
        400,
    ),
    # streams and sessions
    **SESSION_CODES,
}
