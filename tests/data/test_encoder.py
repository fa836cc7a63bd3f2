"""Encoders against scikit-learn, pandas and themselves: layouts, units, state, and the sentences for bad values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from schuss.data.chunk import Rows, SparseRows, row_count
from schuss.data.columns.place import NOT_FINITE, Place
from schuss.data.encoder import Encoded, Encoder
from schuss.data.schema import Role, infer_schema
from schuss.data.target import TargetEncoder
from schuss.errors import DataError, UnknownClassError
from schuss.population.sparse import scores

RNG = np.random.default_rng(0)
N = 500


def fit(table: pa.Table, target: str = "y", roles: Mapping[str, Role] | None = None, **options: Any) -> Encoder:
    task, weight = options.pop("task", "auto"), options.pop("weight", None)
    schema = infer_schema(table, name="t", target=target, task=task, weight=weight, overrides=roles)
    return Encoder.fit(table, schema, name="t", **options)


def batch(table: pa.Table) -> pa.RecordBatch:
    return table.combine_chunks().to_batches()[0]


def encode(encoder: Encoder, table: pa.Table, **options: Any) -> Encoded:
    return encoder.encode(batch(table), **({"where": "t.csv", "first_row": 0} | options))


def as_dense(rows: Rows) -> np.ndarray:
    if not isinstance(rows, SparseRows):
        return rows
    shape = (row_count(rows), rows.width)
    return scipy.sparse.csr_array((rows.values, rows.indices, rows.indptr), shape=shape).toarray()


def people(rows: int = N, seed: int = 1) -> pa.Table:
    rng = np.random.default_rng(seed)
    age = rng.normal(40, 12, rows)
    return pa.table(
        {
            "age": pa.array(age, mask=rng.random(rows) < 0.1),
            "job": pa.array(rng.choice(["clerk", "cook", "pilot", None], rows, p=[0.5, 0.3, 0.15, 0.05]).tolist()),
            "member": rng.random(rows) < 0.3,
            "when": pa.array(rng.integers(0, 10**9, rows) * 10**6, pa.timestamp("us")),
            "remark": [" ".join(rng.choice(["good", "bad", "late", "never", "again", "!"], 5)) for _ in range(rows)],
            "y": age + rng.normal(size=rows),
        }
    )


def test_numbers_as_standard_scaler() -> None:
    columns = {f"c{i}": RNG.normal(10**i, 10 ** (i - 2), N) for i in range(5)} | {"n": RNG.integers(0, 100, N)}
    table = pa.table(columns | {"y": RNG.random(N)})
    encoded = encode(fit(table), table)
    expected = StandardScaler().fit_transform(np.column_stack(list(columns.values())))
    assert encoded.rows.dtype == np.float32  # pyright: ignore
    np.testing.assert_allclose(encoded.rows, expected, atol=1e-5)


def test_categories_as_one_hot_encoder() -> None:
    jobs = RNG.choice(["clerk", "cook", "pilot"], N)
    table = pa.table({"job": jobs, "y": RNG.random(N)})
    encoder = fit(table, sparse=True)
    expected = OneHotEncoder(sparse_output=False).fit_transform(jobs[:, None])
    np.testing.assert_array_equal(as_dense(encode(encoder, table).rows), np.column_stack([expected, np.zeros(N)]))
    assert encoder.feature_names == ["job = clerk", "job = cook", "job = pilot", "job is another"]


def test_dense_features_have_zero_mean_and_at_most_unit_variance() -> None:
    table = people()
    encoder = fit(table, sparse=False, roles={"remark": Role.IGNORED})
    rows = as_dense(encode(encoder, table).rows)
    deviation = rows.std(axis=0, dtype=np.float64)
    np.testing.assert_allclose(rows.mean(axis=0, dtype=np.float64), 0, atol=1e-6)
    assert 0.9 < deviation[0] < 1  # a tenth of the ages is missing and counts as the mean
    assert (deviation <= 1 + 1e-5).all()
    job = encoder.feature_names.index("job = clerk")
    assert np.ptp(rows[:, job]) == pytest.approx(1.0, abs=1e-6)  # indicators keep their size


def test_targets() -> None:
    table = people()
    encoder = fit(table)
    y = table.column("y").to_numpy()
    np.testing.assert_allclose(encode(encoder, table).targets, (y - y.mean()) / y.std(), rtol=1e-4, atol=1e-6)
    assert encoder.target_mean == pytest.approx(y.mean())
    assert encoder.target_scale == pytest.approx(y.std())
    assert encoder.classes is None


LABELS = {
    "int": ([3, 1, 3, -2], [-2, 1, 3], [2, 1, 2, 0]),
    "float": ([3.0, 1.0, 3.0, 1.0], [1, 3], [1, 0, 1, 0]),
    "bool": ([True, False, True, True], [False, True], [1, 0, 1, 1]),
    "str": (["b", "a", "b", "ä"], ["a", "b", "ä"], [1, 0, 1, 2]),
}


@pytest.mark.parametrize("case", LABELS)
def test_classes(case: str) -> None:
    labels, classes, indices = LABELS[case]
    table = pa.table({"a": [1, 2, 3, 4], "y": labels})
    encoder = fit(table)
    assert encoder.classes == classes
    assert [type(label) for label in encoder.classes or []] == [type(classes[0])] * len(classes)
    encoded = encode(encoder, table)
    assert encoded.targets.dtype == np.int32
    assert encoded.targets.tolist() == indices


CLOSE, GAPS = [[0, 1], list(range(-128, 128)), [2**31, 2**31 + 1]], [[-128, -127, 127], [5, 9, 100]]
HELD_BY = {
    "int8": [CLOSE[0], CLOSE[1], *GAPS],
    "uint8": [CLOSE[0], GAPS[1]],
    "int16": [*CLOSE[:2], *GAPS],
    "int64": [*CLOSE, *GAPS],
    "uint64": [CLOSE[0], CLOSE[2], GAPS[1]],
    "float": [*CLOSE[:2], *GAPS],
    "double": [*CLOSE, *GAPS],
}


@pytest.mark.parametrize(("kind", "labels"), [(kind, labels) for kind, held in HELD_BY.items() for labels in held])
def test_classes_that_are_numbers_of_any_type(kind: str, labels: list[int]) -> None:
    """The place of each label in the sorted list of all, as Python finds it."""
    rows = [labels[at] for at in np.random.default_rng(0).integers(0, len(labels), 500)]
    target, place = TargetEncoder(tuple(labels)), Place("t", 0, "y")
    indices, missing = target.encode(pa.array(rows).cast(pa.type_for_alias(kind)), place)
    assert missing is None
    assert indices.dtype == np.int32
    assert indices.tolist() == [labels.index(value) for value in rows]
    for strange in {labels[0] - 1, labels[-1] + 1, 6} - {*labels} if kind == "int64" else ():
        with pytest.raises(UnknownClassError, match=f"row 2, column 'y': '{strange}' is none of the"):
            target.encode(pa.array([labels[0], strange], pa.int64()), place)


def test_labels_that_a_file_spells_otherwise() -> None:
    booleans = fit(pa.table({"a": [1, 2], "y": [True, False]}))
    assert encode(booleans, pa.table({"a": [1, 2, 3], "y": ["TRUE", "False", "true"]})).targets.tolist() == [1, 0, 1]
    numbers = fit(pa.table({"a": [1, 2], "y": [10, 9]}))
    assert encode(numbers, pa.table({"a": [1, 2, 3], "y": [9.0, None, 10.0]})).targets.tolist() == [0, 1]
    assert encode(numbers, pa.table({"a": [1, 2], "y": ["9", "10"]})).targets.tolist() == [0, 1]


def test_classes_from_all_labels() -> None:
    table = pa.table({"a": [1, 2], "y": ["u", "v"]})
    assert fit(table, labels=lambda: pa.chunked_array([["u"], ["w", "v"]])).classes == ["u", "v", "w"]


def test_rows_without_target_are_left_out() -> None:
    table = pa.table({"a": [1.0, 2.0, 3.0, 4.0], "w": [1.0, 2.0, 3.0, 4.0], "y": ["u", None, "v", "u"]})
    encoder = fit(table, weight="w")
    encoded = encode(encoder, table)
    assert encoded.kept is not None
    assert encoded.kept.tolist() == [True, False, True, True]
    assert encoded.weights.tolist() == [1.0, 3.0, 4.0]
    assert row_count(encoded.rows) == 3
    assert encode(encoder, table.drop_columns(["y", "w"]), target=False).kept is None
    assert encode(encoder, table.drop_columns(["w"]), weighted=False).weights.tolist() == [1.0, 1.0, 1.0]


def test_layout_follows_width_and_density() -> None:
    words = [f"w{i}" for i in range(700)]
    few = pa.table({"a": RNG.random(700), "y": RNG.random(700)})
    many = pa.table({"a": RNG.random(1400), "c": words * 2, "y": RNG.random(1400)})
    wide = pa.table({"x": pa.FixedSizeListArray.from_arrays(pa.array(RNG.random(9000)), 4500), "y": [0.5, 1.0]})
    assert not fit(few).sparse
    assert fit(many, roles={"c": Role.CATEGORY}).sparse
    assert not fit(wide).sparse


@pytest.mark.parametrize("sparse", [False, True])
def test_in_data_units(sparse: bool) -> None:
    """Scores from folded weights and raw columns, made by pandas, equal the encoder's path."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "age": rng.normal(40, 12, N),
            "gain": np.where(rng.random(N) < 0.1, rng.exponential(1e4, N), 0),
            "job": rng.choice(["clerk", "cook", "pilot"], N),
            "y": rng.normal(5, 3, N),
        }
    )
    encoder = fit(pa.Table.from_pandas(frame), sparse=sparse)
    weights = rng.normal(size=(encoder.width + 1, 2))
    folded = encoder.in_data_units(weights)
    raw = np.column_stack([frame.age, frame.gain, pd.get_dummies(frame.job), np.zeros(N)]).astype(float)
    scores = as_dense(encode(encoder, pa.Table.from_pandas(frame)).rows) @ weights[:-1] + weights[-1]
    in_units = scores * encoder.target_scale + encoder.target_mean
    np.testing.assert_allclose(raw @ folded[:-1] + folded[-1], in_units, rtol=1e-5, atol=1e-4)
    units = [encoder.feature(index) for index in range(encoder.width)]
    assert units[0] == ("age", "per unit of age")
    assert units[3] == ("job = cook", "when so")


