"""Which attempt may start now: never more than the node has, in order, granted ones first.

Pure. The guard decides this itself, so that the next task starts when one ends without a word to the
agent; a prefilled queue of short tasks keeps its slots full.
"""

from __future__ import annotations

from agent.guard.wire import GPU_FIELD, GPU_MILLI, Amounts, Item, Key


class Admission:
    """Two lines and a ledger of what is free.

    The order is strict: when the first in line does not fit, nobody overtakes it, so a large task is not
    starved by small ones. Granted attempts stand before waiting ones.
    """

    def __init__(self) -> None:
        self._capacity: Amounts = (0, 0, 0, 0, 0)
        self._gpus: tuple[str, ...] = ()
        self._free: list[int] = [0, 0, 0, 0, 0]
        self._free_milli: dict[str, int] = {}  # of each GPU
        self._held: dict[Key, Item] = {}
        self._granted: dict[Key, Item] = {}
        self._waiting: dict[Key, Item] = {}
        self._shelved: dict[Key, Item] = {}

    def resize(self, capacity: Amounts, gpus: tuple[str, ...]) -> list[Item]:
        """The node has this much from now on; returns those in line that can never fit."""
        self._capacity, self._gpus = capacity, gpus
        self._free = list(capacity)
        for item in self._held.values():
            self._take(item)
        self._free_milli = dict.fromkeys(gpus, GPU_MILLI)
        for item in self._held.values():
            self._change_gpus(item, -1)
        misfits = [item for item in self.queued() if self.refusal(item)]
        for item in misfits:
            self.withdraw(item.key)
        return misfits

    def refusal(self, item: Item) -> str:
        """Why this can never run here; empty if it can."""
        if any(asked > there for asked, there in zip(item.resources, self._capacity, strict=True)):
            return f"asks for {item.resources}, this node has {self._capacity}"
        unknown = [gpu for gpu in item.gpus if gpu not in self._gpus]
        return f"no GPU {unknown[0]} here" if unknown else ""

    def enqueue(self, item: Item) -> None:
        """Put it at the end of its line."""
        (self._granted if item.granted else self._waiting)[item.key] = item

    def take_next(self) -> Item | None:
        """The next attempt to start, its resources held and its GPUs chosen, if it fits."""
        line = self._granted or self._waiting
        if not line:
            return None
        key = next(iter(line))
        item = line[key]
        if any(asked > free for asked, free in zip(item.resources, self._free, strict=True)):
            return None
        chosen = self._choose(item)
        if chosen is None:
            return None
        del line[key]
        item = item._replace(gpus=chosen)
        self._held[key] = item
        self._take(item)
        self._change_gpus(item, -1)
        return item

    def shelve(self, key: Key) -> bool:
        """Out of the line until `unshelve`, if it stands there; those behind it go on."""
        item = self._granted.pop(key, None) or self._waiting.pop(key, None)
        if item is not None:
            self._shelved[key] = item
        return key in self._shelved

    def unshelve(self, key: Key) -> bool:
        """Back at the end of its line, if it was shelved."""
        item = self._shelved.pop(key, None)
        if item is not None:
            self.enqueue(item)
        return item is not None

    def release(self, key: Key) -> None:
        """What this attempt held is free again."""
        item = self._held.pop(key)
        for field, amount in enumerate(item.resources):
            self._free[field] += amount
        self._change_gpus(item, 1)

    def withdraw(self, key: Key) -> Item | None:
        """Out of the line, if it stands there."""
        lines = (self._granted, self._waiting, self._shelved)
        return next((line.pop(key) for line in lines if key in line), None)

    def withdraw_all(self) -> list[Item]:
        """Empty both lines, the shelved ones with them."""
        items = self.queued()
        self._granted.clear()
        self._waiting.clear()
        self._shelved.clear()
        return items

    def queued(self) -> list[Item]:
        """Who has not started: those in line in order of start, then the shelved ones."""
        return [*self._granted.values(), *self._waiting.values(), *self._shelved.values()]

    def shelved(self) -> list[Key]:
        return list(self._shelved)

    @property
    def is_empty(self) -> bool:
        """Whether nobody waits to start, nor is shelved."""
        return not (self._granted or self._waiting or self._shelved)

    @property
    def has_queue(self) -> bool:
        return bool(self._granted or self._waiting)

    def _choose(self, item: Item) -> tuple[str, ...] | None:
        """The GPUs for it: those that were named, else any free ones; None while they are not free."""
        wanted = item.gpu_milli or GPU_MILLI
        able = [gpu for gpu, free in self._free_milli.items() if free >= wanted]
        if item.gpus:
            return item.gpus if all(gpu in able for gpu in item.gpus) else None
        count = 1 if item.gpu_milli else item.resources[GPU_FIELD]
        return tuple(able[:count]) if len(able) >= count else None

    def _change_gpus(self, item: Item, sign: int) -> None:
        """Give back (1) or take (-1) what `item` has of them; one that the node lost is nobody's any more."""
        for gpu in item.gpus:
            if gpu in self._free_milli:
                self._free_milli[gpu] += sign * (item.gpu_milli or GPU_MILLI)

    def _take(self, item: Item) -> None:
        for field, amount in enumerate(item.resources):
            self._free[field] -= amount
