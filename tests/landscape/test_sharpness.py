"""Sharpness, volumes, bits and noise beside closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from tests.cases import to_sparse
from tests.landscape.grounds import Quadratic, digits, with_spectrum

from schuss.landscape import (
    basin_radii,
    bits_needed,
    decision_boundary,
    ellipsoid_volume,
    keskar_sharpness,
    noise_scale,
    noise_scale_by_batches,
    touched,
    volume_by_rays,
)


def test_keskar_sharpness_of_a_quadratic_is_that_of_a_corner() -> None:
    ground = Quadratic(np.diag([1.0, 10.0, 100.0]), np.array([1.0, -2.0, 0.0]))
    corner = 1e-3 * np.array([2.0, 3.0, 1.0])
    expected = 100 * (corner**2 @ [1.0, 10.0, 100.0]) / 2
    assert keskar_sharpness(ground, ground.minimum) == pytest.approx(expected, rel=1e-6)


def test_radii_of_a_quadratic_are_those_of_its_ellipsoid() -> None:
    values = np.array([0.5, 1.0, 20.0])
    ground = Quadratic(np.diag(values), np.ones(3))
    radii = basin_radii(ground, np.ones(3), 0.3, directions=500, seed=4)
    assert np.sqrt(0.6 / 20) <= radii.min() * 1.001
    assert radii.max() <= np.sqrt(0.6 / 0.5) * 1.001
    size = np.log(4 / 3 * np.pi) + 0.5 * np.log(0.6**3 / values.prod())
    assert ellipsoid_volume(values, 0.3) == pytest.approx(size, rel=1e-12)
    assert volume_by_rays(radii, 3) == pytest.approx(size, abs=0.2)


def test_radii_are_infinite_where_the_loss_never_rises() -> None:
    assert np.isinf(basin_radii(Quadratic(np.zeros((2, 2)), np.zeros(2)), np.zeros(2), 1.0, directions=3)).all()


def test_rays_miss_nearly_all_of_a_volume_in_a_thousand_dimensions() -> None:
    values = np.geomspace(1, 100, 1000)
    rays = np.random.default_rng(0).normal(size=(3000, 1000))
    rays /= np.linalg.norm(rays, axis=1)[:, None]
    radii = np.sqrt(1 / (rays**2 @ values))
    missed = volume_by_rays(radii, 1000) - ellipsoid_volume(values, 0.5)
    assert -330 < missed < -250


def test_a_minimum_without_curvature_somewhere_has_no_volume() -> None:
    assert np.isnan(ellipsoid_volume(np.array([1.0, 0.0]), 1.0))


def test_flat_minima_need_fewer_bits() -> None:
    minimum = np.random.default_rng(0).uniform(-1, 1, 50)
    needed = [bits_needed(Quadratic(np.eye(50) * steep, minimum), minimum, 1e-3).needed for steep in (1e-2, 1.0, 1e2)]
    assert needed[0] < needed[1] < needed[2]
    assert needed[2] - needed[0] == pytest.approx(np.log2(1e4) / 2, abs=1)  # half a bit for each factor of two
    found = bits_needed(Quadratic(np.eye(50), minimum), minimum, 1e-3)
    first = found.bits.index(found.needed)
    assert (found.losses[first:] <= 1e-3).all()
    assert found.losses[first - 1] > 1e-3
    assert bits_needed(Quadratic(np.eye(50) * 1e12, minimum), minimum, 1e-3).needed is None


def test_the_noise_scale_is_that_of_the_gradients_of_single_rows() -> None:
    objective = digits(rows=200)
    weights = np.random.default_rng(0).normal(size=(65, 10)) * 0.1
    single = np.array([objective.part(np.array([row])).value_and_gradient(weights)[1].ravel() for row in range(200)])
    mean = single.mean(axis=0)
    expected = single.var(axis=0, ddof=1).sum() / (mean @ mean)
    found = noise_scale(objective, weights)
    assert found.scale == pytest.approx(expected, rel=1e-9)
    sparse = objective.rows._replace(rows=to_sparse(objective.rows.rows))
    again = noise_scale(type(objective)(sparse, objective.loss, 0.0), weights)
    assert again.scale == pytest.approx(expected, rel=1e-4)


def test_two_batch_sizes_find_the_noise_scale() -> None:
    objective = digits(rows=1797)
    weights = np.zeros((65, 10))
    for _ in range(200):  # near the minimum the gradient is small, and batches must be large
        weights -= 0.5 * objective.value_and_gradient(weights)[1]
    exact = noise_scale(objective, weights)
    assert exact.scale == pytest.approx(1156.2, rel=1e-3)
    found = noise_scale_by_batches(objective, weights, small=16, large=1024, draws=500, seed=1)
    assert abs(found.scale - exact.scale) < 3 * found.error
    assert 0.02 * exact.scale < found.error < 0.1 * exact.scale


def test_features_that_few_rows_touch_are_rare_in_either_layout() -> None:
    rows = np.zeros((1000, 4), np.float32)
    rows[:, 0] = np.random.default_rng(0).normal(size=1000)
    rows[:500, 1], rows[:5, 2] = 1, 1
    for given in (rows, to_sparse(rows)):
        found = touched(given)
        np.testing.assert_allclose(found.shares, [1, 0.5, 0.005, 0], atol=2e-3)
        assert found.rare == 0.5
    standardised = touched((rows - rows.mean(axis=0)) / 3)
    np.testing.assert_allclose(standardised.shares, [1, 0.5, 0.005, 0], atol=2e-3)
    assert found.quantiles()["0.5"] == pytest.approx(0.2525)


def test_a_boundary_in_many_dimensions_is_drawn_on_the_plane_of_most_spread() -> None:
    rng = np.random.default_rng(0)
    basis = with_spectrum(np.arange(1.0, 7.0))
    axis = np.linalg.eigh(basis)[1][:, -1]
    rows = rng.normal(size=(400, 6)) @ basis
    found = decision_boundary(lambda rows: (rows @ axis > 0).astype(np.intp), rows, 41)
    assert found.share == pytest.approx((36 + 25) / 91, abs=0.05)
    across_axis = found.classes[:, :3].mean(), found.classes[:, -3:].mean()
    assert sorted(across_axis) == [0.0, 1.0]
    assert found.points.shape == (400, 2)
