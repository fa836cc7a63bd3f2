"""CSV files that are cut into blocks of lines give the rows that they give in one piece."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pytest

from schuss.data import csv_blocks
from schuss.data.csv_blocks import NotByLinesError, line_blocks
from schuss.data.open import open_source
from schuss.errors import DataError

ROWS = [f"{i},w{i % 7},{i / 8}" for i in range(400)]


@pytest.fixture(autouse=True)
def _small_blocks_and_two_threads(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setattr(csv_blocks, "_BLOCK_BYTES", 100)
    before = pa.cpu_count()
    pa.set_cpu_count(2)
    yield
    pa.set_cpu_count(before)


def rows_of(tmp_path: Path, text: str) -> list[tuple[int, str, float]]:
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode())
    batches = list(open_source(path).batches())
    assert [batch.row for batch in batches] == [sum(len(b.table) for b in batches[:k]) for k in range(len(batches))]
    return [tuple(row.values()) for batch in batches for row in batch.table.to_pylist()]


EXPECTED = [(i, f"w{i % 7}", i / 8) for i in range(400)]


@pytest.mark.parametrize("header", ["a,b,c", '"a","b","c"', '\n"a",b,c'])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_lines(tmp_path: Path, header: str, end: str, last: bool) -> None:
    assert rows_of(tmp_path, end.join([*header.split("\n"), *ROWS]) + end * last) == EXPECTED


@pytest.mark.parametrize("where", [0, 1, 200, 398, 399])
def test_a_quoted_line_end_is_no_end_of_a_row(tmp_path: Path, where: int) -> None:
    rows, expected = ROWS.copy(), EXPECTED.copy()
    rows[where] = f'{where},"x\ny",{where / 8}'
    expected[where] = (where, "x\ny", where / 8)
    assert rows_of(tmp_path, "\n".join(["a,b,c", *rows]) + "\n") == expected


def test_a_row_longer_than_a_block(tmp_path: Path) -> None:
    rows = [*ROWS[:200], f"200,{'long' * 100},25", *ROWS[201:]]
    assert rows_of(tmp_path, "\n".join(["a,b,c", *rows]))[199:202] == [
        EXPECTED[199], (200, "long" * 100, 25.0), EXPECTED[201],
    ]  # fmt: skip


def test_a_bad_cell_is_named(tmp_path: Path) -> None:
    rows = [*ROWS[:350], "350,w0,many", *ROWS[351:]]
    with pytest.raises(DataError, match=r"t.csv, row 351, column 'c': 'many' is not a number"):
        rows_of(tmp_path, "\n".join(["a,b,c", *rows]))


def test_blocks_end_at_line_ends() -> None:
    text = "\n".join(ROWS).encode()
    blocks = list(line_blocks(io.BytesIO(text)))
    assert b"".join(blocks) == text
    assert len(blocks) > 10
    assert all(block.endswith(b"\n") for block in blocks[:-1])
    with pytest.raises(NotByLinesError):
        list(line_blocks(io.BytesIO(text[:3000] + b'"' + text[3000:])))
    assert b'"' in b"".join(line_blocks(io.BytesIO(text[:3000] + b'"' + text[3000:]), quoting=False))
