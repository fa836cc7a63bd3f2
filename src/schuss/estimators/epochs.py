"""Networks that learn epoch by epoch, whenever there are rows: what partial_fit, warm_start and tol ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..data.chunk import CHUNK_ROWS, Chunk, Rows, join, row_count, take, take_rows
from ..data.encoder import Encoder
from ..data.open import open_source
from ..data.schema import infer_schema
from ..descent.losses import Loss, loss_for
from ..descent.optimizers import bare, rule_named
from ..model.model import Model, outputs_of
from ..model.scorers import slopes_of
from ..process import limited_threads, one_blas_thread
from ..race.grid import default_runs
from ..training.networks import architecture_of, batch_of, network_of
from ..training.settings import Settings
from ..updating.learner import weighted
from ..versions import version_of

__all__ = ["EpochLearner", "learn_until", "learner_of"]

LOOKED_AT = 200
"""Rows at which the slopes of a model are looked at."""


@dataclass
class EpochLearner:
    """Networks of several learning rates side by side; the one that does best answers.

    What the features are scaled by comes from the rows that it was made for. `epoch` counts those of all calls; `best`
    is the number of the run that answers. It can be copied and pickled.
    """

    settings: Settings
    encoder: Encoder
    loss: str
    population: Any
    state: Any
    some: Rows
    epoch: int = 0
    best: int = 0
    _model: Model | None = field(default=None, repr=False)

    @property
    def formula(self) -> Loss:
        """The loss, in the units of training."""
        return loss_for(self.loss, outputs_of(self.encoder.classes), self.encoder.target_scale)

    def encoded(self, data: tuple[Any, ...]) -> Chunk:
        """Encode `(X, y)` or `(X, y, weights)`; raises InputError at what cannot be."""
        source = open_source(data)
        pieces = []
        for batch in source.batches():
            one = self.encoder.encode(batch.table, where=source.parts[batch.part], first_row=batch.row)
            pieces.append(Chunk(one.rows, one.targets, one.weights))
        return join(pieces)

    def begin(self, rows: int) -> None:
        """Begin the schedules anew, for so many rows to come."""
        self.state = self.population.begin_leg(self.state, rows)

    def learn(self, chunk: Chunk, *, shuffle: bool, judges: Chunk | None = None) -> float:
        """Learn from every row once; give the loss of the run that is best: of `judges`, or of rows before each step.

        Raises ValueError where no run has a finite loss.
        """
        many = len(chunk.targets)
        drawn = np.random.default_rng([self.settings.seed, self.epoch])
        order = drawn.permutation(many) if shuffle else np.arange(many)
        total, weight = 0.0, 0.0
        with limited_threads(1), np.errstate(all="ignore"):
            for begin in range(0, many, CHUNK_ROWS):
                self.state, told = self.population.advance(self.state, take(chunk, order[begin : begin + CHUNK_ROWS]))
                total, weight = total + told.loss, weight + told.weight
            losses = np.asarray(total) / max(weight, 1e-300)
            if judges is not None:
                of_rows = self.population.losses(self.state, judges).astype(np.float64)
                losses = np.average(of_rows, axis=0, weights=judges.weights)
        if not np.isfinite(losses).any():
            raise ValueError("every network diverged, also the one with the lowest learning rate")
        numbers = [run.number for run in self.state.runs]
        self.state = self.population.hear(self.state, dict(zip(numbers, losses.tolist(), strict=True)))
        place = int(np.nanargmin(np.where(np.isfinite(losses), losses, np.inf)))
        self.best, self._model = numbers[place], None
        self.epoch += 1
        return float(losses[place])

    @property
    def model(self) -> Model:
        """The model of the run that answers."""
        if self._model is None:
            network = architecture_of(self.settings, self.encoder)
            winner = self.population.take(self.state, self.best)
            weights = winner.weights.reshape(1, -1)
            slopes, reach = slopes_of(network, weights, self.some)
            run = next(run for run in self.state.runs if run.number == self.best)
            chosen = {
                "optimizer": run.optimizer,
                "learning_rate": run.learning_rate,
                "l2": run.l2,
                "epochs": self.epoch,
            }
            self._model = Model(
                self.encoder, self.loss, weights, {**self.settings.of_model(), "chosen": chosen},
                {**winner.slots, "carry": winner.carry}, {"torch": version_of("torch")},
                network=network, slopes=slopes, reach=reach,
            )  # fmt: skip
        return self._model

    def __getstate__(self) -> dict[str, Any]:
        """Keep the state as arrays: tensors that are views of others come apart in a pickle."""
        return {**self.__dict__, "state": self.population.saved(self.state)}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        """Go on from what was kept."""
        self.__dict__.update(kept)
        self.state = self.population.resumed(kept["state"])


def learn_until(
    learner: EpochLearner, rows: Chunk, *, held: NDArray[np.bool_] | None, most: int, tol: float | None, patience: int,
    shuffle: bool, tell: Callable[[str], None] | None,
) -> int:  # fmt: skip
    """Learn for `most` epochs, fewer where `patience` of them lower the loss by less than `tol`; give how many.

    held : the rows that judge instead of being learned from.
    """
    judges = None
    if held is not None:
        rows, judges = take(rows, ~held), take(rows, held)
    learner.begin(most * len(rows.targets))
    best, waited = np.inf, 0
    for epoch in range(1, most + 1):
        loss = learner.learn(rows, shuffle=shuffle, judges=judges)
        if tell is not None:
            tell(f"epoch {learner.epoch}: loss {loss:.6g}")
        if tol is None:
            continue
        waited = waited + 1 if loss > best - tol else 0
        best = min(best, loss)
        if waited >= patience:
            return epoch
    return most


@one_blas_thread
def learner_of(
    options: dict[str, Any], data: tuple[Any, ...], classes: int | None, model: Model | None = None
) -> EpochLearner:
    """Give networks for the features of these rows, which have learned nothing yet, or what those of a model have.

    options : of `schuss.train`; classes : how many there are, whether or not these rows have all of them.

    Raises InputError where options or rows cannot be used.
    """
    source = open_source(data)
    table = pa.Table.from_batches([batch.table for batch in source.batches()])
    task = "regression" if classes is None else "classification"
    settings = Settings(**{**options, "target": source.target, "task": task, "holdout": "none", "threads": 1})
    if model is None:
        weight = getattr(source, "weight", None)
        labels = None if classes is None else pa.array(np.arange(classes))
        told = table if labels is None else _with_all(table, labels, source.target)
        schema = infer_schema(told, name=source.parts[0], target=source.target, task=task, weight=weight)
        encoder = Encoder.fit(table, schema, name=source.parts[0], labels=None if labels is None else lambda: labels)
    else:
        encoder = weighted(model, "w").encoder if len(data) > 2 else model.encoder
    loss = "squared_error" if classes is None else "log_loss"
    formula = loss_for(loss, outputs_of(encoder.classes), encoder.target_scale)
    batch = batch_of(settings, len(table))
    name = settings.optimizers[0]
    population: Any = network_of(settings, encoder, rule_named(bare(name)), formula, batch, 1)
    first = EpochLearner(settings, encoder, loss, population, None, np.zeros((0, encoder.width), np.float32))
    rows = first.encoded(data).rows
    runs = default_runs(
        settings.runs, optimizers=[name], schedules=settings.schedules, inits=settings.inits, batch_size=batch,
        learning_rate=None if settings.learning_rate == "auto" else float(settings.learning_rate),
        l2=float(settings.l2), rows=len(table), squared_norm=float(encoder.width), network=True,
    )  # fmt: skip
    some = take_rows(rows, np.arange(min(row_count(rows), LOOKED_AT)))
    state = population.begin_leg(population.start(tuple(runs)), 1)
    if model is not None:
        population.put(state, model.weights[np.arange(len(runs)) % len(model.weights)])
    return replace(first, state=state, some=some)


def _with_all(table: pa.Table, labels: pa.Array, target: str | None) -> pa.Table:
    """Give a table as if its rows, repeated where they are few, had all classes."""
    many = pa.concat_tables([table] * -(-len(labels) // len(table)))
    place = many.schema.get_field_index(target or "")
    return many.set_column(place, many.schema.field(place), labels.take(pa.array(np.arange(len(many)) % len(labels))))
