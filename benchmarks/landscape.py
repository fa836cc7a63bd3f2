"""The landscape tools beside packages for it: a 25 × 25 slice and the five largest eigenvalues of two networks.

    python benchmarks/landscape.py            a table on standard output
    python benchmarks/landscape.py --write    also into RESULTS.md

2,000 random 28 × 28 rows, ten classes, float32, one thread; "MLP" is 784-100-10, "CNN" two convolutions and a linear
layer (9,098 parameters). The weights come from a short training, so that the curvature is that of a model. Every peer
is timed in turn with ours, and the ratios are medians of its rounds. Errors of eigenvalues are relative, the largest of
the five, against our own in float64 with a residual of 10⁻⁶.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import results
import torch
from torch import Tensor, nn

from schuss.landscape import eigenpairs, filter_normalised, products_at, random_direction, surface
from schuss.torch.objective import ModuleObjective

TITLE = "landscape.py: a slice and eigenvalues of two networks, beside other packages"
ROWS, CELLS, COUNT = 2000, 25, 5


class Timing(NamedTuple):
    """Seconds of a round, and the error of what it gave."""

    seconds: float
    error: float


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 10))


def cnn() -> nn.Module:
    layers = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(784, 10))


def trained(make: Callable[[], nn.Module], rows: Tensor, targets: Tensor) -> nn.Module:
    """A module after 30 steps of Adam."""
    torch.manual_seed(0)
    module = make()
    optimizer = torch.optim.Adam(module.parameters(), 3e-3)
    for step in range(30):
        batch = slice(step % 8 * 250, (step % 8 + 1) * 250)
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(rows[batch]), targets[batch]).backward()
        optimizer.step()
    return module.eval()


def data() -> tuple[Tensor, Tensor]:
    """Blurred random images whose class depends on them."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.rand(ROWS, 1, 28, 28, generator=generator)
    rows = nn.functional.avg_pool2d(rows, 3, stride=1, padding=1) - 0.45
    targets = (rows.flatten(1) @ torch.randn(784, 10, generator=generator)).argmax(dim=1)
    return rows, targets


def our_slice(objective: ModuleObjective) -> np.ndarray:
    start = objective.start
    first, second = (filter_normalised(random_direction(start, seed), start, objective.filters) for seed in (0, 1))
    steps = np.linspace(-1, 1, CELLS)
    return surface(objective, start, first, second, steps, steps).losses


def their_slice(module: nn.Module, rows: Tensor, targets: Tensor) -> np.ndarray:
    import loss_landscapes
    from loss_landscapes.metrics import Loss

    with torch.no_grad():
        return loss_landscapes.random_plane(
            module, Loss(nn.functional.cross_entropy, rows, targets), 1, CELLS, "filter", deepcopy_model=True
        )


def our_values(objective: ModuleObjective) -> np.ndarray:
    return eigenpairs(products_at(objective, objective.start), objective.start.shape, COUNT, tolerance=3e-3).values


def curvlinops_values(module: nn.Module, rows: Tensor, targets: Tensor, batch: int) -> np.ndarray:
    from curvlinops import HessianLinearOperator
    from scipy.sparse.linalg import eigsh

    batches = [(rows[at : at + batch], targets[at : at + batch]) for at in range(0, ROWS, batch)]
    parameters = list(module.parameters())
    operator = HessianLinearOperator(module, nn.CrossEntropyLoss(), parameters, batches, check_deterministic=False)
    return np.sort(eigsh(operator.to_scipy(), COUNT, which="LA", return_eigenvectors=False, tol=1e-3))[::-1]


def timed(call: Callable[[], np.ndarray], reference: np.ndarray | None = None) -> Timing:
    begun = time.perf_counter()
    found = call()
    seconds = time.perf_counter() - begun
    return Timing(seconds, float("nan") if reference is None else float((abs(found - reference) / reference).max()))


def beside(ours: Callable[[], Timing], theirs: Callable[[], Timing], rounds: int) -> tuple[list[Timing], list[Timing]]:
    """Both in turn, after one round that nobody counts."""
    ours()
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    return [one for one, _ in pairs], [other for _, other in pairs]


def compared(what: str, name: str, peer: str, ours: list[Timing], theirs: list[Timing]) -> list[str]:
    ratio = statistics.median(b.seconds / a.seconds for a, b in zip(ours, theirs, strict=True))
    seconds = [f"{statistics.median(one.seconds for one in times):.2f}" for times in (ours, theirs)]
    errors = [
        f"{max(one.error for one in times):.0e}" if np.isfinite(times[0].error) else "–" for times in (ours, theirs)
    ]
    return [what, name, peer, *seconds, f"{ratio:.1f}", *errors]


def network(name: str, make: Callable[[], nn.Module], rounds: int) -> Iterator[list[str]]:
    """Compare on one network."""
    rows, targets = data()
    module, loss = trained(make, rows, targets), nn.functional.cross_entropy
    objective = ModuleObjective(module, loss, rows.numpy(), targets.numpy(), dtype=torch.float32)
    exact = ModuleObjective(module, loss, rows.numpy(), targets.numpy())
    true = eigenpairs(products_at(exact, exact.start), exact.start.shape, COUNT, tolerance=1e-6).values
    pair = beside(
        lambda: timed(lambda: our_slice(objective)),
        lambda: timed(lambda: their_slice(copy.deepcopy(module), rows, targets)),
        rounds,
    )
    yield compared("25 × 25 slice", name, "loss-landscapes", *pair)
    peers = {
        "curvlinops, all rows at once": lambda: curvlinops_values(module, rows, targets, ROWS),
        "curvlinops, batches of 250": lambda: curvlinops_values(module, rows, targets, 250),
    }
    for peer, call in peers.items():
        pair = beside(lambda: timed(lambda: our_values(objective), true), lambda call=call: timed(call, true), rounds)
        yield compared(f"{COUNT} largest eigenvalues", name, peer, *pair)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the table into RESULTS.md")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is timed")
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    head = ["what", "network", "peer", "ours, s", "theirs, s", "theirs / ours", "our error", "their error"]
    table = ["| " + " | ".join(head) + " |", "|" + "-|" * 3 + "-:|" * 5]
    for name, make in (("MLP", mlp), ("CNN", cnn)):
        for line in network(name, make, given.rounds):
            table.append("| " + " | ".join(line) + " |")
            print(table[-1], flush=True)
    text = "\n".join(
        [
            f"{datetime.date.today()}, torch {torch.__version__}, one thread, {given.rounds} rounds, a shared machine.",
            "",
            *table,
        ]
    )
    if given.write:
        results.write_section(TITLE, text)


if __name__ == "__main__":
    main()
