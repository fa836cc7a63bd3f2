"""Weights of whole networks, of which each run has its own line: a step of a rule in one pass over the memory.

Operations of PyTorch pass over the memory each, for Adam some fifteen times.
"""

from __future__ import annotations

from schuss.kernels.dispatch import update
from schuss.kernels.lines import load_at, load_each, store_at, store_each
from schuss.kernels.options import kernel


@kernel()
def step_flat(rule, like, scalars, weights, slots, gradient, first, last):
    """Step the runs from `first` to `last`.

    `weights` and `gradient` `(runs, n)`, `slots` `(slots, runs, n)`, n being whole vectors; `scalars` `(runs, scalars,
    places)`, each the same in all places of a vector; `like` holds tuples of which only the length counts: scalars and
    slots of the rule, places of a vector.
    """
    n, width = weights.shape[1], len(like[2])
    for run in range(first, last):
        s = load_each(scalars, run * len(like[0]) * width, width, like[0], like[2])
        for place in range(run * n, run * n + n, width):
            memory = load_each(slots, place, weights.size, like[1], like[2])
            w, g = load_at(weights, place, like[2]), load_at(gradient, place, like[2])
            w, memory = update(rule, s, w, g, memory)
            store_at(weights, place, w)
            store_each(slots, place, weights.size, memory)
