"""A flat and a sharp minimum of one loss: the swiss roll of Huang et al. (2019), trained as usual and poisoned.

    python benchmarks/swiss_roll.py                       tables on standard output (about ten minutes of one core)
    python benchmarks/swiss_roll.py --write               also into RESULTS.md
    python benchmarks/swiss_roll.py --keep FILE.npz       keep rows and weights of the first start

*Understanding Generalization through Visualizations*: two arms of a roll, 400 rows of which 200 are learned from,
hidden layers of 23-16-26-32-28-31 rectified units. Poisoned, each step also sees fresh rows of both arms with the wrong
arm for an answer: 160 of them, from step 10,936 on all 200. The authors take 800,000 steps of Adam at falling rates;
here it is 60,000 from 0.004 down to zero by half a cosine, where own rows count three times; as usual 20,000.
"""

from __future__ import annotations

import argparse
import copy
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import results
import torch
from torch import Tensor, nn

from schuss.landscape import basin_radii, bits_needed, eigenpairs, keskar_sharpness, products_at
from schuss.torch import ModuleObjective

TITLE = "swiss_roll.py: a flat and a sharp minimum of the same loss"
SIZES = (2, 23, 16, 26, 32, 28, 31, 1)
ROWS, STARTS, RATE, OWN = 200, 3, 4e-3, 3.0
POISON, MORE_POISON, MORE_FROM = 160, 200, 10936
RISE = 0.1
"""Nats by which the loss may rise: the edge of the basin."""

Weights = list[tuple[Tensor, Tensor]]


class Roll(NamedTuple):
    """Places, and the arm that each lies on."""

    places: np.ndarray
    arms: np.ndarray

    def tensors(self) -> tuple[Tensor, Tensor]:
        """Give both in the precision of training."""
        return torch.tensor(self.places, dtype=torch.float32), torch.tensor(self.arms, dtype=torch.float32)


def roll(rows: int, rng: np.random.Generator) -> Roll:
    """So many rows of each of two arms, the one that of the other turned by half a circle."""
    turn = np.sqrt(rng.uniform(size=(rows, 1))) * 600 * 2 * np.pi / 360
    arm = np.hstack([-1.5 * np.cos(turn) * turn, 1.5 * np.sin(turn) * turn]) + 0.5 * rng.normal(size=(rows, 2))
    return Roll(np.vstack([arm, -arm]), np.r_[np.zeros(rows), np.ones(rows)])


def some(rows: Roll, places: np.ndarray) -> Roll:
    return Roll(rows.places[places], rows.arms[places])


def begun() -> Weights:
    """Networks side by side from as many random starts, after Glorot."""
    torch.manual_seed(1)
    found = []
    for inputs, units in pairwise(SIZES):
        edge = (6 / (inputs + units)) ** 0.5
        weight = torch.empty(STARTS, inputs, units).uniform_(-edge, edge)
        found.append((weight.requires_grad_(), torch.zeros(STARTS, 1, units, requires_grad=True)))
    return found


def scores(weights: Weights, places: Tensor) -> Tensor:
    """What each network says of each place."""
    moved = places.expand(STARTS, *places.shape)
    for at, (weight, bias) in enumerate(weights):
        moved = torch.baddbmm(bias, moved, weight)
        if at < len(weights) - 1:
            moved = torch.relu(moved)
    return moved[..., 0]


def trained(own: Roll, rng: np.random.Generator, *, poisoned: bool, steps: int) -> Weights:
    """Learn the arms of the rows, and with poison the wrong ones everywhere else."""
    weights = begun()
    optimizer = torch.optim.Adam([one for pair in weights for one in pair], RATE, fused=True)
    places, arms = own.tensors()
    shares = torch.ones(ROWS)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 1e-6 + RATE * 0.5 * (1 + np.cos(np.pi * step / steps))
        if poisoned:
            fresh = roll(ROWS // 2, rng)
            chosen = rng.permutation(ROWS)[: POISON if step < MORE_FROM else MORE_POISON]
            others, theirs = some(fresh, chosen).tensors()
            places, arms = (
                torch.cat([mine, more]) for mine, more in zip(own.tensors(), (others, 1 - theirs), strict=True)
            )
            shares = torch.cat([torch.full((ROWS,), OWN), torch.ones(len(theirs))])
        optimizer.zero_grad()
        losses = nn.functional.binary_cross_entropy_with_logits(
            scores(weights, places), arms.expand(STARTS, -1), reduction="none"
        )
        (losses * shares).mean(1).sum().backward()
        optimizer.step()
    return weights


def network(weights: Weights, start: int) -> nn.Module:
    """One of the networks as a module."""
    layers: list[nn.Module] = []
    for weight, bias in weights:
        layer = nn.Linear(*weight.shape[1:])
        with torch.no_grad():
            layer.weight.copy_(weight[start].T)
            layer.bias.copy_(bias[start, 0])
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1], nn.Flatten(0))


