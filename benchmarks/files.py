"""Whether training is limited by reading: schuss on files beside a bare scan of them and beside its peers.

The data are made in a temporary folder, which is removed: numbers as Parquet, in float32 and float64, and as CSV; a
table of numbers, categories and text; svmlight. Each contender is a process of its own, held to as many cores as it may
use; all take turns, several rounds, and a ratio is the median of the rounds' ratios. The scan is the least that anyone
who wants rows must do: pyarrow decodes the columns, NumPy writes them as row-major float32.

    python benchmarks/files.py                            20 M rows of Parquet, 2 M of the others; half an hour, 10 GB
    python benchmarks/files.py --rows 1000000 --text-rows 200000 --rounds 1 --only parquet --only csv
    python benchmarks/files.py --folder /big/disk --write     keep the table in RESULTS.md
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import results

TITLE = "files.py: training at the speed of reading"
FEATURES, GROUP_ROWS, BLOCK = 28, 262_144, 8192
SETS = ("parquet", "parquet float64", "csv", "mixed", "svmlight")


class Measured(NamedTuple):
    """One run of a contender: seconds of its work, of the whole process and of the processors, most memory in bytes."""

    seconds: float
    whole: float
    processor: float
    memory: int


class Contender(NamedTuple):
    """Who reads, with the arguments of its process; it prints a JSON object with `seconds`, or nothing."""

    name: str
    arguments: list[str]


# The data


def number_tables(rows: int, kind: type = np.float32) -> Iterator[pa.Table]:
    """Give 28 numbers and a target of two classes, by half a million rows."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=FEATURES).astype(np.float32)
    for start in range(0, rows, 500_000):
        x = rng.standard_normal((min(500_000, rows - start), FEATURES), np.float32)
        y = (x @ weights + 3 * rng.standard_normal(len(x), np.float32) > 0).astype(np.int8)
        yield pa.table({**{f"x{j}": x[:, j].astype(kind) for j in range(FEATURES)}, "y": y})


def mixed_tables(rows: int) -> Iterator[pa.Table]:
    """Give numbers with gaps, categories of 10 to a million values, a text of some words, and a target."""
    rng = np.random.default_rng(1)
    words = np.array([f"word{i}" for i in range(5000)])
    for start in range(0, rows, 100_000):
        count = min(100_000, rows - start)
        x = rng.normal(size=(count, 6)).astype(np.float32)
        codes = {size: (size * rng.random(count) ** 3).astype(int) for size in (10, 1000, 100_000, 1_000_000)}
        picked = words[(5000 * rng.random((count, 8)) ** 3).astype(int)]
        yield pa.table(
            {f"x{j}": pa.array(x[:, j], mask=rng.random(count) < 0.05) for j in range(6)}
            | {f"c{size}": pa.array([f"v{code}" for code in code_list.tolist()]) for size, code_list in codes.items()}
            | {"text": [" ".join(line) for line in picked.tolist()], "y": (x[:, 0] + (codes[10] > 3) > 0.5)}
        )


def write_parquet(path: Path, tables: Iterator[pa.Table]) -> None:
    first = next(tables)
    with pq.ParquetWriter(path, first.schema) as writer:
        for table in chain([first], tables):
            writer.write_table(table, row_group_size=GROUP_ROWS)


def write_csv(path: Path, tables: Iterator[pa.Table]) -> None:
    first = next(tables)
    with pacsv.CSVWriter(path, first.schema) as writer:
        for table in chain([first], tables):
            writer.write_table(table)


def write_lines(path: Path, tables: Iterator[pa.Table], line: Callable[[int, list[float]], str]) -> None:
    """Write text, a line for each row, made of its label (0 or 1) and its numbers."""
    with path.open("w") as file:
        for table in tables:
            columns = [column.to_numpy() for column in table.columns]
            rows = np.column_stack(columns[:-1]).tolist()
            file.writelines(line(label, row) for label, row in zip(columns[-1].tolist(), rows, strict=True))


def svmlight_line(label: int, row: list[float]) -> str:
    return f"{label} " + " ".join(f"{j}:{x:.9g}" for j, x in enumerate(row, 1)) + "\n"


def vw_line(label: int, row: list[float]) -> str:
    return f"{2 * label - 1} | " + " ".join(f"{j}:{x:.9g}" for j, x in enumerate(row)) + "\n"


# The peers, each run as `python files.py --as NAME FILE THREADS`


def batches(path: str, threads: int) -> Iterator[pa.RecordBatch]:
    """Read a file with pyarrow's scanner."""
    pa.set_cpu_count(threads)
    kind = "csv" if path.endswith(".csv") else "parquet"
    yield from ds.dataset(path, format=kind).to_batches(batch_size=65_536, use_threads=threads > 1)


