"""What keeps a task off a node, in words: the short stable codes of an explanation are for programs."""

from __future__ import annotations

from tui.view.safe import safe_line

_RESOURCES = {
    "cpu_millis": "cores",
    "mem_mib": "memory",
    "gpus": "GPUs",
    "storage_mib": "storage",
    "net_mbps": "network",
}
_ADMIN = {"inactive": "cordoned", "failed": "quarantined"}
_WHOLE = {
    "node": "not asked for",
    "gpu_type": "GPUs of another model",
    "gpu_memory": "GPUs with too little memory",
    "gpu_share": "cannot share a GPU",
    "ranks": "agent too old for gangs",
    "gpu_quarantined": "GPUs in quarantine",
    "gpu_uuid": "has not the GPU named",
    "gpu_uuid_quarantined": "the GPU named is in quarantine",
    "left_out": "could not start it lately",
    "reserved": "kept free for who waits longer",
}


def obstacle_words(code: str) -> str:
    """ "busy:cpu_millis" → "too little free: cores"; a code that nobody knows here stays as it is."""
    kind, _, what = code.partition(":")
    match kind:
        case "busy":
            return f"too little free: {_RESOURCES.get(what, safe_line(what))}"
        case "capacity":
            return f"too small: {_RESOURCES.get(what, safe_line(what))}"
        case "label":
            return f"no label {safe_line(what)}"
        case "tool":
            return f"no tool {safe_line(what)}"
        case "avoid":
            return "runs tasks of its own job" if what == "self" else f"runs tasks of job {safe_line(what)}"
        case "admin":
            return _ADMIN.get(what, safe_line(what))
        case "health":
            return safe_line(what)
        case "kind":
            return f"a {safe_line(what)} node"
        case _:
            return _WHOLE.get(code, safe_line(code))
