"""Turned rows: sums and Hessians as NumPy has them in double precision, and nothing of what is left out."""

from __future__ import annotations

import numpy as np
import pytest
from tests.cases import LOSS_CASES, LOSSES_BY_NAME, LossCase, ids, problem, uncompiled

from schuss.data.chunk import Chunk, join, take
from schuss.finish import turned as room
from schuss.finish.turned import Turned, hessian_of_turned, sums_of_turned, turn, turn_every
from schuss.objective import LinearObjective

SOLVABLE = [case for case in LOSS_CASES if case.loss.smooth and case.loss.convex]
COMPILED = ("log_loss", "softmax", "squared_error")
"""Losses whose kernels other tests compile; those of the others would take twelve seconds."""


def weighed(name: str, rows: int, features: int = 5) -> Chunk:
    weights = np.random.default_rng(1).uniform(0.0, 2.0, rows).astype(np.float32)
    return problem(name, rows, features)._replace(weights=weights)


def weights_for(features: int, outputs: int) -> np.ndarray:
    return np.random.default_rng(2).normal(size=(features + 1, outputs)) / 2


def mean(turned: Turned, case: LossCase, weights: np.ndarray) -> tuple[float, np.ndarray]:
    value, gradient = sums_of_turned(turned, case.loss, weights)
    return value / turned.weight, gradient / turned.weight


@pytest.mark.parametrize("case", SOLVABLE, ids=ids(SOLVABLE))
def test_every_loss_has_the_value_gradient_and_hessian_of_double_precision(
    case: LossCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    if case.name not in COMPILED:
        monkeypatch.setattr(room.store, "run", uncompiled)
    chunk, weights = weighed(case.name, 403), weights_for(5, case.outputs)
    whole = LinearObjective(chunk, case.loss, 0.0)
    turned, _ = turn([chunk])
    value, gradient = mean(turned, case, weights)
    expected, slopes = whole.value_and_gradient(weights)
    assert value == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-5, atol=1e-5)
    found = hessian_of_turned(turned, case.loss, weights)
    np.testing.assert_allclose(found, whole.hessian(weights), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("features", [1, 2, 3, 4, 16, 37])
@pytest.mark.parametrize("rows", [1, 15, 16, 5_000])
@pytest.mark.parametrize("name", ["log_loss", "softmax"])
def test_any_number_of_rows_and_features(name: str, rows: int, features: int) -> None:
    case, chunk = LOSSES_BY_NAME[name], weighed(name, rows, features)
    weights, whole = weights_for(features, case.outputs), LinearObjective(chunk, case.loss, 0.0)
    turned, spans = turn(
        [take(chunk, np.arange(0)), take(chunk, np.arange(rows // 3)), take(chunk, np.arange(rows // 3, rows))]
    )
    assert turned.weight == pytest.approx(float(chunk.weights.sum()), rel=1e-6)
    assert [begin for begin, _ in spans] == [0, 0, spans[1][1]]
    expected, slopes = whole.value_and_gradient(weights)
    value, gradient = mean(turned, case, weights)
    assert value == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        hessian_of_turned(turned, case.loss, weights), whole.hessian(weights), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("every", [1, 2, 3, 50])
@pytest.mark.parametrize("rows", [0, 1, 16, 33, 100])
def test_every_nth_row_is_turned(rows: int, every: int) -> None:
    chunk = take(weighed("log_loss", 100, 3), np.arange(rows))
    turned, places = turn_every(chunk, every), range(0, rows, every)
    assert turned.weight == pytest.approx(float(chunk.weights[::every].sum()))
    assert turned.rows.shape == (-(-len(places) // 16), 4, 16)
    for number, place in enumerate(places):
        vector, lane = divmod(number, 16)
        np.testing.assert_array_equal(turned.rows[vector, :, lane], [*chunk.rows[place], 1.0])
        assert turned.targets[vector, lane] == chunk.targets[place]
        assert turned.weights[vector, lane] == chunk.weights[place]
    assert np.count_nonzero(turned.weights) == len(places)


@pytest.mark.parametrize("name", ["log_loss", "softmax"])
def test_what_is_left_out_is_not_looked_at(name: str) -> None:
    case, weights = LOSSES_BY_NAME[name], weights_for(5, LOSSES_BY_NAME[name].outputs)
    chunk = weighed(name, 400)
    parts = [take(chunk, np.arange(place, 400, 3)) for place in range(3)]
    for place in range(3):
        spoiled = [
            part if n != place else part._replace(rows=np.full_like(part.rows, np.nan)) for n, part in enumerate(parts)
        ]
        turned, spans = turn(spoiled)
        value, gradient = mean(turned.without(*spans[place]), case, weights)
        others = join([part for n, part in enumerate(parts) if n != place])
        expected, slopes = LinearObjective(others, case.loss, 0.0).value_and_gradient(weights)
        assert value == pytest.approx(expected, rel=1e-6)
        np.testing.assert_allclose(gradient, slopes, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["log_loss", "softmax"])
def test_compiled_is_uncompiled(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case, weights = LOSSES_BY_NAME[name], weights_for(5, LOSSES_BY_NAME[name].outputs)
    turned, spans = turn([weighed(name, 50), weighed(name, 20)])
    apart = turned.without(*spans[0])
    (value, gradient), hessian = mean(apart, case, weights), hessian_of_turned(turned, case.loss, weights)
    monkeypatch.setattr(room.store, "run", uncompiled)
    found, slopes = mean(apart, case, weights)
    assert found == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(slopes, gradient, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(hessian_of_turned(turned, case.loss, weights), hessian, rtol=1e-5, atol=1e-6)
