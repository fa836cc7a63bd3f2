"""Scores computed from predictions alone, the same way for schuss and for its peers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np


class Predictions(NamedTuple):
    """What was true and what was predicted; for classes the probabilities too, where the model gives them."""

    truth: np.ndarray
    predicted: np.ndarray
    classes: tuple[str, ...] = ()
    probabilities: np.ndarray | None = None  # rows × classes


def labels(values: Iterable[object]) -> np.ndarray:
    """Write classes as text in one way: no blanks around, 1 for 1.0 and +1."""
    return np.array([label(value) for value in values])


def label(value: object) -> str:
    """Write one class as text."""
    text = str(value).strip()
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() else text


def pool(parts: list[Predictions]) -> Predictions:
    """Put the predictions of several folds together."""
    probabilities = [part.probabilities for part in parts if part.probabilities is not None]
    return Predictions(
        np.concatenate([part.truth for part in parts]),
        np.concatenate([part.predicted for part in parts]),
        parts[0].classes,
        np.concatenate(probabilities) if probabilities else None,
    )


def scores(predictions: Predictions) -> dict[str, float]:
    """Give the accuracy and, with probabilities, the log loss of classes; the R² of numbers.

    Probabilities are clipped to [ε, 1 − ε] with the ε of float64, as scikit-learn's log_loss clips them; `clipped`
    counts the rows where that made the loss smaller.
    """
    truth, predicted, classes, probabilities = predictions
    if not classes:
        residual = np.sum((truth - predicted) ** 2)
        return {"r2": float(1 - residual / np.sum((truth - truth.mean()) ** 2)), "mse": float(residual / len(truth))}
    answer = {"accuracy": float(np.mean(truth == predicted))}
    if probabilities is not None:
        position = {name: column for column, name in enumerate(classes)}
        of_truth = probabilities[np.arange(len(truth)), [position[name] for name in truth]].astype(np.float64)
        epsilon = np.finfo(np.float64).eps
        answer["clipped"] = int(np.sum(of_truth < epsilon))
        answer["log_loss"] = float(-np.mean(np.log(np.clip(of_truth, epsilon, 1 - epsilon))))
    return answer
