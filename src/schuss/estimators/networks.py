"""Networks of dense layers with scikit-learn's parameter names, trained as `schuss train --network` trains them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, issparse
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit
from sklearn.utils import check_array, check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from ..descent.activations import ACTIVATIONS
from ..descent.losses import predicted_numbers, probabilities
from ..errors import InputError, TrainingError
from ..model.metrics import predicted_classes
from ..model.model import Model
from ..process import one_blas_thread
from ..training.training import train
from .base import labels_of, number, one_of
from .epochs import EpochLearner, learn_until, learner_of
from .held import held_out
from .repeated import once_each, row_weights

__all__ = ["NetworkClassifier", "NetworkRegressor"]

LARGE_ROWS = 20_000
"""From so many rows on some are held out to say when to stop; fewer are dealt into folds, and judge all."""

FEW_ROWS = 8
"""From so many rows on there are folds; fewer are learned for `EPOCHS` epochs, unless `max_iter` says otherwise."""

EPOCHS = 200
"""Epochs where nothing says when to stop, as many as scikit-learn's."""

SOLVERS = ("auto", "adam", "sgd")
SCHEDULES = {"auto": "linear", "constant": "constant", "invscaling": "invscaling", "adaptive": "plateau"}


class _Network(BaseEstimator):
    """The common part of the estimators."""

    _task: str
    _splitter: Any
    models_: list[Model]
    _learners: list[EpochLearner]

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str = "relu",
        *,
        solver: str = "auto",
        alpha: float | str = "auto",
        batch_size: int | str = "auto",
        learning_rate: str = "auto",
        learning_rate_init: float | str = "auto",
        power_t: float = 0.5,
        max_iter: int | None = None,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float | str = "auto",
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool | str = "auto",
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        dropout: float = 0.0,
        runs: int = 16,
        device: str = "auto",
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.dropout = dropout
        self.runs = runs
        self.device = device

    def _check(self) -> None:
        """Refuse parameters that cannot be; raises ValueError."""
        if self.solver == "lbfgs":
            raise ValueError("solver='lbfgs' works on all rows at once, which networks here do not: leave it at 'auto'")
        one_of(self, "solver", SOLVERS)
        one_of(self, "warm_start", (True, False))
        one_of(self, "learning_rate", tuple(SCHEDULES))
        one_of(self, "activation", ("logistic", *ACTIVATIONS))
        one_of(self, "early_stopping", ("auto", True, False))
        for name in ("alpha", "batch_size", "learning_rate_init", "tol"):
            if not isinstance(getattr(self, name), str) or getattr(self, name) != "auto":
                number(self, name, least=0.0)
        for name in ("momentum", "beta_1", "beta_2", "dropout"):
            number(self, name, least=0.0, most=1.0)
        number(self, "epsilon", least=0.0)
        number(self, "validation_fraction", least=0.0, most=1.0, exclusive=True)
        for name in ("runs", "n_iter_no_change"):
            number(self, name, least=1, whole=True)
        if self.max_iter is not None:
            number(self, "max_iter", least=1, whole=True)

    def _options(self, weight: float, rows: int) -> dict[str, Any]:
        """Say how to train on rows of this weight together, in the words of `schuss.train`."""
        schedule = SCHEDULES[self.learning_rate]
        epochs = "auto" if rows >= FEW_ROWS else EPOCHS
        options: dict[str, Any] = {
            "network": self.hidden_layer_sizes,
            "activation": "sigmoid" if self.activation == "logistic" else self.activation,
            "dropout": self.dropout,
            "device": self.device,
            "optimizer": self._optimizer(),
            "schedule": f"{schedule}:{self.power_t}" if schedule == "invscaling" else schedule,
            "learning_rate": self.learning_rate_init,
            # scikit-learn's penalty is α/2 ‖w‖² / N.
            "l2": "auto" if self.alpha == "auto" else float(self.alpha) / weight,
            "batch_size": "auto" if self.batch_size == "auto" else min(int(self.batch_size), rows),
            "epochs": epochs if self.max_iter is None else int(self.max_iter),
            "holdout": self.validation_fraction if self._holds_out(rows) else "none",
            "order": "shuffle" if self.shuffle else "keep",
            "seed": int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max)),
            "runs": self.runs,
            "progress": print if self.verbose else None,
        }
        return options

    def _holds_out(self, rows: int) -> bool:
        return rows >= LARGE_ROWS if self.early_stopping == "auto" else bool(self.early_stopping)

    def _optimizer(self) -> str:
        """Name the optimizer with its hyperparameters."""
        if self.solver != "sgd":
            return f"adam:beta1={self.beta_1},beta2={self.beta_2},epsilon={self.epsilon}"
        if self.momentum == 0:
            return "sgd"
        return f"{'nesterov' if self.nesterovs_momentum else 'momentum'}:{self.momentum}"

    @property
    def model_(self) -> Model:
        """The `schuss.Model`, with several targets that of the first."""
        check_is_fitted(self)
        return self._models[0]

    @property
    def _models(self) -> list[Model]:
        return [one.model for one in self._learners] if self._learners else self.models_

    @one_blas_thread
    def _learn(self, X: Any, goals: NDArray[Any], sample_weight: Any, classes: int | None) -> None:
        """Learn goals `(n, targets)`, and set what is known of it; raises ValueError where nothing can be learned."""
        if X.shape[0] < 2:
            raise ValueError("n_samples=1: a network learns from two rows at least")
        self._is_sparse = issparse(X)
        weights = row_weights(sample_weight, X.shape[0])
        if classes is not None and weights is not None and len(np.unique(goals[weights > 0])) < 2:
            raise ValueError("only one class has rows of a sample_weight above zero, and at least two are needed")
        try:
            if self.warm_start or self.tol != "auto":
                self._learn_by_epochs(X, goals, weights, classes)
            else:
                self._train(X, goals, weights)
        except (InputError, TrainingError) as error:
            raise ValueError(str(error)) from error

    def _train(self, X: Any, goals: NDArray[Any], weights: NDArray[Any] | None) -> None:
        """Train with a race, one after the other for each target."""
        if self.shuffle and X.shape[0] < LARGE_ROWS:
            X, goals, weights = once_each(X, goals, weights)
        options = self._options(X.shape[0] if weights is None else float(weights.sum()), X.shape[0])
        found = [train(_data(X, goal, weights), task=self._task, **options) for goal in goals.T]
        self.models_, self._learners = [one.model for one in found], []
        self.n_iter_ = max(max(round(one.summary["chosen"]["epochs"]) for one in found), 1)
        self.n_outputs_ = sum(model.scorer.outputs for model in self.models_)

    def _learn_by_epochs(self, X: Any, goals: NDArray[Any], weights: NDArray[Any] | None, classes: int | None) -> None:
        """Learn epoch by epoch, with `warm_start` from where the last fit ended, with a `tol` while it gains by it."""
        held = None
        if self.early_stopping is True:
            held = held_out(self, self._splitter, goals[:, 0], np.ones(len(goals)) if weights is None else weights)
        if not (self.warm_start and getattr(self, "_learners", None)):
            self.__dict__.pop("models_", None)
            self._begin(X, goals, weights, classes)
        most = EPOCHS if self.max_iter is None else int(self.max_iter)
        tol = None if self.tol == "auto" else float(self.tol)
        how: dict[str, Any] = {"held": held, "most": most, "tol": tol, "patience": self.n_iter_no_change}
        how |= {"shuffle": bool(self.shuffle), "tell": print if self.verbose else None}
        pairs = zip(self._learners, goals.T, strict=True)
        done = [learn_until(one, one.encoded(_data(X, goal, weights)), **how) for one, goal in pairs]
        self.n_iter_ = max(done)
        if self.tol != "auto" and self.n_iter_ >= most:
            warnings.warn(f"{most} epochs were not enough to reach tol={self.tol}", ConvergenceWarning, stacklevel=5)

    def _begin(self, X: Any, goals: NDArray[Any], weights: NDArray[Any] | None, classes: int | None) -> None:
        """Make networks that learn epoch by epoch."""
        options = self._options(float(len(goals)) if weights is None else float(weights.sum()), len(goals))
        options |= {"l2": 0.0 if self.alpha == "auto" else options["l2"]}
        options |= {"schedule": "constant" if self.learning_rate == "auto" else options["schedule"]}
        fitted = getattr(self, "models_", [None] * goals.shape[1])
        self._learners = [
            learner_of(options, _data(X, goal, weights), classes, model)
            for goal, model in zip(goals.T, fitted, strict=True)
        ]
        self.n_outputs_ = sum(one.model.scorer.outputs for one in self._learners)

    def _continue(self, X: Any, goals: NDArray[Any], sample_weight: Any, classes: int | None) -> None:
        """Learn from every row once, from where the last call ended."""
        if self.early_stopping is True:
            raise ValueError("partial_fit does not support early_stopping=True")
        weights = row_weights(sample_weight, X.shape[0])
        self._is_sparse = getattr(self, "_is_sparse", issparse(X))
        X = self._as_learned(X)
        try:
            if not getattr(self, "_learners", None):
                self._begin(X, goals, weights, classes)
            for one, goal in zip(self._learners, goals.T, strict=True):
                one.learn(one.encoded(_data(X, goal, weights)), shuffle=bool(self.shuffle))
        except (InputError, TrainingError) as error:
            raise ValueError(str(error)) from error
        self.n_iter_ = self._learners[0].epoch

    def _rows(self, X: Any, *, reset: bool) -> Any:
        """Give rows as they can be learned from."""
        return validate_data(
            self, X, reset=reset, accept_sparse="csr", dtype=(np.float64, np.float32), accept_large_sparse=False
        )

    def _scores(self, X: Any) -> list[NDArray[np.float64]]:
        """Give the scores `(n, outputs)` of rows as they come, for each target."""
        check_is_fitted(self)
        rows = self._as_learned(self._rows(X, reset=False))
        return [model.raw_scores(rows) for model in self._models]

    def _as_learned(self, X: Any) -> Any:
        """Give rows dense or sparse, whichever was learned from."""
        if self._is_sparse:
            return csr_matrix(X)
        return X.toarray() if issparse(X) else X

    def __sklearn_is_fitted__(self) -> bool:
        """Whether there is anything to predict with."""
        return hasattr(self, "n_iter_")

    def __sklearn_tags__(self) -> Any:
        """Say what the estimator can do."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class NetworkClassifier(ClassifierMixin, _Network):
    """Networks of dense layers for classes, with the parameters of scikit-learn's `MLPClassifier`.

    Everything left at "auto" is chosen: rates and penalties race, folds say when to stop, and on few rows the scores of
    five networks are averaged. The objective is mean log loss + λ₂/2 ‖w‖² over standardised features, biases free.

    Parameters
    ----------
    hidden_layer_sizes : units of the hidden layers.
    activation : "relu", "tanh", "logistic", "identity", or another of `schuss train --activation`.
    solver : "adam" (also by "auto") or "sgd", with `momentum` and `nesterovs_momentum`; `beta_1`, `beta_2`, `epsilon`
        are Adam's. scikit-learn's "lbfgs" is not here.
    alpha : scikit-learn's penalty: λ₂ = alpha / n_samples. "auto" chooses it.
    learning_rate : "constant", "invscaling" (with `power_t`), "adaptive"; "auto" falls to zero in a line.
    learning_rate_init : the rate, or "auto" for a race of rates; batch_size : rows of a mini-batch.
    max_iter : epochs; None for as many as help.
    early_stopping : whether `validation_fraction` of the rows is held out to choose by; "auto" does so from 20,000 rows
        on, where folds take too long.
    tol, n_iter_no_change : a number ends learning when so many epochs have not lowered the loss by it. Then, and with
        `warm_start`, which goes on where the last fit ended, networks of several rates learn epoch by epoch at constant
        rates, the best of them answers, and there are no folds.
    dropout, runs, device : those of `schuss train`.

    Attributes
    ----------
    classes_ : the labels. model_ : the `schuss.Model`, which saves, explains and predicts by itself. n_iter_ : epochs.

    Below 20,000 rows that repeat count as one of their weight together, so that weights are the same as repetition, bit
    for bit, and the order of rows does not matter (with `shuffle`).

    Example
    -------
    >>> import numpy as np
    >>> from schuss import NetworkClassifier
    >>> X = np.random.default_rng(0).uniform(-1, 1, (400, 2))
    >>> y = np.where(np.hypot(*X.T) < 0.7, "in", "out")
    >>> float(NetworkClassifier(32, max_iter=40, runs=4, random_state=0).fit(X, y).score(X, y)) > 0.95
    True
    """

    _task = "classification"
    _splitter = StratifiedShuffleSplit

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NetworkClassifier:
        """Learn from all rows: X `(n, n_features)` dense or CSR, y `(n,)` labels.

        Raises ValueError when data or parameters cannot be used.
        """
        self._check()
        X, labels = self._checked(X, y, reset=True)
        classes, codes = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"The number of classes has to be greater than one; got {len(classes)} class")
        if self.warm_start and getattr(self, "_learners", None) and not np.array_equal(classes, self.classes_):
            raise ValueError(f"warm_start goes on with the classes {self.classes_}, and y has {classes}")
        self.classes_ = classes
        self._learn(X, codes[:, None], sample_weight, len(classes))
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> NetworkClassifier:
        """Learn from every row once, and go on from where the last call, or `fit`, ended.

        classes : all labels, at the first call. Networks of several rates learn side by side, features scaled by the
        rows of the first call; the network that was best before it learned from these rows answers.

        Raises ValueError when data or parameters cannot be used.
        """
        self._check()
        first = not hasattr(self, "n_iter_")
        if first and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        X, labels = self._checked(X, y, reset=first)
        known = self.classes_ if classes is None else np.unique(classes)
        if not first and not np.array_equal(known, self.classes_):
            raise ValueError(f"classes={classes} is not the same as on the last call, {self.classes_}")
        if not np.isin(labels, known).all():
            raise ValueError(f"y has labels that are not among classes={known.tolist()}")
        self.classes_ = known
        self._continue(X, np.searchsorted(known, labels)[:, None], sample_weight, len(known))
        return self

    def _checked(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, NDArray[Any]]:
        """Give rows and labels as they can be learned from."""
        X = self._rows(X, reset=reset)
        if y is None:
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None")
        labels = labels_of(y)
        check_consistent_length(X, labels)
        return X, labels

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Give the probability of each class `(n, n_classes)`."""
        (scores,) = self._scores(X)
        return probabilities(self.model_.formula, scores)

    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """Give the logarithm of the probabilities."""
        return np.log(self.predict_proba(X))

    def predict(self, X: Any) -> NDArray[Any]:
        """Give the most probable label for each row."""
        (scores,) = self._scores(X)
        return self.classes_[predicted_classes(scores)]


