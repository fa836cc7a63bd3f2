"""Places: files, lists, folders, globs, addresses; formats by extension and by content; names and fingerprints."""

from __future__ import annotations

import bz2
import gzip
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.json as pajson
import pyarrow.parquet as pq
import pytest

from schuss.data.files import sniff_format, stem
from schuss.data.open import open_source
from schuss.data.source import Batch, Cursor
from schuss.errors import DataError, OptionError

TABLE = pa.table({"a": [1, 2, 3, 4], "b": ["x", "y", "x", "z"], "c": [0.5, None, 2.5, -1.0]})
SVMLIGHT = b"1 1:0.5 3:2\n-1 2:1\n"


def read(source: object) -> pa.Table:
    batches = [batch.table for batch in source.batches()]
    return pa.Table.from_batches(batches, source.schema)


def plain(table: pa.Table) -> dict[str, list[object]]:
    return table.to_pydict()


def write(path: Path, form: str, table: pa.Table = TABLE) -> Path:
    frame = table.to_pandas()
    if form in ("csv", "tsv"):
        frame.to_csv(path, index=False, sep="\t" if form == "tsv" else ",")
    elif form == "parquet":
        pq.write_table(table, path)
    elif form == "arrow":
        feather.write_feather(table, path)
    elif form == "stream":
        with pa.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table)
    else:
        frame.to_json(path, orient="records", lines=True)
    return path


FORMS = ["csv", "tsv", "parquet", "arrow", "stream", "jsonl"]
EXTENSIONS = {
    "csv": ".csv",
    "tsv": ".tsv",
    "parquet": ".pq",
    "arrow": ".feather",
    "stream": ".arrows",
    "jsonl": ".ndjson",
}


@pytest.mark.parametrize("form", FORMS)
def test_format_by_extension(tmp_path: Path, form: str) -> None:
    source = open_source(write(tmp_path / f"table{EXTENSIONS[form]}", form))
    assert source.name == "table"
    assert plain(read(source)) == plain(TABLE)


@pytest.mark.parametrize("form", FORMS)
def test_format_by_content(tmp_path: Path, form: str) -> None:
    assert plain(read(open_source(write(tmp_path / "table", form)))) == plain(TABLE)


@pytest.mark.parametrize("form", FORMS)
def test_format_by_option(tmp_path: Path, form: str) -> None:
    path = write(tmp_path / "table.bin", form)
    source = open_source(str(path), format="arrow" if form == "stream" else form)
    assert plain(read(source)) == plain(TABLE)


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "stream"])
@pytest.mark.parametrize("packed", [".gz", ".bz2", ".zst"])
def test_compressed_text(tmp_path: Path, form: str, packed: str) -> None:
    path = write(tmp_path / "plain", form)
    compress = {".gz": gzip.compress, ".bz2": bz2.compress, ".zst": pa.Codec("zstd").compress}[packed]
    (tmp_path / f"t{EXTENSIONS[form]}{packed}").write_bytes(bytes(compress(path.read_bytes())))
    source = open_source(tmp_path / f"t{EXTENSIONS[form]}{packed}")
    assert source.name == "t"
    assert source.nbytes == (tmp_path / f"t{EXTENSIONS[form]}{packed}").stat().st_size
    assert plain(read(source)) == plain(TABLE)


def test_svmlight_is_known_by_its_lines() -> None:
    assert sniff_format(SVMLIGHT, "x", complete=True) == "svmlight"
    assert sniff_format(b"1\n+1 1:2\n", "x", complete=True) == "svmlight"
    assert sniff_format(b"1 10:30 ham\n", "x", complete=True) == "csv"
    assert sniff_format(b"time,name\n10:30,x\n", "x", complete=True) == "csv"


def test_zip_archives_are_not_opened(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1]}).to_csv(tmp_path / "a.zip", index=False)
    with pytest.raises(DataError, match="zip archive"):
        open_source(tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("name", "inside"), [("a", "[Content_Types].xml"), ("a.xlsx", "workbook"), ("a.ods", "mimetype")]
)
def test_workbooks_are_not_opened(tmp_path: Path, name: str, inside: str) -> None:
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr(inside, "<xml/>")
    with pytest.raises(DataError, match=f"^{name} is a workbook of spreadsheets: save one of them as CSV$"):
        open_source(tmp_path / name)


