"""schuss's estimators beside scikit-learn's SGD: seconds of a fit and quality on test rows, everything at its default.

    python benchmarks/estimators.py            a table on standard output
    python benchmarks/estimators.py --write    also into RESULTS.md

Features are standardised for scikit-learn's SGD; schuss gets them as they come. Every fit is timed three times, in
turns, and the median counts.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import results
import sklearn.linear_model as theirs
from scipy.sparse import csr_matrix
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, make_classification, make_regression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from schuss import SGDClassifier, SGDRegressor

TITLE = "estimators.py: scikit-learn's interface, every parameter at its default"
REPEATS = 3


class Data(NamedTuple):
    """Rows with their targets, and whether these are classes."""

    X: Any
    y: Any
    classes: bool


def sparse_rows() -> Data:
    """Rows of text-like counts: 20,000 of 50,000 features, 50 of them not zero."""
    rng, many = np.random.default_rng(0), 20_000 * 50
    places = np.arange(0, many + 1, 50)
    X = csr_matrix((rng.normal(size=many), rng.integers(0, 50_000, many), places), shape=(20_000, 50_000))
    X.sum_duplicates()
    return Data(X, (X @ rng.normal(size=50_000) + 0.3 * rng.normal(size=20_000) > 0).astype(int), True)


DATA: dict[str, Callable[[], Data]] = {
    "breast cancer, 569 × 30": lambda: Data(*load_breast_cancer(return_X_y=True), True),
    "digits, 1,797 × 64, 10 classes": lambda: Data(*load_digits(return_X_y=True), True),
    "generated, 100,000 × 50": lambda: Data(*make_classification(100_000, 50, n_informative=20, random_state=0), True),
    "sparse, 20,000 × 50,000": sparse_rows,
    "diabetes, 442 × 10": lambda: Data(*load_diabetes(return_X_y=True), False),
    "generated, 100,000 × 100": lambda: Data(*make_regression(100_000, 100, noise=50, random_state=0), False),
}


def contestants(data: Data) -> dict[str, Callable[[], Any]]:
    """Give what makes each model."""
    scaler = StandardScaler(with_mean=isinstance(data.X, np.ndarray))
    if not data.classes:
        return {
            "schuss": SGDRegressor,
            "scikit-learn SGD": lambda: make_pipeline(scaler, theirs.SGDRegressor(random_state=0)),
        }
    return {
        "schuss": SGDClassifier,
        "scikit-learn SGD": lambda: make_pipeline(scaler, theirs.SGDClassifier(random_state=0)),
        "schuss, log_loss": lambda: SGDClassifier(loss="log_loss"),
        "scikit-learn SGD, log_loss": lambda: make_pipeline(
            scaler, theirs.SGDClassifier(loss="log_loss", random_state=0)
        ),
    }


def lines(data: Data) -> dict[str, tuple[float, float]]:
    """Give median seconds and test score of each model."""
    train, test, goals, truth = train_test_split(data.X, data.y, random_state=0)
    seconds: dict[str, list[float]] = {}
    scores = {}
    for _ in range(REPEATS):
        for name, make in contestants(data).items():
            model = make()
            began = time.perf_counter()
            model.fit(train, goals)
            seconds.setdefault(name, []).append(time.perf_counter() - began)
            scores[name] = model.score(test, truth)
    return {name: (float(np.median(taken)), scores[name]) for name, taken in seconds.items()}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the table into RESULTS.md")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    table = ["|data|model|seconds|accuracy or R² on test rows|", "|-|-|-|-|"]
    for name, load in DATA.items():
        for model, (seconds, score) in lines(load()).items():
            table.append(f"|{name}|{model}|{seconds:.3f}|{score:.3f}|")
            print(table[-1], file=sys.stderr, flush=True)
    text = "\n".join(table)
    print(text)
    if options.write:
        results.write_section(TITLE, f"{results.machine()}; {datetime.date.today()}\n\n{text}")


if __name__ == "__main__":
    main()
