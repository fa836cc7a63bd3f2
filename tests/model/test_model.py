"""Models against scikit-learn's on the same rows; the file, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
import scipy.sparse
from sklearn import metrics
from sklearn.linear_model import LogisticRegression, Ridge

from schuss.data.encoder import Encoder
from schuss.data.open import open_source
from schuss.data.schema import infer_schema
from schuss.data.source import Batch
from schuss.errors import DataError, ModelFileError, OptionError
from schuss.model.model import FILE_NAME, Model, outputs_of
from schuss.sealed import open_sealed, write_sealed

RNG = np.random.default_rng(0)
N = 400


def people(classes: int = 2) -> pa.Table:
    rng = np.random.default_rng(classes)
    age, job = rng.normal(40, 12, N), rng.choice(["cook", "clerk", "pilot"], N)
    score = (age - 40) / 12 + (job == "pilot") + rng.normal(0, 0.5, N)
    label = np.digitize(score, np.quantile(score, np.arange(1, classes) / classes))
    return pa.table({"age": age, "job": job, "label": np.array(["c", "a", "b"])[label], "pay": 1000 * score + 3000})


def fitted(table: pa.Table, target: str, sparse: bool | None = None) -> Model:
    """Train with scikit-learn on the encoder's rows."""
    schema = infer_schema(table, name="t", target=target)
    encoder = Encoder.fit(table, schema, name="t", sparse=sparse)
    encoded = encoder.encode(table.combine_chunks().to_batches()[0], where="t", first_row=0)
    rows = encoded.rows
    if not isinstance(rows, np.ndarray):
        rows = scipy.sparse.csr_array((rows.values, rows.indices, rows.indptr), shape=(len(table), encoder.width))
    regression = encoder.classes is None
    found = (Ridge() if regression else LogisticRegression()).fit(rows, encoded.targets)
    weights = np.vstack([np.atleast_2d(found.coef_).T, np.atleast_1d(found.intercept_)]).astype(np.float32)
    return Model(
        encoder, "squared_error" if regression else "log_loss", weights, {"optimizer": "sgd"}, {"velocity": 2 * weights}
    )


def classifier(classes: int = 2, sparse: bool | None = None) -> Model:
    return fitted(people(classes).drop_columns(["pay"]), "label", sparse)


def regressor() -> Model:
    return fitted(people().drop_columns(["label"]), "pay")


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("classes", [2, 3])
def test_classification(classes: int, sparse: bool) -> None:
    table, model = people(classes), classifier(classes, sparse)
    found = model.predict(table, proba=True)
    labels = sorted(set(table.column("label").to_pylist()))
    assert model.classes == labels
    assert found.column_names == ["prediction", *(f"p_{label}" for label in labels)]
    chances = np.column_stack([found.column(f"p_{label}") for label in labels])
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    predicted, actual = found.column("prediction").to_pylist(), table.column("label").to_pylist()
    assert predicted == np.array(labels)[chances.argmax(axis=1)].tolist()
    scores = model.evaluate(table)
    assert scores["rows"] == N
    assert scores["loss"] == pytest.approx(metrics.log_loss(actual, chances), rel=1e-6)
    assert scores["accuracy"] == pytest.approx(metrics.accuracy_score(actual, predicted))
    assert scores["macro_f1"] == pytest.approx(metrics.f1_score(actual, predicted, average="macro"))
    if classes == 2:
        assert scores["auc"] == pytest.approx(metrics.roc_auc_score(actual, chances[:, 1]), abs=1e-4)
    assert scores["accuracy"] > 0.6
    json.dumps(scores)


def test_regression() -> None:
    table, model = people(), regressor()
    predicted = model.predict(table).column("prediction")
    assert predicted.type == pa.float64()
    actual = table.column("pay").to_numpy()
    scores = model.evaluate(table)
    assert scores["loss"] == pytest.approx(metrics.mean_squared_error(actual, predicted), rel=1e-5)
    assert scores["r2"] == pytest.approx(metrics.r2_score(actual, predicted), rel=1e-5)
    assert scores["mae"] == pytest.approx(metrics.mean_absolute_error(actual, predicted), rel=1e-5)
    assert scores["rmse"] == pytest.approx(scores["loss"] ** 0.5)
    assert scores["r2"] > 0.8


