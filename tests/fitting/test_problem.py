"""How features are scaled, against the formula and against rows repeated."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from schuss.descent.losses import LogLoss
from schuss.fitting.problem import Problem, scaling_of


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_weights_are_repeated_rows_and_the_rows_stay_as_they_are(kind: type, order: str) -> None:
    rng = np.random.default_rng(0)
    X = np.array(rng.normal(size=(50, 4)) * [1.0, 1e3, 1e-3, 0.0] + [0.0, 5.0, 1.0, 7.0], kind, order=order)
    given, counts = X.copy(), rng.integers(1, 4, 50)
    found = scaling_of(X, counts.astype(np.float64), centred=True)
    repeated = np.repeat(X, counts, axis=0).astype(np.float64)
    deviation = repeated.std(axis=0)
    np.testing.assert_allclose(found.centre, repeated.mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.factor, [*(1.0 / deviation[:3]), 1.0], rtol=1e-10)
    np.testing.assert_array_equal(X, given)


def test_sparse_rows_are_scaled_as_dense_ones_are() -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(40, 5)) * (rng.random((40, 5)) < 0.4)
    weights = rng.uniform(0.5, 2.0, 40)
    for ours, sparse in zip(
        scaling_of(X, weights, centred=True), scaling_of(csr_array(X), weights, centred=True), strict=True
    ):
        np.testing.assert_allclose(sparse, ours, rtol=1e-12)


def test_squares_of_large_values_do_not_overflow() -> None:
    X = np.array([[1e300], [3e300]])
    assert scaling_of(X, np.ones(2), centred=True).factor == pytest.approx(1e-300)


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("places", [range(30), [3, 4, 20], []], ids=["all", "some", "none"])
def test_scaled_rows_are_those_at_the_places(places: list[int], sparse: bool) -> None:
    rng = np.random.default_rng(2)
    X, weights = rng.normal(size=(30, 4)) * (rng.random((30, 4)) < 0.5), np.ones(30)
    scaling = scaling_of(X, weights, centred=True)
    rows = csr_array(X) if sparse else X
    problem = Problem(rows, rng.integers(0, 2, 30), weights, LogLoss(), 1, 0.1, 0.0, True, scaling)
    for _ in range(2):  # the second time from what is kept
        found = problem.scaled_rows(np.array(places, np.intp))
        assert found.shape == (len(places), 5)
        expected = (X[np.array(places, int)] - X.mean(axis=0)) / X.std(axis=0)
        np.testing.assert_allclose(found[:, :-1], expected, rtol=1e-10, atol=1e-12)
        np.testing.assert_array_equal(found[:, -1], 1.0)
