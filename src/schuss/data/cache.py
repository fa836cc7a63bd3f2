"""Encoded rows on the disk, written in the first epoch and read in later ones; no file stays behind."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from .chunk import CHUNK_ROWS, Chunk, SparseRows, nothing_like

__all__ = ["CacheError", "RowCache"]

MARGIN = 1 << 30
"""Bytes of the disk that stay free for others."""

SHARE = 1.1
"""How much more a cache may need than was expected."""


class CacheError(Exception):
    """The cache cannot be written: the disk is full, or not ours. Training goes on without it."""


class RowCache:
    """Encoded rows in files of a folder: one for each array of a chunk.

    The files are gone when they are closed, however the process ends: where the system allows it they have no name at
    all. They are read by plain reads into memory that is used again, since pages of a mapped file count as ours.
    """

    def __init__(self, folder: Path) -> None:
        self.rows = 0
        self.values = 0
        self.folder = folder
        self._files: list[IO[bytes]] = []
        self._like: Chunk | None = None
        self._lock = threading.Lock()

    def has_room(self, needed: int) -> bool:
        """Whether the folder's disk has so many bytes to spare."""
        try:
            return shutil.disk_usage(self.folder).free >= needed * SHARE + MARGIN
        except OSError:
            return False

    def write(self, chunk: Chunk) -> None:
        """Append rows; raises CacheError, after which the cache is of no use."""
        if not len(chunk.targets):
            return
        try:
            arrays = _arrays(chunk, self.rows, self.values)
            if not self._files:
                self._like = nothing_like(chunk)
                self._files = [tempfile.TemporaryFile(dir=self.folder, buffering=0) for _ in arrays]  # noqa: SIM115
            for file, array in zip(self._files, arrays, strict=True):
                left = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
                while left:
                    left = left[file.write(left) :]
        except OSError as error:
            self.close()
            raise CacheError((error.strerror or str(error)).lower()) from error
        self.rows += len(chunk.targets)
        rows = chunk.rows
        self.values += int(rows.indptr[-1] - rows.indptr[0]) if isinstance(rows, SparseRows) else rows.size

    def read(self, start: int, stop: int) -> Iterator[Chunk]:
        """Yield the rows from `start` to before `stop`, 8,192 at a time; each chunk is good until the next one."""
        kept: list[NDArray[Any]] = [np.empty(0, np.uint8)] * 5
        for at in range(start, stop, CHUNK_ROWS):
            yield self._read(at, min(CHUNK_ROWS, stop - at), kept)

    def close(self) -> None:
        """Remove the files."""
        for file in self._files:
            with suppress(OSError):
                file.close()
        self._files = []

    def _read(self, start: int, count: int, kept: list[NDArray[Any]]) -> Chunk:
        """Read a chunk into the arrays `kept`, which grow where they must."""
        like = self._like
        assert like is not None

        def load(number: int, dtype: Any, first: int, length: int) -> Any:
            size = length * np.dtype(dtype).itemsize
            if kept[number].nbytes < size:
                kept[number] = np.empty(size + size // 4, np.uint8)
            self._fill(number, kept[number][:size].data, first * np.dtype(dtype).itemsize)
            return kept[number][:size].view(dtype)

        targets = load(0, like.targets.dtype, start, count)
        weights = load(1, like.weights.dtype, start, count)
        if not isinstance(like.rows, SparseRows):
            width = like.rows.shape[1]
            return Chunk(load(2, np.float32, start * width, count * width).reshape(count, width), targets, weights)
        ends = load(2, np.int64, start, count + 1)
        first, last = int(ends[0]), int(ends[-1])
        indices, values = (load(n, d, first, last - first) for n, d in ((3, np.int32), (4, np.float32)))
        return Chunk(SparseRows(ends - first, indices, values, like.rows.width), targets, weights)

    def _fill(self, number: int, into: memoryview, offset: int) -> None:
        """Read from a place of a file until all is there; several readers may take turns."""
        file: Any = self._files[number]
        while into:
            with self._lock:
                file.seek(offset)
                read = file.readinto(into)
            if not read:
                raise OSError("the cache of encoded rows is cut off")
            into, offset = into[read:], offset + read


def _arrays(chunk: Chunk, before: int, values: int) -> list[NDArray[Any]]:
    """Give what is written of a chunk; sparse rows are told by where they end, a zero before the first of all."""
    rows = chunk.rows
    if not isinstance(rows, SparseRows):
        return [chunk.targets, chunk.weights, rows]
    first, last = int(rows.indptr[0]), int(rows.indptr[-1])
    ends = rows.indptr[1 if before else 0 :] - first + values
    return [chunk.targets, chunk.weights, ends, rows.indices[first:last], rows.values[first:last]]
