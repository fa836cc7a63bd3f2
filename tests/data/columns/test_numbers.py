"""Standardising, clipping and filling of numbers and vectors."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from schuss.data.columns.kind import LEAST_DEVIATION, Entries, blocks
from schuss.data.columns.moments import take_moments
from schuss.data.columns.numbers import NumberColumn
from schuss.data.columns.place import Place
from schuss.errors import DataError

PLACE = Place("t", 0, "x")
RNG = np.random.default_rng(0)


def dense(column: NumberColumn, values: pa.Array) -> np.ndarray:
    prepared = column.prepare(values, PLACE)
    out = np.empty((len(values), len(column.scale.centre)), np.float32)
    for rows in blocks(*out.shape):
        column.write(prepared, rows, out[rows])
    return out


def vectors(values: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


@pytest.mark.parametrize("offset", [0.0, 1e9, -1e15])
def test_moments_keep_their_digits(offset: float) -> None:
    values = offset + np.round(RNG.normal(size=(9000, 2)) * [1, 1e4])
    values[RNG.random(values.shape) < 0.1] = np.nan
    moments = take_moments(lambda: (values[rows] for rows in blocks(*values.shape)), 2)
    np.testing.assert_allclose(moments.mean, np.nanmean(values, axis=0, dtype=np.longdouble), rtol=1e-12, atol=1e-10)
    np.testing.assert_allclose(moments.deviation, np.nanstd(values - offset, axis=0), rtol=1e-9)
    np.testing.assert_array_equal(moments.least, np.nanmin(values, axis=0))
    np.testing.assert_array_equal(moments.most, np.nanmax(values, axis=0))
    np.testing.assert_allclose(moments.missing, np.isnan(values).mean(axis=0))


def test_what_is_counted_of_a_column_does_not_depend_on_the_piece_where_it_stands() -> None:
    first = np.tile([0.0, 2.0, 5.0, -1.0, 0.0], (4, 1))
    second = np.array([[0.0, 2.0, 0.0, 1.0, np.nan], [1.0, 2.0, 5.0, 0.5, 4.0], [np.nan, np.nan, 5.0, 1.0, 4.0]])
    pieces = [first, second, first[:1]]
    given = [piece.copy() for piece in pieces]
    moments = take_moments(lambda: iter(pieces), 5)
    whole = np.concatenate(pieces)
    np.testing.assert_array_equal(moments.zeros, (whole == 0).mean(axis=0))
    np.testing.assert_allclose(moments.missing, np.isnan(whole).mean(axis=0), atol=1e-15)
    # Two values in the first, third and last column, one in the second, more in the fourth, but not in one piece.
    indicators = LEAST_DEVIATION * np.array([1.0, 0.0, 5.0, 0.0, 4.0])
    plain = np.where([True, False, True, True, True], np.nanstd(whole, axis=0), 0.0)
    np.testing.assert_allclose(moments.deviation, np.maximum(plain, indicators), rtol=1e-12)
    rare = [np.zeros((5000, 2)), np.array([[1.0, 0.4], [0.0, 1.0]])]
    # The second column has a third value, in its last piece only, and is not taken for an indicator.
    found = take_moments(lambda: iter(rare), 2).deviation
    assert found[0] == pytest.approx(LEAST_DEVIATION)
    assert found[1] == pytest.approx(np.concatenate(rare)[:, 1].std(), rel=1e-9)
    for piece, as_given in zip(pieces, given, strict=True):
        np.testing.assert_array_equal(piece, as_given)


@pytest.mark.parametrize("wild", [np.inf, -np.inf, -1e151, 1e151, np.nan])
def test_a_wild_value_has_no_part_in_the_statistics(wild: float) -> None:
    values = np.array([[1.0, wild], [2.0, 3.0], [3.0, 7.0]])
    moments = NumberColumn.fit(vectors(values), PLACE, vector=True).moments
    assert (moments.least.tolist(), moments.most.tolist()) == ([1.0, 3.0], [3.0, 7.0])
    np.testing.assert_allclose(moments.missing, [0.0, 1 / 3])


def test_moments_of_one_wild_value() -> None:
    values = np.append(RNG.normal(size=9999), 1e100)[:, None]
    moments = take_moments(lambda: iter([values]), 1)
    np.testing.assert_allclose([moments.mean[0], moments.deviation[0]], [1e96, 1e98], rtol=1e-3)


def test_rare_indicators_are_not_blown_up() -> None:
    column = NumberColumn.fit(pa.array([1] + [0] * 9999), PLACE, vector=False)
    assert dense(column, pa.array([1, 0])).ravel() == pytest.approx([1.0, 0.0], abs=0.01)


def test_nothing_in_the_sample_is_clipped() -> None:
    values = np.append(RNG.normal(size=9999), 5000.0)
    column = NumberColumn.fit(pa.array(values), PLACE, vector=False)
    expected = (values - values.mean()) / values.std()
    assert expected.max() > 90
    np.testing.assert_allclose(dense(column, pa.array(values)).ravel(), expected, rtol=1e-5, atol=1e-6)


def test_values_beyond_the_sample_are_clipped_at_its_range_widened() -> None:
    column = NumberColumn.fit(pa.array(np.append(np.arange(999) / 999, 1000.0)), PLACE, vector=False)
    far = dense(column, pa.array([2000.0, 1999.0, 1e30, -1e30, -999.0])).ravel()
    assert far[0] == far[2] > far[1]
    assert far[3] == pytest.approx(far[4], rel=1e-2)
    assert far[3] < far[4]
    uniform = NumberColumn.fit(pa.array(np.linspace(0, 1, 101)), PLACE, vector=False)
    assert dense(uniform, pa.array([1e30, -1e30])).ravel().tolist() == [10.0, -10.0]


def test_missing_numbers_are_the_mean_with_an_indicator() -> None:
    values = pa.array([1.0, None, 3.0, np.nan])
    column = NumberColumn.fit(values, PLACE, vector=False)
    rows = dense(column, values)
    np.testing.assert_allclose(rows, [[-0.5, -0.5], [0, 0.5], [0.5, -0.5], [0, 0.5]], atol=1e-6)
    assert [column.feature(index) for index in (0, 1)] == [("x", "per unit of x"), ("x is missing", "when missing")]


def test_missing_numbers_where_the_sample_has_none() -> None:
    column = NumberColumn.fit(pa.array([1, 2, 3]), PLACE, vector=False)
    np.testing.assert_allclose(dense(column, pa.array([None, 2, 3], pa.int64()))[:, 0], [0, 0, 1.2247], atol=1e-4)
    assert dense(column, pa.nulls(2)).tolist() == [[0.0], [0.0]]


TYPES = [pa.int8(), pa.uint64(), pa.int32(), pa.float16(), pa.float32(), pa.float64(), pa.decimal128(9, 2), pa.string()]


@pytest.mark.parametrize("kind", [*TYPES, pa.dictionary(pa.int8(), pa.int16())], ids=str)
def test_every_type_of_number(kind: pa.DataType) -> None:
    values = pa.array([1, 2, None, 4], pa.int16())
    typed = values.dictionary_encode() if pa.types.is_dictionary(kind) else values.cast(kind)
    column = NumberColumn.fit(typed, PLACE, vector=False)
    expected = dense(NumberColumn.fit(values, PLACE, vector=False), values)
    np.testing.assert_allclose(dense(column, typed), expected, rtol=1e-6)
    np.testing.assert_allclose(dense(column, typed.slice(1, 2)), expected[1:3], rtol=1e-6)


def test_words_that_stand_for_missing() -> None:
    column = NumberColumn.fit(pa.array([" 1 ", "2.5e1", "NA", "?", "", None, "-3"]), PLACE, vector=False)
    assert column.moments.missing[0] == pytest.approx(4 / 7)
    assert (column.moments.least[0], column.moments.most[0]) == (-3, 25)


def test_vectors() -> None:
    values = RNG.normal(5, 2, (300, 40)).astype(np.float32)
    values[:, 7] = 3.0
    values[4, 2] = np.nan
    column = NumberColumn.fit(vectors(values), PLACE, vector=True)
    rows = dense(column, vectors(values))
    expected = (values - np.nanmean(values, axis=0, dtype=np.float64)) / np.nanstd(values.astype(float), axis=0).clip(
        1e-9
    )
    np.testing.assert_allclose(np.delete(rows[:, :40], [2, 7], axis=1), np.delete(expected, [2, 7], axis=1), atol=1e-5)
    assert not rows[:, 7].any()
    assert rows[4, 2] == 0
    assert column.feature(40) == ("x[2] is missing", "when missing")
    np.testing.assert_array_equal(dense(column, vectors(values).slice(100, 50)), rows[100:150])


def test_vectors_of_other_types() -> None:
    values = np.arange(12.0).reshape(4, 3)
    column = NumberColumn.fit(vectors(values), PLACE, vector=True)
    lists = pa.array(values.tolist())
    np.testing.assert_array_equal(dense(column, lists), dense(column, vectors(values)))
    np.testing.assert_array_equal(
        dense(column, lists.cast(pa.large_list(pa.float32())))[1:3], dense(column, lists)[1:3]
    )
    missing = pa.array([values[0].tolist(), None])
    assert dense(column, missing)[1].tolist() == [0, 0, 0]
    assert dense(column, missing.cast(pa.list_(pa.float64(), 3)))[1].tolist() == [0, 0, 0]


def test_vectors_of_the_wrong_length() -> None:
    column = NumberColumn.fit(vectors(np.ones((2, 3))), PLACE, vector=True)
    with pytest.raises(DataError, match=r"^t, row 2, column 'x': the list has 2 numbers, where 3 are required$"):
        column.prepare(pa.array([[1.0, 2.0, 3.0], [1.0, 2.0]]), PLACE)
    with pytest.raises(DataError, match=r"^t, column 'x': its vectors have 4 numbers, where 3 are required$"):
        column.prepare(vectors(np.ones((2, 4))), PLACE)


def test_infinity_in_a_vector() -> None:
    values = np.ones((3, 4))
    values[:, 1] = [1, 2, 3]
    column = NumberColumn.fit(vectors(values), PLACE, vector=True)
    values[2, 3] = np.inf
    with pytest.raises(
        DataError, match=r"^t, row 3, column 'x': inf \(number 4 of the vector\) is not a finite number; "
    ):
        dense(column, vectors(values))


def test_sparse_rows_keep_zeros() -> None:
    values = pa.array([0.0] * 8 + [4.0, None])
    column = NumberColumn.fit(values, PLACE, vector=False).laid_out(sparse=True)
    entries = column.entries(column.prepare(values, PLACE), slice(0, 10))
    assert isinstance(entries, Entries)
    assert entries.counts.tolist() == [0] * 8 + [1, 1]
    assert entries.indices.tolist() == [0, 1]
    np.testing.assert_allclose(entries.values, [4 / column.moments.deviation[0], 1])
    full = NumberColumn.fit(pa.array([1.0, 2.0, 4.0]), PLACE, vector=False).laid_out(sparse=True)
    entries = full.entries(full.prepare(pa.array([1.0, 2.0, 4.0]), PLACE), slice(0, 3))
    np.testing.assert_allclose(entries.values.mean(), 0, atol=1e-7)
