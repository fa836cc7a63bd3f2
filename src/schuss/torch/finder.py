"""A learning rate for a module and an optimizer that are in use, found beside them."""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from schuss.descent import optimizers as rules
from schuss.descent.optimizers import bare, hyperparameters, rule_named, with_settings
from schuss.descent.optimizers.hyperparameters import settings_of
from schuss.errors import OptionError, TrainingError
from schuss.population.network.inputs import rows_of
from schuss.population.network.modules import Modules
from schuss.population.network.probe import checked_module, why_in_turn
from schuss.population.population import Run
from schuss.torch.feed import TensorFeed, feed_of
from schuss.torch.optim import RuleOptimizer
from schuss.torch.options import RaceOptions

__all__ = ["FoundRate", "find_learning_rate"]

Array = NDArray[np.float64]

FIRST_STEPS = 64
MOST_STEPS = 1024
"""Mini-batches of the first look and of the last one; every look takes twice as many as the one before."""

SAME = 2.0
"""Two looks agree whose best rates differ by less than this factor, or by one point of the grid."""

GOOD = 0.1
"""A rate is good that has gained all but this share of what the best one has."""


class FoundRate(NamedTuple):
    """A learning rate, and what it was chosen by.

    learning_rate : the best; good : the lowest and highest rate that gained nine tenths of what the best did; rates :
    the rates that were tried; losses : `(looks, rates)` mean training loss over the last quarter of each look, inf
    where a rate diverged; steps : mini-batches of each look.
    """

    learning_rate: float
    good: tuple[float, float]
    rates: Array
    losses: Array
    steps: tuple[int, ...]


def find_learning_rate(
    module: nn.Module, loss: Callable[[Any, Tensor], Tensor], data: Any, *,
    optimizer: str | torch.optim.Optimizer = "adam", learning_rates: tuple[float, float] | None = None,
    points: int = 16, batch_size: int = 32, seed: int = 0,
) -> FoundRate:  # fmt: skip
    """Find a learning rate by training copies of a module at many rates side by side, on the same mini-batches.

    Every look lets each rate fall linearly to zero, as a training would, and takes twice as many mini-batches as the
    one before; the answer is that of the first two looks that agree. So it depends on no number of steps, as that of a
    rate that rises on one and the same way does. The module, the optimizer and all random states stay as they are.

    Parameters
    ----------
    module : where the copies begin, its buffers included.
    loss, data : as in `race`.
    optimizer : a name of `schuss train --optimizer`, or an optimizer of PyTorch or of `schuss.torch.optim` whose
        hyperparameters are taken over, but for its rate and its memory.
    learning_rates : the lowest and highest to try; by default what makes sense for the optimizer.
    points : how many.

    Raises
    ------
    InputError
        When module, loss, data or an option are wrong.
    TrainingError
        When every rate diverges.

    Example
    -------
    >>> x = torch.linspace(-2, 2, 256)[:, None]
    >>> found = find_learning_rate(nn.Linear(1, 1), nn.functional.mse_loss, (x, 3 * x), optimizer="sgd")
    >>> found.good[0] <= found.learning_rate <= found.good[1]
    True
    """
    with _as_it_was(data):
        return _found(module, loss, data, rule_of(optimizer), learning_rates, points, batch_size, seed)


def _found(
    module: nn.Module, loss: Callable[..., Tensor], data: Any, rule: Any, learning_rates: tuple[float, float] | None,
    points: int, batch_size: int, seed: int,
) -> FoundRate:  # fmt: skip
    """Look until two looks agree."""
    given = RaceOptions(learning_rate=learning_rates, seed=seed, batch_size=batch_size, runs=points)
    low, high = given.range_of(rule)
    rates = np.geomspace(low, high, points)
    feed = feed_of(data, None, batch_size=batch_size, seed=seed)
    first = feed.first()
    checked_module(module, loss, first, "the caller")
    population = Modules(
        rule, copy.deepcopy(module), loss, batch_size if isinstance(feed, TensorFeed) else None, seed,
        why_in_turn=why_in_turn(module, loss, first),
    )  # fmt: skip
    looks, best, steps = [], [], FIRST_STEPS
    while True:
        looks.append(_look(population, feed, rates, steps))
        best.append(float(rates[_best(looks[-1])]))
        grid = rates[1] / rates[0] if points > 1 else 1.0
        if steps >= MOST_STEPS or (len(best) > 1 and _factor(*best[-2:]) <= max(SAME, 1.001 * grid)):
            break
        steps *= 2
    good = rates[_good(looks[-1])]
    counts = tuple(FIRST_STEPS * 2**look for look in range(len(looks)))
    return FoundRate(best[-1], (float(good[0]), float(good[-1])), rates, np.stack(looks), counts)


