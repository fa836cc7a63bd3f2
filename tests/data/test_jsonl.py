"""JSON lines: types from a sample, missing keys, blocks, and a sentence for every bad line."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pyarrow as pa
import pytest

from schuss.data import jsonl
from schuss.data.open import open_source
from schuss.errors import DataError


def source_of(folder: Path, text: str | bytes) -> object:
    (folder / "t.jsonl").write_bytes(text.encode() if isinstance(text, str) else text)
    return open_source(folder / "t.jsonl")


def values(source: object) -> dict[str, list[object]]:
    return pa.Table.from_batches([batch.table for batch in source.batches()], source.schema).to_pydict()


def test_types_and_missing_keys(tmp_path: Path) -> None:
    lines = [
        {"a": 1, "b": "x", "c": True, "e": None},
        {"a": 2.5, "d": "2020-01-02"},
        {"b": None, "c": False, "d": "2020-01-02T10:00:00", "f": {"g": [1, 2]}},
    ]
    source = source_of(tmp_path, "\ufeff" + "\n\n".join(map(json.dumps, lines)))
    assert values(source) == {
        "a": [1.0, 2.5, None],
        "b": ["x", None, None],
        "c": [True, None, False],
        "e": [None] * 3,
        "d": [None, datetime.datetime(2020, 1, 2), datetime.datetime(2020, 1, 2, 10)],
        "f": [None, None, {"g": [1, 2]}],
    }
    assert source.rows == 3


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "SAMPLE_BYTES", 500)
    monkeypatch.setattr(jsonl, "_BLOCK_BYTES", 1000)


@pytest.mark.usefixtures("small_blocks")
def test_after_the_sample(tmp_path: Path) -> None:
    lines = [json.dumps({"a": i, "b": "x" * (i % 50)}) for i in range(500)]
    source = source_of(tmp_path, "\n".join([*lines, '{"a":0.5,"z":3}', '{"b":"2020-01-01"}']))
    assert source.rows is None
    assert source.schema.names == ["a", "b"]
    found = values(source)
    assert found["a"] == [*map(float, range(500)), 0.5, None]
    assert found["b"] == ["x" * (i % 50) for i in range(500)] + [None, "2020-01-01"]


BAD = {
    "no JSON": ('{"a":}', "'{\"a\":}' is not a JSON object"),
    "a list": ("[1]", "'[1]' is not a JSON object"),
    "a number": ("3", "'3' is not a JSON object"),
    "two objects": ('{"a":1} {"a":2}', '\'{"a":1} {"a":2}\' is not a JSON object'),
    "cut off": ('{"a":2', "'{\"a\":2' is not a JSON object"),
    "a word": ('{"a":"x"}', "column 'a': \"x\" is not a number"),
    "an object": ('{"a":{"b":1}}', "column 'a': {\"b\": 1} is not a number"),
    "a number for a word": ('{"b":1}', "column 'b': 1 is not a string"),
    "a key twice": ('{"a":1,"a":2}', "the key 'a' comes twice"),
    "Latin-1": ('{"b":"\xe9"}', 'b\'{"b":"\\xe9"}\' is not UTF-8 text'),
}


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("row", [3, 321])
@pytest.mark.parametrize(("line", "sentence"), BAD.values(), ids=BAD)
def test_bad_lines(tmp_path: Path, line: str, sentence: str, row: int) -> None:
    lines = ['{"a":1,"b":"x","d":"2020-01-01"}'] * 400
    lines[row - 1] = line
    with pytest.raises(DataError) as caught:
        values(source_of(tmp_path, "\n".join(lines).encode("latin-1")))
    found = str(caught.value)
    assert found.startswith(f"t.jsonl, row {row:,}")
    assert found.endswith(sentence), found


@pytest.mark.parametrize(
    "text", ['\n\n {"a": 1}{"a": 2}\n', '{"a":\n {"b": 0}}\n{"a": {"b": 1}}', '{"a": 1}\n\n{"a": 2} {}\n']
)
def test_a_line_is_an_object_where_blank_ones_make_up_the_number(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match="is not a JSON object"):
        values(source_of(tmp_path, text))


@pytest.mark.usefixtures("small_blocks")
def test_no_date(tmp_path: Path) -> None:
    lines = ['{"d":"2020-01-01"}'] * 400
    assert source_of(tmp_path, "\n".join(["", '{"d":"soon"}', *lines])).schema.field("d").type == pa.string()
    source = source_of(tmp_path, "\n".join([*lines, '{"d":"soon"}']))
    assert source.schema.field("d").type == pa.timestamp("us")
    with pytest.raises(DataError, match="row 401, column 'd': \"soon\" is not a date"):
        values(source)


@pytest.mark.parametrize("text", ['[{"a": 1},\n{"a": 2}]\n', '[\n{"a": 1},\n{"a": 2}\n]\n'])
def test_one_list_of_all_objects_is_told_apart(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match=r"row 1: .* is not a JSON object; JSON lines are an object on each line"):
        source_of(tmp_path, text)


def test_no_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"t\.jsonl is empty"):
        source_of(tmp_path, "\n\n")


def test_kinds_that_differ_between_files(tmp_path: Path) -> None:
    (tmp_path / "1.jsonl").write_text('{"a":1}\n')
    (tmp_path / "2.jsonl").write_text('{"a":"x"}\n')
    with pytest.raises(DataError, match=r"column 'a' is int64 in 1\.jsonl but string in 2\.jsonl"):
        open_source(tmp_path)


@pytest.mark.parametrize("text", ['null,"', "null", "\n null\n", "[1", '"x', "7\n"])
def test_what_is_no_object_does_not_end_the_process(tmp_path: Path, text: str) -> None:
    """Found by fuzzing: Arrow crashes at a null before any object."""
    (tmp_path / "t.jsonl").write_text(text)
    with pytest.raises(DataError, match=r"row 1: .* is not a JSON object"):
        open_source(tmp_path / "t.jsonl")
