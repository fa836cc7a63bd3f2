"""Whether a training that is killed again and again ends in the bytes of one that nobody disturbed.

Tables in every format are made in a temporary folder. Each is trained on once undisturbed; then again and again, killed
by SIGKILL at random moments and resumed, until it is done: the model must be the same to the last byte. Half of the
trainings keep their rows in memory, half stream them. Half of the kills (of networks all, which start for seconds) come
after the next checkpoint, else a small table is mostly killed before there is any. Every attempt is a process of its
own, forked from one that has imported schuss and nothing else.

    python benchmarks/kills.py                       1,000 kills, a table on standard output; a quarter of an hour
    python benchmarks/kills.py --kills 100 --seed 7 --write    also into RESULTS.md

The exit code is 1 when a model differs, or an attempt ends in anything but a kill or success.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.feather as feather
import pyarrow.parquet as pq
import results

from schuss.cli.main import main as schuss
from schuss.data import shuffle
from schuss.training import reading

TITLE = "kills.py: killed at random moments, resumed, compared"
ROWS = 6_000
FORMATS = ("parquet", "folder", "csv", "csv.gz", "jsonl", "arrow", "svm", "npz")
NETWORK = "network"
"""Parquet again, learned by a small network; only on request: each process imports PyTorch, which takes seconds."""

EVERY = "0.05s"
BEYOND = 1.1
"""A kill comes at the latest after so many times as long as an undisturbed training takes: some come to an end."""

LATER, SOONER = 1.05, 0.7
"""The next kill may come so much later; sooner where a training was not met by any."""


class Kind(NamedTuple):
    """What is trained on, and whether its rows are streamed."""

    form: str
    streamed: bool

    @property
    def name(self) -> str:
        """The name in the table."""
        return f"{self.form}, {'streamed' if self.streamed else 'in memory'}"


class Usual(NamedTuple):
    """What an undisturbed training comes to: the model, how long it takes, and that from its first checkpoint on."""

    model: bytes
    seconds: float
    rest: float


class Tally(NamedTuple):
    """What came of a kind: kills, so many of them before the first checkpoint, trainings done, models that differ."""

    kills: int = 0
    before: int = 0
    done: int = 0
    differed: int = 0


def make_data(folder: Path) -> None:
    """Write the same table in every format."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, 8)).round(4)
    y = (X @ rng.normal(size=8) + rng.normal(size=ROWS) > 0).astype(int)
    shop = rng.choice([f"s{i}" for i in range(40)], ROWS)
    table = pa.table({f"x{i}": X[:, i] for i in range(8)} | {"shop": shop, "y": y})
    pq.write_table(table, folder / "t.parquet", row_group_size=1_000)
    (folder / "t.folder").mkdir()
    for number in range(4):
        pq.write_table(table.slice(number * 1_500, 1_500), folder / "t.folder" / f"part-{number}.parquet")
    plain = pacsv.WriteOptions(quoting_style="none")  # without quotes it is read by lines, and entered in its midst
    pacsv.write_csv(table, folder / "t.csv", plain)
    with pa.CompressedOutputStream(str(folder / "t.csv.gz"), "gzip") as packed:
        pacsv.write_csv(table, packed)
    with (folder / "t.jsonl").open("w") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in table.to_pylist())
    feather.write_feather(table, str(folder / "t.arrow"), chunksize=1_500)
    with (folder / "t.svm").open("w") as lines:
        for label, row in zip(y, X, strict=True):
            lines.write(f"{label} " + " ".join(f"{i + 1}:{value}" for i, value in enumerate(row)) + "\n")
    np.savez(folder / "t.npz", X=X, y=y)


def stream() -> None:
    """Let few rows be many."""
    reading.ROWS_MEMORY = 1 << 16
    shuffle.CHUNK_ROWS, shuffle.BUFFER_ROWS = 128, 2048


