"""Counted terms against the tokens of NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schuss.data.columns.text import _count_terms
from schuss.data.columns.tokens import pair_hashes, tokenize

ALPHABET = "ab1_ .!£éß\u0301日本ぁ\u3042\U0001f600\U0001f680\t"


def in_numpy(strings: pa.Array, bits: int) -> list[list[tuple[int, int]]]:
    """Bucket and times of every term of each row."""
    tokens = tokenize(strings)
    row = np.repeat(np.arange(len(strings)), tokens.counts)
    pairs, first = pair_hashes(tokens)
    hashes, rows = np.concatenate([tokens.hashes, pairs]), np.concatenate([row, row[first]])
    buckets = hashes >> np.uint64(64 - bits)
    found = [np.unique(buckets[rows == at], return_counts=True) for at in range(len(strings))]
    return [list(zip(bucket.tolist(), times.tolist(), strict=True)) for bucket, times in found]


def counted(strings: pa.Array, bits: int) -> list[list[tuple[int, int]]]:
    counts, buckets, times = _count_terms(strings, bits)
    pairs = list(zip(buckets.tolist(), times.tolist(), strict=True))
    edges = np.cumsum([0, *counts]).tolist()
    return [pairs[begin:end] for begin, end in itertools.pairwise(edges)]


@settings(deadline=None)
@given(st.lists(st.text(ALPHABET, max_size=30), min_size=1, max_size=6), st.sampled_from([4, 10, 18]))
def test_terms_of_any_text(texts: list[str], bits: int) -> None:
    strings = pa.array(texts, pa.string())
    assert counted(strings, bits) == in_numpy(strings, bits)


@settings(deadline=None)
@given(st.lists(st.text(st.characters(max_codepoint=0x7F), max_size=70) | st.text("ab A!", max_size=70), min_size=1))
@example(["x" * size for size in range(15, 50)])
@example(["", " ", "a" * 16 + "!" * 16 + " " * 16 + "b" * 33, "\x1c\x1f\x00\x7f _"])
def test_terms_of_ascii(texts: list[str]) -> None:
    strings = pa.array(texts, pa.string())
    assert counted(strings, 18) == in_numpy(strings, 18)


@pytest.mark.parametrize("bits", [3, 18])
def test_long_rows(bits: int) -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{word}" for word in rng.integers(0, 300, size)) for size in (3000, 0, 1, 100)]
    strings = pa.array(texts).slice(0, 4)
    assert counted(strings, bits) == in_numpy(strings, bits)
    assert counted(strings.slice(1, 2), bits) == in_numpy(strings, bits)[1:3]
