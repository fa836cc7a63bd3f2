"""Words into the features of a column of categories: those that are known, and hashed buckets for all others."""

from __future__ import annotations

import numpy as np

from schuss.kernels.encode import mixed
from schuss.kernels.options import inlined, kernel
from schuss.kernels.terms import BASE


@inlined
def _hash(codes, begin, end):
    """Hash a word by its bytes, as `hash_strings` does."""
    total, power = np.uint64(0), np.uint64(1)
    for i in range(begin, end):
        total += (np.uint64(codes[i]) + np.uint64(1)) * power
        power *= BASE
    return mixed(total + np.uint64(end - begin))


@inlined
def _same(codes, begin, end, others, first):
    """Whether a word is another one, whose length is the same."""
    i = begin
    while i < end and codes[i] == others[first + i - begin]:
        i += 1
    return i == end


@kernel()
def note(codes, bounds, hashes, slots):
    """Note where known words are to be looked for: `slots`, a power of two of them, hold -1 or the place of a word."""
    mask = np.uint64(len(slots) - 1)
    for at in range(len(hashes)):
        hashes[at] = _hash(codes, np.int64(bounds[at]), np.int64(bounds[at + 1]))
        slot = hashes[at] & mask
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = at


@kernel()
def find(codes, bounds, known_codes, known_bounds, hashes, slots, first, buckets, features):
    """Give each word its feature: its place among the known ones, or `first` and a bucket, of which there are 2^k.

    Arrow's table of the words of a batch and NumPy's hashing of these took 127 ns a word of which most are distinct.
    """
    mask, share = np.uint64(len(slots) - 1), np.uint64(buckets - 1)
    for i in range(len(features)):
        begin, end = np.int64(bounds[i]), np.int64(bounds[i + 1])
        own = _hash(codes, begin, end)
        feature, slot = np.int64(first) + np.int64(own & share), own & mask
        while slots[slot] >= 0:
            at = np.int64(slots[slot])
            start = np.int64(known_bounds[at])
            alike = hashes[at] == own and np.int64(known_bounds[at + 1]) - start == end - begin
            if alike and _same(codes, begin, end, known_codes, start):
                feature = at
                break
            slot = (slot + np.uint64(1)) & mask
        features[i] = feature
