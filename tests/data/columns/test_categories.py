"""Dictionaries, buckets, and values that the sample has not."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from schuss.data.columns.categories import KNOWN_AT_MOST, CategoryColumn
from schuss.data.columns.hashing import hash_strings
from schuss.data.columns.place import Place

PLACE = Place("t", 0, "c")


def fit(values: object, buckets: int = 1 << 18, rows: int | None = None) -> CategoryColumn:
    return CategoryColumn.fit(values if isinstance(values, pa.Array) else pa.array(values), PLACE, buckets, rows)


def codes(column: CategoryColumn, values: object) -> list[int]:
    return column.prepare(values if isinstance(values, pa.Array) else pa.array(values), PLACE).tolist()


def test_known_missing_and_other() -> None:
    column = fit(["b", "a", None, "b"])
    assert column.known == ("a", "b")
    assert codes(column, ["a", "b", None, "zzz"]) == [0, 1, 2, 3]
    assert [column.feature(at)[0] for at in range(4)] == ["c = a", "c = b", "c is missing", "c is another"]
    np.testing.assert_allclose(column.shares, [0.25, 0.5, 0.25, 0.0])
    assert column.describe() == {"missing": 0.25, "categories": 2, "known": 2, "buckets": 1}


def test_missing_ones_where_the_sample_has_none() -> None:
    column = fit(["b", "a"])
    prepared = column.prepare(pa.array([None, "a", "x"]), PLACE)
    assert prepared.tolist() == [2, 0, 2]
    assert column.unseen(prepared) == 2


VALUES = ["10", "9", None, "10"]
TYPES = {
    "string": pa.array(VALUES),
    "large_string": pa.array(VALUES, pa.large_string()),
    "string_view": pa.array(VALUES, pa.string_view()),
    "dictionary": pa.array(VALUES).dictionary_encode(),
    "dictionary of large strings": pa.array(VALUES, pa.large_string()).dictionary_encode(),
    "null in the dictionary": pa.DictionaryArray.from_arrays([0, 1, 2, 0], pa.array(["10", "9", None])),
    "int": pa.array([10, 9, None, 10]),
    "float": pa.array([10.0, 9.0, np.nan, 10.0]),
    "dictionary of int": pa.array([10, 9, None, 10]).dictionary_encode(),
}


@pytest.mark.parametrize("case", TYPES)
def test_a_value_is_the_same_in_every_type(case: str) -> None:
    assert codes(fit(VALUES), TYPES[case]) == [0, 1, 2, 0]
    assert codes(fit(TYPES[case]), VALUES) == [0, 1, 2, 0]
    assert codes(fit(VALUES), TYPES[case].slice(1, 2)) == [1, 2]


def test_rare_categories_share_buckets() -> None:
    frequent = [f"f{i}" for i in range(KNOWN_AT_MOST)] * 2
    rare = [f"r{i}" for i in range(300)]
    column = fit(frequent + rare)
    assert set(column.known) == set(frequent)
    assert column.buckets == 1024
    found = np.array(codes(column, rare))
    assert found.min() >= KNOWN_AT_MOST
    assert found.max() < KNOWN_AT_MOST + column.buckets
    assert len(np.unique(found)) > 200
    assert codes(column, rare[5:7]) == found[5:7].tolist()
    new = column.prepare(pa.array([f"new{i}" for i in range(1000)]), PLACE)
    assert 600 < column.unseen(new) < 900  # those whose bucket is empty in the sample
    assert column.unseen(column.prepare(pa.array(rare), PLACE)) == 0
    assert column.feature(KNOWN_AT_MOST + 3)[0] == "c in bucket 3"
    assert fit(frequent + rare, buckets=16).buckets == 16


def test_buckets_make_room_for_categories_still_to_come() -> None:
    values = [f"user{i}" for i in range(3000)]
    assert fit(values).buckets == 4096
    assert fit(values, rows=30_000).buckets == 65536
    assert fit(values, rows=10**9).buckets == 1 << 18


@pytest.mark.parametrize("sparse", [False, True])
def test_layouts(sparse: bool) -> None:
    values = pa.array(["a", "a", "a", "b"])
    column = fit(values).laid_out(sparse)
    prepared = column.prepare(values, PLACE)
    if sparse:
        entries = column.entries(prepared, slice(0, 4))
        assert (entries.counts.tolist(), entries.indices.tolist(), entries.values.tolist()) == (
            [1] * 4,
            [0, 0, 0, 1],
            [1.0] * 4,
        )
    else:
        out = np.empty((4, 3), np.float32)
        column.write(prepared, slice(0, 4), out)
        np.testing.assert_allclose(out, [[0.25, -0.25, 0]] * 3 + [[-0.75, 0.75, 0]], rtol=1e-6)


def hashed(text: str) -> int:
    """Hash one string, with Python's integers."""
    words, base = 1 << 64, 0x9E3779B97F4A7C15
    data = text.encode()
    code = (sum((byte + 1) * pow(base, place, words) for place, byte in enumerate(data)) + len(data)) % words
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        code = ((code ^ code >> 33) * factor) % words
    return code ^ code >> 33


def test_hash_never_changes() -> None:
    """Model files depend on it."""
    words = ["", "a", "ab", "ba", "schuß", "a much longer string than the others " * 9]
    strings, expected = pa.array(words), [hashed(word) for word in words]
    assert hash_strings(strings).tolist() == expected
    assert hash_strings(strings.slice(2, 2)).tolist() == expected[2:4]
    assert hash_strings(strings.slice(0, 0)).tolist() == []
    assert expected[1] == 7419302452359162727


def test_hash_spreads() -> None:
    low = hash_strings(pa.array([f"user{i}" for i in range(100_000)])) & np.uint64(0xFFFF)
    counts = np.bincount(low.astype(int), minlength=1 << 16)
    assert abs(counts.var() / counts.mean() - 1) < 0.05  # as of balls thrown at random
