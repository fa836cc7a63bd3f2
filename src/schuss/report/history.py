"""Read a record into typed, tolerant form: whatever is missing, damaged or not finite never stops the report."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schuss.errors import DataError

from .words import clean

__all__ = [
    "MEASURED",
    "Drop",
    "History",
    "Leg",
    "RecordLike",
    "Run",
    "as_history",
    "evenly",
    "interval",
    "mapping",
    "number",
    "quantile",
    "read_history",
    "sequence",
]


MEASURED = (
    "surface",
    "slice",
    "step_sizes",
    "curvature",
    "spectrum",
    "sharpness",
    "noise",
    "touched",
    "boundary",
    "advice",
)
"""Kinds of events of the ground around the model: a few in the record, more in `landscape.jsonl` beside it, which then
take the place of the record's."""

_BESIDE = "landscape.jsonl"


@dataclass(frozen=True)
class Drop:
    """A run left the race: after how many training rows, and why (`"diverged"` or `"behind"`)."""

    rows: float
    reason: str
    loss: float


@dataclass(frozen=True)
class Leg:
    """A stretch of the training that ends in a decayed learning rate."""

    number: int
    start: float
    planned: float


@dataclass(frozen=True)
class Run:
    """One setting of the hyperparameters and its losses; `rows`, `holdout`, `train`, `error` have one per evaluation.

    error : standard error of the difference to the best run of that evaluation, from the same held-out rows.
    """

    number: int
    settings: Mapping[str, Any]
    rows: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    holdout: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    train: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    error: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    drop: Drop | None = None

    @property
    def learning_rate(self) -> float:
        """The learning rate, NaN where the record holds none."""
        return number(self.settings.get("learning_rate"))

    @property
    def diverged(self) -> bool:
        """Whether the run was dropped because its loss grew beyond bounds."""
        return self.drop is not None and self.drop.reason == "diverged"

    @property
    def final_loss(self) -> float:
        """The last finite held-out loss, NaN if there is none."""
        finite = self.holdout[np.isfinite(self.holdout)]
        return float(finite[-1]) if finite.size else math.nan

    @property
    def best(self) -> tuple[float, float]:
        """The lowest held-out loss and the rows seen then, NaN if there is none."""
        if not np.isfinite(self.holdout).any():
            return math.nan, math.nan
        at = int(np.nanargmin(np.where(np.isfinite(self.holdout), self.holdout, np.nan)))
        return float(self.holdout[at]), float(self.rows[at])


@dataclass(frozen=True)
class History:
    """What happened in a training: the record's events, those of one kind together.

    measured : what was measured of the ground around the model, by the kind of the measurement.
    """

    start: Mapping[str, Any]
    data: Mapping[str, Any]
    runs: tuple[Run, ...]
    legs: tuple[Leg, ...]
    polish: Mapping[str, Any]
    finish: Mapping[str, Any] | None
    error: str
    damaged: int
    seconds: float
    measured: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)

    @property
    def task(self) -> str:
        """`"classification"` or `"regression"`, as far as the record tells."""
        return str(self.start.get("task") or ("classification" if self.start.get("classes") else "regression"))

    @property
    def network(self) -> str:
        """The hidden layers of a network as they were asked for, empty for a linear model."""
        found = mapping(self.start, "options").get("network")
        if isinstance(found, (list, tuple)):
            return ",".join(map(str, found))
        return str(found or "")

    @property
    def relative(self) -> bool:
        """Whether the runs' losses are shares of the constant predictor's: of a number, whose units say little."""
        return self.start.get("task") == "regression" and number(self.data.get("constant_loss")) > 0

    @property
    def constant_loss(self) -> float:
        """Loss of the constant predictor on the rows that the runs are compared on, NaN if unknown."""
        return 1.0 if self.relative else number(self.data.get("constant_loss"))

    @property
    def judged_on(self) -> str:
        """What the runs' losses are: `"held-out"`, or `"progressive"` (each row scored before it is learned from)."""
        return "progressive" if self.data.get("select_rows") == 0 else "held-out"

    @property
    def winner(self) -> Run | None:
        """The run that was chosen; while none is, the one with the lowest last loss among those still racing."""
        chosen = number((self.finish or {}).get("winner"))
        for run in self.runs:
            if run.number == chosen:
                return run
        racing = [run for run in self.runs if run.drop is None and math.isfinite(run.final_loss)]
        return min(racing, key=lambda run: run.final_loss, default=None)

    @property
    def model_at(self) -> tuple[float, float]:
        """Where on the winner's curve the race ended with it: its rows and its loss, NaN if unknown."""
        winner = self.winner
        if winner is None or not winner.rows.size:
            return math.nan, math.nan
        taken = number(self.polish.get("champion_loss", mapping(self.finish, "holdout").get("select_loss")))
        taken /= number(self.data.get("constant_loss")) if self.relative else 1.0
        off = np.abs(winner.holdout - taken)
        if math.isfinite(taken) and np.nanmin(off, initial=math.inf) <= 1e-9 * abs(taken):
            at = int(np.nanargmin(off))
            return float(winner.rows[at]), float(winner.holdout[at])
        return float(winner.rows[-1]), winner.final_loss

    @property
    def rows_seen(self) -> float:
        """Training rows that the run seen longest has seen, NaN before the first evaluation."""
        return max((float(run.rows[-1]) for run in self.runs if run.rows.size), default=math.nan)