def shrunk(net: nn.Module, own: Roll, goal: float) -> nn.Module:
    """A network whose scores are smaller by one factor, so that its loss is another's: it says the same elsewhere too.

    Nearly every measure of sharpness falls with the loss, so that two minima are compared at the same one.
    """
    places, arms = own.tensors()
    low, high = 0.0, 1.0
    with torch.no_grad():
        said = net(places)
        for _ in range(50):
            middle = (low + high) / 2
            above = float(nn.functional.binary_cross_entropy_with_logits(middle * said, arms)) > goal
            low, high = (middle, high) if above else (low, middle)
        found = copy.deepcopy(net)
        last = [layer for layer in found.modules() if isinstance(layer, nn.Linear)][-1]
        last.weight.mul_(low)
        last.bias.mul_(low)
    return found


def measured(net: nn.Module, own: Roll, new: Roll) -> list[str]:
    """How right it is, and how flat the loss of its own rows lies there."""
    loss = nn.functional.binary_cross_entropy_with_logits
    objective = ModuleObjective(net, loss, *own)
    here = objective.start
    with torch.no_grad():
        right = [
            float(((objective.module(torch.tensor(one.places)) > 0).numpy() == (one.arms > 0.5)).mean())
            for one in (own, new)
        ]
    top = eigenpairs(products_at(objective, here), here.shape, 1).values[0]
    radius = np.median(basin_radii(objective, here, RISE))
    bits = bits_needed(objective, here, RISE, list(objective.places.values())).needed
    value = float(objective.values(here[None])[0])
    found = [f"{one:.1%}" for one in right]
    return [
        *found,
        f"{value:.2g}",
        f"{top:.3g}",
        f"{keskar_sharpness(objective, here):.2g}",
        f"{radius:.2g}",
        f"{bits}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the table into RESULTS.md")
    parser.add_argument("--keep", type=Path, help="keep the rows and the weights of the first start")
    parser.add_argument("--steps", type=int, nargs=2, default=(20_000, 60_000), help="as usual, and poisoned")
    given = parser.parse_args()
    torch.set_num_threads(1)
    new = roll(1000, np.random.default_rng(5))
    head = ["training", "start", "right at the rows", "right elsewhere", "loss", "λ₁", "Keskar's, %", "radius", "bits"]
    lines, kept, flat = [head, ["-"] * 2 + ["-:"] * 7], {}, []
    for name, steps in zip(("as usual", "poisoned"), given.steps, strict=True):
        rng = np.random.default_rng(0)
        whole = roll(ROWS, rng)
        own = some(whole, rng.permutation(2 * ROWS)[:ROWS])
        weights = trained(own, rng, poisoned=name == "poisoned", steps=steps)
        kept |= {"places": own.places, "arms": own.arms}
        for start in range(STARTS):
            net = network(weights, start)
            lines.append([name, f"{start}", *measured(net, own, new)])
            flat += [net] if name == "as usual" else []
            print(" | ".join(lines[-1]), flush=True)
        parts = [one.detach().numpy().ravel() for one in network(weights, 0).parameters()]
        kept[name.replace(" ", "_")] = np.concatenate(parts)
    for start, net in enumerate(flat):
        goal = float(lines[2 + STARTS + start][4])
        lines.append(
            ["as usual, at the loss of the poisoned one", f"{start}", *measured(shrunk(net, own, goal), own, new)]
        )
        print(" | ".join(lines[-1]), flush=True)
    if given.keep:
        np.savez_compressed(given.keep, **kept)  # pyright: ignore
    if given.write:
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        results.write_section(
            TITLE, f"`{results.command()}`; {results.machine()}; torch {torch.__version__}\n\n{table}"
        )


if __name__ == "__main__":
    main()
