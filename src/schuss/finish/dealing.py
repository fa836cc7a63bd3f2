"""How rows are dealt into folds: at random, or by what they hold."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from ..data.chunk import Chunk, as_matrix

__all__ = ["FOLDS", "column_keys", "deal", "deal_by_content", "first_equals"]

FOLDS = 5

KEYED_ROWS = 1024
"""Rows whose bits are looked at at a time."""


def deal(targets: NDArray[np.int32 | np.float32], seed: int, folds: int = FOLDS) -> NDArray[np.int8]:
    """Deal rows into folds of equal size, at random within each class; −1 for classes with fewer rows than folds.

    These rows teach every fold's model and judge none: a class that a model has never seen has no finite loss.

    >>> deal(np.array([0, 0, 1, 1, 2], np.int32), 0, folds=2).tolist()
    [1, 0, 0, 1, -1]
    """
    shuffled = np.random.default_rng([seed, folds]).permutation(len(targets))
    dealt = np.empty(len(targets), np.int8)
    if targets.dtype.kind == "f":
        dealt[shuffled] = np.arange(len(targets)) % folds
        return dealt
    classes = targets.astype(np.intp)
    dealt[shuffled[np.argsort(classes[shuffled], kind="stable")]] = np.arange(len(targets)) % folds
    dealt[np.bincount(classes)[classes] < folds] = -1
    return dealt


def deal_by_content(rows: Chunk, folds: int = FOLDS) -> NDArray[np.int8]:
    """Deal rows into folds of nearly equal size by what they hold: neither an order nor a seed has a part in it.

    Within each class rows are sorted by a hash, and cut into folds: where a few rows are others, few go elsewhere. Rows
    of the same content differ by their number among these. −1 for classes with fewer rows than folds.

    >>> from schuss.data.chunk import take
    >>> rows = Chunk(np.arange(4, dtype=np.float32)[:, None], np.array([0, 0, 1, 1], np.int32), np.ones(4, np.float32))
    >>> dealt, turned = (deal_by_content(take(rows, order), 2) for order in (np.arange(4), np.arange(4)[::-1]))
    >>> bool((dealt == turned[::-1]).all())
    True
    """
    keys = _mixed(_content_keys(rows))
    order = np.argsort(keys, kind="stable")
    keys[order] = _mixed(keys[order] + _numbers_among_equals(keys[order]))
    targets = rows.targets
    classes = np.zeros(len(targets), np.intp) if targets.dtype.kind == "f" else targets.astype(np.intp)
    sizes = np.bincount(classes)
    order = np.lexsort((keys, classes))
    ranks = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    dealt = np.empty(len(order), np.int8)
    dealt[order] = ranks * folds // sizes[classes[order]]
    if targets.dtype.kind != "f":
        dealt[sizes[classes] < folds] = -1
    return dealt


def _content_keys(rows: Chunk) -> NDArray[np.uint64]:
    """Give for each row Σ bits · a number of the column, modulo 2⁶⁴, so that zeros count nothing, and of the target."""
    matrix, targets = as_matrix(rows.rows), _bits(rows.targets)
    if isinstance(matrix, np.ndarray):
        return _keys_of_dense(matrix, targets)
    columns = matrix.tocsc()
    ends = zip(columns.indptr[:-1], columns.indptr[1:], strict=True)
    numbers = _numbers(columns.indices[a:b].tobytes() + columns.data[a:b].tobytes() for a, b in ends)
    products = _bits(matrix.data) * numbers[1:][matrix.indices]
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(products)])
    return targets * numbers[0] + np.diff(sums[matrix.indptr])


def _keys_of_dense(matrix: NDArray[np.float32], targets: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Give the same of dense rows, in blocks of them."""
    own, *numbers = _numbers(key.tobytes() if key else b"" for key in column_keys(matrix))
    keys = targets * own
    for block in _blocks(len(matrix)):
        keys[block] += _bits(matrix[block]) @ np.array(numbers, np.uint64)
    return keys


def column_keys(matrix: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Give a number for what each column holds, Σ bits · a number of the row modulo 2⁶⁴: zero for nothing but zeros.

    Hashing them with `blake2b` took three times as long as this and the keys of rows (40,000 rows of 117 numbers).
    """
    rows = np.random.default_rng(FOLDS).integers(1 << 63, size=len(matrix), dtype=np.uint64) * 2 + 1
    keys = np.zeros(matrix.shape[1], np.uint64)
    for block in _blocks(len(matrix)):
        keys += rows[block] @ _bits(matrix[block])
    return keys


def _blocks(rows: int) -> list[slice]:
    return [slice(first, first + KEYED_ROWS) for first in range(0, rows, KEYED_ROWS)]


def _numbers(columns: Iterable[bytes]) -> NDArray[np.uint64]:
    """Give a number for the target and one for each column: zero if it is empty or holds what one before it does.

    So a constant column, or one that is there twice, deals no other folds.
    """
    firsts = first_equals(chain([b""], columns))
    counts = firsts == np.arange(len(firsts))
    numbers = np.zeros(len(counts), np.uint64)
    numbers[counts] = np.random.default_rng(FOLDS).integers(1 << 63, size=counts.sum(), dtype=np.uint64) * 2 + 1
    return numbers


def first_equals(columns: Iterable[bytes]) -> NDArray[np.intp]:
    """Give for each column the place of the first one that holds the same.

    >>> first_equals([b"a", b"b", b"a"]).tolist()
    [0, 1, 0]
    """
    firsts: dict[bytes, int] = {}
    places = [firsts.setdefault(blake2b(content).digest(), place) for place, content in enumerate(columns)]
    return np.array(places, np.intp)


def _bits(values: NDArray[np.floating | np.int32]) -> NDArray[np.uint64]:
    return (values.astype(np.float32) + np.float32(0)).view(np.uint32).astype(np.uint64)


def _mixed(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread what differs over all bits (the finalizer of SplitMix64)."""
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))


def _numbers_among_equals(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Number equal keys, which lie beside each other, from zero on."""
    places = np.arange(len(keys))
    begins = np.where(np.concatenate([[True], keys[1:] != keys[:-1]]), places, 0)
    return (places - np.maximum.accumulate(begins)).astype(np.uint64)
