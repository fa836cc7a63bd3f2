"""Rows that are made only when it is known where each of them goes, and are never copied after that."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .chunk import Chunk, SparseRows, nothing_like, take
from .encoder import Encoder, Prepared

__all__ = ["Draft", "like", "stored_values", "training_rows", "without"]


class Draft:
    """Dense rows of a piece that are still to be made, in order: those to learn from go where they are wanted.

    places : `(rows,)`, where each goes: not negative for the training rows, which wait for their place;
    targets, weights : `(rows,)`; select, score : the held-out rows, there when all rows have been made;
    many : training rows; width : features of a row; at : the next row to be made.
    """

    def __init__(
        self, encoder: Encoder, prepared: Prepared, first: int, places: NDArray[np.int64], many: int, held: list[Chunk]
    ) -> None:
        """Take rows of a batch from `first` on; `held`, two chunks without rows, become those that select and score."""
        self._encoder, self._prepared, self._first, self.at = encoder, prepared, first, 0
        self.places, self.many, self.width = places, many, encoder.width
        self.targets = prepared.targets[first : first + len(places)]
        self.weights = prepared.weights[first : first + len(places)]
        selecting, scoring = (len(chunk.targets) for chunk in held)
        self._aside = np.empty((selecting + scoring + 1, encoder.width), np.float32)  # the last for rows left out
        self.select = held[0]._replace(rows=self._aside[:selecting])
        self.score = held[1]._replace(rows=self._aside[selecting:-1])

    def write(self, stop: int, out: NDArray[np.float32]) -> None:
        """Make the rows up to `stop` in their places, those of the training rows in `out`.

        Raises DataError at a value that cannot be used.
        """
        rows = slice(self._first + self.at, self._first + stop)
        self._encoder.write_rows(self._prepared, rows, self.places[self.at : stop], out, self._aside)
        self.at = stop

    def drop(self, rows: int) -> None:
        """Do without the next training rows, so many; the held-out ones among them are made."""
        if rows:
            stop = self.at + int(np.flatnonzero(self.places[self.at :] >= 0)[rows - 1]) + 1
            dropped = self.places[self.at : stop]
            dropped[dropped >= 0] = -len(self._aside)
            self.write(stop, self._aside)
            self.many -= rows

    def finish(self) -> None:
        """Make the held-out rows that are left when all training rows have been made."""
        if self.at < len(self.places):
            self.write(len(self.places), self._aside)


def training_rows(training: Chunk | Draft) -> int:
    """Count the training rows."""
    return len(training.targets) if isinstance(training, Chunk) else training.many


def stored_values(training: Chunk | Draft) -> int:
    """Count the values that the training rows store."""
    if not isinstance(training, Chunk):
        return training.many * training.width
    rows = training.rows
    return int(rows.indptr[-1] - rows.indptr[0]) if isinstance(rows, SparseRows) else rows.size


def without(training: Chunk | Draft, rows: int) -> Chunk | Draft:
    """Give training rows without the first ones, so many."""
    if isinstance(training, Chunk):
        return take(training, np.arange(rows, len(training.targets))) if rows else training
    training.drop(rows)
    return training


def like(training: Chunk | Draft) -> Chunk:
    """Give no rows, of the same layout, width and types."""
    if isinstance(training, Chunk):
        return nothing_like(training)
    nothing = np.empty((0, training.width), np.float32)
    return Chunk(nothing, training.targets[:0].copy(), training.weights[:0].copy())
