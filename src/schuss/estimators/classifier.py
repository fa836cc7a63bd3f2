"""Classification."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.utils import check_consistent_length, compute_class_weight
from sklearn.utils.metaestimators import available_if

from ..descent.losses import Softmax, probabilities
from ..fitting.problem import Problem
from ..process import one_blas_thread
from .base import Array, LinearSGD, labels_of, one_of
from .held import held_out
from .losses import FOR_CLASSES, FOR_NUMBERS, loss_named

__all__ = ["SGDClassifier"]

PROBABILISTIC = ("log_loss", "modified_huber")


def _has_probabilities(estimator: SGDClassifier) -> bool:
    if estimator.loss in PROBABILISTIC:
        return True
    raise AttributeError(f"probability estimates are not available for loss={estimator.loss!r}")


class SGDClassifier(ClassifierMixin, LinearSGD):
    """Linear classifiers by stochastic gradient descent, with the parameters of scikit-learn's `SGDClassifier`.

    The objective is mean loss + α · penalty over weighted rows, a row of weight 2 counting as two, the intercept free.
    With ``learning_rate="auto"`` there is no rate to be found: what has an optimum that can be solved for in float64 is
    solved for, everything else is raced for.

    Parameters
    ----------
    loss : "hinge", "log_loss", "modified_huber", "squared_hinge", "perceptron", or a loss of numbers on −1 and 1:
        "squared_error", "huber", "epsilon_insensitive", "squared_epsilon_insensitive".
    penalty : "l2", "l1", "elasticnet" or None.
    alpha : the strength of the penalty; "auto" chooses it by cross-validation.
    l1_ratio : the share of L1 in "elasticnet".
    fit_intercept : whether there is an intercept.
    max_iter : passes over the rows at most.
    tol : when to stop; None to take exactly `max_iter` epochs.
    shuffle : whether each epoch has an order of its own.
    verbose : whether to print how each fit went.
    epsilon : the number of "huber" and of the ε-insensitive losses.
    n_jobs : has no effect: all classes and rates are trained side by side as it is.
    random_state : decides the order of rows and the rows held out.
    learning_rate : "auto", or scikit-learn's "constant", "optimal", "invscaling", "adaptive", with which training
        follows that schedule and `standardize="auto"` leaves features as they come.
    eta0, power_t : of these schedules.
    early_stopping : whether to hold rows out, and to stop when their score rises no more; the best weights are kept.
    validation_fraction : the share of rows that are held out for it.
    n_iter_no_change : epochs without progress after which training stops.
    class_weight : {class: weight}, "balanced" or None.
    warm_start : whether `fit` goes on from the weights that there are.
    average : whether to average the weights, or from which row on; with a schedule of scikit-learn's.
    multi_class : "ovr" for a binary classifier for each class against the rest, as scikit-learn's; "multinomial" for
        one loss over all classes (softmax for "log_loss"); "auto" is "multinomial" for "log_loss" with
        ``learning_rate="auto"``, else "ovr".
    optimizer, schedule, runs : of the race.
    standardize : whether the penalty is on weights of features scaled to unit variance; "auto" with
        ``learning_rate="auto"``.

    Attributes
    ----------
    coef_ : `(1, n_features)` for two classes, else `(n_classes, n_features)`, for the features as they come.
    intercept_ : `(1,)` or `(n_classes,)`.
    classes_ : the labels, sorted.
    n_iter_ : passes over the rows, the most of any class.
    t_ : one more than the rows that were learned from, repetitions counted.
    alpha_ : the strength of the penalty that was used.

    Example
    -------
    >>> import numpy as np
    >>> from schuss import SGDClassifier
    >>> X = np.array([[-2.0, -1.0], [-1.0, -1.0], [1.0, 1.0], [2.0, 1.0]])
    >>> SGDClassifier(loss="log_loss").fit(X, ["no", "no", "yes", "yes"]).predict([[-0.8, -1], [3, 2]])
    array(['no', 'yes'], dtype='<U3')
    """

    loss_functions = FOR_CLASSES

    def __init__(
        self,
        loss: str = "hinge",
        *,
        penalty: str | None = "l2",
        alpha: float | str = 0.0001,
        l1_ratio: float | None = 0.15,
        fit_intercept: bool = True,
        max_iter: int = 1000,
        tol: float | None = 1e-3,
        shuffle: bool = True,
        verbose: int = 0,
        epsilon: float = 0.1,
        n_jobs: int | None = None,
        random_state: Any = None,
        learning_rate: str = "auto",
        eta0: float = 0.01,
        power_t: float = 0.5,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        class_weight: Any = None,
        warm_start: bool = False,
        average: bool | int = False,
        multi_class: str = "auto",
        optimizer: Any = "auto",
        schedule: str = "linear",
        runs: int = 16,
        standardize: bool | str = "auto",
    ) -> None:
        self.loss = loss
        self.penalty = penalty
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.shuffle = shuffle
        self.verbose = verbose
        self.epsilon = epsilon
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.learning_rate = learning_rate
        self.eta0 = eta0
        self.power_t = power_t
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.average = average
        self.multi_class = multi_class
        self.optimizer = optimizer
        self.schedule = schedule
        self.runs = runs
        self.standardize = standardize

    @one_blas_thread
    def fit(
        self, X: Any, y: Any, coef_init: Any = None, intercept_init: Any = None, sample_weight: Any = None
    ) -> SGDClassifier:
        """Learn from all rows.

        X : `(n, n_features)` dense or sparse, or a frame, whose categories, texts and dates are encoded; coef_init,
        intercept_init : where to start.

        Raises ValueError when data or parameters cannot be used.
        """
        self._check()
        y = self._checked_labels(y, X)
        classes, codes = np.unique(y, return_inverse=True)
        X = self._checked_rows(X, reset=True, goals=codes, task="classification")
        if len(classes) < 2:
            raise ValueError(f"The number of classes has to be greater than one; got {len(classes)} class")
        outputs = 1 if len(classes) == 2 else len(classes)
        weights = self._row_weights(sample_weight, X)
        factors = compute_class_weight(self.class_weight, classes=classes, y=y)
        start = self._starts(coef_init, intercept_init, outputs, X.shape[1])
        self.classes_, self._learners, self._plain = classes, None, None
        held = held_out(self, StratifiedShuffleSplit, codes, weights) if self.early_stopping else None
        kept = slice(None) if held is None else ~held
        problems = self._problems(X[kept], codes[kept], weights[kept], factors)
        scores: list[Any] = [None] * len(problems)
        if held is not None:
            parts = self._problems(X[held], codes[held], weights[held], np.ones(len(classes)))
            scores = [_accuracy(part) for part in parts]
        starts = [None] * len(problems) if start is None else _parted(start, len(problems))
        self._set(self._learned(problems, starts, scores, X.shape[0]), X.dtype)
        return self

    @one_blas_thread
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> SGDClassifier:
        """Learn from every row once, and go on from where the last call ended.

        classes : all labels, at the first call; labels that turn up later are added as they come.
        """
        first = not hasattr(self, "classes_")
        self._check()
        if self.early_stopping:
            raise ValueError("early_stopping should be False with partial_fit")
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight 'balanced' is not supported for partial_fit. In order to use 'balanced' weights, use"
                " compute_class_weight('balanced', classes=classes, y=y). In place of y you can use a large enough"
                " sample of the full training set target to properly estimate the class frequency distributions. Pass"
                " the resulting weights as the class_weight parameter."
            )
        if first and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        y = self._checked_labels(y, X)
        X = self._checked_rows(X, reset=first, goals=np.unique(y, return_inverse=True)[1], task="classification")
        weights = self._row_weights(sample_weight, X)
        self._welcome(np.unique(y) if classes is None else np.unique(classes), X.shape[1], first)
        if first and not np.isin(y, self.classes_).all():
            raise ValueError(f"y has labels that are not among classes={self.classes_.tolist()}")
        codes = np.searchsorted(self.classes_, y)
        factors = compute_class_weight(self.class_weight, classes=self.classes_, y=y)
        problems = self._problems(X, codes, weights, factors)
        starts = _joined(self._weights_now(), len(problems))
        self._set(self._continued(problems, starts), X.dtype)
        return self

    def decision_function(self, X: Any) -> NDArray[Any]:
        """Give the scores: `(n,)` of the second of two classes, or `(n, n_classes)`."""
        scores = self._scores_of(X)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X: Any) -> NDArray[Any]:
        """Give the label with the highest score for each row."""
        scores = self._scores_of(X)
        best = (scores[:, 0] > 0).astype(np.intp) if scores.shape[1] == 1 else scores.argmax(axis=1)
        return self.classes_[best]

    @available_if(_has_probabilities)
    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Give the probability of each class `(n, n_classes)`, with log_loss and modified_huber.

        One-vs-rest probabilities are divided by their sum.
        """
        scores = self._scores_of(X)
        if self._is_multinomial and scores.shape[1] > 1:
            return probabilities(Softmax(), scores)
        loss = loss_named(self.loss, self.epsilon)
        if scores.shape[1] == 1:
            return probabilities(loss, scores)
        each = np.column_stack([probabilities(loss, column[:, None])[:, 1] for column in scores.T])
        sums = each.sum(axis=1, keepdims=True)
        return np.where(sums > 0, each / np.where(sums > 0, sums, 1.0), 1.0 / each.shape[1])

    @available_if(_has_probabilities)
    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        """Give the logarithm of the probabilities."""
        return np.log(self.predict_proba(X))

    def _check(self) -> None:
        """Refuse parameters that cannot be."""
        one_of(self, "loss", tuple(FOR_CLASSES))
        one_of(self, "multi_class", ("auto", "ovr", "multinomial"))
        self._check_parameters()
        if self.multi_class == "multinomial" and self.loss != "log_loss":
            raise ValueError(f"multi_class='multinomial' needs loss='log_loss', got {self.loss!r}")

    @property
    def _is_multinomial(self) -> bool:
        """Whether there is one loss over all classes."""
        if self.multi_class == "auto":
            return self.loss == "log_loss" and self.learning_rate == "auto"
        return self.multi_class == "multinomial"

    def _checked_labels(self, y: Any, X: Any) -> NDArray[Any]:
        """Give labels as an array of one dimension."""
        if y is None:
            raise ValueError(
                f"requires y to be passed, but the target y is None: This {type(self).__name__} estimator requires y"
            )
        labels = labels_of(y)
        check_consistent_length(X, labels)
        return labels

    def _problems(self, X: Any, codes: NDArray[Any], weights: Array, factors: Array) -> list[Problem]:
        """State one problem, or one for each class."""
        count = len(self.classes_)
        if count > 2 and self._is_multinomial:
            return [self._problem(X, codes, weights * factors[codes], Softmax(), count)]
        loss = loss_named(self.loss, self.epsilon)
        found = []
        for place in range(count) if count > 2 else (1,):
            own = codes == place
            # Of one class against the rest, only the rows of that class are weighted, as scikit-learn does.
            of_others = 1.0 if count > 2 else factors[0]
            targets = np.where(own, 1.0, -1.0) if self.loss in FOR_NUMBERS else own.astype(np.int32)
            found.append(self._problem(X, targets, weights * np.where(own, factors[place], of_others), loss, 1))
        return found

    def _set(self, found: list[Array], dtype: Any) -> None:
        """Set the weights, in the precision of the rows."""
        together = np.column_stack(found)
        self.coef_ = np.ascontiguousarray(together[:-1].T, dtype)
        self.intercept_ = together[-1].astype(dtype)

    def _welcome(self, labels: NDArray[Any], features: int, first: bool) -> None:
        """Make room for labels that are new: their scores begin at zero."""
        if first:
            self.classes_, self.t_ = labels, 1.0
            outputs = 1 if len(labels) == 2 else len(labels)
            self.coef_, self.intercept_ = np.zeros((outputs, features)), np.zeros(outputs)
            return
        together = np.union1d(self.classes_, labels)
        if len(together) == len(self.classes_):
            return
        coef, intercept = self.coef_, self.intercept_
        if len(self.classes_) == 2:  # the one score is that of the second class, and against the first
            share = 0.5 if self._is_multinomial else 1.0
            coef, intercept = np.vstack([-coef, coef]) * share, np.append(-intercept, intercept) * share
        places = np.searchsorted(together, self.classes_)
        self.coef_, self.intercept_ = np.zeros((len(together), features)), np.zeros(len(together))
        self.coef_[places], self.intercept_[places] = coef, intercept
        self.classes_, self._plain, self._averages = together, None, None
        self._learners, grounds = None, getattr(self, "_grounds", None)
        if grounds:  # what features are scaled by stays
            self._grounds = [grounds[0]._replace(squares=None)] * (1 if self._is_multinomial else len(together))

    def __sklearn_tags__(self) -> Any:
        """Say what the estimator can do."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = False
        return tags


def _parted(start: Array, problems: int) -> list[Array]:
    """Give each problem its columns of the weights."""
    return [start] if problems == 1 else [start[:, [place]] for place in range(problems)]


def _joined(columns: list[Array], problems: int) -> list[Array]:
    """Give the weights of the outputs to the one problem that has them all, or to each its own."""
    return [np.column_stack(columns)] if problems == 1 else columns


def _accuracy(part: Problem) -> Callable[[Array], float]:
    """Give the score of raw weights on held-out rows: the weighted share of right ones."""
    return partial(_share_right, part)


def _share_right(part: Problem, weights: Array) -> float:
    scores = part.X @ weights[:-1] + weights[-1]
    found = scores.argmax(axis=1) if part.outputs > 1 else scores[:, 0] > 0
    right = found == (part.targets if part.outputs > 1 else part.targets > 0)
    return float(np.average(right, weights=part.weights))
