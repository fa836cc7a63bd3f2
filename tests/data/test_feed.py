"""Feeds: every row once, the held-out ones the same ones for ever, in memory and as a stream."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import scipy.sparse
from tests.data.test_cache import fill_up

from schuss.data import shuffle
from schuss.data.cache import RowCache
from schuss.data.chunk import CHUNK_ROWS, Chunk, SparseRows, join, row_count, size_of
from schuss.data.encoder import Encoder
from schuss.data.feed import Feed, MemoryFeed, StreamFeed, open_feed
from schuss.data.holdout import parse_holdout
from schuss.data.open import open_source
from schuss.data.reader import Counts, Reader
from schuss.data.schema import Role, infer_schema
from schuss.data.shuffle import ahead, worked_ahead
from schuss.data.spans import spans_of
from schuss.data.twins import share_of_twins
from schuss.errors import DataError, OptionError

ROWS = 30_000
FORMS = ["0.1", "last:0.1", "group:shop", "none"]


def table(rows: int = ROWS, missing: int = 0) -> pa.Table:
    """Rows numbered by `id`, sorted by class, some without a target."""
    numbers = np.arange(rows)
    label = np.where(numbers * 2 < rows, "a", "b").astype(object)
    label[:missing] = None
    return pa.table({"id": numbers.astype(float), "shop": [f"s{i % 97}" for i in numbers], "label": label})


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same rows in several places: a file of many row groups, two files, CSV, memory."""
    folder = tmp_path_factory.mktemp("rows")
    whole = table(missing=100)
    pq.write_table(whole, folder / "one.parquet", row_group_size=2_500)
    (folder / "two").mkdir()
    pq.write_table(whole.slice(0, 11_000), folder / "two" / "a.parquet", row_group_size=4_000)
    pq.write_table(whole.slice(11_000), folder / "two" / "b.parquet", row_group_size=4_000)
    pyarrow.csv.write_csv(whole, folder / "one.csv")
    return {"memory": whole, "row groups": folder / "one.parquet", "files": folder / "two", "csv": folder / "one.csv"}


def reader_of(place: Any, holdout: str = "0.1", *, seed: int = 0, target: str = "label") -> Reader:
    source = open_source(place, target=target)
    sample = pa.Table.from_batches([batch.table for batch in source.sample(100_000)])
    form = parse_holdout(holdout)
    overrides = {"id": Role.NUMBER} if "id" in sample.column_names else {}
    schema = infer_schema(sample, name="t", target=target, group=form.column, overrides=overrides)
    encoder = Encoder.fit(sample, schema, name="t")
    return Reader(source, encoder, form, seed, None, ROWS, ROWS)


def feed_of(
    place: Any,
    holdout: str = "0.1",
    *,
    memory: int = 1 << 30,
    order: str = "shuffle",
    seed: int = 0,
    light: bool = False,
) -> Feed:
    return open_feed(reader_of(place, holdout, seed=seed), order=order, memory=memory, light=light)


def numbers(chunks: list[Chunk]) -> np.ndarray:
    """Which rows these are: the first feature is the id, standardised."""
    if not chunks:
        return np.zeros(0, int)
    ids = np.concatenate([np.asarray(chunk.rows)[:, 0] for chunk in chunks]).astype(np.float64)
    mean, deviation = np.arange(ROWS).mean(), np.arange(ROWS).std()
    return np.rint(ids * deviation + mean).astype(int)


def held(feed: Feed) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.sort(numbers([c] if c is not None else [])) for c in (feed.select, feed.score))  # pyright: ignore