@pytest.mark.parametrize(
    ("path", "name"),
    [("d/flights.csv.gz", "flights"), ("a9a", "a9a"), ("a9a.t", "a9a"), ("x.y.parquet", "x.y"), (".csv", ".csv")],
)
def test_stem(path: str, name: str) -> None:
    assert stem(path) == name


@pytest.mark.parametrize("form", FORMS)
def test_several_files_in_the_order_given(tmp_path: Path, form: str) -> None:
    extension = EXTENSIONS[form]
    second = write(tmp_path / f"1{extension}", form, TABLE.slice(2))
    first = write(tmp_path / f"2{extension}", form, TABLE.slice(0, 2))
    source = open_source([first, second])
    batches = list(source.batches())
    assert list(source.parts) == [f"2{extension}", f"1{extension}"]
    assert plain(read(source)) == plain(TABLE)
    assert [(batch.part, batch.row) for batch in batches] == [(0, 0), (1, 0)]
    assert [stamp["size"] for stamp in source.fingerprint()] == [first.stat().st_size, second.stat().st_size]
    assert source.fingerprint()[0]["mtime_ns"] == first.stat().st_mtime_ns


def test_folder_in_sorted_order_without_hidden_files_and_markers(tmp_path: Path) -> None:
    (tmp_path / "day=1").mkdir()
    write(tmp_path / "day=1" / "b.csv", "csv", TABLE.slice(2))
    write(tmp_path / "a.csv", "csv", TABLE.slice(0, 2))
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / ".a.csv.crc").write_bytes(b"x")
    (tmp_path / "readme.txt").write_text("about")
    (tmp_path / "LICENSE").write_text("free")
    source = open_source(tmp_path)
    assert list(source.parts) == ["a.csv", "day=1/b.csv"]
    assert source.name == tmp_path.name
    assert plain(read(source)) == plain(TABLE)


def test_folder_with_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "data" / "a").mkdir(parents=True)
    write(tmp_path / "data" / "a" / "x.csv", "csv")
    (tmp_path / "data" / "a" / "up").symlink_to(tmp_path / "data", target_is_directory=True)
    assert list(open_source(tmp_path / "data").parts) == ["a/x.csv"]


def test_folder_of_two_formats(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "csv")
    write(tmp_path / "b.parquet", "parquet")
    with pytest.raises(DataError, match=r"several formats, a\.csv \(csv\) and b\.parquet \(parquet\)"):
        open_source(tmp_path)


def test_glob(tmp_path: Path) -> None:
    write(tmp_path / "b-2.csv", "csv", TABLE.slice(2))
    write(tmp_path / "b-1.csv", "csv", TABLE.slice(0, 2))
    write(tmp_path / "c.csv", "csv")
    assert plain(read(open_source(str(tmp_path / "b-*.csv")))) == plain(TABLE)
    with pytest.raises(DataError, match="no file matches"):
        open_source(str(tmp_path / "z*.csv"))


def test_a_name_with_brackets_is_no_glob_where_it_exists(tmp_path: Path) -> None:
    assert read(open_source(str(write(tmp_path / "a[1].csv", "csv")))).num_rows == 4


@pytest.mark.parametrize("pattern", ["a.csv", "", "*.csv", "?.csv"])
def test_addresses(tmp_path: Path, pattern: str) -> None:
    write(tmp_path / "a.csv", "csv")
    assert plain(read(open_source(f"{tmp_path.as_uri()}/{pattern}"))) == plain(TABLE)


@pytest.mark.parametrize("address", ["x.csv", "*.tsv"])
def test_addresses_of_nothing(tmp_path: Path, address: str) -> None:
    with pytest.raises(DataError, match=r"does not exist|no file matches"):
        open_source(f"{tmp_path.as_uri()}/{address}")
    with pytest.raises(DataError, match="nosuch://x"):
        open_source("nosuch://x/y.csv")


