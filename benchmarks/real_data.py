"""Whether schuss, with every setting at its default, reaches the result of a tuned linear model on real data.

Each set is written to a folder as a user would have it; schuss is run on it by command line; scikit-learn is run on
the same files with its default settings, and the reference script where a set has one. Every score is computed here
from the predictions, pooled over folds, and compared with what `schuss evaluate` says.

    SCHUSS_DATA=FOLDER python benchmarks/real_data.py                  every set, a table on standard output
    SCHUSS_DATA=FOLDER python benchmarks/real_data.py --only adult --seeds 3
    SCHUSS_DATA=FOLDER python benchmarks/real_data.py --json FILE --write    keep the figures, and RESULTS.md

benchmarks/fetch.py says where the data come from. The exit code is 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import peers
import pyarrow.parquet as pq
import results
from scoring import Predictions, labels, pool, scores
from sets import SETS, Bar, DataSet, Split, read

TITLE = "real_data.py: the result of a tuned model, with every setting at its default"


def call(*words: str | Path) -> tuple[str, float]:
    """Run Python with these words; give what it prints and the seconds of the whole process."""
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begun
    if done.returncode != 0:
        raise RuntimeError(f"exit code {done.returncode}: {' / '.join(done.stderr.strip().splitlines()[-2:])}")
    return done.stdout, seconds


def run_schuss(dataset: DataSet, splits: list[Split], folder: Path, seed: int) -> dict[str, Any]:
    """Train, evaluate and predict each split by command line; give the pooled scores, the seconds and the summaries."""
    parts, evaluations, summaries = [], [], []
    seconds = {"train": 0.0, "evaluate": 0.0, "predict": 0.0}
    for number, split in enumerate(splits):
        run = folder / f"{dataset.name}-{number}-seed-{seed}"
        target = ["--target", dataset.target] if dataset.target else []
        options = ["--seed", str(seed), "--out", run, "--force", "--json", "--quiet"]
        printed, spent = call("-m", "schuss", "train", split.train, *target, *options)
        summaries.append(json.loads(printed))
        seconds["train"] += spent
        printed, spent = call("-m", "schuss", "evaluate", run, split.test, "--json")
        evaluations.append(json.loads(printed))
        seconds["evaluate"] += spent
        proba = [] if dataset.is_regression else ["--proba"]
        _, spent = call("-m", "schuss", "predict", run, split.test, *proba, "--out", run / "predictions.parquet")
        seconds["predict"] += spent
        parts.append(read_predictions(dataset, split, run / "predictions.parquet"))
    found = scores(pool(parts))
    check_evaluation(dataset, evaluations, found)
    return {"seed": seed, **found, "seconds": seconds, "summaries": summaries}


def read_predictions(dataset: DataSet, split: Split, path: Path) -> Predictions:
    """Put the predictions of schuss beside the truth, leaving out rows whose target is missing."""
    table = pq.read_table(path)
    _, truth = read(split.test, dataset.target)
    if table.num_rows != len(truth):
        raise RuntimeError(f"{table.num_rows:,} predictions for {len(truth):,} rows of {split.test.name}")
    predicted = table["prediction"].to_numpy()
    if dataset.is_regression:
        there = ~np.isnan(truth)
        return Predictions(truth[there], predicted[there].astype(np.float64))
    columns = [name for name in table.column_names if name.startswith("p_")]
    probabilities = np.column_stack([table[name].to_numpy() for name in columns])
    classes = tuple(labels(name.removeprefix("p_") for name in columns))
    return Predictions(labels(truth), labels(predicted), classes, probabilities)


def check_evaluation(dataset: DataSet, evaluations: list[dict[str, Any]], found: dict[str, float]) -> None:
    """Compare what `schuss evaluate` said of the folds with the scores of its predictions.

    `evaluate` takes its loss from the scores, where nothing is clipped, so it may be the larger one.
    """
    rows = [evaluation["rows"] for evaluation in evaluations]
    said = {"mse" if dataset.is_regression else "log_loss": [evaluation["loss"] for evaluation in evaluations]}
    if not dataset.is_regression:
        said["accuracy"] = [evaluation["accuracy"] for evaluation in evaluations]
    elif len(evaluations) == 1:  # R² does not add up over folds
        said["r2"] = [evaluations[0]["r2"]]
    for metric, values in said.items():
        pooled = float(np.average(values, weights=rows))
        larger_by_clipping = metric == "log_loss" and found["clipped"] > 0 and pooled > found[metric]
        if not larger_by_clipping and not np.isclose(pooled, found[metric], rtol=1e-4, atol=1e-6):
            raise RuntimeError(f"schuss evaluate says {metric} {pooled:.6g}, its predictions {found[metric]:.6g}")


def run_set(dataset: DataSet, data: Path, folder: Path, seeds: int, known_peers: dict[str, Any] | None) -> dict:
    """Prepare a set and run schuss, its peers and its reference on it."""
    say(f"{dataset.name}: preparing")
    splits = dataset.prepare(data, folder)
    answer: dict[str, Any] = {"schuss": [], "peers": {}, "reference": None}
    for seed in range(seeds):
        say(f"{dataset.name}: schuss, seed {seed}")
        try:
            answer["schuss"].append(run_schuss(dataset, splits, folder, seed))
        except RuntimeError as error:
            answer["schuss"].append({"seed": seed, "error": str(error)})
            say(f"{dataset.name}: {error}")
    if known_peers is not None:
        return {**answer, "peers": known_peers["peers"], "reference": known_peers["reference"]}
    say(f"{dataset.name}: scikit-learn")
    answer["peers"] = peers.run(dataset, splits)
    if dataset.reference is not None:
        say(f"{dataset.name}: {dataset.reference}")
        answer["reference"] = json.loads(call(Path(__file__).with_name(dataset.reference))[0])
    return answer


def say(line: str) -> None:
    """Tell on stderr what is being done."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def is_met(dataset: DataSet, answer: dict[str, Any]) -> bool:
    """Say whether every seed reaches every bar of the set."""
    return all(
        bar.metric in run and (limit := bar.value(answer["reference"])) is not None and bar.met(run[bar.metric], limit)
        for bar in dataset.bars
        for run in answer["schuss"]
    )


