"""Rows that cannot be used: with `--on-bad-row skip` they are left out, counted and listed, in every format."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import schuss
from schuss.cli.main import main
from schuss.data import csv as csv_reader
from schuss.data import csv_blocks
from schuss.data.open import open_source
from schuss.errors import DataError, OptionError

ROWS = 3000
OPTIONS: dict[str, Any] = {"on_bad_row": "skip", "runs": 4, "epochs": 2, "optimizer": "sgd"}


def good_rows() -> list[tuple[str, str, str]]:
    """Number, colour, and the level that follows from them."""
    random = np.random.default_rng(3)
    size, colour = random.normal(size=ROWS).round(3), random.choice(["red", "green"], ROWS)
    level = np.where(size + (colour == "red") > 0.3, "high", "low")
    return [(str(s), str(c), str(v)) for s, c, v in zip(size, colour, level, strict=True)]


def csv_lines(quote: str = "") -> list[bytes]:
    return [",".join(f"{quote}{cell}{quote}" for cell in row).encode() for row in good_rows()]


def write_csv(path: Path, bad: dict[int, bytes], quote: str = "", end: bytes = b"\n") -> Path:
    """Write the table, some of its rows replaced."""
    lines = [bad.get(number, line) for number, line in enumerate(csv_lines(quote), start=1)]
    path.write_bytes(end.join([b"size,colour,level", *lines]) + end)
    return path


def write_jsonl(path: Path, bad: dict[int, bytes]) -> Path:
    rows = [json.dumps({"size": float(s), "colour": c, "level": v}).encode() for s, c, v in good_rows()]
    path.write_bytes(b"\n".join(bad.get(number, line) for number, line in enumerate(rows, start=1)) + b"\n")
    return path


def write_svmlight(path: Path, bad: dict[int, bytes]) -> Path:
    rows = [f"{1 if v == 'high' else -1} 1:{s} {2 if c == 'red' else 3}:1".encode() for s, c, v in good_rows()]
    path.write_bytes(b"\n".join(bad.get(number, line) for number, line in enumerate(rows, start=1)) + b"\n")
    return path


def table(bad: dict[int, float]) -> pa.Table:
    size, colour, level = zip(*good_rows(), strict=True)
    numbers = [bad.get(number, float(value)) for number, value in enumerate(size, start=1)]
    return pa.table({"size": numbers, "colour": list(colour), "level": list(level)})


def write_parquet(path: Path, bad: dict[int, float]) -> Path:
    pq.write_table(table(bad), path, row_group_size=500)
    return path


CSV = {
    7: (b"0.5,red", None, "expected 3 fields, found 2"),
    8: (b"0.5,red,low,more", None, "expected 3 fields, found 4"),
    700: (b"ab:cd,red,low", "size", "'ab:cd' is not a number"),
    1500: (b"inf,red,low", "size", "inf is not a finite number, or too large"),
    2999: (b"0.1,gr\xfcn,low", None, "b'\\xfc' is not UTF-8 text"),
}
JSONL = {
    1: (b"hello", None, "'hello' is not a JSON object"),
    7: (b'{"size": "big", "colour": "red", "level": "low"}', "size", '"big" is not a number'),
    8: (b'{"size": 1, "size": 2, "level": "low"}', None, "the key 'size' comes twice"),
    1500: (b'{"size": 1, "colo', None, """'{"size": 1, "colo' is not a JSON object"""),
    3000: (b"[1, 2]", None, "'[1, 2]' is not a JSON object"),
}
SVMLIGHT = {
    7: (b"1 1:0.5 x:1", None, "expected index:value, found 'x:1'"),
    8: (b"high 1:0.5", None, "the label 'high' is not a number"),
    700: (b"1 1:2 1:3", None, "the index 1 comes twice"),
    1500: (b"1 5000000000:1", None, "the index in '5000000000:1' is above 2,147,483,646, the largest that fits"),
    1501: (b"1 1:inf", "x", "the value inf of feature 1 cannot be used"),
}
FORMATS: dict[str, tuple[Callable[..., Path], dict[int, tuple[bytes, str | None, str]]]] = {
    "t.csv": (write_csv, CSV),
    "t.jsonl": (write_jsonl, JSONL),
    "t.svm": (write_svmlight, SVMLIGHT),
}


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a file have many blocks."""
    monkeypatch.setattr(csv_blocks, "_BLOCK_BYTES", 1 << 12)
    monkeypatch.setattr(csv_reader, "_BLOCK_BYTES", 1 << 12)


