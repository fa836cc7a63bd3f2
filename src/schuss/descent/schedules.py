"""How the learning rate changes while training goes on.

A schedule is a named tuple of its numbers. `factors(self, progress, steps)` gives by what the base rate is multiplied:
progress p ∈ [0, 1] is the share of the planned rows that have been learned from, `steps` the planned number of steps,
so that p · steps counts the steps taken (t = 0 at the first one). Most schedules are functions of p alone: they end
where training ends, however long that is.

`NAME`, or `NAME:NUMBERS` with the numbers that `takes` lists, is how a user asks for one, and `warmup:SHARE+NAME` puts
a rise before it.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schuss.descent.specs import Number, parse_spec

__all__ = ["SCHEDULES", "Plateau", "Schedule", "Slowed", "bound", "parse_schedule"]

Array = NDArray[np.float64]
Schedule = Any
"""One of the named tuples of this module."""

_SHARE, _END = Number(0.0, 1.0, False), Number(0.0, 1.0)


class Constant(NamedTuple):
    """Keep the rate: 1."""

    takes = ()

    def factors(self, progress: Array, steps: float) -> Array:
        """Give 1."""
        return np.ones_like(progress)


class Linear(NamedTuple):
    """Fall in a straight line to e: 1 − (1 − e) p.

    >>> Linear().factors(np.array([0.0, 0.25, 1.0]), 100)
    array([1.  , 0.75, 0.  ])
    """

    end: float = 0.0

    takes = (("end", _END),)

    def factors(self, progress: Array, steps: float) -> Array:
        """Give 1 − (1 − e) p."""
        return 1.0 - (1.0 - self.end) * progress


class Exponential(NamedTuple):
    """Fall by the same share in every step, to e at the end: eᵖ."""

    end: float = 0.01

    takes = (("end", _SHARE),)

    def factors(self, progress: Array, steps: float) -> Array:
        """Give eᵖ."""
        return self.end**progress


class Step(NamedTuple):
    """Fall by a factor f whenever a share s of the training is over: f^⌊p/s⌋."""

    factor: float = 0.1
    every: float = 1 / 3

    takes = (("factor", _SHARE), ("every", _SHARE))

    def factors(self, progress: Array, steps: float) -> Array:
        """Give f^⌊p/s⌋; what rounding leaves below a whole number counts as that."""
        return self.factor ** np.floor(progress / self.every + 1e-9)


class Polynomial(NamedTuple):
    """Fall to e along a power k: e + (1 − e) (1 − p)ᵏ."""

    power: float = 2.0
    end: float = 0.0

    takes = (("power", Number(0.0, least_allowed=False)), ("end", _END))

    def factors(self, progress: Array, steps: float) -> Array:
        """Give e + (1 − e) (1 − p)ᵏ."""
        return self.end + (1.0 - self.end) * (1.0 - progress) ** self.power


class Cosine(NamedTuple):
    """Fall to e along half a wave: e + (1 − e) (1 + cos πp)/2 (Loshchilov and Hutter 2017, without restarts).

    >>> Cosine().factors(np.array([0.0, 0.5, 1.0]), 100).round(3)
    array([1. , 0.5, 0. ])
    """

    end: float = 0.0

    takes = (("end", _END),)

    def factors(self, progress: Array, steps: float) -> Array:
        """Give e + (1 − e) (1 + cos πp)/2."""
        return self.end + (1.0 - self.end) * 0.5 * (1.0 + np.cos(math.pi * progress))


class InverseTime(NamedTuple):
    """Fall as 1/(1 + d p), by default to a sixteenth.

    >>> InverseTime().factors(np.array([0.0, 1.0]), 100)
    array([1.    , 0.0625])
    """

    decay: float = 15.0

    takes = (("decay", Number(0.0)),)

    def factors(self, progress: Array, steps: float) -> Array:
        """Give 1/(1 + d p)."""
        return 1.0 / (1.0 + self.decay * progress)


class InverseSquareRoot(NamedTuple):
    """Fall as 1/√(1 + d p), by default to a sixteenth."""

    decay: float = 255.0

    takes = (("decay", Number(0.0)),)

    def factors(self, progress: Array, steps: float) -> Array:
        """Give 1/√(1 + d p)."""
        return 1.0 / np.sqrt(1.0 + self.decay * progress)


class InverseScaling(NamedTuple):
    """Fall with a power k of the step number: (1 + t)⁻ᵏ, scikit-learn's 'invscaling' with its power_t."""

    power: float = 0.5

    takes = (("power", Number(0.0)),)

    def factors(self, progress: Array, steps: float) -> Array:
        """Give (1 + t)⁻ᵏ."""
        return (1.0 + progress * steps) ** -self.power


class Optimal(NamedTuple):
    """Fall as 1/(1 + η λ₂ t) with the base rate η and the penalty λ₂ (Bottou 2010).

    scikit-learn's 'optimal', 1/(α (t₀ + t)), is this with λ₂ = α and the base rate 1/(α t₀). Without a penalty the rate
    stays as it is. `bound` fills in d = η λ₂.
    """

    decay: float = 0.0

    takes = ()

    def factors(self, progress: Array, steps: float) -> Array:
        """Give 1/(1 + d t)."""
        return 1.0 / (1.0 + self.decay * progress * steps)