def forked(work: Callable[[], int], log: Path) -> int:
    """Start a process of its own, which writes what it says into a file."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(out, 1)
        os.dup2(out, 2)
        code = work()
    finally:
        os._exit(code)


def train(kind: Kind, data: Path) -> int:
    """Begin a training."""
    if kind.streamed:
        stream()
    target = [] if kind.form in ("svm", "npz") else ["--target", "y"]
    network = ["--network", "8"] if kind.form == NETWORK else []
    # Networks learn long until more does not help; the others in memory are finished by full passes.
    epochs = ["--epochs", "60" if network else "4"] if kind.streamed or network else []
    place = str(data / f"t.{'parquet' if network else kind.form}")
    output = ["--out", "run", "--checkpoint-every", EVERY, "--quiet"]
    return schuss(["train", place, *target, *epochs, "--runs", "4", *network, *output])


def resume(kind: Kind) -> int:
    """Go on with a training, or begin it anew."""
    if kind.streamed:
        stream()
    return schuss(["resume", "run", "--quiet"])


def checkpoints() -> set[str]:
    """Name those that there are; the folder goes when its training ends, perhaps as it is looked at."""
    try:
        return {path.name for path in Path("run", "checkpoint").iterdir() if path.match("[0-9]*.safetensors")}
    except FileNotFoundError:
        return set()


def wait_for_checkpoint(process: int) -> None:
    """Wait until a process has written one, or is over."""
    before = checkpoints()
    while checkpoints() <= before and os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        time.sleep(0.002)


def wait(process: int) -> int:
    """Wait for a process; a negative code is that of a signal."""
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status)


def disturbed(kind: Kind, data: Path, usual: Usual, rng: np.random.Generator, log: Path) -> Tally:
    """Train to the end in spite of all kills."""
    tally, begun, slower = Tally(), False, BEYOND
    while True:
        slower *= LATER  # on a busy machine it would never come to its end
        process = forked((lambda: resume(kind)) if begun else (lambda: train(kind, data)), log)
        waits = kind.form == NETWORK or rng.random() < 0.5
        if waits:
            wait_for_checkpoint(process)
        time.sleep(rng.uniform(0.0, slower * (usual.rest if waits else usual.seconds)))
        os.kill(process, signal.SIGKILL)
        code = wait(process)
        if code == 0:
            break
        if code != -signal.SIGKILL:
            raise SystemExit(f"{kind.name}: exit code {code}\n{log.read_text()[-4000:]}")
        begun = Path("run").exists() and any(Path("run").iterdir())
        tally = tally._replace(kills=tally.kills + 1, before=tally.before + (not checkpoints()))
        if begun and not Path("run", "record.jsonl.part").exists() and not checkpoints():
            break  # killed after the last file had taken its place
        if begun and not checkpoints() and not Path("run", "record.jsonl.part").read_bytes().count(b"\n"):
            shutil.rmtree("run")
            begun = False  # killed before the first line: there is nothing yet that could go on
    same = Path("run", "model.safetensors").read_bytes() == usual.model
    shutil.rmtree("run")
    return tally._replace(done=1, differed=int(not same))


def undisturbed(kind: Kind, data: Path, log: Path) -> Usual:
    """Train to the end."""
    begun = time.perf_counter()
    process = forked(lambda: train(kind, data), log)
    wait_for_checkpoint(process)
    first = time.perf_counter()
    code = wait(process)
    if code:
        raise SystemExit(f"{kind.name}: exit code {code}\n{log.read_text()[-4000:]}")
    over = time.perf_counter()
    model = Path("run", "model.safetensors").read_bytes()
    shutil.rmtree("run")
    return Usual(model, over - begun, over - first)


def measure(kills: int, seed: int, forms: list[str], folder: Path) -> dict[Kind, Tally]:
    """Take turns among the kinds until there have been so many kills."""
    rng = np.random.default_rng(seed)
    kinds = [Kind(form, streamed) for form in forms for streamed in (False, True)]
    log = folder / "log"
    make_data(folder)
    os.chdir(folder)
    models: dict[Kind, Usual] = {}
    for kind in kinds:
        undisturbed(kind, folder, log)  # the first training may compile kernels
        models[kind] = undisturbed(kind, folder, log)
        said = f"{models[kind].seconds:.1f} s undisturbed, {models[kind].rest:.1f} s from its first checkpoint"
        print(f"{kind.name}: {said}", file=sys.stderr, flush=True)
    tallies = dict.fromkeys(kinds, Tally())
    while (so_far := sum(tally.kills for tally in tallies.values())) < kills:
        kind = min(kinds, key=lambda kind: tallies[kind].kills)
        usual = models[kind]
        more = disturbed(kind, folder, usual, rng, log)
        if more.kills == 0:  # the machine is less busy than when it was timed
            models[kind] = Usual(usual.model, SOONER * usual.seconds, SOONER * usual.rest)
        tallies[kind] = Tally(*(a + b for a, b in zip(tallies[kind], more, strict=True)))
        if more.differed:
            print(f"{kind.name}: THE MODEL DIFFERS", file=sys.stderr, flush=True)
        print(f"{so_far + more.kills} kills ({kind.name}: {more.kills})", file=sys.stderr, flush=True)
    return tallies


def page(tallies: dict[Kind, Tally], command: str) -> str:
    """Write the table."""
    packages = results.packages()
    rows = [[kind.name, *map(str, tally)] for kind, tally in tallies.items()]
    sums = [str(sum(tally[place] for tally in tallies.values())) for place in range(4)]
    header = ["data", "kills", "of these before the first checkpoint", "trainings ended", "models that differ"]
    table = ["|" + "|".join(header) + "|", "|-|-|-|-|-|"]
    table += ["|" + "|".join(row) + "|" for row in [*rows, ["**all**", *sums]]]
    said = f"`{command}`\n{results.machine()}\n{packages}\n\n"
    return said + "\n".join(table) + "\n"


def main() -> int:
    """Measure, print, and give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--only", action="append", choices=(*FORMATS, NETWORK), help="one format, several times for several"
    )
    parser.add_argument("--write", action="store_true", help="keep the table in RESULTS.md")
    options: Any = parser.parse_args()
    here = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="schuss-kills-") as folder:
        try:
            tallies = measure(options.kills, options.seed, options.only or list(FORMATS), Path(folder))
        finally:
            os.chdir(here)
    only = "".join(f"--only {form} " for form in options.only or [])
    text = page(tallies, f"python benchmarks/kills.py {only}--kills {options.kills} --seed {options.seed}")
    print(text)
    if options.write:
        results.write_section(TITLE, text)
    return int(any(tally.differed for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
