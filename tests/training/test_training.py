"""`schuss.train` end to end: quality beside scikit-learn, the summary, every option, determinism, refusals."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, Ridge
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import schuss
from schuss.data import shuffle
from schuss.data.cache import RowCache
from schuss.errors import DataError, OptionError, OutputError, TrainingError
from schuss.kernels import store
from schuss.race.record import read_record
from schuss.training.training import Result, train

BINARY = load_breast_cancer(return_X_y=True)
SETS = {"breast_cancer": load_breast_cancer, "iris": load_iris, "wine": load_wine}


def quick(source: Any = BINARY, **options: Any) -> Result:
    """A short training."""
    return train(source, **({"epochs": 3, "runs": 4} | options))


def events(result: Result, kind: str) -> list[dict[str, Any]]:
    return [event for event in result.record if event["event"] == kind]


def runs(result: Result) -> list[dict[str, Any]]:
    return events(result, "runs")[0]["runs"]


def digest(result: Result) -> str:
    return hashlib.sha256(result.model.weights.tobytes()).hexdigest()


@pytest.mark.parametrize("name", SETS)
def test_classification_is_as_good_as_scikit_learns(name: str) -> None:
    X, y = SETS[name](return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.4, random_state=0, stratify=y)
    theirs = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(X, y)
    ours = train((X, y)).model.evaluate((X_test, y_test))
    assert ours["accuracy"] >= theirs.score(X_test, y_test) - 0.04


def test_regression_is_as_good_as_scikit_learns() -> None:
    X, y = load_diabetes(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.4, random_state=0)
    theirs = make_pipeline(StandardScaler(), Ridge(1.0)).fit(X, y)
    result = train((X, y))
    ours = result.model.evaluate((X_test, y_test))
    assert ours["r2"] >= theirs.score(X_test, y_test) - 0.03
    assert ours["loss"] == pytest.approx(((result.model.predict(X_test)["prediction"].to_numpy() - y_test) ** 2).mean())


@pytest.mark.parametrize("task", ["two classes", "three classes", "numbers"])
def test_summary_has_the_keys_of_the_contract(task: str, tmp_path: Path) -> None:
    data = {
        "two classes": BINARY,
        "three classes": load_iris(return_X_y=True),
        "numbers": load_diabetes(return_X_y=True),
    }
    result = quick(data[task], out=tmp_path / "run")
    summary = result.summary
    assert {
        "task", "target", "rows", "features", "classes", "runs", "chosen", "holdout", "seconds", "rows_per_second",
        "peak_memory_bytes", "model", "report",
    } <= summary.keys()  # fmt: skip
    assert {"optimizer", "learning_rate", "schedule", "l2", "batch_size", "epochs"} <= summary["chosen"].keys()
    score = "r2" if task == "numbers" else "accuracy"
    assert {"rows", "loss", score} <= summary["holdout"].keys()
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    X, _ = data[task]
    assert (summary["rows"], summary["features"], summary["runs"]) == (*X.shape, 4)
    assert summary["classes"] == {"two classes": [0, 1], "three classes": [0, 1, 2], "numbers": None}[task]
    assert summary["chosen"]["epochs"] == 3
    assert Path(summary["model"]) == tmp_path / "run" / "model.safetensors"
    assert Path(summary["report"]).exists()
    assert read_record(tmp_path / "run" / "record.jsonl") == result.record
    loaded = schuss.Model.load(tmp_path / "run")
    np.testing.assert_array_equal(loaded.weights, result.model.weights)


def test_record_tells_the_story_in_order() -> None:
    heard: list[dict[str, Any]] = []
    result = quick(progress=heard.append, runs=8)
    kinds = [event["event"] for event in result.record]
    assert kinds[:4] == ["start", "data", "runs", "leg"]
    assert kinds[-1] == "finish"
    assert kinds.count("finish") == kinds.count("start") == 1
    assert kinds[-5:-1] == ["surface", "curvature", "touched", "advice"]
    assert set(kinds[4:-5]) <= {"evaluation", "drop", "leg", "replan"}
    assert [event for event in heard if event["event"] != "progress"] == result.record
    data = events(result, "data")[0]
    assert data["training_rows"] + data["select_rows"] + data["score_rows"] + data["skipped_rows"] == 569
    finish = result.record[-1]
    assert finish["rows"] == 3 * data["training_rows"]
    assert np.array(finish["confusion"]).sum() == finish["holdout"]["rows"] == data["score_rows"]
    assert finish["winner"] in [run["run"] for run in runs(result)]
    winner = next(run for run in runs(result) if run["run"] == finish["winner"])
    assert {name: finish["chosen"][name] for name in ("learning_rate", "l2", "optimizer")} == {
        name: winner[name] for name in ("learning_rate", "l2", "optimizer")
    }
    last = events(result, "evaluation")[-1]["holdout_loss"]
    assert min(last, key=last.get) == str(finish["winner"])  # pyright: ignore
    assert finish["holdout"]["select_loss"] == last[str(finish["winner"])]


def test_losses_of_the_record_are_in_the_units_of_the_data() -> None:
    X, y = load_diabetes(return_X_y=True)
    heard: list[dict[str, Any]] = []
    result = quick((X, 1000 * y), runs=8, epochs=20, progress=heard.append)
    holdout, data = result.summary["holdout"], events(result, "data")[0]
    variance = float(np.var(1000 * y))
    assert data["constant_loss"] == pytest.approx(variance, rel=0.4)
    assert holdout["constant_loss"] == pytest.approx(variance, rel=0.4)
    losses = [loss for event in events(result, "evaluation") for loss in event["holdout_loss"].values()]
    trained = [loss for event in events(result, "evaluation") for loss in event["train_loss"].values()]
    dropped = [event["holdout_loss"] for event in events(result, "drop")]
    told = [event["best_loss"] for event in heard if event["event"] == "progress" and event["best_loss"] is not None]
    for loss in filter(None, [*losses, *trained, *dropped, *told, holdout["select_loss"], holdout["loss"]]):
        assert 0.1 * variance < loss < 1e3 * variance


def test_the_reported_loss_is_that_of_rows_nobody_chose_by() -> None:
    result = quick()
    evaluated = result.model.evaluate(BINARY)
    assert evaluated["rows"] == 569
    assert 0 < result.summary["holdout"]["loss"] < result.summary["holdout"]["constant_loss"]


def test_same_seed_same_bits() -> None:
    assert digest(quick(seed=5)) == digest(quick(seed=5)) != digest(quick(seed=6))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_the_bits_do_not_depend_on_threads(sparse: bool, optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schuss.data.chunk.CHUNK_ROWS", 128)  # so that there are long chunks
    rng = np.random.default_rng(0)
    X = rng.normal(size=(9_000, 5)).astype(np.float32)
    y = (X.sum(axis=1) + rng.normal(size=9_000) > 0).astype(int)
    data = (scipy.sparse.csr_array(X) if sparse else X, y)
    found = [quick(data, runs=40, optimizer=optimizer, epochs=2, threads=threads) for threads in (1, 2, 3)]
    assert len({digest(result) for result in found}) == 1
    losses = [[event["holdout_loss"] for event in events(result, "evaluation")] for result in found]
    assert losses[0] == losses[1] == losses[2]
    assert len(losses[0][0]) > 32, "three blocks"


def test_same_bits_in_another_process() -> None:
    script = (
        "import hashlib, schuss; from sklearn.datasets import load_breast_cancer as load\n"
        "r = schuss.train(load(return_X_y=True), epochs=3, runs=4, seed=5, threads=2)\n"
        "print(hashlib.sha256(r.model.weights.tobytes()).hexdigest())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONHASHSEED": "77", "OPENBLAS_NUM_THREADS": "2"},
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.stdout.strip() == digest(quick(seed=5)), done.stderr


def test_streaming_gives_the_same_bits_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(20_000, 4)), columns=list("abcd"))
    frame["y"] = np.where(frame.a + 0.3 * rng.normal(size=20_000) > 0, "yes", "no")
    frame.to_parquet(tmp_path / "t.parquet", row_group_size=1500)
    monkeypatch.setattr("schuss.training.reading.ROWS_MEMORY", 1)
    monkeypatch.setattr(shuffle, "BUFFER_ROWS", 3000)
    results = [quick(tmp_path / "t.parquet", target="y", epochs=2, runs=8) for _ in range(2)]
    assert digest(results[0]) == digest(results[1])
    first, second = (events(result, "evaluation") for result in results)
    assert [event["holdout_loss"] for event in first] == [event["holdout_loss"] for event in second]
    data = events(results[0], "data")[0]
    assert data["constant_loss"] == pytest.approx(np.log(2), abs=0.01)
    assert results[0].summary["holdout"]["accuracy"] > 0.88
    assert results[0].summary["rows"] == 20_000
    assert results[0].record[-1]["rows"] == results[0].summary["chosen"]["epochs"] * 18_000 or (
        abs(results[0].record[-1]["rows"] - 36_000) < 500
    )


@pytest.fixture
def streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file whose rows do not fit into memory, as it were."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(rng.normal(size=(9_000, 3)), columns=list("abc"))
    frame["y"] = np.where(frame.a + 0.3 * rng.normal(size=9_000) > 0, "yes", "no")
    frame.to_parquet(tmp_path / "t.parquet", row_group_size=1000)
    monkeypatch.setattr("schuss.training.reading.ROWS_MEMORY", 1)
    monkeypatch.setattr(shuffle, "BUFFER_ROWS", 2000)
    return tmp_path / "t.parquet"


def test_a_cache_changes_no_bit_and_leaves_nothing_behind(streamed: Path) -> None:
    elsewhere = streamed.parent / "elsewhere"
    elsewhere.mkdir()
    digests = set()
    for cache in ("auto", "off", elsewhere):
        out = streamed.parent / f"run-{Path(cache).name}"
        result = train(streamed, target="y", runs=4, cache=cache, out=out)
        digests.add(digest(result))
        assert result.summary["chosen"]["finish"] == "full-batch", "full passes over what is not in memory"
        assert sorted(path.name for path in out.iterdir()) == ["model.safetensors", "record.jsonl", "report.html"]
        assert events(result, "notice") == []
    assert len(digests) == 1
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "scored", "kept"),
    [
        ({"holdout": 0.2}, ("training", "select"), ("training", "select", "score")),
        ({"holdout": "none"}, ("training",), ("training",)),
        ({"holdout": 0.2, "epochs": 3}, ("training",), ("training",)),
        ({"holdout": 0.2, "loss": "hinge"}, ("training",), ("training",)),
    ],
)
def test_the_rows_are_counted_that_the_scored_model_and_the_kept_one_have_learned_from(
    options: dict[str, Any], scored: tuple[str, ...], kept: tuple[str, ...]
) -> None:
    result = train(BINARY, runs=8, **options)
    went = events(result, "data")[0]
    expected = [sum(went[f"{part}_rows"] for part in parts) for parts in (scored, kept)]
    assert [result.record[-1]["learned"][model] for model in ("scored", "kept")] == expected


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError])
def test_a_cache_is_gone_whatever_ends_the_training(
    streamed: Path, failure: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    caches: list[RowCache] = []

    class Watched(RowCache):
        def __init__(self, folder: Path) -> None:
            super().__init__(folder)
            caches.append(self)

    def fail(event: dict[str, Any]) -> None:
        if event["event"] == "evaluation":
            assert [cache.rows > 0 for cache in caches] == [True]
            raise failure

    monkeypatch.setattr("schuss.training.reading.RowCache", Watched)
    with pytest.raises(failure):
        train(streamed, target="y", runs=2, progress=fail)
    with pytest.raises(IndexError):
        list(caches[0].read(0, 1))


def test_a_disk_without_room_is_told(streamed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schuss.data.cache.MARGIN", 1 << 60)
    result = train(streamed, target="y", runs=2, epochs=2)
    assert next(event["message"] for event in events(result, "notice")).startswith("the data are read anew in every")
    assert events(train(streamed, target="y", runs=2, epochs=1), "notice") == [], "one epoch needs no cache"


def test_a_cache_is_a_folder(streamed: Path) -> None:
    with pytest.raises(OptionError, match="'--cache' takes auto, off or a folder that exists, not 'nowhere'"):
        train(streamed, target="y", cache="nowhere")


@pytest.mark.parametrize(
    ("options", "name", "value"),
    [
        ({"learning_rate": 0.05}, "learning_rate", 0.05), ({"l2": 0.02}, "l2", 0.02), ({"l2": 0}, "l2", 0),
        ({"schedule": "inverse_time"}, "schedule", "inverse_time"), ({"batch_size": 7}, "batch_size", 7),
        ({"optimizer": "sgd"}, "optimizer", "sgd"), ({"optimizer": "auto"}, "optimizer", "adam"),
    ],
)  # fmt: skip
def test_what_is_fixed_is_the_same_in_every_run(options: dict[str, Any], name: str, value: Any) -> None:
    result = quick(**options)
    assert {run[name] for run in runs(result)} == {value}
    assert result.summary["chosen"][name] == value


@pytest.mark.parametrize(
    "options",
    [
        {"learning_rate": 0.5}, {"l2": 1.0}, {"schedule": "constant"}, {"batch_size": 1}, {"optimizer": "sgd"},
        {"loss": "hinge"}, {"class_weight": "balanced"}, {"holdout": "last:0.2"}, {"holdout": "none"},
        {"order": "keep"}, {"order": "replace"}, {"epochs": 1}, {"runs": 1}, {"seed": 1},
    ],
    ids=str,
)  # fmt: skip
def test_each_option_has_an_effect(options: dict[str, Any]) -> None:
    assert digest(quick(**options)) != digest(quick())


def test_order_once_differs_from_shuffle_in_the_second_epoch() -> None:
    assert digest(quick(order="once", epochs=1)) == digest(quick(epochs=1))
    assert digest(quick(order="once", epochs=2)) != digest(quick(epochs=2))


@pytest.mark.usefixtures("uncompiled_kernels")
def test_several_optimizers_race() -> None:
    result = quick(optimizer="sgd,adam,adagrad,momentum", runs=8)
    assert [run["optimizer"] for run in runs(result)] == [
        n for n in ("sgd", "adam", "adagrad", "momentum") for _ in "ab"
    ]
    assert [run["run"] for run in runs(result)] == list(range(8))


@pytest.mark.parametrize("names", ["adam,adam", "auto,adam", ["adam", "auto"]])
def test_an_optimizer_named_twice_races_once(names: Any) -> None:
    result = quick(optimizer=names)
    assert [run["run"] for run in runs(result)] == [0, 1, 2, 3]
    assert {run["optimizer"] for run in runs(result)} == {"adam"}


def test_one_run() -> None:
    result = quick(runs=1)
    assert len(runs(result)) == result.summary["runs"] == 1
    assert result.summary["holdout"]["accuracy"] > 0.9


@pytest.mark.parametrize("name", ["breast_cancer", "iris"])
def test_hinge(name: str) -> None:
    X, y = SETS[name](return_X_y=True)
    result = quick((X, y), loss="hinge", runs=8, epochs=30)
    assert result.model.evaluate((X, y))["accuracy"] > 0.93
    with pytest.raises(OptionError, match="log_loss"):
        result.model.predict(X, proba=True)


def test_few_rows_end_where_cross_validated_logistic_regression_does() -> None:
    X, y = BINARY
    losses = []
    for seed in range(3):
        learn, test = np.split(np.random.default_rng(seed).permutation(len(y)), [len(y) * 6 // 10])
        ours = train((X[learn], y[learn]), seed=seed).model.evaluate((X[test], y[test]))["loss"]
        theirs = make_pipeline(
            StandardScaler(),
            LogisticRegressionCV(l1_ratios=(0,), max_iter=1000, scoring="neg_log_loss", use_legacy_attributes=False),
        )
        theirs.fit(X[learn], y[learn])
        losses.append((ours, log_loss(y[test], theirs.predict_proba(X[test])[:, 1])))
    ours, theirs = np.mean(losses, axis=0)
    assert ours < 1.05 * theirs


def imbalanced() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 3))
    return X, ((X[:, 0] + 2 * rng.normal(size=4000)) > 3.5).astype(int)


def test_balanced_class_weights_find_the_rare_class() -> None:
    X, y = imbalanced()
    assert y.mean() < 0.1
    theirs = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced")).fit(X, y).predict(X).mean()
    plain, balanced = (
        train((X, y), epochs=10, runs=8, class_weight=choice).model.predict(X)["prediction"].to_numpy().mean()
        for choice in (None, "balanced")
    )
    assert plain < 0.02
    assert balanced == pytest.approx(theirs, abs=0.06)


def test_the_unit_of_weights_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(400, 3))
    y = X @ [1.0, 2.0, 3.0] + rng.normal(size=400)
    weights = rng.integers(1, 5, 400).astype(float)
    one, thousandfold = (train((X, y, scale * weights), epochs=2, runs=4).model.weights for scale in (1.0, 1024.0))
    np.testing.assert_array_equal(one, thousandfold)


def test_weights_change_the_fit_as_in_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 2))
    side = rng.random(3000) < 0.5
    y = X @ [1.0, 0.0] * np.where(side, 1, -1) + 0.1 * rng.normal(size=3000)
    weights = np.where(side, 3.0, 1.0)
    theirs = Ridge(1e-6).fit(X, y, sample_weight=weights)
    result = train((X, y, weights), runs=8)
    slopes = [entry["in_data_units"] for entry in sorted(result.model.explain(), key=lambda entry: entry["feature"])]
    np.testing.assert_allclose(sorted(slopes)[-1], theirs.coef_[0], atol=0.06)
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "y": y, "w": weights})
    named = train(frame, target="y", weight="w", runs=8)
    assert {column["name"]: column["role"] for column in named.record[0]["columns"]}["w"] == "weight"
    assert max(entry["in_data_units"] for entry in named.model.explain()) == pytest.approx(theirs.coef_[0], abs=0.06)


def test_sparse_rows_take_one_row_at_a_time_with_adagrad() -> None:
    X = scipy.sparse.random_array((2000, 400), density=0.02, rng=np.random.default_rng(0), format="csr")
    y = (X @ np.random.default_rng(1).normal(size=400) > 0).astype(int)
    result = quick((X, y), epochs=10)
    assert result.record[0]["sparse"] is True
    assert (result.summary["chosen"]["optimizer"], result.summary["chosen"]["batch_size"]) == ("adagrad", 1)
    assert result.summary["holdout"]["accuracy"] > 0.8


def test_without_held_out_rows() -> None:
    result = quick(holdout="none")
    assert result.summary["holdout"] is None
    assert events(result, "data")[0]["select_rows"] == 0
    assert result.model.evaluate(BINARY)["accuracy"] > 0.9


def test_a_group_is_on_one_side() -> None:
    frame = load_iris(as_frame=True).frame.assign(plant=[f"p{i // 3}" for i in range(150)])
    result = quick(frame, target="target", holdout="group:plant")
    roles = {column["name"]: column["role"] for column in result.record[0]["columns"]}
    assert roles["plant"] == "group"


def test_a_finished_run_is_not_written_over(tmp_path: Path) -> None:
    quick(out=tmp_path / "run")
    kept = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(OutputError, match="holds a finished run; --force"):
        quick(out=tmp_path / "run", seed=9)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == kept
    quick(out=tmp_path / "run", seed=9, force=True)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() != kept["model.safetensors"]


def test_a_wrong_option_writes_nothing_over(tmp_path: Path) -> None:
    quick(out=tmp_path / "run")
    kept = (tmp_path / "run" / "record.jsonl").read_bytes()
    for options in (
        {"loss": "squared_error", "task": "classification"},
        {"holdout": "group:nothing"},
        {"weight": "nothing"},
    ):
        with pytest.raises((OptionError, DataError)):
            quick(out=tmp_path / "run", force=True, **options)
        assert (tmp_path / "run" / "record.jsonl").read_bytes() == kept


@pytest.mark.parametrize(
    ("optimizer", "features", "slow"),
    [("auto", 20_000, []), ("adam", 19_000, []), ("sgd,adam,lion", 20_000, ["adam", "lion"])],
)
def test_optimizers_that_step_every_weight_of_wide_sparse_rows_are_told_of(
    optimizer: str, features: int, slow: list[str]
) -> None:
    X = scipy.sparse.random_array((100, features), density=0.002, rng=np.random.default_rng(0), format="csr")
    result = quick((X, np.arange(100) % 2), runs=4, epochs=1, optimizer=optimizer)
    told = [notice for notice in result.record[0]["notices"] if "steps the weights of all" in notice]
    assert [notice.split()[0] for notice in told] == slow
    assert all(f"all {features:,} features" in notice for notice in told)


def test_little_memory_means_fewer_runs_and_says_so() -> None:
    X = scipy.sparse.random_array((300, 20_000), density=0.002, rng=np.random.default_rng(0), format="csr")
    y = np.arange(300) % 2
    result = quick((X, y), runs=16, memory=2_000_000, epochs=1)
    assert len(runs(result)) == 8
    assert any("only 8 runs race" in notice for notice in result.record[0]["notices"])
    with pytest.raises(OptionError, match="more than --memory allows"):
        quick((X, y), runs=16, memory=100_000, epochs=1)


def test_every_run_diverging() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TrainingError, match="every run diverged"):
            quick(load_diabetes(return_X_y=True), optimizer="sgd", learning_rate=1e9)


def test_diverging_runs_leave_no_nan_in_the_model() -> None:
    result = quick(load_diabetes(return_X_y=True), optimizer="sgd", runs=16, epochs=20)
    assert any(drop["reason"] == "diverged" for drop in events(result, "drop"))
    assert np.isfinite(result.model.weights).all()
    assert all(np.isfinite(array).all() for array in result.model.state.values())


def test_a_time_limit_is_kept() -> None:
    quick()  # compiled by now
    result = train(BINARY, epochs=100_000, time_limit="1s")
    assert result.summary["seconds"] < 30  # so many epochs take minutes
    assert result.record[-1]["outcome"] in ("time limit", "epochs done")
    assert result.summary["holdout"]["accuracy"] > 0.9


def test_mini_batches_larger_than_the_data() -> None:
    assert digest(quick(batch_size=8192)) == digest(quick(batch_size=600))
    with pytest.raises(OptionError, match="at most 8,192 rows"):
        quick(batch_size=8193)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rate": 0.1}, r"no option 'rate'.*learning_rate"),
        ({"loss": "squared_error", "task": "classification"}, "squared_error' is for regression"),
        ({"class_weight": "balanced", "task": "regression"}, "classification"), ({"holdout": "2"}, "between 0 and 1"),
        ({"loss": "log"}, "log_loss, hinge"),
        ({"weight": "nothing"}, "nothing"), ({"holdout": "group:nothing"}, "nothing"),
        ({"numeric": ["nothing"]}, "nothing"),
    ],
)  # fmt: skip
def test_refusals(options: dict[str, Any], words: str) -> None:
    with pytest.raises((OptionError, DataError), match=words):
        quick(**options)


def test_rows_without_a_target_are_counted() -> None:
    frame = pd.DataFrame(
        {"a": np.arange(400.0) % 17, "y": [None if i % 4 == 0 else ["no", "yes"][i % 17 > 8] for i in range(400)]}
    )
    result = quick(frame, target="y")
    assert result.summary["skipped_rows"] == 100
    assert result.summary["rows"] == 400


def kernels_but_of_columns() -> set[Any]:
    """Give the kernels that are ready, but for those that read columns, of which each type has its own."""
    return {key for key in store._ready if key[0] != "encode:numbers"}


def test_kernels_are_compiled_for_one_kind_of_array_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = BINARY
    monkeypatch.setattr(store, "_ready", {})
    quick()
    known = kernels_but_of_columns()
    assert {name for name, *_ in known} > {"dense:advance_dense", "dense:losses_dense", "rows:shuffle"}
    frozen = X.astype(np.float32)
    frozen.flags.writeable = False
    table = pd.DataFrame(X, columns=[f"c{i}" for i in range(X.shape[1])]).assign(y=y)
    table.to_parquet(tmp_path / "t.parquet")
    table.to_csv(tmp_path / "t.csv", index=False)
    for source, options in (
        ((frozen, y), {}), ((np.asfortranarray(X), y.astype(np.int8)), {}), (table, {"target": "y"}),
        (tmp_path / "t.parquet", {"target": "y"}), (tmp_path / "t.csv", {"target": "y"}),
    ):  # fmt: skip
        for more in ({}, {"order": "keep", "holdout": "none"}):
            quick(source, **options, **more)
    assert kernels_but_of_columns() == known
    assert len(store._ready) - len(known) == 2, "columns of float64, and of float32"


def test_weights_that_are_all_zero_are_refused() -> None:
    X, y = BINARY
    with pytest.raises(DataError, match="weight"):
        quick((X, y, np.zeros(len(y))))