@pytest.mark.parametrize("sparse", [None, False, True])
def test_state_round_trip(sparse: bool | None) -> None:
    table = people()
    encoder = fit(table, sparse=sparse)
    meta, arrays = encoder.to_state()
    again = Encoder.from_state(json.loads(json.dumps(meta, allow_nan=False)), arrays)
    assert again.schema == encoder.schema
    assert again.feature_names == encoder.feature_names
    assert again.describe() == encoder.describe()
    for one, other in zip(encode(encoder, table), encode(again, table), strict=True):
        np.testing.assert_equal(one, other)


def test_state_of_something_else_is_refused() -> None:
    meta, arrays = fit(people()).to_state()
    for broken in (meta | {"features": [{"kind": "Popen", "args": "ls"}]}, meta | {"more": 1}, {"schema": 1}):
        with pytest.raises((KeyError, TypeError, ValueError)):
            Encoder.from_state(broken, arrays)
    with pytest.raises(KeyError):
        Encoder.from_state(meta, {})


def test_describe() -> None:
    table = people()
    facts = {row["name"]: row for row in fit(table).describe()}
    assert list(facts) == table.column_names
    assert facts["age"]["role"] == "number"
    assert facts["age"]["features"] == 2
    assert facts["age"]["missing"] == pytest.approx(table.column("age").null_count / N)
    assert facts["job"]["categories"] == 3
    assert facts["y"] == {"name": "y", "role": "target", "note": "", "features": 0}
    assert sum(int(str(row["features"])) for row in facts.values()) == fit(table).width
    json.dumps(list(facts.values()), allow_nan=False)