def test_missing_file_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path / "flights.csv", "csv")
    with pytest.raises(DataError, match=r"fligths\.csv does not exist; did you mean .*flights\.csv\?"):
        open_source(tmp_path / "fligths.csv")
    with pytest.raises(DataError, match="nor does the folder"):
        open_source(tmp_path / "no" / "a.csv")


def test_empty_places(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    with pytest.raises(DataError, match=r"a\.csv is empty"):
        open_source(tmp_path / "a.csv")
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="without data files"):
        open_source(tmp_path / "none")
    with pytest.raises(DataError, match="empty list"):
        open_source([])


def test_files_of_two_formats(tmp_path: Path) -> None:
    paths = [write(tmp_path / "a.csv", "csv"), write(tmp_path / "b.parquet", "parquet")]
    with pytest.raises(DataError, match=r"one format, got a\.csv \(csv\) and b\.parquet \(parquet\)"):
        open_source(paths)


def test_options_out_of_range(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "csv")
    with pytest.raises(OptionError, match=r"format must be one of csv, .*got 'xlsx'"):
        open_source(path, format="xlsx")
    with pytest.raises(OptionError, match="delimiter"):
        open_source(path, delimiter="::")
    (tmp_path / "a.svm").write_bytes(SVMLIGHT)
    with pytest.raises(OptionError, match="svmlight_base must be 0 or 1, got 2"):
        open_source(tmp_path / "a.svm", svmlight_base=2)


def test_a_source_is_given_back(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "a.csv", "csv"))
    assert open_source(source) is source


def long_table(rows: int = 150_000) -> pa.Table:
    random = np.random.default_rng(0)
    return pa.table(
        {
            "n": np.arange(rows),
            "f": random.normal(size=rows).round(4),
            "s": random.choice(["red", "green", "blue"], rows),
        }
    )


def write_long(folder: Path, form: str) -> list[Path]:
    """Write two files, one of them longer than a batch and of several row groups."""
    table = long_table()
    paths = []
    for place, piece in enumerate((table.slice(0, 20_000), table.slice(20_000))):
        path = folder / f"{place}{EXTENSIONS[form]}"
        if form == "parquet":
            pq.write_table(piece, path, row_group_size=30_000)
        elif form == "stream":
            with pa.ipc.new_stream(path, piece.schema) as writer:
                writer.write_table(piece, max_chunksize=40_000)
        elif form == "arrow":
            feather.write_feather(piece, path, chunksize=100_000)
        elif form == "jsonl":
            piece.to_pandas().to_json(path, orient="records", lines=True)
        else:
            piece.to_pandas().to_csv(path, index=False, sep="\t" if form == "tsv" else ",")
        paths.append(path)
    return paths


def check_positions(batches: list[Batch], cursor: Cursor, sizes: list[int]) -> None:
    """Batches follow one another without a gap from the cursor to the end of each part."""
    position = cursor
    for batch in batches:
        if batch.part > position.part:
            assert position.row == sizes[position.part]
            position = Cursor(batch.part, 0)
        assert (batch.part, batch.row) == position
        assert 0 < batch.table.num_rows <= 262_144
        position = Cursor(batch.part, batch.row + batch.table.num_rows)
    assert position.row == sizes[position.part]


@pytest.mark.parametrize("form", FORMS)
def test_cursor_and_columns(tmp_path: Path, form: str) -> None:
    source = open_source(write_long(tmp_path, form))
    table = long_table()
    sizes = [20_000, 130_000]
    random = np.random.default_rng(1)
    cursors = [Cursor(), Cursor(1, 0), Cursor(0, 19_999), Cursor(1, 129_999), Cursor(1, int(random.integers(130_000)))]
    for cursor in cursors:
        batches = list(source.batches(cursor, columns=["f", "n"]))
        check_positions(batches, cursor, sizes)
        found = pa.Table.from_batches([batch.table for batch in batches])
        wanted = table.slice(cursor.row + sum(sizes[: cursor.part]))
        assert found.schema.names == ["f", "n"]
        assert np.array_equal(found["n"], wanted["n"])
        assert np.allclose(found["f"], wanted["f"])
    assert list(source.batches(Cursor(1, 130_000))) == []