def table(answers: dict[str, dict[str, Any]]) -> str:
    """Write the table: a row per bar."""
    head = ["data", "score", "bar", "schuss", "s", "scikit-learn SGD", "s", "scikit-learn full batch", "s"]
    rows = [[*head, "reference script", "s"], ["-"] * 11]
    for dataset in SETS:
        if dataset.name in answers:
            rows += [row(dataset, bar, answers[dataset.name]) for bar in dataset.bars]
    return "\n".join(f"|{'|'.join(cells)}|" for cells in rows)


def row(dataset: DataSet, bar: Bar, answer: dict[str, Any]) -> list[str]:
    """Write the row of one bar."""
    limit = bar.value(answer["reference"])
    cells = [dataset.name, bar.metric.replace("_", " ").replace("r2", "R²")]
    cells.append("–" if limit is None else f"{bar.sign()} {limit:.4f}")
    runs = [run for run in answer["schuss"] if "error" not in run]
    if len(runs) < len(answer["schuss"]) or limit is None:
        cells.append("failed")
    else:
        values = [run[bar.metric] for run in runs]
        mark = "✓" if all(bar.met(value, limit) for value in values) else "✗"
        spread = f" ({min(values):.4f} … {max(values):.4f})" if len(values) > 1 else ""
        cells.append(f"**{np.mean(values):.4f}**{spread} {mark}")
    cells.append(f"{np.mean([run['seconds']['train'] for run in runs]):.1f}" if runs else "–")
    for peer in [*answer["peers"].values(), answer["reference"] or {}]:
        mark = "" if peer.get("converged", True) else " †"
        cells.append(f"{peer[bar.metric]:.4f}{mark}" if bar.metric in peer else "–")
        cells.append(f"{peer['seconds']:.1f}" if bar.metric in peer else "–")
    return cells


def page(answers: dict[str, dict[str, Any]], command: str) -> str:
    """Write the section of RESULTS.md: command, machine, versions, table, notes."""
    versions = results.packages()
    return f"""
`SCHUSS_DATA=FOLDER {command}`

{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}; {results.machine()}; {versions}.

{table(answers)}

A bar is met (✓) when every seed reaches it; of several seeds the table shows the mean and the range. Digits and
sms_spam are pooled over 5 stratified folds. schuss's seconds are those of the whole `schuss train` process, kernels
compiled before; scikit-learn's those of reading and fitting in a warm process; a reference's those of its whole script,
its validation included. scikit-learn SGD is SGDClassifier or SGDRegressor, full batch LogisticRegression or Ridge, all
with default settings after one-hot encoding and standardising (tf-idf for text); † stopped at its default number of
iterations. SGDClassifier's default, the hinge loss, gives no probabilities, hence no log loss.
"""


def keep(path: Path, answers: dict[str, dict[str, Any]]) -> None:
    """Write all figures so far to a file, with the machine and the versions."""
    figures = {"machine": results.machine(), "versions": results.versions(), "sets": answers}
    path.write_text(json.dumps(figures, indent=1) + "\n")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [dataset.name for dataset in SETS]
    parser.add_argument("--only", action="append", metavar="NAME", choices=names, help=f"one of {', '.join(names)}")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="train with the seeds 0 to N − 1")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file, after each set")
    parser.add_argument(
        "--peers", type=Path, metavar="FILE", help="take the peers' figures from an earlier --json file"
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the prepared files and the runs here")
    parser.add_argument("--write", action="store_true", help="write the table into RESULTS.md")
    arguments = parser.parse_args()
    if arguments.seeds < 1:
        parser.error("--seeds must be at least 1")
    if arguments.write and arguments.only:
        parser.error("--write is for the whole table, not with --only")
    if "SCHUSS_DATA" not in os.environ:
        parser.error("SCHUSS_DATA must name the folder of the data sets; benchmarks/fetch.py says where to get them")
    return arguments


def main() -> int:
    """Run the sets; give 1 when a bar is missed."""
    arguments = parse()
    earlier = json.loads(arguments.peers.read_text())["sets"] if arguments.peers else {}
    chosen = [dataset for dataset in SETS if arguments.only is None or dataset.name in arguments.only]
    answers: dict[str, dict[str, Any]] = {}
    say("schuss warmup")
    call("-m", "schuss", "warmup")
    with tempfile.TemporaryDirectory(prefix="schuss-real-data-") as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for dataset in chosen:
            answers[dataset.name] = run_set(
                dataset, Path(os.environ["SCHUSS_DATA"]), folder, arguments.seeds, earlier.get(dataset.name)
            )
            if arguments.json:
                keep(arguments.json, answers)
    only = "".join(f" --only {name}" for name in arguments.only or ())
    text = page(answers, f"python benchmarks/real_data.py{only} --seeds {arguments.seeds}")
    print(text)
    if arguments.write:
        results.write_section(TITLE, text)
    return 0 if all(is_met(dataset, answers[dataset.name]) for dataset in chosen) else 1


if __name__ == "__main__":
    raise SystemExit(main())