def dense_blocks(batch: pa.RecordBatch, out: np.ndarray) -> Iterator[np.ndarray]:
    """Write the numbers of a batch as row-major float32, in blocks of rows that stay in the cache."""
    columns = [batch.column(j) for j in range(FEATURES)]
    for start in range(0, batch.num_rows, BLOCK):
        rows = out[: min(BLOCK, batch.num_rows - start)]
        for j, column in enumerate(columns):
            rows[:, j] = column.slice(start, len(rows)).to_numpy()
        yield rows


def scan(path: str, threads: int) -> int:
    """Decode a file, and where it holds nothing but numbers make row-major float32 of them."""
    out, count = np.empty((BLOCK, FEATURES), np.float32), 0
    for batch in batches(path, threads):
        count += batch.num_rows
        if batch.num_columns == FEATURES + 1:
            for _ in dense_blocks(batch, out):
                pass
    return count


def scan_row_groups(path: str, threads: int) -> int:
    """Do the same with whole row groups, the fastest way that pyarrow has."""
    pa.set_cpu_count(threads)
    out, count = np.empty((BLOCK, FEATURES), np.float32), 0
    file = pq.ParquetFile(path)
    for group in range(file.num_row_groups):
        for batch in file.read_row_group(group, use_threads=threads > 1).to_batches():
            count += batch.num_rows
            for _ in dense_blocks(batch, out):
                pass
    return count


def partial_fit(path: str, threads: int) -> int:
    """Train scikit-learn's SGDClassifier, one run, on the batches of the scan."""
    from sklearn.linear_model import SGDClassifier

    model, out, count = SGDClassifier(loss="log_loss"), np.empty((BLOCK, FEATURES), np.float32), 0
    for batch in batches(path, threads):
        y = batch.column(FEATURES).to_numpy(zero_copy_only=False)
        for place, rows in enumerate(dense_blocks(batch, out)):
            model.partial_fit(rows, y[place * BLOCK : place * BLOCK + len(rows)], classes=[0, 1])
        count += batch.num_rows
    return count


PEERS = {"scan": scan, "scan-row-groups": scan_row_groups, "partial-fit": partial_fit}


def run_peer(name: str, path: str, threads: str) -> None:
    """Run a peer in this process and print what it took."""
    begun = time.perf_counter()
    rows = PEERS[name](path, int(threads))
    print(json.dumps({"rows": rows, "seconds": time.perf_counter() - begun}))


# The measurement


def contenders(data: str, path: Path, folder: Path, threads: int) -> list[Contender]:
    """List who takes turns on a set of data; the first one is the limit, where there is one."""
    peer = [str(Path(__file__).resolve()), "--as"]
    run = str(folder / f"run-{data.replace(' ', '-')}")
    train = ["-m", "schuss", "train", str(path), "--epochs", "1", "--runs", "16", "--threads", str(threads)]
    train += [] if data == "svmlight" else ["--target", "y"]
    listed = []
    if data != "svmlight":
        listed.append(Contender("bare scan", [*peer, "scan", str(path), str(threads)]))
    if data == "parquet":
        listed.append(Contender("bare scan, row groups", [*peer, "scan-row-groups", str(path), str(threads)]))
    listed.append(Contender("schuss train, 16 runs", [*train, "--out", run, "--force", "--json", "--quiet"]))
    out = str(folder / f"predictions{'.csv' if data == 'csv' else '.parquet'}")
    listed.append(Contender("schuss predict", ["-m", "schuss", "predict", run, str(path), "--out", out]))
    if data in ("parquet", "csv"):
        listed.append(Contender("scikit-learn partial_fit", [*peer, "partial-fit", str(path), str(threads)]))
    if data == "csv" and importlib.util.find_spec("vowpalwabbit"):
        vw = ["-m", "vowpalwabbit", "--quiet", "--loss_function", "logistic", "-d", str(folder / "numbers.vw"), "-c"]
        listed += [Contender("Vowpal Wabbit, text", [*vw, "-k"]), Contender("Vowpal Wabbit, cache", vw)]
    return listed


