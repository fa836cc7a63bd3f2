"""Train and predict on a large file within a limit of memory, again and again for so long.

    python benchmarks/load.py FOLDER ROWS LIMIT_MIB [--minutes 60] [--address-space]

Writes a Parquet file of ROWS rows (28 float32 columns and a target, 113 bytes a row; 177,000,000 are 20 GB), then
trains for one epoch and predicts all rows, in processes of their own, until the minutes are over; without them once.
Prints seconds, peak of resident memory and SHA-256 of what came out of each. The exit code is 1 when one failed, had
more resident memory than the limit, or left other bytes than the first of its kind.

The limit is set on the data segment (RLIMIT_DATA: heap and anonymous maps); with --address-space on everything that is
mapped (RLIMIT_AS, `ulimit -v`), libraries too, and with one thread, as each thread reserves much that it never touches.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

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


class Limit(NamedTuple):
    """How much memory, and of which kind."""

    mebibytes: int
    address_space: bool

    def set(self) -> None:
        """Limit this process."""
        size = self.mebibytes << 20
        resource.setrlimit(resource.RLIMIT_AS if self.address_space else resource.RLIMIT_DATA, (size, size))

    @property
    def environment(self) -> dict[str, str]:
        """What keeps libraries from reserving address space: Arrow's pool takes a gibibyte, OpenBLAS 32 MB a thread."""
        few = {"ARROW_DEFAULT_MEMORY_POOL": "system", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        return {**os.environ, **(few if self.address_space else {})}


def limited(command: list[str], limit: Limit, result: Path) -> str | None:
    """Run a command under the limit, print what it took, and give the SHA-256 of its result; None where it failed."""
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "schuss", *command],
        preexec_fn=limit.set,
        env=limit.environment,
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    code, peak = os.waitstatus_to_exitcode(status), usage.ru_maxrss >> 10
    good = code == 0 and peak <= limit.mebibytes
    digest = digest_of(result) if good else None
    seconds, used = time.monotonic() - started, usage.ru_utime + usage.ru_stime
    said = f"exit code {code}, {seconds:.0f} s, {used:.0f} s of processor time, {peak} MiB resident at most"
    print(f"{command[0]}: {said}, SHA-256 {digest}", flush=True)
    return digest


def digest_of(path: Path) -> str:
    """Give the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> int:
    """Write the file, then train and predict until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("rows", type=int)
    parser.add_argument("mebibytes", type=int)
    parser.add_argument("--minutes", type=float, default=0.0, help="how long; the round that is under way is ended")
    parser.add_argument("--address-space", action="store_true", help="limit all that is mapped")
    options = parser.parse_args()
    path, run, predictions = (options.folder / name for name in ("load.parquet", "run", "predictions.parquet"))
    write(path, options.rows)
    limit = Limit(options.mebibytes, options.address_space)
    print(f"{options.rows:,} rows, {path.stat().st_size / 1e9:.2f} GB, limit {limit.mebibytes} MiB", flush=True)
    how = ["--cache", "off", "--epochs", "1", "--force", "--quiet"]
    how += ["--threads", "1"] if limit.address_space else []
    started, first, rounds = time.monotonic(), None, 0
    while not rounds or time.monotonic() - started < 60 * options.minutes:
        train = ["train", str(path), "--target", "y", "--out", str(run), *how]
        predict = ["predict", str(run), str(path), "--out", str(predictions)]
        digests = limited(train, limit, run / "model.safetensors"), limited(predict, limit, predictions)
        first, rounds = first or digests, rounds + 1
        if None in digests or digests != first:
            return 1
    minutes = (time.monotonic() - started) / 60
    print(f"{rounds} rounds in {minutes:.1f} minutes, every one with the same bytes", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