@contextmanager
def _as_it_was(data: Any) -> Iterator[None]:
    """Leave the random states of Python, NumPy and a data loader as they were; PyTorch's own is never drawn from."""
    own = getattr(data, "generator", None)
    before = random.getstate(), np.random.get_state(), own.get_state() if own is not None else None  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        if own is not None:
            own.set_state(before[2])


def _factor(one: float, other: float) -> float:
    return max(one, other) / min(one, other)


def _look(population: Modules, feed: Any, rates: Array, steps: int) -> Array:
    """Train copies at these rates for so many mini-batches; give their mean losses over the last quarter."""
    runs = tuple(Run(i, "", float(rate), 0.0, "linear", 1, "module") for i, rate in enumerate(rates))
    state, rows, sums = population.start(runs), 0.0, np.zeros(len(runs))
    size = population.batch_size or feed.first().rows
    state = population.begin_leg(state, steps * size)
    for step, chunk in zip(range(steps), _mini_batches(feed, population.batch_size), strict=False):
        state, tallies = population.advance(state, chunk)
        if step >= 0.75 * steps:
            sums, rows = sums + tallies.loss, rows + tallies.rows
    found = np.where(np.isfinite(sums), sums / max(rows, 1), np.inf)
    if not np.isfinite(found).any():
        raise TrainingError(f"every learning rate diverged, also the lowest, {rates[0]:.3g}")
    return found


def _mini_batches(feed: Any, size: int | None) -> Iterator[Any]:
    """Give one mini-batch after the other, epoch after epoch."""
    epochs = itertools.count() if feed.epochs_at_most is None else range(feed.epochs_at_most)
    for chunk in itertools.chain.from_iterable(feed.chunks(epoch) for epoch in epochs):
        rows = len(chunk.targets)
        for begin in range(0, rows, size or rows):
            part = slice(begin, begin + (size or rows))
            yield chunk._replace(
                rows=rows_of(chunk.rows, part), targets=chunk.targets[part], weights=chunk.weights[part]
            )


def _best(losses: Array) -> int:
    """Give the place of the lowest loss, each averaged with its neighbours: the grid is finer than what counts."""
    padded = np.pad(np.where(np.isfinite(losses), losses, losses[np.isfinite(losses)].max()), 1, mode="edge")
    smooth = padded[:-2] / 4 + padded[1:-1] / 2 + padded[2:] / 4
    return int(np.argmin(np.where(np.isfinite(losses), smooth, np.inf)))


def _good(losses: Array) -> NDArray[np.intp]:
    """Give the places around the best that gained nearly as much."""
    finite = np.where(np.isfinite(losses), losses, np.inf)
    start = finite[np.isfinite(finite)].max()
    good = finite <= finite.min() + GOOD * (start - finite.min())
    best = _best(losses)
    good[best] = True
    low = best - int(np.argmin(np.append(good[: best + 1][::-1], False))) + 1
    high = best + int(np.argmin(np.append(good[best:], False)))
    return np.arange(low, high)


def rule_of(optimizer: str | torch.optim.Optimizer) -> Any:
    """Give the rule that an optimizer follows, with its hyperparameters; raises OptionError where there is none."""
    if isinstance(optimizer, str):
        rule = rule_named(bare(optimizer))
        return with_settings(rule, settings_of(rule, optimizer))
    group = optimizer.param_groups[0]
    if isinstance(optimizer, RuleOptimizer):
        return with_settings(optimizer.rule, {name: float(group[name]) for name in hyperparameters(optimizer.rule)})
    kind = type(optimizer)
    if kind is torch.optim.SGD and group["momentum"] and not (group["nesterov"] and group["dampening"]):
        mu = group["momentum"]
        return rules.Nesterov(mu) if group["nesterov"] else rules.Momentum(mu, group["dampening"])
    if kind is torch.optim.SGD:
        return rules.SGD()
    if kind in (torch.optim.Adam, torch.optim.AdamW):
        beta1, beta2 = map(float, group["betas"])
        if kind is torch.optim.AdamW and not group["amsgrad"]:
            return rules.AdamW(beta1, beta2, group["eps"], group["weight_decay"])
        return (rules.AMSGrad if group["amsgrad"] else rules.Adam)(beta1, beta2, group["eps"])
    if kind is torch.optim.RMSprop and not group["momentum"]:
        return (rules.CentredRMSprop if group["centered"] else rules.RMSprop)(group["alpha"], group["eps"])
    if kind is torch.optim.Adagrad:
        return rules.Adagrad(group["eps"])
    if kind is torch.optim.Adadelta:
        return rules.Adadelta(group["rho"], group["eps"])
    raise OptionError(f"no rule of schuss is that of {kind.__name__}; name one that is near, such as optimizer='adam'")
