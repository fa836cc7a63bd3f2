"""Rows shared out to workers: each once in every epoch, the held-out ones those of one machine, pauses that go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from tests.data.test_feed import ROWS, feed_of, held, numbers, reader_of, table

from schuss.cluster.workers import Here
from schuss.data import cluster_feed, csv_blocks
from schuss.data.chunk import Chunk
from schuss.data.cluster_feed import (
    ClusterFeed,
    Round,
    open_cluster_feed,
    resume_cluster_feed,
    rows_between,
    spans_for,
)
from schuss.data.open import open_source
from schuss.data.saved import Saved
from schuss.data.share import read_span
from schuss.descent.losses import loss_for
from schuss.errors import DataError, OptionError
from schuss.finish.single import SingleObjective


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same rows in row groups of unequal length, and in files of CSV."""
    folder = tmp_path_factory.mktemp("rows")
    whole = table(missing=100)
    with pq.ParquetWriter(folder / "t.parquet", whole.schema) as writer:
        for start, stop in ((0, 9_000), (9_000, 9_050), (9_050, 20_000), (20_000, 30_000)):
            for begin in range(start, stop, 3_000):
                writer.write_table(whole.slice(begin, min(3_000, stop - begin)))
    (folder / "csv").mkdir()
    for number in range(6):
        pyarrow.csv.write_csv(whole.slice(number * 5_000, 5_000), folder / "csv" / f"{number}.csv")
    return {"row groups": folder / "t.parquet", "files": folder / "csv"}


def cluster(place: Any, workers: int, *, order: str = "shuffle", holdout: str = "0.1") -> ClusterFeed:
    reader = reader_of(place, holdout)
    return open_cluster_feed(reader, Here(workers), spans_for(reader.source, workers), order=order)


def learned(rounds: list[Round]) -> list[np.ndarray]:
    """Which rows each round gives, by worker."""
    chunks: list[Chunk] = []
    for one in rounds:
        for pieces, spans in zip(one.shares, one.rows, strict=True):
            chunks += [
                Chunk(*(part[piece.start : piece.stop] for part in span))
                for piece, span in zip(pieces, spans, strict=True)
            ]
    return [numbers([chunk]) for chunk in chunks]


def everything(saved: Saved) -> tuple[Any, dict[str, list[Any]]]:
    return saved.values, {name: array.tolist() for name, array in saved.arrays.items()}


@pytest.mark.parametrize("place", ["row groups", "files"])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_row_comes_once_in_every_epoch(places: dict[str, Path], place: str, workers: int) -> None:
    one = feed_of(places[place])
    training = np.sort(numbers(list(one.chunks(0))))
    feed = cluster(places[place], workers)
    orders = []
    for epoch in range(3):
        rounds = list(feed.chunks(epoch))
        rows = learned(rounds)
        np.testing.assert_array_equal(np.sort(np.concatenate(rows)), training)
        orders.append(np.concatenate(rows))
        assert feed.training_rows == len(training)
        for now, first in zip(held(feed), held(one), strict=True):
            np.testing.assert_array_equal(now, first, "the held-out rows are those of one machine")
        whole = [one for one in rounds if len(one.shares) == workers]
        assert all(sum(p.stop - p.start for p in share) <= feed.between for one in rounds for share in one.shares)
        assert len(whole) >= len(rounds) / 2
    assert feed.counts.read == ROWS == feed.counts.training + feed.counts.select + feed.counts.score + 100
    assert feed.counts.goals.tolist() == one.counts.goals.tolist()
    assert not np.array_equal(orders[0], orders[1]), "every epoch in another order"


