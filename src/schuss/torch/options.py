"""The options of a race of modules, and the runs that race."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from schuss.descent.optimizers import bare, per_run, rule_named, trait
from schuss.descent.schedules import parse_schedule
from schuss.errors import OptionError
from schuss.population.population import Run

__all__ = ["PRECISIONS", "RaceOptions"]

OF_MODULES = 1 / 30
"""What learning rates worth trying of modules are, in those of linear models on standardised rows."""

SQUARED_NORM = 16.0
"""E‖x‖² of what comes into a layer, whose inverse plain rates are counted in."""

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class RaceOptions:
    """How modules race; names and meanings are those of `schuss train` where it has them.

    runs : how many copies; optimizer : a name of `schuss train --optimizer`, or several; learning_rate : one, or the
    lowest and highest of a range to try; None tries what is worth it; l2 : λ₂ of all runs; epochs : None goes on while
    the held-out loss falls; time_limit : seconds.

    rates : by what the learning rate of parameters is multiplied, by names or beginnings of names: `{"head.": 10.0}`;
    precision : "float32", or "bfloat16" or "float16" for a mixed-precision region around module and loss; compiled :
    let torch.compile have the step, which pays on a GPU; device : "auto" (a GPU where there is one), or a name of
    PyTorch's; workers : how many share the rows, on their CPUs, as with `schuss train --workers`; cluster : where they
    are: None on this machine, "auto" or an address on a Ray cluster, "here" in this process; seed : of the first
    parameters, the order of the rows and all that modules draw.

    Raises OptionError for what cannot be.
    """

    runs: int = 16
    optimizer: str | Sequence[str] = "adam"
    learning_rate: float | Sequence[float] | None = None
    l2: float = 0.0
    schedule: str = "linear"
    batch_size: int = 32
    epochs: int | None = None
    time_limit: float | None = None
    rates: Mapping[str, float] = field(default_factory=dict)
    precision: str = "float32"
    compiled: bool = False
    device: str = "auto"
    workers: int | None = None
    cluster: str | None = None
    seed: int = 0

    @property
    def optimizers(self) -> tuple[str, ...]:
        """The optimizers, with their hyperparameters."""
        return (self.optimizer,) if isinstance(self.optimizer, str) else tuple(self.optimizer)

    @property
    def place(self) -> torch.device:
        """The device."""
        auto = "cuda" if torch.cuda.is_available() and self.workers is None else "cpu"
        return torch.device(auto if self.device == "auto" else self.device)

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        for name, least in (("runs", 1), ("batch_size", 1), ("epochs", 1), ("workers", 1)):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < least):
                raise OptionError(f"{name} is a whole number of at least {least}, not {value!r}")
        if self.workers is not None and self.place.type != "cpu":
            raise OptionError(f"workers learn on their CPUs, not on device '{self.device}'")
        if self.cluster is not None and self.workers is None:
            raise OptionError("cluster says where the workers are: workers says how many")
        if self.precision not in PRECISIONS:
            raise OptionError(f"precision is one of {', '.join(PRECISIONS)}, not {self.precision!r}")
        if len(self.optimizers) > self.runs:
            raise OptionError(f"{len(self.optimizers)} optimizers need as many runs, not {self.runs}")
        low, high = self.range_of(self.optimizers[0])
        if not (0 < low <= high < np.inf) or not 0 <= self.l2 < np.inf:
            raise OptionError(
                "learning_rate is a number above 0 or the two ends of a range; l2 is a number of at least 0"
            )
        try:
            parse_schedule(self.schedule)
        except ValueError as error:
            raise OptionError(f"schedule: {error}") from None
        for spec in self.optimizers:
            per_run(rule_named(bare(spec)), [spec])

    def range_of(self, optimizer: Any) -> tuple[float, float]:
        """Give the lowest and highest learning rate of an optimizer, a name or a rule."""
        if self.learning_rate is not None:
            ends = np.ravel(np.asarray(self.learning_rate, np.float64))
            return float(ends[0]), float(ends[-1])
        rule = rule_named(bare(optimizer)) if isinstance(optimizer, str) else optimizer
        low, high = trait(rule, "rate_range")
        if trait(rule, "number_names"):
            return low, high
        unit = 1 / SQUARED_NORM if trait(rule, "rates_by_norm") else OF_MODULES
        return low * unit, high * unit

    def runs_of(self, optimizer: str, first: int, count: int) -> tuple[Run, ...]:
        """Give the runs of an optimizer, their rates evenly spaced in the logarithm."""
        low, high = self.range_of(optimizer)
        rates = np.geomspace(low, high, count) if count > 1 else [np.sqrt(low * high)]
        return tuple(
            Run(first + i, optimizer, float(rate), self.l2, self.schedule, self.batch_size, "module")
            for i, rate in enumerate(rates)
        )

    def line_up(self) -> dict[str, tuple[Run, ...]]:
        """Give the runs of each rule, whatever its hyperparameters."""
        found: dict[str, tuple[Run, ...]] = {}
        count = self.runs if not self._fixed else len(self.optimizers)
        first = 0
        for place, spec in enumerate(self.optimizers):
            share = count // len(self.optimizers) + (place < count % len(self.optimizers))
            found[bare(spec)] = found.get(bare(spec), ()) + self.runs_of(spec, first, share)
            first += share
        return found

    @property
    def _fixed(self) -> bool:
        """Whether one learning rate is given, so that further runs would be the same."""
        low, high = self.range_of(self.optimizers[0])
        return low == high
