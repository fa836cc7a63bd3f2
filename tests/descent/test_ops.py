"""The elementary functions on NumPy arrays, Python floats and torch tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from schuss.descent import ops

VALUES = np.array([0.1, 0.5, 1.0, 3.0, 20.0])


@pytest.mark.parametrize("name", ["exp", "log", "log1p", "sqrt"])
def test_torch_and_numpy_give_the_same(name: str) -> None:
    function = getattr(ops, name)
    np.testing.assert_allclose(function(torch.tensor(VALUES)).numpy(), function(VALUES), rtol=1e-14)
    assert float(function(0.5)) == pytest.approx(float(getattr(np, name)(0.5)), rel=1e-15)


def test_log1p_unit_is_log1p() -> None:
    np.testing.assert_array_equal(ops.log1p_unit(VALUES), np.log1p(VALUES))


def test_absolute_maximum_and_where() -> None:
    x, y = np.array([-1.0, 2.0]), np.array([1.0, 0.0])
    tx, ty = torch.tensor(x), torch.tensor(y)
    for ours, theirs in (
        (ops.absolute(x), ops.absolute(tx)), (ops.maximum(x, y), ops.maximum(tx, ty)),
        (ops.where(x > 0, x, y), ops.where(tx > 0, tx, ty)),
    ):  # fmt: skip
        np.testing.assert_array_equal(ours, theirs.numpy())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_constant_has_the_precision_of_its_neighbour(dtype: type) -> None:
    assert ops.constant(0.1, np.zeros(2, dtype)).dtype == dtype
    assert ops.constant(0.1, torch.zeros(2)).dtype == torch.float32


def test_maximum_lets_nan_through() -> None:
    assert np.isnan(ops.maximum(np.float64(np.nan), 0.0))
    assert np.isnan(ops.maximum(0.0, np.float64(np.nan)))
