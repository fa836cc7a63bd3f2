"""What classifier and regressor share: parameters, checked; data, checked; weights as scikit-learn names them."""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, csr_matrix, issparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import assert_all_finite, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from ..descent.losses import Loss
from ..descent.optimizers import rule_named
from ..descent.schedules import SCHEDULES
from ..errors import OptionError, TrainingError
from ..fitting.fit import Fitted, Recipe, fit
from ..fitting.online import Ground, Online, ground_of
from ..fitting.problem import Problem, scaling_of, unscaled
from ..fitting.schedule import NAMES
from .frames import Frames, is_mixed
from .repeated import checked_weights

__all__ = ["LinearSGD"]

Array = NDArray[np.float64]


class LinearSGD(BaseEstimator):
    """The common part of the estimators."""

    loss: str
    penalty: str | None
    alpha: float | str
    l1_ratio: float | None
    fit_intercept: bool
    max_iter: int
    tol: float | None
    shuffle: bool
    verbose: int
    epsilon: float
    random_state: Any
    learning_rate: str
    eta0: float
    power_t: float
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    warm_start: bool
    average: bool | int
    optimizer: Any
    schedule: str
    runs: int
    standardize: bool | str
    coef_: Any
    intercept_: NDArray[Any]
    n_iter_: int
    t_: float

    def _check_parameters(self) -> None:
        """Refuse parameters that cannot be; raises ValueError."""
        one_of(self, "penalty", ("l2", "l1", "elasticnet", None))
        one_of(self, "learning_rate", ("auto", *NAMES))
        one_of(self, "standardize", ("auto", True, False))
        one_of(self, "schedule", tuple(SCHEDULES))
        self._check_optimizer()
        if self.alpha != "auto":
            number(self, "alpha", least=0.0)
        number(self, "epsilon", least=0.0)
        number(self, "eta0", least=0.0, exclusive=self.learning_rate in ("constant", "invscaling", "adaptive"))
        number(self, "power_t")
        number(self, "validation_fraction", least=0.0, most=1.0, exclusive=True)
        for name in ("max_iter", "n_iter_no_change", "runs"):
            number(self, name, least=1, whole=True)
        number(self, "average", least=0, whole=True)
        if self.tol is not None:
            number(self, "tol", least=0.0)
        if self.penalty == "elasticnet":
            if self.l1_ratio is None:
                raise ValueError("l1_ratio must be set when penalty is 'elasticnet'")
            number(self, "l1_ratio", least=0.0, most=1.0)
        if self.learning_rate == "optimal" and self.alpha == 0:
            raise ValueError("alpha must be > 0 since learning_rate is 'optimal', which is made of it")
        if self.learning_rate != "auto" and self.alpha == "auto":
            raise ValueError("alpha='auto' needs learning_rate='auto': a stated schedule is for a stated objective")
        if self.power_t < 0:
            warnings.warn(
                "Negative values for `power_t` are deprecated: the learning rate grows", FutureWarning, stacklevel=5
            )

    def _check_optimizer(self) -> None:
        """Refuse optimizers that there are not."""
        for name in self._optimizers:
            try:
                rule_named("sgd" if name == "auto" else name)
            except OptionError as error:
                raise ValueError(str(error).replace("option '--optimizer'", "optimizer")) from None

    @property
    def _optimizers(self) -> tuple[str, ...]:
        return (self.optimizer,) if isinstance(self.optimizer, str) else tuple(self.optimizer)

    def _checked_rows(self, X: Any, *, reset: bool, goals: NDArray[Any] | None = None, task: str = "") -> Any:
        """Give rows as float64 or float32, dense or CSR; frames of other things than numbers are encoded.

        goals, task : what the encoder is fitted for, with `reset`.
        """
        if is_mixed(X) or (not reset and getattr(self, "_frames", None) is not None):
            validate_data(self, X, skip_check_array=True, reset=reset)
            if reset:
                assert goals is not None
                self._frames = Frames.fit(X, goals, task)
            frames: Frames = self._frames  # pyright: ignore[reportAssignmentType]
            return frames.rows(X)
        if reset:
            self._frames = None
        rows = validate_data(
            self, X, reset=reset, accept_sparse="csr", dtype=(np.float64, np.float32), order="C",
            accept_large_sparse=True, ensure_min_samples=1,
        )  # fmt: skip
        return csr_array(rows) if issparse(rows) else rows

    def _row_weights(self, sample_weight: Any, X: Any) -> Array:
        """Give the weights of the rows; raises ValueError at negative ones."""
        if sample_weight is None:
            return np.ones(X.shape[0])
        weights = checked_weights(sample_weight, X.shape[0])
        if (weights < 0).any():
            raise ValueError("Negative values in sample_weight: weights must be at least zero")
        return weights

    def _penalties(self) -> tuple[float, float]:
        """Give λ₂ and λ₁."""
        alpha = float(getattr(self, "alpha_", 0.0) if self.alpha == "auto" else self.alpha)
        share = {"l2": 0.0, None: 0.0, "l1": 1.0}.get(self.penalty, float(self.l1_ratio or 0.0))
        alpha = 0.0 if self.penalty is None else alpha
        return alpha * (1.0 - share), alpha * share

    @property
    def _standardized(self) -> bool:
        """Whether features are scaled: with a schedule of scikit-learn's the objective is its own."""
        return self.learning_rate == "auto" if self.standardize == "auto" else bool(self.standardize)

    def _recipe(self, *, epochs: int, tol: float | None, seed: int) -> Recipe:
        """Say how to learn."""
        return Recipe(
            self.learning_rate, self.eta0, self.power_t, float(sum(self._penalties())), epochs, tol,
            self.n_iter_no_change, bool(self.shuffle), int(self.average), self._optimizers, self.schedule, self.runs,
            seed, self.alpha == "auto" and self.penalty is not None,
        )  # fmt: skip

    def _problem(self, X: Any, targets: NDArray[Any], weights: Array, loss: Loss, outputs: int) -> Problem:
        """State a problem over the rows that weigh anything."""
        there = weights > 0
        if not there.any():
            raise ValueError("Sample weights must contain at least one non-zero number.")
        if not there.all():
            X, targets, weights = X[there], targets[there], weights[there]
        if self._standardized and not isinstance(getattr(self, "_frames", None), Frames):
            scaling = scaling_of(X, weights, centred=bool(self.fit_intercept))
        else:
            scaling = unscaled(X.shape[1])
        l2, l1 = self._penalties()
        return Problem(X, targets, weights, loss, outputs, l2, l1, bool(self.fit_intercept), scaling)

    def _learned(
        self, problems: Sequence[Problem], starts: Sequence[Array | None], scores: Sequence[Callable | None], rows: int
    ) -> list[Array]:
        """Fit every problem, set what is known of training, and give the weights; warns if epochs were too few."""
        seeds = check_random_state(self.random_state).randint(np.iinfo(np.int32).max, size=len(problems))
        found: list[Fitted] = []
        for problem, start, score, seed in zip(problems, starts, scores, seeds, strict=True):
            recipe = self._recipe(epochs=int(self.max_iter), tol=self.tol, seed=int(seed))
            found.append(_fitted(problem, recipe, start, score))
            if self.verbose:
                done = found[-1]
                print(f"{done.epochs} passes over {problem.rows} rows, {'' if done.converged else 'not '}converged")
        self.n_iter_ = max(done.epochs for done in found)
        self.t_ = 1.0 + self.n_iter_ * rows
        self.alpha_ = float(max(done.l2 for done in found)) if self.alpha == "auto" else self.alpha
        self._averages = [done.averaged for done in found]
        self._grounds = None
        if self.learning_rate == "auto":
            with np.errstate(all="ignore"):
                self._grounds = [ground_of(one, done.weights) for one, done in zip(problems, found, strict=True)]
        if self.tol is not None and self.n_iter_ >= self.max_iter and not all(done.converged for done in found):
            warnings.warn(
                "Maximum number of iteration reached before convergence. Consider increasing max_iter to improve the"
                " fit.",
                ConvergenceWarning,
                stacklevel=4,
            )
        return [self._answer(done.weights, done.averaged) for done in found]

    def _answer(self, weights: Array, averaged: Array | None) -> Array:
        """Give the averaged weights where averaging has begun."""
        return averaged if averaged is not None and self.average and self.average <= self.t_ - 1 else weights

    def _continued(self, problems: Sequence[Problem], starts: Sequence[Array]) -> list[Array]:
        """Learn from every row once, from where the last call ended."""
        if self.learning_rate == "auto":
            return self._online(problems, starts)
        found = []
        seeds = check_random_state(self.random_state).randint(np.iinfo(np.int32).max, size=len(problems))
        averages = getattr(self, "_averages", None) or [None] * len(problems)
        plain = getattr(self, "_plain", None) or list(starts)
        for problem, start, average, seed in zip(problems, plain, averages, seeds, strict=True):
            recipe = self._recipe(epochs=1, tol=None, seed=int(seed))
            found.append(_fitted(problem, recipe, start, t=self.t_, averaged=average))
        self.t_ += problems[0].rows
        self.n_iter_ = 1
        self._averages = [done.averaged for done in found]
        self._plain = [done.weights for done in found] if self.average else None
        return [self._answer(done.weights, done.averaged) for done in found]

    def _online(self, problems: Sequence[Problem], starts: Sequence[Array]) -> list[Array]:
        """Let copies of different paces learn from the rows, and answer together."""
        grounds: list[Ground | None] = getattr(self, "_grounds", None) or [None] * len(problems)
        learners: list[Online] = getattr(self, "_learners", None) or [
            Online(
                problem.loss, problem.outputs, problem.l2, problem.l1, problem.intercept,
                self._standardized and not isinstance(self._frames, Frames), start, ground,
            )
            for problem, start, ground in zip(problems, starts, grounds, strict=True)
        ]  # fmt: skip
        with np.errstate(all="ignore"):
            for learner, problem in zip(learners, problems, strict=True):
                learner.learn(problem.X, problem.targets, problem.weights)
        self._learners = learners
        self.t_ += problems[0].rows
        self.n_iter_ = 1
        return [learner.weights for learner in learners]

    def _weights_now(self) -> list[Array]:
        """Give the weights `(features + 1, 1)` of each output that there is."""
        coef = self.coef_.toarray() if issparse(self.coef_) else self.coef_
        coef = np.atleast_2d(coef).astype(np.float64)
        return [np.append(one, b)[:, None] for one, b in zip(coef, np.atleast_1d(self.intercept_), strict=True)]

    def _starts(self, coef_init: Any, intercept_init: Any, outputs: int, features: int) -> Array | None:
        """Give the weights `(features + 1, outputs)` to start from, None for zero; ValueError at other shapes."""
        if self.warm_start and hasattr(self, "coef_"):
            dense = self.coef_.toarray() if issparse(self.coef_) else self.coef_
            coef_init = dense if coef_init is None else coef_init
            intercept_init = self.intercept_ if intercept_init is None else intercept_init
        if coef_init is None and intercept_init is None:
            return None
        start = np.zeros((features + 1, outputs))
        if coef_init is not None:
            coef = np.asarray(coef_init, np.float64)
            if coef.shape not in {(outputs, features), *([(features,), (1, features)] if outputs == 1 else [])}:
                raise ValueError(
                    f"Provided coef_init does not match dataset: it has the shape {coef.shape}, not"
                    f" {(outputs, features)}."
                )
            start[:-1] = coef.reshape(outputs, features).T
        if intercept_init is not None:
            intercept = np.asarray(intercept_init, np.float64)
            if intercept.shape not in {(outputs,), *([()] if outputs == 1 else [])}:
                raise ValueError(
                    f"Provided intercept_init does not match dataset: it has the shape {intercept.shape}, not"
                    f" {(outputs,)}."
                )
            start[-1] = intercept
        return start

    def _scores_of(self, X: Any) -> Array:
        """Give the scores `(n, outputs)`."""
        check_is_fitted(self)
        rows = self._checked_rows(X, reset=False)
        coef = self.coef_ if issparse(self.coef_) else np.atleast_2d(self.coef_)
        scores = rows @ coef.T
        return (scores.toarray() if issparse(scores) else np.asarray(scores)) + self.intercept_

    def densify(self) -> Any:
        """Make `coef_` a dense array again."""
        check_is_fitted(self)
        if issparse(self.coef_):
            self.coef_ = self.coef_.toarray()
        return self

    def sparsify(self) -> Any:
        """Make `coef_` a sparse matrix: less memory where most weights are zero, as with an L1 penalty."""
        check_is_fitted(self)
        self.coef_ = csr_matrix(self.coef_)
        return self

    def __sklearn_tags__(self) -> Any:
        """Say what the estimator can do."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _fitted(*arguments: Any, **options: Any) -> Fitted:
    """Fit; runs that diverge are no warning of NumPy's, and where none is left it is a ValueError."""
    try:
        with np.errstate(all="ignore"):
            return fit(*arguments, **options)
    except TrainingError as error:
        raise ValueError(str(error)) from error


