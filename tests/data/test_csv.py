"""CSV: types from a sample, missing markers, dialects, and a sentence for every way a file can be wrong."""

from __future__ import annotations

import csv
import datetime
import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from schuss.data import csv as csv_reader
from schuss.data import csv_blocks
from schuss.data.open import open_source
from schuss.errors import DataError


def source_of(folder: Path, text: str | bytes, name: str = "t.csv", **options: object) -> object:
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return open_source(folder / name, **options)


def values(source: object) -> dict[str, list[object]]:
    return pa.Table.from_batches([batch.table for batch in source.batches()], source.schema).to_pydict()


def is_word(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_dictionary(kind)


COLUMNS = {
    "integers": (["1", "-2", "3"], pa.int64(), [1, -2, 3]),
    "integers with missing": (["1", "", "NA"], pa.int64(), [1, None, None]),
    "beyond 2^53": (["9007199254740993", "1", "?"], pa.int64(), [9007199254740993, 1, None]),
    "beyond 2^63": (["9223372036854775808", "1", "2"], pa.float64(), [2.0**63, 1.0, 2.0]),
    "fractions": (["1", "2.5", "-"], pa.float64(), [1.0, 2.5, None]),
    "ways to write numbers": (["1e3", ".5", "+7"], pa.float64(), [1000.0, 0.5, 7.0]),
    "markers": (["None", "null", "4"], pa.int64(), [None, None, 4]),
    "infinite": (["inf", "1e999", "0"], pa.float64(), [np.inf, np.inf, 0.0]),
    "booleans": (["true", "False", "?"], pa.bool_(), [True, False, None]),
    "dates": (
        ["2024-02-29", "", "2024-03-01 10:30:00"],
        pa.timestamp("us"),
        [datetime.datetime(2024, 2, 29), None, datetime.datetime(2024, 3, 1, 10, 30)],
    ),
    "words": (["NA", "None", ""], None, ["NA", "None", None]),
    "words and numbers": (["1", "x", "nan"], None, ["1", "x", "nan"]),
    "not a date": (["2024-02-30", "2024-01-01", "x"], None, ["2024-02-30", "2024-01-01", "x"]),
    "hexadecimal": (["0x10", "0x11", "12"], None, ["0x10", "0x11", "12"]),
    "blanks": ([" 1", "2 ", " NA "], pa.int64(), [1, 2, None]),
    "blanks around words": ([" a", "a ", " b "], None, ["a", "a", "b"]),
    "blanks around truth": ([" true", "false ", "  NA"], pa.bool_(), [True, False, None]),
    "quoted": (['"1"', '"2"', '""'], pa.int64(), [1, 2, None]),
    "quoted words": (['"a,b"', '"say ""hi"""', '"two\nlines"'], None, ["a,b", 'say "hi"', "two\nlines"]),
}


@pytest.mark.parametrize(("cells", "kind", "wanted"), COLUMNS.values(), ids=COLUMNS)
def test_types(tmp_path: Path, cells: list[str], kind: pa.DataType | None, wanted: list[object]) -> None:
    source = source_of(tmp_path, "id,v,end\n" + "".join(f"{i},{cell},x\n" for i, cell in enumerate(cells)))
    found = source.schema.field("v").type
    assert is_word(found) if kind is None else found == kind, found
    assert values(source) == {"id": [0, 1, 2], "v": wanted, "end": ["x", "x", "x"]}
    assert source.rows == 3


def test_dates_with_a_zone(tmp_path: Path) -> None:
    source = source_of(tmp_path, "t,x\n2020-01-01T00:00:00Z,1\n2020-01-01T00:00:00+02:00,2\n")
    assert source.schema.field("t").type == pa.timestamp("us", "UTC")
    first, second = values(source)["t"]
    assert first - second == datetime.timedelta(hours=2)


def test_words_that_repeat_are_dictionaries_and_texts_are_strings(tmp_path: Path) -> None:
    rows = "".join(f"{'ham' if i % 3 else 'spam'},message number {i}\n" for i in range(100))
    source = source_of(tmp_path, "label,text\n" + rows)
    assert pa.types.is_dictionary(source.schema.field("label").type)
    assert source.schema.field("text").type == pa.string()


def test_agrees_with_the_csv_module_on_quotes(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    letters = list("ab,\"\n'; ")
    rows = [["w" + "".join(random.choice(letters, 6)) + "w" for _ in range(3)] for _ in range(400)]
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([["a", "b", "c"], *rows])
    found = values(open_source(tmp_path / "t.csv", delimiter=","))
    assert [list(row) for row in zip(*found.values(), strict=True)] == rows


def test_agrees_with_pandas_over_many_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_blocks, "_BLOCK_BYTES", 1 << 12)
    random = np.random.default_rng(4)
    frame = pd.DataFrame(
        {
            "f": random.normal(size=3000),
            "s": random.choice(["p", "q q", "r"], 3000),
            "t": pd.date_range("2020", periods=3000, freq="h"),
        }
    )
    frame.loc[::7, "f"] = np.nan
    frame.to_csv(tmp_path / "t.csv", index=False)
    source = open_source(tmp_path / "t.csv")
    batches = list(source.batches())
    assert len(batches) > 10
    found = pa.Table.from_batches([batch.table for batch in batches], source.schema).to_pandas()
    pd.testing.assert_frame_equal(found.astype({"s": "str", "t": frame["t"].dtype}), frame.astype({"s": "str"}))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("header", [True, False])
def test_delimiter_is_found(tmp_path: Path, delimiter: str, header: bool) -> None:
    text = delimiter.join(["one", "two", "three"]) + "\n" if header else ""
    text += "".join(delimiter.join([str(i), "a word, or two", "2,5"]) + "\n" for i in range(5)).replace(
        ", ", " " if delimiter == "," else ", "
    )
    text = text.replace("2,5", "2.5") if delimiter == "," else text
    source = source_of(tmp_path, text, header=header)
    assert source.schema.names == (["one", "two", "three"] if header else ["column_1", "column_2", "column_3"])
    assert source.rows == 5


def test_given_delimiter(tmp_path: Path) -> None:
    assert values(source_of(tmp_path, "a:b\n1:2\n", delimiter=":")) == {"a": [1], "b": [2]}


def test_one_column(tmp_path: Path) -> None:
    assert values(source_of(tmp_path, "a\n1\n2\n")) == {"a": [1, 2]}


def test_tab_separated_text_with_stray_quotes(tmp_path: Path) -> None:
    text = 'label\ttext\nham\t"I said hi\nspam\tcall "now" 5"\nham\tok\n'
    assert values(source_of(tmp_path, text, "t.tsv"))["text"] == ['"I said hi', 'call "now" 5"', "ok"]
    quoted = 'label\ttext\nham\t"two\twords"\nspam\tok\n'
    assert values(source_of(tmp_path, quoted, "q.tsv"))["text"] == ["two\twords", "ok"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("begin", ["", "\ufeff"])
def test_line_ends_and_byte_order_mark(tmp_path: Path, end: str, begin: str) -> None:
    text = begin + end.join(["a,b", "1,x", "2,y"])
    assert values(source_of(tmp_path, text)) == {"a": [1, 2], "b": ["x", "y"]}
    assert values(source_of(tmp_path, text + end)) == {"a": [1, 2], "b": ["x", "y"]}


def test_blank_lines_are_passed_over(tmp_path: Path) -> None:
    assert values(source_of(tmp_path, "\n\r\na,b\n1,x\n\n2,y\n\n\n")) == {"a": [1, 2], "b": ["x", "y"]}


def test_blank_lines_do_not_shift_the_row_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"t\.csv, row 3: expected 2 fields, found 1"):
        values(source_of(tmp_path, "\n\na,b\n1,x\n\n2,y\n3\n"))
    with pytest.raises(DataError, match=r"row 2: expected 2 fields, found 3"):
        values(source_of(tmp_path, "\n1,x\n\n2,y,z\n", header=False))


def test_ragged_rows_that_are_not_utf8(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match=r"t\.csv, row 2: expected 2 fields, found 1"):
        values(source_of(tmp_path, b"a,b\n1,x\ncaf\xe9\n2,y\n"))
    assert capfd.readouterr() == ("", "")


def test_nameless_columns_are_numbered(tmp_path: Path) -> None:
    assert source_of(tmp_path, ",b\n1,2\n").schema.names == ["column_1", "b"]


def test_forced_types(tmp_path: Path) -> None:
    source = source_of(tmp_path, "a,b,c\n01,1,x\n2,2,3\n", strings=["a"], numbers=["b"])
    assert is_word(source.schema.field("a").type)
    assert source.schema.field("b").type == pa.float64()
    assert values(source)["a"] == ["01", "2"]
    forced = source_of(tmp_path, "a,b,c\n01,1,x\n2,2,3\n", numbers=["c"])
    with pytest.raises(DataError, match=r"t\.csv, row 1, column 'c': 'x' is not a number"):
        values(forced)


@pytest.fixture
def small_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the sample be much shorter than the file."""
    monkeypatch.setattr(csv_reader, "SAMPLE_BYTES", 2000)
    monkeypatch.setattr(csv_reader, "_BLOCK_BYTES", 1 << 12)


@pytest.mark.usefixtures("small_sample")
def test_fraction_after_the_sample(tmp_path: Path) -> None:
    source = source_of(tmp_path, "a,b\n" + "1,x\n" * 5000 + "3.5,y\n,z\n")
    assert source.schema.field("a").type == pa.float64()
    assert source.rows is None
    assert values(source)["a"][-3:] == [1.0, 3.5, None]


@pytest.mark.usefixtures("small_sample")
def test_large_identifiers_keep_every_digit(tmp_path: Path) -> None:
    source = source_of(tmp_path, "a,b\n" + "9007199254740993,x\n" * 2000)
    assert source.schema.field("a").type == pa.int64()
    assert set(values(source)["a"]) == {9007199254740993}


@pytest.mark.usefixtures("small_sample")
def test_unusual_blanks_after_the_sample_only_cost_time(tmp_path: Path) -> None:
    source = source_of(tmp_path, "a,b\n" + "1,true\n" * 5000 + "   NA   ,   false\n")
    found = values(source)
    assert found["a"][-2:] == [1.0, None]
    assert found["b"][-2:] == [True, False]
    assert len(found["a"]) == 5001


def good_rows() -> list[str]:
    return ["n,s,d"] + [f"{i},w{i % 7},2020-01-{1 + i % 28:02d}" for i in range(9000)]


BAD_ROWS = {
    "a word among numbers": ("ab:cd,w,2020-01-01", "row 8,123, column 'n': 'ab:cd' is not a number"),
    "no date": ("1,w,32.13.2020", "row 8,123, column 'd': '32.13.2020' is not a date"),
    "too few fields": ("1,w", "row 8,123: expected 3 fields, found 2"),
    "too many fields": ("1,w,2020-01-01,9", "row 8,123: expected 3 fields, found 4"),
    "Latin-1": ("1,caf\xe9,2020-01-01", r"row 8,123, column 's': b'caf\xe9' is not UTF-8 text"),
}


@pytest.mark.parametrize("first_sampled", [True, False])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("row", "sentence"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_bad_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: str, sentence: str, packed: bool, first_sampled: bool
) -> None:
    if not first_sampled:
        monkeypatch.setattr(csv_reader, "SAMPLE_BYTES", 4000)
    monkeypatch.setattr(csv_reader, "_BLOCK_BYTES", 1 << 14)
    rows = good_rows()
    rows[8123] = row
    data = "\n".join(rows).encode("latin-1")
    name = "t.csv.gz" if packed else "t.csv"
    source = source_of(tmp_path, gzip.compress(data) if packed else data, name)
    with pytest.raises(DataError) as caught:
        values(source)
    assert str(caught.value) == f"{name}, {sentence}"


@pytest.mark.usefixtures("small_sample")
def test_rows_before_a_bad_one_are_given_once(tmp_path: Path) -> None:
    source = source_of(tmp_path, "a,b\n" + "".join(f"{i},x\n" for i in range(4000)) + "word,x\n")
    rows = []
    with pytest.raises(DataError, match="row 4,001"):
        for batch in source.batches():
            rows += batch.table["a"].to_pylist()
    assert rows == list(range(len(rows)))


@pytest.mark.usefixtures("small_sample")
def test_bad_boolean(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="row 3,001, column 'b': 'maybe' is not true or false"):
        values(source_of(tmp_path, "a,b\n" + "1,true\n" * 3000 + "1,maybe\n"))


@pytest.mark.usefixtures("small_sample")
def test_fraction_among_large_identifiers(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 3,001, column 'a': '3\.5' is not a whole number"):
        values(source_of(tmp_path, "a,b\n" + "9007199254740993,x\n" * 3000 + "3.5,x\n"))


OPEN_QUOTES = {
    "in the last column": 'a,b\n1,x\n2,"y\n3,z\n4,z\n',
    "in the last column, no line end": 'a,b\n1,x\n2,"y\n3,z\n4,z',
    "in a column of numbers": 'a,b\n1,5\n2,"6\n3,7\n4,8\n',
    "with doubled quotes behind": 'a,b\n1,x\n2,"y\n3,""z""\n',
}


@pytest.mark.parametrize("text", OPEN_QUOTES.values(), ids=OPEN_QUOTES)
def test_a_quote_that_is_never_closed(tmp_path: Path, text: str) -> None:
    source = source_of(tmp_path, text)
    with pytest.raises(DataError, match=r"t\.csv, row 2: a quoted field is never closed"):
        values(source)
    with pytest.raises(DataError, match="never closed"):
        list(source.batches(columns=["a"]))


def test_a_closed_quote_at_the_end_may_hold_lines(tmp_path: Path) -> None:
    text = 'a,b\n1,x\n2,"y\n3,""z""\n"\n'
    assert values(source_of(tmp_path, text))["b"] == ["x", 'y\n3,"z"']


def test_rows_longer_than_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_blocks, "_BLOCK_BYTES", 1 << 12)
    monkeypatch.setattr(csv_blocks, "_LONGEST_LINE", 1 << 15)
    monkeypatch.setattr(csv_reader, "_BLOCK_BYTES", 1 << 12)
    monkeypatch.setattr(csv_reader, "_LONGEST_ROW", 1 << 16)
    text = "a,b\n" + "1,x\n" * 10 + "2," + "y" * 20_000 + "\n3,z\n"
    found = values(source_of(tmp_path, text))
    assert found["a"] == [1] * 10 + [2, 3]
    assert len(found["b"][10]) == 20_000
    with pytest.raises(DataError, match=r"a quoted field is never closed, a row is longer"):
        values(source_of(tmp_path, "a,b\n1,x\n2," + "y" * 200_000 + "\n"))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"\n \n", "t.csv is empty"),
        (b"a,b\n", "t.csv has a header but no rows"),
        (b"a,b,a\n1,2,3\n", "t.csv has two columns named 'a'"),
        (b"a,b,c\n1,2\n3,4\n", "t.csv, row 1: expected 3 fields, found 2: the first line is 'a,b,c'"),
        (b"a,b\n1,2,3\n3,4,5\n", "t.csv, row 1: expected 2 fields, found 3: the first line is 'a,b'"),
        (b"# a title\na,b\n1,2\n3,4\n", "t.csv, row 1: expected 1 field, found 2: the first line is '# a title'"),
        ("a,b\n1,2\n".encode("utf-16"), "t.csv must be UTF-8 text, but is UTF-16: convert it with iconv"),
        ("a,b\n1,2\n".encode("utf-16-le"), "t.csv must be UTF-8 text, but is UTF-16: convert it with iconv"),
        (
            "é,b\n1,2\n".encode("latin-1"),
            "t.csv must be UTF-8 text, but its first line holds the byte b'\\xe9': if it is Latin-1",
        ),
        (b"a\x01\xe9,b\n1,2\n", "t.csv must be UTF-8 text, but its first line holds the byte b'\\xe9'"),
    ],
)
def test_unreadable_files(tmp_path: Path, data: bytes, sentence: str) -> None:
    with pytest.raises(DataError) as caught:
        source_of(tmp_path, data)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize("length", [5, 100, 20_000])
def test_gzip_cut_off(tmp_path: Path, length: int) -> None:
    data = gzip.compress("\n".join(good_rows()).encode())[:-length]
    with pytest.raises(DataError, match=r"t\.csv\.gz is cut off: its compressed data end too early"):
        values(source_of(tmp_path, data, "t.csv.gz"))


def test_gzip_damaged(tmp_path: Path) -> None:
    data = bytearray(gzip.compress("\n".join(good_rows()).encode()))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(DataError, match=r"t\.csv\.gz is damaged|not UTF-8|expected 3 fields|is not a"):
        values(source_of(tmp_path, bytes(data), "t.csv.gz"))


def test_kinds_that_differ_between_files(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a,b\n1,x\n")
    (tmp_path / "2.csv").write_text("a,b\nred,x\n")
    with pytest.raises(DataError, match=r"column 'a' holds numbers in 1\.csv but words in 2\.csv"):
        open_source(tmp_path)
    assert values(open_source(tmp_path, strings=["a"]))["a"] == ["1", "red"]


def test_a_file_without_rows_among_others(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a,b\n")
    (tmp_path / "2.csv").write_text("b,a\nx,1\n")
    source = open_source(tmp_path)
    assert values(source) == {"a": [1], "b": ["x"]}
    assert [(batch.part, batch.row) for batch in source.batches()] == [(1, 0)]
