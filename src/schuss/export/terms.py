"""The terms of a model's scores in the units of the data: what each column adds for each value."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.columns.categories import CategoryColumn
from ..data.columns.dates import DateColumn
from ..data.columns.kind import ColumnEncoder, width_edges
from ..data.columns.numbers import NumberColumn
from ..data.columns.sparse import SparseColumn
from ..data.columns.text import TextColumn
from ..data.encoder import Encoder
from ..data.schema import Role
from ..errors import OptionError
from ..population.architecture import Architecture

__all__ = ["LINKS", "Categories", "Layers", "Numbers", "Terms", "network_terms", "terms_of"]

# What turns scores into probabilities or predictions, by loss: for one score, and for one score of each class.
LINKS = {
    "log_loss": ("sigmoid", "softmax"),
    "modified_huber": ("clip", "clip_shares"),
    "sigmoid_squared_error": ("sigmoid", "sigmoid_shares"),
    "poisson": ("exp",),
}


class Numbers(NamedTuple):
    """A column of numbers (`vector` is False, d is 1) or of vectors of d of them.

    A number x adds `weights * min(max(x, low), high)`; a missing one counts as `centre`, and `missing` is added.

    weights, missing : `(d, outputs)`; centre, low, high : `(d,)`; gaps : the components with an indicator of missing.
    """

    name: str
    vector: bool
    weights: NDArray[np.float64]
    missing: NDArray[np.float64]
    centre: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    gaps: NDArray[np.int64]


class Categories(NamedTuple):
    """A column of categories: `weights` `(known, outputs)` of those known, `(outputs,)` of missing and of any other.

    gap : whether missing is told from any other.
    """

    name: str
    known: tuple[str, ...]
    weights: NDArray[np.float64]
    missing: NDArray[np.float64]
    other: NDArray[np.float64]
    gap: bool


class Layers(NamedTuple):
    """What follows the first layer of networks, whose scores are averaged, and then scaled and shifted.

    activation : after each layer but the last; networks : for each the weights `(inputs, units)` and biases `(units,)`.
    """

    activation: str
    networks: list[list[tuple[NDArray[np.float64], NDArray[np.float64]]]]
    scale: float
    shift: float


class Terms(NamedTuple):
    """Scores are the intercept `(outputs,)` and the sum over the columns.

    Of networks these are the sums of the units of their first layers, one network after the other, and `layers` says
    what follows. link : what follows scores, one of `LINKS`; None where scores are the predictions, or stand for no
    probabilities.
    """

    task: str
    target: str
    loss: str
    link: str | None
    classes: list[Any] | None
    intercept: NDArray[np.float64]
    columns: list[Numbers | Categories]
    layers: Layers | None = None

    @property
    def outputs(self) -> int:
        """How many scores there are."""
        return len(self.intercept) if self.layers is None else len(self.layers.networks[0][-1][1])


def network_terms(encoder: Encoder, network: Architecture, weights: NDArray[np.float32], loss: str) -> Terms:
    """Fold the encoder into the first layers of networks `(networks, parameters)`; raises OptionError as `terms_of`."""
    members = [network.layers(own.astype(np.float64)) for own in weights]
    first = np.concatenate([np.vstack(layers[0]) for layers in members], axis=1)
    target = encoder.target
    plain = replace(encoder, target=replace(target, mean=0.0, scale=1.0, positive=False))
    told = terms_of(plain, first, loss)
    scale, shift = (1.0, math.log(target.scale)) if target.positive else (target.scale, target.mean)
    layers = Layers(network.activation, [own[1:] for own in members], scale, shift)
    links = LINKS.get(loss.partition(":")[0])
    return told._replace(layers=layers, link=None if links is None else links[network.outputs > 1])


def terms_of(encoder: Encoder, weights: NDArray[Any], loss: str) -> Terms:
    """Fold the encoder into the weights `(width + 1, outputs)`, in float64.

    Raises OptionError at a column that cannot be said so: text, dates, sparse rows, hashed categories.
    """
    folded = encoder.in_data_units(weights.astype(np.float64))
    edges = width_edges(encoder.features)
    columns = [
        _column(column, folded[start:stop])
        for column, start, stop in zip(encoder.features, edges[:-1], edges[1:], strict=True)
    ]
    links = LINKS.get(loss.partition(":")[0])
    link = None if links is None else links[min(weights.shape[1] > 1, len(links) - 1)]
    target = encoder.schema.named(Role.TARGET) or ""
    return Terms(encoder.schema.task, target, loss, link, encoder.classes, folded[-1], columns)


def _column(column: ColumnEncoder, weights: NDArray[np.float64]) -> Numbers | Categories:
    """Give what a column adds, from the folded weights of its features."""
    match column:
        case NumberColumn():
            return _numbers(column, weights)
        case CategoryColumn(buckets=1):
            known, missing = len(column.known), len(column.known)
            other = known + column.gap
            return Categories(column.name, column.known, weights[:known], weights[missing], weights[other], column.gap)
        case CategoryColumn():
            what = f"{column.distinct:,} categories, of which those beyond {len(column.known):,} are hashed"
        case TextColumn():
            what = "text"
        case DateColumn():
            what = "dates or times"
        case SparseColumn():
            what = "sparse rows"
        case _:
            what = f"a {type(column).__name__}"
    raise OptionError(
        f"only numbers, vectors of them and categories can be exported, and the column '{column.name}' holds {what}: "
        "a model trained with --ignore of it can be"
    )


def _numbers(column: NumberColumn, weights: NDArray[np.float64]) -> Numbers:
    width = len(column.low)
    centre, factor = (array[:width] for array in column.scale)
    missing = np.zeros((width, weights.shape[1]))
    missing[column.gaps] = weights[width:]
    reach = np.divide(1.0, factor, out=np.zeros_like(factor), where=factor > 0)
    low, high = centre + column.low * reach, centre + column.high * reach
    return Numbers(column.name, column.vector, weights[:width], missing, centre, low, high, column.gaps)
