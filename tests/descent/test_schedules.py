"""Schedules against torch.optim.lr_scheduler, scikit-learn, and closed forms."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import SGDClassifier, SGDRegressor
from torch.optim import lr_scheduler

from schuss.descent.losses import LogLoss, SquaredError
from schuss.descent.schedules import SCHEDULES, Plateau, Slowed, bound, parse_schedule

STEPS = 240
PROGRESS = np.arange(STEPS) / STEPS


def factors(spec: str, progress: np.ndarray = PROGRESS, steps: float = STEPS) -> np.ndarray:
    return parse_schedule(spec).factors(progress, steps)


def of_torch(make: Callable[[torch.optim.Optimizer], Any]) -> np.ndarray:
    """The rates that PyTorch gives for a base rate of one."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    schedule, rates = make(optimizer), []
    for _ in range(STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return np.array(rates)


TORCH: dict[str, Callable[[torch.optim.Optimizer], Any]] = {
    "constant": lambda o: lr_scheduler.ConstantLR(o, factor=1.0),
    "linear": lambda o: lr_scheduler.LinearLR(o, 1.0, 0.0, STEPS),
    "linear:0.25": lambda o: lr_scheduler.LinearLR(o, 1.0, 0.25, STEPS),
    "exponential:0.001": lambda o: lr_scheduler.ExponentialLR(o, 0.001 ** (1 / STEPS)),
    "step": lambda o: lr_scheduler.StepLR(o, STEPS // 3, 0.1),
    "step:0.5,0.25": lambda o: lr_scheduler.StepLR(o, STEPS // 4, 0.5),
    "polynomial:3": lambda o: lr_scheduler.PolynomialLR(o, STEPS, 3),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS),
    "cosine:0.1": lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS, 0.1),
    "inverse_time:7": lambda o: lr_scheduler.LambdaLR(o, lambda t: 1 / (1 + 7 * t / STEPS)),
    "inverse_sqrt:8": lambda o: lr_scheduler.LambdaLR(o, lambda t: (1 + 8 * t / STEPS) ** -0.5),
    "invscaling:0.25": lambda o: lr_scheduler.LambdaLR(o, lambda t: (1 + t) ** -0.25),
    "stable_decay:0.25,0.1": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.ConstantLR(o, 1.0), lr_scheduler.LinearLR(o, 1.0, 0.1, STEPS // 4)], [STEPS - STEPS // 4]
    ),
    "wsd:0.25,0.5": lambda o: lr_scheduler.LambdaLR(o, lambda t: min(1, (t + 1) / (STEPS / 4), 2 * (1 - t / STEPS))),
    "warmup:0.25+cosine": lambda o: lr_scheduler.LambdaLR(
        o, lambda t: (t + 1) / (STEPS / 4) if t < STEPS / 4 else (1 + math.cos(math.pi * (t / STEPS - 0.25) / 0.75)) / 2
    ),
    "warmup:0.5+invscaling": lambda o: lr_scheduler.LambdaLR(
        o, lambda t: (t + 1) / (STEPS / 2) if t < STEPS / 2 else (1 + t - STEPS / 2) ** -0.5
    ),
}


@pytest.mark.parametrize("spec", TORCH)
def test_torch_agrees(spec: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SequentialLR calls its parts in a way that PyTorch warns of
        theirs = of_torch(TORCH[spec])
    np.testing.assert_allclose(factors(spec), theirs, rtol=1e-9, atol=1e-12)


def test_one_cycle_is_that_of_torch() -> None:
    """PyTorch counts to its last step, we to the end of it: its peak lies at (share · steps − 1)/(steps − 1)."""
    peak = 0.3
    theirs = of_torch(
        lambda o: lr_scheduler.OneCycleLR(o, 1.0, total_steps=STEPS + 1, pct_start=(peak * STEPS + 1) / (STEPS + 1))
    )
    np.testing.assert_allclose(factors("one_cycle"), theirs, rtol=1e-9)


def test_plateau_is_that_of_torch() -> None:
    rng = np.random.default_rng(0)
    losses = np.exp(-np.arange(80) / 15) + 0.02 * rng.normal(size=80)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    theirs = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=2, eps=0.0)
    ours, slowed = Plateau(0.5, 2), Slowed()
    for loss in losses:
        theirs.step(float(loss))
        slowed = ours.after(slowed, float(loss))
        assert slowed.factor == optimizer.param_groups[0]["lr"]
    assert slowed.factor < 0.1


def followed(rates: np.ndarray, loss: Any, x: np.ndarray, y: np.ndarray, l2: float) -> np.ndarray:
    """Descend row by row as scikit-learn does: first the penalty, then the gradient."""
    w = np.zeros(x.shape[1])
    for row, target, rate in zip(x, y, rates, strict=True):
        derivative = loss.evaluate(row @ w, target)[1]
        w = w * (1 - rate * l2) - rate * derivative * row
    return w


def test_optimal_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(STEPS, 3))
    y = (x[:, 0] + rng.normal(size=STEPS) > 0).astype(int)
    alpha = 0.01
    theirs = SGDClassifier(
        loss="log_loss", alpha=alpha, learning_rate="optimal", max_iter=1, tol=None, shuffle=False, fit_intercept=False
    ).fit(x, y)
    weight = math.sqrt(1 / math.sqrt(alpha))
    first = weight / max(1.0, 1 / (1 + math.exp(-weight)))  # Bottou's guess, as scikit-learn's source has it
    rates = first * bound(parse_schedule("optimal"), first, alpha).factors(PROGRESS, STEPS)
    np.testing.assert_allclose(followed(rates, LogLoss(), x, y, alpha), theirs.coef_[0], rtol=1e-9)