@pytest.mark.parametrize("labels", [[3, 7], [True, False], ["no", "yes"]], ids=str)
def test_labels_keep_their_type(labels: list[Any]) -> None:
    table = pa.table({"a": [1.0, 2.0, 3.0, 4.0], "y": [labels[0]] * 2 + [labels[1]] * 2})
    assert fitted(table, "y").predict(table).column("prediction").type == table.column("y").type


@pytest.mark.parametrize(
    "model", [classifier(), classifier(3, True), regressor()], ids=["binary", "sparse", "regression"]
)
def test_file_round_trip(model: Model, tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    model.save(path)
    again = Model.load(path)
    assert Model.load(tmp_path).loss == again.loss == model.loss
    assert (again.task, again.target, again.classes) == (model.task, model.target, model.classes)
    assert again.settings == {"optimizer": "sgd"}
    np.testing.assert_array_equal(again.state["velocity"], model.state["velocity"])
    assert again.predict(people()).equals(model.predict(people()))
    assert again.explain() == model.explain()
    first = path.read_bytes()
    again.save(path)
    assert path.read_bytes() == first


def test_saving_replaces_nothing_it_cannot_finish(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    path.write_text("before")
    broken = Model(classifier().encoder, "log_loss", np.zeros((1, 1), np.float32), {"set": {1}})
    with pytest.raises(TypeError):
        broken.save(path)
    assert path.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir()] == [FILE_NAME]


def test_sources_are_matched_by_name(tmp_path: Path) -> None:
    table, model = people(), classifier()
    expected = model.predict(table)
    frame = table.select(["label", "job", "age"]).to_pandas()
    assert model.predict(frame).equals(expected)
    assert model.predict(frame.drop(columns="label")).equals(expected)
    path = tmp_path / "people.csv"
    pa.csv.write_csv(table, path)
    found = model.predict(path)
    assert found.column("prediction").equals(expected.column("prediction"))
    assert model.predict(open_source(path)).num_rows == N
    with pytest.raises(DataError, match=r"lacks the columns 'age', 'job' that the model needs$"):
        model.predict(table.select(["pay"]))
    pa.csv.write_csv(table.select(["pay"]), path)
    with pytest.raises(DataError, match=r"^people\.csv lacks the columns 'age', 'job' that the model needs$"):
        model.predict(path)
    with pytest.raises(DataError, match=r"lacks the column 'label' that the model needs$"):
        model.evaluate(table.select(["age", "job"]))


def test_columns_of_a_csv_file_are_read_as_in_training(tmp_path: Path) -> None:
    codes = RNG.choice(["01", "1", "x"], 200)
    table = pa.table({"code": codes, "n": np.arange(200) % 7, "y": codes == "01"})
    model = fitted(table, "y")
    path = tmp_path / "later.csv"
    path.write_text("n,code\n3,01\n4,1\n")
    assert model.predict(path).column("prediction").to_pylist() == [True, False]


def test_labels_of_a_csv_file_are_read_as_in_training(tmp_path: Path) -> None:
    table = pa.table({"a": [1.0, 2.0, 3.0, 4.0], "y": ["01", "02", "01", "x"]})
    path = tmp_path / "later.csv"
    path.write_text("a,y\n1,01\n2,02\n")
    assert fitted(table, "y").evaluate(path)["rows"] == 2


class NoRows:
    """A source that has columns and nothing in them."""

    name, parts, schema, bad, notices, rows = "nothing", ("nothing",), people().schema, None, (), 0

    def batches(self, *, columns: list[str]) -> Iterator[Batch]:
        return iter(())


def test_predictions_come_in_batches() -> None:
    model, table = classifier(), people()
    pieces = pa.Table.from_batches([b for start in range(0, N, 7) for b in table.slice(start, 7).to_batches()])
    found = list(model.predict_batches(pieces, proba=True))
    assert len(found) > 50
    together, once = pa.Table.from_batches(found).to_pydict(), model.predict(table, proba=True).to_pydict()
    assert together["prediction"] == once["prediction"]
    np.testing.assert_allclose(together["p_a"], once["p_a"], rtol=1e-5)
    empty = list(model.predict_batches(NoRows(), proba=True))
    assert [batch.num_rows for batch in empty] == [0]
    assert empty[0].schema == found[0].schema


def test_threads_predict_as_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = people().drop_columns(["pay"])
    words = [" ".join(RNG.choice(["one", "two", "three"], 1 + at % 9)) for at in range(N)]
    table = table.append_column("words", pa.array(words))
    model = fitted(table, "label", True)
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=50)
    expected, judged = model.predict(table, proba=True), model.evaluate(table)
    monkeypatch.setattr("schuss.model.model._ROWS_AT_ONCE", 256)  # fewer than there are: threads score them
    monkeypatch.setattr("schuss.data.arrow.BATCH_ROWS", 50)
    found = list(model.predict_batches(tmp_path / "t.parquet", proba=True))
    assert len(found) > 2
    assert pa.Table.from_batches(found).equals(expected)
    assert model.evaluate(tmp_path / "t.parquet")["loss"] == pytest.approx(judged["loss"], rel=1e-12)


