"""Compiling the kernels before they are needed: by small trainings of every kind."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import scipy.sparse

from .data.feed import open_feed
from .data.svmlight import lines_of
from .training.preparation import prepare
from .training.settings import Settings
from .training.training import train
from .updating.updating import update

__all__ = ["warmup"]

ROWS = 300

MANY_ROWS = 8_192
"""So many are gone through in another way by full passes, see `finish.turned`."""

LONG = 120_000
"""Where held-out rows judge in place of folds, passes of one output have a kernel of their own, see `finish.single`."""

CLASSES = (2, 3, 5, 9)
"""Beyond two they share the kernels that train; those that predict have vectors of 4, 8 or 16 scores."""


RUNS = (16, 8, 4)
"""They learn in blocks of every width that a race comes to: a long one narrows its blocks when runs are dropped."""


def warmup() -> float:
    """Compile what a training with default settings and its updates use; give the seconds it took.

    Compiled kernels are kept on the disk, so that a second call takes almost no time.
    """
    begun = time.perf_counter()
    for runs in RUNS:
        for table in _tables():
            train(table, "y", runs=runs, threads=1, epochs=1)
    for table in _tables():
        model = train(table, "y", runs=min(RUNS), threads=1).model  # to the end, its finish by full passes
        update(model, table)
        model.predict(table)
    for table in _tables(MANY_ROWS):
        train(table, "y", runs=min(RUNS), threads=1)
    numbers = np.random.default_rng(0).normal(size=(LONG, 3))
    for goals in (numbers[:, 0] > 0, numbers[:, 0]):
        train((numbers[:, 1:], goals), runs=min(RUNS), threads=1)
    for table in (*_tables(), *_typed_tables(), _pairs()):
        _stream(table)
    rows = scipy.sparse.random(ROWS, 500, 0.02, format="csr", rng=0)
    train((rows, np.arange(ROWS) % 2), runs=min(RUNS), threads=1).model.predict(rows)
    return time.perf_counter() - begun


def _tables(rows: int = ROWS) -> Iterator[pa.Table]:
    """Give a dense and a sparse table for each kind of target."""
    rng = np.random.default_rng(0)
    numbers, kinds = rng.normal(size=rows), rng.integers(0, 4, rows)
    words = [" ".join(f"word{place}" for place in places) for places in rng.integers(0, 40, (rows, 8))]
    for goals in (*(np.arange(rows) % count for count in CLASSES), numbers + 0.1 * kinds):
        dense = pa.table({"a": numbers, "b": [f"kind {kind}" for kind in kinds], "y": goals})
        yield from (dense, dense.append_column("words", pa.array(words)))


def _typed_tables() -> Iterator[pa.Table]:
    """Give tables with other types of numbers than float64: one type alone, and several."""
    numbers = np.random.default_rng(0).normal(size=ROWS)
    single, flags = numbers.astype(np.float32), numbers > 0
    yield pa.table({"a": single, "y": numbers})
    yield pa.table({"a": flags, "b": numbers > 1, "y": numbers})
    yield pa.table({"a": numbers, "b": single, "c": flags, "y": numbers})


def _pairs() -> pa.Table:
    """Read pairs of index and value from lines of text."""
    lines = b"".join(b"%d 1:%d 3:0.5\n" % (place % 2, place) for place in range(ROWS))
    schema, read = lines_of("warmup", 1, {}, None)
    return pa.Table.from_batches([read(lines, 0, schema)])


def _stream(table: pa.Table) -> None:
    """Read a table as a file that does not fit into memory."""
    for _ in open_feed(prepare(table, Settings("y")).reader, order="shuffle", memory=1).chunks(0):
        pass
