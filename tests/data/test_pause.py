"""A feed that is paused after any chunk, written down and read back, gives exactly what it would have given."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq
import pytest
import scipy.sparse
from sklearn.datasets import dump_svmlight_file
from tests.data.test_cache import fill_up
from tests.data.test_feed import reader_of

from schuss.data import shuffle
from schuss.data.cache import RowCache
from schuss.data.chunk import Chunk, SparseRows
from schuss.data.feed import Feed, StreamFeed, open_feed, resume_feed
from schuss.data.reader import Reader
from schuss.data.saved import Saved

ROWS = 12_000
MEMORY = 1 << 30


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same rows in every kind of place, some without a target."""
    folder = tmp_path_factory.mktemp("rows")
    rng = np.random.default_rng(0)
    label = np.where(rng.random(ROWS) < 0.5, "a", "b").astype(object)
    label[rng.random(ROWS) < 0.02] = None
    columns: dict[str, Any] = {name: rng.normal(size=ROWS).round(3) for name in "uvw"}
    words = rng.choice([f"w{i}" for i in range(900)], ROWS)
    table = pa.table(columns | {"shop": words, "label": label})
    pq.write_table(table, folder / "groups.parquet", row_group_size=700)
    (folder / "several").mkdir()
    pq.write_table(table.slice(0, 5_000), folder / "several" / "a.parquet", row_group_size=2_000)
    pq.write_table(table.slice(5_000), folder / "several" / "b.parquet", row_group_size=2_000)
    pyarrow.csv.write_csv(table, folder / "t.csv")
    with pa.CompressedOutputStream(str(folder / "t.csv.gz"), "gzip") as packed:
        pyarrow.csv.write_csv(table, packed)
    with (folder / "t.jsonl").open("w") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in table.to_pylist())
    wide = scipy.sparse.random_array((ROWS, 400), density=0.02, format="csr", random_state=0, dtype=np.float32)
    dump_svmlight_file(wide, (label == "a").astype(int), str(folder / "t.svm"))
    names = ("groups.parquet", "several", "t.csv", "t.csv.gz", "t.jsonl", "t.svm")
    return {name: folder / name for name in names} | {"memory": table}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small buffers and batches, so that few rows are many."""
    monkeypatch.setattr(shuffle, "BUFFER_ROWS", 2_000)
    monkeypatch.setattr(shuffle, "CHUNK_ROWS", 400)
    monkeypatch.setattr("schuss.data.reader.BATCH_ROWS", 900)
    monkeypatch.setattr("schuss.data.parted.BATCH_ROWS", 2_500)
    monkeypatch.setattr("schuss.data.memory.BATCH_ROWS", 2_500)
    monkeypatch.setattr("schuss.data.reader._PIECE_BYTES", 3_000)
    monkeypatch.setattr("schuss.data.stream_feed.PROBE_BYTES", 20_000)
    monkeypatch.setattr("schuss.data.feed.PROBE_BYTES", 20_000)
    monkeypatch.setattr("schuss.data.stream_feed.AHEAD", 1)


def read(place: Any, holdout: str) -> Reader:
    reader = reader_of(place, holdout, target="y" if str(place).endswith("svm") else "label")
    return replace(reader, total_rows=ROWS, expected_rows=ROWS)


def said(chunk: Chunk | None) -> bytes:
    """All bytes of a chunk."""
    if chunk is None:
        return b""
    rows = chunk.rows
    arrays = [chunk.targets, chunk.weights, *(rows[:3] if isinstance(rows, SparseRows) else (rows,))]
    return b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)


def trace(feed: Feed, epoch: int) -> list[tuple[bytes, bytes, bytes]]:
    """What a feed gives from here to the end of its third epoch, with the held-out rows it has seen by then."""
    found = []
    for each in range(epoch, 3):
        found += [(said(chunk), said(feed.select), said(feed.score)) for chunk in feed.chunks(each)]
    return [*found, (str(feed.training_rows).encode(), *(said(chunk) for chunk in (feed.select, feed.score)))]


def written_down(saved: Saved) -> Saved:
    """A pause as it comes out of a file."""
    return Saved(json.loads(json.dumps(saved.values)), {name: array.copy() for name, array in saved.arrays.items()})


def check(place: Any, holdout: str, order: str, memory: int, every: int, *, light: bool = False) -> int:
    """Pause after every so many chunks, go on in a new feed, and compare; give how often."""
    whole = trace(open_feed(read(place, holdout), order=order, memory=memory, light=light), 0)
    feed = open_feed(read(place, holdout), order=order, memory=memory, light=light)
    pauses: list[tuple[int, int, Saved]] = []
    given = 0
    for epoch in range(3):
        for _ in feed.chunks(epoch):
            given += 1
            if given % every < 3 and (pause := feed.pause()) is not None:
                pauses.append((given, epoch, written_down(pause)))
        pause = feed.pause()
        assert pause is not None, "at the end of an epoch nothing is to be waited for"
        if epoch < 2:
            pauses.append((given, epoch + 1, written_down(pause)))
    for given, epoch, pause in pauses:
        again = resume_feed(read(place, holdout), pause, order=order, memory=memory, light=light)
        assert trace(again, epoch) == whole[given:]
        if epoch == 0:
            assert again.counts.__dict__.keys() == feed.counts.__dict__.keys()
            for name, count in feed.counts.__dict__.items():
                np.testing.assert_array_equal(getattr(again.counts, name), count, name)
    return len(pauses)


@pytest.mark.parametrize("holdout", ["0.1", "none"])
@pytest.mark.parametrize("place", ["groups.parquet", "several", "t.csv", "t.csv.gz", "t.jsonl", "t.svm", "memory"])
def test_a_stream_goes_on_as_if_nothing_had_happened(places: dict[str, Any], place: str, holdout: str) -> None:
    assert check(places[place], holdout, "shuffle", 1, every=7) >= 3


@pytest.mark.parametrize("place", ["groups.parquet", "several", "t.csv", "t.svm"])
@pytest.mark.parametrize("full", [False, True])
def test_a_cache_is_filled_anew_in_the_first_whole_epoch(
    places: dict[str, Any], place: str, full: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("schuss.data.cache.CHUNK_ROWS", 400)
    reader = read(places[place], "0.1")
    whole = trace(open_feed(reader, order="shuffle", memory=1), 0)
    feed = open_feed(reader, order="shuffle", memory=1)
    given = sum(1 for _ in feed.chunks(0))
    pause = feed.pause()
    assert pause is not None
    cache = RowCache(tmp_path)
    if full:
        fill_up(monkeypatch, after=200_000)
    again = resume_feed(reader, written_down(pause), order="shuffle", memory=1, cache=cache)
    assert isinstance(again, StreamFeed)
    assert trace(again, 1) == whole[given:]
    assert again.cache is (None if full else cache)
    if not full:
        assert cache.rows == again.training_rows
        blocks, anew = again.whole(), feed.whole()
        assert blocks is not None
        assert anew is not None
        assert [said(chunk) for chunk in blocks.blocks()] == [said(chunk) for chunk in anew.blocks()]
    cache.close()


@pytest.mark.parametrize("holdout", ["last:0.1", "group:shop"])
@pytest.mark.parametrize("order", ["shuffle", "once", "keep"])
def test_every_order_and_holdout(places: dict[str, Any], order: str, holdout: str) -> None:
    assert check(places["several"], holdout, order, 1, every=9) >= 1  # how many depends on the reading thread


@pytest.mark.parametrize("order", ["shuffle", "once", "replace", "keep"])
def test_rows_in_memory_go_on_too(places: dict[str, Any], order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schuss.data.feed.CHUNK_ROWS", 400)
    monkeypatch.setattr("schuss.data.chunk.CHUNK_ROWS", 400)
    assert check(places["groups.parquet"], "0.1", order, MEMORY, every=13) >= 3


@pytest.mark.parametrize("order", ["shuffle", "once", "keep"])
def test_long_chunks_of_a_stream_go_on_too(
    places: dict[str, Any], order: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shuffle, "CHUNK_ROWS", 100)
    dense = tmp_path / "dense.parquet"
    pq.write_table(places["memory"].drop_columns(["shop"]), dense, row_group_size=700)
    feed = open_feed(read(dense, "0.1"), order=order, memory=1, light=True)
    assert max(len(chunk.targets) for chunk in feed.chunks(0)) == (100 if order == "keep" else 400)
    assert check(dense, "0.1", order, 1, every=5, light=True) >= 1


@pytest.mark.parametrize("order", ["shuffle", "keep"])
@pytest.mark.parametrize("place", ["groups.parquet", "t.svm"])
def test_long_chunks_in_memory_go_on_too(
    places: dict[str, Any], place: str, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("schuss.data.chunk.CHUNK_ROWS", 200)
    feed = open_feed(read(places[place], "0.1"), order=order, memory=MEMORY, light=True)
    assert len(next(feed.chunks(0)).targets) == 600
    assert check(places[place], "0.1", order, MEMORY, every=13, light=True) >= 3
