"""What is settled before the race: held-out rows of another file, classes that come late, how many rows there are."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.datasets import dump_svmlight_file

from schuss.data.open import open_source
from schuss.errors import DataError, OptionError
from schuss.race.record import Recorder, read_record
from schuss.training import preparation, reading
from schuss.training.settings import Settings
from schuss.training.training import train


def frame(rows: int, seed: int = 0) -> pd.DataFrame:
    """Rows whose label is the sign of `a`, for the most part."""
    rng = np.random.default_rng(seed)
    a, noise = rng.normal(size=(2, rows))
    label = np.where(a + 0.3 * noise > 0, "yes", "no")
    return pd.DataFrame({"a": a, "shop": rng.choice(["x", "y"], rows), "w": rng.random(rows) + 0.5, "label": label})


def with_file(tmp_path: Path, held_out: pd.DataFrame, suffix: str = ".csv", **options: Any) -> Any:
    """Train on 500 rows and judge by those of a file."""
    file = tmp_path / f"valid{suffix}"
    if suffix == ".csv":
        held_out.to_csv(file, index=False)
    else:
        held_out.to_parquet(file)
    return train(frame(500), target="label", holdout=str(file), **({"epochs": 2, "runs": 4} | options))


def counted(result: Any) -> dict[str, int]:
    data = next(event for event in result.record if event["event"] == "data")
    return {name: data[name] for name in ("read_rows", "training_rows", "select_rows", "score_rows", "skipped_rows")}


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("memory", [1 << 30, 1], ids=["memory", "stream"])
def test_held_out_rows_of_a_file(tmp_path: Path, suffix: str, memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schuss.training.reading.ARRAYS_MEMORY", memory)
    held_out = frame(101, seed=1)
    held_out.loc[3, "label"] = None
    held_out = held_out[["label", "shop", "a", "w"]].assign(more=1)
    result = with_file(tmp_path, held_out, suffix)
    assert counted(result) == {
        "read_rows": 601, "training_rows": 500, "select_rows": 50, "score_rows": 50, "skipped_rows": 1
    }  # fmt: skip
    holdout = result.summary["holdout"]
    assert result.record[-1]["rows"] == 1000, "all rows of the data are trained on"
    scored = held_out.dropna().iloc[1::2]
    evaluated = result.model.evaluate(scored)
    assert (holdout["rows"], holdout["accuracy"]) == (50, evaluated["accuracy"])
    assert holdout["loss"] == pytest.approx(evaluated["loss"])


def test_at_most_so_many_rows_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schuss.data.reader.AT_MOST", 60)
    counts = counted(with_file(tmp_path, frame(101)))
    assert (counts["select_rows"], counts["score_rows"], counts["read_rows"]) == (30, 30, 560)


def test_weights_of_held_out_rows(tmp_path: Path) -> None:
    plain, weighted = (with_file(tmp_path, frame(200, seed=1), weight=weight) for weight in (None, "w"))
    assert counted(plain) == counted(weighted)
    with pytest.raises(DataError, match=r"^valid.csv lacks the column 'w'$"):
        with_file(tmp_path, frame(200, seed=1).drop(columns="w"), weight="w")


def test_held_out_svmlight_rows_count_from_where_the_data_do(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4))
    y = (X[:, 0] > 0).astype(int)
    dump_svmlight_file(X, y, str(tmp_path / "train.svm"), zero_based=False)
    dump_svmlight_file(X[:, :3], y, str(tmp_path / "valid.svm"), zero_based=False)
    result = train(tmp_path / "train.svm", holdout=str(tmp_path / "valid.svm"), epochs=5, runs=4)
    assert result.summary["holdout"]["accuracy"] > 0.9


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda rows: rows.drop(columns="a"), r"^valid.csv lacks the column 'a'$"),
        (lambda rows: rows.drop(columns=["a", "label"]), r"^valid.csv lacks the columns 'a', 'label'$"),
        (lambda rows: rows.assign(label="perhaps"), r"^valid.csv, row 1, column 'label': 'perhaps' is none of"),
        (lambda rows: rows.assign(a="word"), r"valid.csv.*row 1.*column 'a': 'word' is not a number"),
        (lambda rows: rows.head(1), r"^valid.csv has fewer than two rows with a target to judge by$"),
        (lambda rows: rows.assign(label=None), r"^valid.csv has fewer than two rows with a target to judge by$"),
    ],
    ids=["no feature", "nothing of use", "other labels", "words", "one row", "no targets"],
)
def test_files_that_cannot_judge(tmp_path: Path, change: Any, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        with_file(tmp_path, change(frame(50)))


@pytest.mark.parametrize("text", ["0,1", "10%", "first:0.1", "nowhere.csv"])
def test_what_is_neither_share_nor_file(text: str) -> None:
    with pytest.raises(OptionError, match="option '--holdout' takes a share") as caught:
        train(frame(50), target="label", holdout=text)
    assert text in str(caught.value)


def late(rows: int = 4000) -> pd.DataFrame:
    """Rows with a class that one of the last has alone."""
    rare = frame(rows)
    rare.loc[rows - 7, "label"] = "rare"
    rare.loc[rows - 6, "label"] = None
    return rare


@pytest.mark.parametrize("form", ["csv", "parquet", "two files", "table", "arrays"])
def test_classes_that_come_after_the_sample(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "SAMPLE_ROWS", 500)
    rows = late()
    rows.to_csv(tmp_path / "t.csv", index=False)
    rows.to_parquet(tmp_path / "t.parquet", row_group_size=1000)
    frame(1000, seed=2).to_csv(tmp_path / "s.csv", index=False)
    arrays = (rows[["a", "w"]].to_numpy(), rows["label"].fillna("no").to_numpy(object))
    places: dict[str, Any] = {
        "csv": tmp_path / "t.csv", "parquet": tmp_path / "t.parquet", "table": pa.table(rows), "arrays": arrays,
        "two files": [tmp_path / "s.csv", tmp_path / "t.csv"],
    }  # fmt: skip
    result = train(places[form], target=None if form == "arrays" else "label", epochs=1, runs=2)
    assert result.model.classes == ["no", "rare", "yes"]


@pytest.mark.parametrize("memory", [1 << 20, 1 << 10])
def test_a_late_class_ends_in_the_model_of_classes_that_were_known(
    tmp_path: Path, memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "SAMPLE_ROWS", 500)
    monkeypatch.setattr(reading, "ROWS_MEMORY", memory)  # the class comes up before the race, or during it
    late().to_csv(tmp_path / "t.csv", index=False)
    models = []
    for may_wait in (preparation._may_wait, lambda *_: False):
        monkeypatch.setattr(preparation, "_may_wait", may_wait)
        run = tmp_path / f"run-{len(models)}"
        result = train(tmp_path / "t.csv", target="label", epochs=2, runs=2, out=run)
        models.append((run / "model.safetensors").read_bytes())
        assert [event["event"] for event in read_record(run / "record.jsonl")].count("start") == 1
        said = [sentence for sentence in result.record[0]["notices"] if "begins anew" in sentence]
        assert len(said) == (len(models) == 1)
        assert all("row 3,994, column 'label': 'rare' is none of the 2 classes" in one for one in said)
    assert models[0] == models[1]


@pytest.mark.parametrize("rows", [400, 4000])
@pytest.mark.parametrize(
    ("target", "begun", "wanted"),
    [("label", True, True), ("yes", True, True), ("price", False, False), ("count", True, False)],
)
def test_labels_are_read_beside_the_sample_where_they_look_like_classes(
    tmp_path: Path, target: str, begun: bool, wanted: bool, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not wanted after all is given up: here it would be waited for in vain."""
    monkeypatch.setattr(preparation, "SAMPLE_ROWS", 500)
    table = late(rows).drop(columns="w").assign(yes=np.arange(rows) % 2 == 0, price=np.arange(rows) / 7)
    table.assign(count=np.arange(rows)).to_parquet(tmp_path / "t.parquet", row_group_size=1000)
    happened = list[str]()

    def labels(source: Any, target: str, over: threading.Event) -> Any:
        happened.append("labels begun")
        if not wanted:
            assert over.wait(60)
            happened.append("labels given up")
        return original(source, target, over)

    def sample(*arguments: Any) -> Any:
        happened.append("sample")
        return sampled(*arguments)

    original, sampled = preparation._labels, preparation._sample
    monkeypatch.setattr(preparation, "_labels", labels)
    monkeypatch.setattr(preparation, "_sample", sample)
    encoder = preparation.prepare(tmp_path / "t.parquet", Settings(target)).encoder
    known = {"label": ["no", "rare", "yes"], "yes": [False, True]}
    assert encoder.classes == known.get(target)
    if begun and rows > 500:
        assert sorted(happened) == sorted(["labels begun", "sample"] + ["labels given up"] * (not wanted))
    else:
        assert happened == ["sample"]


