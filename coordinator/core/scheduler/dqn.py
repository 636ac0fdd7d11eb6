"""A small network that learns which job should go next: double DQN, by hand in numpy.

    y = r + γ · Q⁻(s′, argmax_a Q(s′, a))          δ = Q(s, a) − y          Q is fitted to y by Adam

Mnih et al., Nature 2015 (replay memory, target network Q⁻); van Hasselt et al., AAAI 2016 (the online network
chooses, the target network values); He et al., ICCV 2015 (first weights); Kingma & Ba, ICLR 2015 (Adam).
Departures: there is no fixed set of actions. A row of numbers describes the queue and one of its candidates
(`candidates`), and the network gives that row one value (as He et al., ACL 2016, do for texts). δ enters the
gradient clipped to ±1. Rewards are divided by their own running mean.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from coordinator.core.scheduler.arrays import pack
from coordinator.core.scheduler.candidates import FEATURES, ROWS
from coordinator.core.scheduler.kept import Unreadable, unpack

Floats = NDArray[np.float64]
Parameters = list[Floats]
"""Matrix, offsets, matrix, offsets … from the input to the value."""

FIRST_DECAY, SECOND_DECAY, TINY = 0.9, 0.999, 1e-8
"""Adam's, as published."""

SCALE_DECAY = 0.999

_PARTS = ("online", "target", "first", "second")


class Knobs(Struct, frozen=True, kw_only=True):
    """`discount` a decision; a fit is of `batch` experiences; the target network follows each `sync` fits."""

    hidden: tuple[int, ...] = (32, 32)
    rate: float = 5e-4
    discount: float = 0.98
    batch: int = 64
    sync: int = 250
    capacity: int = 16_384


class Experience(NamedTuple):
    """`state`, `next_state`: a row for each candidate of then; `action`: whose row was followed."""

    state: Floats
    action: int
    reward: float
    next_state: Floats
    done: bool


class Memory:
    """The latest experiences, in arrays."""

    def __init__(self, capacity: int) -> None:
        self.states = np.zeros((capacity, FEATURES))
        self.rewards = np.zeros(capacity)
        self.nexts = np.zeros((capacity, ROWS, FEATURES))
        self.going_on = np.zeros(capacity)
        self.count = 0

    def add(self, experience: Experience) -> None:
        place = self.count % len(self.rewards)
        self.states[place] = experience.state[experience.action]
        self.rewards[place] = experience.reward
        self.nexts[place] = experience.next_state
        self.going_on[place] = not experience.done
        self.count += 1

    def draw(self, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
        return rng.integers(min(self.count, len(self.rewards)), size=size)


class DqnLearner:
    """Two networks and what fitting them takes: a function of the experiences, their order, and `rng`.

    `scale`: mean size of a reward so far, of `noted` of them.
    """

    def __init__(self, rng: np.random.Generator, knobs: Knobs | None = None) -> None:
        self.knobs = knobs or Knobs()
        widths = (FEATURES, *self.knobs.hidden, 1)
        self.online: Parameters = []
        for inputs, outputs in pairwise(widths):
            self.online += [rng.normal(0.0, math.sqrt(2.0 / inputs), (inputs, outputs)), np.zeros(outputs)]
        self.target = [each.copy() for each in self.online]
        self.first = [np.zeros_like(each) for each in self.online]
        self.second = [np.zeros_like(each) for each in self.online]
        self.fits = 0
        self.noted = 0
        self.scale = 1.0
        self.memory = Memory(self.knobs.capacity)

    def values(self, rows: Floats) -> Floats:
        """Q of each row, in units of `scale`."""
        found: Floats = forward(self.online, rows)[-1][..., 0]
        return found

    def choose(self, rows: Floats, *, epsilon: float, rng: np.random.Generator) -> tuple[int, bool]:
        """Which row, and whether that was exploring; epsilon 0 draws nothing."""
        if epsilon and rng.random() < epsilon:
            return int(rng.integers(len(rows))), True
        return int(self.values(rows).argmax()), False

    def note(self, experience: Experience) -> None:
        """Keep it for fitting."""
        self.noted += 1
        weight = max(1.0 - SCALE_DECAY, 1.0 / self.noted)
        self.scale += weight * (abs(experience.reward) - self.scale)
        self.memory.add(experience)

    def fit(self, rng: np.random.Generator) -> float:
        """One step of Adam on experiences drawn from memory; returns their mean |δ|."""
        knobs, memory = self.knobs, self.memory
        drawn = memory.draw(knobs.batch, rng)
        following = memory.nexts[drawn]
        best = self.values(following).argmax(axis=1)
        later = forward(self.target, following[np.arange(len(drawn)), best])[-1][:, 0]
        aim = memory.rewards[drawn] / max(self.scale, TINY) + knobs.discount * memory.going_on[drawn] * later
        layers = forward(self.online, memory.states[drawn])
        error = layers[-1][:, 0] - aim
        self._step(gradients(self.online, layers, np.clip(error, -1.0, 1.0)[:, None] / len(drawn)))
        if self.fits % knobs.sync == 0:
            self.target = [each.copy() for each in self.online]
        return float(np.abs(error).mean())

    def dump(self) -> bytes:
        """As npz: all but the memory, which is filled again from the record with `memory.add`."""
        arrays = {
            f"{part} {place}": each for part in _PARTS for place, each in enumerate(getattr(self, part))
        }
        return pack({**arrays, "counts": np.array([self.fits, self.noted, self.scale])})

    def load(self, data: bytes) -> None:
        """What `dump` gave of a learner with the same knobs, bit for bit. Raises Unreadable."""
        arrays = unpack(data)
        shapes = {
            f"{part} {place}": each.shape for part in _PARTS for place, each in enumerate(getattr(self, part))
        }
        if {name: each.shape for name, each in arrays.items()} != {**shapes, "counts": (3,)}:
            raise Unreadable("not the weights of this network")
        for part in _PARTS:
            setattr(self, part, [arrays[f"{part} {place}"] for place in range(len(self.online))])
        fits, noted, self.scale = arrays["counts"].tolist()
        self.fits, self.noted = int(fits), int(noted)

    def _step(self, slopes: Parameters) -> None:
        self.fits += 1
        rate = self.knobs.rate * math.sqrt(1.0 - SECOND_DECAY**self.fits) / (1.0 - FIRST_DECAY**self.fits)
        for weights, first, second, slope in zip(self.online, self.first, self.second, slopes, strict=True):
            first += (1.0 - FIRST_DECAY) * (slope - first)
            second += (1.0 - SECOND_DECAY) * (slope * slope - second)
            weights -= rate * first / (np.sqrt(second) + TINY)


def forward(parameters: Parameters, rows: Floats) -> list[Floats]:
    """What goes into each layer, and at the end the values."""
    layers = [rows]
    for matrix, offset in zip(parameters[::2], parameters[1::2], strict=True):
        summed = layers[-1] @ matrix + offset
        layers.append(summed if matrix is parameters[-2] else np.maximum(summed, 0.0))
    return layers


def gradients(parameters: Parameters, layers: list[Floats], slope: Floats) -> Parameters:
    """Of each parameter, from the `slope` at the output."""
    found: Parameters = []
    for place in range(len(parameters) - 2, -1, -2):
        below = layers[place // 2]
        found[:0] = [below.T @ slope, slope.sum(axis=0)]
        slope = (slope @ parameters[place].T) * (below > 0.0)
    return found
