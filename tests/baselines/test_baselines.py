"""Every rung of the ladder: it goes down, is the same for the same seed, counts what it reads, and meets its oracle."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.optimize
import torch
from tests.cases import LOSSES_BY_NAME, chunk_of, dense_rows, targets_for, to_sparse

from schuss.baselines import METHODS, Step, follow, steepest_curvature
from schuss.baselines.slope import SUFFICIENT
from schuss.descent.optimizers import Adam, Momentum
from schuss.objective import LinearObjective, in_float64

SEARCHES = ("random search", "random local search", "simulated annealing")
EXACT = ("gradient descent", "backtracking", "numerical gradient", "Newton", "L-BFGS")


def objective_of(name: str = "softmax", rows: int = 200, features: int = 5, l2: float = 0.02, sparse: bool = False):
    case = LOSSES_BY_NAME[name]
    values = dense_rows(rows, features, density=0.5 if sparse else 1.0)
    chunk = chunk_of(values, targets_for(case, values))
    chunk = chunk._replace(rows=to_sparse(values)) if sparse else chunk
    return LinearObjective(in_float64(chunk), case.loss, l2), np.zeros((features + 1, case.outputs))


def walk(method: str, objective, start, seed: int = 0, **settings):
    return METHODS[method](objective, start, np.random.default_rng(seed), **settings)


def optimum(objective, start) -> float:
    """The minimum by SciPy."""

    def flat(w):
        value, gradient = objective.value_and_gradient(w.reshape(start.shape))
        return value, gradient.ravel()

    return scipy.optimize.minimize(flat, start.ravel(), jac=True, method="BFGS", options={"gtol": 1e-9}).fun


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_goes_down_and_the_same_seed_goes_the_same_way(method: str, sparse: bool) -> None:
    objective, start = objective_of(sparse=sparse)
    first, again = (follow(walk(method, objective, start), most=60) for _ in range(2))
    np.testing.assert_array_equal(first.weights, again.weights)
    assert [point[1:] for point in first.points] == [point[1:] for point in again.points]
    before, after = objective.values(np.stack([start, first.weights]))
    assert after < before - 0.02
    if method in SEARCHES:
        assert not np.array_equal(first.weights, follow(walk(method, objective, start, 1), most=60).weights)


@pytest.mark.parametrize("method", METHODS)
def test_tells_its_own_loss_and_counts_up(method: str) -> None:
    objective, start = objective_of()
    steps = list(itertools.islice(walk(method, objective, start), 50))
    np.testing.assert_array_equal(steps[0].weights, start)
    assert all(a.rows <= b.rows for a, b in itertools.pairwise(steps))
    if method not in ("one row", "mini-batch"):
        told = objective.values(np.stack([step.weights for step in steps]))
        np.testing.assert_allclose([step.loss for step in steps], told, rtol=1e-12)


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("name", ["softmax", "log_loss", "squared_error"])
def test_reaches_the_minimum(method: str, name: str) -> None:
    objective, start = objective_of(name, features=3)
    end = follow(walk(method, objective, start), most=700)
    value = objective.values(end.weights[None])[0]
    assert value == pytest.approx(optimum(objective, start), abs=2e-4 if method == "gradient descent" else 1e-6)


def test_looks_are_counted() -> None:
    objective, start = objective_of(rows=100, features=5)
    looks = {"value": 0}

    class Counting:
        pass_rows = 100

        def values(self, candidates):
            looks["value"] += 1
            return objective.values(candidates)

        def value_and_gradient(self, weights):
            looks["value"] += 1
            return objective.value_and_gradient(weights)

        def hessian_product(self, weights, direction):
            looks["value"] += 1
            return objective.hessian_product(weights, direction)

    for method in (*SEARCHES, *EXACT):
        looks["value"] = 0
        *_, last = itertools.islice(walk(method, Counting(), start), 20)
        assert last.rows == 100 * looks["value"], method


def test_gradient_descent_steps_by_one_over_the_steepest_curvature() -> None:
    objective, start = objective_of("squared_error")
    rows = np.column_stack([objective.rows.rows, np.ones(200)])
    hessian = rows.T @ rows / 200 + 0.02 * np.diag([1, 1, 1, 1, 1, 0])
    steepest = np.linalg.eigvalsh(hessian).max()
    assert steepest_curvature(objective, start, np.random.default_rng(0), 60) == pytest.approx(steepest, rel=1e-3)
    steps = list(itertools.islice(walk("gradient descent", objective, start, looks=60), 70))
    moved = next(step for step in steps if np.any(step.weights != start)).weights
    np.testing.assert_allclose(moved, -objective.value_and_gradient(start)[1] / steepest, rtol=1e-3)


def test_backtracking_keeps_armijos_promise() -> None:
    objective, start = objective_of()
    steps = list(itertools.islice(walk("backtracking", objective, start), 30))
    for here, there in itertools.pairwise(steps):
        gradient = objective.value_and_gradient(here.weights)[1]
        moved = there.weights - here.weights
        assert there.loss <= here.loss + SUFFICIENT * np.vdot(gradient, moved)
        cosine = np.vdot(gradient, moved) / np.linalg.norm(gradient) / np.linalg.norm(moved)
        assert cosine == pytest.approx(-1)


def test_newton_solves_a_square_in_one_step() -> None:
    objective, start = objective_of("squared_error", l2=0.0)
    rows = np.column_stack([objective.rows.rows, np.ones(200)])
    solution = np.linalg.lstsq(rows, objective.rows.targets.astype(float), rcond=None)[0]
    steps = walk("Newton", objective, start)
    reached = [step.weights for step in itertools.islice(steps, 60)][-1]
    np.testing.assert_allclose(reached.ravel(), solution, atol=1e-8)


@pytest.mark.parametrize(
    ("rule", "peer"),
    [
        (None, lambda p: torch.optim.SGD(p, lr=0.05)),
        (Momentum(), lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9)),
        (Adam(), lambda p: torch.optim.Adam(p, lr=0.05)),
    ],
)
def test_mini_batches_step_as_torch_does(rule, peer) -> None:
    objective, start = objective_of("log_loss", l2=0.0)
    steps = walk("mini-batch", objective, start, rule=rule, rate=0.05, order="keep", batch=30)
    weights = torch.zeros(start.shape, dtype=torch.float64, requires_grad=True)
    optimizer = peer([weights])
    rows, targets = torch.tensor(objective.rows.rows), torch.tensor(objective.rows.targets, dtype=torch.float64)
    batches = itertools.cycle([slice(i, i + 30) for i in range(0, 200, 30)])
    for step, batch in zip(itertools.islice(steps, 50), batches, strict=False):
        np.testing.assert_allclose(step.weights, weights.detach().numpy(), rtol=1e-9, atol=1e-12)
        optimizer.zero_grad()
        scores = rows[batch] @ weights[:-1] + weights[-1]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(scores[:, 0], targets[batch])
        assert step.loss == pytest.approx(loss.item(), rel=1e-9)
        loss.backward()
        optimizer.step()


@pytest.mark.parametrize("order", ["shuffle", "once", "replace", "keep"])
def test_orders(order: str) -> None:
    seen = []

    class Watching:
        pass_rows, l2 = 10, 0.0

        def part(self, places):
            seen.append(places)
            return objective.part(places)

    objective, start = objective_of("log_loss", rows=10)
    list(itertools.islice(walk("mini-batch", Watching(), start, batch=4, order=order), 6))
    first, second = np.concatenate(seen[:3]), np.concatenate(seen[3:])
    assert (sorted(first) == list(range(10))) == (order != "replace")
    assert np.array_equal(first, second) == (order in ("once", "keep"))
    assert np.array_equal(first, np.arange(10)) == (order == "keep")


def test_annealing_climbs_and_local_search_does_not() -> None:
    class TwoValleys:
        """A poor minimum at −1, a deep one at 2, and a hill between."""

        pass_rows = 1

        def values(self, candidates):
            x = candidates[:, 0]
            return 0.4 * (x + 1) ** 2 * (x - 2) ** 2 - 0.5 * x

    start, small = np.array([-1.0]), (0.3, 0.3)
    one = {"candidates": 1, "scales": small}
    warm = {"temperature": 1.0, "cooling": 0.998}
    stuck = follow(walk("random local search", TwoValleys(), start, **one), most=3000)
    free = follow(walk("simulated annealing", TwoValleys(), start, **one, **warm), most=3000)
    assert stuck.weights[0] < 0 < free.weights[0]


def test_follow_keeps_the_clock_and_the_points_apart() -> None:
    now = iter(range(10_000))
    steps = (Step(np.full(1, i), 1.0 / (i + 1), i) for i in itertools.count())
    ended = follow(steps, seconds=1000, clock=lambda: float(next(now)), judge=lambda w: float(-w[0]))
    assert ended.outcome == "out of time"
    assert ended.points[0].loss == 0
    assert ended.points[-1].loss == -ended.points[-1].rows
    assert 60 < len(ended.points) < 200
    assert ended.points[-1].seconds == pytest.approx(1000, abs=2)


def test_follow_sees_divergence_and_the_end() -> None:
    objective, start = objective_of("squared_error")
    with np.errstate(all="ignore"):
        lost = follow(walk("gradient descent", objective, start, rate=1e3), most=2000)
    assert lost.outcome == "diverged"
    assert follow(walk("L-BFGS", objective, start), most=2000).outcome == "converged"
    assert follow(walk("random search", objective, start), rows=1000).outcome == "out of time"
