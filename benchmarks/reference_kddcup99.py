"""Reference for kddcup99, normal or not: scikit-learn's logistic regression, its penalty picked by validation.

Written before schuss had a result on this data and not changed since. The encoding is scikit-learn's own: one
indicator for each protocol, service and flag, and every other column standardised. Every fit runs to the optimum of
its objective (Newton's method in float64), so that the figure does not depend on where a solver stopped. The penalty
is the one of seven decades with the lowest log loss on a fifth of the training rows; the model is then fitted again,
encoding included, on all training rows and scored once on the official test set, whose distribution has drifted.

    SCHUSS_DATA=FOLDER python benchmarks/reference_kddcup99.py
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import scipy
import sklearn
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import OneHotEncoder, StandardScaler

SEED = 0
PENALTIES = [10.0**power for power in range(-3, 4)]  # scikit-learn's C, the inverse of the penalty
SYMBOLS = [1, 2, 3]  # protocol_type, service, flag
LABEL = 41


def read(path: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Give the 41 features of a file and whether each row is an attack."""
    table = pd.read_csv(path, header=None)
    labels = table.pop(LABEL)
    return table, (labels != "normal.").to_numpy()


def encoder() -> ColumnTransformer:
    """Make scikit-learn's own encoding: indicators for the symbols, zero mean and unit variance for the numbers."""
    indicators = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return make_column_transformer((indicators, SYMBOLS), remainder=StandardScaler())


def fit(rows: np.ndarray, attack: np.ndarray, penalty: float) -> LogisticRegression:
    """Fit one logistic regression to the optimum of its objective."""
    model = LogisticRegression(C=penalty, solver="newton-cholesky", tol=1e-6, max_iter=1000)
    return model.fit(rows, attack)


def validate(table: pd.DataFrame, attack: np.ndarray) -> dict[float, float]:
    """Give the log loss of each penalty on a seeded fifth of the training rows."""
    train, held_out, train_attack, held_out_attack = train_test_split(
        table, attack, test_size=0.2, random_state=SEED, stratify=attack
    )
    encoding = encoder()
    train_rows = encoding.fit_transform(train)
    held_out_rows = encoding.transform(held_out)
    losses = {}
    for penalty in PENALTIES:
        model = fit(train_rows, train_attack, penalty)
        losses[penalty] = float(log_loss(held_out_attack, model.predict_proba(held_out_rows)))
    return losses


def main() -> None:
    """Validate, fit on all training rows, score the test set and print one JSON object."""
    begun = time.perf_counter()
    if "SCHUSS_DATA" not in os.environ:
        sys.exit("SCHUSS_DATA must name the folder that holds kddcup99/; benchmarks/fetch.py says where to get it.")
    folder = Path(os.environ["SCHUSS_DATA"]) / "kddcup99"
    table, attack = read(folder / "kddcup.data_10_percent.gz")
    losses = validate(table, attack)
    best = min(losses, key=losses.__getitem__)

    encoding = encoder()
    model = fit(encoding.fit_transform(table), attack, best)
    test_table, test_attack = read(folder / "corrected.gz")
    probabilities = model.predict_proba(encoding.transform(test_table))
    answer = {
        "data": "kddcup99",
        "peer": "LogisticRegression, C by validation",
        "log_loss": float(log_loss(test_attack, probabilities)),
        "accuracy": float(accuracy_score(test_attack, probabilities[:, 1] > 0.5)),
        "chosen": {"C": best},
        "validation_log_loss": losses,
        "training_rows": len(table),
        "test_rows": len(test_table),
        "features": int(model.coef_.shape[1]),
        "iterations": int(model.n_iter_[0]),
        "seed": SEED,
        "seconds": round(time.perf_counter() - begun, 1),
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "pandas": pd.__version__,
            "scikit-learn": sklearn.__version__,
        },
    }
    print(json.dumps(answer, indent=2))


if __name__ == "__main__":
    main()
