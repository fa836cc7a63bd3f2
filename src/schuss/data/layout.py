"""The features of several columns side by side: dense rows, or CSR."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .chunk import SparseRows
from .columns.kind import ColumnEncoder, blocks, merge, width_edges

# Rows this narrow are dense: they fit a few cache lines.
NARROW = 128
# Wider rows are dense where enough of them is not zero, and the rows do not grow huge.
DENSITY, WIDE = 0.1, 4096
# Rows mostly not zero take less room dense than in CSR, which stores an index with each value.
MOSTLY = 0.5


def should_be_sparse(columns: Sequence[ColumnEncoder]) -> bool:
    """Choose the layout for features of which `sum(density)` are not zero in a row."""
    width = sum(len(column.scale.centre) for column in columns)
    density = sum(column.density for column in columns) / max(width, 1)
    return not (width <= NARROW or density >= MOSTLY or (density >= DENSITY and width <= WIDE))


def dense_rows(columns: Sequence[ColumnEncoder], prepared: Sequence[Any], rows: int) -> NDArray[np.float32]:
    """Write all columns' features side by side, block by block so that a block's rows stay in the cache."""
    edges = width_edges(columns)
    out = np.empty((rows, edges[-1]), np.float32)
    # Each column costs some 50 µs a block: with 784 columns, blocks of 334 rows took four times as long as these.
    for block in blocks(rows, edges[-1], least=4096):
        for column, values, start, stop in zip(columns, prepared, edges[:-1], edges[1:], strict=True):
            column.write(values, block, out[block, start:stop])
    return out


def sparse_rows(columns: Sequence[ColumnEncoder], prepared: Sequence[Any]) -> SparseRows:
    """Interleave all columns' entries row by row."""
    edges = width_edges(columns)
    counts, indices, values = merge([c.entries(p) for c, p in zip(columns, prepared, strict=True)], edges)
    indptr = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=indptr[1:])
    return SparseRows(indptr, indices.astype(np.int32, copy=False), values.astype(np.float32, copy=False), edges[-1])
