"""Eigenvalues, traces and spectra beside closed forms and dense matrices."""

from __future__ import annotations

import numpy as np
import pytest
from tests.landscape.grounds import Quadratic, digits, least_squares, with_spectrum

from schuss.descent.losses import Hinge
from schuss.errors import OptionError
from schuss.landscape import (
    eigenpairs,
    eigenvalues,
    hessian,
    hutch_plus_plus,
    hutchinson,
    products_at,
    ravine,
    spectral_density,
    spectrum,
    xtrace,
)
from schuss.landscape.curvature import Krylov


def augmented(objective) -> np.ndarray:
    """Rows with a one for the intercept."""
    rows = objective.rows.rows
    return np.concatenate([rows, np.ones((len(rows), 1))], axis=1)


def test_linear_regression_has_the_moments_of_its_rows_as_curvature() -> None:
    objective = least_squares()
    rows = augmented(objective)
    moments = rows.T @ rows / len(rows)
    weights = np.random.default_rng(1).normal(size=(8, 1))
    found = eigenpairs(products_at(objective, weights), (8, 1), 3, tolerance=1e-9)
    np.testing.assert_allclose(found.values, np.linalg.eigvalsh(moments)[:-4:-1], rtol=1e-10)
    np.testing.assert_allclose(hessian(objective, weights), moments, rtol=1e-12)
    for value, vector, residual in zip(found.values, found.vectors, found.residuals, strict=True):
        true = np.linalg.norm(moments @ vector.ravel() - value * vector.ravel())
        assert true <= residual + 1e-9 * found.values[0]
        assert np.linalg.norm(vector) == pytest.approx(1)


def test_all_nine_copies_of_the_largest_eigenvalue_of_softmax_at_zero_are_seen() -> None:
    objective = digits()
    rows = augmented(objective)
    moments = np.linalg.eigvalsh(rows.T @ rows / len(rows))[::-1] / 10
    weights = np.zeros((65, 10))
    found = eigenpairs(products_at(objective, weights), weights.shape, 12, tolerance=1e-6)
    assert found.converged
    np.testing.assert_allclose(found.values, np.repeat(moments[:2], 9)[:12], rtol=1e-9)
    kronecker = np.kron(rows.T @ rows / len(rows), np.eye(10) / 10 - np.ones((10, 10)) / 100)
    np.testing.assert_allclose(hessian(objective, weights), kronecker, atol=1e-12)
    plain = Krylov(products_at(objective, weights), np.random.default_rng(0).normal(size=650), np.empty((0, 650)), 8)
    while not plain.full:
        plain.extend()
    assert plain.ritz()[0][1] < 0.9 * moments[0]  # one space sees one copy


@pytest.mark.parametrize("spread", [1.0, 1e3, 1e8])
def test_extremes_of_random_matrices(spread: float) -> None:
    rng = np.random.default_rng(3)
    values = np.sort(rng.normal(size=120) * np.geomspace(1, spread, 120))
    ground = Quadratic(with_spectrum(values), np.zeros(120))
    product = products_at(ground, np.zeros(120))
    for smallest, expected in ((False, values[:-7:-1]), (True, values[:6])):
        found = eigenpairs(product, (120,), 6, smallest=smallest)
        assert found.converged
        assert found.products < 200
        assert (abs(found.values - expected) <= found.residuals + 1e-12 * abs(values).max()).all()
        assert (found.residuals <= 1e-3 * abs(values).max()).all()


@pytest.mark.parametrize("copy", [10.4, 1.49, 1.09, 1.0])
def test_copies_among_two_thousand_small_eigenvalues_are_seen(copy: float) -> None:
    for seed in range(10):  # a second space of three products missed one copy in ten
        rng = np.random.default_rng(seed)
        values = np.concatenate([[10.4, 3.1, 1.49, 1.09, 0.94, copy], 0.78 * rng.uniform(size=30)])
        values = np.concatenate([values, 1e-3 * rng.normal(size=2000)])
        found = eigenpairs(lambda v, values=values: values * v, values.shape, 5, seed=seed)
        assert found.converged
        np.testing.assert_allclose(found.values, np.sort(values)[:-6:-1], rtol=1e-5)
        single = eigenpairs(lambda v, values=values: values * v, values.shape, 5, seed=seed, copies=False)
        assert single.products < found.products


def test_a_space_knows_what_it_may_have_missed() -> None:
    values = np.concatenate([np.linspace(-0.5, 0.5, 199), [1.0]])
    missed, steps = [], 12
    for seed in range(200):
        krylov = Krylov(lambda v: values * v, np.random.default_rng(seed).normal(size=200), np.empty((0, 200)), steps)
        while not krylov.full and (len(krylov.diagonal) < 1 or krylov.unseen(1.0) > 0.1):
            krylov.extend()
        missed.append(krylov.ritz()[0][0] < 0.5)
    assert 0 < np.mean(missed) < 0.1


