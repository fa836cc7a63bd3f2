"""The weights of rows, and rows that repeat as one row of their weight together."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, issparse
from sklearn.utils import check_array

__all__ = ["checked_weights", "once_each", "row_weights"]


def row_weights(sample_weight: Any, rows: int) -> NDArray[np.float64] | None:
    """Give the weights of so many rows, if there are any; raises ValueError at what cannot be weights."""
    if sample_weight is None:
        return None
    weights = checked_weights(sample_weight, rows)
    if (weights < 0).any() or not weights.any():
        what = "Negative values in" if weights.any() else "Only zeros in"
        raise ValueError(f"{what} sample_weight: no weight may be below zero, and some must be above zero")
    return weights


def checked_weights(sample_weight: Any, rows: int) -> NDArray[np.float64]:
    """Give one finite number for each of so many rows; raises ValueError where there are others."""
    weights: Any = check_array(sample_weight, ensure_2d=False, dtype="float64", input_name="sample_weight")
    if weights.shape != (rows,):
        raise ValueError(f"sample_weight must have the shape ({rows},), got {weights.shape}")
    return weights


def once_each(
    X: Any, goals: NDArray[Any], weights: NDArray[Any] | None
) -> tuple[Any, NDArray[Any], NDArray[Any] | None]:
    """Put rows in an order of their own, each once with the weight of all that are like it, leaving out those of none.

    Rows that repeat would otherwise judge, in one fold, what was learned from them in another.

    >>> X, goals, weights = once_each(np.array([[2.0], [1.0], [2.0]]), np.array([[5.0], [4.0], [5.0]]), None)
    >>> X.ravel(), weights
    (array([1., 2.]), array([1., 2.]))
    """
    there = np.arange(len(goals)) if weights is None else np.flatnonzero(weights > 0)
    first, where = _alike(X[there], goals[there])
    own = np.ones(len(there)) if weights is None else weights[there]
    total = np.bincount(where.ravel(), own, minlength=len(first))
    places = there[first]
    plain = weights is None and len(first) == len(goals)
    return X[places], goals[places], None if plain else total


def _alike(X: Any, goals: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Give the first place of each row that is unlike the others, in an order of their own, and which each row is."""
    if not issparse(X):
        whole = np.column_stack([X, goals]).astype(np.float64)
        found = np.unique(whole, axis=0, return_index=True, return_inverse=True)[1:]
    else:
        rows = csr_matrix(X, copy=True)
        rows.sum_duplicates()
        keys = np.empty(len(goals), object)
        for at, (begin, end) in enumerate(pairwise(rows.indptr)):
            keys[at] = rows.indices[begin:end].tobytes() + rows.data[begin:end].tobytes() + goals[at].tobytes()
        found = np.unique(keys, return_index=True, return_inverse=True)[1:]
    return found[0], found[1].ravel()