def test_rows_without_a_target_are_predicted_but_not_evaluated() -> None:
    frame = people().to_pandas().astype({"label": object})
    frame.loc[5:9, "label"] = None
    model = classifier()
    assert model.predict(frame).num_rows == N
    assert model.evaluate(frame)["rows"] == N - 5


def test_what_cannot_be_evaluated() -> None:
    model = classifier()
    strange = people().to_pandas().assign(label="zebra")
    with pytest.raises(DataError, match=r"row 1, column 'label': 'zebra' is none of the 2 classes of the sample"):
        model.evaluate(strange)
    nothing = model.evaluate(NoRows())
    assert nothing == {"rows": 0, "skipped_rows": 0, "loss": None, "accuracy": None, "macro_f1": None, "auc": None}


def test_probabilities_need_log_loss() -> None:
    model = regressor()
    with pytest.raises(
        OptionError, match=r"^probabilities need a model trained with one of log_loss, .*, got one of squared_error$"
    ):
        model.predict_batches(people(), proba=True)


def test_explain_in_the_units_of_the_data() -> None:
    """Scores are the sums of what explain says, times what the raw columns hold."""
    table, model = people(), regressor()
    told = {entry["feature"]: entry["in_data_units"] for entry in model.explain(100)}
    frame = table.to_pandas()
    jobs = pd.get_dummies(frame.job)
    score = told["(intercept)"] + told["age"] * frame.age + sum(told[f"job = {job}"] * jobs[job] for job in jobs)
    np.testing.assert_allclose(score, model.predict(table).column("prediction"), rtol=1e-4)


def test_explain_lists_what_moves_the_score_most_first() -> None:
    model = classifier(3)
    entries = model.explain(4)
    assert len(entries) == 4 + 3
    sizes = [entry["importance"] for entry in entries[:4]]
    assert sizes == sorted(sizes, reverse=True)
    everything = [entry["importance"] for entry in model.explain(1000)][: model.weights[:-1].size]
    assert sizes[0] == max(everything)
    assert [(entry["feature"], entry["output"]) for entry in entries[4:]] == [("(intercept)", c) for c in "abc"]
    assert {entry["output"] for entry in classifier(2).explain()} == {"c"}
    assert {entry["output"] for entry in regressor().explain()} == {"pay"}
    assert entries[0].keys() == {"feature", "output", "weight", "importance", "in_data_units", "unit"}
    json.dumps(entries)


