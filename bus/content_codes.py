"""The codes of what tasks and people leave: files, their names, hashes and archives. Part of `bus.codes`."""

from __future__ import annotations

from bus.code import Code

CONTENT_CODES: dict[str, Code] = {
    "E_FILETYPE": Code(
        "not a plain file",
        "Only regular files are taken: no links (nor files with a second name), folders, pipes or devices.",
        "copy the data into a file of its own",
    ),
    "E_CHANGED": Code(
        "the file changed while it was read",
        "What was read is neither the old nor the new file, so it was not kept.",
        "write under another name and rename it when it is complete",
        409,
        6,
    ),
    "E_HASH": Code(
        "the content is not what its hash says",
        "Length or SHA-256 differ from what was announced or recorded; nothing of it is shown or used.",
        "send or fetch it again; if it stays, the copy on that node is damaged",
        409,
        6,
    ),
    "E_SPACE": Code(
        "no room left",
        "The store of the node has reached its limit, or its disk would get too full.",
        "corral artifact gc frees what nobody needs; corral artifact rm what you no longer want",
        503,
        69,
        True,
    ),
    "E_CKPT": Code(
        "not a checkpoint that this task can go on from",
        "A task goes on from complete checkpoints of its own; shards by as many ranks as saved them.",
        "corral checkpoint ls TASK shows them",
        409,
        6,
    ),
    "E_EXTRA": Code(
        "a part that is not installed",
        "What reads buckets (s3://) is an extra of the installation, which this machine does not have.",
        "pip install 'corral[s3]' where the agent runs",
        409,
        6,
    ),
    "E_ARCHIVE": Code(
        "not a safe archive",
        "A member would lie outside the folder, is no plain file, is encrypted, or there is too much.",
        "fetch it without --extract and look into it by hand",
    ),
}
