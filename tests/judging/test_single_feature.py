"""The best single feature: against scikit-learn's line and discriminant on the same feature."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_iris
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_selection import f_classif, r_regression
from sklearn.linear_model import LinearRegression

import schuss.judging.single_feature
from schuss.data.chunk import Chunk, SparseRows
from schuss.judging.single_feature import single_feature

RNG = np.random.default_rng(11)


def chunk(rows: np.ndarray, targets: np.ndarray, *, thin: bool = False) -> Chunk:
    kept = rows.astype(np.float32)
    if thin:
        found = sparse.csr_array(kept)
        kept = SparseRows(found.indptr.astype(np.int64), found.indices.astype(np.int32), found.data, rows.shape[1])
    return Chunk(kept, targets, np.ones(len(targets), np.float32))


@pytest.mark.parametrize("thin", [False, True])
def test_numbers_are_told_by_the_line_of_the_most_correlated_feature(thin: bool) -> None:
    X = RNG.normal(size=(400, 6))
    X[X < 0.3] = 0
    y = (X[:, 3] + 0.8 * X[:, 1] + 0.3 * RNG.normal(size=400)).astype(np.float32)
    found = single_feature(chunk(X[:250], y[:250], thin=thin), chunk(X[250:], y[250:], thin=thin), None)
    at = int(np.argmax(np.abs(r_regression(X[:250], y[:250]))))
    line = LinearRegression().fit(X[:250, [at]], y[:250])
    assert found == (at, pytest.approx(line.score(X[250:, [at]], y[250:]), abs=1e-5))


@pytest.mark.parametrize("thin", [False, True])
def test_classes_are_told_by_the_discriminant_of_the_feature_with_the_largest_f(thin: bool) -> None:
    X, y = load_iris(return_X_y=True)
    order = RNG.permutation(len(y))
    X, y = X[order], y[order].astype(np.int64)
    found = single_feature(chunk(X[:90], y[:90], thin=thin), chunk(X[90:], y[90:], thin=thin), 3)
    at = int(np.argmax(f_classif(X[:90], y[:90])[0]))
    rule = LinearDiscriminantAnalysis().fit(X[:90, [at]], y[:90])
    assert found == (at, pytest.approx(rule.score(X[90:, [at]], y[90:])))


@pytest.mark.parametrize("classes", [2, None])
def test_features_looked_at_in_pieces(monkeypatch: pytest.MonkeyPatch, classes: int | None) -> None:
    X = RNG.normal(size=(300, 7))
    y = (X[:, 4] > 0).astype(np.int64 if classes else np.float32)
    both = chunk(X, y, thin=True)
    whole = single_feature(both, both, classes)
    monkeypatch.setattr(schuss.judging.single_feature, "FEATURES_AT_ONCE", 3)
    assert single_feature(both, both, classes) == whole
    assert whole is not None
    assert whole[0] == 4


def test_a_class_that_was_not_seen_and_features_that_do_not_vary() -> None:
    X = np.array([[0.0, 1.0], [0.1, 1.0], [2.0, 1.0], [2.1, 1.0]])
    y = np.array([0, 0, 2, 2])
    assert single_feature(chunk(X, y), chunk(X, y), 3) == (0, 1.0)
    assert single_feature(chunk(X[:, [1]], y), chunk(X[:, [1]], y), 3) is None


def test_some_rows_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schuss.judging.single_feature, "NUMBERS", 100)
    X = RNG.normal(size=(3000, 2))
    y = (2 * X[:, 1]).astype(np.float32)
    assert single_feature(chunk(X, y), chunk(X, y), None) == (1, pytest.approx(1.0))
