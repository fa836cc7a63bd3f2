"""Writing predictions batch by batch: CSV to standard output, CSV or Parquet to a file."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from ..data.columns.compute import pc
from ..data.shuffle import ahead
from ..errors import OptionError
from ..files import refuse_address, replacing

Batches = Iterable[pa.RecordBatch]

# Batches that are predicted while one is written.
_AHEAD = 2


def writer(out: str | None, *, reads: Sequence[str] = ()) -> Callable[[Batches], None]:
    """Choose how predictions are written, before anything is read.

    Parameters
    ----------
    out : a file name ending in .csv or .parquet, which is replaced only when all rows are written; None for standard
        output.
    reads : files that are read meanwhile, which `out` must not replace.

    Raises
    ------
    OptionError
        When the name ends in something else, or is that of a file that is read.
    """
    if out is None:
        return lambda batches: write_csv(ahead(iter(batches), _AHEAD), sys.stdout.buffer)
    formats = {".csv": write_csv, ".parquet": write_parquet}
    write = formats.get(Path(out).suffix.lower())
    if write is None:
        raise OptionError(f"option '--out': '{out}' does not end in {' or '.join(formats)}")
    refuse_what_is_read(out, reads)

    def write_file(batches: Batches) -> None:
        with replacing(out) as file:
            write(ahead(iter(batches), _AHEAD), file)

    return write_file


def refuse_what_is_read(out: str, reads: Sequence[str]) -> None:
    """Raise OptionError where `out` is one of the files that are read, and OutputError where it is an address."""
    refuse_address(out)
    if any(Path(place).exists() and Path(out).exists() and Path(out).samefile(place) for place in reads):
        raise OptionError(f"option '--out': '{out}' is read, so it cannot be written")


def write_csv(batches: Batches, file: BinaryIO) -> None:
    r"""Write batches as CSV with a header, quoting only the values that need it.

    >>> import io, pyarrow as pa
    >>> file = io.BytesIO()
    >>> write_csv([pa.record_batch({"prediction": ["yes", "no, thanks"]})], file)
    >>> file.getvalue()
    b'prediction\nyes\n"no, thanks"\n'
    """
    for index, batch in enumerate(batches):
        if index == 0:
            file.write(_header(batch.schema.names))
        file.write(_csv(batch))


def write_parquet(batches: Batches, file: BinaryIO) -> None:
    """Write batches as one Parquet file."""
    writer = None
    try:
        for batch in batches:
            # A dictionary of numbers that never come twice cost 59 ns a row to build and give up, not 14.
            words = [field.name for field in batch.schema if not pa.types.is_floating(field.type)]
            writer = writer or pq.ParquetWriter(file, batch.schema, use_dictionary=words)  # pyright: ignore
            writer.write_batch(batch)
    finally:
        if writer is not None:
            writer.close()


def _header(names: list[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(names)
    return line.getvalue().encode()


def _csv(batch: pa.RecordBatch) -> bytes:
    """Give the lines of one batch; Arrow's own writer would put quotes around every string."""
    fields = [_text(column) for column in batch.columns]
    lines = pc.binary_join_element_wise(*fields, ",", null_handling="replace", null_replacement="")
    text = pc.binary_join(pa.LargeListArray.from_arrays([0, len(lines)], lines), "\n")[0]
    return text.as_buffer().to_pybytes() + b"\n" if batch.num_rows else b""


def _text(values: pa.Array) -> pa.StringArray:
    """Give values as text, with quotes around those that hold a comma, a quote or a line break."""
    if pa.types.is_dictionary(values.type):
        return _text(values.dictionary).take(values.indices)
    texts = values.cast(pa.string())
    if not pa.types.is_string(values.type):
        return texts
    quoted = pc.binary_join_element_wise('"', pc.replace_substring(texts, '"', '""'), '"', "")
    return pc.if_else(pc.match_substring_regex(texts, '[",\r\n]'), quoted, texts)
