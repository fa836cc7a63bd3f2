"""Standard input and readers: one pass, a sample that loses nothing, every format."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from schuss.data import csv as csv_reader
from schuss.data.open import open_source
from schuss.data.source import Cursor
from schuss.errors import DataError

ROWS = 20_000
TABLE = pa.table({"n": np.arange(ROWS), "s": [f"w{i % 5}" for i in range(ROWS)]})


class Trickle(io.RawIOBase):
    """A stream that gives few bytes at a time, as a pipe does, and cannot seek."""

    def __init__(self, data: bytes, size: int = 1777) -> None:
        self._rest = io.BytesIO(data)
        self._size = size

    def read(self, size: int = -1) -> bytes:
        return self._rest.read(self._size if size < 0 else min(size, self._size))

    def readable(self) -> bool:
        return True


def as_csv() -> bytes:
    return TABLE.to_pandas().to_csv(index=False).encode()


def as_jsonl() -> bytes:
    return TABLE.to_pandas().to_json(orient="records", lines=True).encode()


def as_svmlight() -> bytes:
    return "".join(f"{i} 1:{i} 3:1\n" for i in range(ROWS)).encode()


def as_parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(TABLE, sink)
    return sink.getvalue()


def as_feather() -> bytes:
    sink = io.BytesIO()
    feather.write_feather(TABLE, sink)
    return sink.getvalue()


def as_stream() -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=3000)
    return sink.getvalue()


def as_npz() -> bytes:
    sink = io.BytesIO()
    np.savez(sink, X=np.ones((ROWS, 2)), y=np.arange(ROWS))
    return sink.getvalue()


FORMS = {
    "csv": as_csv,
    "jsonl": as_jsonl,
    "svmlight": as_svmlight,
    "parquet": as_parquet,
    "feather": as_feather,
    "stream": as_stream,
    "npz": as_npz,
}


def numbers(batches: list[object]) -> list[int]:
    column = "n" if "n" in batches[0].table.schema.names else "y"
    return [int(value) for batch in batches for value in batch.table.column(column).to_pylist()]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_every_format(form: str, packed: bool) -> None:
    data = FORMS[form]()
    source = open_source("-", stdin=Trickle(gzip.compress(data) if packed else data))
    assert source.name == "stdin"
    sample = source.sample(1500)
    assert sum(batch.table.num_rows for batch in sample) <= 1500
    assert numbers(source.sample(10)) == list(range(10)) or source.rereadable
    batches = list(source.batches())
    assert numbers(batches) == list(range(ROWS))
    position = 0
    for batch in batches:
        assert batch.row == position
        position += batch.table.num_rows


@pytest.mark.parametrize("form", ["csv", "jsonl", "svmlight", "stream"])
@pytest.mark.parametrize("sampled", [0, 10, 19_999, 30_000])
def test_read_once_from_a_cursor(form: str, sampled: int) -> None:
    source = open_source("-", stdin=Trickle(FORMS[form]()))
    assert not source.rereadable
    if sampled:
        assert numbers(source.sample(sampled)) == list(range(min(sampled, ROWS)))
    column = "y" if form == "svmlight" else "n"
    batches = list(source.batches(Cursor(0, 4321), columns=[column]))
    assert batches[0].row == 4321
    assert batches[0].table.schema.names == [column]
    assert numbers(batches) == list(range(4321, ROWS))
    with pytest.raises(DataError, match="stdin can be read only once"):
        source.batches()
    with pytest.raises(DataError, match="stdin can be read only once"):
        source.sample(1)
    assert source.fingerprint() == [{"path": None, "size": None, "mtime_ns": None}]


def test_format_can_be_given() -> None:
    source = open_source("-", format="tsv", stdin=io.BytesIO(b"a\tb\n1,5\t2\n"))
    assert source.schema.names == ["a", "b"]
    headless = open_source("-", header=False, stdin=io.BytesIO(b"1,2\n3,4\n"))
    assert [batch.table.to_pydict() for batch in headless.batches()] == [{"column_1": [1, 3], "column_2": [2, 4]}]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "standard input is empty"),
        (b"a,b\n" + b"1,2\n" * 9000 + b"x,3\n", "standard input, row 9,001, column 'a': 'x' is not a number"),
        (b"a,b\n" + b"1,2\n" * 9000 + b"3\n", "standard input, row 9,001: expected 2 fields, found 1"),
        (b'a,b\n1,x\n2,"y\n3,z\n', "standard input, row 2: a quoted field is never closed"),
        (as_stream()[:-8], "standard input is cut off"),
        (b'{"a":1}\n{"a":"x"}\n', "standard input, row 2, column 'a': \"x\" is not a number"),
    ],
)
def test_bad_input(monkeypatch: pytest.MonkeyPatch, data: bytes, sentence: str) -> None:
    monkeypatch.setattr(csv_reader, "SAMPLE_BYTES", 4000)
    monkeypatch.setattr(csv_reader, "_BLOCK_BYTES", 1 << 14)
    with pytest.raises(DataError) as caught:
        list(open_source("-", stdin=Trickle(data)).batches())
    assert str(caught.value).startswith(sentence)


def test_compressed_data_that_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_reader, "SAMPLE_BYTES", 4000)
    monkeypatch.setattr(csv_reader, "_BLOCK_BYTES", 1 << 14)
    with pytest.raises(DataError, match=r"^standard input.* cut off") as caught:
        list(open_source("-", stdin=Trickle(gzip.compress(as_csv())[:-100])).batches())
    # Arrow reads ahead: whether it meets the end of the data or the row without an end first is a matter of timing.
    assert "end too early" in str(caught.value) or "a quoted field is never closed" in str(caught.value)


def test_standard_input_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a,b\n1,2\n")))
    assert numbers_of_rows(open_source("-")) == 1


def numbers_of_rows(source: object) -> int:
    return sum(batch.table.num_rows for batch in source.batches())


def test_reader_of_record_batches() -> None:
    reader = pa.RecordBatchReader.from_batches(TABLE.schema, TABLE.to_batches(max_chunksize=3000))
    source = open_source(reader)
    assert not source.rereadable
    assert numbers(source.sample(7000)) == list(range(7000))
    assert numbers(list(source.batches())) == list(range(ROWS))


def test_temporary_copies_are_named_after_the_stream(tmp_path: Path) -> None:
    data = as_parquet()
    with pytest.raises(DataError, match="standard input is not a Parquet file or is cut off"):
        open_source("-", stdin=io.BytesIO(data[:-20]))
