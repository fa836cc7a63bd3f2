"""L-BFGS beside SciPy's: the same minima for about as many evaluations; how it ends; where f is not finite."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import minimize, rosen, rosen_der

from schuss.descent.quasi_newton import CURVATURE, SUFFICIENT, Outcome, _Pairs, minimise_smooth


def quadratic(condition: float, size: int = 40):
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.normal(size=(size, size)))
    curvatures = np.geomspace(1.0, condition, size)
    hessian = (basis * curvatures) @ basis.T
    optimum = rng.normal(size=size)

    def function(x):
        slope = hessian @ (x - optimum)
        return float(0.5 * (x - optimum) @ slope), slope

    return function, np.zeros(size)


def logistic(l2: float):
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(300, 25)) * np.geomspace(0.1, 10.0, 25)
    signs = np.sign(rows @ rng.normal(size=25) + rng.logistic(size=300) * 5)

    def function(w):
        margins = signs * (rows @ w)
        pulls = -signs * np.exp(-np.logaddexp(0, margins)) / len(rows)
        return float(np.logaddexp(0, -margins).mean() + l2 / 2 * w @ w), rows.T @ pulls + l2 * w

    return function, np.zeros(25)


def rosenbrock(size: int):
    return (lambda x: (float(rosen(x)), rosen_der(x))), np.tile([-1.2, 1.0], size // 2)


def quartic():
    return (lambda x: (float((x**4).sum()), 4 * x**3)), np.linspace(-3, 3, 8)


def cliff():
    """x − log x, which is not defined where a long first step would lead."""

    def function(x):
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(np.sum(x - np.log(x))), 1 - 1 / x

    return function, np.array([0.01, 50.0, 3.0])


PROBLEMS = {
    "rosenbrock 2": rosenbrock(2),
    "rosenbrock 30": rosenbrock(30),
    "quadratic 1e2": quadratic(1e2),
    "quadratic 1e6": quadratic(1e6),
    "logistic": logistic(1e-2),
    "logistic, hardly a penalty": logistic(1e-6),
    "quartic": quartic(),
}


class Counted:
    """A function that counts its evaluations."""

    def __init__(self, function: Callable):
        self.function, self.calls = function, 0

    def __call__(self, x):
        self.calls += 1
        return self.function(x)


@pytest.mark.parametrize("corrections", [5, 20])
@pytest.mark.parametrize("name", PROBLEMS)
def test_scipys_minimum_for_about_as_many_evaluations(name: str, corrections: int) -> None:
    function, start = PROBLEMS[name]
    ours, theirs = Counted(function), Counted(function)
    found = minimise_smooth(ours, start, corrections=corrections, decrease=1e-15, slope=1e-7)
    options = {"maxcor": corrections, "ftol": 1e-15, "gtol": 1e-7, "maxiter": 15_000, "maxfun": 15_000}
    expected = minimize(theirs, start, jac=True, method="L-BFGS-B", options=options)
    assert found.value == pytest.approx(expected.fun, rel=1e-9, abs=1e-9)
    assert ours.calls <= 1.25 * theirs.calls + 5, f"{ours.calls} evaluations, SciPy's {theirs.calls}"
    value, gradient = function(found.point)
    assert found.value == value
    np.testing.assert_array_equal(found.gradient, gradient)


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_step_falls_as_the_first_wolfe_condition_asks(name: str) -> None:
    function, start = PROBLEMS[name]
    values = [minimise_smooth(function, start, iterations=k, slope=0.0, decrease=-1.0).value for k in range(12)]
    assert all(after < before for before, after in pairwise(values))


def test_the_first_step_meets_both_wolfe_conditions() -> None:
    function, start = PROBLEMS["rosenbrock 30"]
    value, gradient = function(start)
    first = minimise_smooth(function, start, iterations=1)
    step = first.point - start
    assert first.value <= value + SUFFICIENT * gradient @ step
    assert abs(first.gradient @ step) <= CURVATURE * abs(gradient @ step)


def test_where_the_function_is_not_defined_steps_are_shorter() -> None:
    function, start = cliff()
    np.testing.assert_allclose(minimise_smooth(function, start, decrease=0.0).point, np.ones(3), rtol=1e-4)


def test_how_it_ends() -> None:
    function, start = PROBLEMS["logistic"]
    assert minimise_smooth(function, start, decrease=0.0).outcome is Outcome.SLOPE
    assert minimise_smooth(function, start, slope=0.0).outcome is Outcome.DECREASE
    assert minimise_smooth(function, start, iterations=3).outcome is Outcome.ITERATIONS
    rising = minimise_smooth(lambda x: (0.0, np.ones(2)), np.zeros(2), decrease=0.0)
    assert rising.outcome is Outcome.NO_STEP
    assert rising.iterations == 0
    solved = minimise_smooth(function, minimise_smooth(function, start, decrease=0.0).point)
    assert (solved.outcome, solved.iterations) == (Outcome.SLOPE, 0)


def test_digits_that_end_are_no_endless_search() -> None:
    """Values in float32, as products of float32 rows give them."""
    function, start = PROBLEMS["logistic"]
    counted = Counted(lambda x: (float(np.float32(function(x)[0])), function(x)[1].astype(np.float32).astype(float)))
    found = minimise_smooth(counted, start, decrease=0.0, slope=0.0)
    assert counted.calls < 500
    assert found.value == pytest.approx(minimise_smooth(function, start, decrease=0.0).value, rel=1e-6)


def test_what_the_function_raises_passes_through() -> None:
    def function(x):
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        minimise_smooth(function, np.zeros(2))


def test_a_function_without_a_minimum_ends() -> None:
    found = minimise_smooth(lambda x: (float(-x.sum()), -np.ones(3)), np.zeros(3), iterations=20)
    assert math.isfinite(found.value)
    assert found.outcome is Outcome.ITERATIONS


def test_with_the_inverse_hessian_a_quadratic_is_solved_in_a_step() -> None:
    """And a guess that is only half right is corrected by the steps."""
    function, start = PROBLEMS["quadratic 1e6"]
    hessian = np.column_stack([function(unit)[1] - function(start)[1] for unit in np.eye(len(start))])
    exact = minimise_smooth(function, start, inverse=lambda along: np.linalg.solve(hessian, along))
    assert exact.iterations <= 2
    assert exact.value == pytest.approx(0.0, abs=1e-9)
    rough = np.linalg.inv(hessian + 10 * np.eye(len(start)))
    found = minimise_smooth(function, start, inverse=lambda along: rough @ along, decrease=1e-12)
    alone = minimise_smooth(function, start, decrease=1e-12, slope=0.0)
    assert found.value == pytest.approx(0.0, abs=1e-9)
    assert found.iterations < alone.iterations / 2


def test_with_the_inverse_hessian_it_ends_where_next_to_nothing_is_to_be_gained() -> None:
    function, start = PROBLEMS["quadratic 1e2"]
    value = function(start)[0]
    found = minimise_smooth(function, start, inverse=lambda along: along / 100, decrease=value, slope=0.0)
    assert (found.outcome, found.iterations) == (Outcome.SLOPE, 0)


def two_loops(gradient: np.ndarray, pairs: list[tuple[np.ndarray, np.ndarray]], first: np.ndarray | None) -> np.ndarray:
    """Algorithm 7.4 of Nocedal and Wright, as it is written there."""
    result, shares = gradient.copy(), []
    for step, change in reversed(pairs):
        shares.append(step @ result / (step @ change))
        result -= shares[-1] * change
    step, change = pairs[-1]
    result = step @ change / (change @ change) * result if first is None else first @ result
    for (step, change), share in zip(pairs, reversed(shares), strict=True):
        result += step * (share - change @ result / (step @ change))
    return result


@pytest.mark.parametrize("given", [False, True])
def test_products_with_the_inverse_hessian_are_those_of_the_recursion(given: bool) -> None:
    rng = np.random.default_rng(5)
    root = rng.normal(size=(12, 12))
    hessian, first = root @ root.T + np.eye(12), np.diag(rng.uniform(0.1, 1.0, 12)) if given else None
    pairs, kept = _Pairs(4, 12, curved=given), []
    for number in range(11):
        if number == 7:
            pairs.clear()
            kept = []
        step = rng.normal(size=12)
        change = hessian @ step
        pairs.remember(step, change, change if first is None else first @ change)
        pairs.remember(step, -change, -change)  # curvature below zero: not kept
        kept = [*kept, (step, change)][-4:]
        gradient = rng.normal(size=12)
        found = pairs.times(gradient, gradient if first is None else first @ gradient)
        np.testing.assert_allclose(found, two_loops(gradient, kept, first), rtol=1e-8, atol=1e-10)