@pytest.mark.parametrize("holdout", FORMS)
@pytest.mark.parametrize("place", ["memory", "row groups", "files", "csv"])
def test_every_feed_gives_the_same_rows_in_every_epoch(places: dict[str, Any], place: str, holdout: str) -> None:
    resident, streamed = feed_of(places[place], holdout), feed_of(places[place], holdout, memory=1)
    assert isinstance(resident, MemoryFeed)
    assert isinstance(streamed, StreamFeed)
    training = np.sort(numbers(list(resident.chunks(0))))
    select, score = held(resident)
    everything = np.sort(np.concatenate([training, select, score]))
    np.testing.assert_array_equal(everything, np.arange(100, ROWS), "each row with a target once, in one use")
    for epoch in range(3):
        for feed in (resident, streamed):
            chunks = list(feed.chunks(epoch))
            np.testing.assert_array_equal(np.sort(numbers(chunks)), training)
            assert all(0 < row_count(chunk.rows) <= CHUNK_ROWS for chunk in chunks)
            for now, first in zip(held(feed), (select, score), strict=True):
                np.testing.assert_array_equal(now, first)
            assert feed.training_rows == len(training)
            counts = feed.counts
            assert (counts.read, counts.skipped, counts.training) == (ROWS, 100, len(training))
            assert (counts.select, counts.score) == (len(select), len(score))
            assert counts.read == counts.training + counts.select + counts.score + counts.skipped
    if holdout == "last:0.1":
        assert min(select.min(), score.min()) == ROWS - ROWS // 10
    if holdout == "group:shop":
        assert not {i % 97 for i in training} & {i % 97 for i in [*select, *score]}
    if holdout == "none":
        assert resident.select is resident.score is streamed.select is streamed.score is None


def test_targets_and_weights_stay_with_their_rows(places: dict[str, Any]) -> None:
    weights = np.arange(ROWS, dtype=float)
    source = places["memory"].append_column("w", pa.array(weights))
    opened = open_source(source, target="label")
    schema = infer_schema(source, name="t", target="label", weight="w", overrides={"id": Role.NUMBER})
    encoder = Encoder.fit(source, schema, name="t")
    reader = Reader(opened, encoder, parse_holdout("0.1"), 0, np.array([1.0, 3.0], np.float32), ROWS, ROWS)
    for memory in (1 << 30, 1):
        feed = open_feed(reader, order="shuffle", memory=memory)
        for epoch in range(2):
            for chunk in [*feed.chunks(epoch), feed.select, feed.score]:
                assert chunk is not None
                which = numbers([chunk])
                np.testing.assert_array_equal(chunk.targets, which * 2 >= ROWS)
                np.testing.assert_allclose(chunk.weights, which * np.where(chunk.targets == 1, 3.0, 1.0), rtol=1e-6)


@pytest.mark.parametrize("memory", [1 << 30, 1], ids=["memory", "stream"])
def test_sorted_classes_are_mixed(places: dict[str, Any], memory: int) -> None:
    feed = feed_of(places["row groups"], memory=memory)
    orders = [numbers(list(feed.chunks(epoch))) for epoch in range(2)]
    assert not np.array_equal(*orders), "each epoch has an order of its own"
    chunks = list(feed.chunks(2))
    shares = [chunk.targets.mean() for chunk in chunks if len(chunk.targets) == CHUNK_ROWS]
    assert shares
    assert max(abs(share - 0.5) for share in shares) < 0.05


@pytest.mark.parametrize(("light", "length"), [(False, 200), (True, 800)])
def test_a_stream_longer_than_its_buffer_is_mixed(
    places: dict[str, Any], light: bool, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shuffle, "BUFFER_ROWS", 3_200)
    monkeypatch.setattr(shuffle, "CHUNK_ROWS", 200)
    feed = feed_of(places["row groups"], memory=1, light=light)
    assert max(row_count(chunk.rows) for chunk in feed.chunks(0)) == length
    order = numbers(list(feed.chunks(1)))
    np.testing.assert_array_equal(np.sort(order), np.sort(numbers(list(feed.chunks(0)))))
    near = np.abs(np.diff(order))
    assert np.median(near) > 500, "neighbours in the file are not neighbours in training"
    quarters = np.array_split(order, 4)
    assert all(quarter.max() - quarter.min() > ROWS / 2 for quarter in quarters), "row groups come in random order"