def test_columns_are_matched_by_name() -> None:
    table = people()
    encoder = fit(table)
    shuffled = table.select(["y", *reversed(table.column_names[:-1])]).append_column("extra", table.column("age"))
    np.testing.assert_equal(as_dense(encode(encoder, shuffled).rows), as_dense(encode(encoder, table).rows))
    assert encoder.columns == ["age", "job", "member", "when", "remark", "y"]


def test_no_rows() -> None:
    for sparse in (False, True):
        encoder = fit(people(), sparse=sparse)
        empty = pa.RecordBatch.from_arrays(
            [pa.array([], field.type) for field in people().schema], schema=people().schema
        )
        encoded = encoder.encode(empty, where="t", first_row=0)
        assert row_count(encoded.rows) == 0
        assert as_dense(encoded.rows).shape == (0, encoder.width)


def test_unseen_values_are_counted() -> None:
    table = pa.table({"c": ["a", "b"] * 30, "y": [1, 0] * 30})
    later = pa.table({"c": ["a", "new", None, "newer"], "y": [1, 0, 0, 0]})
    assert encode(fit(table), later).unseen == {"c": 3}
    assert encode(fit(table), table).unseen == {}


def refused(message: str, encoder: Encoder, table: pa.Table, first_row: int = 8000) -> None:
    with pytest.raises(DataError) as caught:
        encode(encoder, table, first_row=first_row)
    assert str(caught.value) == message


