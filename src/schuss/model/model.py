"""A trained model: what predicts, explains itself, and is one file."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..data.bad_rows import Skipping
from ..data.chunk import Rows
from ..data.columns.kind import width_edges
from ..data.encoder import Encoder, Prepared
from ..data.open import open_source
from ..data.parted import with_gaps
from ..data.schema import Role
from ..data.shuffle import worked_ahead
from ..descent.losses import (
    PROBABILISTIC,
    Loss,
    judge_of,
    loss_for,
    predicted_numbers,
    probabilities,
    unit_of,
    values_and_gradients,
)
from ..errors import OptionError
from ..files import replacing
from ..population.architecture import Architecture
from ..population.outside import Outside
from ..sealed import open_sealed, write_sealed
from .explaining import deviations, in_target_units, largest
from .file import allowed, arrays_of, network_of_values, require_arrays, require_fit, under
from .metrics import ClassificationTally, RegressionTally, predicted_classes
from .reading import Piece, pieces, require
from .scorers import LinearScorer, NetworkScorer, Scorer

if TYPE_CHECKING:
    import onnx

    from ..data.source import Source
    from ..export.terms import Terms

# Changed whenever an older schuss could not read the file.
FILE_FORMAT = 2
FILE_NAME = "model.safetensors"

# Rows that are worked on at once, at most; numbers of sparse rows that are encoded at once, 64 MB of them, and of dense
# ones.
_ROWS_AT_ONCE = 1 << 16
_NUMBERS_AT_ONCE = 1 << 24
_CACHED_NUMBERS = 1 << 17

# Threads that convert and score sparse rows: one alone was at work all the time, while decoding, in two, was so for
# half of it; two take 0.89 of the time for two million rows of numbers, categories and text. Dense rows and networks
# keep one.
_THREADS = 2


@dataclass(frozen=True)
class Model:
    """A linear model, or networks, with the encoder of its rows.

    encoder : what turns data into rows, fitted on the training data.
    loss : the name of the loss it was trained for.
    weights : float32 `(features + 1, outputs)`, the intercept last; scores are `rows @ weights[:-1] + weights[-1]`. Two
        classes have one output, the score of the second; numbers are predicted in units of the encoder's target. Those
        of networks are `(networks, parameters)`, and their scores are averaged.
    settings : the options and hyperparameters it was trained with, as plain values.
    state : what the optimizer needs to go on, by name.
    versions : of the libraries it was trained with.
    svmlight_base : index of the first feature in svmlight files, where it was trained on such.
    network : the architecture of networks; slopes, reach : how their scores change with the features, on average
        `(features + 1, outputs)` and up or down `(features, outputs)`, see `Scorer`.
    """

    encoder: Encoder
    loss: str
    weights: NDArray[np.float32]
    settings: Mapping[str, Any] = field(default_factory=dict)
    state: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    svmlight_base: int | None = None
    network: Architecture | Outside | None = None
    slopes: NDArray[np.float32] | None = None
    reach: NDArray[np.float32] | None = None

    @property
    def task(self) -> str:
        """Either "classification" or "regression"."""
        return self.encoder.schema.task

    @property
    def target(self) -> str:
        """The name of the column that is predicted."""
        return self.encoder.schema.named(Role.TARGET) or ""

    @property
    def classes(self) -> list[Any] | None:
        """The labels of the classes in the order of their indices; None for regression."""
        return self.encoder.classes

    @property
    def formula(self) -> Loss:
        """The loss, as it counts in the units of training."""
        return loss_for(self.loss, outputs_of(self.classes), self.encoder.target_scale)

    @cached_property
    def scorer(self) -> Scorer:
        """What turns rows into scores."""
        if self.network is None:
            return LinearScorer(self.weights)
        assert self.slopes is not None
        assert self.reach is not None
        return NetworkScorer(self.network, self.weights, self.slopes, self.reach)

    def save(self, path: str | Path) -> None:
        """Write the model to one file, which replaces what stood there only when it is complete.

        Raises OutputError when the file cannot be written.
        """
        encoder, arrays = self.encoder.to_state()
        values = {
            "format": FILE_FORMAT,
            "encoder": encoder,
            "loss": self.loss,
            "settings": dict(self.settings),
            "versions": dict(self.versions),
            "svmlight_base": self.svmlight_base,
            "network": None if self.network is None else self.network.to_values(),
        }
        tensors = {name: np.asarray(getattr(self, name), np.float32) for name in arrays_of(self.network is not None)}
        tensors |= {f"encoder.{name}": array for name, array in arrays.items()}
        tensors |= {f"state.{name}": array for name, array in self.state.items()}
        with replacing(path) as file:
            write_sealed(file, "model", values, tensors)

    @classmethod
    def load(cls, path: str | Path, network: str | Callable[[int, int], Any] | None = None) -> Model:
        """Read a model from its file, or from the folder of the run that made it; no code that a file names is run.

        network : of a model with a module of the user's own, `module:FACTORY` or the factory, whose code may run then.

        Raises ModelFileError when there is no such file or it is not exactly as `save` wrote it; OptionError for a
        network that cannot be had, or that the model has no use for.
        """
        return allowed(cls._read(path), network)

    @classmethod
    def _read(cls, path: str | Path) -> Model:
        path = Path(path)
        with open_sealed(path / FILE_NAME if path.is_dir() else path, "model") as file:
            values = file.values
            if values.get("format") != FILE_FORMAT:
                found = str(values.get("format"))[:40]
                raise ValueError(f"it has format {found}, where this version of schuss reads {FILE_FORMAT}")
            require_arrays(file)
            found = cls(
                Encoder.from_state(values["encoder"], under("encoder.", file)),
                values["loss"],
                file.load("weights"),
                values["settings"],
                under("state.", file),
                values["versions"],
                values["svmlight_base"],
                None if values["network"] is None else network_of_values(values["network"]),
                *(file.load(name) for name in arrays_of(values["network"] is not None)[1:]),
            )
            require_fit(found, outputs_of(found.classes))
            return found

    def predict(self, source: Any, *, proba: bool = False, **reading: Any) -> pa.Table:
        """Predict every row of `source`, in order.

        Parameters
        ----------
        source : whatever `schuss.train` takes; it needs the columns of the features, in any order.
        proba : whether to add a column `p_CLASS` with the probability of each class; needs a loss that has them.
        reading : options of `open_source`, such as `format` and `header`; `on_bad_row` and `max_bad_rows`, as in
            training; `on_bad`, called with the name of the file and each bad row; `tell`, called with notices.

        Returns
        -------
        A table whose column `prediction` holds labels as they were in the training data, or float64 numbers; it is
        missing for rows that were skipped.

        Raises
        ------
        DataError
            When columns are missing or values cannot be used.
        OptionError
            When probabilities are asked of a model that has none.
        """
        return pa.Table.from_batches(list(self.predict_batches(source, proba=proba, **reading)))

    def predict_batches(self, source: Any, *, proba: bool = False, **reading: Any) -> Iterator[pa.RecordBatch]:
        """Predict as `predict` does, but give batch after batch: at least one, however few the rows."""
        if proba and self.loss not in PROBABILISTIC:
            known = ", ".join(PROBABILISTIC)
            raise OptionError(f"probabilities need a model trained with one of {known}, got one of {self.loss}")
        opened, skipping = self._open(source, reading)
        return self._predict_batches(opened, skipping, proba)

    def _predict_batches(self, source: Source, skipping: Skipping, proba: bool) -> Iterator[pa.RecordBatch]:
        nothing = True
        for scores, _, skipped in self._scored(source, skipping, target=False):
            nothing = False
            yield with_gaps(self._predictions(scores, proba), skipped)
        if nothing:
            yield self._predictions(np.empty((0, self.scorer.outputs)), proba)

    def _predictions(self, scores: NDArray[np.float64], proba: bool) -> pa.RecordBatch:
        """Make the columns of the predictions."""
        if self.classes is None:
            numbers = predicted_numbers(self.formula, scores) * self.encoder.target_scale + self.encoder.target_mean
            return pa.record_batch({"prediction": numbers})
        columns = {"prediction": pa.array(self.classes).take(pa.array(predicted_classes(scores)))}
        if proba:
            chances = probabilities(self.formula, scores)
            columns |= {f"p_{label}": pa.array(chances[:, at]) for at, label in enumerate(self.classes)}
        return pa.record_batch(columns)

    def scores(self, rows: Rows) -> NDArray[np.float64]:
        """Compute the scores `(n, outputs)` of encoded rows."""
        return self.scorer.scores(rows)

    def raw_scores(self, source: Any, **reading: Any) -> NDArray[np.float64]:
        """Compute the scores `(n, outputs)` of every row of `source`, in order; raises DataError as `predict` does."""
        opened, skipping = self._open(source, reading)
        found = [scores for scores, _, _ in self._scored(opened, skipping, target=False)]
        return np.concatenate(found) if found else np.empty((0, self.scorer.outputs))

    def evaluate(self, source: Any, **reading: Any) -> dict[str, Any]:
        """Compare the predictions for every row of `source` that has a target with the target.

        Returns `rows`; `skipped_rows`, those without a target or that could not be used; `loss`, the plain mean over
        the rows without penalty or weights (nats for log_loss, mean squared error in the target's unit for
        squared_error, the share of wrong rows for perceptron); `accuracy`, `macro_f1` and for two classes `auc`, or
        `r2`, `rmse` and `mae`. What cannot be said, as without any row, is None.

        Raises DataError as `predict` does, and at a class that the model does not know.
        """
        opened, skipping = self._open(source, reading)
        require([self.target], opened)
        loss, total, rows = judge_of(self.formula), 0.0, 0
        tally = (
            RegressionTally(self.encoder.target_scale)
            if self.classes is None
            else ClassificationTally(len(self.classes))
        )
        for scores, targets, _ in self._scored(opened, skipping, target=True):
            rows += len(scores)
            total += float(values_and_gradients(loss, scores, targets)[0].sum(dtype=np.float64))
            tally.add(scores if self.classes is not None else predicted_numbers(loss, scores), targets)
        mean = unit_of(self.loss, self.encoder.target_scale) * total / rows if rows else None
        return {"rows": rows, "skipped_rows": skipping.read - rows, "loss": mean, **tally.metrics()}

    def explain(self, top: int = 20) -> list[dict[str, Any]]:
        """Give the `top` weights of largest importance, and every intercept after them.

        Those of networks, whose scores have no weights, are slopes: how a score changes with a feature, on average over
        held-out rows, those first that change it most, up or down. The intercept is the score of the average row (of
        sparse rows, the empty one). Each is a dict of `feature`, `output` (the class or target whose score it adds to),
        `weight` (as it was trained, of the standardised feature), `importance` (by how much a standard deviation of the
        feature in the training data moves the score; None for an intercept), `in_data_units` (what it adds to the
        score), and `unit` (per what).
        """
        folded = self.encoder.in_data_units(self.scorer.slopes.astype(np.float64))
        features, outputs = self.encoder.width, self.scorer.outputs
        moves = deviations(self.encoder) * in_target_units(self.encoder)[0]
        importance = self.scorer.reach * moves[:, None]
        first = largest(importance.reshape(-1), top)
        intercepts = features * outputs + np.arange(outputs)
        places = [divmod(at, outputs) for at in [*first.tolist(), *intercepts.tolist()]]
        return [self._entry(index, output, folded, importance) for index, output in places]

    def contributions(self, source: Any, **reading: Any) -> pa.Table:
        """Say of every row of `source` what its score consists of.

        The columns are `(output)`, the class whose score it is (the predicted one; of two always the second, whose
        score is negative where the first is predicted) or the target; `(score)`, in regression in the target's units;
        `(intercept)`; and for each column of features what it adds, beyond what its average adds where rows are dense.
        Intercept and columns, added from left to right, are the score, exactly.

        Raises DataError as `predict` does.
        """
        return pa.Table.from_batches(list(self.contribution_batches(source, **reading)))

    def contribution_batches(self, source: Any, **reading: Any) -> Iterator[pa.RecordBatch]:
        """Give what `contributions` does, batch after batch: at least one, however few the rows."""
        opened, skipping = self._open(source, reading)
        shape = len(self.encoder.features), self.scorer.outputs
        edges = width_edges(self.encoder.features)
        wide = max(self._entries if self.encoder.sparse else self.encoder.width, math.prod(shape))
        yield self._contributions(np.empty((0, *shape)))
        for piece in pieces(self.encoder, opened, skipping, None, self._step(wide)):
            added = self.scorer.contributions(self.encoder.rows(self._prepared(piece)), edges)
            yield with_gaps(self._contributions(added), piece.skipped)

    def _contributions(self, added: NDArray[np.float64]) -> pa.RecordBatch:
        """Make the columns of contributions `(n, columns, outputs)`."""
        unit, offset = in_target_units(self.encoder)
        intercept, added = self.scorer.slopes[-1].astype(np.float64) * unit + offset, added * unit
        scores = np.cumsum(np.concatenate([np.broadcast_to(intercept, (len(added), 1, len(intercept))), added], 1), 1)
        rows, which = np.arange(len(added)), predicted_classes(scores[:, -1]) if len(intercept) > 1 else 0
        labels = [self.target] if self.classes is None else [str(label) for label in self.classes]
        named = pa.array(labels[-len(intercept) :]).take(pa.array(np.broadcast_to(which, len(added))))
        columns = {"(output)": named, "(score)": scores[rows, -1, which], "(intercept)": scores[rows, 0, which]}
        columns |= {column.name: added[rows, at, which] for at, column in enumerate(self.encoder.features)}
        return pa.record_batch(columns)

    def to_json(self) -> str:
        """Write the model as JSON in the units of the data.

        Raises OptionError where it reads more than numbers, vectors of them, and categories.
        """
        from ..export.as_json import to_json

        return to_json(self._terms())

    def to_onnx(self) -> onnx.ModelProto:
        """Write the model as an ONNX graph with an input for each column, a prediction, scores and probabilities.

        Raises OptionError as `to_json` does, and without the package onnx.
        """
        from ..export.as_onnx import to_onnx

        return to_onnx(self._terms())

    def to_sklearn(self) -> Any:
        """Make a scikit-learn `Pipeline` that predicts the same.

        Raises OptionError as `to_json` does, and for vectors beside other columns.
        """
        from ..export.as_sklearn import to_sklearn

        if self.network is not None:
            raise OptionError("a scikit-learn pipeline is of linear models, and this one is a network: ONNX takes it")
        return to_sklearn(self._terms())

    def _terms(self) -> Terms:
        from ..export.terms import network_terms, terms_of

        if isinstance(self.network, Outside):
            raise OptionError("a module of your own is exported by torch.onnx, with its own code")
        if self.network is not None:
            return network_terms(self.encoder, self.network, self.weights, self.loss)
        return terms_of(self.encoder, self.weights, self.loss)

    def _entry(
        self, index: int, output: int, folded: NDArray[np.float64], importance: NDArray[np.float64]
    ) -> dict[str, Any]:
        """Describe the weight of a feature, or after the last of them an intercept, for an output."""
        feature, unit = self.encoder.feature(index) if index < self.encoder.width else ("(intercept)", "")
        label = output if self.scorer.outputs > 1 else 1  # the one score of two classes is that of the second
        name = self.target if self.classes is None else str(self.classes[label])
        weight, value = self.scorer.slopes[index, output].item(), folded[index, output].item()
        moves = importance[index, output].item() if index < self.encoder.width else None
        found = {"feature": feature, "output": name, "weight": weight, "importance": moves}
        return found | {"in_data_units": value, "unit": unit}

    def _open(self, source: Any, reading: Mapping[str, Any]) -> tuple[Source, Skipping]:
        """Open a source so that its columns are read as they were for training."""
        told = {"svmlight_base": self.svmlight_base, "header": self.settings.get("header", True)}
        options = told | self.encoder.reading() | dict(reading)
        skipping = Skipping(options.pop("max_bad_rows", 0.01), options.pop("on_bad", None))
        tell = options.pop("tell", lambda notice: None)
        opened = open_source(source, **options)
        for notice in opened.notices:
            tell(notice)
        require([column.name for column in self.encoder.features], opened)
        return opened, skipping

    def _scored(
        self, source: Source, skipping: Skipping, target: bool
    ) -> Iterator[tuple[NDArray[np.float64], NDArray[Any], list[int]]]:
        """Give scores and targets of all rows, or of those that have a target, and the places of rows that are bad."""

        def scored(piece: Piece) -> tuple[NDArray[np.float64], NDArray[Any], list[int]]:
            prepared = self._prepared(piece, target=target, to_score=self._adds_scores)
            scores = self._scores_of(prepared)
            kept = slice(None) if prepared.missing is None else ~prepared.missing
            return scores[kept], prepared.targets[kept], piece.skipped

        step = self._step(self._entries) if self.encoder.sparse else _ROWS_AT_ONCE
        rows = pieces(self.encoder, source, skipping, self.target if target else None, step)
        many = self._adds_scores and (source.rows is None or source.rows > step)
        yield from worked_ahead(scored, rows, _THREADS) if many else map(scored, rows)

    @property
    def _adds_scores(self) -> bool:
        """Whether scores are added up column by column: those of sparse rows, which are then never made."""
        return self.encoder.sparse and self.network is None

    @property
    def _entries(self) -> float:
        """Numbers of a sparse row, about."""
        return 2 * self.encoder.density + 1

    @staticmethod
    def _step(numbers: float) -> int:
        """Give how many rows of so many numbers are worked on at once."""
        return max(256, min(_ROWS_AT_ONCE, int(_NUMBERS_AT_ONCE / numbers)))

    def _prepared(self, piece: Piece, *, target: bool = False, to_score: bool = False) -> Prepared:
        """Convert and check the values of some rows."""
        place = {"where": piece.where, "first_row": piece.first_row}
        return self.encoder.prepare(piece.table, **place, target=target, weighted=False, to_score=to_score)

    def _scores_of(self, prepared: Prepared) -> NDArray[np.float64]:
        """Compute the scores of prepared values; dense rows are made piece by piece, for the second cache."""
        if self._adds_scores:
            return self.encoder.sparse_scores(prepared, self.weights)
        if self.encoder.sparse:
            return self.scores(self.encoder.rows(prepared))
        step = max(_CACHED_NUMBERS // self.encoder.width, 256)
        room, places = np.empty((min(step, prepared.length), self.encoder.width), np.float32), np.arange(step)
        scores = np.empty((prepared.length, self.scorer.outputs))
        for start in range(0, prepared.length, step):
            stop = min(start + step, prepared.length)
            rows = room[: stop - start]
            self.encoder.write_rows(prepared, slice(start, stop), places[: stop - start], rows)
            scores[start:stop] = self.scores(rows)
        return scores


def outputs_of(classes: list[Any] | None) -> int:
    """Give the number of scores: one for a number or two classes, else one for each class."""
    return 1 if classes is None or len(classes) == 2 else len(classes)
