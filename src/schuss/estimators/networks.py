"""Networks of dense layers with scikit-learn's parameter names, trained as `schuss train --network` trains them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, issparse
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_array, check_consistent_length, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from ..descent.activations import ACTIVATIONS
from ..descent.losses import predicted_numbers, probabilities
from ..errors import InputError, TrainingError
from ..metrics import predicted_classes
from ..model import Model
from ..training import train
from .base import number, one_of

__all__ = ["NetworkClassifier", "NetworkRegressor"]

LARGE_ROWS = 20_000
"""From so many rows on some are held out to say when to stop; fewer are dealt into folds, and judge all."""

SOLVERS = ("auto", "adam", "sgd")
SCHEDULES = {"auto": "linear", "constant": "constant", "invscaling": "invscaling", "adaptive": "plateau"}


class _Network(BaseEstimator):
    """The common part of the estimators."""

    _task: str
    model_: Model

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
        verbose: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool | str = "auto",
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
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
        self.verbose = verbose
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.dropout = dropout
        self.runs = runs
        self.device = device

    def _check(self) -> None:
        """Refuse parameters that cannot be; raises ValueError."""
        one_of(self, "solver", SOLVERS)
        one_of(self, "learning_rate", tuple(SCHEDULES))
        one_of(self, "activation", ("logistic", *ACTIVATIONS))
        one_of(self, "early_stopping", ("auto", True, False))
        for name in ("alpha", "batch_size", "learning_rate_init"):
            if getattr(self, name) != "auto":
                number(self, name, least=0.0)
        for name in ("momentum", "beta_1", "beta_2", "dropout"):
            number(self, name, least=0.0, most=1.0)
        number(self, "epsilon", least=0.0)
        number(self, "validation_fraction", least=0.0, most=1.0, exclusive=True)
        number(self, "runs", least=1, whole=True)
        if self.max_iter is not None:
            number(self, "max_iter", least=1, whole=True)

    def _options(self, rows: int) -> dict[str, Any]:
        """Say how to train, in the words of `schuss.train`."""
        schedule = SCHEDULES[self.learning_rate]
        options: dict[str, Any] = {
            "network": self.hidden_layer_sizes,
            "activation": "sigmoid" if self.activation == "logistic" else self.activation,
            "dropout": self.dropout,
            "device": self.device,
            "optimizer": self._optimizer(),
            "schedule": f"{schedule}:{self.power_t}" if schedule == "invscaling" else schedule,
            "learning_rate": self.learning_rate_init,
            # scikit-learn's penalty is α/2 ‖w‖² / N.
            "l2": "auto" if self.alpha == "auto" else float(self.alpha) / rows,
            "batch_size": "auto" if self.batch_size == "auto" else min(int(self.batch_size), rows),
            "epochs": "auto" if self.max_iter is None else int(self.max_iter),
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

    def _learn(self, X: Any, targets: NDArray[Any], sample_weight: Any) -> None:
        """Train, and set what is known of it; raises ValueError where nothing can be learned."""
        data: tuple[Any, ...] = (csr_matrix(X) if issparse(X) else X, targets)
        if sample_weight is not None:
            weights: Any = check_array(sample_weight, ensure_2d=False, dtype="float64", input_name="sample_weight")
            if weights.shape != (X.shape[0],):
                raise ValueError(f"sample_weight must have the shape ({X.shape[0]},), got {weights.shape}")
            data = (*data, weights)
        try:
            result = train(data, task=self._task, **self._options(X.shape[0]))
        except (InputError, TrainingError) as error:
            raise ValueError(str(error)) from error
        self.model_ = result.model
        self.n_iter_ = max(round(result.summary["chosen"]["epochs"]), 1)
        self.n_outputs_ = result.model.scorer.outputs

    def _rows(self, X: Any, *, reset: bool) -> Any:
        """Give rows as they can be learned from."""
        return validate_data(
            self, X, reset=reset, accept_sparse="csr", dtype=(np.float64, np.float32), accept_large_sparse=False
        )

    def _scores(self, X: Any) -> NDArray[np.float64]:
        """Give the scores `(n, outputs)` of rows as they come."""
        check_is_fitted(self)
        X = self._rows(X, reset=False)
        return self.model_.raw_scores(csr_matrix(X) if issparse(X) else X)

    def __sklearn_tags__(self) -> Any:
        """Say what the estimator can do."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class NetworkClassifier(ClassifierMixin, _Network):
    """Networks of dense layers for classes, with the parameters of scikit-learn's `MLPClassifier`.

    Everything left at "auto" is chosen: rates and penalties race, folds say when to stop, and on few rows the scores of
    eight networks are averaged. The objective is mean log loss + λ₂/2 ‖w‖² over standardised features, biases free.

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
    dropout, runs, device : those of `schuss train`.

    Attributes
    ----------
    classes_ : the labels. model_ : the `schuss.Model`, which saves, explains and predicts by itself. n_iter_ : epochs.

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

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NetworkClassifier:
        """Learn from all rows: X `(n, n_features)` dense or CSR, y `(n,)` labels.

        Raises ValueError when data or parameters cannot be used.
        """
        self._check()
        X = self._rows(X, reset=True)
        if y is None:
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None")
        labels = column_or_1d(y, warn=True)
        check_classification_targets(labels)
        check_consistent_length(X, labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"The number of classes has to be greater than one; got {len(self.classes_)} class")
        self._learn(X, codes, sample_weight)
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Give the probability of each class `(n, n_classes)`."""
        scores = self._scores(X)
        return probabilities(self.model_.formula, scores)

    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """Give the logarithm of the probabilities."""
        return np.log(self.predict_proba(X))

    def predict(self, X: Any) -> NDArray[Any]:
        """Give the most probable label for each row."""
        return self.classes_[predicted_classes(self._scores(X))]


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

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NetworkRegressor:
        """Learn from all rows: X `(n, n_features)` dense or CSR, y `(n,)` numbers.

        Raises ValueError when data or parameters cannot be used.
        """
        self._check()
        X = self._rows(X, reset=True)
        if y is None:
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None")
        targets: Any = column_or_1d(y, warn=True)
        targets = check_array(targets, ensure_2d=False, dtype=np.float64, input_name="y")  # pyright: ignore
        check_consistent_length(X, targets)
        self._learn(X, targets, sample_weight)
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Give the prediction for each row `(n,)`."""
        scores = self._scores(X)
        numbers, encoder = predicted_numbers(self.model_.formula, scores), self.model_.encoder
        return numbers * encoder.target_scale + encoder.target_mean
