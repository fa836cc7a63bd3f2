"""Modules of the user's own on tables: what a factory must make, and the losses of tables over its output."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from schuss.descent.losses import Loss, Softmax, judge_of
from schuss.errors import OptionError
from schuss.population.network.copies import Batch
from schuss.population.network.modules import Modules, tensors_of
from schuss.population.network.probe import checked_module, copy_of, evaluation, seeded, why_in_turn
from schuss.population.outside import Outside
from schuss.population.population import WinnerState

__all__ = ["Tried", "outside_of", "population", "tried", "vector_of"]

TRIED_ROWS = 32
"""Made-up rows that a module is tried on."""


class Tried(NamedTuple):
    """A module that fits rows and loss; why_in_turn : why its copies cannot go together, None where they can."""

    module: nn.Module
    why_in_turn: str | None


class RowLoss(NamedTuple):
    """A loss of tables over scores `(n, outputs)`, one number a row, which autograd differentiates."""

    loss: Loss

    def __call__(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Give the losses `(n,)`."""
        if isinstance(self.loss, Softmax):
            return nn.functional.cross_entropy(scores, targets, reduction="none")
        return self.loss.evaluate(scores[:, 0], targets.to(scores.dtype))[0]


@lru_cache(8)
def tried(
    make: Callable[[int, int], Any], name: str, features: int, outputs: int, loss: Loss, classes: int, seed: int
) -> Tried:
    """Make a module from the seed and try it on made-up rows; raises OptionError, in one sentence, at what cannot be.

    classes : how many there are, zero for numbers. What is refused: no module, another shape than `(rows, outputs)`,
    numbers that are not finite, parameters that are not float32, a loss that is not offered.
    """
    if (loss.multiclass and not isinstance(loss, Softmax)) or judge_of(loss) is not loss:
        raise OptionError(f"the loss {type(loss).__name__} is not offered for modules of your own")
    what = f"'{name}'"
    with seeded(seed, torch.device("cpu")):
        try:
            made = make(features, outputs)
        except Exception as error:
            raise OptionError(f"{what} failed at features={features}, outputs={outputs}: {_line(error)}") from error
    rng = np.random.default_rng(seed)
    rows = torch.from_numpy(rng.standard_normal((TRIED_ROWS, features), np.float32))
    drawn = rng.integers(0, classes, TRIED_ROWS) if classes else rng.standard_normal(TRIED_ROWS, np.float32)
    batch = Batch(rows, torch.from_numpy(drawn))
    if isinstance(made, nn.Module):
        _require_scores(made, batch, outputs, what)
    module = checked_module(made, RowLoss(loss), batch, what)
    return Tried(module, why_in_turn(module, RowLoss(loss), batch))


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def _require_scores(module: nn.Module, batch: Batch, outputs: int, what: str) -> None:
    """Refuse what does not give a line of scores for each row."""
    other = [name for name, one in module.named_parameters() if one.dtype != torch.float32 or one.device.type != "cpu"]
    if other:
        raise OptionError(f"the module of {what} has a parameter '{other[0]}' that is not float32 on the CPU")
    with seeded(0, torch.device("cpu")), torch.no_grad(), evaluation(copy_of(module, what)) as tried:
        try:
            found = tried(batch.inputs)
        except Exception as error:
            raise OptionError(
                f"the module of {what} does not take rows {tuple(batch.inputs.shape)}: {_line(error)}"
            ) from error
    wanted = (batch.rows, outputs)
    if not isinstance(found, Tensor) or tuple(found.shape) != wanted:
        shown = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise OptionError(f"the module of {what} gives {shown} for {batch.rows} rows, not scores of shape {wanted}")


def outside_of(made: Tried, make: Any, name: str, features: int, outputs: int) -> Outside:
    """Describe a module."""
    shapes = {key: tuple(one.shape) for key, one in made.module.state_dict().items()}
    return Outside(name, features, outputs, shapes, make)


def vector_of(made: Tried, outside: Outside, winner: WinnerState) -> Any:
    """Give all tensors of a run that was taken out as one vector, those that were not learned among them."""
    own = {name: one.numpy() for name, one in made.module.state_dict().items()}
    return outside.vector(own | tensors_of(winner, made.module))


def population(
    made: Tried,
    rule: Any,
    loss: Loss,
    batch_size: int,
    seed: int,
    *,
    l1: bool,
    device: str,
    say: Callable[[str], None],
) -> Modules:
    """Give a population of copies of a module over tables, in one thread: bits must not depend on their number."""
    module = copy.deepcopy(made.module).to(device)
    return Modules(rule, module, RowLoss(loss), batch_size, seed, l1, why_in_turn=made.why_in_turn, say=say, alone=True)