def test_labels_are_given_up_where_the_sample_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "SAMPLE_ROWS", 500)
    late().to_parquet(tmp_path / "t.parquet", row_group_size=1000)

    def labels(source: Any, target: str, over: threading.Event) -> None:
        assert over.wait(60)

    monkeypatch.setattr(preparation, "_labels", labels)
    with pytest.raises(DataError, match="has no column 'wages'"):
        preparation.prepare(tmp_path / "t.parquet", Settings("label", numeric=["wages"]))


def test_a_stream_cannot_know_classes_that_come_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "SAMPLE_ROWS", 500)
    with pytest.raises(DataError, match="'rare' is none of the 2 classes of the sample"):
        train(pa.table(late()).to_reader(max_chunksize=300), target="label", epochs=1, runs=2)


def test_rows_are_estimated_where_files_are_longer_than_their_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "SAMPLE_ROWS", 500)
    for name, rows in (("a", 4000), ("b", 10)):
        frame(rows).to_csv(tmp_path / f"{name}.csv", index=False)
    source = open_source([tmp_path / "a.csv", tmp_path / "b.csv"])
    sample = preparation._sample(source, scan=False)
    assert len(sample) < 500
    assert 2000 < preparation._rows(source, sample) < 8000


def write_rows(table: pd.DataFrame, path: Path) -> Path:
    """Write rows in the format of the file's name."""
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    elif path.suffix == ".jsonl":
        table.to_json(path, orient="records", lines=True)
    else:
        dump_svmlight_file(table[["a", "w"]].to_numpy(), (table.label == "yes").astype(int), str(path))
    return path