@pytest.mark.parametrize("form", FORMS)
def test_sample_reaches_both_files(tmp_path: Path, form: str) -> None:
    source = open_source(write_long(tmp_path, form))
    sample = source.sample(1000)
    found = pa.Table.from_batches([batch.table for batch in sample], source.schema)
    assert 900 <= found.num_rows <= 1000
    assert {batch.part for batch in sample} == {0, 1}
    numbers = np.asarray(found["n"])
    assert len(np.unique(numbers)) == len(numbers)
    rows = [batch.row + (20_000 if batch.part else 0) for batch in sample]
    assert [int(batch.table["n"][0].as_py()) for batch in sample] == rows


@pytest.mark.parametrize("form", FORMS)
def test_unknown_column(tmp_path: Path, form: str) -> None:
    source = open_source(write(tmp_path / f"t{EXTENSIONS[form]}", form))
    with pytest.raises(DataError, match="t has no column 'z', only a, b, c"):
        list(source.batches(columns=["z"]))


@pytest.mark.parametrize("form", FORMS)
def test_no_columns_still_count_rows(tmp_path: Path, form: str) -> None:
    source = open_source(write(tmp_path / f"t{EXTENSIONS[form]}", form))
    assert sum(batch.table.num_rows for batch in source.batches(columns=[])) == 4


@pytest.mark.parametrize("form", ["csv", "parquet", "arrow", "stream"])
def test_columns_that_differ(tmp_path: Path, form: str) -> None:
    extension = EXTENSIONS[form]
    first = write(tmp_path / f"1{extension}", form)
    renamed = write(tmp_path / f"2{extension}", form, TABLE.rename_columns(["a", "q", "c"]))
    with pytest.raises(DataError, match=rf"2{extension} has a column 'q' where 1{extension} has 'b'"):
        open_source([first, renamed])
    with pytest.raises(DataError, match=rf"3{extension} lacks the column 'c' that 1{extension} has"):
        open_source([first, write(tmp_path / f"3{extension}", form, TABLE.select(["a", "b"]))])
    with pytest.raises(DataError, match=rf"4{extension} has a column 'd' that 1{extension} lacks"):
        open_source([first, write(tmp_path / f"4{extension}", form, TABLE.append_column("d", TABLE["a"]))])
    other = TABLE.set_column(0, "a", pa.array(["u", "v", "u", "v"]))
    with pytest.raises(DataError, match=rf"column 'a' .* 1{extension} but .* 5{extension}"):
        open_source([first, write(tmp_path / f"5{extension}", form, other)])


@pytest.mark.parametrize("form", FORMS)
def test_whole_numbers_join_fractions_and_order_of_columns_is_free(tmp_path: Path, form: str) -> None:
    extension = EXTENSIONS[form]
    first = write(tmp_path / f"1{extension}", form, pa.table({"a": [1, 2], "b": ["x", "y"]}))
    second = write(tmp_path / f"2{extension}", form, pa.table({"b": ["x", "z"], "a": [0.5, None]}))
    source = open_source([first, second])
    assert source.schema.field("a").type == pa.float64()
    assert plain(read(source)) == {"a": [1.0, 2.0, 0.5, None], "b": ["x", "y", "x", "z"]}


def test_dictionaries_equal_their_words(tmp_path: Path) -> None:
    words = pa.array(["x", "y"]).dictionary_encode()
    pq.write_table(pa.table({"b": words}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"b": ["y", "z"]}), tmp_path / "2.parquet")
    assert plain(read(open_source(tmp_path)))["b"] == ["x", "y", "y", "z"]


def test_json_lines_follow_arrow(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", "jsonl")
    assert plain(read(open_source(path))) == plain(pajson.read_json(path))
