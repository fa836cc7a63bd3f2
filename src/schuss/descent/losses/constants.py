"""The best prediction that ignores the features, for each loss: what every model must beat."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from schuss.descent.losses import binary, multiclass, regression
from schuss.descent.losses.registry import Loss
from schuss.descent.losses.rows import has_probabilities

__all__ = ["constant_classes", "constant_number", "constant_scores"]

_LEAST_SHARE = 1e-12
_HALVINGS = 100


def constant_scores(
    loss: Loss, targets: NDArray[Any], weights: NDArray[Any], classes: int | None
) -> NDArray[np.float64]:
    """Give the scores `(outputs,)` with the lowest weighted mean loss over these rows.

    targets : `(n,)` class indices, or numbers in the units of training; weights : `(n,)`; classes : None for numbers.

    >>> from schuss.descent.losses import LogLoss, Quantile
    >>> constant_scores(LogLoss(), np.array([0, 1]), np.array([1.0, 3.0]), 2).round(4)
    array([1.0986])
    >>> constant_scores(Quantile(0.25), np.array([1.0, 2.0, 9.0]), np.ones(3), None).round(4)
    array([1.])
    """
    if classes is None:
        return constant_number(loss, targets.astype(np.float64), weights.astype(np.float64))
    return constant_classes(loss, np.bincount(targets, weights, minlength=classes))


def constant_number(loss: Loss, targets: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the best constant for numbers: a mean, or where the slope of the total loss changes its sign."""
    mean = float(np.average(targets, weights=weights))
    if isinstance(loss, regression.SquaredError):
        return np.array([mean])
    if isinstance(loss, regression.Poisson):
        return np.array([np.log(max(mean, _LEAST_SHARE))])
    low, high = float(targets.min()), float(targets.max())
    for _ in range(_HALVINGS):
        middle = low + (high - low) / 2
        if not low < middle < high:
            break
        if float(loss.evaluate(np.full(len(targets), middle), targets)[1] @ weights) < 0:
            low = middle
        else:
            high = middle
    ends = np.array([low, high])  # one of them is the kink itself
    return ends[[np.argmin([float(loss.evaluate(np.full(len(targets), end), targets)[0] @ weights) for end in ends])]]


def constant_classes(loss: Loss, class_weights: NDArray[Any]) -> NDArray[np.float64]:
    """Give the best constant scores `(outputs,)` for the total weight of each class `(classes,)`.

    For a perceptron, whose own loss says nothing, they name the commonest class.

    >>> from schuss.descent.losses import MulticlassHinge
    >>> constant_classes(MulticlassHinge(), np.array([5.0, 3.0, 2.0]))
    array([ 0., -1., -1.])
    """
    shares = np.maximum(np.asarray(class_weights, np.float64), _LEAST_SHARE)
    shares /= shares.sum()
    own = shares if loss.multiclass else shares[1:]
    if has_probabilities(loss):
        return loss.link(own)
    if isinstance(loss, binary.SquaredHinge | multiclass.MulticlassSquaredHinge):
        return loss.margin * (2 * own - 1)
    if isinstance(loss, multiclass.MulticlassHinge):
        return loss.margin * _stairs(shares)
    if isinstance(loss, multiclass.CrammerSinger):
        return loss.margin * (own > 0.5)
    if loss.multiclass:
        return (np.arange(len(own)) == own.argmax()).astype(np.float64)
    return np.copysign(getattr(loss, "margin", 1.0), own - 0.5)


def _stairs(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the best constant scores of `MulticlassHinge(1)`.

    The loss is a sum of kinked functions of differences sⱼ − s_c with kinks at whole numbers, so that whole numbers are
    best (it is the dual of a flow problem); commoner classes stand higher, and no step is higher than one. With classes
    in falling order of their shares, those from i to j on one step cost (j − 1) times their shares, and the step down
    to them i times the shares of all from i on: dynamic programming finds the cheapest steps.
    """
    order = np.argsort(-shares, kind="stable")
    until = np.concatenate([[0.0], np.cumsum(shares[order])])
    count = len(shares)
    cheapest, begins = np.zeros(count + 1), np.zeros(count + 1, np.intp)
    down = np.arange(count) * (until[-1] - until[:-1])
    for stop in range(1, count + 1):
        costs = cheapest[:stop] + down[:stop] + (stop - 1) * (until[stop] - until[:stop])
        begins[stop] = np.argmin(costs)
        cheapest[stop] = costs[begins[stop]]
    scores = np.zeros(count)
    stop = count
    while stop > 0:
        begin = begins[stop]
        scores[order[begin:]] -= 1.0 if begin > 0 else 0.0
        stop = begin
    return scores
