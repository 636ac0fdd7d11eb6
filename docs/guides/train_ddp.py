"""The same training with PyTorch: `torch.distributed` (gloo, `env://`) and DistributedDataParallel.

    corral submit --gang 2 -- python train_ddp.py
    python train_ddp.py --alone            one process, all of the text

Two ranks add two numbers, and a + b is b + a: with two ranks of equal parts the weights are those of one
process that adds the same two gradients (`--alone`), bit by bit.
"""

from __future__ import annotations

import os
import sys
from hashlib import sha256
from pydoc_data.topics import topics

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

LETTERS = " abcdefghijklmnopqrstuvwxyz"
STEPS = 20
RATE = 20.0


def pairs() -> torch.Tensor:
    """The letters of the manual that Python ships, each with the one after it; an even number of pairs."""
    text = " ".join(topics[name] for name in sorted(topics)).lower()
    codes = torch.tensor([LETTERS.find(letter) for letter in text if letter in LETTERS])
    both = torch.stack([codes[:-1], codes[1:]], dim=1)
    return both[: len(both) // 2 * 2]


def model() -> torch.nn.Module:
    torch.manual_seed(7)
    return torch.nn.Embedding(len(LETTERS), len(LETTERS))


def loss_of(network: torch.nn.Module, part: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(network(part[:, 0]), part[:, 1])


def together() -> tuple[torch.nn.Module, float]:
    """This rank's part; DDP averages the gradients over the ranks."""
    dist.init_process_group("gloo", init_method="env://")
    rank, size = dist.get_rank(), dist.get_world_size()
    part = pairs().chunk(size)[rank]
    network = DistributedDataParallel(model())
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE)
    loss = torch.zeros(1)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(network, part)
        loss.backward()
        optimizer.step()
    mean = loss.detach().clone()
    dist.all_reduce(mean)
    dist.destroy_process_group()
    return network.module, float(mean) / size


def alone() -> tuple[torch.nn.Module, float]:
    """The two parts one after the other, their gradients averaged as DDP does."""
    network = model()
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE)
    parts = pairs().chunk(2)
    total = 0.0
    for _ in range(STEPS):
        grads, losses = [], []
        for part in parts:
            optimizer.zero_grad()
            loss = loss_of(network, part)
            loss.backward()
            grads.append(network.weight.grad.clone() / 2)
            losses.append(loss.detach())
        network.weight.grad = grads[0] + grads[1]
        optimizer.step()
        total = float((losses[0] + losses[1]) / 2)
    return network, total


def main() -> None:
    torch.set_num_threads(1)
    network, loss = alone() if sys.argv[1:] == ["--alone"] else together()
    digest = sha256(
        bytes(network.weight.detach().contiguous().view(torch.uint8).flatten().tolist())
    ).hexdigest()
    where = f"rank {os.environ.get('RANK', '-')} of {os.environ.get('WORLD_SIZE', '-')}"
    print(f"{where} on {os.environ.get('CORRAL_NODE', 'no node')}: loss {loss:.6f}, weights {digest[:16]}")  # noqa: T201


if __name__ == "__main__":
    main()
