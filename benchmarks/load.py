"""Train and predict on a large file within a limit of memory.

    python benchmarks/load.py FOLDER ROWS LIMIT_MIB TIME_LIMIT

Writes a Parquet file of ROWS rows (28 float32 columns and a target, 113 bytes a row), trains for at most TIME_LIMIT and
predicts in processes whose data segment (RLIMIT_DATA: heap and anonymous maps) is limited, and prints the peaks.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

COLUMNS, GROUP = 28, 1 << 17


def write(path: Path, rows: int) -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=COLUMNS).astype(np.float32)
    writer = None
    for start in range(0, rows, GROUP):
        X = rng.standard_normal((min(GROUP, rows - start), COLUMNS), np.float32)
        table = pa.table({f"x{j}": X[:, j] for j in range(COLUMNS)} | {"y": X @ truth + rng.normal(size=len(X)) > 0})
        writer = writer or pq.ParquetWriter(path, table.schema, compression="none", use_dictionary=False)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def limited(command: list[str], mebibytes: int) -> None:
    """Run a command under the limit; print its exit code, time and peak."""
    limit = mebibytes << 20
    started = time.monotonic()
    code = subprocess.run(
        [sys.executable, "-m", "schuss", *command],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
        stdout=subprocess.DEVNULL,
        check=False,
    ).returncode
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
    print(f"{command[0]}: exit code {code}, {time.monotonic() - started:.0f} s, {peak} MiB at most", flush=True)


def main() -> None:
    folder, rows, mebibytes = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    path = folder / "load.parquet"
    write(path, rows)
    print(f"{rows:,} rows, {path.stat().st_size / 1e9:.2f} GB, limit {mebibytes} MiB", flush=True)
    options = ["--target", "y", "--cache", "off", "--time-limit", sys.argv[4], "--force", "--quiet"]
    limited(["train", str(path), "--out", str(folder / "run"), *options], mebibytes)
    limited(["predict", str(folder / "run"), str(path), "--out", str(folder / "predictions.parquet")], mebibytes)


if __name__ == "__main__":
    main()