@pytest.fixture(params=FORMATS)
def broken(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, dict[int, tuple[bytes, str | None, str]]]:
    write, bad = FORMATS[request.param]
    return write(tmp_path / request.param, {row: line for row, (line, _, _) in bad.items()}), bad


def listed(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "bad_rows.jsonl").read_text(encoding="utf-8").splitlines()]


def target(path: Path) -> str | None:
    return None if path.suffix == ".svm" else "level"


@pytest.mark.usefixtures("small_blocks")
def test_training_leaves_them_out_counts_them_and_lists_them(broken: Any, tmp_path: Path) -> None:
    path, bad = broken
    with pytest.raises(DataError, match="row"):
        schuss.train(path, target(path), **OPTIONS | {"on_bad_row": "stop"})
    result = schuss.train(path, target(path), out=tmp_path / "run", **OPTIONS)
    found = listed(tmp_path / "run")
    assert [(one["file"], one["row"], one["column"], one["reason"]) for one in found] == [
        (path.name, row, column, reason) for row, (_, column, reason) in bad.items()
    ]
    assert all(one["text"] for one in found)
    assert result.summary["bad_rows"] == result.summary["skipped_rows"] == len(bad)
    assert (result.summary["rows"], len(result.model.classes or ())) == (ROWS, 2)
    counts = result.record[-1]["counts"]
    assert counts == {**counts, "read": ROWS, "skipped": len(bad), "bad": len(bad)}
    assert counts["read"] == counts["trained"] + counts["held_out"] + counts["skipped"]


def test_predictions_are_one_for_each_row(broken: Any, tmp_path: Path) -> None:
    path, bad = broken
    write, _ = FORMATS[path.name]
    model = schuss.train(write(tmp_path / f"good{path.suffix}", {}), target(path), **OPTIONS).model
    whole = model.predict(tmp_path / f"good{path.suffix}").column("prediction").to_pylist()
    found: list[int] = []
    predicted = model.predict(path, proba=True, on_bad_row="skip", on_bad=lambda name, row: found.append(row.row + 1))
    # What is wrong with a label does not matter to who predicts, unless its line cannot be read for it.
    expected = [None if row in found else label for row, label in enumerate(whole, start=1)]
    assert predicted.column("prediction").to_pylist() == expected
    assert found == [*bad]
    assert predicted.column(1).null_count == len(bad)
    scores = model.evaluate(path, on_bad_row="skip")
    assert (scores["rows"], scores["skipped_rows"]) == (ROWS - len(bad), len(bad))


def test_arrow_values(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "t.parquet", {7: np.inf, 1600: -1e300})
    for source in (path, table({7: np.inf, 1600: -1e300})):
        with pytest.raises(DataError, match="row 7, column 'size': inf is not a finite number"):
            schuss.train(source, "level", **OPTIONS | {"on_bad_row": "stop"})
        result = schuss.train(source, "level", out=tmp_path / "run", force=True, **OPTIONS)
        assert [one["row"] for one in listed(tmp_path / "run")] == [7, 1600]
        assert result.summary["skipped_rows"] == 2


