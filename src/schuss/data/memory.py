"""Rows that already lie in memory as a source: arrays, sparse matrices, data frames, Arrow tables, .npz files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from schuss.data.files import File, translated
from schuss.data.parted import BATCH_ROWS, PartedSource, Pieces, assemble, projected, stamp, unique_columns
from schuss.data.source import Cursor
from schuss.errors import DataError

_ANCHORS = 64
_NO_FILE: Sequence[dict[str, object]] = ({"path": None, "size": None, "mtime_ns": None},)
_LARGEST_FEATURES = 2**31 - 1


def memory_source(data: Any, *, target: str | None = None) -> PartedSource:
    """Make a source of an array, a sparse matrix, a frame or table, or a tuple `(X, y)` or `(X, y, weights)`.

    Arrays and sparse matrices give the columns "x", "y" (the source's target) and "w" (its weight); frames keep theirs.
    Raises DataError where the shapes do not fit each other or the values are no numbers.
    """
    rows, labels, weights = _taken_apart(data)
    if _is_matrix(rows):
        return _matrix_source(rows, labels, weights, name="array", stamps=_NO_FILE)
    table = as_table(rows)
    marked = None
    if labels is not None:
        marked = _free_name(table, getattr(labels, "name", None) or target or "y")
        table = table.append_column(marked, _labels(labels, table.num_rows))
    weight = None
    if weights is not None:
        weight = _free_name(table, "w")
        table = table.append_column(weight, _weights(weights, table.num_rows))
    return table_source(table, name="table", target=marked, weight=weight)


def table_source(table: pa.Table, *, name: str, target: str | None = None, weight: str | None = None) -> PartedSource:
    """Make a source of an Arrow table."""
    unique_columns(table.schema.names, f"the {name}")
    if table.num_rows == 0:
        raise DataError(f"the {name} has no rows")

    def read(part: int, row: int, columns: Sequence[str] | None) -> Pieces:
        chosen = table if columns is None else table.select(list(columns))
        for batch in chosen.slice(row).to_batches(max_chunksize=BATCH_ROWS):
            yield row, batch
            row += batch.num_rows

    return _in_memory(name, table.schema, read, table.num_rows, target, weight, nbytes=table.get_total_buffer_size())


def npz_source(files: Sequence[File], *, name: str) -> PartedSource:
    """Make a source of one .npz file holding `X`, `y` and, where given, `w` or `sample_weight`.

    In place of `X` there may be the arrays that SciPy saves of a CSR matrix. Raises DataError where one is lacking.
    """
    if len(files) > 1:
        raise DataError(f"an .npz source is one file, got {len(files)}: {files[0].name}, {files[1].name}")
    file = files[0]
    arrays = _load_npz(file)
    weights = arrays.get("w", arrays.get("sample_weight"))
    if "X" in arrays:
        rows = arrays["X"]
    elif {"data", "indices", "indptr", "shape"} <= set(arrays):
        rows = _saved_csr(arrays, file.name)
    else:
        held = ", ".join(map(repr, arrays)) or "nothing"
        raise DataError(f"{file.name} must hold an array 'X', but holds only {held}")
    return _matrix_source(
        rows, arrays.get("y"), weights, name=name, stamps=[stamp(file)], part=file.name, nbytes=file.size
    )


def as_table(data: Any) -> pa.Table:
    """Turn a pandas or polars frame, or anything with `__arrow_c_stream__`, into an Arrow table; queries are run."""
    if _is_query(data):
        data = _answer(data)
    if isinstance(data, pa.Table):
        return data
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data])
    try:
        if _is_pandas(data) and hasattr(data, "columns"):
            unique_columns([str(name) for name in data.columns], "the table")
            return pa.Table.from_pandas(data, preserve_index=False).replace_schema_metadata(None)
        if hasattr(data, "__arrow_c_stream__"):
            return pa.table(data)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise DataError(f"the table cannot be read: {_reason(error)}") from error
    wanted = "a path, array, sparse matrix, data frame or Arrow table"
    raise DataError(f"a source must be {wanted}, got {_typename(data)}")


def _is_query(data: Any) -> bool:
    """Tell the lazy frames of polars and the relations of DuckDB, which are computed when they are read."""
    return type(data).__name__ in ("LazyFrame", "DuckDBPyRelation")


def _answer(query: Any) -> Any:
    """Run a query once, whatever it takes; raises DataError with the first line of what its library says."""
    try:
        return query.collect() if hasattr(query, "collect") else pa.table(query)
    except Exception as error:  # either library has dozens of kinds, and neither is imported to name them
        raise DataError(f"the query cannot be run: {_reason(error)}") from error


def _taken_apart(data: Any) -> tuple[Any, Any, Any]:
    """Split `(X, y)` and `(X, y, weights)`."""
    if not isinstance(data, tuple):
        return data, None, None
    if len(data) not in (2, 3):
        raise DataError(f"a tuple must be (X, y) or (X, y, weights), got {len(data)} items")
    return data[0], data[1], data[2] if len(data) == 3 else None


def _is_matrix(data: Any) -> bool:
    """Tell arrays and sparse matrices from tables; SciPy is not imported for it."""
    return isinstance(data, np.ndarray) or hasattr(data, "tocsr") or (isinstance(data, list) and bool(data))


def _matrix_source(
    rows: Any,
    labels: Any,
    weights: Any,
    *,
    name: str,
    stamps: Sequence[dict[str, object]],
    part: str | None = None,
    nbytes: int | None = None,
) -> PartedSource:
    """Make a source of a dense or sparse matrix with its labels and weights."""
    sparse = hasattr(rows, "tocsr")
    matrix: Any = _canonical_csr(rows) if sparse else _dense(rows)
    count, width = matrix.shape
    if count == 0 or width == 0:
        raise DataError(f"X must have rows and columns, got the shape {count} x {width}")
    fields = [_sparse_field(matrix) if sparse else pa.field("x", pa.list_(_arrow_float(matrix.dtype), width))]
    slice_of = _sparse_slice if sparse else _dense_slice
    fixed: dict[str, pa.Array] = {}
    if labels is not None:
        fixed["y"] = _labels(labels, count)
    if weights is not None:
        fixed["w"] = _weights(weights, count)
    fields += [pa.field(column, array.type) for column, array in fixed.items()]
    schema = pa.schema(fields, metadata={"schuss.width": str(width)})

    def read(part: int, row: int, columns: Sequence[str] | None) -> Pieces:
        wanted = projected(schema, columns)
        for start in range(row, count, BATCH_ROWS):
            stop = min(start + BATCH_ROWS, count)
            arrays = [
                fixed[field.name].slice(start, stop - start)
                if field.name in fixed
                else slice_of(matrix, start, stop, field.type)
                for field in wanted
            ]
            yield start, assemble(arrays, wanted, stop - start)

    held = (matrix.data, matrix.indices, matrix.indptr) if sparse else (matrix,)
    size = nbytes or sum(array.nbytes for array in held)
    target, weight = ("y" if "y" in fixed else None), ("w" if "w" in fixed else None)
    return _in_memory(name, schema, read, count, target, weight, nbytes=size, stamps=stamps, part=part)


def _in_memory(
    name: str,
    schema: pa.Schema,
    read: Any,
    rows: int,
    target: str | None,
    weight: str | None,
    *,
    nbytes: int,
    stamps: Sequence[dict[str, object]] = _NO_FILE,
    part: str | None = None,
) -> PartedSource:
    """Make a source of one part that can be entered anywhere; its anchors are spread evenly."""
    count = min(_ANCHORS, rows)
    return PartedSource(
        name=name,
        parts=[part or name],
        schema=schema,
        read=read,
        anchors=[Cursor(0, place * rows // count) for place in range(count)],
        target=target,
        weight=weight,
        rows=rows,
        nbytes=nbytes,
        stamps=stamps,
    )


def _dense(rows: Any) -> np.ndarray:
    """Require a two-dimensional array of numbers; values are converted later, a batch at a time."""
    try:
        array = np.ma.filled(np.ma.asarray(rows, float), np.nan) if np.ma.isMaskedArray(rows) else np.asarray(rows)
    except ValueError:
        raise DataError("X must be a two-dimensional array of numbers, got rows of different lengths") from None
    if array.ndim != 2:
        raise DataError(f"X must have two dimensions (rows, features), got {array.ndim}")
    if array.dtype.kind not in "biuf":
        raise DataError(f"X must hold numbers, got the type {array.dtype}")
    return array


def _arrow_float(dtype: np.dtype) -> pa.DataType:
    """Choose the float type that holds every value: float32 up to 16-bit integers, else float64."""
    exact = dtype.kind == "b" or dtype.itemsize <= (4 if dtype.kind == "f" else 2)
    return pa.float32() if exact else pa.float64()


def _dense_slice(matrix: np.ndarray, start: int, stop: int, kind: pa.DataType) -> pa.Array:
    """Give rows as lists of fixed size, without a copy where they are contiguous floats already."""
    rows = np.ascontiguousarray(matrix[start:stop], kind.value_type.to_pandas_dtype())
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), type=kind)


def _canonical_csr(matrix: Any) -> Any:
    """Give a sparse matrix as CSR with sorted and unique indices; the caller's is left as it is."""
    if matrix.dtype.kind not in "biuf":
        raise DataError(f"X must hold numbers, got the type {matrix.dtype}")
    if matrix.shape[1] > _LARGEST_FEATURES:
        raise DataError(f"X must have at most {_LARGEST_FEATURES:,} columns, got {matrix.shape[1]:,}")
    rows = matrix.tocsr()
    if not rows.has_canonical_format:
        rows = rows.copy()
        rows.sum_duplicates()
    return rows


def _sparse_field(matrix: Any) -> pa.Field:
    index = pa.int64() if matrix.indices.dtype.itemsize > 4 else pa.int32()
    entry = pa.struct([pa.field("index", index, nullable=False), pa.field("value", pa.float32(), nullable=False)])
    return pa.field("x", pa.list_(entry))


def _sparse_slice(matrix: Any, start: int, stop: int, kind: pa.DataType) -> pa.Array:
    """Give rows of a CSR matrix as lists of index and value; float32 values and the indices are not copied."""
    bounds = matrix.indptr[start : stop + 1]
    if int(bounds[-1]) - int(bounds[0]) > _LARGEST_FEATURES:
        raise DataError("X has more than 2^31 entries in 65,536 rows")
    entry = kind.value_type
    with np.errstate(over="ignore"):  # beyond float32 is infinite, which the encoder reports with its place
        values = matrix.data[bounds[0] : bounds[-1]].astype(np.float32, copy=False)
    indices = matrix.indices[bounds[0] : bounds[-1]].astype(entry.field("index").type.to_pandas_dtype(), copy=False)
    entries = pa.StructArray.from_arrays([pa.array(indices), pa.array(values)], fields=list(entry))
    return pa.ListArray.from_arrays(pa.array((bounds - bounds[0]).astype(np.int32)), entries, type=kind)


def _labels(labels: Any, rows: int) -> pa.Array:
    """Give labels as an Arrow array of one value a row."""
    return _one_a_row(labels, rows, "y")


def _weights(weights: Any, rows: int) -> pa.Array:
    """Give weights as float64, one a row."""
    array = _one_a_row(weights, rows, "weights")
    try:
        return array.cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise DataError(f"weights must be numbers, got {array.type}") from None


def _one_a_row(values: Any, rows: int, what: str) -> pa.Array:
    """Turn a list, array, series or Arrow array into an Arrow array with one value a row."""
    try:
        if isinstance(values, (pa.Array, pa.ChunkedArray)):
            array = values
        elif _is_pandas(values):
            array = pa.Array.from_pandas(values.squeeze(axis=1) if values.ndim == 2 else values)
        elif hasattr(values, "__arrow_c_stream__"):
            array = pa.chunked_array(values)
        elif isinstance(values, (list, tuple)):  # NumPy would turn a number among words into a word
            array = pa.array(values)
        else:
            array = pa.array(_flat(values, what), from_pandas=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, ValueError, TypeError) as error:
        raise DataError(f"{what} must hold values of one kind, one a row: {_reason(error)}") from None
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    if pa.types.is_nested(array.type):
        raise DataError(f"{what} must hold one plain value a row, got {array.type}")
    if len(array) != rows:
        raise DataError(f"X has {rows:,} rows but {what} has {len(array):,}")
    return array


def _flat(values: Any, what: str) -> np.ndarray:
    """Require one dimension, or a second one of length one; give it in the machine's byte order."""
    array = np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(f"{what} must have one dimension, got {array.ndim}")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _free_name(table: pa.Table, wanted: str) -> str:
    """Give `wanted`, or with underscores put behind it where the table has such a column already."""
    while wanted in table.schema.names:
        wanted += "_"
    return wanted


def _reason(error: Exception) -> str:
    """Join what Arrow says, for pandas in several pieces, without the last full stop."""
    lines = ", ".join(str(one) for one in error.args).splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def _is_pandas(data: Any) -> bool:
    return type(data).__module__.split(".")[0] == "pandas"


def _typename(data: Any) -> str:
    return f"{type(data).__module__}.{type(data).__qualname__}".removeprefix("builtins.")


def _load_npz(file: File) -> dict[str, np.ndarray]:
    """Load the arrays of an .npz file; those that would run code on loading are refused."""
    with translated(file.name), file.filesystem.open_input_file(file.path) as raw:
        if raw.read(2) != b"PK":
            raise DataError(f"{file.name} is not an .npz file: its first bytes are not those of a zip archive")
        raw.seek(0)
        try:
            with np.load(raw, allow_pickle=False) as archive:
                return {key: archive[key] for key in archive.files}
        except Exception as error:  # NumPy and zipfile raise a dozen kinds on damaged files
            if "allow_pickle" in str(error):
                raise DataError(
                    f"{file.name} holds an array of Python objects, which cannot be loaded safely: "
                    "save numbers or fixed-length strings"
                ) from error
            raise DataError(f"{file.name} is damaged or cut off: {_reason(error)}") from error


def _saved_csr(arrays: dict[str, np.ndarray], name: str) -> Any:
    """Put the arrays that `scipy.sparse.save_npz` wrote back together."""
    import scipy.sparse

    saved = arrays.get("format")
    if saved is not None and saved.item() not in (b"csr", "csr"):
        raise DataError(f"{name} holds a sparse matrix of format {saved.item()!r}: save it as CSR")
    try:
        matrix = scipy.sparse.csr_array(
            (arrays["data"], arrays["indices"], arrays["indptr"]), shape=tuple(arrays["shape"])
        )
        matrix.check_format(full_check=True)
    except (ValueError, IndexError) as error:
        raise DataError(f"{name} holds a sparse matrix that is not valid: {error}") from error
    return matrix