def test_spans_are_read_anew_where_they_do_not_stay(places: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    kept = cluster(places["row groups"], 2)
    monkeypatch.setattr(cluster_feed, "KEPT", 1)
    anew = cluster(places["row groups"], 2)
    assert (kept.keeping, anew.keeping) == (True, False)
    for epoch in range(2):
        for one, other in zip(kept.chunks(epoch), anew.chunks(epoch), strict=True):
            assert one.shares == other.shares
            for mine, theirs in zip(learned([one]), learned([other]), strict=True):
                np.testing.assert_array_equal(mine, theirs)
    assert kept.whole() is not None
    assert anew.whole() is None
    assert not anew._rows


def test_orders(places: dict[str, Path]) -> None:
    keep = cluster(places["row groups"], 1, order="keep")
    rows = np.concatenate(learned(list(keep.chunks(0))))
    assert (np.diff(rows) > 0).all()
    once = cluster(places["row groups"], 2, order="once")
    first, second = (np.concatenate(learned(list(once.chunks(epoch)))) for epoch in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("place", ["row groups", "files"])
def test_a_pause_after_any_round_goes_on_the_same(places: dict[str, Path], place: str) -> None:
    feed = cluster(places[place], 3)
    whole, pauses = [], []
    for epoch in range(2):
        for one in feed.chunks(epoch):
            whole.append((epoch, one))
            pauses.append((epoch, feed.pause()))
        pauses[-1] = epoch + 1, feed.pause()
    end = everything(feed.pause())
    for at in (0, 1, len(pauses) // 2 - 1, len(pauses) // 2, len(pauses) - 2):
        reader = reader_of(places[place])
        epoch, saved = pauses[at]
        again = resume_cluster_feed(reader, Here(3), feed.spans, saved, order="shuffle")
        rest = [(e, one) for e in range(epoch, 2) for one in again.chunks(e)]
        assert [(e, one.shares) for e, one in rest] == [(e, one.shares) for e, one in whole[at + 1 :]]
        for mine, theirs in zip(learned([o for _, o in rest]), learned([o for _, o in whole[at + 1 :]]), strict=True):
            np.testing.assert_array_equal(mine, theirs)
        assert everything(again.pause()) == end
    with pytest.raises(ValueError, match="not shared out in 3 spans"):
        resume_cluster_feed(reader, Here(3), feed.spans[:3], saved, order="shuffle")


def test_full_passes_are_done_where_the_rows_are(places: dict[str, Path]) -> None:
    feed = cluster(places["row groups"], 3)
    assert feed.whole() is None, "not before all have been read"
    list(feed.chunks(0))
    whole = feed.whole()
    assert whole is not None
    assert whole.far is not None
    told = list(whole.far(lambda blocks, weight: [weight * len(chunk.targets) for chunk in blocks()], 2))
    assert len(told) == 3
    assert sum(map(sum, told)) == 2 * whole.rows == 2 * feed.counts.training


def test_full_passes_add_up_to_those_of_one_machine(places: dict[str, Path]) -> None:
    one, many = feed_of(places["row groups"]), cluster(places["row groups"], 3)
    for feed in (one, many):
        list(feed.chunks(0))
    near, far = one.whole(), many.whole()
    assert near is not None
    assert far is not None
    assert (far.rows, far.values) == (near.rows, near.values)
    loss = loss_for("log_loss", 1)
    width = one.chunks(1).__next__().rows.shape[1]  # pyright: ignore[reportAttributeAccessIssue]
    weights = np.random.default_rng(0).normal(size=(width + 1, 1))
    value, gradient = SingleObjective(near.blocks, loss).value_and_gradient(weights)
    found, slope = SingleObjective(far.blocks, loss, far.far).value_and_gradient(weights)
    assert found == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(slope, gradient, rtol=1e-4, atol=1e-6)


def test_more_workers_than_places_to_enter(places: dict[str, Path]) -> None:
    groups, files = (open_source(places[name]) for name in ("row groups", "files"))
    assert len(spans_for(groups, 12)) == len(groups.anchors) == 12  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(OptionError, match="at most 12 here, not 13: t has no more files, row groups or blocks"):
        spans_for(groups, 13)
    with pytest.raises(OptionError, match="at most 6 here, not 7: csv has no more files"):
        spans_for(files, 7)


def test_one_file_of_text_is_shared_out_too(places: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pa.concat_tables(pyarrow.csv.read_csv(places["files"] / f"{number}.csv") for number in range(6))
    plain, quoted = places["files"].parent / "one.csv", places["files"].parent / "quoted.csv"
    pyarrow.csv.write_csv(whole, plain, pyarrow.csv.WriteOptions(quoting_style="none"))
    pyarrow.csv.write_csv(whole, quoted, pyarrow.csv.WriteOptions(quoting_style="all_valid"))
    monkeypatch.setattr(csv_blocks, "_BLOCK_BYTES", 1 << 12)
    one, feed = feed_of(plain), cluster(plain, 5)
    assert len(feed.spans) >= 15
    training = np.sort(numbers(list(one.chunks(0))))
    for epoch in range(2):
        rounds = list(feed.chunks(epoch))
        np.testing.assert_array_equal(np.sort(np.concatenate(learned(rounds))), training)
        assert len(rounds[0].shares) == 5
    for now, first in zip(held(feed), held(one), strict=True):
        np.testing.assert_array_equal(now, first, "the held-out rows are those of one machine")
    packed = plain.with_suffix(".csv.gz")
    with pa.CompressedOutputStream(str(packed), "gzip") as stream:
        stream.write(plain.read_bytes())
    with pytest.raises(OptionError, match="at most 1 here, not 2: one has no more"):
        spans_for(open_source(packed), 2)
    with pytest.raises(
        OptionError, match=r"at most 1 here, not 2: quoted has no more .* \(packed text and text with quotes"
    ):
        spans_for(open_source(quoted), 2)


def test_a_span_that_is_another_one_later(places: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_feed, "KEPT", 1)
    feed = cluster(places["row groups"], 2)
    list(feed.chunks(0))
    feed.lengths[3] += 1
    with pytest.raises(DataError, match=r"t\.parquet was changed while it was read: its rows are others now"):
        list(feed.chunks(1))


def test_a_span_without_rows_to_learn_from(tmp_path: Path) -> None:
    whole = table(missing=1_000)
    pq.write_table(whole, tmp_path / "t.parquet", row_group_size=500)
    reader = reader_of(tmp_path / "t.parquet")
    rows, report = read_span(reader, 0, spans_for(reader.source, 60)[0], True, True)
    assert rows is not None
    assert (len(rows.targets), report.counts.read, report.counts.skipped) == (0, 500, 500)
    feed = cluster(tmp_path / "t.parquet", 60)
    np.testing.assert_array_equal(
        np.sort(np.concatenate(learned(list(feed.chunks(0))))),
        np.sort(numbers(list(feed_of(tmp_path / "t.parquet").chunks(0)))),
    )


def test_rows_between_averages() -> None:
    assert rows_between(1_000, 4) == cluster_feed.LEAST
    assert rows_between(10**12, 2) == cluster_feed.MOST
    assert rows_between(10**12, 100) == 100 * cluster_feed.MOST_EACH
    assert rows_between(16 * 16 * 4_000, 16) == 4_000 // 32 * 32
    assert all(rows_between(n, 3) % 32 == 0 for n in range(10_000, 10**6, 9_999))
