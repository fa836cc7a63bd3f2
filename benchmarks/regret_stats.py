"""Normalised regret, its errors over splits and over sets, and what counts as a failure."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

TEST_TO_TRAINING = 0.15 / 0.85
RESAMPLINGS = 10_000


class Trial(NamedTuple):
    """What a method did on one split: mean losses on the test rows, and standard errors of paired row differences.

    loss : NaN where it failed; behind_constant_error : of loss − constant; behind_error : of loss − expert, NaN where
    the expert's row losses are not at hand; gain_error : of constant − expert; note : what it chose, or why it failed.
    """

    name: str
    split: int
    method: str
    loss: float
    expert: float
    constant: float
    behind_constant_error: float
    behind_error: float
    gain_error: float
    seconds: float
    note: str


class Regret(NamedTuple):
    """A method's regret on one set, in shares of what the expert gains over the constant prediction."""

    name: str
    splits: int
    regret: float
    error: float
    sure: bool  # whether the expert surely gains anything
    fails: bool  # no loss on some split, or surely worse than the constant prediction
    seconds: float
    loss: float
    expert: float
    constant: float


def row_error(differences: np.ndarray) -> float:
    """Give the standard error of a mean of row differences."""
    return float(np.std(differences, ddof=1) / np.sqrt(len(differences)))


def split_error(values: np.ndarray, row_errors: np.ndarray) -> float:
    """Give the standard error of a mean over splits whose training rows overlap (Nadeau and Bengio 2003).

    Never less than the rows of one split and the number of splits allow: few splits tell their spread badly.
    """
    known = row_errors[np.isfinite(row_errors)]
    within = float(np.sqrt(np.mean(known**2) / len(values))) if len(known) else 0.0
    if len(values) == 1:
        return within if len(known) else np.nan
    between = np.sqrt((1 / len(values) + TEST_TO_TRAINING) * np.var(values, ddof=1))
    return float(max(between, within))


def regret_of(trials: Sequence[Trial]) -> Regret:
    """Put the splits of one set together: (L − L_expert) / (L_constant − L_expert)."""
    columns = np.array([one[3:10] for one in trials], np.float64).T
    loss, expert, constant, excess_errors, behind_errors, gain_errors, seconds = columns
    gain, behind, excess = (float((a - b).mean()) for a, b in ((constant, expert), (loss, expert), (loss, constant)))
    return Regret(
        name=trials[0].name,
        splits=len(trials),
        regret=behind / gain,
        error=split_error(loss - expert, behind_errors) / abs(gain),
        sure=gain > 2 * split_error(constant - expert, gain_errors),
        fails=not excess <= 2 * split_error(loss - constant, excess_errors),
        seconds=float(seconds.mean()),
        loss=float(loss.mean()),
        expert=float(expert.mean()),
        constant=float(constant.mean()),
    )


class Summary(NamedTuple):
    """A method's regret over sets, in percent; upper : 95 % bound of the mean, by resampling sets."""

    sets: int
    mean: float
    upper: float
    median: float
    ninetieth: float
    worst: float


def summary(regrets: Sequence[float]) -> Summary:
    """Summarise regrets over sets; a failure to give any loss counts as infinite."""
    values = 100 * np.nan_to_num(np.array(regrets, np.float64), nan=np.inf)
    if not len(values):
        return Summary(0, *[np.nan] * 5)
    picks = np.random.default_rng(0).integers(len(values), size=(RESAMPLINGS, len(values)))
    upper = float(np.quantile(values[picks].mean(axis=1), 0.95))
    ninetieth = float(np.quantile(values, 0.9, method="higher"))
    return Summary(len(values), float(values.mean()), upper, float(np.median(values)), ninetieth, float(values.max()))


def in_other_half(name: str) -> bool:
    """Say whether a set is of a fixed half of all sets, by a hash of its name."""
    return zlib.crc32(name.encode()) % 2 == 1