class OneCycle(NamedTuple):
    """Rise from s to 1 until the share k of the training, then fall to e, each along half a wave (Smith 2018).

    The numbers' defaults are those of torch.optim.lr_scheduler.OneCycleLR; the base rate is the highest one.
    """

    peak: float = 0.3
    start: float = 0.04
    end: float = 4e-6

    takes = (("peak", Number(0.0, 0.999, False)), ("start", _END), ("end", _END))

    def factors(self, progress: Array, steps: float) -> Array:
        """Give the rise before the peak, and the fall after it."""
        rise = 0.5 * (1.0 - np.cos(math.pi * np.minimum(progress / self.peak, 1.0)))
        fall = 0.5 * (1.0 + np.cos(math.pi * np.maximum((progress - self.peak) / (1.0 - self.peak), 0.0)))
        return np.where(
            progress < self.peak, self.start + (1.0 - self.start) * rise, self.end + (1.0 - self.end) * fall
        )


class StableDecay(NamedTuple):
    """Keep the rate, then fall in a straight line to e over the last share d (Hägele et al. 2024).

    With `warmup:SHARE+` before it this is warm-up–stable–decay.
    """

    decay: float = 0.2
    end: float = 0.0

    takes = (("decay", _SHARE), ("end", _END))

    def factors(self, progress: Array, steps: float) -> Array:
        """Give 1, and in the last share d what is left of it."""
        return self.end + (1.0 - self.end) * np.minimum(1.0, (1.0 - progress) / self.decay)


class WarmupStableDecay(NamedTuple):
    """Rise in a straight line over the first share w, stay, and fall to e over the last share d."""

    warmup: float = 0.05
    decay: float = 0.2
    end: float = 0.0

    takes = (("warmup", Number(0.0, 0.999, False)), ("decay", _SHARE), ("end", _END))

    def factors(self, progress: Array, steps: float) -> Array:
        """Give the smaller of rise and fall."""
        return np.minimum(
            _rise(progress, steps, self.warmup), StableDecay(self.decay, self.end).factors(progress, steps)
        )


class Plateau(NamedTuple):
    """Fall by a factor f when the held-out loss has not fallen in more than n evaluations one after the other.

    The loss counts as fallen if it is a ten-thousandth below the lowest so far: the rules and the default threshold of
    torch.optim.lr_scheduler.ReduceLROnPlateau. There are at most 16 evaluations in a leg.
    """

    factor: float = 0.5
    patience: float = 1.0

    takes = (("factor", _SHARE), ("patience", Number(0.0)))

    def factors(self, progress: Array, steps: float) -> Array:
        """Give 1: what the held-out loss makes of it is told by `after`."""
        return np.ones_like(progress)

    def after(self, before: Slowed, loss: float) -> Slowed:
        """Give what an evaluation with this held-out loss leads to."""
        if loss < before.best * (1.0 - 1e-4):
            return Slowed(before.factor, loss, 0)
        if before.waited < self.patience:
            return before._replace(waited=before.waited + 1)
        return Slowed(before.factor * self.factor, before.best, 0)


class Slowed(NamedTuple):
    """What a plateau has done to a run: the factor of its rate, the lowest loss, evaluations since that."""

    factor: float = 1.0
    best: float = math.inf
    waited: int = 0


def _rise(progress: Array, steps: float, share: float) -> Array:
    """Rise in a straight line to 1 over a share of the training, from the first step on: (t + 1)/(share · steps)."""
    return np.minimum(1.0, (progress + 1.0 / max(steps, 1.0)) / share)


class WarmUp(NamedTuple):
    """Rise in a straight line over the first share w; the other schedule has the rest of the training.

    It keeps its first rate while it waits, so that the two meet.
    """

    share: float = 0.05
    after: Any = Linear()

    takes = (("share", Number(0.0, 0.999, False)),)

    def factors(self, progress: Array, steps: float) -> Array:
        """Give the rise times the other schedule, which begins at p = w."""
        left = 1.0 - self.share
        own = np.maximum(progress - self.share, 0.0) / left
        return _rise(progress, steps, self.share) * self.after.factors(own, steps * left)


SCHEDULES: dict[str, type[Any]] = {
    "constant": Constant,
    "linear": Linear,
    "exponential": Exponential,
    "step": Step,
    "polynomial": Polynomial,
    "cosine": Cosine,
    "inverse_time": InverseTime,
    "inverse_sqrt": InverseSquareRoot,
    "invscaling": InverseScaling,
    "optimal": Optimal,
    "one_cycle": OneCycle,
    "stable_decay": StableDecay,
    "wsd": WarmupStableDecay,
    "plateau": Plateau,
}
"""The schedules by the names that a user gives."""


def parse_schedule(spec: str) -> Schedule:
    """Read `NAME`, `NAME:NUMBERS`, or either with `warmup:SHARE+` before it.

    Raises ValueError with a sentence.

    >>> parse_schedule("warmup:0.1+cosine:0.01")
    WarmUp(share=0.1, after=Cosine(end=0.01))
    """
    first, plus, rest = spec.partition("+")
    if plus and first.partition(":")[0] == "warmup":
        return parse_spec(first, {"warmup": WarmUp}, "schedule")._replace(after=parse_spec(rest, SCHEDULES, "schedule"))
    return parse_spec(spec, SCHEDULES, "schedule")


def bound(schedule: Schedule, rate: float, l2: float) -> Schedule:
    """Give the schedule of a run with this base rate and penalty: `Optimal` depends on them.

    >>> bound(Optimal(), 0.5, 0.01)
    Optimal(decay=0.005)
    """
    if isinstance(schedule, WarmUp):
        return schedule._replace(after=bound(schedule.after, rate, l2))
    return Optimal(rate * l2) if isinstance(schedule, Optimal) else schedule
