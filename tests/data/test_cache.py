"""The cache of encoded rows gives back what was written; a full disk is told as such; no file stays."""

from __future__ import annotations

import errno
import itertools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cases import chunk_of, dense_rows, to_sparse

from schuss.data import cache as module
from schuss.data.cache import CacheError, RowCache
from schuss.data.chunk import CHUNK_ROWS, Chunk, SparseRows, as_matrix, take

ROWS = CHUNK_ROWS + 500


def rows_of(sparse: bool) -> Chunk:
    values = dense_rows(ROWS, 7, density=0.2)
    values[[0, 1, 99, ROWS - 1]] = 0.0  # rows without entries at the edges
    targets = np.arange(ROWS, dtype=np.float32)
    return chunk_of(to_sparse(values) if sparse else values, targets, targets + 1)


def written(folder: Path, whole: Chunk, edges: tuple[int, ...] = (0, 2, 2, 700, ROWS)) -> RowCache:
    """Write rows piece by piece, one of them empty."""
    cache = RowCache(folder)
    for start, stop in itertools.pairwise(edges):
        cache.write(take(whole, np.arange(start, stop)))
    return cache


def assert_same(found: list[Chunk], whole: Chunk, start: int, stop: int) -> None:
    at = start
    for chunk in found:
        assert len(chunk.targets) <= CHUNK_ROWS
        expected = take(whole, np.arange(at, at + len(chunk.targets)))
        np.testing.assert_array_equal(chunk.targets, expected.targets)
        np.testing.assert_array_equal(chunk.weights, expected.weights)
        assert type(chunk.rows) is type(whole.rows)
        if isinstance(chunk.rows, SparseRows):
            assert [array.dtype for array in chunk.rows[:3]] == [np.int64, np.int32, np.float32]
            np.testing.assert_array_equal(as_matrix(chunk.rows).toarray(), as_matrix(expected.rows).toarray())
        else:
            np.testing.assert_array_equal(chunk.rows, expected.rows)
        at += len(chunk.targets)
    assert at == stop


@pytest.mark.parametrize("sparse", [False, True])
def test_what_is_written_is_read(tmp_path: Path, sparse: bool) -> None:
    whole = rows_of(sparse)
    cache = written(tmp_path, whole)
    assert cache.rows == ROWS
    for start, stop in [(0, ROWS), (0, 1), (1, 3), (99, 700), (650, ROWS), (ROWS - 1, ROWS), (5, 5)]:
        found = [Chunk(*(_copied(part) for part in chunk)) for chunk in cache.read(start, stop)]
        assert_same(found, whole, start, stop)
    cache.close()


def _copied(part: Any) -> Any:
    return SparseRows(*(array.copy() for array in part[:3]), part.width) if isinstance(part, tuple) else part.copy()


def test_two_readers_take_turns(tmp_path: Path) -> None:
    whole = rows_of(False)
    cache = written(tmp_path, whole)
    for one, other in zip(cache.read(0, ROWS), cache.read(300, ROWS), strict=True):
        np.testing.assert_array_equal(one.rows[:200], whole.rows[int(one.targets[0]) :][:200])  # pyright: ignore
        np.testing.assert_array_equal(other.rows[:200], whole.rows[int(other.targets[0]) :][:200])  # pyright: ignore
    cache.close()


def test_no_file_stays(tmp_path: Path) -> None:
    cache = written(tmp_path, rows_of(True))
    cache.close()
    cache.close()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_up(monkeypatch, after=100_000)
    with pytest.raises(CacheError, match="no space left on device"):
        written(tmp_path, rows_of(False))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="no such file"):
        written(tmp_path / "elsewhere", rows_of(False))
    assert not RowCache(tmp_path / "elsewhere").has_room(1)


def test_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=module.MARGIN + 1100)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    assert RowCache(tmp_path).has_room(1000)
    assert not RowCache(tmp_path).has_room(1001)


def fill_up(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Let the disk be full after so many bytes, in the middle of a write."""
    make, left = tempfile.TemporaryFile, after

    class Filling:
        def __init__(self, **options: Any) -> None:
            self.file = make(**options)

        def write(self, data: Any) -> int:
            nonlocal left
            if left == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            done = self.file.write(data[:left])
            left -= done
            return done

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    monkeypatch.setattr(tempfile, "TemporaryFile", Filling)
