"""Frames with columns that are not numbers, or with missing values, encoded as `schuss.train` encodes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ..data.chunk import SparseRows, as_matrix, concatenate_rows
from ..data.columns.convert import is_numeric
from ..data.encoder import Encoder
from ..data.memory import as_table
from ..data.schema import infer_schema
from ..errors import InputError

__all__ = ["Frames", "is_mixed"]

GOAL = "the target"


def is_mixed(X: Any) -> bool:
    """Whether X is a frame with columns that are not numbers, or with missing values."""
    if isinstance(X, np.ndarray | list | tuple) or hasattr(X, "tocsr") or not hasattr(X, "columns"):
        return False
    try:
        table = as_table(X)
    except InputError:
        return False
    return any(
        column.null_count or not (is_numeric(column.type) or pa.types.is_boolean(column.type))
        for column in table.columns
    )


@dataclass(frozen=True)
class Frames:
    """The encoder of the frames that an estimator was fitted to."""

    encoder: Encoder

    @classmethod
    def fit(cls, X: Any, goals: NDArray[Any], task: str) -> Frames:
        """Find what each column is, and its statistics; raises ValueError where nothing can be learned from."""
        try:
            table = as_table(X)
            goal = GOAL
            while goal in table.column_names:
                goal += "_"
            sample = table.append_column(goal, pa.array(goals))
            schema = infer_schema(sample, name="X", target=goal, task=task)
            return cls(Encoder.fit(sample, schema, name="X", rows_expected=len(table)))
        except InputError as error:
            raise ValueError(str(error)) from error

    def rows(self, X: Any) -> Any:
        """Give the encoded rows, in float64, dense or CSR; raises ValueError at what cannot be encoded."""
        if not hasattr(X, "columns"):
            names = ", ".join(map(repr, self.encoder.columns[:5])) + ", …" * (len(self.encoder.columns) > 5)
            raise ValueError(f"fitted to a data frame, so X must be one too, with the columns {names}; got {type(X)}")
        try:
            batches = as_table(X).to_batches()
            first, pieces = 0, []
            for batch in batches:
                prepared = self.encoder.prepare(batch, where="X", first_row=first, target=False)
                pieces.append(self.encoder.rows(prepared))
                first += len(batch)
            rows = concatenate_rows(pieces)
        except InputError as error:
            raise ValueError(str(error)) from error
        if isinstance(rows, SparseRows):
            return csr_array(as_matrix(rows._replace(values=rows.values.astype(np.float64))))
        return rows.astype(np.float64)