def measure(contender: Contender, threads: int) -> Measured:
    """Run a contender on as many cores as it has threads; raises RuntimeError where it fails."""
    cores = sorted(os.sched_getaffinity(0))[:threads]
    # Where Python may not keep what it compiles, a package that is installed in place is compiled by every process.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    begun = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, *contender.arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
        env=kept | {"OMP_NUM_THREADS": str(threads)},
        text=True,
    )
    assert child.stdout is not None
    assert child.stderr is not None
    printed = child.stdout.read()
    complaint = child.stderr.read()
    _, status, used = os.wait4(child.pid, 0)
    whole = time.perf_counter() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{contender.name}: {complaint.strip().splitlines()[-1:]}")
    said = json.loads(printed) if printed.startswith("{") else {}
    return Measured(said.get("seconds", whole), whole, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


def take_turns(listed: list[Contender], threads: int, rounds: int) -> dict[str, list[Measured]]:
    """Let every contender run once in every round."""
    found: dict[str, list[Measured]] = {contender.name: [] for contender in listed}
    for number in range(rounds):
        for contender in listed:
            took = measure(contender, threads)
            found[contender.name].append(took)
            say(f"{threads} threads, round {number + 1}, {contender.name}: {took.whole:.2f} s")
    return found


def rows_of_table(data: str, rows: int, threads: int, found: dict[str, list[Measured]]) -> list[list[str]]:
    """Write a line for each contender."""
    limit = next(iter(found.values()))
    lines = []
    for name, runs in found.items():
        whole = statistics.median(run.whole for run in runs)
        inside, outside, worked = (
            statistics.median(getattr(one, what) / getattr(other, what) for one, other in zip(runs, limit, strict=True))
            for what in ("seconds", "whole", "processor")
        )
        processor = statistics.median(run.processor for run in runs)
        memory = max(run.memory for run in runs) / 2**20
        cells = [f"{whole:.2f}", f"{whole / rows * 1e9:.0f}", f"{inside:.2f}", f"{outside:.2f}"]
        cells += [f"{processor:.2f}", f"{worked:.2f}", f"{memory:.0f}"]
        lines.append([data, str(threads), name, *cells])
    return lines


def make(data: str, folder: Path, rows: int) -> Path:
    """Write a set of data and give its path."""
    path = folder / {"csv": "numbers.csv", "svmlight": "numbers.svmlight"}.get(
        data, f"{data.replace(' ', '-')}.parquet"
    )
    if data == "csv":
        write_csv(path, number_tables(rows))
        write_lines(folder / "numbers.vw", number_tables(rows), vw_line)
    elif data == "svmlight":
        write_lines(path, number_tables(rows), svmlight_line)
    elif data == "mixed":
        write_parquet(path, mixed_tables(rows))
    else:
        write_parquet(path, number_tables(rows, np.float64 if data.endswith("float64") else np.float32))
    return path


def page(lines: list[list[str]], command: str) -> str:
    """Write the section of RESULTS.md."""
    head = ["data", "threads", "", "s", "ns a row", "× limit, work", "× limit, process"]
    head += ["processor s", "× limit, processor", "peak MiB"]
    table = "\n".join(f"|{'|'.join(cells)}|" for cells in [head, ["-"] * len(head), *lines])
    versions = results.packages()
    return f"""
`{command}`

{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}; {results.machine()}; {versions}.

{table}

The limit is the first line of each group. Seconds and rows are those of the whole process, kernels compiled before;
"work" compares what is left without starting Python and importing, "processor" what all threads together took of the
processors, which other processes on the machine disturb least. schuss trains 16 runs, the others one.
"""


def say(line: str) -> None:
    """Tell on stderr what is being done."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000_000, help="of Parquet")
    parser.add_argument("--text-rows", type=int, default=2_000_000, help="of all other sets")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, action="append", help="1 and 2 if not given")
    parser.add_argument("--only", action="append", choices=SETS)
    parser.add_argument("--folder", help="where the temporary folder is made")
    parser.add_argument("--write", action="store_true", help="keep the table in RESULTS.md")
    return parser.parse_args()


def main() -> None:
    """Make the data, let the contenders take turns, print the table."""
    options = parse()
    lines: list[list[str]] = []
    for data in options.only or SETS:
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            folder = Path(name)
            rows = {"parquet": options.rows, "parquet float64": options.rows // 4}.get(data, options.text_rows)
            say(f"{data}: making {rows:,} rows")
            path = make(data, folder, rows)
            for threads in options.threads or [1, 2]:
                listed = contenders(data, path, folder, threads)
                measure(next(one for one in listed if one.name.startswith("schuss train")), threads)  # compiles
                lines += rows_of_table(data, rows, threads, take_turns(listed, threads, options.rounds))
    text = page(lines, results.command())
    print(text)
    if options.write:
        results.write_section(TITLE, text)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as"]:
        run_peer(*sys.argv[2:])
    else:
        main()