@pytest.mark.usefixtures("uncompiled_kernels")
def test_targets_weights_and_pairs(tmp_path: Path) -> None:
    numbers = [float(row % 7) for row in range(1000)]
    data = pa.table(
        {
            "a": [str(row % 5) if row != 20 else "five" for row in range(1000)],
            "x": [[{"index": row % 9, "value": 1.0 if row != 30 else np.nan}] for row in range(1000)],
            "v": [[1.0, float(row % 3)] for row in range(1000)],
            "w": [1.0 if row != 40 else -1.0 for row in range(1000)],
            "y": [number if row != 10 else np.inf for row, number in enumerate(numbers)],
        }
    )
    options = OPTIONS | {"weight": "w", "numeric": ("a",), "task": "auto", "max_bad_rows": 0.1}
    schuss.train(data, "y", out=tmp_path / "run", **options)
    reasons = {one["row"]: (one["column"], one["reason"]) for one in listed(tmp_path / "run")}
    assert reasons == {
        11: ("y", "'inf' is none of the 7 classes of the sample ('0', '1', '2', '3', '4', '5', '6')"),
        21: ("a", "'five' is not a number"),
        31: ("x", "the value nan of feature 3 cannot be used"),
        41: ("w", "the weight -1 is negative"),
    }


@pytest.mark.usefixtures("small_blocks")
def test_the_way_of_reading_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By lines in threads, row by row in one, with quotes, packed, and from standard input."""
    bad = {row: line for row, (line, _, _) in CSV.items()} | {2000: b"0.5,gr\xfcn"}
    ways = {
        "lines.csv": write_csv(tmp_path / "lines.csv", bad),
        "crlf.csv": write_csv(tmp_path / "crlf.csv", bad, end=b"\r\n"),
        "quotes.csv": write_csv(tmp_path / "quotes.csv", bad, quote='"'),
    }
    (tmp_path / "packed.csv.gz").write_bytes(gzip.compress(ways["lines.csv"].read_bytes()))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(ways["lines.csv"].read_bytes())))
    weights = []
    for source, threads in [*((path, 2) for path in ways.values()), (ways["lines.csv"], 1), ("-", 2)]:
        out = tmp_path / f"run{len(weights)}"
        result = schuss.train(source, "level", out=out, threads=threads, **OPTIONS)
        weights.append(result.model.weights.tobytes())
        assert [one["row"] for one in listed(out)] == sorted(bad), source
        assert listed(out)[4]["text"].replace('"', "") == "0.5,gr\ufffdn"
    assert len(set(weights)) == 1


def test_a_stream_of_several_epochs_lists_each_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schuss.training.reading.ROWS_MEMORY", 1000)
    path = write_csv(tmp_path / "t.csv", {row: line for row, (line, _, _) in CSV.items()})
    weights = []
    for cache in ("off", "auto"):
        result = schuss.train(path, "level", out=tmp_path / cache, cache=cache, **OPTIONS)
        assert [one["row"] for one in listed(tmp_path / cache)] == [*CSV]
        assert result.record[-1]["counts"]["read"] == ROWS
        weights.append(result.model.weights.tobytes())
    assert weights[0] == weights[1]


def test_a_clean_file_is_read_as_ever(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", {})
    results = [schuss.train(path, "level", **OPTIONS | {"on_bad_row": what}) for what in ("stop", "skip")]
    assert results[0].model.weights.tobytes() == results[1].model.weights.tobytes()
    assert results[1].summary["bad_rows"] == 0


def test_columns_that_are_left_out_may_hold_anything(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", {5: b"ab,red,low"})
    result = schuss.train(path, "level", ignore=("size",), **OPTIONS)
    assert result.summary["bad_rows"] == 0


@pytest.mark.parametrize("command", ["train", "predict", "evaluate"])
def test_too_many_are_an_error(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_csv(tmp_path / "t.csv", dict.fromkeys(range(100, 140), b"0.5,red"))
    good = write_csv(tmp_path / "good.csv", {})
    assert main(["train", str(good), "--target", "level", "--out", "model", "-q", "--runs", "1", "--epochs", "1"]) == 0
    capsys.readouterr()
    asked = ["train", str(path), "--target", "level", "-q"] if command == "train" else [command, "model", str(path)]
    assert main([*asked, "--on-bad-row", "skip"]) == 2
    told = capsys.readouterr().err
    assert told == (
        "schuss: 40 of 3,000 rows cannot be used, more than '--max-bad-rows 0.01' allows; "
        "the first: t.csv, row 100: expected 3 fields, found 2\n"
    )
    assert main([*asked, "--on-bad-row", "skip", "--max-bad-rows", "0.02"]) == 0
    said = capsys.readouterr()
    assert "40 rows" in said.out + said.err


def test_a_file_of_held_out_rows(tmp_path: Path) -> None:
    held_out = write_csv(tmp_path / "held.csv", {3: b"0.5,red", 9: b"inf,red,low"})
    path = write_csv(tmp_path / "t.csv", {5: b"x"})
    result = schuss.train(path, "level", holdout=str(held_out), out=tmp_path / "run", **OPTIONS)
    assert [(one["file"], one["row"]) for one in listed(tmp_path / "run")] == [
        ("held.csv", 3), ("held.csv", 9), ("t.csv", 5)
    ]  # fmt: skip
    counts = result.record[-1]["counts"]
    assert counts == {"read": 2 * ROWS, "trained": ROWS - 1, "held_out": ROWS - 2, "skipped": 3, "bad": 3}


def test_rows_without_a_target_are_skipped_but_not_bad(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", {5: b"0.5,red,", 6: b"x"})
    counts = schuss.train(path, "level", **OPTIONS).record[-1]["counts"]
    assert (counts["skipped"], counts["bad"]) == (2, 1)


def test_a_new_run_without_bad_rows_has_no_old_list(tmp_path: Path) -> None:
    schuss.train(write_csv(tmp_path / "t.csv", {5: b"x"}), "level", out=tmp_path / "run", **OPTIONS)
    assert (tmp_path / "run" / "bad_rows.jsonl").exists()
    options = OPTIONS | {"on_bad_row": "stop", "force": True}
    schuss.train(write_csv(tmp_path / "t.csv", {}), "level", out=tmp_path / "run", **options)
    assert not (tmp_path / "run" / "bad_rows.jsonl").exists()


def test_what_is_wrong_with_the_file_as_a_whole_is_never_skipped(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", {2900: b'0.5,red,"low'})
    with pytest.raises(DataError, match="a quoted field is never closed"):
        schuss.train(path, "level", **OPTIONS)


def test_options(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="option '--on-bad-row' is one of stop, skip, not 'skp'; did you mean 'skip'"):
        schuss.train(tmp_path, on_bad_row="skp")
    with pytest.raises(OptionError, match="option '--max-bad-rows' takes a share from 0 to 1, not '2'"):
        schuss.train(tmp_path, max_bad_rows=2)
    with pytest.raises(OptionError, match="on_bad_row must be one of stop, skip"):
        open_source(tmp_path, on_bad_row="skp")


def readings(path: Path) -> Iterator[dict[str, Any]]:
    for threads in (1, 2):
        pa.set_cpu_count(threads)
        batches = open_source(path, numbers=["a"], on_bad_row="skip").batches()
        yield pa.Table.from_batches([batch.table for batch in batches]).to_pydict()


def test_rows_keep_their_places_between_bad_ones_of_any_kind(tmp_path: Path) -> None:
    """Random files against what is written: a bad row is one of missing values, all others are as they were."""
    random = np.random.default_rng(0)
    before = pa.cpu_count()
    try:
        for trial in range(30):
            kinds = random.choice(["good", "short", "long", "word", "blank"], 200, p=[0.6, 0.1, 0.1, 0.1, 0.1])
            cells = {"good": "{0},{0}", "short": "{0}", "long": "{0},{0},{0}", "word": "w,{0}", "blank": ""}
            quote = '"a",{0}' if trial % 2 else "{0},{0}"
            lines = ["a,b", "0,0", *(cells[kind].format(row) for row, kind in enumerate(kinds)), quote.format(1)]
            (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
            there = [row for row, kind in enumerate(kinds) if kind != "blank"]
            expected = [0, *(row if kinds[row] == "good" else None for row in there), None if trial % 2 else 1]
            for found in readings(tmp_path / "t.csv"):
                assert found["b"] == expected
    finally:
        pa.set_cpu_count(before)
