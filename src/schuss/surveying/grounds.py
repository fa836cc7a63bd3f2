"""What is looked at of a run: the loss of its model over a sample of its rows, and the way the training took."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.chunk import Chunk, SparseRows, join, row_count, take
from ..data.feed import Feed, MemoryFeed
from ..descent.losses import unit_of
from ..errors import OptionError
from ..landscape.survey import Ground
from ..model.model import Model
from ..objective import LinearObjective, in_float64
from ..population.architecture import Architecture
from ..population.outside import Outside
from ..race.record import Event
from ..training.preparation import Prepared
from .retracing import retraced

__all__ = ["ground_of"]

Array = NDArray[np.float64]

CHUNKS_READ = 8
"""Of rows that do not fit into memory the first so many chunks are looked at, shuffled as in training."""

NUMBERS = 1 << 24
"""Numbers that the sample of rows holds at most, 128 MB of them in float64."""

WORK = 1e8
"""Rows times parameters of a network, of each of the several thousand losses that are looked at."""

FEWEST_ROWS = 128

CURVED = 2_000_000
"""With more parameters the vectors in which curvature is looked for take gigabytes."""


class _Sample(NamedTuple):
    """Rows learned from, and held-out ones that the model has not learned from, if there are any."""

    training: Chunk
    held_out: Chunk | None


def ground_of(
    model: Model, prepared: Prepared, feed: Feed, record: Sequence[Event], rows: int, seed: int, notices: list[str]
) -> Ground:
    """Draw the rows, follow the winner again, and give what is to be surveyed; `notices` hears what is left out."""
    if isinstance(model.network, Outside):
        raise OptionError("the ground under a module of your own is that of schuss.torch.ModuleObjective")
    chosen = record[-1]["chosen"]
    sample = _sample(model, prepared, feed, chosen, rows, seed)
    make = _linear if model.network is None else _network
    return make(model, prepared, feed, record, sample, notices)


def _linear(
    model: Model, prepared: Prepared, feed: Feed, record: Sequence[Event], sample: _Sample, notices: list[str]
) -> Ground:
    """Give the ground under a linear model; of wide sparse rows that of the weights which the sample has to do with."""
    chosen = record[-1]["chosen"]
    kept = _kept(sample)
    if kept is not None:
        notices.append(
            f"of {model.encoder.width:,} features these rows have {len(kept):,}: the ground is that of their weights, "
            "all others feel the penalty alone"
        )
    training, held = (None if one is None else _narrowed(one, kept) for one in sample)
    assert training is not None
    path = [(_of_kept(place, kept), label) for place, label in retraced(model, prepared, feed, record)]
    path.append((_of_kept(model.weights, kept), "model"))
    objective = LinearObjective(training, model.formula, float(chosen["l2"]))
    return Ground(
        objective=objective,
        weights=path[-1][0],
        start=path[0][0],
        held_out=None if held is None else LinearObjective(held, model.formula, 0.0),
        path=tuple(path),
        smooth=model.formula.smooth,
        blocks=[slice(None, -1), slice(-1, None)],
        rows=sample.training,
        classify=_classifier(model),
        **_told(model, chosen),
    )


def _network(
    model: Model, prepared: Prepared, feed: Feed, record: Sequence[Event], sample: _Sample, notices: list[str]
) -> Ground:
    """Give the ground under a network, of several the first one."""
    from ..torch import rebuilt

    architecture, chosen = model.network, record[-1]["chosen"]
    assert isinstance(architecture, Architecture)
    own, *others = model.weights
    large = architecture.size > CURVED
    notices += _said_of_network(architecture, len(model.weights), row_count(sample.training.rows))
    objective = rebuilt.network_objective(architecture, own, sample.training, model.formula, float(chosen["l2"]))
    held = None
    if sample.held_out is not None:
        held = rebuilt.network_objective(architecture, own, sample.held_out, model.formula, 0.0)
    way = _way(model, prepared, feed, record, notices)
    path = [(rebuilt.placed(architecture, place), label) for place, label in (way[:1] if large else way)]
    path.append((objective.start, "model"))
    return Ground(
        objective=objective,
        weights=objective.start,
        start=path[0][0],
        held_out=held,
        path=tuple(path),
        smooth=model.formula.smooth and not large,
        filters=objective.filters,
        blocks=list(objective.places.values()),
        rows=sample.training,
        classify=_classifier(model),
        another=rebuilt.placed(architecture, others[0]) if others else None,
        **_told(model, chosen),
    )


def _said_of_network(architecture: Architecture, many: int, rows: int) -> list[str]:
    """Say what of networks is looked at and what is not."""
    said = []
    if many > 1:
        said.append(f"the model is the mean of {many} networks: this is the ground under the first of them")
    if architecture.dropout:
        said.append("no units are dropped here, so that the loss is a function of the weights alone")
    if architecture.size > CURVED:
        said.append(f"the curvature of {architecture.size:,} parameters is not looked at: its vectors take gigabytes")
    if architecture.size * rows > WORK / 2:
        said.append(f"a network of {architecture.size:,} parameters is looked at with no more than {rows:,} rows")
    return said


def _way(
    model: Model, prepared: Prepared, feed: Feed, record: Sequence[Event], notices: list[str]
) -> list[tuple[NDArray[np.float32], str]]:
    """Give the way of a network up to the model; of a way that leads elsewhere the start alone."""
    way = list(retraced(model, prepared, feed, record))
    if len(model.weights) == 1 or len(way) == 1:
        return way
    *way, (end, _) = way
    if np.array_equal(end, model.weights[0]):
        return way
    notices.append("trained again, the network comes to another place: its way is not shown")
    return way[:1]


def _sample(model: Model, prepared: Prepared, feed: Feed, chosen: dict[str, Any], rows: int, seed: int) -> _Sample:
    """Draw the rows, in float64."""
    width = None
    if model.network is not None:
        width = model.encoder.width
        rows = min(rows, max(int(WORK // model.network.size), FEWEST_ROWS))
    training = in_float64(_drawn(_training_rows(feed), rows, seed, width))
    held = [chunk for chunk in (feed.select, feed.score) if chunk is not None]
    learned = ("finish" in chosen or chosen.get("members", 1) > 1) and prepared.reader.holdout.kind != "file"
    return _Sample(training, in_float64(_drawn(join(held), rows, seed, width)) if held and not learned else None)


def _training_rows(feed: Feed) -> Chunk:
    """Give the training rows in memory, or as many as are read for a look."""
    if isinstance(feed, MemoryFeed):
        return feed.training
    return join([chunk for chunk, _ in zip(feed.chunks(0), range(CHUNKS_READ), strict=False)])


def _drawn(chunk: Chunk, rows: int, seed: int, width: int | None) -> Chunk:
    """Draw rows at random, in their order; fewer where they are very long, or as wide as that once they are dense."""
    length = len(chunk.targets)
    stored = len(chunk.rows.values) if isinstance(chunk.rows, SparseRows) else chunk.rows.size
    long = max(stored / max(length, 1), 1) if width is None else max(width, 1)
    many = min(rows, length, max(int(NUMBERS // long), 1))
    return take(chunk, np.sort(np.random.default_rng(seed).choice(length, many, replace=False)))


def _kept(sample: _Sample) -> NDArray[np.intp] | None:
    """Give the features that the rows have, where these are sparse and do not have them all."""
    sparse = [one.rows for one in sample if one is not None and isinstance(one.rows, SparseRows)]
    if not sparse:
        return None
    kept = np.unique(np.concatenate([rows.indices for rows in sparse])).astype(np.intp)
    return kept if len(kept) < sparse[0].width else None


def _narrowed(chunk: Chunk, kept: NDArray[np.intp] | None) -> Chunk:
    """Give sparse rows with no other features than these, all of which they have."""
    if kept is None:
        return chunk
    rows = chunk.rows
    assert isinstance(rows, SparseRows)
    indices = np.searchsorted(kept, rows.indices).astype(np.int32)
    return chunk._replace(rows=SparseRows(rows.indptr, indices, rows.values, len(kept)))


def _of_kept(weights: NDArray[Any], kept: NDArray[np.intp] | None) -> Array:
    """Give the weights of these features and the intercepts."""
    some = weights if kept is None else weights[np.append(kept, len(weights) - 1)]
    return some.astype(np.float64)


def _classifier(model: Model) -> Callable[[Array], NDArray[np.intp]]:
    """Give what chooses classes as the model does."""

    def classify(rows: Array) -> NDArray[np.intp]:
        scores = model.scorer.scores(rows.astype(np.float32))
        return scores.argmax(axis=1) if scores.shape[1] > 1 else (scores[:, 0] > 0).astype(np.intp)

    return classify


def _told(model: Model, chosen: dict[str, Any]) -> dict[str, Any]:
    """Give what a survey says of any model."""
    return {
        "unit": unit_of(model.loss, model.encoder.target_scale),
        "unit_name": "nats" if model.loss == "log_loss" else "",
        "batch_size": chosen["batch_size"],
        "classes": [str(name) for name in model.classes or ()],
        "features": [model.encoder.feature(index)[0] for index in range(min(model.encoder.width, 2))],
    }
