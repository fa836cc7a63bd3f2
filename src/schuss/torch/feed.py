"""Data of users' own as the training loop takes them: tensors with a row each, or whatever gives batches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

from schuss.cluster.workers import Workers
from schuss.data.chunk import Chunk
from schuss.data.cluster_feed import Chosen, Round, rows_between
from schuss.data.reader import Counts
from schuss.data.saved import Saved
from schuss.errors import DataError, OptionError
from schuss.population.network.copies import Batch
from schuss.population.network.inputs import each, joined, mapped
from schuss.population.network.probe import seeded

__all__ = ["BatchFeed", "SharedFeed", "TensorFeed", "as_batch", "feed_of"]

STEPS = 32
"""Mini-batches of a chunk: between two chunks the race looks at the clock, and may write itself down."""

UNKNOWN_ROWS = 65_536
"""Rows of an epoch of batches that cannot tell how many they are, until the first epoch is over."""

MOST_HELD_OUT = 20_000
"""Rows that are split off to judge by, at most."""


def as_batch(pair: Any, what: str) -> Batch:
    """Give a pair of inputs and targets as a batch; raises DataError where it is none."""
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise DataError(f"{what} is {_named(pair)}, not a pair of inputs and targets")
    inputs, targets = mapped(torch.as_tensor, pair[0]), torch.as_tensor(pair[1])
    rows = {len(one) if one.ndim else 0 for one in (*each(inputs), targets)}
    if len(rows) != 1:
        shapes = ", ".join(str(tuple(one.shape)) for one in each(inputs))
        raise DataError(f"inputs of {what} have the shape {shapes}, targets {tuple(targets.shape)}: not a row each")
    return Batch(inputs, targets)


def _named(value: Any) -> str:
    kind = f"of type {type(value).__name__}"
    return f"{len(value)} things {kind}" if isinstance(value, tuple | list) else f"something {kind}"


def chunk_of(batch: Batch) -> Any:
    """Give a batch as a chunk."""
    return Chunk(batch.inputs, batch.targets, np.ones(batch.rows, np.float32))  # pyright: ignore[reportArgumentType]


def feed_of(data: Any, holdout: Any, *, batch_size: int, seed: int) -> TensorFeed | BatchFeed:
    """Give the feed of some data; see `schuss.torch.race` for what they may be."""
    held = _held_out(holdout)
    if _is_pair(data):
        return TensorFeed(as_batch(data, "data"), held, holdout, batch_size=batch_size, seed=seed)
    if not isinstance(data, Iterable) or hasattr(data, "shape"):
        raise DataError(f"data is {_named(data)}: neither a pair of inputs and targets nor batches of them")
    if held is None and holdout is not None:
        raise OptionError(
            "batches cannot be split: holdout takes a pair of inputs and targets, batches of them, or None"
        )
    return BatchFeed(data, held, seed=seed)


def _is_pair(value: Any) -> bool:
    """Whether a value is inputs and targets, and not two batches."""
    return isinstance(value, tuple | list) and len(value) == 2 and hasattr(value[1], "shape")


def _held_out(holdout: Any) -> Batch | None:
    """Give the rows that are held out where they are given: a pair, or batches that are put together."""
    if holdout is None or isinstance(holdout, int | float):
        return None
    if _is_pair(holdout):
        return as_batch(holdout, "holdout")
    batches = [as_batch(one, "a batch of holdout") for one in holdout]
    if not batches:
        raise DataError("holdout has no batch")
    return Batch(joined([one.inputs for one in batches]), torch.cat([one.targets for one in batches]))


class _Feed:
    """What both feeds have: the rows that judge, one half of which chooses, and the place to go on from."""

    known = None

    def __init__(self, held: Batch | None, seed: int) -> None:
        self.seed, self.counts = seed, Counts()
        self.select = self.score = None
        if held is not None:
            order = torch.randperm(held.rows, generator=torch.Generator().manual_seed(seed))
            half = (held.rows + 1) // 2
            self.select, self.score = (chunk_of(held.part(places)) for places in (order[:half], order[half:]))
            self.counts.select, self.counts.score = half, held.rows - half
        self.epoch = self.done = 0

    def pause(self, *, over: bool = False) -> Saved:
        """Say which chunk of which epoch was given last."""
        return Saved({"epoch": self.epoch, "done": self.done}, {})

    def resume(self, saved: Saved) -> None:
        """Go on after the chunk that was given last."""
        self.epoch, self.done = saved.values["epoch"], saved.values["done"]

    def whole(self) -> None:
        """Give nothing: full passes are for the finish of linear models."""

    def _chunks_done(self, epoch: int) -> int:
        """Give how many chunks of an epoch have been given, and count from there."""
        self.epoch, self.done = epoch, self.done if epoch == self.epoch else 0
        return self.done


class TensorFeed(_Feed):
    """Tensors in memory, in a new order each epoch.

    A last mini-batch of one row is left out: batch normalisation has nothing to say about one.
    """

    epochs_at_most: int | None = None

    def __init__(self, rows: Batch, held: Batch | None, share: Any, *, batch_size: int, seed: int) -> None:
        """Split off what judges: a share of the rows, unless it is given."""
        self.batch_size = batch_size
        places = torch.arange(rows.rows)
        if held is None and share is not None:
            if not 0 < float(share) < 1:
                raise OptionError(
                    f"holdout is a share of the rows above 0 and below 1, rows of its own or None, not {share}"
                )
            order = torch.randperm(rows.rows, generator=torch.Generator().manual_seed(seed))
            count = min(max(math.ceil(float(share) * rows.rows), 2), MOST_HELD_OUT)
            held, places = rows.part(order[:count]), order[count:].sort().values
        if len(places) < 1:
            raise DataError(f"of {rows.rows} rows none is left to learn from")
        super().__init__(held, seed)
        self.rows, self.places = rows, places
        self.training_rows = len(places) - (len(places) > batch_size and len(places) % batch_size == 1)
        self.counts.training = self.training_rows

    def chunks(self, epoch: int) -> Iterator[Any]:
        """Yield the rows of an epoch."""
        begun = self._chunks_done(epoch)
        drawn = np.random.default_rng([self.seed, epoch]).permutation(len(self.places))[: self.training_rows]
        size = STEPS * self.batch_size
        for begin in range(begun * size, self.training_rows, size):
            self.done += 1
            yield chunk_of(self.rows.part(self.places[torch.from_numpy(drawn[begin : begin + size])]))

    def first(self) -> Batch:
        """Give a mini-batch to try a module on."""
        return self.rows.part(self.places[: self.batch_size])


class SharedFeed(TensorFeed):
    """Tensors in memory that workers share: rounds, in each of which every worker learns from rows of its own.

    between : rows of a worker from one average to the next, whole mini-batches; at an epoch's end they share the rest.
    """

    def __init__(self, feed: TensorFeed, workers: Workers) -> None:
        """Put the rows where every worker reaches them."""
        vars(self).update(vars(feed))
        self.workers = workers
        few = min(rows_between(self.training_rows, workers.count), -(-self.training_rows // workers.count))
        self.between = max(few // self.batch_size, 1) * self.batch_size
        learned = self.rows.part(self.places)
        stored = Batch(mapped(_stored, learned.inputs), _stored(learned.targets))  # pyright: ignore[reportArgumentType]
        self._stored = workers.put(chunk_of(stored))

    def chunks(self, epoch: int) -> Iterator[Any]:
        """Yield the rounds of an epoch."""
        begun, count = self._chunks_done(epoch), self.workers.count
        drawn = np.random.default_rng([self.seed, epoch]).permutation(len(self.places))[: self.training_rows]
        for begin in range(begun * self.between * count, len(drawn), self.between * count):
            self.done += 1
            rows = drawn[begin : begin + self.between * count]
            each = -(-len(rows) // (count * self.batch_size)) * self.batch_size
            shares = [[Chosen(rows[at : at + each])] for at in range(0, len(rows), each)]
            yield Round(shares, [[self._stored]] * len(shares))


def _stored(tensor: torch.Tensor) -> Any:
    """Give an array, which processes of a machine share; NumPy has no bfloat16."""
    return tensor if tensor.dtype == torch.bfloat16 else tensor.detach().cpu().numpy()


class BatchFeed(_Feed):
    """Whatever gives batches, such as a DataLoader: each is a mini-batch, in the order in which they come.

    What it draws from PyTorch's generator comes from the seed; one that can be gone through only once gives one epoch.
    """

    def __init__(self, batches: Iterable[Any], held: Batch | None, *, seed: int) -> None:
        """Count the rows, as far as they tell."""
        super().__init__(held, seed)
        self.batches = batches
        self.epochs_at_most = 1 if iter(batches) is batches else None
        self._kept: list[Any] = []
        self.training_rows = self._counted()
        self.counts.training = self.training_rows

    def _counted(self) -> int:
        """Give the rows of an epoch: those of its data set, or as many as the first batch has for each."""
        batches: Any = self.batches
        try:
            sampler = getattr(batches, "sampler", None)
            if sampler is not None and not getattr(batches, "drop_last", False):
                return len(sampler)
            return len(batches) * self.first().rows
        except TypeError:
            return UNKNOWN_ROWS

    def chunks(self, epoch: int) -> Iterator[Any]:
        """Yield the batches of an epoch; those that had been given before a resume are gone through again."""
        begun, rows = self._chunks_done(epoch), 0
        for place, pair in enumerate(self._drawn(epoch)):
            batch = as_batch(pair, f"batch {place} of data")
            rows += batch.rows
            if place < begun:
                continue
            self.done += 1
            yield chunk_of(batch)
        if rows == 0:
            raise DataError("data has no batch to learn from" + (": it gave those of an epoch before" if epoch else ""))
        self.training_rows = self.counts.training = rows

    def _drawn(self, epoch: int) -> Iterator[Any]:
        """Give the batches of an epoch, each drawn from a seed of its own."""
        kept, self._kept = self._kept, []
        yield from kept
        with self._seeded(epoch, 0):
            waiting = iter(self.batches)
        place = 1 + len(kept)
        while True:
            with self._seeded(epoch, place):
                pair = next(waiting, None)
            if pair is None:
                return
            yield pair
            place += 1

    def _seeded(self, epoch: int, place: int) -> Any:
        state = np.random.SeedSequence([self.seed, epoch, place]).generate_state(1, np.uint64)[0]
        return seeded(int(state >> np.uint64(1)), torch.device("cpu"))

    def first(self) -> Batch:
        """Give a mini-batch to try a module on; what can be gone through only once keeps it for the training."""
        if not self._kept:
            with self._seeded(0, 1):
                pair = next(iter(self.batches), None)
            if pair is None:
                raise DataError("data has no batch to learn from")
            if self.epochs_at_most != 1:
                return as_batch(pair, "the first batch of data")
            self._kept = [pair]
        return as_batch(self._kept[0], "the first batch of data")
