"""Held-out rows: all of them while they are few, then evenly spread ones, however they come."""

from __future__ import annotations

import numpy as np
import pytest
from tests.cases import chunk_of, to_sparse

from schuss.data import held as module
from schuss.data.chunk import Chunk, take
from schuss.data.held import Held


def kept(pieces: list[int], sparse: bool = False) -> list[int]:
    """Give pieces of so many numbered rows; say which are kept."""
    values = np.arange(1, sum(pieces) + 1, dtype=np.float32)[:, None]
    whole = chunk_of(to_sparse(values) if sparse else values, np.arange(sum(pieces)))
    held, start = Held(), 0
    for count in pieces:
        held.add(take(whole, np.arange(start, start + count)))
        start += count
    chunk: Chunk | None = held.rows
    return [] if chunk is None else chunk.targets.tolist()


@pytest.mark.parametrize("sparse", [False, True])
def test_all_rows_while_they_are_few(sparse: bool) -> None:
    assert kept([3, 0, 4], sparse) == list(range(7))
    assert kept([0, 0], sparse) == []


@pytest.mark.parametrize("pieces", [[1000], [1] * 1000, [7, 330, 0, 63, 600], [600, 400]])
def test_every_other_one_goes_when_they_are_too_many(pieces: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_MOST", 200)
    assert kept(pieces) == list(range(0, 1000, 16)), "at most 100, whatever the pieces"
    assert len(kept([100])) == 100
    assert kept([101]) == list(range(0, 101, 2))


def test_wide_rows_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD_BYTES", 2 * 50 * 16)  # targets of 8 bytes, here
    assert kept([50]) == list(range(50))
    assert kept([51]) == list(range(0, 51, 2))
