"""What a part of a training is at one moment, as it goes into a checkpoint: plain values, and arrays by name."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelFileError
from .chunk import Chunk, SparseRows

__all__ = ["Saved", "from_plain", "load_chunk", "load_into", "save_chunk", "to_plain", "together", "understood"]


class Saved(NamedTuple):
    """Plain values, as JSON holds them, and arrays by name, which may be read from a file when they are asked for."""

    values: dict[str, Any]
    arrays: Mapping[str, NDArray[Any]]

    def part(self, name: str) -> Saved:
        """Give one of the parts that `together` was given; raises KeyError where there is none."""
        return Saved(self.values[name], _Within(self.arrays, f"{name}."))

    def loaded(self) -> Saved:
        """Give the same with all arrays in memory."""
        return Saved(self.values, dict(self.arrays))


class _Within(Mapping[str, NDArray[Any]]):
    """The arrays whose names begin with a prefix, without it."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], prefix: str) -> None:
        self._arrays, self._prefix = arrays, prefix

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._arrays[self._prefix + name]

    def __iter__(self) -> Iterator[str]:
        return (name.removeprefix(self._prefix) for name in self._arrays if name.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def together(values: Mapping[str, Any], **parts: Saved) -> Saved:
    """Make one of several parts, with values of its own.

    >>> whole = together({"rows": 3}, feed=Saved({"epoch": 1}, {"held": np.zeros(1)}))
    >>> whole.values, [*whole.arrays], whole.part("feed").values
    ({'rows': 3, 'feed': {'epoch': 1}}, ['feed.held'], {'epoch': 1})
    """
    inside = {name: part.values for name, part in parts.items()}
    arrays = {f"{name}.{key}": array for name, part in parts.items() for key, array in part.arrays.items()}
    return Saved({**values, **inside}, arrays)


@contextmanager
def understood() -> Iterator[None]:
    """Turn what is raised at something saved that schuss cannot have written into a ModelFileError of one sentence."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"the checkpoint is not one of this schuss ({type(error).__name__}: {error})") from error


def to_plain(value: Any) -> Any:
    """Give numbers, words and tuples of them as JSON holds them; it has no words for what is not finite.

    >>> to_plain((1.5, float("inf"), "a"))
    [1.5, {'float': 'inf'}, 'a']
    """
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return {"float": str(value)} if isinstance(value, float) and not math.isfinite(value) else value


def from_plain(value: Any) -> Any:
    """Give what `to_plain` was given, lists as tuples.

    >>> from_plain([1.5, {"float": "inf"}, "a"])
    (1.5, inf, 'a')
    """
    if isinstance(value, list):
        return tuple(from_plain(item) for item in value)
    return float(value["float"]) if isinstance(value, dict) else value


def save_chunk(chunk: Chunk) -> Saved:
    """Save rows of either layout."""
    rows, arrays = chunk.rows, {"targets": chunk.targets, "weights": chunk.weights}
    if isinstance(rows, SparseRows):
        arrays |= {"indptr": rows.indptr, "indices": rows.indices, "values": rows.values}
        return Saved({"width": rows.width}, arrays)
    return Saved({}, arrays | {"rows": rows})


def load_chunk(saved: Saved) -> Chunk:
    """Give the rows that `save_chunk` was given; raises ValueError where they cannot be such."""
    arrays: Mapping[str, Any] = saved.arrays
    if "rows" in arrays:
        dense: NDArray[Any] = arrays["rows"]
        chunk = Chunk(dense, arrays["targets"], arrays["weights"])
        sound = dense.ndim == 2 and _is_floats(dense) and len(dense) == len(chunk.targets)
    else:
        rows = SparseRows(arrays["indptr"], arrays["indices"], arrays["values"], saved.values["width"])
        chunk = Chunk(rows, arrays["targets"], arrays["weights"])
        sound = _is_sparse(rows) and len(rows.indptr) == len(chunk.targets) + 1
    targets, weights = chunk.targets, chunk.weights
    if not (sound and _is_floats(weights) and targets.ndim == 1 and weights.shape == targets.shape):
        raise ValueError("its rows are none")
    if targets.dtype != np.int32 and not _is_floats(targets):
        raise ValueError(f"its targets are {targets.dtype}")
    return chunk


def load_into(array: NDArray[Any], saved: Mapping[str, NDArray[Any]], name: str) -> None:
    """Copy a saved array into one of its kind; raises ValueError where it is of another."""
    given = saved[name]
    if given.shape != array.shape or given.dtype != array.dtype:
        raise ValueError(f"its '{name}' is {given.dtype} of shape {given.shape}, not {array.dtype} of {array.shape}")
    array[:] = given


def _is_floats(array: NDArray[Any]) -> bool:
    return array.dtype == np.float32 and bool(np.isfinite(array).all())


def _is_sparse(rows: SparseRows) -> bool:
    """Whether rows are in compressed form, with features below their width."""
    indptr, indices, values, width = rows
    if not (indptr.dtype == np.int64 and indices.dtype == np.int32 and indptr.ndim == indices.ndim == 1):
        return False
    if not (_is_floats(values) and values.shape == indices.shape and len(indptr) and type(width) is int):
        return False
    ascending = indptr[0] == 0 and indptr[-1] == len(indices) and bool((np.diff(indptr) >= 0).all())
    return ascending and bool(((indices >= 0) & (indices < width)).all())