def test_bad_values_are_named() -> None:
    table = pa.table({"a": [1.0, 2.0, 3.0], "w": [1.0, 1.0, 2.0], "y": ["u", "v", "u"]})
    encoder = fit(table, weight="w")
    where = "t.csv, row 8,002, column "

    def change(**columns: list[object]) -> pa.Table:
        return pa.table(table.to_pydict() | columns)

    refused(f"{where}'a': 'ab:cd' is not a number", encoder, change(a=["1", "ab:cd", " NA "]))
    refused(f"{where}'a': inf {NOT_FINITE}", encoder, change(a=[1.0, np.inf, None]))
    refused(f"{where}'a': -inf {NOT_FINITE}", encoder, change(a=[1.0, -np.inf, np.nan]))
    refused(f"{where}'a': 1e+200 is too large", encoder, change(a=[1.0, 1e200, 2.0]))
    refused(f"{where}'y': 'w' is none of the 2 classes of the sample ('u', 'v')", encoder, change(y=["u", "w", "v"]))
    refused(f"{where}'w': the weight is missing", encoder, change(w=[1.0, None, 1.0]))
    refused(f"{where}'w': the weight -1 is negative", encoder, change(w=[1.0, -1.0, 1.0]))
    refused(f"{where}'w': inf {NOT_FINITE}", encoder, change(w=[1.0, np.inf, 1.0]))
    refused("t.csv lacks the columns 'a', 'y'", encoder, table.select(["w"]))
    refused("t.csv, column 'a': values of type list<item: int64> are not numbers", encoder, change(a=[[1], [2], [3]]))
    number = fit(pa.table({"a": [1, 2, 3], "y": [0.5, 1.5, 2.5]}))
    refused(f"{where}'y': inf {NOT_FINITE}", number, pa.table({"a": [1, 2], "y": [1.0, np.inf]}))
    refused(f"{where}'y': 'x' is not a number", number, pa.table({"a": [1, 2], "y": ["1", "x"]}))


def test_text_that_is_not_utf8() -> None:
    bad = pa.array([b"a", b"\xff"]).view(pa.string())
    table = pa.table({"a": ["u", "v"] * 20, "y": ["b", "a"] * 20})
    assert encode(fit(table), pa.table({"a": bad, "y": ["a", "b"]})).unseen == {"a": 2}
    with pytest.raises(DataError, match=r"^t.csv, column 'y': its values are not valid UTF-8 text$"):
        encode(fit(table), pa.table({"a": ["a", "b"], "y": bad}))
    for columns in ({"a": bad, "y": [1, 2]}, {"a": [1, 2], "y": bad}):
        with pytest.raises(DataError, match=r"its values are not valid UTF-8 text$"):
            fit(pa.table(columns))