def test_svmlight_keeps_its_base(tmp_path: Path) -> None:
    matrix = scipy.sparse.random_array((60, 9), density=0.5, rng=RNG, format="csr")
    lines = [
        f"{row % 2} " + " ".join(f"{i + 1}:{v:.3f}" for i, v in zip(*part, strict=True))
        for row, part in enumerate(
            (matrix.indices[a:b], matrix.data[a:b]) for a, b in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True)
        )
    ]
    path = tmp_path / "train.svm"
    path.write_text("\n".join(lines) + "\n")
    source = open_source(path, svmlight_base=1)
    table = pa.Table.from_batches([batch.table for batch in source.batches()])
    model = fitted(table, "y")
    model = Model(model.encoder, model.loss, model.weights, svmlight_base=1)
    assert model.explain(1)[0]["feature"].startswith("x[")
    later = tmp_path / "later.svm"
    later.write_text("1 4:1.0\n0 9:1.0 55:2.0\n")  # nothing tells that it counts from 1
    scores = model.predict(later, proba=True)
    model.save(tmp_path / "m.safetensors")
    assert Model.load(tmp_path / "m.safetensors").predict(later, proba=True).equals(scores)
    assert scores.num_rows == 2


def not_models(folder: Path) -> dict[str, tuple[Path, str]]:
    (folder / "x.csv").write_text("a,b\n1,2\n" * 50)
    (folder / "empty").touch()
    safetensors.numpy.save_file({"a": np.ones(2)}, folder / "other.safetensors")
    model = fitted(mixed(), "label")
    model.save(folder / "good.safetensors")
    (folder / "cut.safetensors").write_bytes((folder / "good.safetensors").read_bytes()[:-5])
    with open_sealed(folder / "good.safetensors", "model") as file:
        values, arrays = file.values, {name: file.load(name) for name in file.arrays}
    encoder = values["encoder"]

    def variant(name: str, changed: dict[str, Any] | None = None, kind: str = "model", **changes: Any) -> Path:
        path = folder / name
        kept = {name: array for name, array in (arrays | (changed or {})).items() if array is not None}
        with path.open("wb") as out:
            write_sealed(out, kind, values | changes, kept)
        return path

    def column(number: int, **changes: Any) -> dict[str, Any]:
        groups = [*encoder["features"]["groups"]]  # one column each
        groups[number] = groups[number] | changes
        return encoder | {"features": {"groups": groups}}

    weights = model.weights.copy()
    weights[0, 0] = np.nan
    outside = np.array([5], np.int64)
    low, gaps = "encoder.features.NumberColumn.low", "encoder.features.NumberColumn.gaps"
    factors = np.full_like(arrays["encoder.features.CategoryColumn.scale.factor"], 1e300)
    return {
        "text": (folder / "x.csv", "it does not begin as one"),
        "empty": (folder / "empty", "it does not begin as one"),
        "tensors of something else": (folder / "other.safetensors", "it does not begin as one"),
        "cut": (folder / "cut.safetensors", "it is damaged"),
        "missing": (folder / "nowhere", "there is no model file "),
        "folder without one": (folder, "there is no model file "),
        "a checkpoint": (variant("checkpoint", kind="checkpoint"), "it is a 'checkpoint'"),
        "newer": (variant("newer", format=9), "it has format 9, where this version of schuss reads 2"),
        "weights of another shape": (
            variant("shape", {"weights": np.ones((2, 2), "f4")}),
            f"its weights are not {len(weights):,} times 1 finite numbers",
        ),
        "weights of another type": (variant("type", {"weights": np.ones((2, 2))}), "its weights are float64 of 2"),
        "weights that are NaN": (variant("nan", {"weights": weights}), "1 finite numbers"),
        "no weights": (variant("weightless", {"weights": None}), "it lacks, or should not have, the array 'weights'"),
        "one array more": (variant("more", {"more": np.ones(1)}), "it lacks, or should not have, the array 'more'"),
        "one array less": (
            variant("less", {low: None}),
            "it lacks, or should not have, the array 'encoder.features.NumberColumn.low'",
        ),
        "array of two dimensions": (variant("2d", {low: np.ones((1, 1))}), "not one dimension"),
        "array of another type": (variant("f4", {low: np.ones(1, "f4")}), "is of type ndarray"),
        "array of another length": (variant("long", {low: np.ones(2)}), "the lengths of its arrays do not fit"),
        "column with a number more": (
            variant("wide", {low: np.ones(2)}, encoder=column(0, low={"arrays": low[8:], "lengths": [2]})),
            "NumberColumn do not fit",
        ),
        "array of lengths below zero": (
            variant("negative", {low: np.ones(0)}, encoder=column(0, low={"arrays": low[8:], "lengths": [1, -1]})),
            "the lengths of its arrays do not fit",
        ),
        "two columns at one place": (variant("place", encoder=column(0, places=[1])), "the places of its columns"),
        "more places than columns": (variant("places", encoder=column(0, places=[0, 3])), "the places of its columns"),
        "a column at a place that there is not": (variant("far", encoder=column(0, places=[3])), "the places of its"),
        "two names for a column": (variant("names", encoder=column(0, name=["a", "b"])), "are not equally many"),
        "array that is infinite": (variant("inf", {low: np.array([np.inf])}), "of type ndarray"),
        "gap of no component": (
            variant("gap", {gaps: outside}, encoder=column(0, gaps={"arrays": gaps[8:], "lengths": [1]})),
            "NumberColumn do not fit",
        ),
        "no loss": (variant("lossless", loss=None), "the loss 'None' is unknown"),
        "unknown loss": (variant("loss", loss="zero_one"), "the loss 'zero_one' is unknown"),
        "settings that are a list": (variant("settings", settings=[]), "its settings and versions are not named"),
        "svmlight from 7": (variant("base", svmlight_base=7), "count from neither 0 nor 1"),
        "encoder of another program": (variant("popen", encoder={"kind": "Popen"}), "it lacks, or should not have"),
        "column of another program": (variant("column", encoder=column(0, kind="Popen")), "'Popen' is missing"),
        "column with a field more": (variant("field", encoder=column(1, more=1)), "'more' is missing"),
        "column of another role": (variant("role", encoder=column(0, name=["job"])), "not those of its columns"),
        "a number for a name": (variant("name", encoder=column(0, name=[7])), "is of type int"),
        "2^40 buckets": (variant("buckets", encoder=column(1, buckets=[1 << 40])), "CategoryColumn do not fit"),
        "2^60 hashed words": (variant("bits", encoder=column(2, bits=[60])), "TextColumn do not fit"),
        "indicators without bounds": (  # found by fuzzing: their features were infinite
            variant("scale", {"encoder.features.CategoryColumn.scale.factor": factors}),
            "CategoryColumn do not fit",
        ),
        "terms without bounds": (variant("terms", encoder=column(2, terms=[1e200])), "TextColumn do not fit"),
        "hashed features to 2^99": (variant("hash", encoder=encoder | {"hash_bits": 99}), "does not fit its task"),
        "one class": (variant("class", encoder=encoder | {"target": encoder["target"] | {"classes": ["a"]}}), "Target"),
        "classes of two kinds": (
            variant("kinds", encoder=encoder | {"target": encoder["target"] | {"classes": ["a", 1]}}),
            "the parts of a TargetEncoder do not fit together",
        ),
        "no target": (variant("target", encoder=encoder | {"schema": encoder["schema"] | {"target": "x"}}), "a Schema"),
        "no encoder": (variant("encoder", encoder=[]), "it lacks, or should not have, the array"),
    }


def mixed() -> pa.Table:
    """A number, a category, a text, and the label."""
    texts = [f"word{i % 50} and word{i % 71} again" for i in range(N)]
    return people().drop_columns(["pay"]).add_column(2, "text", [texts])


def test_what_is_not_a_model(tmp_path: Path) -> None:
    for path, message in not_models(tmp_path).values():
        with pytest.raises(ModelFileError) as caught:
            Model.load(path)
        assert message in str(caught.value)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_outputs() -> None:
    assert [outputs_of(classes) for classes in (None, ["a", "b"], ["a", "b", "c"])] == [1, 1, 3]