RecordLike = History | Sequence[Mapping[str, Any]] | Path | str
"""The events of a record, the path of a `record.jsonl`, the folder of a run, or a history already read."""


def number(value: object) -> float:
    """A float from anything of a record: null, text, infinities and what is too large to draw become NaN."""
    if type(value) is float:
        return value if abs(value) < 1e100 else math.nan
    if isinstance(value, (bool, str)) or value is None:
        return math.nan
    try:
        found = float(value)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return found if abs(found) < 1e100 else math.nan


def mapping(holder: Mapping[str, Any] | None, key: str) -> Mapping[str, Any]:
    """The mapping under `key`, an empty one where there is none."""
    value = (holder or {}).get(key)
    return value if isinstance(value, Mapping) else {}


def sequence(holder: Mapping[str, Any] | None, key: str) -> Sequence[Any]:
    """The list under `key`, an empty one where there is none."""
    value = (holder or {}).get(key)
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def interval(history: History, name: str) -> tuple[float, float] | None:
    """The 95 % interval of a score on held-out rows, None where the record holds none."""
    low, high = ([*map(number, sequence(mapping(history.finish, "intervals"), name)), math.nan, math.nan])[:2]
    return (low, high) if low <= high else None


def as_history(record: RecordLike) -> History:
    """Take a record in any of its forms, see `RecordLike`."""
    if isinstance(record, History):
        return record
    if not isinstance(record, (str, Path)):
        return read_history(record)
    path = Path(record)
    if not path.is_dir():
        events, damaged = _read_events(path)
        return read_history(events, damaged=damaged)
    # A run that was killed, or still trains, has not published its record yet.
    names = [name for name in ("record.jsonl", "record.jsonl.part") if (path / name).exists()]
    events, damaged = _read_events(path / (names or ["record.jsonl"])[0])
    if (path / _BESIDE).exists():
        more, lost = _read_lines(path / _BESIDE)
        kept = [event for event in events if not more or event.get("event") not in MEASURED]
        events, damaged = kept + [event for event in more if event.get("event") in MEASURED], damaged + lost
    return read_history(events, damaged=damaged)


def _read_events(path: Path) -> tuple[list[Mapping[str, Any]], int]:
    """The events of a record, of which there is at least one."""
    events, damaged = _read_lines(path)
    if not events:
        raise DataError(f"{path}: a record of a run was expected, but it holds no events.")
    return events, damaged


