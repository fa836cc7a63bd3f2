"""Regression."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.model_selection import ShuffleSplit
from sklearn.utils import check_array, check_consistent_length

from ..fitting.problem import Problem
from ..process import one_blas_thread
from .base import Array, LinearSGD, one_of
from .held import held_out
from .losses import FOR_NUMBERS, loss_named

__all__ = ["SGDRegressor"]


class SGDRegressor(RegressorMixin, LinearSGD):
    """Linear regression by stochastic gradient descent, with the parameters of scikit-learn's `SGDRegressor`.

    The objective is mean loss + α · penalty over weighted rows, a row of weight 2 counting as two, the intercept free;
    "squared_error" is ½ (y − ŷ)². For the parameters see `SGDClassifier`; several targets may be given at once.

    Parameters
    ----------
    loss : "squared_error", "huber", "epsilon_insensitive" or "squared_epsilon_insensitive".

    Attributes
    ----------
    coef_ : `(n_features,)`, or `(n_targets, n_features)` for targets of two dimensions.
    intercept_ : `(1,)` or `(n_targets,)`.

    Example
    -------
    >>> import numpy as np
    >>> from schuss import SGDRegressor
    >>> X = np.array([[0.0, 1e4], [1.0, 3e4], [2.0, 2e4], [3.0, 5e4]])
    >>> SGDRegressor(alpha=0).fit(X, X @ [2.0, 1e-4] + 1).coef_.round(6)
    array([2.e+00, 1.e-04])
    """

    loss_functions = FOR_NUMBERS

    def __init__(
        self,
        loss: str = "squared_error",
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
        random_state: Any = None,
        learning_rate: str = "auto",
        eta0: float = 0.01,
        power_t: float = 0.25,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        warm_start: bool = False,
        average: bool | int = False,
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
        self.random_state = random_state
        self.learning_rate = learning_rate
        self.eta0 = eta0
        self.power_t = power_t
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.average = average
        self.optimizer = optimizer
        self.schedule = schedule
        self.runs = runs
        self.standardize = standardize

    @one_blas_thread
    def fit(
        self, X: Any, y: Any, coef_init: Any = None, intercept_init: Any = None, sample_weight: Any = None
    ) -> SGDRegressor:
        """Learn from all rows.

        y : `(n,)` or `(n, n_targets)`; for the others see `SGDClassifier.fit`.

        Raises ValueError when data or parameters cannot be used.
        """
        self._check()
        targets = self._checked_targets(y, X)
        X = self._checked_rows(X, reset=True, goals=targets[:, 0], task="regression")
        weights = self._row_weights(sample_weight, X)
        many = targets.shape[1]
        start = self._starts(coef_init, intercept_init, many, X.shape[1])
        self._learners, self._plain = None, None
        held = held_out(self, ShuffleSplit, targets, weights) if self.early_stopping else None
        kept = slice(None) if held is None else ~held
        problems = self._problems(X[kept], targets[kept], weights[kept])
        scores: list[Any] = [None] * many
        if held is not None:
            scores = [_r2(part) for part in self._problems(X[held], targets[held], weights[held])]
        starts = [None] * many if start is None else [start[:, [place]] for place in range(many)]
        self._set(self._learned(problems, starts, scores, X.shape[0]), X.dtype)
        return self

    @one_blas_thread
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> SGDRegressor:
        """Learn from every row once, and go on from where the last call ended."""
        first = not hasattr(self, "coef_")
        self._check()
        if self.early_stopping:
            raise ValueError("early_stopping should be False with partial_fit")
        targets = self._checked_targets(y, X)
        X = self._checked_rows(X, reset=first, goals=targets[:, 0], task="regression")
        weights = self._row_weights(sample_weight, X)
        if first:
            many = targets.shape[1]
            self.coef_, self.intercept_, self.t_ = np.zeros((many, X.shape[1])), np.zeros(many), 1.0
        elif targets.shape[1] != len(self.intercept_):
            raise ValueError(f"y has {targets.shape[1]} targets, and there were {len(self.intercept_)} before")
        problems = self._problems(X, targets, weights)
        self._set(self._continued(problems, self._weights_now()), X.dtype)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Give the prediction for each row, `(n,)` or `(n, n_targets)`."""
        scores = self._scores_of(X)
        return scores[:, 0] if self._single else scores

    def _check(self) -> None:
        """Refuse parameters that cannot be."""
        one_of(self, "loss", tuple(FOR_NUMBERS))
        self._check_parameters()

    def _checked_targets(self, y: Any, X: Any) -> Array:
        """Give the targets `(n, n_targets)`."""
        if y is None:
            raise ValueError(
                f"requires y to be passed, but the target y is None: This {type(self).__name__} estimator requires y"
            )
        targets: Any = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")  # pyright: ignore
        check_consistent_length(X, targets)
        self._single = targets.ndim == 1
        return targets[:, None] if self._single else targets

    def _problems(self, X: Any, targets: Array, weights: Array) -> list[Problem]:
        """State a problem for each target."""
        loss = loss_named(self.loss, self.epsilon)
        return [self._problem(X, one, weights, loss, 1) for one in targets.T]

    def _set(self, found: list[Array], dtype: Any) -> None:
        """Set the weights, in the precision of the rows."""
        together = np.column_stack(found)
        coef = np.ascontiguousarray(together[:-1].T, dtype)
        self.coef_ = coef[0] if self._single else coef
        self.intercept_ = together[-1].astype(dtype)

    def __sklearn_tags__(self) -> Any:
        """Say what the estimator can do."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _r2(part: Problem) -> Callable[[Array], float]:
    """Give the score of raw weights on held-out rows: their coefficient of determination."""
    return partial(_determination, part)


def _determination(part: Problem, weights: Array) -> float:
    errors = part.targets - (part.X @ weights[:-1] + weights[-1])[:, 0]
    spread = part.targets - np.average(part.targets, weights=part.weights)
    return 1.0 - float(part.weights @ errors**2) / max(float(part.weights @ spread**2), 1e-300)
