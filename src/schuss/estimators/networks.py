"""Networks of dense layers with scikit-learn's parameter names, trained as `schuss train --network` trains them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, issparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from ..descent.activations import ACTIVATIONS
from ..errors import InputError, TrainingError
from ..model import Model
from ..training import train
from .base import number, one_of

__all__ = ["NetworkClassifier", "NetworkRegressor"]

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
        early_stopping: bool = True,
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
            "holdout": self.validation_fraction if self.early_stopping and rows >= FEWEST_ROWS else "none",
            "order": "shuffle" if self.shuffle else "keep",
            "seed": int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max)),
            "runs": self.runs,
            "progress": _tell if self.verbose else None,
        }
        return options

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
        summary = result.summary
        self.model_, self.n_iter_ = result.model, max(round(summary["chosen"]["epochs"]), 1)
        self.n_layers_, self.n_outputs_ = len(result.model.network.hidden) + 2, result.model.scorer.outputs  # pyright: ignore
        if summary["outcome"] == "epochs done" and self.max_iter is None:
            warnings.warn("training ended while it still helped", ConvergenceWarning, stacklevel=3)

    def _rows(self, X: Any, *, reset: bool) -> Any:
        """Give rows as they can be learned from."""
        return validate_data(
            self, X, reset=reset, accept_sparse="csr", dtype=(np.float64, np.float32), accept_large_sparse=False
        )

    def _scores(self, X: Any) -> NDArray[np.float64]:
        """Give the scores `(n, outputs)`."""
        check_is_fitted(self)
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        """Say what the estimator can do."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
