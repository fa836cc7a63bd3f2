"""Data that may not be what was meant: cut off, renamed, changed while read, or unlike what they look like."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import schuss
from schuss.data.columns.place import POINT_WANTED
from schuss.data.doubts import large_numbers, numbers_as_words
from schuss.data.files import read_blocks
from schuss.data.open import open_source
from schuss.errors import DataError

ROWS = "".join(f"{row % 7}.5,{'ab'[row % 2]}\n" for row in range(300))


LABELS = ("1", "0", "1.0", "01")


def notices(path: Path, target: str = "y") -> list[str]:
    return open_source(path, target=target).notices


def test_a_last_line_without_its_end(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("y,x\n" + ROWS + "b,1.25")
    assert notices(tmp_path / "t.csv") == [
        "t.csv does not end with a line break: if it was cut off, its last value may be too"
    ]
    for end in ("b,1.25\n", '"b","1.25"'):
        (tmp_path / "t.csv").write_text("y,x\n" + ROWS + end)
        assert notices(tmp_path / "t.csv") == []


def test_spellings_of_a_label(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{row},{LABELS[row % 4]}\n" for row in range(40)))
    expected = "the target 'y' spells the same number in several ways, as '1' and '1.0': they count as one"
    assert notices(tmp_path / "t.csv") == [expected]
    assert notices(tmp_path / "t.csv", "x") == []
    result = schuss.train(tmp_path / "t.csv", "y", runs=1, epochs=1)
    assert result.model.classes == [0, 1]
    assert expected in result.record[0]["notices"]


def test_words_that_look_alike() -> None:
    words = ["café", "cafe\u0301", "tea"] * 30
    table = pa.table({"drink": words, "x": np.arange(90) % 7, "y": ["yes", "no", "no"] * 30})
    said = schuss.train(table, "y", runs=1, epochs=1).record[0]["notices"]
    assert "column 'drink' has values that look the same and are two: 'cafe\\u0301' and 'caf\\xe9'" in said


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (lambda place: f"{place},5", f"its numbers, such as '0,5', have {POINT_WANTED}"),
        (
            lambda place: f"${place},500.00",
            "its numbers, such as '$0,500.00', hold other signs than digits and a point",
        ),
        (lambda place: f"{place}.5 %", "its numbers, such as '0.5 %', hold other signs than digits and a point"),
        (lambda place: f"{place % 28 + 1}/1/2024", "its dates, such as '1/1/2024', are not written as in '2024-12-31'"),
        (
            lambda place: "unknown" if place == 3 else f"{place}.5",
            "nearly all its values are numbers, but 'unknown' is none",
        ),
        (lambda place: f"{place}b" if place % 4 == 0 else f"{place}", None),
        (lambda place: f"1.2.{place}", None),
        (lambda place: f"house {place}", None),
    ],
)
def test_numbers_that_are_read_as_words(write: Callable[[int], str], told: str | None) -> None:
    table = pa.table({"a": [write(place) for place in range(40)], "y": ["u", "v"] * 20})
    expected = [f"column 'a' is read as words: {told}"] if told else []
    assert numbers_as_words(table, ["a", "y"]) == expected
    assert numbers_as_words(table, ["y"]) == []


def test_a_column_that_is_asked_to_be_words_is_not_doubted() -> None:
    table = pa.table({"a": [f"{place},5" for place in range(40)], "x": np.arange(40) % 7, "y": ["u", "v"] * 20})
    for asked, told in (({}, 1), ({"categorical": ["a"]}, 0), ({"ignore": ["a"]}, 0)):
        said = schuss.train(table, "y", runs=1, epochs=1, **asked).record[0]["notices"]
        assert sum("is read as words" in notice for notice in said) == told


def test_large_numbers() -> None:
    table = pa.table({"c": [2**53 + 1, 1], "d": [2**53, 1]})
    assert large_numbers(table, ["c", "d"]) == [
        "column 'c' holds whole numbers beyond 2^53, which are rounded; --categorical keeps them"
    ]


def test_folders_that_name_columns(tmp_path: Path) -> None:
    for year in (2023, 2024):
        (tmp_path / "t" / f"year={year}").mkdir(parents=True)
        pq.write_table(pa.table({"a": [1, 2], "y": ["u", "v"]}), tmp_path / "t" / f"year={year}" / "part.parquet")
    assert notices(tmp_path / "t") == ["the folders name columns that are not read: 'year'"]


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_file_that_changes_while_it_is_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "t.csv":
        path.write_text("x,y\n" + ROWS)
    else:
        pq.write_table(pa.table({"x": np.arange(300.0), "y": ["a", "b"] * 150}), path)
    source = open_source(path)
    assert sum(batch.table.num_rows for batch in source.batches()) == 300
    content = path.read_bytes()
    path.write_bytes(content)  # the same bytes, but whoever read on could not know
    os.utime(path, ns=(1, 1))
    with pytest.raises(DataError, match=f"{name} was changed while it was read: its size or its time is another one"):
        list(source.batches())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_named_pipe_is_a_stream(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text("x,y\n" + ROWS))
    writer.start()
    source = open_source(pipe)
    assert not source.rereadable
    assert sum(batch.table.num_rows for batch in source.batches()) == 300
    writer.join()


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    class Endless:
        given = 0

        def read(self, size: int) -> bytes:
            self.given += size
            return b"x" * size

    stream = Endless()
    with pytest.raises(OSError, match="a line is longer than 64 MB"):
        list(read_blocks(stream, 1 << 20))
    assert stream.given <= 66 << 20


def test_an_index_of_two_billion(tmp_path: Path) -> None:
    (tmp_path / "t.svm").write_text("1 1:1\n0 2:1\n" * 20 + "1 2000000000:1\n")
    with pytest.raises(DataError, match="row 41, column 'x': the index 2,000,000,000 makes 2,000,000,000 features"):
        schuss.train(tmp_path / "t.svm", runs=1, epochs=1)


def test_a_long_word_takes_room_once(tmp_path: Path) -> None:
    """An array of NumPy's strings would take 4 GB: as much for each of 900 words as for the longest one."""
    words = [f"w{row % 900}" for row in range(20_000)]
    words[7] = "x" * 1_000_000
    encoder = schuss.train(pa.table({"c": words, "y": ["a", "b"] * 10_000}), "y", runs=1, epochs=1).model.encoder
    assert "x" * 1_000_000 in encoder.features[0].known