def one_of(estimator: Any, name: str, valid: Sequence[Any]) -> None:
    """Refuse a parameter that is none of the valid values."""
    value = getattr(estimator, name)
    if not any(value is one or (isinstance(one, str) and isinstance(value, str) and value == one) for one in valid):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, valid))}, got {value!r}")


def number(
    estimator: Any, name: str, *, least: float = -math.inf, most: float = math.inf, exclusive: bool = False,
    whole: bool = False,
) -> None:  # fmt: skip
    """Refuse a parameter that is no number in its range."""
    value: Any = getattr(estimator, name)
    kind: Any = numbers.Integral if whole else numbers.Real
    if isinstance(value, kind) and (least < value < most if exclusive else least <= value <= most):
        return
    what = "a whole number" if whole else "a number"
    bound = f"above {least:g}" if exclusive else f"of at least {least:g}"
    above = "" if most == math.inf else f" and {'below' if exclusive else 'at most'} {most:g}"
    raise ValueError(f"{name} must be {what} {bound}{above}, got {value!r}")


def labels_of(y: Any) -> NDArray[Any]:
    """Give labels as an array of one dimension; raises ValueError where they cannot be any."""
    labels = column_or_1d(y, warn=True)
    assert_all_finite(labels, input_name="y")  # the next line warns of infinity, in a cast, before it refuses it
    check_classification_targets(labels)
    return labels
