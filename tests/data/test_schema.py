"""Roles and tasks found from samples, and the sentences for data that cannot be learned from."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from schuss.data.schema import Role, Schema, infer_schema
from schuss.errors import DataError, OptionError

N = 60
WORDS = ["we came by night train", "call me when you land", "the early bus was late again"]


def infer(target: str | None = "y", **columns: object) -> Schema:
    columns.setdefault("y", [0, 1] * (N // 2))
    return infer_schema(pa.table(columns), name="data.csv", target=target)


def role(values: object, name: str = "column") -> Role:
    schema = infer(**{name: values, "other": np.arange(N) % 7})
    return next(column.role for column in schema.columns if column.name == name)


def note(values: object, name: str = "column") -> str:
    schema = infer(**{name: values, "other": np.arange(N) % 7})
    return next(column.note for column in schema.columns if column.name == name)


STRINGS = pa.array(["a", "b", None] * (N // 3))
ROLES = {
    "integers": (np.arange(N), Role.NUMBER),
    "float16": (pa.array((np.arange(N) % 5).astype(np.float16)), Role.NUMBER),
    "uint8": (pa.array(np.arange(N, dtype=np.uint8)), Role.NUMBER),
    "decimal": (pa.array([Decimal("1.5"), Decimal("2.25")] * (N // 2)), Role.NUMBER),
    "duration": (pa.array([dt.timedelta(seconds=s) for s in range(N)]), Role.NUMBER),
    "integers with missing": (pa.array([1, None, 3] * (N // 3)), Role.NUMBER),
    "one value and missing": (pa.array([1.0, None] * (N // 2)), Role.NUMBER),
    "booleans": (pa.array([True, False] * (N // 2)), Role.BOOLEAN),
    "strings": (STRINGS, Role.CATEGORY),
    "large strings": (STRINGS.cast(pa.large_string()), Role.CATEGORY),
    "string views": (STRINGS.cast(pa.string_view()), Role.CATEGORY),
    "dictionary": (STRINGS.dictionary_encode(), Role.CATEGORY),
    "whole numbers as strings": ([str(i % 9) for i in range(N)], Role.CATEGORY),
    "a huge number": (np.append(1e151, np.arange(N - 1.0)), Role.NUMBER),
    "numbers with gaps": (np.append(np.arange(N - 1.0), np.nan), Role.NUMBER),
    "one number and gaps": (np.append(np.full(N - 1, 7.0), np.nan), Role.NUMBER),
    "long categories": ([WORDS[i % 3] for i in range(N)], Role.CATEGORY),
    "text": ([f"{WORDS[i % 3]} {i}" for i in range(N)], Role.TEXT),
    "date": (pa.array([dt.date(2024, 1, 1 + i % 28) for i in range(N)]), Role.DATETIME),
    "timestamp": (pa.array(np.arange(N) * 10**15, pa.timestamp("ns", "Europe/Vienna")), Role.DATETIME),
    "time": (pa.array([dt.time(i % 24) for i in range(N)]), Role.DATETIME),
    "vectors": (pa.FixedSizeListArray.from_arrays(pa.array(np.arange(3.0 * N)), 3), Role.VECTOR),
    "equal lists": (pa.array([[1.0, 2.0]] * N), Role.VECTOR),
    "sparse": (pa.array([[{"index": 1, "value": 2.0}]] * N), Role.SPARSE),
}
LEFT_OUT = {
    "nulls": (pa.nulls(N), "all its values are missing"),
    "nan": (np.full(N, np.nan), "all its values are missing"),
    "constant number": (np.full(N, 7), "it is constant"),
    "huge numbers": (np.append(np.linspace(1e151, 1e152, N - 1), np.nan), "all its numbers are larger than 1e+150"),
    "constant string": (["x"] * N, "it is constant"),
    "constant boolean": ([True] * N, "it is constant"),
    "constant date": ([dt.date(2024, 1, 1)] * N, "it is constant"),
    "all different": ([f"u{i}" for i in range(N)], "nearly all its values are different"),
    "empty lists": (pa.array([[]] * N, pa.list_(pa.float64())), "all its lists are empty"),
    "unequal lists": (pa.array([[1.0], [1.0, 2.0]] * (N // 2)), "its lists have different lengths"),
    "lists of strings": (pa.array([["a"]] * N), "lists of string cannot be used"),
    "structs": (pa.array([{"a": 1}] * N), "values of type struct<a: int64> cannot be used"),
}


@pytest.mark.parametrize("case", ROLES)
def test_roles(case: str) -> None:
    values, expected = ROLES[case]
    assert role(values) is expected


@pytest.mark.parametrize("case", LEFT_OUT)
def test_left_out(case: str) -> None:
    values, expected = LEFT_OUT[case]
    assert role(values) is Role.IGNORED
    assert note(values) == expected


@pytest.mark.parametrize("name", ["id", "row", "index", "customer_id", "Unnamed: 0", "Row-ID"])
def test_identifiers_by_name(name: str) -> None:
    assert note(np.arange(N) + 5, name) == "it identifies the rows"
    assert role(np.arange(N) % 9, name) is Role.NUMBER


def test_numbers_that_only_look_like_identifiers() -> None:
    assert role(np.arange(N), "paid") is Role.NUMBER
    assert role(np.arange(N) + 0.5, "id") is Role.NUMBER


def test_text_and_strange_types_inside_dictionaries() -> None:
    text = pa.array([f"{WORDS[i % 3]} {i}" for i in range(N)]).dictionary_encode()
    assert role(text) is Role.TEXT
    assert role(pa.array(np.arange(N) % 5).dictionary_encode()) is Role.NUMBER


def test_overrides_and_special_columns() -> None:
    table = pa.table(
        {
            "a": np.arange(N),
            "b": ["x", "y"] * (N // 2),
            "w": np.ones(N),
            "g": np.arange(N) % 3,
            "y": [True, False] * (N // 2),
        }
    )
    schema = infer_schema(
        table, name="d", target="y", weight="w", group="g", overrides={"a": Role.CATEGORY, "b": Role.IGNORED}
    )
    assert [column.role for column in schema.columns] == [
        Role.CATEGORY,
        Role.IGNORED,
        Role.WEIGHT,
        Role.GROUP,
        Role.TARGET,
    ]
    assert [column.name for column in schema.features()] == ["a"]
    assert schema.named(Role.GROUP) == "g"
    assert not any("'b'" in notice for notice in schema.notices)


def test_notices_name_what_is_left_out() -> None:
    schema = infer(a=np.arange(N) % 5, c=["x"] * N)
    assert "column 'c' is left out: it is constant" in schema.notices


TASKS = {
    "text": (["a", "b", "c"] * 20, "classification", "3 different texts"),
    "booleans": ([True, False] * 30, "classification", "2 truth values"),
    "dictionary": (pa.array(["a", "b"] * 30).dictionary_encode(), "classification", "2 different texts"),
    "few whole numbers": ([1, 2, 3] * 20, "classification", "3 different whole numbers"),
    "few whole floats": ([1.0, 2.0, np.nan] * 20, "classification", "2 different whole numbers"),
    "twenty": (list(range(20)) * 3, "classification", "20 different whole numbers"),
    "twenty-one": ([i % 21 for i in range(60)], "regression", "21 different whole numbers"),
    "fractions": ([0.5, 1.0] * 30, "regression", "numbers with fractions"),
    "decimals": ([Decimal("0.5"), Decimal("1.0")] * 30, "regression", "numbers with fractions"),
}


@pytest.mark.parametrize("case", TASKS)
def test_task(case: str) -> None:
    values, task, why = TASKS[case]
    schema = infer(y=values, a=np.arange(N))
    other = "regression" if task == "classification" else "classification"
    assert schema.task == task
    assert schema.notices[0] == f"the task is {task} since the target 'y' holds {why}; --task {other} overrides this"


def test_task_asked_for() -> None:
    table = pa.table({"a": np.arange(N), "y": [0, 1] * (N // 2)})
    schema = infer_schema(table, name="d", target="y", task="regression")
    assert schema.task == "regression"
    assert schema.notices == ()


def refused(message: str, table: pa.Table, error: type[Exception] = DataError, **options: object) -> None:
    options = {"name": "data.csv", "target": "y"} | options
    with pytest.raises(error) as caught:
        infer_schema(table, **options)  # pyright: ignore
    assert str(caught.value) == message


def test_missing_columns() -> None:
    table = pa.table({"Delay": [1, 2], "carrier": ["a", "b"], "y": [0, 1]})
    refused("data.csv has no column 'delayed'; did you mean 'Delay'?", table, target="delayed")
    refused("data.csv has no column 'zzz'; its columns are 'Delay', 'carrier', 'y'", table, target="zzz")
    refused("data.csv has no column 'carier'; did you mean 'carrier'?", table, overrides={"carier": Role.TEXT})
    refused("data.csv has no column 'wt'; its columns are 'Delay', 'carrier', 'y'", table, weight="wt")
    refused(
        "data.csv needs a target: name one of its columns ('Delay', 'carrier', 'y')", table, OptionError, target=None
    )
    wide = pa.table({f"column{i}": [1, 2] for i in range(25)})
    with pytest.raises(DataError, match=r"'column19' and 5 more$"):
        infer_schema(wide, name="d", target="zzz")


def test_targets_that_cannot_be_learned() -> None:
    a = [1, 2, 3]
    where = "data.csv, column 'y': "
    refused(f"{where}the target is constant ('7') in the 3 rows looked at", pa.table({"a": a, "y": [7, 7, None]}))
    refused(f"{where}the target has no value in the 3 rows looked at", pa.table({"a": a, "y": pa.nulls(3)}))
    names = pa.table({"a": np.arange(N), "y": [f"name{i}" for i in range(N)]})
    refused(f"{where}the target is different text in each of the 60 rows looked at, which are no classes", names)
    dates = pa.array([dt.date(2024, 1, 1)] * 3)
    refused(f"{where}values of type date32[day] cannot be the target", pa.table({"a": a, "y": dates}))


def test_nothing_to_learn_from() -> None:
    refused(
        "data.csv has no column to learn from ('a': it is constant, 'b': all its values are missing)",
        pa.table({"a": [1, 1], "b": pa.nulls(2), "y": [0, 1]}),
    )
    refused("data.csv has no column to learn from", pa.table({"y": [0, 1]}))
    refused("data.csv has no rows", pa.table({"a": pa.array([], pa.int64()), "y": pa.array([], pa.int64())}))


def test_sentences_end_however_many_columns_there_are_and_however_deep_their_types() -> None:
    deep = pa.list_(pa.float64())
    for _ in range(200):
        deep = pa.list_(deep)
    with pytest.raises(DataError) as raised:
        infer(deep=pa.array([None, [], *[None] * (N - 2)], deep), **{f"c{at}": [1] * N for at in range(3000)})
    assert str(raised.value).endswith("'c8': it is constant, and 2,991 more)")
    assert "lists of list<item: list<item:" in str(raised.value)
    assert len(str(raised.value)) < 600


def test_columns_with_one_name() -> None:
    table = pa.table([[1, 2], [3, 4], [0, 1]], names=["a", "a", "y"])
    refused("data.csv has several columns named 'a'", table)


def test_unknown_task() -> None:
    refused("task must be auto, classification or regression, not 'ranking'", pa.table({}), OptionError, task="ranking")
