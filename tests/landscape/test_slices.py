"""Slices, surfaces, kinks and directions beside what they must be."""

from __future__ import annotations

import numpy as np
import pytest
from tests.cases import LOSS_CASES, chunk_of, dense_rows, ids, targets_for, to_sparse
from tests.landscape.grounds import Quadratic, with_spectrum

from schuss.descent.losses import LogLoss
from schuss.errors import OptionError
from schuss.landscape import (
    across,
    few_rows,
    filter_normalised,
    kinks,
    path_directions,
    projected,
    random_direction,
    rates_around,
    slice_along,
    step_sizes,
    surface,
)
from schuss.objective import LinearObjective, in_float64

PIECEWISE = [case for case in LOSS_CASES if not case.loss.smooth]


def problem(case, rows: int, *, sparse: bool = False):
    """An objective in float64, a place, and two directions."""
    values = dense_rows(rows, 4, density=0.6)
    chunk = in_float64(chunk_of(values, targets_for(case, values), np.random.default_rng(1).uniform(0.5, 2, rows)))
    chunk = in_float64(chunk._replace(rows=to_sparse(values))) if sparse else chunk
    center, first, second = np.random.default_rng(2).normal(size=(3, 5, case.outputs))
    return LinearObjective(chunk, case.loss, 0.3), center, first, second


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("case", LOSS_CASES, ids=ids(LOSS_CASES))
def test_a_surface_is_the_loss_itself_at_every_cell(case, sparse: bool) -> None:
    objective, center, first, second = problem(case, 50, sparse=sparse)
    a, b = np.linspace(-1, 1, 7), np.linspace(-2, 1, 5)
    seen = surface(objective, center, first, second, a, b, path=np.stack([center + first, center - 0.5 * second]))
    for j, i in np.ndindex(5, 7):
        one = objective.value_and_gradient(center + a[i] * first + b[j] * second)[0]
        assert seen.losses[j, i] == pytest.approx(one, rel=1e-9)
    assert seen.center_loss == pytest.approx(objective.value_and_gradient(center)[0], rel=1e-9)
    np.testing.assert_allclose(seen.path, [[1, 0], [0, -0.5]], atol=1e-12)
    assert seen.path_losses[0] == pytest.approx(objective.value_and_gradient(center + first)[0], rel=1e-9)


def test_a_slice_of_a_quadratic_is_a_parabola() -> None:
    ground = Quadratic(with_spectrum(np.array([1.0, 2.0, 5.0])), np.ones(3))
    vector = np.linalg.eigh(ground.matrix)[1][:, 2]
    t = np.linspace(-2, 2, 9)
    np.testing.assert_allclose(slice_along(ground, np.ones(3), vector, t).losses, 2.5 * t**2, atol=1e-12)


def test_where_a_loss_overflows_it_is_not_finite_and_nothing_is_said() -> None:
    objective, center, first, _ = problem(next(c for c in LOSS_CASES if c.name == "poisson"), 20)
    losses = slice_along(objective, center, abs(first), np.array([0.0, 1e4])).losses
    assert np.isfinite(losses).tolist() == [True, False]


@pytest.mark.parametrize("rows", [1, 3, 100])
@pytest.mark.parametrize("case", PIECEWISE, ids=ids(PIECEWISE))
def test_kinks_are_where_the_slope_jumps(case, rows: int) -> None:
    objective, center, first, _ = problem(case, 100)
    objective = few_rows(objective, rows)
    found = kinks(objective.rows, case.loss, center, first, -3, 3)
    t = np.linspace(-3, 3, 2001)
    losses = slice_along(objective, center, first, t).losses
    slopes = np.diff(losses) / np.diff(t)
    bent = np.abs(np.diff(slopes)) > 1e-9 * np.abs(slopes).max()
    jumps = {int(place) for place in np.flatnonzero(bent)}
    near = {
        int(cell) for kink in found for cell in ((kink + 3) / 6 * 2000 - np.array([1.001, 0.999, 0, -0.0])).astype(int)
    }
    assert jumps <= near  # no bend without a kink
    edges = np.concatenate([[-3.0], found, [3.0]])
    middles = (edges[1:] + edges[:-1]) / 2
    for low, middle, high in zip(edges, middles, edges[1:], strict=False):  # straight between kinks
        ends = slice_along(objective, center, first, np.array([low, middle, high])).losses
        assert ends[1] == pytest.approx((ends[0] + ends[2]) / 2, abs=1e-9 * abs(ends).max())


def test_the_kinks_of_the_hinge_are_where_margins_are_met() -> None:
    case = next(case for case in PIECEWISE if case.name == "hinge")
    objective, center, first, _ = problem(case, 40)
    rows, signs = objective.rows.rows, 2.0 * objective.rows.targets - 1
    start, move = ((rows @ one[:-1] + one[-1])[:, 0] for one in (center, first))
    margins = (signs * case.loss.margin - start) / move
    expected = np.sort(margins[abs(margins) < 3])
    np.testing.assert_allclose(kinks(objective.rows, case.loss, center, first, -3, 3), expected, rtol=1e-7)


def test_smooth_losses_have_no_kinks() -> None:
    objective, center, first, _ = problem(next(case for case in LOSS_CASES if case.name == "log_loss"), 10)
    with pytest.raises(OptionError, match="not piecewise linear"):
        kinks(objective.rows, LogLoss(), center, first, -1, 1)


def test_random_directions_have_length_one_and_favour_no_axis() -> None:
    drawn = np.stack([random_direction(np.zeros((3, 2)), seed).ravel() for seed in range(2000)])
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1)
    np.testing.assert_allclose(drawn.T @ drawn / 2000, np.eye(6) / 6, atol=0.02)
    assert (random_direction(np.zeros(3), 5) == random_direction(np.zeros(3), 5)).all()


def test_filters_of_a_direction_are_as_long_as_those_of_the_weights() -> None:
    weights, drawn = np.random.default_rng(0).normal(size=(2, 6, 3))
    scaled = filter_normalised(drawn, weights)
    np.testing.assert_allclose(np.linalg.norm(scaled[:-1], axis=0), np.linalg.norm(weights[:-1], axis=0))
    assert (scaled[-1] == 0).all()
    rows = filter_normalised(drawn, weights, [[0, 1], [2]])
    np.testing.assert_allclose(np.linalg.norm(rows[:2]), np.linalg.norm(weights[:2]))
    assert (rows[3:] == 0).all()


def test_directions_across() -> None:
    one, other = np.random.default_rng(0).normal(size=(2, 4, 2))
    found = across(one, other)
    assert np.vdot(found, other) == pytest.approx(0, abs=1e-12)
    assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(other))


def test_a_path_in_a_plane_lies_in_the_plane_of_its_directions() -> None:
    rng = np.random.default_rng(0)
    plane, center = rng.normal(size=(2, 5, 3)), rng.normal(size=(5, 3))
    path = center + np.einsum("kd,dij->kij", rng.normal(size=(9, 2)), plane)
    found, shares = path_directions(path, center, 3)
    assert len(found) == 2
    assert shares.sum() == pytest.approx(1)
    again = center + np.einsum("kd,dij->kij", projected(path, center, found), found)
    np.testing.assert_allclose(again, path, atol=1e-12)


def test_beyond_the_edge_steps_climb() -> None:
    ground = Quadratic(np.diag([4.0, 4.0]), np.zeros(2))
    rates = rates_around(2 / 4.0)
    losses = step_sizes(ground, np.array([1.0, 2.0]), rates)
    before = ground.values(np.array([[1.0, 2.0]]))[0]
    np.testing.assert_array_equal(losses < before, rates < 0.5)