@pytest.mark.parametrize("memory", [1 << 30, 1 << 14], ids=["memory", "stream"])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".svm"])
def test_file_that_is_sorted_by_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, memory: int
) -> None:
    """The first rows, from which roles and statistics come elsewhere, have all the same class."""
    monkeypatch.setattr(preparation, "SAMPLE_ROWS", 500)
    monkeypatch.setattr(reading, "ROWS_MEMORY", memory)
    place = write_rows(frame(4000).sort_values("label"), tmp_path / f"t{suffix}")
    result = train(str(place), None if suffix == ".svm" else "label", epochs=4)
    said = " ".join(result.record[0]["notices"])
    first = 0 if suffix == ".svm" else "no"
    assert f"the first 500 rows have the same target, '{first}': roles and statistics come from as many rows" in said
    assert result.summary["holdout"]["accuracy"] > 0.85
    assert next(event for event in result.record if event["event"] == "data")["constant_loss"] < 0.71
    assert result.record[-1]["rows"] == 4 * counted(result)["training_rows"]


def test_numbers_that_begin_with_zeros_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "SAMPLE_ROWS", 500)
    a = np.linspace(0, 4, 4000)
    place = tmp_path / "t.csv"
    pd.DataFrame({"a": a, "y": np.maximum(a - 1, 0)}).to_csv(place, index=False)
    model = train(str(place), "y", epochs=4).model
    assert model.encoder.target_mean == pytest.approx(np.maximum(a - 1, 0).mean(), rel=0.01)


def test_rows_at_even_distances(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "SAMPLE_ROWS", 100)
    for rows in (60, 100, 101, 199, 200, 201, 1_000, 12_345):
        source = open_source(pa.table({"i": np.arange(rows)}))
        found = preparation._even_sample(source).column("i").to_numpy()
        assert len(found) == min(rows, 100)
        assert found[0] == 0
        assert np.diff(found).min(initial=1) >= 1
        assert np.diff(found).max(initial=1) <= 2 * np.ceil(rows / 100)
        assert found[-1] >= rows - 2 * np.ceil(rows / 100)


@pytest.mark.parametrize("begin", ["no", ""])
def test_stream_that_begins_with_one_class(begin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that have gone by cannot be sampled: the sentence says what can be done."""
    monkeypatch.setattr(preparation, "SAMPLE_ROWS", 500)
    rows = frame(1500)
    rows.loc[:600, "label"] = begin or None
    reader = pa.Table.from_pandas(rows).to_reader(max_chunksize=100)
    what = "the same target, 'no'" if begin else "no target"
    with pytest.raises(DataError, match=rf"the first 500 rows have {what}: write the rows to a file, so that later"):
        train(reader, "label")


@pytest.mark.parametrize(
    ("classes", "options", "length"), [(2, {}, 512), (16, {}, 512), (17, {}, 8192), (2, {"network": (4,)}, 8192)]
)
def test_long_chunks_are_of_rows_that_are_quickly_learned_from(
    classes: int, options: dict[str, Any], length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("schuss.data.chunk.CHUNK_ROWS", 64)
    X = np.random.default_rng(0).normal(size=(10_000, 3))
    prepared = preparation.prepare((X, np.arange(10_000) % classes), Settings(task="classification", **options))
    with reading.rows_of(prepared, Recorder(), lambda: False) as feed:
        assert len(next(feed.chunks(0)).targets) == length


@pytest.mark.parametrize(
    "y",
    [1e300 * np.arange(1, 101.0), 1e-300 * np.arange(1, 101.0), np.arange(100, dtype=np.uint64) + 2**63],
    ids=["too large", "too small", "too close together"],
)
def test_targets_that_float64_cannot_tell_apart_or_square(y: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"column 'y': its numbers, of mean .* give them in another unit"):
        preparation.prepare((np.arange(100.0)[:, None], y), Settings(task="regression"))
