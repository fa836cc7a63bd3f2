"""Does any input crash, hang or fill the memory? The readers of models, svmlight, CSV, JSON lines, and the encoder.

    python benchmarks/fuzz.py TARGET [--cases N] [--seconds S] [--seed K] [--by-chance] [--corpus FOLDER]

model, values, svmlight, csv, jsonl and encoder go through files, as users do; the others call what parses directly,
some hundred times as often, and hold it to what it must give: rows that are counted right, names that come back,
features that are finite.

With atheris (`pip install atheris`) inputs are found by the coverage of the code, else and with --by-chance they are
good ones with random changes. Anything but a sentence (SchussError) ends the run with a traceback, the input in
`fuzz-TARGET.bin`. What coverage has found is kept in the folder of --corpus, and is good input for both ways. The same
seed gives the same inputs by chance, and nearly the same by coverage.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import resource
import signal
import sys
import time
import warnings
from pathlib import Path

ATHERIS = importlib.util.find_spec("atheris") is not None and "--by-chance" not in sys.argv
if ATHERIS:
    import atheris

    with atheris.instrument_imports(include=["schuss"]):
        from fuzz_targets import FOLDER, TARGETS, schuss
else:
    from fuzz_targets import FOLDER, TARGETS, schuss

LONGEST_SECONDS = 10.0


def changed(good: bytes, rng: random.Random) -> bytes:
    """Change, cut, copy or insert a few bytes."""
    data = bytearray(good)
    for _ in range(rng.randint(1, 6)):
        place, length = rng.randint(0, len(data)), rng.choice([1, 1, 2, 4, 16])
        piece = rng.choice(
            [rng.randbytes(length), bytes(data[place : place + length]) * 2, b"", b'"', b",", b"\n", b"nan", b"9" * 30]
        )
        data[place : place + rng.choice([0, length])] = piece
    return bytes(data)


# Inputs that are read line by line and apart may be put together: so many are one text, and each is a case.
TOGETHER = {"csv_lines": 64}


class Fuzzing:
    """Runs cases and counts them, until there are enough or the time is over."""

    def __init__(self, name: str, cases: int, seconds: float, how: str) -> None:
        self.name, self.most, self.seconds, self.how = name, cases, seconds, how
        self.run = TARGETS[name][0]
        self.started, self.cases, self.slowest, self.refused = time.monotonic(), 0, 0.0, 0

    def __call__(self, data: bytes, count: int = 1) -> None:
        """Run an input, or several in one; ends the process when done."""
        began = time.process_time()
        try:
            self.run(data)
        except schuss.SchussError:
            self.refused += count
        except Exception:
            Path(f"fuzz-{self.name}.bin").write_bytes(data)
            raise
        self.cases += count
        self.slowest = max(self.slowest, time.process_time() - began)
        if self.slowest > LONGEST_SECONDS:
            Path(f"fuzz-{self.name}.bin").write_bytes(data)
            raise TimeoutError(f"{self.slowest:.1f} s")
        if self.cases >= self.most or time.monotonic() - self.started > self.seconds:
            self.end()

    def end(self, *signals: object) -> None:
        """Print what came of it, and end the process."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        seconds = time.monotonic() - self.started
        print(
            f"{self.name}: {self.cases:,} cases {self.how} in {seconds:.0f} s ({time.process_time():.0f} s of processor"
            f" time), {self.refused:,} refused with a sentence, slowest {self.slowest:.2f} s, {peak} MiB at most",
            flush=True,
        )
        os._exit(0)


def main() -> None:
    """Fuzz one target."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--cases", type=int, default=sys.maxsize)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--by-chance", action="store_true", help="change good inputs, whatever the code does with them")
    parser.add_argument("--corpus", type=Path, default=FOLDER / "corpus", help="inputs that have been found, and are")
    options = parser.parse_args()
    warnings.simplefilter("error")
    good = TARGETS[options.target][1]()
    how = f"by {'coverage (atheris)' if ATHERIS else 'chance'}, seed {options.seed},"
    once = Fuzzing(options.target, options.cases, options.seconds, how)
    options.corpus.mkdir(parents=True, exist_ok=True)
    if ATHERIS:
        for number, data in enumerate(good):
            (options.corpus / str(number)).write_bytes(data)
        limits = ["-max_len=8192", "-rss_limit_mb=4096", "-verbosity=0", f"-seed={options.seed}"]
        atheris.Setup([sys.argv[0], str(options.corpus), *limits], once)
        atheris.Fuzz()
        return
    good += [path.read_bytes() for path in sorted(options.corpus.iterdir())]
    signal.signal(signal.SIGTERM, once.end)
    rng, together = random.Random(options.seed), TOGETHER.get(options.target, 1)
    while True:
        once(b"\n".join(changed(rng.choice(good), rng) for _ in range(together)), together)


if __name__ == "__main__":
    main()