@pytest.mark.parametrize("length", [500, 2_000])
def test_chunks_hold_rows_from_the_whole_buffer(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer, batch, many = 8_000, 100, 100_000
    monkeypatch.setattr(shuffle, "BUFFER_ROWS", buffer)
    place = np.arange(many, dtype=np.float32)
    whole = Chunk(place[:, None], place.astype(np.int32), np.ones(many, np.float32))
    mixed = shuffle.Shuffle(np.random.default_rng(2), length=length)
    order = np.concatenate([chunk.targets for chunk in mixed.chunks(iter([whole]))])
    batches = order[3 * buffer : -buffer].reshape(-1, batch)
    even = buffer / np.sqrt(12)  # of rows drawn from as many as fill the buffer once
    assert batches.std(axis=1).mean() == pytest.approx(even, rel=0.03)
    # Sorted by class, twice within the buffer: a batch has both in equal parts, as far as chance lets it.
    shares = (batches // (buffer // 4) % 2).mean(axis=1)
    assert shares.std() == pytest.approx(0.5 / np.sqrt(batch), rel=0.15)


@pytest.mark.parametrize("memory", [1 << 30, 1], ids=["memory", "stream"])
@pytest.mark.parametrize("order", ["shuffle", "once", "keep", "replace"])
def test_orders(places: dict[str, Any], order: str, memory: int) -> None:
    if order == "replace" and memory == 1:
        with pytest.raises(OptionError, match="do not fit into memory"):
            feed_of(places["row groups"], order=order, memory=memory)
        return
    feed = feed_of(places["row groups"], order=order, memory=memory)
    epochs = [numbers(list(feed.chunks(epoch))) for epoch in range(3)]
    same = [np.array_equal(a, b) for a, b in ((epochs[0], epochs[1]), (epochs[1], epochs[2]))]
    assert same == [order in ("once", "keep")] * 2
    assert (np.diff(epochs[0]) > 0).all() == (order == "keep")
    if order == "replace":
        drawn = Counter(epochs[0].tolist())
        assert len(drawn) / feed.training_rows == pytest.approx(1 - np.exp(-1), abs=0.02)
        assert len(epochs[0]) == feed.training_rows


@pytest.mark.parametrize("order", ["shuffle", "once", "keep", "replace"])
def test_long_chunks_give_the_same_rows_in_the_same_order(
    places: dict[str, Any], order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("schuss.data.chunk.CHUNK_ROWS", 128)
    short = feed_of(places["memory"], order=order)
    long = open_feed(reader_of(places["memory"]), order=order, memory=1 << 30, light=True)
    for epoch in range(2):
        chunks = list(long.chunks(epoch))
        assert {len(chunk.targets) for chunk in chunks[:-1]} == {1024}
        expected = join(list(short.chunks(epoch)))
        for one, other in zip(join(chunks), expected, strict=True):
            np.testing.assert_array_equal(one, other)  # pyright: ignore[reportArgumentType] — dense rows


@pytest.mark.parametrize("memory", [1 << 30, 1], ids=["memory", "stream"])
def test_the_seed_gives_the_order(places: dict[str, Any], memory: int) -> None:
    def order(seed: int) -> list[np.ndarray]:
        feed = feed_of(places["row groups"], memory=memory, seed=seed, holdout="none")
        return [numbers(list(feed.chunks(epoch))) for epoch in range(2)]

    first = order(3)
    for a, b in zip(first, order(3), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[0], order(4)[0])


def test_held_out_rows_seen_do_not_depend_on_how_far_a_thread_reads_ahead(
    places: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shuffle, "BUFFER_ROWS", 2_000)
    monkeypatch.setattr(shuffle, "CHUNK_ROWS", 200)

    def seen(pause: float) -> list[int]:
        feed = feed_of(places["row groups"], memory=1)
        found = []
        for place, _ in enumerate(feed.chunks(0)):
            if place < 8:
                time.sleep(pause)
            found.append(0 if feed.select is None else len(feed.select.targets))
        return found

    assert seen(0.0) == seen(0.05)


def test_a_stream_knows_held_out_rows_from_the_start(places: dict[str, Any]) -> None:
    feed = feed_of(places["row groups"], memory=1)
    assert feed.select is not None
    before = len(feed.select.targets)
    list(feed.chunks(0))
    assert len(feed.select.targets) == feed.counts.select >= before


def test_rows_of_a_slice_still_to_come_do_not_count_as_held_out(
    places: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("schuss.data.reader._PIECE_BYTES", 2_000_000)
    feed = feed_of(places["memory"], memory=1)
    assert feed.counts.training < feed.counts.read / 4, "the slice has more pieces"
    assert feed.training_rows == pytest.approx(0.9 * ROWS, rel=0.05)


def test_sparse_rows_stream(tmp_path: Path) -> None:
    matrix = scipy.sparse.random_array((3000, 500), density=0.01, rng=np.random.default_rng(0), format="csr")
    y = np.random.default_rng(1).integers(0, 2, 3000)
    feeds = [open_feed(reader_of((matrix, y), target="y"), order="shuffle", memory=memory) for memory in (1 << 30, 1)]
    sums = []
    for feed in feeds:
        for epoch in range(2):
            chunks = list(feed.chunks(epoch))
            assert all(isinstance(chunk.rows, SparseRows) for chunk in chunks)
            dense = np.concatenate(
                [
                    scipy.sparse.csr_array(
                        (c.rows.values, c.rows.indices, c.rows.indptr), (row_count(c.rows), 500)
                    ).toarray()
                    for c in chunks
                ]
            )  # pyright: ignore
            sums.append(np.sort(dense.astype(np.float64) @ np.arange(500)))
    for other in sums[1:]:
        np.testing.assert_array_equal(other, sums[0])


@pytest.mark.parametrize(("row", "pieces"), [(1, 1), (40, 8)])
def test_sparse_rows_come_in_pieces_that_are_bounded(monkeypatch: pytest.MonkeyPatch, row: int, pieces: int) -> None:
    """Rows of many entries come a few at a time, and are the same ones."""
    monkeypatch.setattr("schuss.data.reader._PIECE_BYTES", 1 << 17)
    matrix = scipy.sparse.random_array((3000, 5000), density=row / 5000, rng=np.random.default_rng(0), format="csr")
    reader = reader_of((matrix, np.arange(3000) % 2), "none", target="y")
    found = [piece.training for piece in reader.pieces(Counts())]
    assert len(found) == pieces
    assert max(size_of(chunk) for chunk in found) < 1.2 * (1 << 17)
    np.testing.assert_array_equal(np.concatenate([chunk.targets for chunk in found]), np.arange(3000) % 2)
    indices = np.concatenate([chunk.rows.indices for chunk in found])
    np.testing.assert_array_equal(indices, matrix.sorted_indices().indices)


def batches(rows: int = ROWS, broken: int | None = None) -> Iterator[pa.RecordBatch]:
    for place, batch in enumerate(table(rows).to_batches(max_chunksize=3_000)):
        if place == broken:
            raise OSError("the disk is gone")
        yield batch


def test_data_that_can_be_read_only_once() -> None:
    arrow = pa.RecordBatchReader.from_batches(table().schema, batches())
    feed = feed_of(arrow, memory=1)
    assert feed.epochs_at_most == 1
    rows = np.concatenate([numbers(list(feed.chunks(0))), *held(feed)])
    np.testing.assert_array_equal(np.sort(rows), np.arange(ROWS))
    resident = feed_of(pa.RecordBatchReader.from_batches(table().schema, batches()))
    assert resident.epochs_at_most is None, "what fits into memory can be read again"


def test_a_bad_value_far_into_a_stream_surfaces(tmp_path: Path) -> None:
    lines = [f"{i},{'ab' if i % 2 else 'cd'}" for i in range(40_000)]
    good = tmp_path / "t.csv"
    good.write_text("id,label\n" + "\n".join(lines) + "\n")
    reader = reader_of(good)
    lines[39_000] = "word,ab"
    good.write_text("id,label\n" + "\n".join(lines) + "\n")
    bad = replace(reader, source=open_source(good, target="label", numbers=("id",)))
    with pytest.raises(DataError, match=r"row 39,001.*'id'.*'word'"):
        list(open_feed(bad, order="shuffle", memory=1).chunks(0))


def test_ahead_raises_what_its_thread_met() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError("lost")

    found = []
    with pytest.raises(KeyError, match="lost"):
        found.extend(ahead(items(), 5))
    assert found == [1, 2]


def test_ahead_stops_its_thread_and_reads_no_further_than_asked() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for i in range(1000):
            taken.append(i)
            yield i

    before = threading.active_count()
    stream = ahead(items(), 3)
    assert [next(stream), next(stream)] == [0, 1]
    time.sleep(0.3)
    assert len(taken) <= 2 + 3 + 1
    stream.close()
    assert threading.active_count() == before
    assert list(ahead(iter(range(100)), 1)) == list(range(100))


def test_work_side_by_side_keeps_the_order() -> None:
    def late(number: int) -> int:
        time.sleep(0.02 * (number % 2 == 0))
        return -number

    before = threading.active_count()
    assert list(worked_ahead(late, iter(range(20)), 2)) == [-number for number in range(20)]
    assert list(worked_ahead(late, iter(range(3)), 1)) == [0, -1, -2]
    assert threading.active_count() == before


@pytest.mark.parametrize("lost_in", ["items", "work"])
def test_what_is_lost_side_by_side_is_raised_after_all_before_it(lost_in: str) -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        if lost_in == "items":
            raise KeyError("lost")
        yield from range(5, 1000)

    def work(number: int) -> int:
        if number == 5:
            raise KeyError("lost")
        return number

    found = []
    with pytest.raises(KeyError, match="lost"):
        found.extend(worked_ahead(work, items(), 2))
    assert found == [0, 1, 2, 3, 4]


def test_side_by_side_gives_what_is_done_while_more_may_come_and_reads_no_further_than_asked() -> None:
    taken: list[int] = []
    go_on = threading.Event()

    def items() -> Iterator[int]:
        yield 0
        go_on.wait(60)
        for number in range(1, 1000):
            taken.append(number)
            yield number

    before = threading.active_count()
    stream = worked_ahead(lambda number: number, items(), 2)
    assert next(stream) == 0
    go_on.set()
    assert next(stream) == 1
    time.sleep(0.3)
    assert len(taken) <= 4
    stream.close()
    assert threading.active_count() == before


def test_twins() -> None:
    rng = np.random.default_rng(0)
    unique = rng.normal(size=(2000, 3))
    y = rng.integers(0, 2, 2000)
    feed = open_feed(reader_of((unique, y), target="y"), order="shuffle", memory=1 << 30)
    assert isinstance(feed, MemoryFeed)
    assert feed.twins() == 0
    repeated = open_feed(reader_of((np.repeat(unique[:50], 40, 0), y), target="y"), order="shuffle", memory=1 << 30)
    assert isinstance(repeated, MemoryFeed)
    assert repeated.twins() == 1
    swapped = unique[:, ::-1]
    both = open_feed(
        reader_of((np.vstack([unique[:1000], swapped[:1000]]), y), target="y"), order="keep", memory=1 << 30
    )
    assert isinstance(both, MemoryFeed)
    assert both.twins() == 0, "the same numbers in other columns are another row"


@pytest.mark.parametrize("width", [1, 2, 3, 8, 9])
@pytest.mark.parametrize("sparse", [False, True])
def test_the_share_of_twins_is_counted_row_by_row(width: int, sparse: bool) -> None:
    rng = np.random.default_rng(width)
    some = [rng.choice([0.0, -1.5, 2.0, 0.25], (count, width)).astype(np.float32) for count in (300, 5000)]
    some[1] = some[1][some[1][:, -1] != 2.0]
    some[0][:100] = some[1][:100]
    known = set(map(tuple, some[1].tolist()))
    expected = np.mean([tuple(row) in known for row in some[0].tolist()])
    assert 0 < expected < 1
    rows, among = (sparse_of(one) if sparse else one for one in some)
    assert share_of_twins(rows, among) == pytest.approx(expected)


def sparse_of(rows: Any) -> SparseRows:
    matrix = scipy.sparse.csr_array(rows)
    return SparseRows(matrix.indptr.astype(np.int64), matrix.indices, matrix.data, rows.shape[1])


def test_squared_norm_and_goals(places: dict[str, Any]) -> None:
    feed = feed_of(places["memory"])
    rows = np.concatenate([np.asarray(chunk.rows, np.float64) for chunk in feed.chunks(0)])
    targets = np.concatenate([chunk.targets for chunk in feed.chunks(0)])
    assert feed.counts.squared_norm == pytest.approx((rows**2).sum(), rel=1e-4)
    np.testing.assert_array_equal(feed.counts.goals, np.bincount(targets))


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[RowCache]:
    with closing(RowCache(tmp_path)) as opened:
        yield opened


def assert_same_chunks(one: list[Chunk], other: list[Chunk]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize(
    ("order", "holdout"), [("shuffle", "0.1"), ("shuffle", "last:0.1"), ("once", "none"), ("keep", "group:shop")]
)
@pytest.mark.parametrize("place", ["row groups", "files", "csv"])
def test_cached_epochs_are_those_read_anew(
    places: dict[str, Any], place: str, order: str, holdout: str, cache: RowCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shuffle, "BUFFER_ROWS", 2_000)
    monkeypatch.setattr(shuffle, "CHUNK_ROWS", 700)
    monkeypatch.setattr("schuss.data.cache.CHUNK_ROWS", 700)
    anew = open_feed(reader_of(places[place], holdout), order=order, memory=10_000)
    cached = open_feed(reader_of(places[place], holdout), order=order, memory=10_000, cache=cache)
    assert isinstance(cached, StreamFeed)
    for epoch in range(4):
        assert_same_chunks(list(cached.chunks(epoch)), list(anew.chunks(epoch)))
        monkeypatch.setattr(cached, "reader", replace(cached.reader, source=None))  # pyright: ignore
    for one, other in zip(held(cached), held(anew), strict=True):
        np.testing.assert_array_equal(one, other)
    wholes = [feed.whole() for feed in (cached, anew)]
    for one, other in zip(*(whole.blocks() for whole in wholes if whole), strict=True):
        assert_same_chunks([one], [other])
    assert wholes[0] is not None
    assert wholes[0].rows == cached.training_rows == cache.rows


def test_a_cache_that_cannot_be_written_is_done_without(
    places: dict[str, Any], cache: RowCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_up(monkeypatch, after=200_000)
    told: list[str] = []
    feed = open_feed(reader_of(places["csv"]), order="shuffle", memory=1, cache=cache, tell=told.append)
    anew = feed_of(places["csv"], memory=1)
    for epoch in range(2):
        assert_same_chunks(list(feed.chunks(epoch)), list(anew.chunks(epoch)))
    assert told == ["the data are read anew in every epoch: their cache cannot be written (no space left on device)"]
    monkeypatch.setattr("schuss.data.cache.MARGIN", 1 << 60)
    feed = open_feed(reader_of(places["csv"]), order="shuffle", memory=1, cache=cache, tell=told.append)
    assert f"the disk of '{cache.folder}' has no room for a cache of 0.0 GB" in told[1]
    assert isinstance(feed, StreamFeed)
    assert feed.cache is None


def test_spans_are_of_so_many_rows_at_least(places: dict[str, Any]) -> None:
    source = open_source(places["files"], target="label")
    assert [tuple(span.start) for span in spans_of(source, 1)] == [
        (0, 0), (0, 4000), (0, 8000), (1, 0), (1, 4000), (1, 8000), (1, 12000), (1, 16000)
    ]  # fmt: skip
    assert [(*span.start, span.rows) for span in spans_of(source, 5_000)] == [
        (0, 0, 8000), (0, 8000, None), (1, 0, 8000), (1, 8000, 8000), (1, 16000, None)
    ]  # fmt: skip


def test_an_arrays_rows_are_copied_once(places: dict[str, Any]) -> None:
    feed = feed_of(places["memory"])
    assert isinstance(feed, MemoryFeed)
    assert isinstance(feed.training.rows, np.ndarray)
    assert feed.training.rows.base is not None, "a view of the room that was set aside"
