"""Which rows are held out: the same ones in every epoch and after a resume, whatever the order of reading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import OptionError
from ..kernels import store
from .columns.convert import as_strings, in_one_piece
from .columns.hashing import hash_strings, mix

__all__ = ["AT_MOST", "SCORE", "SELECT", "TRAIN", "Holdout", "Kind", "parse_holdout", "uses_of_rows"]

AT_MOST = 200_000
"""Held-out rows are encoded once and kept in memory; more of them would judge no better."""

TRAIN, SELECT, SCORE = np.uint8(0), np.uint8(1), np.uint8(2)
"""What a row is for: to learn from, to choose between runs, to report how good the chosen one is."""

Kind = Literal["share", "last", "group", "file", "none"]


@dataclass(frozen=True)
class Holdout:
    """How rows are held out: a random share, the last share, whole groups of a column, another file, or none."""

    kind: Kind
    share: float = 0.0
    column: str | None = None
    file: str | None = None


def parse_holdout(text: str) -> Holdout:
    """Read `0.1`, `last:0.1`, `group:COLUMN`, `none` or the name of a file.

    Raises OptionError for a share outside (0, 1).

    >>> parse_holdout("last:0.2")
    Holdout(kind='last', share=0.2, column=None, file=None)
    """
    if text == "none":
        return Holdout("none")
    if text.startswith("group:"):
        return Holdout("group", 0.1, column=text.removeprefix("group:"))
    try:
        share = float(text.removeprefix("last:"))
    except ValueError:
        return Holdout("file", file=text)
    if not 0.0 < share < 1.0:
        raise OptionError(f"option '--holdout': a share lies between 0 and 1, not {text.removeprefix('last:')}")
    return Holdout("last" if text.startswith("last:") else "share", share)


def _uses_of_keys(keys: NDArray[np.uint64], share: float, seed: int) -> NDArray[np.uint8]:
    """Hold out the keys whose hash falls below the share: half of them to select, half to score."""
    salt = mix(np.array([seed + 1], np.uint64))
    unit = (mix(mix(keys) + salt) >> np.uint64(11)).astype(np.float64) / float(1 << 53)
    return np.where(unit < share / 2, SELECT, np.where(unit < share, SCORE, TRAIN)).astype(np.uint8)


def _group_keys(column: pa.Array) -> NDArray[np.uint64]:
    """Give rows of one group the same key; those without a group are one group."""
    groups = as_strings(in_one_piece(column))
    keys = np.append(hash_strings(groups.dictionary), np.uint64(0))
    return keys[groups.indices.fill_null(len(groups.dictionary)).to_numpy(zero_copy_only=False)]


def uses_of_rows(
    holdout: Holdout, table: pa.RecordBatch, part: int, first_row: int, first_overall: int, total: int | None, seed: int
) -> NDArray[np.uint8]:
    """Say of each row of a batch whether it is TRAIN, SELECT or SCORE.

    part, first_row : where the batch comes from; first_overall : how many rows the source gave before it;
    total : rows of the whole source (needed for the last share alone).
    """
    count = table.num_rows
    if holdout.kind in ("none", "file"):
        return np.zeros(count, np.uint8)
    if holdout.kind == "last":
        assert total is not None
        rows = np.arange(first_overall, first_overall + count)
        held = rows >= total - max(round(total * holdout.share), 2)
        return np.where(held, np.where(rows % 2 == 0, SELECT, SCORE), TRAIN).astype(np.uint8)
    if holdout.kind == "group":
        assert holdout.column is not None
        return _uses_of_keys(_group_keys(table.column(holdout.column)), holdout.share, seed)
    uses = np.empty(count, np.uint8)
    salt = mix(np.array([seed + 1], np.uint64)).view(np.int64)[0]
    store.run("encode:hashed_uses", (), (part << 40) + first_row, salt, holdout.share, uses)
    return uses
