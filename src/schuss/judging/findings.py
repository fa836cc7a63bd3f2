"""What a record says of a finished model besides its scores: what moves them, and how like the held-out rows are."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data.chunk import Chunk, Rows, row_count, take_rows
from ..data.columns.kind import width_edges
from ..data.feed import Feed, StreamFeed
from ..data.moments import moments_of
from ..model.explaining import in_target_units
from ..model.model import Model
from .drift import drift
from .single_feature import single_feature

__all__ = ["column_spreads", "findings", "most_telling", "some_rows"]

SHOWN = 40

_NUMBERS = 4_000_000
_ROWS, _ROWS_OF_NETWORKS = 2000, 200


def most_telling(model: Model) -> list[dict[str, Any]]:
    """Give the forty weights that move the scores most, among the hundred and sixty largest, and every intercept."""
    entries = model.explain(top=4 * SHOWN)
    features = [entry for entry in entries if entry["importance"] is not None]
    features.sort(key=lambda entry: -entry["importance"])
    return features[:SHOWN] + [entry for entry in entries if entry["importance"] is None]


def some_rows(feed: Feed) -> Rows:
    """Give the rows at which slopes are looked at: those held out, or else the first that are learned from."""
    rows = (feed.select or feed.score or next(feed.chunks(0))).rows
    return take_rows(rows, np.arange(min(row_count(rows), _ROWS)))


def findings(model: Model, feed: Feed) -> dict[str, Any]:
    """Give what a report tells of a model besides its scores.

    That is `weights`; `single_feature`, what one alone would reach; `columns`, those that move the scores of held-out
    rows most; and `drift`, how far these are from the other rows.

    Of rows that did not fit into memory the drift is from those that were read first. Where workers read the rows there
    is no drift, and without held-out rows there are only weights.
    """
    found: dict[str, Any] = {"weights": most_telling(model)}
    if feed.select is not None and feed.score is not None:
        found["single_feature"] = _single_feature(model, feed.select, feed.score)
    held = [chunk.rows for chunk in (feed.select, feed.score) if chunk is not None]
    if held:
        found["columns"] = column_spreads(model, held[-1])
    learned = feed.moments
    if held and learned is not None:
        apart = drift(model.encoder, learned, moments_of(*held))
        found["drift"] = {**apart, "first": isinstance(feed, StreamFeed)}
    return found


def _single_feature(model: Model, select: Chunk, score: Chunk) -> dict[str, Any] | None:
    """Say what one feature alone would reach, chosen on the rows that choose and scored on the others."""
    alone = single_feature(select, score, None if model.classes is None else len(model.classes))
    if alone is None:
        return None
    at, reached = alone
    return {"feature": model.encoder.feature(at)[0], "r2" if model.classes is None else "accuracy": reached}


def column_spreads(model: Model, rows: Rows) -> list[dict[str, Any]]:
    """Say how much each column moves the scores: the standard deviation over rows of what it adds to them.

    Of several outputs it is the root mean square over them, from their mean, since what is added to all alike changes
    no class; in regression it is in the target's units. The first forty are given, largest first. At most 2,000 of the
    rows are looked at, evenly taken, 200 with networks.
    """
    encoder = model.encoder
    most = _ROWS if model.network is None else _ROWS_OF_NETWORKS
    most = min(most, max(_NUMBERS // (len(encoder.features) * model.scorer.outputs), 20), row_count(rows))
    some = take_rows(rows, np.linspace(0, row_count(rows) - 1, most).round().astype(np.int64))
    added = model.scorer.contributions(some, list(width_edges(encoder.features)))
    if model.scorer.outputs > 1:
        added = added - added.mean(axis=2, keepdims=True)
    spreads = np.sqrt(added.var(axis=0).mean(axis=1)) * in_target_units(encoder)[0]
    pairs = zip(encoder.features, spreads.tolist(), strict=True)
    found = [{"column": column.name, "spread": spread} for column, spread in pairs]
    return sorted(found, key=lambda entry: -entry["spread"])[:SHOWN]