def test_invscaling_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(STEPS, 3))
    y = x @ [1.0, -2.0, 0.5]
    theirs = SGDRegressor(
        alpha=0.01, eta0=0.1, power_t=0.4, learning_rate="invscaling", max_iter=1, tol=None, shuffle=False,
        fit_intercept=False,
    ).fit(x, y)  # fmt: skip
    rates = 0.1 * factors("invscaling:0.4")
    np.testing.assert_allclose(followed(rates, SquaredError(), x, y, 0.01), theirs.coef_, rtol=1e-9)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("before", ["", "warmup:0.1+"])
def test_every_schedule_stays_between_zero_and_one(name: str, before: str) -> None:
    found = factors(before + name, np.linspace(0, 1, 1001), 1000)
    assert ((found >= 0) & (found <= 1 + 1e-12)).all()
    assert found.max() == pytest.approx(1, abs=2e-3)
    if name not in ("wsd", "one_cycle") and not before:
        assert found[0] == 1
        assert (np.diff(found) <= 0).all()


def test_a_warmup_rises_from_its_first_step_on() -> None:
    found = factors("warmup:0.5+constant", np.arange(10) / 10, 10)
    np.testing.assert_allclose(found, [0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1, 1, 1])


def test_optimal_without_a_penalty_is_constant() -> None:
    assert (bound(parse_schedule("warmup:0.01+optimal"), 0.5, 0.0).factors(PROGRESS, STEPS)[3:] == 1).all()


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("cosin", "'cosin' is not one of the schedules constant, linear"),
        ("cosine:2", "the schedule cosine takes a number of at least 0 and at most 1 as its end, not '2'"),
        ("step:0.5,0.2,3", "the schedule step takes at most 2 numbers, not '0.5,0.2,3'"),
        ("optimal:1", "the schedule optimal takes no number, not '1'"),
        ("polynomial:0", "a number above 0 as its power, not '0'"), ("inverse_time:inf", "at least 0 as its decay"),
        ("exponential:x", "not 'x'"), ("warmup:0.1", "'warmup' is not one of the schedules"),
        ("warmup:0+linear", "above 0"), ("linear+warmup", "not one of"), ("cosine:", "not ''"),
    ],
)  # fmt: skip
def test_wrong_names_and_numbers(spec: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse_schedule(spec)
