"""One split of one set: every method learns from the rows given, and its losses on the test rows are compared."""

from __future__ import annotations

import csv
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from regret_experts import EPOCHS, PICKS, TABLE, kept
from regret_peers import PEERS, Task
from regret_rows import Encoded, encode, encoded_rows
from regret_sets import Split
from regret_stats import Trial, row_error

import schuss
from schuss.descent.losses import loss_for, values_and_gradients

ALONE = "single rate"
"""The run that the default before it has chosen, trained alone for as many rows as the race took: what a race costs."""

ALONE_LONG = "single rate, 30 epochs"
"""The same for as many epochs as an expert gives each of his 385 settings at least."""

SHORTEST = 0.05
"""Seconds that a peer has at least."""


class Expert(NamedTuple):
    """What the experts said of one split: mean losses, and those of the test rows where they are at hand.

    against : the expert whom regret is counted against.
    """

    against: str
    means: dict[str, float]
    gain_error: float
    rows: dict[str, np.ndarray]


class Case(NamedTuple):
    """A split with what the experts said of it, the rows as peers get them, and the constant prediction's losses."""

    name: str
    number: int
    parts: Split
    expert: Expert
    encoded: Encoded
    constant: np.ndarray


class Outcome(NamedTuple):
    """Row losses of a method on the test rows, the processor seconds of its training, and what it chose.

    alone : options by which the run that a default has chosen is trained alone for as many rows.
    """

    losses: np.ndarray
    seconds: float
    note: str = ""
    alone: dict[str, Any] | None = None


def expert_table(against: str) -> dict[tuple[str, int], Expert]:
    """Read the committed table."""
    answer = {}
    with TABLE.open(newline="") as file:
        for line in csv.DictReader(file):
            means = {pick: float(line[pick]) for pick in (*PICKS, "constant")}
            answer[line["set"], int(line["split"])] = Expert(against, means, float(line["gain_error"]), {})
    return answer


def case_of(parts: Split, name: str, number: int, expert: Expert) -> Case:
    """Encode a split, and find the experts' row losses if they are at hand and are of these rows."""
    encoded = encode(parts.given, parts.test)
    constant = encoded.constant_losses(encoded.others[0])
    path = kept(name, number).with_suffix(".npz")
    if path.exists():
        with np.load(path) as file:
            rows = {pick: file[pick] for pick in (*PICKS, "constant") if pick in file}
        if len(rows["constant"]) == len(constant) and np.allclose(rows["constant"], constant, rtol=1e-4):
            expert = expert._replace(rows=rows)
    return Case(name, number, parts, expert, encoded, constant)


def trials_of(case: Case, what: list[str], seeds: int) -> list[Trial]:
    """Let every method run; those that can be told how long have the seconds of the default before them."""
    found: list[Trial] = []
    seconds, alone = 1.0, None
    for method in what:
        if method in PICKS:
            found.append(pick_trial(case, method))
        elif method.startswith("default"):
            for seed in range(seeds):
                title = method if seed == 0 else f"{method}, seed {seed}"
                options = options_of(method) | {"seed": 1000 * case.number + seed}
                made, outcome = trial(case, title, lambda options=options: run_default(case.parts, options))
                found.append(made)
                if outcome is not None and seed == 0:
                    seconds, alone = outcome.seconds, outcome.alone
        elif method in (ALONE, ALONE_LONG):
            length = {"epochs": EPOCHS} if method == ALONE_LONG else {}
            options = (alone or {}) | {"seed": 1000 * case.number} | length
            found.append(trial(case, method, lambda options=options: run_default(case.parts, options))[0])
        else:
            task, peer = Task(case.encoded, case.number, max(seconds, SHORTEST)), PEERS[method]
            if peer.suits(task):
                found.append(trial(case, method, lambda task=task, peer=peer: run_peer(peer.train, task))[0])
    return found


def options_of(what: str) -> dict[str, Any]:
    """Read the options behind `default:`."""
    pairs = [pair.split("=") for pair in what.partition(":")[2].split(",") if pair]
    return {key: int(value) if value.isdigit() else value for key, value in pairs}


def run_default(parts: Split, options: dict[str, Any]) -> Outcome:
    """Train schuss on the rows given, and score the test rows."""
    begun, read = time.process_time(), []

    def hear(event: dict[str, Any]) -> None:
        """Note when all rows have been read and encoded."""
        if event["event"] == "data":
            read.append(time.process_time() - begun)

    fixed = {"out": None, "threads": 1, "progress": hear}
    result = schuss.train(parts.given.source, **{**parts.given.options, **fixed, **options})
    seconds = time.process_time() - begun
    model, chosen = result.model, result.summary["chosen"]
    test = encoded_rows(model.encoder, parts.test, densify=False)
    loss = loss_for(model.loss, model.weights.shape[1])
    unit = 2 * model.encoder.target_scale**2 if model.classes is None else 1.0
    losses = unit * values_and_gradients(loss, model.scores(test.rows).astype(np.float64), test.targets)[0]
    note = " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in ({"seconds of reading": read[0]} | chosen).items()
    )
    alone = {name: chosen[name] for name in ("optimizer", "learning_rate", "schedule", "l2", "batch_size")}
    training_rows = next(event["training_rows"] for event in result.record if event["event"] == "data")
    rows = next(event["rows"] for event in result.record if event["event"] == "finish")
    return Outcome(losses, seconds, note, {**alone, "runs": 1, "epochs": max(1, round(rows / training_rows))})


def run_peer(train: Callable[[Task], Callable[[Any], np.ndarray]], task: Task) -> Outcome:
    """Train a peer on the rows given, and score the test rows."""
    begun = time.process_time()
    score = train(task)
    seconds = time.process_time() - begun
    test = task.encoded.others[0]
    return Outcome(task.encoded.losses(score(test), test), seconds)


def trial(case: Case, method: str, run: Callable[[], Outcome]) -> tuple[Trial, Outcome | None]:
    """Let a method run; what raises has failed, and the benchmark goes on."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            outcome = run()
    except Exception as problem:
        note = f"{type(problem).__name__}: {problem}"[:200]
        return compared(case, method, np.array([np.nan]), np.nan, note), None
    return compared(case, method, outcome.losses, outcome.seconds, outcome.note), outcome


def pick_trial(case: Case, pick: str) -> Trial:
    """Turn what an expert reached into a trial."""
    rows = case.expert.rows
    if pick in rows:
        return compared(case, pick, rows[pick], np.nan, "")
    return compared(case, pick, np.array([case.expert.means[pick]]), np.nan, "")


def compared(case: Case, method: str, losses: np.ndarray, seconds: float, note: str) -> Trial:
    """Compare row losses, or a mean alone, with those of the constant prediction and of the expert."""
    expert, whole = case.expert, len(losses) == len(case.constant)
    paired = whole and expert.against in expert.rows
    return Trial(
        name=case.name,
        split=case.number,
        method=method,
        loss=float(losses.mean()),
        expert=expert.means[expert.against],
        constant=expert.means["constant"],
        behind_constant_error=row_error(losses - case.constant) if whole else expert.gain_error,
        behind_error=row_error(losses - expert.rows[expert.against]) if paired else np.nan,
        gain_error=expert.gain_error,
        seconds=seconds,
        note=note,
    )
