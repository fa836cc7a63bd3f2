"""Entries of columns side by side, against dense rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schuss.data.columns.kind import Entries, compress, merge
from schuss.kernels import store


def dense_rows(rng: np.random.Generator, rows: int, width: int) -> np.ndarray:
    return (rng.integers(1, 9, (rows, width)) * (rng.random((rows, width)) < 0.4)).astype(np.float32)


def spread_out(entries: Entries, width: int) -> np.ndarray:
    """Make dense rows of entries, whose indices must ascend in every row."""
    rows = np.zeros((len(entries.counts), width), np.float32)
    row = np.repeat(np.arange(len(rows)), entries.counts)
    assert ((np.diff(entries.indices) > 0) | (np.diff(row) > 0)).all()
    rows[row, entries.indices] = entries.values
    return rows


@settings(deadline=None)
@given(st.integers(0, 5), st.lists(st.integers(1, 4), min_size=1, max_size=4), st.booleans(), st.integers(0, 99))
def test_merged_columns_are_dense_ones_side_by_side(rows: int, widths: list[int], mixed: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    columns = [dense_rows(rng, rows, width) for width in widths]
    order = rng.permutation(rows) if mixed else None
    starts = [0, *np.cumsum(widths).tolist()]
    merged = merge([compress(column) for column in columns], starts, order)
    whole = np.concatenate(columns, axis=1)
    np.testing.assert_array_equal(spread_out(merged, starts[-1]), whole if order is None else whole[order])


@pytest.mark.parametrize("value", [np.nan, -0.0, np.float32(1e-45)])
def test_what_counts_as_zero(value: float) -> None:
    entries = compress(np.array([[0, value, 0], [1, 0, value]], np.float32))
    there = int(value != 0)
    assert entries.counts.tolist() == [there, 1 + there]
    assert entries.indices.tolist() == [1] * there + [0] + [2] * there


@pytest.mark.parametrize("rows", [0, 1, 40])
def test_sums_by_feature_are_those_of_dense_rows(rows: int) -> None:
    rng = np.random.default_rng(2)
    dense, weights = dense_rows(rng, rows, 7), rng.normal(size=(rows, 3))
    counts, indices, values = compress(dense)
    powers, weighed = np.zeros((7, 3)), np.zeros((7, 5))
    store.run("entries:add_powers", (), indices, values, powers)
    store.run("entries:add_weighed", (), np.concatenate([[0], np.cumsum(counts)]), indices, values, weights, weighed)
    exact = dense.astype(np.float64)
    first, second = exact.sum(axis=0), (exact**2).sum(axis=0)
    np.testing.assert_allclose(powers, np.stack([first, second, (exact**3).sum(axis=0)], axis=1), rtol=1e-12)
    np.testing.assert_allclose(weighed, np.column_stack([first, second, exact.T @ weights]), rtol=1e-12)