class NetworkRegressor(RegressorMixin, _Network):
    """Networks of dense layers for numbers, with the parameters of scikit-learn's `MLPRegressor`.

    What is minimised is ½ (y − ŷ)² in standardised targets; for all else see `NetworkClassifier`.

    Example
    -------
    >>> import numpy as np
    >>> from schuss import NetworkRegressor
    >>> X = np.random.default_rng(0).uniform(-2, 2, (400, 1))
    >>> found = NetworkRegressor(32, max_iter=60, runs=4, random_state=0).fit(X, X[:, 0] ** 2)
    >>> float(found.score(X, X[:, 0] ** 2)) > 0.98
    True
    """

    _task = "regression"
    _splitter = ShuffleSplit

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NetworkRegressor:
        """Learn from all rows: X `(n, n_features)` dense or CSR, y `(n,)` numbers, or `(n, n_targets)`.

        Each target has networks of its own. Raises ValueError when data or parameters cannot be used.
        """
        self._check()
        X, goals = self._checked(X, y, reset=True)
        if self.warm_start and getattr(self, "_learners", None) and goals.shape[1] != len(self._learners):
            raise ValueError(f"warm_start goes on with {len(self._learners)} targets, and y has {goals.shape[1]}")
        self._learn(X, goals, sample_weight, None)
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> NetworkRegressor:
        """Learn from every row once, and go on from the last call or `fit`; see `NetworkClassifier.partial_fit`."""
        self._check()
        first = not hasattr(self, "n_iter_")
        X, goals = self._checked(X, y, reset=first)
        if not first and goals.shape[1] != len(self._models):
            raise ValueError(f"y has {goals.shape[1]} targets, and there were {len(self._models)} before")
        self._continue(X, goals, sample_weight, None)
        return self

    def _checked(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, NDArray[Any]]:
        """Give rows and targets `(n, n_targets)` as they can be learned from."""
        X = self._rows(X, reset=reset)
        if y is None:
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None")
        goals: Any = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")  # pyright: ignore
        check_consistent_length(X, goals)
        self._single = goals.ndim == 1
        return X, goals[:, None] if self._single else goals

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Give the prediction for each row, `(n,)` or `(n, n_targets)`."""
        columns, found = [], self._scores(X)
        for model, scores in zip(self._models, found, strict=True):
            numbers = predicted_numbers(model.formula, scores)
            columns.append(numbers * model.encoder.target_scale + model.encoder.target_mean)
        return columns[0] if self._single else np.column_stack(columns)

    def __sklearn_tags__(self) -> Any:
        """Say what the estimator can do."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _data(X: Any, goal: NDArray[Any], weights: NDArray[Any] | None) -> tuple[Any, ...]:
    """Give rows as `schuss.train` takes them."""
    rows = csr_matrix(X) if issparse(X) else X
    return (rows, goal) if weights is None else (rows, goal, weights)
