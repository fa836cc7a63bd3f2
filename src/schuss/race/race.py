"""Who goes on: runs are compared by the losses of the same held-out rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["FINALISTS", "Standing", "hopeless", "standing", "survivors"]

FINALISTS = 3
"""The best runs are near-ties whose order still changes as the learning rate falls: this many stay to the end."""

STANDARD_ERRORS = 4.0
GAIN = 0.5


class Standing(NamedTuple):
    """How the runs do on the same rows.

    means : `(runs,)` mean loss, inf where it is not finite; behind : `(runs,)` mean difference to the best run;
    errors : `(runs,)` standard error of that difference, from the paired differences row by row.
    """

    means: NDArray[np.float64]
    behind: NDArray[np.float64]
    errors: NDArray[np.float64]

    @property
    def best(self) -> int:
        """The place of the run with the lowest mean loss."""
        return int(np.argmin(self.means))


def standing(losses: NDArray[np.float32], weights: NDArray[np.float32]) -> Standing:
    """Compare runs by the losses `(rows, runs)` of the same rows with weights `(rows,)`.

    Pairing removes what the rows have in common: two runs that both find a row hard do not differ by it.

    >>> import numpy as np
    >>> s = standing(np.array([[1.0, 1.5], [2.0, 2.5]], np.float32), np.ones(2, np.float32))
    >>> s.best, s.behind.tolist(), s.errors.tolist()
    (0, [0.0, 0.5], [0.0, 0.0])
    """
    share = weights.astype(np.float64) / weights.sum(dtype=np.float64)
    means = share @ losses.astype(np.float64)
    means[~np.isfinite(means)] = np.inf
    best = int(np.argmin(means))
    if not np.isfinite(means[best]):
        return Standing(means, np.zeros_like(means), np.zeros_like(means))
    finite = np.isfinite(means)
    behind = np.where(finite, means - means[best], np.inf)
    errors = np.zeros_like(means)
    own = losses[:, best].astype(np.float64)
    for run in np.flatnonzero(finite):
        spread = losses[:, run].astype(np.float64) - own - behind[run]
        errors[run] = np.sqrt(np.sum((share * spread) ** 2))
    return Standing(means, behind, errors)


def hopeless(now: Standing, constant_loss: float) -> NDArray[np.bool_]:
    """Say which runs can be dropped in the middle of a leg.

    A run is hopeless when it is surely behind (four standard errors) and has not gained half of what the best one has
    over the constant prediction. Less would not do: a high rate looks bad until it falls, and often wins then.
    """
    gained = np.full_like(now.means, -np.inf)
    np.subtract(constant_loss, now.means, out=gained, where=np.isfinite(now.means))
    order = np.argsort(np.argsort(now.means, kind="stable"), kind="stable")
    sure = now.behind > STANDARD_ERRORS * now.errors
    return sure & (gained < GAIN * max(gained[now.best], 0.0)) & (order >= FINALISTS)


def survivors(now: Standing) -> NDArray[np.int64]:
    """Give the places of the runs that go on after a leg: the better half, at least three."""
    finite = int(np.isfinite(now.means).sum())
    count = min(finite, max(FINALISTS, -(-len(now.means) // 2)))
    return np.sort(np.argsort(now.means, kind="stable")[:count])
