"""How much faster is a step of sixteen copies of a module at once than of sixteen runs of PyTorch in turn.

Peers: each run in turn by a plain loop of PyTorch (forward, backward, `torch.optim` with its default and with fused
steps, of which the faster counts). Times are those of the processor, medians of alternating blocks of steps on the same
data, so that a shared machine does not count.

Prediction before measuring: small networks are the price of their calls, and sixteen share it: 5 to 15 times faster for
inputs ≤ 64, layers ≤ 64, batches ≤ 32; large ones (784-256-128-10, batch 256) fill the processor by themselves: 1.0 to
1.3 times, from the step of the rule in one pass.

    python benchmarks/copies.py [--optimizer adam] [--blocks 7]
"""

from __future__ import annotations

import argparse
import statistics
import time
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from schuss.descent.optimizers import rule_named
from schuss.population.network.copies import Batch, Copies
from schuss.population.network.rules import Stack

RUNS = 16
THEIRS = {
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
    "nesterov": lambda params, **options: torch.optim.SGD(params, momentum=0.9, nesterov=True, **options),
}


def dense(*sizes: int) -> nn.Module:
    """Layers with rectified units between."""
    layers = [(nn.Linear(a, z), nn.ReLU()) for a, z in pairwise(sizes)]
    return nn.Sequential(*[part for pair in layers for part in pair][:-1])


def with_norm(*sizes: int) -> nn.Module:
    """The same with batch normalisation and dropout."""
    parts = []
    for a, z in pairwise(sizes[:-1]):
        parts += [nn.Linear(a, z), nn.BatchNorm1d(z), nn.ReLU(), nn.Dropout(0.1)]
    return nn.Sequential(*parts, nn.Linear(sizes[-2], sizes[-1]))


def images() -> nn.Module:
    """A small convolutional network for 28 × 28 pixels, 9,098 parameters."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)), nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(784, 10),
    )  # fmt: skip


GRID = [
    ("16-32-4", lambda: dense(16, 32, 4), 32),
    ("64-64-10", lambda: dense(64, 64, 10), 8),
    ("64-64-10", lambda: dense(64, 64, 10), 32),
    ("64-64-64-10", lambda: dense(64, 64, 64, 10), 32),
    ("64-64-64-10, norm and dropout", lambda: with_norm(64, 64, 64, 10), 32),
    ("64-64-10", lambda: dense(64, 64, 10), 256),
    ("784-128-10", lambda: dense(784, 128, 10), 32),
    ("784-256-128-10", lambda: dense(784, 256, 128, 10), 32),
    ("784-256-128-10", lambda: dense(784, 256, 128, 10), 256),
    ("CNN", images, 32),
    ("CNN", images, 128),
]


def measured(make, batch: int, optimizer: str, blocks: int) -> tuple[float, float, float]:
    """Milliseconds of a step of all runs: ours, theirs by default, theirs fused."""
    torch.manual_seed(0)
    module = make()
    features = 784 if isinstance(module[0], nn.Unflatten) else module[0].in_features
    x, y = torch.randn(batch, features), torch.randint(module[-1].out_features, (batch,))
    loss = nn.functional.cross_entropy
    copies = Copies(module, loss, RUNS)
    stack = Stack(rule_named(optimizer), copies.start(), free=copies.free)
    modules = [make() for _ in range(RUNS)]
    kinds = [[THEIRS[optimizer](one.parameters(), lr=1e-3, **how) for one in modules] for how in ({}, {"fused": True})]

    def ours(steps: int) -> None:
        stack.plan(np.full((steps, RUNS), 1e-3))
        copies.train(stack, steps * [Batch(x, y)])

    def theirs(optimizers, steps: int) -> None:
        for one, own in zip(modules, optimizers, strict=True):
            for _ in range(steps):
                own.zero_grad()
                loss(one(x), y).backward()
                own.step()

    ways = [ours, lambda steps: theirs(kinds[0], steps), lambda steps: theirs(kinds[1], steps)]
    for way in ways:
        way(2)
    begun = time.process_time()
    ours(3)
    steps = max(1, min(50, int(0.15 / ((time.process_time() - begun) / 3))))
    times: list[list[float]] = [[], [], []]
    for _ in range(blocks):
        for way, found in zip(ways, times, strict=True):
            begun = time.process_time()
            way(steps)
            found.append((time.process_time() - begun) / steps * 1e3)
    return tuple(statistics.median(found) for found in times)


def main() -> None:
    """Print a line for each network and batch size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--optimizer", default="adam", choices=[*THEIRS])
    parser.add_argument("--blocks", type=int, default=7)
    given = parser.parse_args()
    torch.set_num_threads(1)  # the time of the processor is then that of one core
    print(f"PyTorch {torch.__version__}, one thread, {given.optimizer}, {RUNS} runs, ms a step of all")
    print(f"{'network':30} {'batch':>5} {'at once':>9} {'in turn':>9} {'fused':>9} {'faster':>7}")
    for name, make, batch in GRID:
        own, default, fused = measured(make, batch, given.optimizer, given.blocks)
        ratio = min(default, fused) / own
        print(f"{name:30} {batch:5} {own:9.2f} {default:9.2f} {fused:9.2f} {ratio:7.2f}", flush=True)


if __name__ == "__main__":
    main()
