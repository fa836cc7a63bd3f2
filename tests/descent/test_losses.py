"""Losses against finite differences, scikit-learn and PyTorch; extreme scores."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from tests.cases import LOSS_CASES, LossCase, ids

from schuss.descent.losses import LOSSES, LogLoss, constant_scores, loss_for, probabilities, values_and_gradients

every_loss = pytest.mark.parametrize("case", LOSS_CASES, ids=ids(LOSS_CASES))


def problem(case: LossCase, rows: int = 200, scale: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    scores = scale * rng.normal(size=(rows, case.outputs))
    return scores, rng.normal(size=rows) if case.classes is None else rng.integers(case.classes, size=rows)


@every_loss
def test_gradient_is_the_derivative_of_the_value(case: LossCase) -> None:
    scores, targets = problem(case)
    _, gradients = values_and_gradients(case.loss, scores, targets)
    step = 1e-6
    for output in range(case.outputs):
        shift = step * np.eye(case.outputs)[output]
        above, below = (values_and_gradients(case.loss, scores + sign * shift, targets)[0] for sign in (1, -1))
        np.testing.assert_allclose(gradients[:, output], (above - below) / (2 * step), rtol=1e-7, atol=1e-8)


@every_loss
def test_torch_agrees_on_value_and_gradient(case: LossCase) -> None:
    scores, targets = problem(case)
    tensor = torch.tensor(scores, requires_grad=True)
    theirs = case.torch_values(tensor, torch.tensor(targets))
    theirs.sum().backward()
    values, gradients = values_and_gradients(case.loss, scores, targets)
    np.testing.assert_allclose(values, theirs.detach().numpy(), rtol=1e-12, atol=1e-14)
    assert tensor.grad is not None
    np.testing.assert_allclose(gradients, tensor.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("case", [case for case in LOSS_CASES if case.sklearn_mean], ids=lambda case: case.name)
def test_scikit_learn_agrees_on_the_mean(case: LossCase) -> None:
    assert case.sklearn_mean is not None
    scores, targets = problem(case)
    mean = values_and_gradients(case.loss, scores, targets)[0].mean()
    assert mean == pytest.approx(case.sklearn_mean(scores, targets), rel=1e-10)


@every_loss
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_scores_give_finite_values_and_bounded_gradients(case: LossCase, dtype: type) -> None:
    corners = itertools.product([-1e4, -100.0, 0.0, 100.0, 1e4], repeat=min(case.outputs, 3))
    rows = np.array(list(corners))
    scores = np.zeros((len(rows), case.outputs), dtype)
    scores[:, : rows.shape[1]] = rows
    for label in range(case.classes or 1):
        targets = np.full(len(rows), label, dtype if case.classes is None else np.int32)
        values, gradients = values_and_gradients(case.loss, scores, targets)
        assert np.isfinite(values).all()
        assert np.isfinite(gradients).all()
        assert (values >= 0).all()
        if case.classes is not None:
            assert np.abs(gradients).max() <= case.classes - 1


@pytest.mark.parametrize(
    ("loss", "scores", "target", "value"),
    [
        ("log_loss", [1e4], 0, 1e4), ("log_loss", [1e4], 1, 0.0), ("log_loss", [-1e4], 1, 1e4),
        ("log_loss", [0, 1e4, -1e4], 2, 2e4), ("log_loss", [0, 1e4, -1e4], 1, 0.0),
        ("hinge", [1e4], 0, 10001.0), ("hinge", [1.0], 1, 0.0), ("hinge", [0, 0, 0], 1, 2.0),
        ("hinge", [-1, 0, 1.5], 1, 2.5), ("squared_error", [3.0], 1.0, 2.0),
    ],
)  # fmt: skip
def test_values_by_hand(loss: str, scores: list[float], target: float, value: float) -> None:
    row = np.array([scores], np.float64)
    form = loss_for(loss, row.shape[1])
    assert values_and_gradients(form, row, np.array([target]))[0][0] == pytest.approx(value, abs=1e-12)


def test_multiclass_gradients_sum_to_zero() -> None:
    for case in LOSS_CASES:
        if case.outputs > 1:
            gradients = values_and_gradients(case.loss, *problem(case))[1]
            np.testing.assert_allclose(gradients.sum(axis=1), 0, atol=1e-12)


def test_a_small_probability_keeps_its_digits() -> None:
    derivative = LogLoss().evaluate(np.float64(-50.0), 0)[1]
    assert float(derivative) == pytest.approx(np.exp(-50.0), rel=1e-12)


@pytest.mark.parametrize("outputs", [1, 4])
def test_probabilities_are_those_of_torch(outputs: int) -> None:
    scores = 5 * np.random.default_rng(0).normal(size=(50, outputs))
    scores[0] = 1e4
    chances = probabilities(loss_for("log_loss", outputs), scores)
    np.testing.assert_allclose(chances.sum(axis=1), 1, rtol=1e-12)
    logits = torch.tensor(scores)
    theirs = torch.sigmoid(logits) if outputs == 1 else torch.softmax(logits, 1)
    np.testing.assert_allclose(chances[:, -outputs:], theirs.numpy(), rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("case", [case for case in LOSS_CASES if case.name != "multiclass_hinge"], ids=lambda c: c.name)
def test_no_constant_prediction_is_better(case: LossCase) -> None:
    rng = np.random.default_rng(5)
    if case.classes is None:
        targets, shares, mean = (values := rng.normal(3.0, 2.0, 400)), None, float(values.mean())
    else:
        targets = np.minimum(rng.geometric(0.6, 400) - 1, case.classes - 1)
        shares, mean = np.bincount(targets, minlength=case.classes).astype(float), 0.0
    best = constant_scores(case.loss, shares, mean)

    def loss_of(scores: np.ndarray) -> float:
        return values_and_gradients(case.loss, np.repeat(scores[None], len(targets), 0), targets)[0].mean()

    assert best.shape == (case.outputs,)
    for size in (1e-3, 0.1, 1.0):
        for _ in range(50):
            assert loss_of(best) <= loss_of(best + size * rng.normal(size=case.outputs)) + 1e-9


def test_constant_multiclass_hinge_scores_are_those_of_the_best_class() -> None:
    targets = np.repeat([0, 1, 2], [3, 5, 2])
    best = constant_scores(loss_for("hinge", 3), np.array([3.0, 5.0, 2.0]), 0.0)
    losses = [
        values_and_gradients(loss_for("hinge", 3), np.repeat(scores[None], 10, 0), targets)[0].mean()
        for scores in (best, *np.eye(3), np.zeros(3))
    ]
    assert min(losses) == losses[0]


def test_a_class_without_rows_still_has_a_finite_constant() -> None:
    assert np.isfinite(constant_scores(loss_for("log_loss", 3), np.array([3.0, 0.0, 1.0]), 0.0)).all()
    assert np.isfinite(constant_scores(loss_for("log_loss", 1), np.array([3.0, 0.0]), 0.0)).all()


def test_every_name_has_its_forms() -> None:
    assert {case.loss for case in LOSS_CASES} == {form for forms in LOSSES.values() for form in forms}
    for name, forms in LOSSES.items():
        assert [form.multiclass for form in forms] == [False, True][: len(forms)], name
        assert len({form.classification for form in forms}) == 1