def _read_lines(path: Path) -> tuple[list[Mapping[str, Any]], int]:
    """The events of a file; a kill can leave half a line, so lines that are no JSON object are counted, not fatal."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as error:
        raise DataError(f"{path}: a record of a run was expected, but it cannot be read ({error.strerror}).") from None
    events: list[Mapping[str, Any]] = []
    damaged = 0
    for line in filter(str.strip, lines):
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if isinstance(event, dict):
            events.append(event)
        else:
            damaged += 1
    return events, damaged


def read_history(events: Iterable[Mapping[str, Any]], *, damaged: int = 0) -> History:
    """Sort a record's events by kind; `damaged` counts the lines that could not be read."""
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for event in map(_printable, events):
        kinds.setdefault(str(event.get("event")), []).append(event)
    evaluations = kinds.get("evaluation", [])
    finish = (kinds.get("finish") or [None])[-1]
    start, data = (kinds.get("start") or [{}])[0], (kinds.get("data") or [{}])[-1]
    errors = [str(event.get("message") or event.get("error") or "") for event in kinds.get("error", [])]
    seconds = [number(event.get("seconds")) for event in [*evaluations, finish or {}]]
    history = History(
        start=start,
        data=data,
        runs=(),
        legs=_legs(kinds.get("leg", [])),
        polish=(kinds.get("polish") or [{}])[-1],
        finish=finish,
        error=next(filter(None, reversed(errors)), ""),
        damaged=damaged,
        seconds=max((value for value in seconds if math.isfinite(value)), default=math.nan),
        measured={kind: kinds[kind] for kind in MEASURED if kind in kinds},
    )
    unit = number(data.get("constant_loss")) if history.relative else 1.0
    return replace(history, runs=_runs(kinds, evaluations, unit))


def _printable(value: Any) -> Any:
    """A part of the record in which every string can be printed, so that nothing after has to care."""
    if isinstance(value, (float, int)) or value is None:
        return value
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {_printable(key): _printable(part) for key, part in value.items()}
    return [_printable(part) for part in value] if isinstance(value, (list, tuple)) else value


def _runs(
    kinds: Mapping[str, list[Mapping[str, Any]]], evaluations: list[Mapping[str, Any]], unit: float
) -> tuple[Run, ...]:
    """The runs with their losses in units of `unit`."""
    settings: dict[int, Mapping[str, Any]] = {}
    for event in kinds.get("runs", []):
        for position, run in enumerate(sequence(event, "runs")):
            at = number(run.get("run"))
            settings[int(at) if math.isfinite(at) else position] = run
    curves: dict[int, list[tuple[float, float, float, float]]] = {run: [] for run in settings}
    for event in evaluations:
        rows = number(event.get("rows"))
        holdout, train, errors = (mapping(event, key) for key in ("holdout_loss", "train_loss", "behind_error"))
        if not math.isfinite(rows):
            continue
        for key in holdout:
            loss, seen, error = (number(part.get(key, part.get(str(key)))) / unit for part in (holdout, train, errors))
            curves.setdefault(int(key), []).append((rows, loss, seen, error))
    drops = {
        int(number(event["run"])): Drop(
            number(event.get("rows")), str(event.get("reason") or "behind"), number(event.get("holdout_loss")) / unit
        )
        for event in kinds.get("drop", [])
        if math.isfinite(number(event.get("run")))
    }
    return tuple(
        Run(run, settings.get(run, {}), *_columns(curves.get(run, [])), drop=drops.get(run))
        for run in sorted({*curves, *drops})
    )


def evenly(size: int, most: int) -> NDArray[np.int64]:
    """Give at most so many places in a list of `size`, evenly taken, the first and the last among them.

    >>> evenly(9, 3).tolist(), evenly(2, 3).tolist()
    ([0, 4, 8], [0, 1])
    """
    return np.linspace(0, size - 1, min(most, size)).round().astype(np.int64)


def quantile(values: NDArray[np.float64], share: float) -> float:
    """The value that so large a share of the values does not exceed, between two of them in proportion.

    NumPy's own functions import its masked arrays for it, 15 ms at every start.

    >>> quantile(np.array([4.0, 1.0, 2.0]), 0.75)
    3.0
    """
    place, ordered = share * (values.size - 1), np.sort(values)
    low = math.floor(place)
    high = min(low + 1, values.size - 1)
    return float(ordered[low] + (place - low) * (ordered[high] - ordered[low]))


def _columns(curve: list[tuple[float, float, float, float]]) -> tuple[NDArray[np.float64], ...]:
    table = np.array(sorted(curve, key=lambda point: point[0]), dtype=np.float64).reshape(-1, 4)
    table[~np.isfinite(table)] = np.nan
    return table[:, 0], table[:, 1], table[:, 2], table[:, 3]


def _legs(events: list[Mapping[str, Any]]) -> tuple[Leg, ...]:
    legs = (Leg(i, number(e.get("start_rows")), number(e.get("planned_rows"))) for i, e in enumerate(events))
    return tuple(leg for leg in legs if math.isfinite(leg.start))
