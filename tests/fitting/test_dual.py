"""Wide sparse problems with kinks: the dual's weights against LIBSVM's, whose intercept is free too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array, random_array
from sklearn.svm import SVC, SVR, LinearSVC

from schuss.descent.losses import EpsilonInsensitive, Hinge
from schuss.fitting import dual
from schuss.fitting import optimum as solver
from schuss.fitting.dual import solve_dual, suits_dual
from schuss.fitting.optimum import optimum
from schuss.fitting.problem import Problem, scaling_of, unscaled

ROWS, FEATURES = 120, 60


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dual, "PASSES", 10_000)


def problem(loss: Any, *, intercept: bool = True, scaled: bool = False) -> Problem:
    rng = np.random.default_rng(0)
    X = csr_array(random_array((ROWS, FEATURES), density=0.1, rng=rng, data_sampler=lambda size: rng.normal(size=size)))
    scores = X @ rng.normal(size=FEATURES) + 0.5 + 0.5 * rng.normal(size=ROWS)
    targets = scores if isinstance(loss, EpsilonInsensitive) else (scores > 0).astype(np.int32)
    weights = rng.integers(1, 4, ROWS).astype(float)
    scaling = scaling_of(X, weights, centred=intercept) if scaled else unscaled(FEATURES)
    return Problem(X, targets, weights, loss, 1, 0.01, 0.0, intercept, scaling)


def of_libsvm(stated: Problem, machine: Any) -> np.ndarray:
    """Raw weights; LIBSVM takes C times the weight of a row, and penalises weights of the features it is given."""
    X = stated.X @ csr_array(np.diag(stated.scaling.factor))
    machine.fit(X, stated.targets, sample_weight=stated.weights / stated.weights.sum() / stated.l2)
    raw = np.asarray(machine.coef_.todense()).ravel() * stated.scaling.factor
    return np.append(raw, machine.intercept_)[:, None]


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize(
    ("loss", "machine"),
    [
        (Hinge(), SVC(C=1.0, kernel="linear", tol=1e-8)),
        (EpsilonInsensitive(0.2), SVR(C=1.0, kernel="linear", epsilon=0.2, tol=1e-8)),
    ],
)
def test_weights_are_those_of_libsvm(loss: Any, machine: Any, scaled: bool) -> None:
    stated = problem(loss, scaled=scaled)
    found = solve_dual(stated, passes=10_000, tol=1e-9)
    wanted = of_libsvm(stated, machine)
    weights = stated.scaling.scaled(wanted)
    assert found.value <= stated.values(weights[None])[0] + 1e-7
    np.testing.assert_allclose(stated.scaling.raw(found.weights)[:-1], wanted[:-1], atol=1e-3)


def test_without_an_intercept_weights_are_those_of_liblinear() -> None:
    stated = replace(problem(Hinge(), intercept=False), weights=np.ones(ROWS))
    found = solve_dual(stated, passes=10_000, tol=1e-9)
    machine = LinearSVC(
        loss="hinge", C=1 / ROWS / stated.l2, fit_intercept=False, tol=1e-9, max_iter=1_000_000, random_state=0
    )
    machine.fit(stated.X, stated.targets)
    np.testing.assert_allclose(found.weights[:-1, 0], machine.coef_[0], atol=1e-5)
    assert found.weights[-1, 0] == 0


def test_a_weight_of_two_is_two_rows() -> None:
    once = problem(Hinge())
    times = np.repeat(np.arange(ROWS), once.weights.astype(int))
    twice = replace(once, X=once.X[times], targets=once.targets[times], weights=np.ones(len(times)))
    found = [solve_dual(one, passes=10_000, tol=1e-9).weights[:-1] for one in (once, twice)]
    np.testing.assert_allclose(*found, atol=1e-6)


def test_rows_of_zeros_and_a_margin() -> None:
    stated = problem(Hinge())
    X = stated.X.copy()
    X.data[X.indptr[3] : X.indptr[4]] = 0.0
    X.eliminate_zeros()
    doubled = replace(stated, X=X, loss=Hinge(2.0))
    found = solve_dual(doubled, passes=10_000, tol=1e-9)
    nearby = optimum(replace(doubled, X=X.toarray()), np.zeros(stated.shape), passes=10_000, tol=1e-6)
    assert found.converged
    other = doubled.values(nearby.weights[None])[0]
    assert found.value <= other + 1e-9
    assert found.value == pytest.approx(other, abs=1e-3)


def test_what_is_for_the_dual() -> None:
    stated = problem(Hinge())
    assert suits_dual(stated)
    assert not suits_dual(replace(stated, l2=0.0))
    assert not suits_dual(replace(stated, l1=0.01))
    assert not suits_dual(replace(stated, X=stated.X.toarray()))
    assert not suits_dual(replace(stated, X=stated.X[:, :5], scaling=unscaled(5)))


@pytest.mark.parametrize("loss", [Hinge(), EpsilonInsensitive(0.1)])
def test_large_problems_are_solved_there_and_go_on_elsewhere_when_it_takes_too_long(
    loss: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stated = problem(loss)
    start = np.zeros(stated.shape)
    monkeypatch.setattr(solver, "is_small", lambda _: False)
    whole = optimum(stated, start, passes=1000, tol=1e-6)
    assert whole.converged
    assert whole.passes < 1000
    monkeypatch.setattr(dual, "PASSES", 2)
    other = optimum(stated, start, passes=10_000, tol=1e-3)
    assert other.passes > 2
    assert stated.values(other.weights[None])[0] == pytest.approx(stated.values(whole.weights[None])[0], abs=2e-3)
