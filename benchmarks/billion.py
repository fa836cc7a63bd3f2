"""Whether memory stays flat and speed the same up to a billion rows: without a file, and from one as large as fits.

Each size is a training of its own process: 16 runs, one epoch, every other setting at its default. Rows are ten
float32 columns and two classes, taken from a pool of 262,144 rows at places that a counter-based hash chooses, 65,536
in a row, so that making them costs next to nothing; the time of only making (or scanning) them stands beside.

    python benchmarks/billion.py                                  10^6 to 10^9 rows without a file, then a Parquet file
    python benchmarks/billion.py --rows 1e6 1e7 --file-gb 1       a quick look
    python benchmarks/billion.py --write                          also into RESULTS.md

The file goes to --folder, takes at most --file-gb and leaves 25 GB of the disk free, and is removed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import results

TITLE = "billion.py: speed and memory up to a billion rows"
COLUMNS, BATCH, POOL = 10, 65_536, 1 << 18
ROW_BYTES = 4 * COLUMNS + 1
LEFT_FREE = 25e9
GROUP = 1 << 20


def pool() -> pa.RecordBatch:
    """Make the rows from which all others are taken: a linear model with noise, and a tenth of the labels at random."""
    rng = np.random.default_rng(0)
    columns = [rng.standard_normal(POOL + BATCH, np.float32) for _ in range(COLUMNS)]
    score = sum((0.5 - place / COLUMNS) * column for place, column in enumerate(columns))
    label = np.where(rng.random(POOL + BATCH) < 0.1, rng.random(POOL + BATCH) < 0.5, score > 0)
    return pa.record_batch([*map(pa.array, columns), pa.array(label)], [*(f"x{i}" for i in range(COLUMNS)), "y"])


def batches(rows: int) -> Iterator[pa.RecordBatch]:
    """Yield so many rows: slices of the pool that copy nothing, each from another place."""
    whole = pool()
    for number, start in enumerate(range(0, rows, BATCH)):
        place = (number * 0x9E3779B97F4A7C15 % 2**64) >> 46  # Knuth's multiplicative hash, 18 bits of it
        yield whole.slice(place, min(BATCH, rows - start))


def stream(rows: int) -> pa.RecordBatchReader:
    """Give the rows as a stream, which can be read once."""
    return pa.RecordBatchReader.from_batches(pool().schema, batches(rows))


def write(path: Path, rows: int) -> None:
    """Write the rows to a Parquet file without compression, in row groups of 2^20."""
    with pq.ParquetWriter(path, pool().schema, compression="none", use_dictionary=False) as out:
        group: list[pa.RecordBatch] = []
        for number, batch in enumerate(batches(rows), 1):
            group.append(batch)
            if number * BATCH % GROUP == 0 or number * BATCH >= rows:
                out.write_table(pa.Table.from_batches(group), row_group_size=GROUP)
                group = []


def train_once(place: str, rows: int) -> dict[str, Any]:
    """Train on a stream (place "") or a file, in this process; the memory is the most it has had."""
    import schuss

    begun = time.perf_counter()
    summary = schuss.train(place or stream(rows), target="y", runs=16, epochs=1).summary
    seconds = time.perf_counter() - begun
    peak = summary["peak_memory_bytes"]
    return {
        "seconds": seconds,
        "peak": peak,
        "loss": summary["holdout"]["loss"],
        "held_out": summary["holdout"]["rows"],
    }


def read_once(place: str, rows: int) -> float:
    """Make or scan all rows, and nothing else; give the seconds."""
    begun = time.perf_counter()
    count = 0
    # Arrow would keep what it has read ahead until the end: 24 GB of a file of 29.
    file = pq.ParquetFile(place, pre_buffer=False) if place else None
    for batch in file.iter_batches(BATCH) if file else stream(rows):
        count += batch.num_rows
    assert count == rows
    return time.perf_counter() - begun


def measure(place: str, rows: int) -> list[str]:
    """Measure one size in a new process; give a line of the table."""
    command = [sys.executable, __file__, "--one", place, str(rows)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout)
    alone = read_once(place, rows)
    seconds = found["seconds"]
    return [
        "Parquet" if place else "no file", f"{rows:,}", f"{seconds:.1f}", f"{rows / seconds / 1e6:.2f}",
        f"{seconds / rows * 1e9:.0f}", f"{alone / rows * 1e9:.1f}", f"{found['peak'] / 2**20:.0f}",
        f"{found['held_out']:,}", f"{found['loss']:.4f}",
    ]  # fmt: skip


def table(lines: list[list[str]]) -> str:
    """Write the lines as a table."""
    head = ["rows from", "rows", "s", "million rows/s", "ns a row", "reading alone, ns a row", "peak MiB",
            "rows that score", "log loss"]  # fmt: skip
    return "\n".join("|" + "|".join(line) + "|" for line in [head, ["-"] * len(head), *lines])


def file_rows(folder: Path, limit: float) -> int:
    """Give the rows of a file of at most so many bytes that leaves 25 GB of the disk free, whole row groups."""
    room = min(limit, shutil.disk_usage(folder).free - LEFT_FREE)
    return max(int(room / (1.02 * ROW_BYTES)) // GROUP, 0) * GROUP


def main() -> None:
    """Measure every size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, nargs="*", default=[1e6, 1e7, 1e8, 1e9])
    parser.add_argument("--file-gb", type=float, default=30.0, help="0 for none")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--write", action="store_true", help="keep the table in RESULTS.md")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(train_once(options.one[0], int(options.one[1]))))
        return
    lines = []
    measure("", 200_000)  # compiles what is not compiled yet
    for rows in options.rows:
        lines.append(measure("", int(rows)))
        print(table(lines[-1:]).splitlines()[-1], flush=True)
    rows = file_rows(options.folder, options.file_gb * 1e9)
    if rows:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            path = Path(folder) / "rows.parquet"
            write(path, rows)
            lines.append([f"{cell} ({path.stat().st_size / 1e9:.1f} GB)" if cell == "Parquet" else cell
                          for cell in measure(str(path), rows)])  # fmt: skip
    print(table(lines))
    if options.write:
        versions = results.packages()
        command = "`python benchmarks/billion.py`"
        facts = f"{datetime.date.today()}; {results.machine()}; {versions}."
        results.write_section(TITLE, f"{command}\n\n{facts}\n\n{table(lines)}")


if __name__ == "__main__":
    main()
