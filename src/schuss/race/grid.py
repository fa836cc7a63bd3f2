"""The settings that race: learning rates over the whole range that can make sense, penalties beside them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from ..descent.optimizers import rule_named, trait
from ..population.population import Run

__all__ = ["default_runs"]

PENALTIES = (0.0, 10.0, 1.0, 100.0)
"""λ₂ · N of neighbouring rates: what is right falls as the rows N grow in number, as with any prior."""


OF_NETWORKS = (3.0, 0.01)
"""The lowest and the highest rate worth trying of a network, in those of a linear model."""


def _rate_range(optimizer: str, squared_norm: float) -> tuple[float, float]:
    """Give the lowest and highest rate worth trying.

    Plain steps are stable up to about 2/λ₁ ≤ 2/E‖x‖² for squared error (four times that for log loss), so their
    rates are counted in 1/E‖x‖². Adaptive rules move each weight by about the rate itself, whatever the scale of the
    rows.
    """
    rule = rule_named(optimizer)
    low, high = trait(rule, "rate_range")
    unit = 1.0 / max(squared_norm, 1e-12) if trait(rule, "rates_by_norm") else 1.0
    return low * unit, high * unit


def default_runs(
    count: int,
    *,
    optimizers: Sequence[str],
    learning_rate: float | None,
    l2: float | None,
    schedules: Sequence[str],
    inits: Sequence[str] = ("zero",),
    batch_size: int,
    rows: int,
    squared_norm: float,
    l1: float = 0.0,
    network: bool = False,
) -> list[Run]:
    """Give the runs that race, shared evenly between all pairings of optimizers, schedules and first weights.

    The rates of a pairing are spaced evenly in their logarithm, and neighbours have different penalties: the best
    rate is broad (a factor of three costs little), so that a row of rates tries every penalty near each rate.

    count : how many runs; learning_rate, l2 : None to try a range; rows : training rows of an epoch;
    squared_norm : E‖x‖² over the training rows; l1 : λ₁ of all runs; network : whether they are networks.
    """
    pairings = list(product(optimizers, schedules, inits))
    if learning_rate is not None and l2 is not None:
        count = len(pairings)
    elif learning_rate is not None:
        count = min(count, len(PENALTIES) * len(pairings))
    runs: list[Run] = []
    for place, (optimizer, schedule, init) in enumerate(pairings):
        share = count // len(pairings) + (place < count % len(pairings))
        low, high = _rate_range(optimizer, squared_norm)
        if network:
            low, high = low * OF_NETWORKS[0], high * OF_NETWORKS[1]
        rates = np.geomspace(low, high, share) if share > 1 else np.array([np.sqrt(low * high)])
        for i in range(share):
            rate = float(rates[i]) if learning_rate is None else learning_rate
            penalty = PENALTIES[i % len(PENALTIES)] / rows if l2 is None else l2
            runs.append(Run(len(runs), optimizer, rate, penalty, schedule, batch_size, init, l1))
    return runs
