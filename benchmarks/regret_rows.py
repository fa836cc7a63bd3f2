"""Encoded rows for the experts and the peers: the encoder that schuss fits, so that all learn from the same numbers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from regret_sets import Table
from scipy.sparse import csr_array

from schuss.data.chunk import Chunk, SparseRows, as_matrix, join
from schuss.data.encoder import Encoder
from schuss.data.open import open_source
from schuss.descent.losses import Loss, constant_scores, loss_for, values_and_gradients
from schuss.model.model import outputs_of
from schuss.training.preparation import prepare
from schuss.training.settings import Settings

DENSE_WIDTH = 300
"""Sparse tables up to this width are made dense: shorter to compute, and the same rows."""


class Encoded(NamedTuple):
    """Rows to learn from and rows to be scored on, of one encoder.

    outputs : scores a row; unit : by which losses are multiplied to be whole squared errors in the target's unit.
    """

    encoder: Encoder
    loss: Loss
    outputs: int
    unit: float
    given: Chunk
    others: tuple[Chunk, ...]

    @property
    def constant(self) -> np.ndarray:
        """Scores of the best prediction that ignores the features."""
        classes = None if self.encoder.classes is None else len(self.encoder.classes)
        return constant_scores(self.loss, self.given.targets, self.given.weights, classes)

    def losses(self, scores: np.ndarray, chunk: Chunk) -> np.ndarray:
        """Give the loss of each row by its scores `(rows, outputs)`: nats, or squared errors in the target's unit."""
        with np.errstate(over="ignore", invalid="ignore"):
            values = values_and_gradients(self.loss, np.asarray(scores, np.float64), chunk.targets)[0]
        return self.unit * values

    def scores(self, weights: np.ndarray, chunk: Chunk) -> np.ndarray:
        """Give the scores of rows by the weights of a linear model, the intercept last."""
        with np.errstate(over="ignore", invalid="ignore"):
            return matrix(chunk) @ weights[:-1].astype(np.float64) + weights[-1]

    def constant_losses(self, chunk: Chunk) -> np.ndarray:
        """Give the loss of each row by the constant prediction."""
        return self.losses(np.repeat(self.constant[None, :], len(chunk.targets), axis=0), chunk)


def encode(given: Table, *others: Table) -> Encoded:
    """Fit the encoder that a training would fit on the rows given, and encode these and the others."""
    encoder = prepare(given.source, Settings(**given.options, out=None)).encoder
    outputs = outputs_of(encoder.classes)
    loss = loss_for("squared_error" if encoder.classes is None else "log_loss", outputs)
    unit = 2 * encoder.target_scale**2 if encoder.classes is None else 1.0
    parts = [encoded_rows(encoder, part) for part in (given, *others)]
    return Encoded(encoder, loss, outputs, unit, parts[0], tuple(parts[1:]))


def encoded_rows(encoder: Encoder, part: Table, *, densify: bool = True) -> Chunk:
    """Encode a table; sparse rows are made dense where that is shorter, unless told otherwise."""
    source = open_source(part.source, **encoder.reading())
    pieces = []
    for batch in source.batches(columns=encoder.columns):
        rows, targets, weights, *_ = encoder.encode(batch.table, where="table", first_row=batch.row)
        if densify and isinstance(rows, SparseRows) and rows.width <= DENSE_WIDTH:
            rows = np.ascontiguousarray(as_matrix(rows).toarray(), np.float32)
        pieces.append(Chunk(rows, targets, weights))
    return join(pieces)


def matrix(chunk: Chunk) -> Any:
    """Give rows as a NumPy array, or as a SciPy matrix with the index type that every library takes."""
    rows = as_matrix(chunk.rows)
    if isinstance(rows, np.ndarray):
        return rows
    return csr_array((rows.data, rows.indices.astype(np.int32), rows.indptr.astype(np.int32)), shape=rows.shape)
