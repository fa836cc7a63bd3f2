"""How good the model is on held-out rows: the scores, the pictures, and each class."""

from __future__ import annotations

import math

import numpy as np

from .. import figures, layout, tables
from ..figures.reliability import reliability_bins
from ..figures.results import class_names, confusion_counts, residual_points
from ..history import History, mapping, number, sequence
from ..markup import Markup
from ..words import count, figure, percent, plural
from .parts import folded, known, picture

__all__ = ["results"]


def results(history: History) -> Markup:
    """Write the section of the held-out results."""
    return layout.section("results", "Held-out results", layout.facts(_scores(history)), *_drawn_results(history))


def _drawn_results(history: History) -> list[Markup]:
    """The pictures of how good the model is, then the tables."""
    picture, *rest = _drawn_predictions(history)
    return [picture, *_drawn_probabilities(history), *rest]


def _drawn_probabilities(history: History) -> list[Markup]:
    bins = reliability_bins(history)
    if not len(bins):
        return []
    classes = [str(name) for name in sequence(history.start, "classes")]
    whose = classes[1] if len(classes) == 2 else "the predicted class"
    caption = (
        f"Held-out rows by the probability of {whose} that the model gave them, against how often it was so; on the "
        "dashed line probabilities mean what they say. The bars are two standard errors."
    )
    off = float(np.average(abs(bins[:, 0] - bins[:, 1]), weights=bins[:, 2]))
    summary = (
        f"{plural(float(bins[:, 2].sum()), 'held-out row')}; probabilities are off by {percent(off, 1)} on average."
    )
    table = tables.reliability_table(history)
    return [picture("reliability", figures.reliability_curve, history, caption, summary, table)]


def _drawn_predictions(history: History) -> list[Markup]:
    counts = confusion_counts(history)
    predicted, actual = residual_points(history)
    if counts is not None:
        right, rows = float(counts.trace()), float(counts.sum())
        caption = (
            "Held-out rows by true class (down) and predicted class (across); the stronger the colour, the larger the "
            "share of the true class."
        )
        summary = f"{count(right)} of {plural(rows, 'held-out row')} on the diagonal, {_confused(history)}."
        numbers, classes = tables.confusion_table(history), tables.class_table(history)
        drawn = picture("confusion", figures.confusion_matrix, history, caption, summary, numbers)
        return [drawn, folded(classes, 12, "Precision and recall of each class")] if classes else [drawn]
    if predicted.size:
        caption = (
            "Predicted against actual values of held-out rows, and how their differences are spread; on the dashed "
            "line a prediction is exact."
        )
        typical = figure(float(abs(actual - predicted).mean()), 3)
        summary = f"{plural(predicted.size, 'held-out row')} drawn; predictions miss by {typical} on average."
        numbers = tables.residuals_table(history)
        return [picture("residuals", figures.residuals, history, caption, summary, numbers)]
    classes = sequence(history.start, "classes")
    if len(classes) > 30 and history.finish is not None:
        return [layout.paragraph(f"A confusion matrix of {count(len(classes))} classes would not be readable.")]
    return [layout.paragraph("The model was not scored on held-out rows.")]


_SCORES = {
    "rows": "rows",
    "accuracy": "accuracy",
    "auc": "area under the ROC curve",
    "macro_f1": "F1, mean of the classes",
    "brier": "Brier score",
    "r2": "R²",
    "rmse": "root mean squared error",
    "mae": "mean absolute error",
    "loss": "loss",
    "constant_loss": "loss of the constant predictor",
}


def _scores(history: History) -> list[tuple[str, str]]:
    """All that was measured on the held-out rows."""
    holdout = mapping(history.finish, "holdout")
    words = {"rows": count, "accuracy": lambda share: percent(share, 2)}
    validation = mapping(history.finish, "cross_validation")
    found = [(name, known(words.get(key, figure), holdout.get(key))) for key, name in _SCORES.items()]
    folds = plural(number(validation.get("rows")), "row"), number(validation.get("folds"))
    if math.isfinite(folds[1]):
        found.append((f"loss in cross-validation ({folds[0]} in {count(folds[1])} folds)", figure(validation["loss"])))
    return [(name, value) for name, value in found if value]


def _confused(history: History) -> str:
    counts = confusion_counts(history)
    if counts is None:
        return ""
    wrong = counts.copy()
    wrong[range(len(wrong)), range(len(wrong))] = 0
    if not wrong.any():
        return "none elsewhere"
    true, predicted = divmod(int(wrong.argmax()), len(wrong))
    names = class_names(history, len(wrong))
    return f"the commonest mistake is {names[predicted]} for {names[true]} ({plural(float(wrong.max()), 'row')})"
