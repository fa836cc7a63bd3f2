"""How a model is explained: how far its features spread, what a score is in the target's units, which are large."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..data.columns.categories import CategoryColumn
from ..data.columns.dates import DateColumn
from ..data.columns.kind import ColumnEncoder
from ..data.columns.numbers import NumberColumn
from ..data.columns.sparse import SparseColumn
from ..data.columns.text import TextColumn
from ..data.encoder import Encoder

__all__ = ["deviations", "in_target_units", "largest"]


def deviations(encoder: Encoder) -> NDArray[np.float64]:
    """Give the standard deviation `(width,)` of each feature of the rows, as the sample had it.

    Those of words are estimated by how many texts of the sample hold them.
    """
    return np.concatenate([_deviation(column) * column.scale.factor for column in encoder.features])


def in_target_units(encoder: Encoder) -> tuple[float, float]:
    """Give factor and offset that turn scores into the units of a target that is a number; 1 and 0 for classes.

    Scores of positive targets are logarithms of predictions.
    """
    if encoder.target.positive:
        return 1.0, float(np.log(encoder.target.scale))
    return encoder.target_scale, encoder.target_mean


def largest(values: NDArray[np.float64], top: int) -> NDArray[np.int64]:
    """Give the places of the `top` largest values in descending order, of equal ones that come first; NaN comes last.

    >>> largest(np.array([1.0, np.nan, 3.0, 2.0, 3.0]), 3).tolist()
    [2, 4, 3]
    """
    order, places = -values, np.arange(len(values))
    if top < len(values):  # to sort 800,000 weights took 54 ms
        places = np.flatnonzero(~(order > np.partition(order, top)[top]))
    return places[np.argsort(order[places], kind="stable")][:top]


def _deviation(column: ColumnEncoder | NumberColumn | CategoryColumn) -> NDArray[np.float64]:
    """Give the standard deviations of a column's raw features."""
    match column:
        case NumberColumn():
            return _number_deviation(column)
        case CategoryColumn(shares=shares):
            return np.sqrt(shares * (1 - shares))
        case DateColumn(parts=parts):
            return np.concatenate([_deviation(part) for part in parts])
        case SparseColumn(shares=shares, mean=mean, deviation=size):
            return np.sqrt(np.maximum(shares * size**2 - mean**2, 0.0))
        case TextColumn(idf=idf, terms=terms):
            share = np.exp(1 - idf)  # the weight of a term says in how many texts it is
            return np.sqrt(share * (1 - share) / max(terms, 1.0))
        case _:
            return np.zeros(len(column.scale.centre))


def _number_deviation(column: NumberColumn) -> NDArray[np.float64]:
    """Give the deviations of the numbers, missing ones at the centre, and of the indicators of missing.

    The deviation that two values are scaled by is enlarged; by the inequality of Bhatia and Davis (2000) none is larger
    than √((most − mean)(mean − least)), which that of two values is.
    """
    moments, centre = column.moments, column.scale.centre[: len(column.low)]
    bound = np.sqrt(np.maximum((moments.most - moments.mean) * (moments.mean - moments.least), 0.0))
    there, own = 1 - moments.missing, np.minimum(moments.deviation, bound)
    numbers = np.sqrt(there * (own**2 + moments.missing * (moments.mean - centre) ** 2))
    gaps = moments.missing[column.gaps]
    return np.concatenate([numbers, np.sqrt(gaps * (1 - gaps))])
