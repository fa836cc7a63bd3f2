"""The gradient check finds what is wrong, names it, and lets right gradients and kinks pass."""

from __future__ import annotations

import numpy as np
import pytest
from tests.cases import LOSS_CASES, chunk_of, dense_rows, ids, targets_for, to_sparse

from schuss.errors import OptionError
from schuss.landscape.gradcheck import gradcheck
from schuss.landscape.steps import RATES, step_sizes
from schuss.objective import LinearObjective, in_float64


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("case", LOSS_CASES, ids=ids(LOSS_CASES))
def test_every_loss_has_the_right_gradient_for_parameters_and_data(case, sparse: bool) -> None:
    rows = dense_rows(40, 4, density=0.5)
    chunk = chunk_of(rows, targets_for(case, rows), np.random.default_rng(1).uniform(0.5, 2, 40))
    chunk = chunk._replace(rows=to_sparse(rows)) if sparse else chunk
    weights = np.random.default_rng(2).normal(size=(5, case.outputs))
    check = gradcheck(LinearObjective(chunk, case.loss, 0.1), weights)
    assert [block.name for block in check.blocks] == ["slopes", "intercepts", "rows"]
    assert check.right, check
    assert max(block.centred for block in check.blocks) < 1e-7


def tilted(w=np.linspace(-1, 1, 12).reshape(3, 4), b=np.array([0.3])):  # noqa: B008
    value = np.sin(w).sum() * b[0] + (w**3).sum()
    return value, {"w": np.cos(w) * b[0] + 3 * w**2, "b": np.array([np.sin(w).sum()])}


def test_a_right_gradient_and_the_orders_of_both_differences() -> None:
    check = gradcheck(tilted)
    assert check.right
    assert check.value == pytest.approx(tilted()[0])
    w = check.blocks[0]
    assert w.checked == w.size == 12
    assert 1e-9 < w.forward < 1e-6
    assert w.centred < 1e-9
    assert w.kinks == 0


def test_the_wrong_coordinate_is_named() -> None:
    def wrong(w=np.ones((3, 4)), b=np.zeros(2)):  # noqa: B008
        gradient = 2 * w
        gradient[1, 2] += 0.01
        return (w**2).sum() + b.sum(), (gradient, np.ones(2))

    w, b = gradcheck(wrong).blocks
    assert b.right
    assert not w.right
    assert w.worst[0].place == (1, 2)
    assert w.worst[0].gradient == pytest.approx(2.01)
    assert w.worst[0].centred == pytest.approx(2.0)
    assert w.centred == pytest.approx(0.01 / 2.01, rel=1e-3)


@pytest.mark.parametrize("slope", [-1.0, -0.3, 0.0, 1.0])
def test_kinks_are_no_errors(slope: float) -> None:
    def bent(x=np.array([0.0, 2.0, -3.0])):  # noqa: B008
        gradient = np.sign(x)
        gradient[0] = slope
        return np.abs(x).sum(), gradient

    (block,) = gradcheck(bent).blocks
    assert block.right
    assert block.kinks == 1
    assert block.centred < 1e-9


def test_a_slope_outside_a_kink_is_an_error() -> None:
    (block,) = gradcheck(lambda x=np.zeros(2): (np.abs(x).sum(), np.array([1.5, 0.5]))).blocks  # noqa: B008
    assert not block.right
    assert [one.place for one in block.worst] == [(0,)]
    assert block.worst[0].kink
    assert block.worst[0].error == pytest.approx(0.5 / 1.5, rel=1e-6)


@pytest.mark.parametrize("offset", [1e-6, 3e-7, 4e-6])
def test_a_kink_nearby_is_no_error(offset: float) -> None:
    def bent(x=np.array([offset, -offset, 1.0])):  # noqa: B008
        return np.abs(x).sum(), np.sign(x)

    assert gradcheck(bent).right


def test_hinge_rows_on_the_margin_are_kinks() -> None:
    case = next(case for case in LOSS_CASES if case.name == "hinge")
    rows = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]], np.float32)
    objective = LinearObjective(chunk_of(rows, np.array([1, 0, 1], np.int32)), case.loss, 0.0)
    check = gradcheck(objective, np.array([[1.0], [0.25], [0.0]]))
    assert check.right
    assert check.blocks[0].kinks > 0


def test_gradients_in_float32_are_judged_by_their_precision() -> None:
    def single(w=np.linspace(0.1, 1, 5, dtype=np.float32)):  # noqa: B008
        return (w * w).sum(), 2 * w

    def wrong(w=np.linspace(0.1, 1, 5, dtype=np.float32)):  # noqa: B008
        return (w * w).sum(), 3 * w

    assert gradcheck(single, tolerance=1e-2).right
    assert not gradcheck(wrong, tolerance=1e-2).right


def test_a_constant_and_a_steep_curve() -> None:
    assert gradcheck(lambda x=np.ones(3): (7.0, np.zeros(3))).right  # noqa: B008
    assert gradcheck(lambda x=np.array([3.0]): (np.exp(5 * x[0]), 5 * np.exp(5 * x))).right  # noqa: B008
    assert not gradcheck(lambda x=np.ones(3): (7.0, np.full(3, 1e-3))).right  # noqa: B008


def test_large_blocks_are_sampled_by_the_seed() -> None:
    def large(w=np.ones(5000)):  # noqa: B008
        gradient = 2 * w
        gradient[::2] = 0
        return (w**2).sum(), gradient

    first, again, other = (gradcheck(large, coordinates=50, seed=seed).blocks[0] for seed in (0, 0, 1))
    assert first == again
    assert first.checked == 50
    assert first.worst != other.worst


@pytest.mark.parametrize(
    ("objective", "at", "said"),
    [
        (3, None, "takes a function"),
        (lambda w: (0.0, w), None, "needs a value for its argument 'w'"),
        (lambda w: (0.0, w), {"v": np.ones(2)}, "has no argument 'v'"),
        (lambda w: 0.0, np.ones(2), "must give its value and its gradient, not float"),
        (lambda w: (w, w), np.ones(2), "one number"),
        (lambda w: (0.0, np.ones(3)), np.ones(2), r"has shape \(3,\), its argument \(2,\)"),
        (lambda w: (0.0, {"v": np.ones(3)}), np.ones(2), "no such argument"),
        (lambda w: (0.0, w), "text", "arrays of numbers"),
        (lambda w: (w[9], w), np.ones(2), "raised IndexError"),
    ],
)
def test_what_cannot_be_checked_is_said(objective, at, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        gradcheck(objective, at)


def test_step_sizes_are_single_steps() -> None:
    case = LOSS_CASES[1]
    rows = dense_rows(100, 4)
    objective = LinearObjective(in_float64(chunk_of(rows, targets_for(case, rows))), case.loss, 0.1)
    weights = np.random.default_rng(0).normal(size=(5, case.outputs))
    table = step_sizes(objective, weights)
    value, gradient = objective.value_and_gradient(weights)
    for rate, loss in zip(RATES, table, strict=True):
        assert loss == pytest.approx(objective.value_and_gradient(weights - rate * gradient)[0], rel=1e-12)
    assert table[0] == pytest.approx(value, rel=1e-8)
    assert table.min() < value
