"""Features of words against Arrow's table of the known ones and NumPy's hashes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schuss.data.columns.categories import CategoryColumn
from schuss.data.columns.hashing import hash_strings
from schuss.data.columns.place import Place

PLACE = Place("t.csv", 0, "c")
WORDS = st.text("ab\x00é日", max_size=3)


def expected(column: CategoryColumn, values: list[str | None]) -> list[int]:
    """Feature of each value: known, missing, or in a bucket."""
    words = pa.array(values, pa.string())
    first = len(column.known) + column.gap
    buckets = (hash_strings(pc.fill_null(words, "")) & np.uint64(column.buckets - 1)).tolist()
    places = pc.index_in(words, pa.array(column.known, pa.string())).to_pylist()
    return [
        len(column.known) if value is None else first + bucket if place is None else place
        for value, place, bucket in zip(values, places, buckets, strict=True)
    ]


@settings(deadline=None)
@given(st.lists(WORDS | st.none(), min_size=1), st.sets(WORDS), st.sampled_from([1, 2, 64]))
def test_features_of_any_words(values: list[str | None], known: set[str], buckets: int) -> None:
    fitted = CategoryColumn.fit(pa.array([*known, None], pa.string()), PLACE, 1, None)
    column = CategoryColumn(fitted.name, fitted.known, True, buckets, fitted.shares, fitted.distinct, fitted.scale)
    plain = pa.array(values, pa.string())
    wanted = expected(column, values)
    for one in (plain, plain.dictionary_encode(), plain.cast(pa.large_string())):
        assert column.prepare(one, PLACE).tolist() == wanted
    assert column.prepare(plain.slice(1), PLACE).tolist() == wanted[1:]


@pytest.mark.parametrize("kind", [pa.string(), pa.dictionary(pa.int32(), pa.string())])
def test_many_known_words(kind: pa.DataType) -> None:
    words = [f"word {at}" for at in range(3000)]
    column = CategoryColumn.fit(pa.array(words * 2), PLACE, 1 << 10, None)
    assert len(column.known) == 1000
    assert column.prepare(pa.array(words, kind), PLACE).tolist() == expected(column, [*words])
