"""The features of several columns side by side: dense rows, or CSR."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels import store
from .chunk import SparseRows
from .columns.kind import ColumnEncoder, Entries, merge, width_edges
from .columns.number_rows import Lanes, lanes_at, write_numbers
from .columns.numbers import NumberColumn, add_number_scores, number_entries, refuse

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


class DensePlan(NamedTuple):
    """How columns make up a dense row: those of numbers in one loop, each other one by itself.

    edges : where the features of each column begin, and the last ones end; numbers : places of the columns of numbers;
    lanes : their features; others : places of the other columns.
    """

    edges: list[int]
    numbers: list[int]
    lanes: Lanes | None
    others: list[int]


def dense_plan(columns: Sequence[ColumnEncoder]) -> DensePlan:
    """Part the columns into those of numbers and others."""
    edges = width_edges(columns)
    numbers = [at for at, column in enumerate(columns) if isinstance(column, NumberColumn)]
    others = [at for at, column in enumerate(columns) if not isinstance(column, NumberColumn)]
    lines = [columns[at].lanes for at in numbers]  # pyright: ignore[reportAttributeAccessIssue] — they are NumberColumns
    lanes = lanes_at(lines, [edges[at] for at in numbers]) if numbers else None
    return DensePlan(edges, numbers, lanes, others)


def locate_numbers(plan: DensePlan, columns: Sequence[Any], prepared: Sequence[Any]) -> NDArray[np.int64]:
    """Say where the numbers of each lane are in memory, for as long as `prepared` lives."""
    return np.array([lane for at in plan.numbers for lane in columns[at].numbers(prepared[at])], np.int64)


def write_dense(
    plan: DensePlan,
    columns: Sequence[Any],
    prepared: Sequence[Any],
    located: NDArray[np.int64],
    rows: slice,
    places: NDArray[np.int64],
    out: NDArray[np.float32],
    aside: NDArray[np.float32],
) -> None:
    """Write `rows` of all columns' features side by side, the i-th of them into row `places[i]` of `out`.

    A place below zero is one of `aside`: -1 is its first row, -2 the next one.
    """
    if plan.lanes is not None:
        problem = write_numbers(plan.lanes, located, rows, places, out, aside)
        if problem is not None:
            refuse([columns[at] for at in plan.numbers], [prepared[at] for at in plan.numbers], *problem)
    for at in plan.others:
        features = np.empty((len(places), plan.edges[at + 1] - plan.edges[at]), np.float32)
        columns[at].write(prepared[at], rows, features)
        store.run("encode:place_features", (), features, places, plan.edges[at], out, aside)


def sparse_scores(
    columns: Sequence[Any], edges: Sequence[int], prepared: Sequence[Any], weights: NDArray[np.float32], rows: int
) -> NDArray[np.float64]:
    """Compute the scores `(rows, outputs)` of sparse rows that are never made, to the same bits.

    weights : `(features + 1, outputs)`, the intercepts last.
    """
    weights, scores = np.ascontiguousarray(weights), np.tile(weights[-1].astype(np.float64), (rows, 1))
    for begin, own, values in _neighbours(columns, prepared):
        part = weights[edges[begin] : edges[begin + len(own)]]
        if isinstance(own[0], NumberColumn):
            add_number_scores(own, values, part, scores)
        else:
            own[0].add_scores(values[0], part, scores)
    return scores


def _neighbours(columns: Sequence[Any], prepared: Sequence[Any]) -> Iterator[tuple[int, list[Any], list[Any]]]:
    """Yield neighbouring columns of numbers together, others alone: the place of the first, columns, their values."""
    for numbers, group in groupby(range(len(columns)), key=lambda at: isinstance(columns[at], NumberColumn)):
        for places in [[*group]] if numbers else [[at] for at in group]:
            yield places[0], [columns[at] for at in places], [prepared[at] for at in places]


def sparse_rows(
    columns: Sequence[Any],
    edges: Sequence[int],
    prepared: Sequence[Any],
    rows: slice,
    order: NDArray[np.integer] | None = None,
) -> SparseRows:
    """Interleave the entries of all columns in `rows`, row by row.

    edges : where the features of each column begin, and the last ones end; order : which row of them each of the result
    is, if not the same.
    """
    pieces, starts = list[Entries](), list[int]()
    for begin, own, values in _neighbours(columns, prepared):
        numbers = isinstance(own[0], NumberColumn)
        pieces.append(number_entries(own, values, rows) if numbers else own[0].entries(values[0], rows))
        starts.append(edges[begin])
    counts, indices, values = merge(pieces, starts, order)
    indptr = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=indptr[1:])
    return SparseRows(indptr, indices.astype(np.int32, copy=False), values.astype(np.float32, copy=False), edges[-1])
