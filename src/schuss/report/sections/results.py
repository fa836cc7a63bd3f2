"""How good the model is on held-out rows: the scores, the pictures, and each class."""

from __future__ import annotations

import math

import numpy as np

from .. import figures, layout, tables
from ..figures.reliability import reliability_bins
from ..figures.results import class_names, confusion_counts, residual_points
from ..figures.thresholds import threshold_points
from ..history import History, interval, mapping, number, sequence
from ..markup import Markup
from ..runs import loss_name, loss_unit
from ..tables import Table
from ..words import count, figure, percent, plural, shorten
from .parts import folded, picture

__all__ = ["results"]


def results(history: History) -> Markup:
    """Write the section of the held-out results, nothing where a training has not come to its end."""
    if history.finish is None:
        return Markup()
    return layout.section("results", "Held-out results", *_scores(history), *_drawn_results(history))


def _drawn_results(history: History) -> list[Markup]:
    """The pictures of how good the model is, then the tables."""
    first, *rest = _drawn_predictions(history)
    return [first, *_drawn_thresholds(history), *_drawn_probabilities(history), *rest]


def _drawn_thresholds(history: History) -> list[Markup]:
    points = threshold_points(history)
    if not len(points):
        return []
    classes = [str(name) for name in sequence(history.start, "classes")]
    whose = classes[1] if len(classes) == 2 else "the second class"
    caption = (
        f"Every threshold on the score of {whose}. Left the share of it that is found against the share of the others "
        "named with it, right how many of all named are right. Dashed: what guessing reaches."
    )
    held = mapping(history.finish, "holdout")
    areas = (
        f"Area under the ROC curve {_score(history, 'auc')}, average precision {_score(history, 'average_precision')}."
    )
    summary = areas if math.isfinite(number(held.get("auc"))) else ""
    table = tables.thresholds_table(points)
    return [picture("thresholds", figures.roc_and_precision, history, caption, summary, table)]


def _score(history: History, key: str) -> str:
    """A score of the held-out rows and, where it is known, its 95 % interval."""
    value, ends = figure(number(mapping(history.finish, "holdout").get(key)), 3), interval(history, key)
    return f"{value} ({figure(ends[0], 3)} to {figure(ends[1], 3)})" if ends else value


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
    "accuracy": ("accuracy", "Wilson (1927)"),
    "auc": ("area under the ROC curve", "DeLong et al. (1988), by logits"),
    "average_precision": ("average precision", "Boyd et al. (2013), by logits"),
    "macro_f1": ("F1, mean of the classes", "bootstrap of the confusion matrix"),
    "brier": ("Brier score", "standard error over rows"),
    "r2": ("R²", "ratio estimate, Cochran (1977)"),
    "rmse": ("root mean squared error", "standard error over rows"),
    "mae": ("mean absolute error", "standard error over rows"),
    "loss": ("", "standard error over rows"),
    "gain": ("gain on the constant predictor's loss", "standard error of paired differences"),
}


def scores_table(history: History) -> Table | None:
    """All that was measured on the held-out rows, with 95 % intervals and how they were found."""
    holdout = mapping(history.finish, "holdout")
    rows = []
    for key, (name, method) in _SCORES.items():
        value, ends = number(holdout.get(key)), interval(history, key)
        if key == "gain":
            value = number(holdout.get("constant_loss")) - number(holdout.get("loss"))
        if not math.isfinite(value):
            continue
        words = (lambda share: percent(share, 1)) if key == "accuracy" else figure
        between = f"{words(ends[0])} to {words(ends[1])}" if ends else ""
        if key == "loss":
            name, unit = loss_name(history), loss_unit(history)
            name += f" ({unit})" if unit else ""
        rows.append((name, words(value), between, method if ends else ""))
    if not rows:
        return None
    whole = f"Scores on {plural(number(holdout.get('rows')), 'held-out row')} that no choice was made by"
    return Table(whole, ("score", "value", "95% interval", "method of the interval"), rows, frozenset({0, 3}))


def _scores(history: History) -> list[Markup]:
    """The scores, and what cross-validation says of the loss."""
    table, validation = scores_table(history), mapping(history.finish, "cross_validation")
    shown = [layout.table(table)] if table else []
    folds = number(validation.get("folds"))
    if math.isfinite(folds):
        rows = plural(number(validation.get("rows")), "row")
        loss = figure(number(validation.get("loss")))
        shown.append(
            layout.paragraph(f"Cross-validation of {rows} in {count(folds)} folds: a loss of {loss}.", "small")
        )
    return shown


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
    mistake = f"{shorten(names[predicted], 60)} for {shorten(names[true], 60)}"
    return f"the commonest mistake is {mistake} ({plural(float(wrong.max()), 'row')})"
