"""What a GPU makes of a race: sixteen runs at once against one run and against sixteen in turn, on Fashion-MNIST.

A multilayer perceptron 784-256-128-10 (batch 128) and a small convolutional network (batch 128), each by `Copies` with
one `Stack`, by one run of PyTorch, and by sixteen in turn, all on the same device with the rows already there. Compiled
and mixed-precision steps beside the plain ones.

Predictions, to be compared with what is measured: a step of one small network on a large GPU is the price of starting
its operations (0.5 to 1 ms), whatever the batch; sixteen at once start the same number. So sixteen at once cost 1.2 to
2 times one run and are 8 to 13 times faster than sixteen in turn for both networks; grouped convolutions may cost the
convolutional one half of that. torch.compile gains another factor of 1.5 to 3, bfloat16 nothing at this size.

Not here yet: a linear population on 10⁸ generated rows; the linear kernels are compiled for CPUs alone.

    SCHUSS_DATA=DIR python benchmarks/gpu.py [--device cuda] [--steps 200] [--compiled]

DIR holds fashion-mnist/train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz; without them rows are drawn.
"""

from __future__ import annotations

import argparse
import gzip
import os
import time
from pathlib import Path

import numpy as np
import torch
from copies import RUNS, dense, images
from torch import nn

from schuss.descent.optimizers import rule_named
from schuss.population.network.copies import Batch, Copies
from schuss.population.network.rules import Stack

BATCH = 128


def rows(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Give pixels and classes, on the device."""
    folder = Path(os.environ.get("SCHUSS_DATA", "/nowhere")) / "fashion-mnist"
    if not folder.is_dir():
        generator = torch.Generator().manual_seed(0)
        return torch.rand(6000, 784, generator=generator).to(device), torch.randint(10, (6000,)).to(device)
    pixels = np.frombuffer(gzip.decompress((folder / "train-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16)
    classes = np.frombuffer(gzip.decompress((folder / "train-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    x = torch.tensor(pixels.reshape(-1, 784).astype(np.float32) / 255)
    return x.to(device), torch.tensor(classes.astype(np.int64)).to(device)


def seconds_of(work, device: torch.device) -> float:
    """Take the time of some work, with all that it has started."""
    work(3)
    if device.type == "cuda":
        torch.cuda.synchronize()
    begun = time.perf_counter()
    work(None)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def at_once(make, x: torch.Tensor, y: torch.Tensor, steps: int, **how) -> float:
    """Take the time of so many steps of all runs together."""
    copies = Copies(make().to(x.device), nn.functional.cross_entropy, RUNS, **how)
    stack = Stack(rule_named("adam"), copies.start(), free=copies.free)

    def work(few: int | None) -> None:
        stack.plan(np.full((few or steps, RUNS), 1e-3))
        for step in range(few or steps):
            part = slice(step * BATCH % (len(y) - BATCH), step * BATCH % (len(y) - BATCH) + BATCH)
            copies.learn(stack, Batch(x[part], y[part]))
            stack.step()

    return seconds_of(work, x.device)


def one_run(make, x: torch.Tensor, y: torch.Tensor, steps: int) -> float:
    """Take the time of so many steps of one run of PyTorch."""
    module = make().to(x.device)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3, fused=True)

    def work(few: int | None) -> None:
        for step in range(few or steps):
            part = slice(step * BATCH % (len(y) - BATCH), step * BATCH % (len(y) - BATCH) + BATCH)
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(x[part]), y[part]).backward()
            optimizer.step()

    return seconds_of(work, x.device)


def main() -> None:
    """Print a line for each network and way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--compiled", action="store_true")
    given = parser.parse_args()
    device = torch.device(given.device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    print(f"PyTorch {torch.__version__}, {name}, batch {BATCH}, adam, ms a step")
    x, y = rows(device)
    ways = [("16 at once", {}), ("16 at once, bfloat16", {"precision": torch.bfloat16})]
    ways += [("16 at once, compiled", {"compiled": True})] if given.compiled else []
    for network, make in (("784-256-128-10", lambda: dense(784, 256, 128, 10)), ("CNN", images)):
        alone = one_run(make, x, y, given.steps) / given.steps * 1e3
        print(f"{network:16} {'one run':22} {alone:8.3f}   (16 in turn: {16 * alone:.2f})", flush=True)
        for what, how in ways:
            own = at_once(make, x, y, given.steps, **how) / given.steps * 1e3
            said = f"{16 * alone / own:.1f} × faster than in turn, {own / alone:.2f} × one run"
            print(f"{network:16} {what:22} {own:8.3f}   {said}", flush=True)


if __name__ == "__main__":
    main()
