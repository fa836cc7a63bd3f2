"""Rows of a stream as they come: the same as those of a file, however the bytes arrive."""

from __future__ import annotations

import io
import os
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from schuss.data.bad_rows import BadRows
from schuss.data.live import Incoming, live_source
from schuss.data.open import open_source
from schuss.errors import BadRowError, DataError

KINDS = {"a": pa.float64(), "word": pa.string(), "y": pa.bool_()}
CSV = 'a,word,y\n1,x,true\n2.5,"two, lines\nand ""quotes""",false\n,12" tv,True\n\n4,"",FALSE\n'
JSON = '{"a": 1, "word": "x", "y": true}\n\n{"a": 2.5, "y": false, "other": [1]}\n{"word": "ö", "a": null, "y": true}\n'
SVMLIGHT = "1 1:0.5 3:2 # first\n\n0 2:1\n1\n"


class Dripping(io.BytesIO):
    """Gives so many bytes at a time."""

    def __init__(self, text: bytes, step: int) -> None:
        super().__init__(text)
        self.step = step

    def fileno(self) -> int:
        raise OSError

    def read(self, size: int | None = -1) -> bytes:
        return super().read(self.step)


def live(text: str | bytes, step: int = 1 << 20, kinds: dict[str, Any] = KINDS, **options: Any) -> Any:
    raw = Dripping(text.encode() if isinstance(text, str) else text, step)
    return live_source(Incoming(raw), kinds, name="stream", **options)


def rows_of(source: Any, columns: list[str]) -> list[dict[str, Any]]:
    found, position = [], 0
    for batch in source.batches(columns=columns):
        assert batch.row == position
        position += batch.table.num_rows
        found += batch.table.to_pylist()
    return found


@pytest.mark.parametrize("text", [CSV, JSON], ids=["csv", "jsonl"])
@pytest.mark.parametrize("step", [1, 2, 7, 1 << 20])
def test_rows_are_those_of_a_file(tmp_path: Path, text: str, step: int) -> None:
    path = tmp_path / ("t.jsonl" if text == JSON else "t.csv")
    path.write_text(text, encoding="utf-8")
    wanted = rows_of(open_source(str(path)), ["y", "word", "a"])
    assert len(wanted) == (3 if text == JSON else 4)
    assert rows_of(live(text, step), ["y", "word", "a"]) == wanted


@pytest.mark.parametrize("step", [1, 1 << 20])
def test_svmlight(tmp_path: Path, step: int) -> None:
    path = tmp_path / "t.svm"
    path.write_text(SVMLIGHT, encoding="utf-8")
    wanted = rows_of(open_source(str(path), svmlight_base=1), ["x", "y"])
    assert rows_of(live(SVMLIGHT, step, {"y": pa.float64()}, base=1), ["x", "y"]) == wanted


def test_other_formats_are_left_to_others() -> None:
    raw = io.BytesIO(b"PAR1\0\0")
    incoming = Incoming(raw)
    assert live_source(incoming, KINDS, name="stream") is None
    assert incoming.read(4) + incoming.read() == b"PAR1\0\0"
    assert live(SVMLIGHT) is None  # without the index of its first feature
    assert live(b"\x1f\x8b\x08\x00\n") is None


def test_columns_without_names_and_tabs() -> None:
    kinds = {"column_1": pa.float64(), "column_2": pa.string()}
    assert rows_of(live("1,x\n2,y\n", 1, kinds, header=False), ["column_1", "column_2"]) == [
        {"column_1": 1.0, "column_2": "x"},
        {"column_1": 2.0, "column_2": "y"},
    ]
    assert rows_of(live('a\tword\n1\t"x\n', kinds=KINDS, form="tsv"), ["word"]) == [{"word": '"x'}]


def test_words_that_the_first_json_line_has_as_numbers() -> None:
    assert rows_of(live('{"word": 3}\n{"word": 4}\n'), ["word"]) == [{"word": 3.0}, {"word": 4.0}]


@pytest.mark.parametrize("step", [1, 1 << 20])
def test_bad_rows_are_named_by_their_place(step: int) -> None:
    bad = BadRows()
    source = live("a,word,y\n1,x,true\n2,x\nzwei,x,true\n4,x,true\n", step, bad=bad)
    rows = rows_of(source, ["a", "word", "y"])
    assert [row["a"] for row in rows] == [1.0, None, None, 4.0]
    assert [(row.row, row.column) for row in bad.among(0, 0, 10)] == [(1, None), (2, "a")]
    with pytest.raises(BadRowError, match="stream, row 2: expected 3 fields, found 2"):
        rows_of(live("a,word,y\n1,x,true\n2,x\n", step), ["a", "y"])
    with pytest.raises(BadRowError, match=r"stream, row 2: .* is not a JSON object"):
        rows_of(live('{"a": 1}\nnonsense\n', step), ["a"])


def test_a_last_line_without_an_end_is_left_out() -> None:
    told: list[str] = []
    assert len(rows_of(live("a,word,y\n1,x,true\n2,x,tr", tell=told.append), ["a"])) == 1
    assert told == ["the last line of stream has no end and is left out: if it was cut off, its last value may be too"]
    assert rows_of(live("a,word,y\n"), ["a"]) == []


def test_an_empty_stream() -> None:
    for text in ("", "\n\n"):
        with pytest.raises(DataError, match="stream is empty"):
            live(text)


def test_rows_come_at_once_and_silence_is_told_of() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as raw, os.fdopen(writing, "wb", buffering=0) as pipe:
        pipe.write(b"a,word,y\n1,x,true\n2,y,fal")
        source = live_source(Incoming(raw), KINDS, name="stream")
        assert source is not None
        batches = source.batches(columns=["a"])
        assert next(batches).table.to_pylist() == [{"a": 1.0}]  # while the pipe stays open
        assert next(batches).table.num_rows == 0
        pipe.write(b"se\n")
        assert next(batch for batch in batches if batch.table.num_rows).table.to_pylist() == [{"a": 2.0}]
        pipe.close()
        assert not any(batch.table.num_rows for batch in batches)


def test_waiting_for_a_first_line_can_be_ended() -> None:
    reading, writing = os.pipe()
    asked = threading.Event()
    threading.Timer(0.3, asked.set).start()
    begun = time.monotonic()
    with os.fdopen(reading, "rb") as raw, os.fdopen(writing, "wb") as pipe:
        with pytest.raises(KeyboardInterrupt):
            Incoming(raw, asked.is_set).first_line()
        assert time.monotonic() - begun < 30
        pipe.close()  # so that the thread ends before its file does
        time.sleep(0.05)
