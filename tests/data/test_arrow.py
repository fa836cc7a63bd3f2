"""Parquet and Arrow files: row groups, dictionaries, types that join, and files that are cut or damaged."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from schuss.data.arrow import united_schema
from schuss.data.open import open_source
from schuss.data.source import Cursor
from schuss.errors import DataError

TABLE = pa.table(
    {
        "n": np.arange(10_000),
        "few": [f"w{i % 7}" for i in range(10_000)],
        "many": [f"text number {i}" for i in range(10_000)],
        "v": pa.FixedSizeListArray.from_arrays(pa.array(np.arange(20_000.0)), 2),
    }
)


def read(source: object, **options: object) -> pa.Table:
    return pa.Table.from_batches([batch.table for batch in source.batches(**options)])


def test_words_that_repeat_are_read_as_dictionaries(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "t.parquet", row_group_size=3000)
    source = open_source(tmp_path / "t.parquet")
    assert source.schema.field("few").type == pa.dictionary(pa.int32(), pa.string())
    assert source.schema.field("many").type == pa.string()
    found = read(source)
    assert found.schema.equals(source.schema)
    assert found.to_pydict() == TABLE.to_pydict()
    assert (source.rows, source.nbytes) == (10_000, (tmp_path / "t.parquet").stat().st_size)


@pytest.mark.parametrize("files", [1, 2])
def test_only_the_footer_of_a_single_file_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int) -> None:
    """Of many files each is parsed when it is read, so that memory does not grow with their number."""
    for part in range(files):
        pq.write_table(TABLE, tmp_path / f"part{part}.parquet", row_group_size=1000)
    source, given, original = open_source(tmp_path), list[object](), pq.ParquetFile

    def watched(*arguments: object, **options: object) -> pq.ParquetFile:
        given.append(options["metadata"])
        return original(*arguments, **options)

    monkeypatch.setattr(pq, "ParquetFile", watched)
    assert [batch.table.num_rows for batch in source.sample(80)]
    assert read(source).num_rows == files * 10_000
    assert [footer is not None for footer in given] == [files == 1] * len(given)


def test_a_file_that_is_written_anew_behind_its_footer(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(TABLE, path, row_group_size=1000)
    source = open_source(path)
    for other in (TABLE.slice(0, 100), TABLE.select(["many", "v", "few", "n"])):
        pq.write_table(other, path, row_group_size=100)
        with pytest.raises(DataError, match=r"t\.parquet was changed while it was read"):
            read(source)
    path.unlink()
    with pytest.raises(DataError, match=r"t\.parquet"):
        read(source)


def test_words_that_are_known_to_repeat_are_not_looked_for(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "t.parquet", row_group_size=3000)
    source = open_source(tmp_path / "t.parquet", repeated=["many", "nowhere", "number"])
    assert source.schema.field("few").type == pa.string()
    assert source.schema.field("many").type == pa.dictionary(pa.int32(), pa.string())
    assert read(source).to_pydict() == TABLE.to_pydict()
    assert open_source(tmp_path / "t.parquet", repeated=()).schema.equals(TABLE.schema.remove_metadata())


def test_reading_begins_at_the_row_group_of_the_cursor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(TABLE, tmp_path / "t.parquet", row_group_size=1000)
    source = open_source(tmp_path / "t.parquet")
    seen = []
    original = source.read

    def watched(part: int, row: int, columns: object) -> object:
        for first, table in original(part, row, columns):
            seen.append(first)
            yield first, table

    monkeypatch.setattr(source, "read", watched)
    monkeypatch.setattr("schuss.data.arrow._TOGETHER_BYTES", 0)
    for row in (0, 999, 1000, 7531, 9999):
        seen.clear()
        assert read(source, cursor=Cursor(0, row), columns=["n"])["n"].to_pylist() == list(range(row, 10_000))
        assert seen[0] == row // 1000 * 1000


@pytest.mark.parametrize(("text", "most"), [(False, 262_144), (True, 65_536)])
def test_narrow_rows_come_in_long_batches(tmp_path: Path, text: bool, most: int) -> None:
    rows = 300_000
    words = {"text": [f"{row} words" for row in range(rows)]} if text else {}
    pq.write_table(pa.table({"n": np.arange(rows), **words}), tmp_path / "t.parquet", row_group_size=rows)
    source = open_source(tmp_path / "t.parquet")
    edges = [*range(0, rows, most), rows]
    batches = list(source.batches())
    assert [batch.row for batch in batches] == edges[:-1]
    assert all(batch.table["n"][0].as_py() == batch.row for batch in batches)
    assert [len(batch.table) for batch in batches] == np.diff(edges).tolist()
    assert [batch.row for batch in source.onwards(Cursor(0, most + 1))] == edges[1:-1], "the very same"
    assert [len(batch.table) for batch in source.span(Cursor(), most + 9)] == [most, 9]


def test_sample_spreads_over_row_groups(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "t.parquet", row_group_size=500)
    sample = open_source(tmp_path / "t.parquet").sample(200)
    assert [batch.row for batch in sample] == list(range(0, 10_000, 500))
    assert {batch.table.num_rows for batch in sample} == {10}


@pytest.mark.parametrize("cut", [1, 100, 5000])
def test_parquet_cut_off(tmp_path: Path, cut: int) -> None:
    pq.write_table(TABLE, tmp_path / "t.parquet")
    data = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "t.parquet").write_bytes(data[:-cut])
    with pytest.raises(DataError, match=r"t\.parquet is not a Parquet file or is cut off"):
        open_source(tmp_path / "t.parquet")


def test_parquet_with_a_hole(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "t.parquet", row_group_size=2000, write_page_checksum=True, compression="none")
    data = bytearray((tmp_path / "t.parquet").read_bytes())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "t.parquet").write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"t\.parquet is damaged"):
        read(open_source(tmp_path / "t.parquet"))


def test_parquet_without_rows(tmp_path: Path) -> None:
    pq.write_table(TABLE.slice(0, 0), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"t\.parquet has no rows"):
        open_source(tmp_path / "t.parquet")


def test_duplicate_columns(tmp_path: Path) -> None:
    pq.write_table(TABLE.select(["n", "few"]).rename_columns(["a", "a"]), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"t\.parquet has two columns named 'a'"):
        open_source(tmp_path / "t.parquet")


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
def test_feather(tmp_path: Path, compression: str) -> None:
    feather.write_feather(TABLE, tmp_path / "t.feather", compression=compression, chunksize=3000)
    source = open_source(tmp_path / "t.feather")
    assert read(source).to_pydict() == TABLE.to_pydict()
    assert (
        read(source, cursor=Cursor(0, 5000), columns=["many", "n"]).to_pydict()
        == TABLE.select(["many", "n"]).slice(5000).to_pydict()
    )


def test_feather_cut_off_or_of_the_first_kind(tmp_path: Path) -> None:
    feather.write_feather(TABLE, tmp_path / "t.feather")
    data = (tmp_path / "t.feather").read_bytes()
    (tmp_path / "t.feather").write_bytes(data[:-50])
    with pytest.raises(DataError, match=r"t\.feather is not Arrow data, is cut off or is damaged"):
        open_source(tmp_path / "t.feather")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        feather.write_feather(TABLE.select(["n"]), tmp_path / "old.feather", version=1)
    with pytest.raises(DataError, match="first Feather format"):
        open_source(tmp_path / "old.feather")


def stream_bytes(folder: Path) -> bytes:
    with pa.ipc.new_stream(folder / "t.arrows", TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=1000)
    return (folder / "t.arrows").read_bytes()


def test_stream_cut_at_a_message_boundary(tmp_path: Path) -> None:
    data = stream_bytes(tmp_path)
    source = open_source(tmp_path / "t.arrows")
    assert read(source).num_rows == 10_000
    (tmp_path / "t.arrows").write_bytes(data[:-8])
    with pytest.raises(DataError, match=r"t\.arrows is cut off"):
        read(open_source(tmp_path / "t.arrows"))


@pytest.mark.parametrize("length", [20, 3000, 100_000])
def test_stream_cut_anywhere(tmp_path: Path, length: int) -> None:
    data = stream_bytes(tmp_path)
    (tmp_path / "t.arrows").write_bytes(data[:length])
    with pytest.raises(DataError, match=r"t\.arrows is .*cut off"):
        read(open_source(tmp_path / "t.arrows"))


def test_damaged_arrow_data_never_raise_anything_else(tmp_path: Path) -> None:
    data = stream_bytes(tmp_path)[:40_000]
    random = np.random.default_rng(0)
    for _ in range(200):
        changed = bytearray(data)
        for place in random.integers(0, 3000, 5):
            changed[place] = random.integers(256)
        (tmp_path / "t.arrows").write_bytes(bytes(changed))
        with pytest.raises(DataError) as caught:  # it is cut off at the end, if not damaged before
            read(open_source(tmp_path / "t.arrows"))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("one", "other", "joined"),
    [
        (pa.int32(), pa.int64(), pa.int64()),
        (pa.int64(), pa.float32(), pa.float64()),
        (pa.float32(), pa.float32(), pa.float32()),
        (pa.null(), pa.string(), pa.string()),
        (pa.bool_(), pa.null(), pa.bool_()),
        (pa.string(), pa.large_string(), pa.large_string()),
        (pa.dictionary(pa.int8(), pa.string()), pa.string(), pa.string()),
        (pa.date32(), pa.timestamp("s"), pa.timestamp("us")),
    ],
)
def test_types_that_join(one: pa.DataType, other: pa.DataType, joined: pa.DataType) -> None:
    schemas = [("1", pa.schema([("a", one)])), ("2", pa.schema([("a", other)]))]
    assert united_schema(schemas).field("a").type == joined


@pytest.mark.parametrize(
    ("one", "other"),
    [(pa.int64(), pa.string()), (pa.bool_(), pa.int64()), (pa.timestamp("s"), pa.timestamp("s", "UTC"))],
)
def test_types_that_do_not(one: pa.DataType, other: pa.DataType) -> None:
    schemas = [("1", pa.schema([("a", one)])), ("2", pa.schema([("a", other)]))]
    with pytest.raises(DataError, match=r"column 'a' is .* in 1 but .* in 2"):
        united_schema(schemas)


@pytest.mark.parametrize(("bound", "decoded"), [(1 << 20, [4000]), (20_000, [1000] * 4), (1, [100] * 40)])
def test_small_row_groups_are_decoded_together_within_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: int, decoded: list[int]
) -> None:
    monkeypatch.setattr("schuss.data.arrow._TOGETHER_BYTES", bound)
    rows = []
    read = pq.ParquetFile.read_row_groups
    monkeypatch.setattr(
        pq.ParquetFile, "read_row_groups", lambda self, groups, **options: note(read(self, groups, **options))
    )

    def note(table: pa.Table) -> pa.Table:
        rows.append(table.num_rows)
        return table

    numbers = pa.table({"a": np.arange(4000), "b": np.arange(4000, dtype=np.float64), "c": np.zeros(4000, np.int32)})
    pq.write_table(numbers, tmp_path / "t.parquet", row_group_size=100)
    source = open_source(tmp_path / "t.parquet")
    assert sum(batch.table.num_rows for batch in source.batches()) == 4000
    assert rows == decoded