def test_what_has_not_converged_says_so() -> None:
    ground = Quadratic(with_spectrum(np.linspace(0.9, 1.0, 300)), np.zeros(300))
    found = eigenpairs(products_at(ground, np.zeros(300)), (300,), 5, tolerance=1e-6, products=12)
    assert not found.converged
    assert found.products <= 12
    assert found.residuals.max() > 1e-6


def test_more_eigenvalues_than_there_are() -> None:
    ground = Quadratic(np.diag([2.0, 2.0, 0.0, -1.0]), np.zeros(4))
    np.testing.assert_allclose(eigenvalues(ground, np.zeros(4), 9), [2, 2, 0, -1], atol=1e-12)


def test_kinks_have_no_curvature() -> None:
    with pytest.raises(OptionError, match="kinks"):
        eigenvalues(digits(Hinge()), np.zeros((65, 1)))


def test_a_curvature_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        eigenpairs(lambda v: v * np.nan, (3,))


@pytest.mark.parametrize("estimate", [hutchinson, hutch_plus_plus, xtrace])
def test_traces_are_right_on_average_and_know_their_error(estimate) -> None:
    values = np.geomspace(1, 1e-3, 60)
    product = products_at(Quadratic(with_spectrum(values), np.zeros(60)), np.zeros(60))
    found = [estimate(product, 60, 24, seed) for seed in range(200)]
    means = np.array([one.value for one in found])
    off = np.sqrt(((means - values.sum()) ** 2).mean())
    assert means.mean() == pytest.approx(values.sum(), abs=4 * means.std() / np.sqrt(200))
    assert np.mean([one.error for one in found]) == pytest.approx(off, rel=0.5)
    assert all(one.products <= 24 for one in found)


def test_better_estimators_are_better_where_eigenvalues_fall_off() -> None:
    values = np.arange(1, 201) ** -2.0
    product = products_at(Quadratic(with_spectrum(values), np.zeros(200)), np.zeros(200))
    error = {}
    for estimate in (hutchinson, hutch_plus_plus, xtrace):
        for many in (30, 120):
            found = np.array([estimate(product, 200, many, seed).value for seed in range(40)])
            error[estimate, many] = np.sqrt(np.mean((found - values.sum()) ** 2))
    assert error[xtrace, 120] < error[hutch_plus_plus, 120] < 0.2 * error[hutchinson, 120]
    assert error[xtrace, 120] < 0.15 * error[xtrace, 30]  # as 1/s or better
    assert error[hutchinson, 120] > 0.3 * error[hutchinson, 30]  # as 1/√s


def test_the_trace_of_a_matrix_of_low_rank_is_exact() -> None:
    values = np.concatenate([[3.0, 2.0, 1.0], np.zeros(57)])
    product = products_at(Quadratic(with_spectrum(values), np.zeros(60)), np.zeros(60))
    assert xtrace(product, 60, 20).value == pytest.approx(6.0, rel=1e-10)


def test_spectra_of_small_matrices_are_exact_and_of_large_ones_near() -> None:
    small = spectrum(least_squares(), np.zeros((8, 1)))
    assert small.exact
    assert small.mean(lambda nodes: nodes)[1] == 0.0
    values = np.concatenate([np.linspace(0, 1, 800), [-2.0] * 40, [10.0] * 10])
    ground = Quadratic(with_spectrum(values), np.zeros(850))
    found = spectrum(ground, np.zeros(850), probes=6, steps=40)
    assert not found.exact
    for function in (lambda x: x, lambda x: x**2, np.exp):
        mean, error = found.mean(function)
        assert mean == pytest.approx(function(values).mean(), abs=max(5 * error, 1e-9))
    assert found.share_below(-1.0) == pytest.approx(40 / 850, abs=0.02)
    assert found.median_positive() == pytest.approx(np.median(values[values > 0]), abs=0.05)


def test_densities_hold_all_eigenvalues() -> None:
    found = spectrum(Quadratic(with_spectrum(np.linspace(-1, 3, 750)), np.zeros(750)), np.zeros(750), probes=5)
    drawn = spectral_density(found)
    assert drawn.scale == "linear"
    assert np.trapezoid(drawn.density, drawn.grid) == pytest.approx(1, abs=0.01)
    assert (drawn.spread >= 0).all()
    assert drawn.density[np.searchsorted(drawn.grid, 1.0)] == pytest.approx(0.25, rel=0.2)
    decades = spectral_density(spectrum(least_squares(), np.zeros((8, 1))))
    assert decades.scale == "log"
    assert np.trapezoid(decades.density, np.log10(decades.grid)) == pytest.approx(1, abs=0.01)


def test_a_ravine_is_known_by_its_first_eigenvalues() -> None:
    assert ravine(np.arange(20.0, 0, -1), 2.0) == (20 / 11, 10.0)
    assert np.isnan(ravine(np.array([1.0]), float("nan"))).all()
