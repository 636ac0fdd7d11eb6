"""Data-parallel training with nothing but sockets and numpy: what `torch.distributed` does, in a page.

    corral submit --gang 4 -- python train_sockets.py     one process a rank, by RANK, WORLD_SIZE, MASTER_ADDR
    python train_sockets.py --alone 4                     the same in one process: the same bits

It learns which letter follows which in a real text, the manual that Python ships (`pydoc_data.topics`):
softmax regression on letter pairs, each rank on its part of the text, the gradients summed over the ranks in
each step.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from hashlib import sha256
from pydoc_data.topics import topics

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LETTERS = " abcdefghijklmnopqrstuvwxyz"
STEPS = 40
RATE = 20.0
PATIENCE_S = 30.0


def pairs() -> NDArray[np.int64]:
    """The letters of the text, each with the one after it; shape (pairs, 2)."""
    text = " ".join(topics[name] for name in sorted(topics)).lower()
    codes = np.array([LETTERS.find(letter) for letter in text if letter in LETTERS], dtype=np.int64)
    return np.stack([codes[:-1], codes[1:]], axis=1)


def gradient(weights: Floats, part: NDArray[np.int64]) -> Floats:
    """Summed over a part of the text; the last row has the summed loss in its first place."""
    counts = np.zeros((len(LETTERS), len(LETTERS)))
    np.add.at(counts, (part[:, 0], part[:, 1]), 1.0)
    shifted = weights - weights.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    slope = counts.sum(axis=1, keepdims=True) * np.exp(logs) - counts
    last = np.zeros((1, len(LETTERS)))
    last[0, 0] = -(counts * logs).sum()
    return np.concatenate([slope, last])


class Ranks:
    """The sum over all ranks: each sends its part to rank 0, which adds them up by rank and sends it back."""

    def __init__(self, rank: int, size: int, address: tuple[str, int]) -> None:
        self.rank, self.size = rank, size
        self._peers: list[socket.socket] = []
        if rank == 0 and size > 1:
            with socket.create_server(("", address[1])) as server:
                server.settimeout(PATIENCE_S)
                found = [server.accept()[0] for _ in range(size - 1)]
            for peer in found:
                peer.settimeout(PATIENCE_S)
            self._peers = sorted(found, key=lambda peer: peer.recv(4))
        elif rank:
            peer = _connect(address)
            peer.sendall(rank.to_bytes(4, "big"))
            self._peers = [peer]

    def all_reduce(self, own: Floats) -> Floats:
        if self.rank:
            self._peers[0].sendall(own.tobytes())
            return _receive(self._peers[0], own)
        total = own
        for peer in self._peers:
            total = total + _receive(peer, own)
        for peer in self._peers:
            peer.sendall(total.tobytes())
        return total


def _connect(address: tuple[str, int]) -> socket.socket:
    """Rank 0 may not listen yet: all were started at once."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return socket.create_connection(address, timeout=PATIENCE_S)
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def _receive(peer: socket.socket, like: Floats) -> Floats:
    data = bytearray()
    while len(data) < like.nbytes:
        piece = peer.recv(like.nbytes - len(data))
        if not piece:
            raise ConnectionError("a rank is gone")
        data += piece
    return np.frombuffer(bytes(data)).reshape(like.shape)


def train(parts: list[NDArray[np.int64]], total: int, ranks: Ranks) -> dict[str, object]:
    """`parts`: those of this process, in the order of their ranks."""
    weights = np.zeros((len(LETTERS), len(LETTERS)))
    loss = 0.0
    for _ in range(STEPS):
        own = gradient(weights, parts[0])
        for part in parts[1:]:
            own = own + gradient(weights, part)
        summed = ranks.all_reduce(own)
        loss = float(summed[-1, 0]) / total
        weights = weights - RATE / total * summed[:-1]
    return {"loss": round(loss, 6), "weights": sha256(weights.tobytes()).hexdigest()}


def main() -> None:
    alone = int(sys.argv[2]) if sys.argv[1:2] == ["--alone"] else 0
    size = alone or int(os.environ["WORLD_SIZE"])
    data = pairs()
    parts = np.array_split(data, size)
    if alone:
        answer = train(parts, len(data), Ranks(0, 1, ("", 0)))
    else:
        rank = int(os.environ["RANK"])
        ranks = Ranks(rank, size, (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])))
        answer = train([parts[rank]], len(data), ranks) | {"rank": rank, "ranks": size}
    print(json.dumps(answer))  # noqa: T201
    if output := os.environ.get("CORRAL_OUTPUT"):
        with open(output, "w", encoding="utf-8") as file:
            json.dump(answer, file)


if __name__ == "__main__":
    main()