def test_bad_values_in_the_sample_are_named() -> None:
    with pytest.raises(DataError, match=r"^t \(sample\), row 2, column 'a': 'two' is not a number$"):
        fit(pa.table({"a": ["1", "two"], "y": [0, 1]}), roles={"a": Role.NUMBER})
    with pytest.raises(DataError, match=r"classes are text, booleans or whole numbers, but 0.5 is none"):
        fit(pa.table({"a": [1, 2], "y": [0.5, 1.0]}), task="classification")
    with pytest.raises(DataError, match=r"values of type list<item: int64> do not fit its role, 'category'"):
        fit(pa.table({"a": [[1], [2]], "y": [0, 1]}), roles={"a": Role.CATEGORY})


def test_infinite_values_in_the_sample_are_left_to_the_rows() -> None:
    table = pa.table({"a": [1.0, np.inf, 3.0], "y": [0.5, 1.5, 2.5]})
    encoder = fit(table)
    with pytest.raises(DataError, match=rf"row 2, column 'a': inf {NOT_FINITE}$"):
        encode(encoder, table)
    with pytest.raises(DataError, match=rf"^t.*row 2, column 'y': inf {NOT_FINITE}$"):
        fit(pa.table({"a": [1.0, 2.0], "y": [0.5, np.inf]}))


def made(kind: str, rng: np.random.Generator, rows: int) -> pa.Array:
    """Make a column with, of most kinds, a tenth of its values missing."""
    match kind:
        case "number":
            values = rng.normal(size=rows) * 10.0 ** rng.integers(-4, 5)
        case "integer":
            values = rng.integers(-5, 100, rows)
        case "counts":
            values = rng.poisson(0.1, rows)
        case "boolean":
            values = rng.random(rows) < 0.5
        case "category" | "dictionary":
            values = np.array(["a", "b", "c", "ü", ""], object)[rng.integers(0, 5, rows)]
        case "date":
            return pa.array(rng.integers(0, 20000, rows).astype(np.int32), mask=rng.random(rows) < 0.1).cast(
                pa.date32()
            )
        case "text":
            return pa.array([" ".join(rng.choice(["x", "y!", "£", "日本"], rng.integers(0, 6))) for _ in range(rows)])
        case _:
            return pa.FixedSizeListArray.from_arrays(pa.array(rng.normal(size=3 * rows)), 3)
    array = pa.array(values, mask=rng.random(rows) < 0.1)
    return array.dictionary_encode() if kind == "dictionary" else array


ROLES = {
    **dict.fromkeys(("number", "integer", "counts"), Role.NUMBER),
    **dict.fromkeys(("category", "dictionary"), Role.CATEGORY),
    "boolean": Role.BOOLEAN,
    "text": Role.TEXT,
    "date": Role.DATETIME,
    "vector": Role.VECTOR,
}


