"""Losses against finite differences, scikit-learn and PyTorch; kinks, extreme scores, constants, links."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.optimize
import torch
from tests.cases import LOSS_CASES, LOSSES_BY_NAME, LossCase, ids, numbers_for

from schuss.descent import losses
from schuss.descent.losses import (
    LOSSES,
    PROBABILISTIC,
    LogLoss,
    constant_classes,
    constant_scores,
    curvature_products,
    curvatures,
    family_of,
    judge_of,
    loss_for,
    predicted_numbers,
    probabilities,
    unit_of,
    values_and_gradients,
)

every_loss = pytest.mark.parametrize("case", LOSS_CASES, ids=ids(LOSS_CASES))


def problem(case: LossCase, rows: int = 200, scale: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    scores = scale * rng.normal(size=(rows, case.outputs))
    if case.classes is None:
        return scores, numbers_for(case, rng.normal(size=rows))
    return scores, rng.integers(case.classes, size=rows)


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
def test_curvature_is_the_derivative_of_the_gradient(case: LossCase) -> None:
    scores, targets = problem(case)
    directions = np.random.default_rng(4).normal(size=scores.shape)
    step = 1e-6
    above, below = (values_and_gradients(case.loss, scores + d * directions, targets)[1] for d in (step, -step))
    products = curvature_products(case.loss, scores, targets, directions)
    np.testing.assert_allclose(products, (above - below) / (2 * step), rtol=1e-6, atol=1e-8)
    if case.loss.convex:
        assert ((products * directions).sum(axis=1) >= -1e-12).all()


@pytest.mark.parametrize("case", [case for case in LOSS_CASES if case.loss.smooth], ids=lambda case: case.name)
def test_curvatures_of_pairs_are_those_along_each_output(case: LossCase) -> None:
    scores, targets = problem(case)
    pairs = curvatures(case.loss, np.ascontiguousarray(scores.T), targets)
    for pair, j, k in zip(pairs, *np.tril_indices(case.outputs), strict=True):
        unit = np.tile(np.eye(case.outputs)[k], (len(scores), 1))
        np.testing.assert_allclose(pair, curvature_products(case.loss, scores, targets, unit)[:, j], atol=1e-15)


def test_curvatures_next_to_zero_keep_their_digits_in_single_precision() -> None:
    scores = np.array([[20.0, 0.0, 1.0], [-15.0, 12.0, 3.0]]).T
    exact = curvatures(losses.Softmax(), scores, np.zeros(2))
    found = curvatures(losses.Softmax(), scores.astype(np.float32), np.zeros(2))
    assert found.dtype == np.float32
    assert 0 < np.abs(exact).min() < 1e-11
    np.testing.assert_allclose(found, exact, rtol=1e-5)


@every_loss
def test_gradient_is_a_subgradient_everywhere(case: LossCase) -> None:
    """Convex losses lie above their tangents, at kinks too; whole scores and targets meet all of them."""
    if not case.loss.convex:
        return
    rng = np.random.default_rng(5)
    half = 0.5 * rng.integers(-4, 5, size=(2, 500, case.outputs))
    targets = rng.integers(case.classes or 4, size=500)
    if case.classes is None:
        targets = targets.astype(float)
    value, gradient = values_and_gradients(case.loss, half[0], targets)
    other = values_and_gradients(case.loss, half[1], targets)[0]
    tangent = value + (gradient * (half[1] - half[0])).sum(axis=1)
    assert (other >= tangent - 1e-12).all()


@pytest.mark.parametrize("case", [case for case in LOSS_CASES if "perceptron" in case.name], ids=lambda case: case.name)
def test_a_perceptron_moves_from_zero(case: LossCase) -> None:
    values, gradients = values_and_gradients(
        case.loss, np.zeros((case.classes or 0, case.outputs)), np.arange(5)[: case.classes]
    )
    assert (values == 0).all()
    assert (np.abs(gradients).max(axis=1) == 1).all()


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
        if case.name == "poisson":
            scores = np.minimum(scores, 80)  # above, the prediction itself is beyond float32
        targets = np.full(len(rows), label, dtype if case.classes is None else np.int32)
        values, gradients = values_and_gradients(case.loss, scores, targets)
        assert np.isfinite(values).all()
        assert np.isfinite(gradients).all()
        assert (values >= 0).all()
        if case.classes is not None:
            steepest = 4e4 if "squared_hinge" in case.name else 4 * (case.classes - 1)
            assert np.abs(gradients).max() <= steepest


@pytest.mark.parametrize(
    ("loss", "scores", "target", "value"),
    [
        ("log_loss", [1e4], 0, 1e4), ("log_loss", [1e4], 1, 0.0), ("log_loss", [-1e4], 1, 1e4),
        ("log_loss", [0, 1e4, -1e4], 2, 2e4), ("log_loss", [0, 1e4, -1e4], 1, 0.0),
        ("hinge", [1e4], 0, 10001.0), ("hinge", [1.0], 1, 0.0), ("hinge", [0, 0, 0], 1, 2.0),
        ("hinge", [-1, 0, 1.5], 1, 2.5), ("hinge:2", [-1, 0, 1.5], 1, 4.5), ("hinge:2", [0.5], 1, 1.5),
        ("crammer_singer", [-1, 0, 1.5], 1, 2.5), ("crammer_singer", [-1, 3, 1.5], 1, 0.0),
        ("squared_hinge", [0.5], 0, 2.25), ("squared_hinge", [1.0, 0.0, -2.0], 0, 1.0),
        ("modified_huber", [-3.0], 1, 12.0), ("perceptron", [-3.0], 1, 3.0), ("perceptron", [1.0, 4.0, 2.0], 2, 2.0),
        ("sigmoid_squared_error", [0.0], 1, 0.125), ("sigmoid_squared_error", [0.0, 0.0, 1e4], 0, 0.75),
        ("squared_error", [3.0], 1.0, 2.0), ("absolute_error", [3.0], 1.0, 2.0), ("huber:1", [3.0], 1.0, 1.5),
        ("epsilon_insensitive:0.5", [3.0], 1.0, 1.5), ("quantile:0.25", [3.0], 1.0, 1.5),
        ("quantile:0.25", [1.0], 3.0, 0.5), ("poisson", [0.0], 0.0, 1.0), ("poisson", [np.log(2)], 2.0, 0.0),
    ],
)  # fmt: skip
def test_values_by_hand(loss: str, scores: list[float], target: float, value: float) -> None:
    row = np.array([scores], np.float64)
    form = loss_for(loss, row.shape[1])
    assert values_and_gradients(form, row, np.array([target]))[0][0] == pytest.approx(value, abs=1e-12)


def test_multiclass_gradients_sum_to_zero() -> None:
    for case in LOSS_CASES:
        if case.outputs > 1:
            if case.name.removeprefix("multiclass_") in ("squared_hinge", "modified_huber", "sigmoid_squared_error"):
                continue  # sums over classes, each against the rest
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


@pytest.mark.parametrize("name", ["modified_huber", "sigmoid_squared_error"])
@pytest.mark.parametrize("outputs", [1, 4])
def test_probabilities_sum_to_one_and_links_are_inverse(name: str, outputs: int) -> None:
    loss = loss_for(name, outputs)
    scores = 3 * np.random.default_rng(0).normal(size=(50, outputs))
    scores[0] = -1e3
    chances = probabilities(loss, scores)
    np.testing.assert_allclose(chances.sum(axis=1), 1, rtol=1e-12)
    assert ((chances >= 0) & (chances <= 1)).all()
    shares = np.random.default_rng(1).dirichlet(np.ones(max(outputs, 2)), 20)
    back = probabilities(loss, loss.link(shares[:, -outputs:]))
    np.testing.assert_allclose(back, shares, rtol=1e-9)


def test_modified_huber_has_scikit_learns_probabilities() -> None:
    from sklearn.linear_model import SGDClassifier

    rng = np.random.default_rng(0)
    for classes in (2, 3):
        x, y = rng.normal(size=(90, 4)), np.arange(90) % classes
        theirs = SGDClassifier(loss="modified_huber", random_state=0).fit(x, y)
        scores = theirs.decision_function(x).reshape(90, -1)
        ours = probabilities(loss_for("modified_huber", scores.shape[1]), scores)
        np.testing.assert_allclose(ours, theirs.predict_proba(x), rtol=1e-12)


def test_which_losses_give_probabilities() -> None:
    assert PROBABILISTIC == ("log_loss", "modified_huber", "sigmoid_squared_error")


def test_poisson_predicts_by_its_inverse_link() -> None:
    poisson, other = loss_for("poisson", 1), loss_for("huber", 1)
    scores = np.array([[0.0], [1.0]])
    np.testing.assert_allclose(predicted_numbers(poisson, scores), [1.0, np.e])
    np.testing.assert_allclose(poisson.link(predicted_numbers(poisson, scores)), [0.0, 1.0])
    np.testing.assert_array_equal(predicted_numbers(other, scores), [0.0, 1.0])


@every_loss
def test_no_constant_prediction_is_better(case: LossCase) -> None:
    rng = np.random.default_rng(5)
    weights = rng.uniform(0.5, 2.0, 401)
    if case.classes is None:
        targets = numbers_for(case, rng.normal(3.0, 2.0, 401))
    else:
        targets = np.minimum(rng.geometric(0.4, 401) - 1, case.classes - 1)
    loss = judge_of(case.loss)
    best = constant_scores(loss, targets, weights, case.classes)

    def loss_of(scores: np.ndarray) -> float:
        values = values_and_gradients(loss, np.repeat(scores[None], len(targets), 0), targets)[0]
        return float(np.average(values, weights=weights))

    assert best.shape == (case.outputs,)
    for start in (best, np.zeros_like(best), rng.normal(size=case.outputs)):
        found = scipy.optimize.minimize(loss_of, start, method="Powell", options={"xtol": 1e-9, "ftol": 1e-13})
        assert loss_of(best) <= float(found.fun) + 1e-9
    for size in (1e-3, 0.1, 1.0):
        for _ in range(50):
            assert loss_of(best) <= loss_of(best + size * rng.normal(size=case.outputs)) + 1e-9


@pytest.mark.parametrize("classes", [3, 4, 7])
@pytest.mark.parametrize("margin", [1.0, 2.5])
def test_constant_multiclass_hinge_scores_are_those_of_a_linear_program(classes: int, margin: float) -> None:
    rng = np.random.default_rng(classes)
    for concentration in (0.3, 1.0, 5.0):
        shares = rng.dirichlet(np.full(classes, concentration))
        best = constant_classes(losses.MulticlassHinge(margin), shares)
        ours = values_and_gradients(losses.MulticlassHinge(margin), np.tile(best, (classes, 1)), np.arange(classes))[0]
        pairs = [(c, j) for c in range(classes) for j in range(classes) if c != j]
        bounds, costs = np.zeros((len(pairs), classes + len(pairs))), np.zeros(classes + len(pairs))
        for row, (c, j) in enumerate(pairs):  # s_j − s_c − z ≤ −Δ
            bounds[row, j], bounds[row, c], bounds[row, classes + row] = 1, -1, -1
            costs[classes + row] = shares[c]
        limits = [(None, None)] * classes + [(0, None)] * len(pairs)
        found = scipy.optimize.linprog(costs, bounds, np.full(len(pairs), -margin), bounds=limits)
        assert float(shares @ ours) == pytest.approx(found.fun, abs=1e-9)


def test_a_class_without_rows_still_has_a_finite_constant() -> None:
    for name, family in LOSSES.items():
        if family.task == "classification":
            for shares in ([3.0, 0.0], [3.0, 0.0, 1.0]):
                outputs = 1 if len(shares) == 2 else 3
                assert np.isfinite(constant_classes(loss_for(name, outputs), np.array(shares))).all()


def test_what_judges_a_perceptron() -> None:
    values = values_and_gradients(
        judge_of(loss_for("perceptron", 1)), np.array([[1.0], [0.0], [-1.0]]), np.array([0, 1, 0])
    )
    np.testing.assert_array_equal(values[0], [1, 1, 0])
    scores = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 2.0], [np.nan, 0.0, 1.0]])
    values = values_and_gradients(judge_of(loss_for("perceptron", 3)), scores, np.array([1, 1, 0, 2]))
    np.testing.assert_array_equal(values[0], [1, 0, 1, np.nan])
    assert judge_of(loss_for("hinge", 3)) == loss_for("hinge", 3)


def test_every_name_has_its_forms() -> None:
    formed = {type(case.loss) for case in LOSS_CASES}
    assert formed == {form for family in LOSSES.values() for form in family.forms}
    for name, family in LOSSES.items():
        assert [form.multiclass for form in family.forms] == [False, True][: len(family.forms)], name
        assert len(family.forms) == (2 if family.task == "classification" else 1), name


def test_parameters_are_in_the_units_of_the_target() -> None:
    assert loss_for("huber:3", 1, 1.5) == losses.Huber(2.0)
    assert loss_for("epsilon_insensitive:3", 1, 1.5) == losses.EpsilonInsensitive(2.0)
    assert loss_for("quantile:0.9", 1, 1.5) == losses.Quantile(0.9)
    assert loss_for("hinge:0.5", 4) == losses.MulticlassHinge(0.5)
    assert loss_for("huber", 1, 1.5) == losses.Huber()
    assert unit_of("huber:3", 1.5) == 2.25
    for scale in (0.1, 7.0):
        scores, targets = problem(LOSSES_BY_NAME["huber"])
        for name in ("squared_error", "absolute_error", "huber:0.4", "epsilon_insensitive:0.2", "quantile:0.3"):
            here = values_and_gradients(loss_for(name, 1), scores, targets)[0] * unit_of(name, 1.0)
            there = values_and_gradients(loss_for(name, 1, scale), scores / scale, targets / scale)[0]
            np.testing.assert_allclose(there * unit_of(name, scale), here, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("huge", "'huge' is not one of the losses log_loss, hinge"), ("log_loss:2", "log_loss takes no number"),
        ("hinge:0", "hinge:Δ takes a number above 0, not '0'"), ("hinge:", "a number above 0, not ''"),
        ("quantile:1", "quantile:τ takes a number between 0 and 1, not '1'"), ("huber:nan", "above 0, not 'nan'"),
        ("huber:inf", "above 0, not 'inf'"), ("epsilon_insensitive:-1", "of at least 0, not '-1'"),
        ("hinge:big", "above 0, not 'big'"),
    ],
)  # fmt: skip
def test_wrong_names_and_numbers(spec: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        family_of(spec)
    assert family_of("epsilon_insensitive:0").task == "regression"
