"""Predictions as CSV and Parquet, batch by batch."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from schuss import DataError, OptionError
from schuss.cli.predictions import write_csv, writer

BATCHES = [
    pa.record_batch({"prediction": ["yes", 'say "no"', None], "p_yes": pa.array([0.1, 1e-9, 1.0], pa.float32())}),
    pa.record_batch({"prediction": ["a,b", "two\nlines", "é"], "p_yes": pa.array([0.5, 0.25, None], pa.float32())}),
]


def test_csv_reads_back_as_it_was() -> None:
    file = io.BytesIO()
    write_csv(BATCHES, file)
    options = {
        "parse_options": pa_csv.ParseOptions(newlines_in_values=True),
        "convert_options": pa_csv.ConvertOptions(
            column_types=BATCHES[0].schema, strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    }
    assert (
        pa_csv.read_csv(io.BytesIO(file.getvalue()), **options)
        .combine_chunks()
        .equals(pa.Table.from_batches(BATCHES).combine_chunks())
    )


@pytest.mark.parametrize(
    ("values", "lines"),
    [
        (pa.array([3, 2**60]), "3\n1152921504606846976\n"),
        (pa.array([True, False]), "true\nfalse\n"),
        (pa.array(["x", "a,b"]).dictionary_encode(), 'x\n"a,b"\n'),
        (pa.array([], pa.string()), ""),
    ],
)
def test_types_of_predictions(values: pa.Array, lines: str) -> None:
    file = io.BytesIO()
    write_csv([pa.record_batch({"prediction": values})], file)
    assert file.getvalue().decode() == "prediction\n" + lines


def test_names_that_need_quotes() -> None:
    file = io.BytesIO()
    write_csv([pa.record_batch({"prediction": [1], 'p_"a",b': [1]})], file)
    assert file.getvalue() == b'prediction,"p_""a"",b"\n1,1\n'


@pytest.mark.parametrize("name", ["out.csv", "out.parquet", "OUT.CSV"])
def test_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    writer(str(path))(BATCHES)
    if path.suffix == ".parquet":
        assert pq.read_table(path).equals(pa.Table.from_batches(BATCHES))
    else:
        assert path.read_text().startswith('prediction,p_yes\nyes,0.1\n"say ""no""",1e-9\n')


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_a_failure_in_the_middle_leaves_the_old_file(tmp_path: Path, name: str) -> None:
    def batches():
        yield BATCHES[0]
        raise DataError("new.csv, row 4, column 'a': 'x' is not a number")

    path = tmp_path / name
    path.write_bytes(b"old")
    with pytest.raises(DataError):
        writer(str(path))(batches())
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_unknown_ending() -> None:
    with pytest.raises(OptionError, match=r"'--out': 'out.xlsx' does not end in .csv or .parquet"):
        writer("out.xlsx")