@settings(max_examples=25, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(sorted(ROLES)), min_size=1, max_size=5),
    seed=st.integers(0, 1000),
    rows=st.integers(25, 80),
    sparse=st.sampled_from([None, False, True]),
)
def test_any_schema(kinds: list[str], seed: int, rows: int, sparse: bool | None) -> None:
    """Rows are finite, do not depend on how batches are cut, and the two layouts differ by their scale only."""
    rng = np.random.default_rng(seed)
    columns = {f"{kind}{i}": made(kind, rng, rows) for i, kind in enumerate(kinds)}
    overrides = {f"{kind}{i}": ROLES[kind] for i, kind in enumerate(kinds)}
    table = pa.table(columns | {"y": np.arange(rows) % 2})
    encoder = fit(table, sparse=sparse, roles=overrides, hash_bits=10)
    whole = as_dense(encode(encoder, table).rows)
    assert whole.shape == (rows, encoder.width)
    assert np.isfinite(whole).all()
    cut = int(rng.integers(1, rows))
    parts = [as_dense(encode(encoder, table.slice(*piece)).rows) for piece in ((0, cut), (cut, rows))]
    np.testing.assert_array_equal(np.vstack(parts), whole)
    if encoder.sparse:
        prepared = encoder.prepare(batch(table), where="t.csv", first_row=0)
        parts = [as_dense(encoder.sparse_rows(prepared, rows)) for rows in (slice(0, cut), slice(cut, rows))]
        np.testing.assert_array_equal(np.vstack(parts), whole)
        lines = rng.normal(size=(encoder.width + 1, 1 + seed % 3)).astype(np.float32)
        expected = scores(encoder.rows(prepared), lines)  # pyright: ignore[reportArgumentType] — they are sparse
        to_score = encoder.prepare(batch(table), where="t.csv", first_row=0, to_score=True)
        np.testing.assert_array_equal(encoder.sparse_scores(to_score, lines), expected)
    other = fit(table, sparse=not encoder.sparse, roles=overrides, hash_bits=10)
    weights = rng.normal(size=(encoder.width + 1, 1))
    raw = [as_raw(e, as_dense(encode(e, table).rows)) for e in (encoder, other)]
    known = as_scale(encoder)[1] * as_scale(other)[1] > 0
    present = ~np.isin(np.arange(encoder.width), missing_numbers(encoder))
    np.testing.assert_allclose(raw[0][:, known & present], raw[1][:, known & present], rtol=1e-3, atol=1e-3)
    assert encoder.in_data_units(weights).shape == weights.shape


def as_scale(encoder: Encoder) -> tuple[np.ndarray, np.ndarray]:
    scales = [column.scale for column in encoder.features]
    return np.concatenate([s.centre for s in scales]), np.concatenate([s.factor for s in scales])


def as_raw(encoder: Encoder, rows: np.ndarray) -> np.ndarray:
    """Undo the scale."""
    centre, factor = as_scale(encoder)
    return rows / np.where(factor > 0, factor, 1) + centre


def missing_numbers(encoder: Encoder) -> list[int]:
    """Features of columns with missing numbers: these count as the centre, which depends on the layout."""
    names = {str(row["name"]) for row in encoder.describe() if row.get("missing")}
    return [i for i, name in enumerate(encoder.feature_names) if name in names or "(" in name]


@pytest.mark.parametrize(
    "numbers",
    [
        np.array([0x7D01, 0x3C00, 0x4000, 0xFD01], np.uint16).view(np.float16),
        np.array([0x7FA00000, 0x3F800000, 0x40000000, 0xFFA00000], np.uint32).view(np.float32),
        np.array([0x7FF00001 << 32, 0x3FF << 52, 0x400 << 52, 0xFFF00001 << 32], np.uint64).view(np.float64),
    ],
    ids=lambda numbers: str(numbers.dtype),
)
def test_missing_numbers_that_signal(numbers: np.ndarray) -> None:
    """Found by fuzzing: NumPy warns where it computes with NaNs of the kind that signals."""
    table = pa.table({"x": numbers, "y": [0, 1, 0, 1]})
    encoder = fit(table)
    assert encoder.describe()[0]["missing"] == 0.5
    assert np.isfinite(as_dense(encode(encoder, table).rows)).all()


@pytest.mark.parametrize("sparse", [False, True])
def test_numbers_too_close_together_to_be_told_apart(sparse: bool) -> None:
    """Found by fuzzing: the reciprocal of their deviation was infinite."""
    table = pa.table({"x": [0.0, 1e-310, 3e-310, 0.0], "z": [1.0, 2.0, 3.0, 4.0], "y": [0, 1, 0, 1]})
    rows = as_dense(encode(fit(table, sparse=sparse, roles={"x": Role.NUMBER}), table).rows)
    assert np.isfinite(rows).all()
    assert not rows[:, 0].any()
    assert [column.name for column in fit(table).features] == ["z"]
