"""The line-up of a race: its contenders, and the constant prediction that they must beat."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.cluster_feed import ClusterFeed
from ..data.encoder import Encoder
from ..data.feed import Feed, MemoryFeed
from ..descent.losses import Loss, constant_classes, constant_number, judge_of, values_and_gradients
from ..descent.optimizers import bare, rule_named, trait
from ..model.model import outputs_of
from ..population.block import catching_up, state_bytes
from ..population.cluster import on_workers
from ..population.linear import Linear
from ..population.population import Population
from ..process import available_cores
from ..race.grid import default_runs
from ..race.loop import Contender
from .networks import Say, batch_of, inits_of, network_bytes, network_of
from .settings import Settings

__all__ = [
    "Constant",
    "available_threads",
    "constant_prediction",
    "learning_threads",
    "line_up",
    "population_of",
    "slow_on_sparse_rows",
    "weights_bytes",
]

DENSE_BATCH = 32

STEPPED_AT_EASE = 20_000
"""Features whose weights are all stepped in the time that a mini-batch of 32 sparse rows takes ten times: 140 µs."""

ALL_AT_ONCE = ("every", "whole")
"""Ways of catching up that step every weight at every step, see `catching_up`."""

FEW_OUTPUTS = 16
"""With more, or with networks, a long chunk of rows could take a second, and no training ends within a chunk."""


class Constant(NamedTuple):
    """The best prediction that ignores the features: its scores `(outputs,)`, its loss on the rows that choose."""

    scores: NDArray[np.float64]
    loss: float


def constant_prediction(loss: Loss, feed: Feed, encoder: Encoder) -> Constant:
    """Learn the constant prediction from the training rows and score it, in the units of training."""
    goals, known, rows = feed.counts.goals, feed.known, feed.select
    assert known is not None  # whoever goes on with a training has its constant prediction already
    if encoder.classes is None:
        scores = constant_number(loss, known.targets.astype(np.float64), known.weights.astype(np.float64))
    else:
        scores = constant_classes(loss, goals)
    if rows is not None:
        return Constant(scores, _mean_loss(judge_of(loss), scores, rows.targets, rows.weights))
    if encoder.classes is not None:
        return Constant(scores, _mean_loss(judge_of(loss), scores, np.arange(len(goals)), goals))
    return Constant(scores, _mean_loss(loss, scores, *known))


def _mean_loss(loss: Loss, scores: NDArray[np.float64], targets: NDArray[np.generic], weights: NDArray) -> float:
    """Give the mean loss of rows that all have the same scores."""
    repeated = np.repeat(scores[None, :], len(targets), axis=0)
    return float(np.average(values_and_gradients(loss, repeated, targets)[0], weights=weights))


def line_up(settings: Settings, encoder: Encoder, feed: Feed, loss: Loss, say: Say = warnings.warn) -> list[Contender]:
    """Give the runs that race, one population for each optimizer, whatever its hyperparameters.

    say : see `networks.network_of`.
    """
    names = _optimizers(settings, encoder)
    runs = default_runs(
        settings.runs,
        optimizers=names,
        learning_rate=None if settings.learning_rate == "auto" else float(settings.learning_rate),
        l2=None if settings.l2 == "auto" else float(settings.l2),
        schedules=settings.schedules,
        inits=inits_of(settings),
        batch_size=1,
        rows=feed.training_rows,
        squared_norm=feed.counts.squared_norm / max(feed.counts.summed, 1),
        l1=settings.l1,
        network=settings.network is not None,
    )
    contenders = []
    for name in dict.fromkeys(map(bare, names)):
        batch = _batch_size(settings, encoder, rule_named(name))
        if settings.network is not None:
            batch = batch_of(settings, feed.training_rows)
        population = population_of(name, settings, encoder, feed, loss, batch, say)
        own = tuple(run._replace(batch_size=batch) for run in runs if bare(run.optimizer) == name)
        contenders.append(Contender(population, population.start(own)))
    return contenders


def population_of(
    name: str, settings: Settings, encoder: Encoder, feed: Feed, loss: Loss, batch: int, say: Say = warnings.warn
) -> Population:
    """Give the population of the runs of an optimizer, which have their own hyperparameters."""
    own = _own_population(name, settings, encoder, feed, loss, batch, say)
    return on_workers(own, feed.workers) if isinstance(feed, ClusterFeed) else own


def _own_population(
    name: str, settings: Settings, encoder: Encoder, feed: Feed, loss: Loss, batch: int, say: Say
) -> Population:
    """Give the population that learns on one machine."""
    rule = rule_named(bare(name))
    if settings.network is not None:
        return network_of(settings, encoder, rule, loss, batch, learning_threads(settings, feed), say)
    threads, outputs, l1 = learning_threads(settings, feed), outputs_of(encoder.classes), settings.l1 > 0
    return Linear(rule, loss, encoder.width, outputs, batch, encoder.sparse, threads, settings.seed, l1)


def _batch_size(settings: Settings, encoder: Encoder, rule: Any) -> int:
    """Give the size of a mini-batch; where untouched weights rest, one row at a time is natural."""
    natural = 1 if trait(rule, "sparse") == "resting" and encoder.sparse else DENSE_BATCH
    return natural if settings.batch_size == "auto" else int(settings.batch_size)


def learning_threads(settings: Settings, feed: Feed) -> int:
    """Give the threads that learn: those that decode and encode rows from a source need the other cores."""
    return available_threads(settings.threads) if isinstance(feed, MemoryFeed) else 1


def available_threads(wanted: int | None) -> int:
    """Give the threads to use: as many as wanted, or as this process has cores."""
    return available_cores() if wanted is None else wanted


def _optimizers(settings: Settings, encoder: Encoder) -> list[str]:
    """Choose the optimizers: adaptive ones need no scale; on sparse rows those whose untouched weights can rest."""
    sparse = encoder.sparse and settings.network is None
    names = [("adagrad" if sparse else "adam") if name == "auto" else name for name in settings.optimizers]
    return list(dict.fromkeys(names))


def slow_on_sparse_rows(settings: Settings, encoder: Encoder) -> list[str]:
    """Say which optimizers step every weight for the few that sparse rows touch, where that takes most of the time."""
    if settings.network is not None or not encoder.sparse or encoder.width < STEPPED_AT_EASE:
        return []
    names = dict.fromkeys(map(bare, _optimizers(settings, encoder)))
    slow = [name for name in names if catching_up(rule_named(name), sparse=True, l1=settings.l1 > 0) in ALL_AT_ONCE]
    return [
        f"{name} steps the weights of all {encoder.width:,} features at every mini-batch, whatever its rows hold: "
        "sgd, adagrad and ftrl, which step those of its rows alone, are many times as fast here"
        for name in slow
    ]


def weights_bytes(settings: Settings, encoder: Encoder) -> int:
    """Give the bytes that the weights of all runs take, with what their optimizers remember."""
    names, sparse, l1 = _optimizers(settings, encoder), encoder.sparse, settings.l1 > 0
    threads = available_threads(settings.threads)
    size = 0
    for name, settings_of_it in Counter(map(bare, names)).items():
        share = -(-settings.runs * settings_of_it // len(names))
        schedules = share if "optimal" in settings.schedule else len(settings.schedules)  # each run has its own then
        rule, outputs = rule_named(name), outputs_of(encoder.classes)
        if settings.network is not None:
            size += network_bytes(settings, encoder, rule, share)
            continue
        batch = _batch_size(settings, encoder, rule)
        size += state_bytes(
            rule, encoder.width, outputs, share, threads, sparse=sparse, l1=l1, batch=batch, schedules=schedules
        )
    return size
