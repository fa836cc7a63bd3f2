"""Texts that are entered in their midst give the very batches that a reading from the first byte gives."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from schuss.data import csv, csv_blocks, jsonl, svmlight
from schuss.data.open import open_source
from schuss.data.source import Batch, Cursor

ROWS = 3_000
FORMS = ("csv", "jsonl", "svm")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (csv, csv_blocks, jsonl, svmlight):
        monkeypatch.setattr(module, "_BLOCK_BYTES", 4_096)
    if pa.cpu_count() == 1:
        monkeypatch.setattr(csv.pa, "cpu_count", lambda: 2)


def lines_of(form: str, rows: int = ROWS) -> list[str]:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(rows, 3)) * 10.0 ** rng.integers(-9, 9, (rows, 1))  # lines of different lengths
    if form == "csv":
        return ["a,b,c", *(",".join(map(repr, row)) for row in values.tolist())]
    if form == "jsonl":
        return [json.dumps({"a": row[0], "b": "x" * (place % 40), "c": row[2]}) for place, row in enumerate(values)]
    pairs = [" ".join(f"{j + 1}:{v!r}" for j, v in enumerate(row)) for row in values.tolist()]
    return [f"{place % 2} {row}" for place, row in enumerate(pairs)]


def same(got: list[Batch], wanted: list[Batch]) -> bool:
    return [(b.part, b.row, b.table) for b in got] == [(b.part, b.row, b.table) for b in wanted]


def overwrite_beginning(path: Path) -> None:
    """Make a first half that nobody could parse, unnoticed by size and time."""
    stat, text = path.stat(), path.read_bytes()
    half = text.rindex(b"\n", 0, len(text) // 2) + 1
    path.write_bytes(b'"' * (half - 1) + b"\n" + text[half:])
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize("form", FORMS)
def test_onwards_gives_the_same_batches_without_reading_what_came_before(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"t.{form}"
    path.write_text("\n".join(lines_of(form)) + "\n")
    source: Any = open_source(path)
    wanted = list(source.batches())
    assert len(wanted) > 10
    marks = source.marks.table
    assert (np.diff(marks[:, 1:], axis=0) > 0).all()
    again: Any = open_source(path)
    again.marks.load(marks)
    for row in (0, 1, wanted[3].row, wanted[3].row + 1, ROWS // 2, ROWS - 1):
        place = max(number for number, batch in enumerate(wanted) if batch.row <= row)
        assert same(list(again.onwards(Cursor(0, row))), wanted[place:])
    overwrite_beginning(path)
    place = len(wanted) * 3 // 4
    assert same(list(again.onwards(Cursor(0, wanted[place].row))), wanted[place:])
    rows = again.span(Cursor(0, wanted[place].row + 7), 20)
    assert sum(batch.table.num_rows for batch in rows) == 20


@pytest.mark.parametrize("fault", ["a quote", "a word", "a NUL"])
@pytest.mark.parametrize("place", [0.3, 0.6])
def test_where_a_csv_file_is_not_read_by_lines_to_its_end(tmp_path: Path, fault: str, place: float) -> None:
    lines = lines_of("csv")
    row = lines[int(ROWS * place)].split(",")
    row[1] = {"a quote": f'"{row[1]}"', "a word": "abc", "a NUL": row[1]}[fault]
    lines[int(ROWS * place)] = ",".join(row)
    if fault == "a NUL":
        lines = [f"{line},{'word' if number else 'd'}" for number, line in enumerate(lines)]
        lines[int(ROWS * place)] = lines[int(ROWS * place)].replace("word", "wo\0rd")
    path = tmp_path / "t.csv"
    path.write_text("\n".join(lines) + "\n")
    source: Any = open_source(path, on_bad_row="skip")
    wanted = list(source.batches())
    again: Any = open_source(path, on_bad_row="skip")
    again.marks.load(source.marks.table)
    for number in range(0, len(wanted), max(len(wanted) // 12, 1)):
        assert same(list(again.onwards(Cursor(0, wanted[number].row))), wanted[number:])


def pack(path: Path, text: bytes) -> None:
    """Write text compressed, as the name of the file says."""
    with pa.CompressedOutputStream(str(path), {".gz": "gzip", ".zst": "zstd"}[path.suffix]) as packed:
        packed.write(text)


@pytest.mark.parametrize("packing", ["gz", "zst"])
@pytest.mark.parametrize("form", FORMS)
def test_what_is_compressed_is_unpacked_and_not_parsed_again(tmp_path: Path, form: str, packing: str) -> None:
    path = tmp_path / f"t.{form}.{packing}"
    text = ("\n".join(lines_of(form)) + "\n").encode()
    pack(path, text)
    source: Any = open_source(path)
    wanted = list(source.batches())
    again: Any = open_source(path)
    again.marks.load(source.marks.table)
    half = text.rindex(b"\n", 0, len(text) // 2) + 1
    pack(path, b'"' * (half - 1) + b"\n" + text[half:])  # nobody could parse the first half
    stat = path.stat()
    again.files[:] = [file._replace(size=stat.st_size, mtime_ns=stat.st_mtime_ns) for file in again.files]
    place = len(wanted) * 3 // 4
    assert same(list(again.onwards(Cursor(0, wanted[place].row))), wanted[place:])


@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("form", FORMS)
def test_rows_are_counted_as_they_are_read(tmp_path: Path, form: str, ends: str) -> None:
    lines = lines_of(form)
    for place in range(40, ROWS, 333):
        lines[place:place] = [""] * (place % 3)  # blank lines are no rows
    if form == "svm":
        lines[7:7] = ["# a comment"]
    path = tmp_path / f"t.{form}"
    path.write_bytes((ends + ends.join(lines)).encode())
    source: Any = open_source(path)
    wanted = list(source.batches())
    again: Any = open_source(path)
    assert again.count_rows() == ROWS == sum(batch.table.num_rows for batch in wanted)
    assert len(again.anchors) > 10
    passed = {(row, byte) for _, row, byte in source.marks.table.tolist() if 0 < row < ROWS}
    assert {(row, byte) for _, row, byte in again.marks.table.tolist() if row} == passed
    whole = pa.Table.from_batches([batch.table for batch in wanted])
    for anchor, end in zip(again.anchors, [*again.anchors[1:], Cursor(0, ROWS)], strict=True):
        rows = pa.Table.from_batches([batch.table for batch in again.span(anchor, end.row - anchor.row)])
        assert rows.equals(whole.slice(anchor.row, end.row - anchor.row))


def test_rows_are_not_counted_where_a_quote_may_hide_the_end_of_a_line(tmp_path: Path) -> None:
    lines = lines_of("csv")
    lines[ROWS // 2] += '\n1,2,"3"'
    path = tmp_path / "t.csv"
    path.write_text("\n".join(lines) + "\n")
    source: Any = open_source(path)
    assert source.count_rows() == 0
    assert source.anchors == [Cursor(0, 0)]


def test_a_single_thread_enters_a_csv_file_in_its_midst_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n".join(lines_of("csv")) + "\n")
    source: Any = open_source(path)
    wanted = pa.Table.from_batches([batch.table for batch in source.batches()])
    source.count_rows()
    overwrite_beginning(path)
    monkeypatch.setattr(csv.pa, "cpu_count", lambda: 1)
    place = source.anchors[-3].row
    rows = pa.Table.from_batches([batch.table for batch in source.span(Cursor(0, place), 30)])
    assert rows.equals(wanted.slice(place, 30))
