"""A model as a scikit-learn pipeline of standard parts, fitted without data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from .terms import Categories, Numbers, Terms

__all__ = ["to_sklearn"]


def to_sklearn(terms: Terms) -> Any:
    """Make a `Pipeline` that predicts the same for data frames; for a model of arrays, for arrays.

    Numbers are brought to [0, 1] between the bounds of clipping, missing ones filled in and marked; categories become
    indicators, all zero for one that is not known. The weights are changed to fit, in float64. Each part is fitted to a
    few made-up rows that have the statistics it needs, so that no private attribute is touched. Without a scikit-learn
    model that has the probabilities of the loss, there are predictions only.

    Raises OptionError where vectors stand beside other columns, and without pandas, which data frames need.
    """
    from sklearn.pipeline import make_pipeline

    vectors = [column for column in terms.columns if isinstance(column, Numbers) and column.vector]
    if vectors and len(terms.columns) > 1:
        raise OptionError(f"scikit-learn has no columns of vectors like '{vectors[0].name}' beside other columns")
    numbers = [column for column in terms.columns if isinstance(column, Numbers)]
    categories = [column for column in terms.columns if isinstance(column, Categories)]
    weights, intercept = [], terms.intercept.copy()
    for part, base in [*([_number_weights(numbers)] if numbers else []), *map(_category_weights, categories)]:
        weights.append(part)
        intercept += base
    encoder = _number_encoder().fit(_number_rows(vectors)) if vectors else _frame_encoder(numbers, categories)
    return make_pipeline(encoder, _predictor(terms, np.concatenate(weights), intercept))


def _bounds(columns: list[Numbers]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Give lower bounds, the lengths of the ranges (1 where there is none), and centres."""
    low, high, centre = (
        np.concatenate([getattr(column, name) for column in columns]) for name in ("low", "high", "centre")
    )
    return low, np.where(high > low, high - low, 1.0), centre


def _number_weights(columns: list[Numbers]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the weights for numbers in [0, 1] and for the indicators of missing, and what is added once."""
    low, length, _ = _bounds(columns)
    weights = np.concatenate([column.weights for column in columns])
    missing = np.concatenate([column.missing[column.gaps] for column in columns])
    return np.vstack([weights * length[:, None], missing]), low @ weights


def _category_weights(column: Categories) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the weights of indicators relative to any other category; None and NaN both are missing."""
    return np.vstack([column.weights, column.missing, column.missing]) - column.other, column.other


def _number_rows(columns: list[Numbers]) -> NDArray[np.float64]:
    """Make four rows whose least and largest values are the bounds, and whose median is the centre."""
    low, length, centre = _bounds(columns)
    gap = np.concatenate([np.isin(np.arange(len(column.weights)), column.gaps) for column in columns])
    return np.stack([low, centre, low + length, np.where(gap, np.nan, centre)])


def _number_encoder() -> Any:
    """Make the part that clips, fills in and marks numbers."""
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler

    return make_pipeline(MinMaxScaler(clip=True), SimpleImputer(strategy="median", add_indicator=True))


def _frame_encoder(numbers: list[Numbers], categories: list[Categories]) -> Any:
    """Make the part that encodes a data frame, column by column, and fit it."""
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import OneHotEncoder

    try:
        import pandas as pd
    except ImportError:
        raise OptionError("a scikit-learn pipeline for data frames needs pandas: pip install pandas") from None
    names = [column.name for column in numbers]
    parts: list[tuple[str, Any, list[str]]] = [("numbers", _number_encoder(), names)] if numbers else []
    frame = pd.DataFrame(_number_rows(numbers), columns=names) if numbers else pd.DataFrame(index=range(4))
    for place, column in enumerate(categories):
        words = np.array([*column.known, None, np.nan], object)
        given: Any = [words]
        indicators = OneHotEncoder(categories=given, handle_unknown="ignore", sparse_output=False)
        parts.append((f"category {place + 1}", indicators, [column.name]))
        frame[column.name] = pd.Series([None] * len(frame), dtype=object)
    return ColumnTransformer(parts).fit(frame)


def _predictor(terms: Terms, weights: NDArray[np.float64], intercept: NDArray[np.float64]) -> Any:
    """Make the linear model that predicts as the loss does, by fitting to rows of zeros what then gets the weights."""
    from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge, SGDClassifier
    from sklearn.svm import LinearSVC

    if terms.classes is None:
        predictor = PoissonRegressor() if terms.link == "exp" else Ridge()
        predictor.fit(np.zeros((2, len(weights))), np.ones(2))
        predictor.coef_, predictor.intercept_ = weights[:, 0], float(intercept[0])
        return predictor
    match terms.link:
        case "sigmoid" | "softmax":
            predictor = LogisticRegression()
        case "clip" | "clip_shares":
            never: Any = None
            predictor = SGDClassifier(loss="modified_huber", max_iter=1, tol=never)
        case _:
            predictor = LinearSVC()
    predictor.fit(np.zeros((len(terms.classes), len(weights))), np.array(terms.classes))
    predictor.coef_, predictor.intercept_ = np.ascontiguousarray(weights.T), intercept
    return predictor
