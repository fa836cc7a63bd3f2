"""Arrow columns of whatever type as the few forms that encoders work on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .compute import pc
from .place import Place, not_a_number

# What people write into a column of numbers where there is none (compared in lower case, without blanks).
MISSING_WORDS = ("", "na", "n/a", "nan", "null", "none", "nil", "?", "-", ".")


# Arrow's names of types, where NumPy's differ.
_DTYPES = {"float": "f4", "double": "f8", "halffloat": "f2"}


class Numbers(NamedTuple):
    """Numbers of any width and where they are missing; under a True of `missing` the value means nothing.

    Floating NaN is missing too, and is not marked: whoever computes with the values meets it there.
    """

    values: NDArray[Any]
    missing: NDArray[np.bool_] | None


class SparseLists(NamedTuple):
    """Rows of (index, value) pairs: row i holds entries `indptr[i]` to `indptr[i + 1]`."""

    indptr: NDArray[np.int64]
    indices: NDArray[Any]
    values: NDArray[Any]


def is_stringy(kind: pa.DataType) -> bool:
    """Whether values of this type are strings, in a dictionary or not."""
    if pa.types.is_dictionary(kind):
        return is_stringy(kind.value_type)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def is_numeric(kind: pa.DataType) -> bool:
    """Whether values of this type are numbers."""
    return (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_duration(kind)
    )


def is_sparse_list(kind: pa.DataType) -> bool:
    """Whether each row is a list of (index, value) pairs."""
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)) or not pa.types.is_struct(kind.value_type):
        return False
    return {field.name for field in kind.value_type} == {"index", "value"}


def in_one_piece(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Give a column as one array, without a dictionary unless it holds strings."""
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # a column of no rows has no chunk to give
        column = pa.array([], column.type)
    if pa.types.is_dictionary(column.type) and not is_stringy(column.type):
        return column.dictionary_decode()
    return column


def as_strings(values: pa.Array) -> pa.DictionaryArray:
    """Give values of any type as dictionary<int32, string>, each distinct value converted once."""
    kind = values.type
    if not pa.types.is_dictionary(kind):
        if pa.types.is_string_view(kind) or pa.types.is_null(kind):
            values = values.cast(pa.string())
        elif pa.types.is_floating(kind):
            values = pc.if_else(pc.is_nan(values), pa.scalar(None, kind), values)
        values = values.dictionary_encode()
    dictionary = values.dictionary.cast(pa.string())
    if dictionary.null_count:  # a null inside the dictionary is a missing value like any other
        return pc.take(dictionary, values.indices).dictionary_encode()
    return pa.DictionaryArray.from_arrays(values.indices.cast(pa.int32()), dictionary)


def as_plain_strings(values: pa.Array, place: Place) -> pa.Array:
    """Give values as strings without a dictionary, missing ones empty; raises DataError if they are not valid text."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    try:
        strings = pc.fill_null(values.cast(pa.string()), "")
        strings.validate(full=True)
    except pa.ArrowInvalid as error:
        raise place.refusal(f"its values are not valid UTF-8 text ({error})") from None
    return strings


def string_codes(strings: pa.DictionaryArray) -> NDArray[np.int32]:
    """Give each row's place in the dictionary, -1 where the value is missing."""
    return pc.fill_null(strings.indices, -1).to_numpy(zero_copy_only=False)


def as_numbers(values: pa.Array, place: Place) -> Numbers:
    """Give values as numbers, without a copy where the type allows it.

    Raises DataError naming the first value that is not a number.
    """
    kind = values.type
    if is_stringy(kind):
        return _parse_numbers(as_strings(values), place)
    if pa.types.is_dictionary(kind):
        values = values.dictionary_decode()
    elif pa.types.is_boolean(kind):
        values = values.cast(pa.uint8())
    elif pa.types.is_decimal(kind) or pa.types.is_null(kind):
        values = values.cast(pa.float64())
    elif pa.types.is_duration(kind) or pa.types.is_temporal(kind):
        values = values.cast(pa.int64()) if values.type.bit_width == 64 else values.cast(pa.int32())
    elif not is_numeric(kind):
        raise place.refusal(f"values of type {kind} are not numbers")
    missing = values.is_null().to_numpy(zero_copy_only=False) if values.null_count else None
    return Numbers(_buffer_view(values), missing)


