"""A model that goes on learning: what its training has left, the mixture that learns from rows, and back to a model."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.chunk import Chunk, take
from ..data.encoder import Encoder, Prepared
from ..data.schema import Column, Role
from ..descent.losses import judge_of, predicted_numbers, unit_of, values_and_gradients
from ..errors import ModelFileError, OptionError
from ..model.metrics import ClassificationTally, RegressionTally
from ..model.model import Model, outputs_of
from ..population.mixture import Mixture, MixtureState

__all__ = ["Learner", "Progress", "weighted"]

LANES = "lanes."
"""How the names of the arrays of a model begin that its mixture goes on from."""

RECENT_ROWS = 1000


class Standing(NamedTuple):
    """What a model keeps of its updates, so that the next one goes on.

    position : rows that all updates have read; learned : those learned from, of which the others lacked a target or
    were bad; loss : the sum of their losses, each from before it was learned from.
    """

    position: int = 0
    learned: int = 0
    loss: float = 0.0


@dataclass
class Progress:
    """How the rows of one update were answered, each before it was learned from."""

    tally: ClassificationTally | RegressionTally
    rows: int = 0
    learned: int = 0
    loss: float = 0.0
    recent: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    unseen: dict[str, int] = field(default_factory=dict)


class Learner:
    """A model with its mixture; `rows` of a batch are answered and learned, `model` gives what has come of it."""

    def __init__(self, model: Model) -> None:
        if model.network is not None:
            raise OptionError("only linear models go on learning from new rows, and this one is a network")
        self._before = model
        self.encoder, self._loss = model.encoder, model.formula
        trained: dict[str, Any] = model.settings.get("trained", {})
        classes = trained.get("class_weights")
        self._class_weights = None if classes is None else np.array(classes, np.float32)
        self._mean_weight = float(trained.get("mean_weight", 1.0))
        chosen = model.settings.get("chosen", {})
        self._mixture = Mixture(
            self._loss, self.encoder.width, outputs_of(model.classes), self.encoder.sparse,
            float(chosen.get("l2", 0.0)), float(chosen.get("l1", 0.0)),
        )  # fmt: skip
        self.standing = Standing(**model.settings.get("updates", {}))
        self._state = self._begun(model)
        tally = (
            RegressionTally(self.encoder.target_scale)
            if model.classes is None
            else ClassificationTally(len(model.classes))
        )
        self.progress = Progress(tally)

    def _begun(self, model: Model) -> MixtureState:
        """Go on from an earlier update, or begin with the weights and squares of the training."""
        kept = {name.removeprefix(LANES): array for name, array in model.state.items() if name.startswith(LANES)}
        if not kept:
            return self._mixture.start(model.weights, _squares(model))
        try:
            return self._mixture.resumed(kept, self.standing.learned)
        except (KeyError, ValueError) as error:
            raise ModelFileError(f"the model cannot go on from its last update: {error}") from error

    @property
    def unit(self) -> float:
        """What losses of training are multiplied by where people see them."""
        return unit_of(self._before.loss, self.encoder.target_scale)

    def learn(self, prepared: Prepared) -> None:
        """Answer and learn rows; those without a target are passed over."""
        rows = self.encoder.rows(prepared)
        for name, count in prepared.unseen.items():
            self.progress.unseen[name] = self.progress.unseen.get(name, 0) + count
        chunk = Chunk(rows, prepared.targets, self._weights(prepared))
        if prepared.missing is not None:
            chunk = take(chunk, ~prepared.missing)
        self._state, answers = self._mixture.advance(self._state, chunk)
        self._note(answers, chunk.targets)
        self.standing = self.standing._replace(learned=self.standing.learned + len(answers))
        self.passed(prepared.length)

    def passed(self, rows: int) -> None:
        """Count rows that have been read, learned from or not."""
        self.progress.rows += rows
        self.standing = self.standing._replace(position=self.standing.position + rows)

    def _weights(self, prepared: Prepared) -> NDArray[np.float32]:
        """Weigh rows as in training."""
        weights = prepared.weights
        if self._mean_weight != 1.0:
            weights = weights / np.float32(self._mean_weight)
        if self._class_weights is not None:
            weights = weights * self._class_weights[prepared.targets.astype(np.intp)]
        return weights

    def _note(self, answers: NDArray[np.float64], targets: NDArray[Any]) -> None:
        """Score the answers; losses are added one by one, so that it does not matter how rows are cut."""
        loss, progress = judge_of(self._loss), self.progress
        losses = self.unit * values_and_gradients(loss, answers, targets)[0].astype(np.float64)
        progress.learned += len(losses)
        progress.loss = _added(progress.loss, losses)
        progress.recent = np.concatenate([progress.recent, losses])[-RECENT_ROWS:]
        progress.tally.add(
            answers if isinstance(progress.tally, ClassificationTally) else predicted_numbers(loss, answers), targets
        )
        self.standing = self.standing._replace(loss=_added(self.standing.loss, losses))

    def model(self) -> Model:
        """Give the model that would answer the next row, with all that the next update needs."""
        arrays = self._mixture.arrays(self._state)
        return replace(
            self._before,
            encoder=self.encoder,
            weights=self._mixture.weights(self._state),
            settings={**self._before.settings, "updates": self.standing._asdict()},
            state={LANES + name: array.copy() for name, array in arrays.items()},
        )


def weighted(model: Model, column: str) -> Model:
    """Let a model read the weights of rows from a column."""
    schema = model.encoder.schema
    others = tuple(one for one in schema.columns if one.role is not Role.WEIGHT and one.name != column)
    encoder: Encoder = replace(model.encoder, schema=replace(schema, columns=(*others, Column(column, Role.WEIGHT))))
    return replace(model, encoder=encoder)


def _added(total: float, numbers: NDArray[np.float64]) -> float:
    """Add numbers one after the other."""
    return float(np.add.accumulate(np.concatenate([[total], numbers]))[-1])


def _squares(model: Model) -> NDArray[Any]:
    """Give how large the squared gradient of a row usually is for each weight, as far as training has left word of it.

    Averages over mini-batches of b rows vary b times less than those of single rows. One is the most that it is for
    standardised features and the usual losses.
    """
    trained, chosen = model.settings.get("trained", {}), model.settings.get("chosen", {})
    batch, rows = int(chosen.get("batch_size", 1)), float(trained.get("rows", 0.0))
    mean, total = model.state.get("mean_of_squares"), model.state.get("sum_of_squares")
    if mean is not None and mean.shape == model.weights.shape:
        return mean * np.float32(batch)
    if total is not None and total.shape == model.weights.shape and rows > 0:
        return total * np.float32(batch**2 / rows)
    return np.ones_like(model.weights)
