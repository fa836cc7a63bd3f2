"""The landscape tools beside packages for it: a 25 × 25 slice and the five largest eigenvalues of two networks.

    python benchmarks/landscape.py                        tables on standard output
    python benchmarks/landscape.py --write                also into RESULTS.md
    python benchmarks/landscape.py --cells 9 --only CNN   a smaller grid, one of the networks
    python benchmarks/landscape.py --json FILE --only CNN --skip slices    a part; all parts in FILE make the table

2,000 random 28 × 28 rows, ten classes, float32, one thread; "MLP" is 784-100-10, "CNN" two convolutions and a linear
layer (9,098 parameters). The weights come from a short training, so that the curvature is that of a model. Every peer
is timed in turn with ours; ratios are medians over the rounds, of the clock and of the processor's time of the process,
which other programs on the machine disturb less. Errors of eigenvalues are relative, the largest of the five, against
our own in float64 with a residual of 10⁻⁶. Every package is run at several settings: beside each of ours stands the
peer's quickest setting whose error is no larger, or where there is none its most exact one. Packages that are not
installed are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import datetime
import importlib.util
import io
import json
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import results
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from schuss.landscape import eigenpairs, filter_normalised, products_at, random_direction, surface
from schuss.torch.objective import ModuleObjective

TITLE = "landscape.py: a slice and eigenvalues of two networks, beside other packages"
ROWS, COUNT = 2000, 5


class Timing(NamedTuple):
    """Seconds of a round by the clock and of the processor, and the error of what it gave."""

    seconds: float
    processor: float
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


def our_slice(objective: ModuleObjective, cells: int) -> np.ndarray:
    start = objective.start
    first, second = (filter_normalised(random_direction(start, seed), start, objective.filters) for seed in (0, 1))
    steps = np.linspace(-1, 1, cells)
    return surface(objective, start, first, second, steps, steps).losses


def their_slice(module: nn.Module, rows: Tensor, targets: Tensor, cells: int) -> np.ndarray:
    import loss_landscapes
    from loss_landscapes.metrics import Loss

    with torch.no_grad():
        return loss_landscapes.random_plane(
            module, Loss(nn.functional.cross_entropy, rows, targets), 1, cells, "filter", deepcopy_model=True
        )


def landscaper_slice(module: nn.Module, rows: Tensor, targets: Tensor, cells: int) -> np.ndarray:
    from landscaper.compute import compute_loss_landscape

    directions = [[torch.randn_like(one) for one in module.parameters()] for _ in range(2)]

    def loss(net: nn.Module, _: object) -> float:
        return float(nn.functional.cross_entropy(net(rows), targets))

    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        return np.asarray(compute_loss_landscape(module, rows, directions, loss, cells, 1.0, 2, device="cpu")[0])


def our_values(objective: ModuleObjective, tolerance: float, copies: bool = True) -> np.ndarray:
    products = products_at(objective, objective.start)
    return eigenpairs(products, objective.start.shape, COUNT, tolerance=tolerance, copies=copies).values


def curvlinops_values(module: nn.Module, rows: Tensor, targets: Tensor, batch: int, tolerance: float) -> np.ndarray:
    from curvlinops import HessianLinearOperator
    from scipy.sparse.linalg import eigsh

    batches = [(rows[at : at + batch], targets[at : at + batch]) for at in range(0, ROWS, batch)]
    parameters = list(module.parameters())
    operator = HessianLinearOperator(module, nn.CrossEntropyLoss(), parameters, batches, check_deterministic=False)
    return np.sort(eigsh(operator.to_scipy(), COUNT, which="LA", return_eigenvectors=False, tol=tolerance))[::-1]


def eigenthings_values(module: nn.Module, rows: Tensor, targets: Tensor, steps: int | None) -> np.ndarray:
    from hessian_eigenthings import HessianOperator, lanczos, supervised_loss

    batches = [(rows[at : at + 250], targets[at : at + 250]) for at in range(0, ROWS, 250)]
    operator = HessianOperator(module, batches, supervised_loss(nn.functional.cross_entropy))
    found = lanczos(operator, k=COUNT, max_iter=steps, which="LA", seed=0).eigenvalues
    return np.sort(np.asarray(found, np.float64))[::-1]


def pyhessian_values(module: nn.Module, rows: Tensor, targets: Tensor, tolerance: float) -> np.ndarray:
    from pyhessian import hessian

    found = hessian(module, nn.CrossEntropyLoss(), data=(rows, targets), cuda=False)
    return np.sort(found.eigenvalues(maxIter=100, tol=tolerance, top_n=COUNT)[0])[::-1]


def landscaper_values(module: nn.Module, rows: Tensor, targets: Tensor, tolerance: float) -> np.ndarray:
    from landscaper import PyHessian

    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        found = PyHessian(module, nn.CrossEntropyLoss(), [(rows, targets)], "cpu")
        return np.sort(np.array(found.eigenvalues(maxIter=100, tol=tolerance, top_n=COUNT)[0], np.float64))[::-1]


def timed(call: Callable[[], np.ndarray], reference: np.ndarray | None = None) -> Timing:
    begun, spent = time.perf_counter(), time.process_time()
    found = call()
    seconds, processor = time.perf_counter() - begun, time.process_time() - spent
    error = float("nan") if reference is None else float((abs(found - reference) / reference).max())
    return Timing(seconds, processor, error)


def in_turn(calls: dict[str, Callable[[], Timing]], rounds: int) -> dict[str, list[Timing]]:
    """All in turn, round by round, after one call of the first that nobody counts."""
    next(iter(calls.values()))()
    rows = [{name: call() for name, call in calls.items()} for _ in range(rounds)]
    return {name: [row[name] for row in rows] for name in calls}


def middle(times: list[Timing]) -> Timing:
    return Timing(*(statistics.median(values) for values in zip(*times, strict=True)))


def beside(what: str, name: str, peer: str, ours: list[Timing], theirs: list[Timing]) -> list[str]:
    """A line of the table."""
    ratios = [
        statistics.median(getattr(b, of) / getattr(a, of) for a, b in zip(ours, theirs, strict=True))
        for of in ("seconds", "processor")
    ]
    own, other = middle(ours), middle(theirs)
    errors = [f"{one.error:.0e}" if np.isfinite(one.error) else "–" for one in (own, other)]
    seconds = [f"{one.seconds:.2f}" for one in (own, other)]
    return [what, name, peer, *seconds, *(f"{ratio:.1f}" for ratio in ratios), *errors]


class Problem(NamedTuple):
    """A trained network, its rows, and our objective of them."""

    name: str
    module: nn.Module
    rows: Tensor
    targets: Tensor
    objective: ModuleObjective


def problem(name: str, make: Callable[[], nn.Module]) -> Problem:
    rows, targets = data()
    module = trained(make, rows, targets)
    loss = nn.functional.cross_entropy
    return Problem(
        name, module, rows, targets, ModuleObjective(module, loss, rows.numpy(), targets.numpy(), dtype=torch.float32)
    )


def slices(one: Problem, cells: int, rounds: int) -> Iterator[list[str]]:
    """The slice of one network, beside every peer that is installed."""
    own = one.rows, one.targets, cells
    found = {"loss-landscapes": their_slice, "Landscaper": landscaper_slice}
    calls = {"ours": lambda: timed(lambda: our_slice(one.objective, cells))} | {
        peer: lambda call=call: timed(lambda: call(copy.deepcopy(one.module), *own))
        for peer, call in found.items()
        if importlib.util.find_spec(PACKAGES[peer])
    }
    times = in_turn(calls, rounds)
    for peer in list(calls)[1:]:
        yield beside(f"{cells} × {cells} slice", one.name, peer, times["ours"], times[peer])


PACKAGES = {
    "loss-landscapes": "loss_landscapes",
    "Landscaper": "landscaper",
    "curvlinops": "curvlinops",
    "hessian-eigenthings": "hessian_eigenthings",
    "PyHessian": "pyhessian",
}
"""Peers, and what they are imported by."""

Values = Callable[[], np.ndarray]


def peers(one: Problem) -> dict[str, dict[str, Values]]:
    """Give what finds eigenvalues: ours and every peer that is installed, each at some settings."""
    own = one.module, one.rows, one.targets
    found: dict[str, dict[str, Values]] = {
        "curvlinops": {
            f"{name}, tolerance {tolerance:g}": partial(curvlinops_values, *own, batch, tolerance)
            for name, batch, tolerances in (
                ("all rows at once", ROWS, (1e-2, 1e-3)),
                ("batches of 250", 250, (1e-2, 1e-3, 1e-4)),
                ("batches of 64", 64, (1e-3, 1e-4)),
            )
            for tolerance in tolerances
        },
        "hessian-eigenthings": {
            "as it is": partial(eigenthings_values, *own, None),
            "40 steps": partial(eigenthings_values, *own, 40),
        },
        "PyHessian": {"tolerance 0.0001": partial(pyhessian_values, *own, 1e-4)},
        "Landscaper": {"tolerance 0.0001": partial(landscaper_values, *own, 1e-4)},
    }
    ours: dict[str, Values] = {
        f"tolerance {tolerance:g}{'' if copies else ', no copies'}": partial(
            our_values, one.objective, tolerance, copies
        )
        for tolerance in (1e-3, 1e-4)
        for copies in (True, False)
    }
    return {"ours": ours} | {peer: made for peer, made in found.items() if importlib.util.find_spec(PACKAGES[peer])}


def spectra(one: Problem, rounds: int) -> Iterator[list[str]]:
    """The largest eigenvalues of one network: error against time of every package, and ours beside each peer."""
    exact = ModuleObjective(one.module, nn.functional.cross_entropy, one.rows.numpy(), one.targets.numpy())
    true = our_values(exact, 1e-6)
    calls = {
        f"{name}, {setting}": partial(timed, call, true)
        for name, settings in peers(one).items()
        for setting, call in settings.items()
    }
    times = in_turn(calls, rounds)
    for name, own in times.items():
        print(f"{one.name}: {name}: {middle(own).processor:.2f} s, error {middle(own).error:.1e}", flush=True)
    for ours in (name for name in times if name.startswith("ours")):
        for peer in list(peers(one))[1:]:
            theirs = at_the_same_error(
                middle(times[ours]).error, {n: t for n, t in times.items() if n.startswith(peer)}
            )
            yield beside(f"{COUNT} largest eigenvalues, {ours}", one.name, theirs, times[ours], times[theirs])


def at_the_same_error(error: float, times: dict[str, list[Timing]]) -> str:
    """The quickest setting whose error is no larger; where there is none, the most exact one."""
    good = [name for name, own in times.items() if middle(own).error <= error]
    if good:
        return min(good, key=lambda name: middle(times[name]).processor)
    return min(times, key=lambda name: middle(times[name]).error)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the table into RESULTS.md")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is timed")
    parser.add_argument("--cells", type=int, default=25, help="points along each side of a slice")
    parser.add_argument("--only", choices=["MLP", "CNN"], help="one of the networks")
    parser.add_argument("--json", type=Path, help="keep the lines of the tables here, and add to those that are there")
    parser.add_argument("--skip", choices=["slices", "eigenvalues"], help="one of the questions")
    given = parser.parse_args()
    torch.set_num_threads(1)
    threadpool_limits(1)  # threads of BLAS that wait in a loop count as time of the processor
    warnings.simplefilter("ignore")
    kept = json.loads(given.json.read_text()) if given.json and given.json.exists() else []
    for name, make in (("MLP", mlp), ("CNN", cnn)):
        if given.only not in (None, name):
            continue
        one = problem(name, make)
        lines = [] if given.skip == "slices" else [slices(one, given.cells, given.rounds)]
        lines += [] if given.skip == "eigenvalues" else [spectra(one, given.rounds)]
        for line in chain.from_iterable(lines):
            kept.append([*line, str(given.rounds)])
            print(" | ".join(line), flush=True)
            if given.json:
                given.json.write_text(json.dumps(kept, ensure_ascii=False, indent=0))
    if given.write:
        results.write_section(TITLE, section(kept))


HEAD = ["what", "network", "peer", "ours, s", "theirs, s", "theirs / ours", "of processor time", "our error",
        "their error", "rounds"]  # fmt: skip


def section(lines: list[list[str]]) -> str:
    """Write the table, and what it was measured with."""
    versions = []
    for package in VERSIONS:
        with contextlib.suppress(PackageNotFoundError):
            versions.append(f"{package} {version(package)}")
    table = [" | ".join(line) for line in (HEAD, ["-"] * 3 + ["-:"] * 7, *lines)]
    return "\n".join([
        f"{datetime.date.today()}, one thread; {', '.join(versions)}; {results.machine()}",
        "",
        *(f"| {line} |" for line in table),
    ])  # fmt: skip


VERSIONS = ["torch", "curvlinops-for-pytorch", "hessian-eigenthings", "PyHessian", "loss-landscapes", "landscaper"]


if __name__ == "__main__":
    main()
