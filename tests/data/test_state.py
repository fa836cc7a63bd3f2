"""The types that a state is checked against, however NumPy spells them."""

from __future__ import annotations

import json
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from schuss.data import state
from schuss.data.encoder import Encoder
from schuss.data.schema import infer_schema
from schuss.sealed import open_sealed, write_sealed


class Alias:
    """Stands for what `NDArray` is since NumPy 2.5: a name of its own, with the scalar as its one argument."""


@pytest.mark.parametrize("spelling", ["of this NumPy", "of NumPy 2.4", "of NumPy 2.5"])
def test_arrays(spelling: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hint: Any = NDArray[np.float64]
    if spelling == "of NumPy 2.4":
        hint = np.ndarray[tuple[Any, ...], np.dtype[np.float64]]
    elif spelling == "of NumPy 2.5":
        monkeypatch.setattr(state, "NDArray", Alias)
        hint = types.GenericAlias(Alias, (np.float64,))
    assert state.conforms(np.ones(3), hint)
    assert state.conforms(np.ones(3), hint | None)
    for other in (np.ones(3, np.float32), np.ones((3, 1)), np.array([np.nan]), [1.0], None):
        assert not state.conforms(other, hint)


def test_columns_of_all_kinds_in_any_order_come_back() -> None:
    rng = np.random.default_rng(0)
    rows = 60
    columns: dict[str, Any] = {}
    for at in range(12):
        columns[f"number {at}"] = np.where(rng.random(rows) < 0.1 * (at % 3), np.nan, rng.normal(size=rows))
        columns[f"word {at}"] = rng.choice(["a", "b", "c"][: 2 + at % 2], rows)
        columns[f"day {at}"] = np.datetime64("2024-01-01") + rng.integers(0, 500, rows)
        columns[f"text {at}"] = [" ".join(rng.choice(["one", "two", "three", "four"], 3)) + str(i) for i in range(rows)]
    table = pa.table(columns | {"y": rng.integers(0, 2, rows)})
    encoder = Encoder.fit(table, infer_schema(table, name="t", target="y"), name="t")
    assert len({type(column) for column in encoder.features}) == 4
    described, arrays = encoder.to_state()
    assert len(arrays["features.NumberColumn.low"]) == 12
    again = Encoder.from_state(json.loads(json.dumps(described)), arrays)
    assert [column.name for column in again.features] == [column.name for column in encoder.features]
    named = again.to_state()
    assert named[0] == described
    assert arrays.keys() == named[1].keys()
    assert all(np.array_equal(arrays[name], named[1][name]) for name in arrays)


def test_fifty_thousand_columns_fit_into_a_file(tmp_path: Path) -> None:
    """A table of genes; object by object its encoders were more than a file may hold."""
    table = pa.table({"g": np.random.default_rng(0).normal(size=100), "y": [0, 1] * 50})
    small = Encoder.fit(table, infer_schema(table, name="t", target="y"), name="t")
    names = [f"g{at}" for at in range(50_000)]
    gene, goal = small.schema.columns
    schema = replace(small.schema, columns=(*(replace(gene, name=name) for name in names), goal))
    column: Any = small.features[0]
    wide = replace(small, schema=schema, features=tuple(replace(column, name=name) for name in names))
    with (tmp_path / "wide").open("wb") as file:
        write_sealed(file, "model", *wide.to_state())
    assert (tmp_path / "wide").stat().st_size < 20_000_000
    with open_sealed(tmp_path / "wide", "model") as sealed:
        again = Encoder.from_state(sealed.values, {name: sealed.load(name) for name in sealed.arrays})
    assert [one.name for one in again.features] == names
    np.testing.assert_array_equal(again.features[-1].scale.centre, column.scale.centre)
