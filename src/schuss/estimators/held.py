"""The rows that early stopping holds out, split as scikit-learn splits them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["held_out"]


def held_out(estimator: Any, splitter: Any, y: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Give which rows are held out; raises ValueError when these weigh nothing, or none are left to learn from."""
    split = splitter(test_size=estimator.validation_fraction, random_state=estimator.random_state)
    training, validation = next(split.split(np.zeros((len(y), 1)), y))
    if not weights[validation].any():
        raise ValueError("The sample weights for validation set are all zero, consider using a different random state.")
    if not weights[training].any():
        raise ValueError(f"validation_fraction={estimator.validation_fraction} leaves no row to learn from")
    mask = np.zeros(len(y), np.bool_)
    mask[validation] = True
    return mask