def _buffer_view(values: pa.Array) -> NDArray[Any]:
    """See the buffer of primitive values, those under a null included."""
    dtype = np.dtype(_DTYPES.get(str(values.type), str(values.type)))
    buffer = values.buffers()[1]
    if buffer is None or not len(values):
        return np.empty(0, dtype)
    return np.frombuffer(buffer, dtype, len(values), values.offset * dtype.itemsize)


def _parse_numbers(strings: pa.DictionaryArray, place: Place) -> Numbers:
    """Read numbers from strings, each distinct one once."""
    words = pc.utf8_trim_whitespace(strings.dictionary)
    gone = pc.is_in(pc.utf8_lower(words), pa.array(MISSING_WORDS))
    present = pc.if_else(gone, pa.scalar("nan"), words)
    codes = string_codes(strings)
    try:
        table = present.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        bad = np.array([not _is_number(word) for word in present.to_pylist()])
        first = int(np.argmax(bad[codes] & (codes >= 0)))
        raise place.error(first, not_a_number(strings[first].as_py())) from None
    return Numbers(np.append(table, np.nan)[codes], None)


def _is_number(word: str) -> bool:
    try:
        pa.scalar(word).cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def as_vectors(values: pa.Array, place: Place, width: int | None = None) -> Numbers:
    """Give lists of equally many numbers as `(rows, width)`, without a copy for fixed-size lists.

    Raises DataError naming the first list of another length than `width` (by default that of the first list).
    """
    kind = values.type
    missing = values.is_null().to_numpy(zero_copy_only=False) if values.null_count else None
    if pa.types.is_fixed_size_list(kind):
        size = kind.list_size
        if width is not None and size != width:
            raise place.refusal(f"its vectors have {size:,} numbers, where {width:,} are required")
        flat = values.values.slice(values.offset * size, len(values) * size)
    else:
        lengths = pc.fill_null(pc.list_value_length(values), -1).to_numpy(zero_copy_only=False)
        size = width if width is not None else int(lengths.max(initial=0))
        wrong = (lengths != size) & (lengths >= 0)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise place.error(row, f"the list has {lengths[row]:,} numbers, where {size:,} are required")
        if missing is not None:
            values = pc.fill_null(values, pa.scalar([None] * size, kind))
        flat = values.flatten()
    numbers = as_numbers(flat, place)
    shape = (len(values), size)
    gaps = None if numbers.missing is None else numbers.missing.reshape(shape)
    if missing is not None:
        gaps = missing[:, None] | (False if gaps is None else gaps)
        gaps = np.broadcast_to(gaps, shape)
    return Numbers(numbers.values.reshape(shape), gaps)


def as_sparse_lists(values: pa.Array, place: Place) -> SparseLists:
    """Give lists of (index, value) pairs as three arrays, without a copy; a missing row is an empty one."""
    if not is_sparse_list(values.type):
        raise place.refusal(f"values of type {values.type} are not lists of (index, value) pairs")
    if values.null_count:
        values = pc.fill_null(values, pa.scalar([], values.type))
    offsets = values.offsets.to_numpy(zero_copy_only=False)
    pairs = values.values.slice(offsets[0], offsets[-1] - offsets[0])
    indptr = offsets.astype(np.int64) - offsets[0]
    index, value = (pairs.field(pairs.type.get_field_index(name)) for name in ("index", "value"))
    return SparseLists(indptr, as_numbers(index, place).values, as_numbers(value, place).values)
