"""Going on learning from new rows: each is answered before it is learned from, and what is learned is kept safe."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import pyarrow as pa

from ..data.bad_rows import BadRow, BadRows, Skipping
from ..data.live import Incoming, kinds_of, live_source
from ..data.open import ON_BAD_ROW, is_pipe, open_source
from ..data.schema import Role, require_columns
from ..data.source import Batch, Source
from ..data.unusable import Check, checks_of_encoder, usable_rows
from ..errors import BadRowError, DataError, OptionError, OutputError, SchussError
from ..files import PART
from ..model.model import FILE_NAME, Model
from ..process import interruptible, limited_threads, peak_memory
from ..training.settings import one_of, parse_seconds
from .learner import Learner, weighted

__all__ = ["Updated", "update"]

ROWS_AT_ONCE = 8192
NUMBERS_AT_ONCE = 1 << 22
"""Of wide rows as many at once as have so many numbers."""

TOLD_EVERY = 0.2

PATIENCE = 10.0
"""So many times as long as saving takes, the next one waits at least."""

STDIN = "standard input"

Listener = Callable[[Mapping[str, Any]], None]


class Updated(NamedTuple):
    """What an update gives: the model, and what `schuss update --json` prints."""

    model: Model
    summary: dict[str, Any]


def update(
    model: Model | str | Path,
    source: Any,
    *,
    out: str | Path | None = None,
    weight: str | None = None,
    from_row: int | None = None,
    save_every: float | str = "10s",
    on_bad_row: str = "stop",
    max_bad_rows: float = 0.01,
    format: str | None = None,
    header: bool | None = None,
    stdin: BinaryIO | None = None,
    progress: Listener | None = None,
    acknowledge: Callable[[int], None] | None = None,
) -> Updated:
    """Go on learning from new rows, in their order, one by one; each is answered before it is learned from.

    Sixteen copies of the model learn at different paces from none to very fast, and answer together, each weighted by
    how it did on the rows before, see `population.mixture`. The same rows give the same model, bit for bit, however
    they are cut into updates, files and reads. What the features are scaled by stays as in training.

    Parameters
    ----------
    model : a model, its file, or the folder of its run.
    source : new rows, whatever `schuss.train` takes, with the columns that the model was trained with; of standard
        input ("-") and pipes, rows are learned as they come.
    out : the file to write; None writes back to the model's, or nothing if a Model was given.
    weight : column of row weights, if another one than in training.
    from_row : where DATA begins among all rows that this model is to be updated with, counted from 0; rows that it has
        learned from already are passed over. None: all rows are new.
    save_every : how often the file is replaced: a time such as "10s", or "500 rows".
    on_bad_row, max_bad_rows : as in training. "stop" learns from the rows before the first bad one.
    format, header, stdin : see `open_source`.
    progress : called with what happens; acknowledge : called with how many rows, from the first that this model was
        ever updated with, are safe on the disk: at the beginning, and after every save.

    Raises
    ------
    DataError
        At a column that is missing or a row that cannot be used, such as one of a class that the model does not know.
    OutputError
        When the file cannot be written; what was safe before still is.

    Example
    -------
    >>> import numpy as np, schuss
    >>> X = np.random.default_rng(0).normal(size=(2000, 3))
    >>> model = schuss.train((X[:500], X[:500, 0] > 0), runs=4).model
    >>> turned = schuss.update(model, (X[500:], X[500:, 0] < 0))
    >>> turned.summary["rows"], turned.summary["recent_loss"] < turned.summary["loss"]
    (1500, True)
    """
    one_of("on-bad-row", on_bad_row, ON_BAD_ROW)
    place = None if isinstance(model, Model) else _file_of(model)
    begun = model if isinstance(model, Model) else Model.load(model)
    if weight is not None:
        begun = weighted(begun, weight)
    learner = Learner(begun)
    target = Path(out) if out is not None else place
    saver = _Saver(learner, target, target == place, *_interval(save_every), acknowledge, progress)
    skip = _known_rows(learner.standing.position, from_row)
    with interruptible() as interrupted, limited_threads(None):
        saver.begin()  # whoever sends rows asks first where to begin
        opened = _open(begun, source, format, header, stdin, progress, interrupted)
        rows = _Rows(learner, opened, on_bad_row, max_bad_rows)
        return _update(rows, saver, skip, interrupted, progress)


def _update(
    rows: _Rows, saver: _Saver, skip: int, interrupted: Callable[[], bool], progress: Listener | None
) -> Updated:
    """Learn until the rows end or an end is asked for; what has been learned is saved, whatever happens."""
    learner, started = rows.learner, time.monotonic()
    told = started
    try:
        for _ in rows.learned(skip, saver.rows):
            if interrupted():
                break
            if saver.due():
                saver.save()
            if progress is not None and time.monotonic() - told >= TOLD_EVERY:
                told = time.monotonic()
                progress({"event": "update", **_status(learner, told - started)})
        rows.skipping.end()
    except SchussError:
        saver.save()
        raise
    saver.save(last=True)
    outcome = "interrupted" if interrupted() else "done"  # Ctrl-C ends whoever sends the rows, too
    return Updated(learner.model(), _summary(rows, saver, outcome, time.monotonic() - started))


def _known_rows(position: int, from_row: int | None) -> int:
    """Give how many rows of DATA have been learned from already."""
    if from_row is None:
        return 0
    if from_row < 0 or from_row > position:
        there = f"the model has learned from the first {position:,} rows" if position else "the model has had none yet"
        raise OptionError(f"option '--from-row': {there}, so DATA must begin at one of 0 to {position:,}")
    return position - from_row


def _file_of(model: str | Path) -> Path:
    path = Path(model)
    return path / FILE_NAME if path.is_dir() else path


def _interval(every: float | str) -> tuple[float | None, int | None]:
    """Read how often to save: seconds, or rows."""
    found = re.fullmatch(r"\s*(\d+)\s*rows?\s*", str(every))
    if found is None:
        try:
            seconds = parse_seconds(every, "save-every")
        except OptionError as error:
            raise OptionError(f"{error}; or a number of rows such as '500 rows'") from None
        if seconds is None:
            raise OptionError("option '--save-every' takes a time such as 10s or a number of rows such as '500 rows'")
        return seconds, None
    if int(found[1]) == 0:
        raise OptionError(f"option '--save-every' takes at least one row, not '{every}'")
    return None, int(found[1])


def _open(
    model: Model, source: Any, form: str | None, header: bool | None, stdin: BinaryIO | None,
    progress: Listener | None, interrupted: Callable[[], bool],
) -> Source:  # fmt: skip
    """Open a source so that its columns are read as they were for training, a stream so that its rows come at once."""

    def tell(sentence: str) -> None:
        if progress is not None:
            progress({"event": "notice", "message": sentence})

    named = isinstance(source, (str, Path))
    first_line = model.settings.get("header", True) if header is None else header
    options: dict[str, Any] = {"format": form, "header": first_line, "svmlight_base": model.svmlight_base}
    options |= model.encoder.reading() | {"on_bad_row": "skip"}
    if named and (str(source) == "-" or is_pipe(source)):
        raw: Any = stdin or sys.stdin.buffer
        if str(source) != "-":
            raw = Path(source).open("rb", buffering=0)  # noqa: SIM115 — it is read later
        name = STDIN if str(source) == "-" else str(source)
        opened = _open_stream(model, Incoming(raw, interrupted), name, form, first_line, tell, options)
    else:
        opened = open_source(source, **options)
    require_columns(model.encoder.columns, opened.schema.names, opened.parts[0])
    for notice in opened.notices:
        tell(notice)
    return opened


def _open_stream(
    model: Model, incoming: Incoming, name: str, form: str | None, header: bool,
    tell: Callable[[str], None], options: Mapping[str, Any],
) -> Source:  # fmt: skip
    """Open a stream: by lines as they come, or, in another format, as other commands do."""
    found = live_source(
        incoming, kinds_of(model.encoder), name=name, form=form, header=header, base=model.svmlight_base,
        bad=BadRows(), tell=tell,
    )  # fmt: skip
    return found or open_source("-", stdin=cast(BinaryIO, incoming), **options)


class _Rows:
    """The rows of an update, learned from as they are read."""

    def __init__(self, learner: Learner, source: Source, on_bad_row: str, max_bad_rows: float) -> None:
        self.learner, self.source, self._stop = learner, source, on_bad_row == "stop"
        self.bad: list[BadRow] = []
        self.skipping = Skipping(max_bad_rows, lambda name, row: self.bad.append(row))
        self._columns = learner.encoder.columns
        weighted = learner.encoder.schema.named(Role.WEIGHT) is not None
        self._checks: list[Check] = checks_of_encoder(learner.encoder, target=True, weighted=weighted)

    def learned(self, skip: int, at_most: int | None) -> Iterator[int]:
        """Learn from all rows but the first `skip`; yield after every few of them, at a bad row those before it."""
        encoder = self.learner.encoder
        step = min(ROWS_AT_ONCE, at_most or ROWS_AT_ONCE)
        step = step if encoder.sparse else max(1, min(step, NUMBERS_AT_ONCE // max(encoder.width, 1)))
        for batch in self.source.batches(columns=self._columns):
            count = batch.table.num_rows
            passed = min(skip, count)
            skip -= passed
            if count == 0:
                yield 0
            while passed < count:
                until = step if at_most is None else min(step, at_most - self.learner.standing.position % at_most)
                piece = Batch(batch.table.slice(passed, until), batch.part, batch.row + passed)
                self._learn(piece)
                passed += piece.table.num_rows
                yield piece.table.num_rows

    def _learn(self, piece: Batch) -> None:
        """Learn from some rows; where some are bad, from the others, or from those before the first one."""
        table, name, first = piece.table, self.source.parts[piece.part], piece.row
        source, encoder = self.source, self.learner.encoder
        assert source.bad is not None
        try:
            if not source.bad.among(piece.part, first, len(table), self._columns):
                self.learner.learn(encoder.prepare(table, where=name, first_row=first))
                self.skipping.count(name, len(table), [])
                return
        except BadRowError:  # nothing has been learned from yet
            pass
        keep, bad = usable_rows(piece, source, self._checks, self._columns)
        if self._stop:
            good = table.slice(0, bad[0].row - first)
            self.learner.learn(encoder.prepare(good, where=name, first_row=first))
            raise DataError(bad[0].sentence(name))
        good = table.filter(pa.array(keep))
        self.learner.learn(encoder.prepare(good, where=name, first_row=first))
        self.learner.passed(len(bad))
        self.skipping.count(name, len(table), bad)


class _Saver:
    """Replaces the model's file, so that at every moment it is whole, and says how many rows are safe."""

    def __init__(
        self, learner: Learner, path: Path | None, own: bool, seconds: float | None, rows: int | None,
        acknowledge: Callable[[int], None] | None, progress: Listener | None,
    ) -> None:  # fmt: skip
        self.learner, self.path, self.rows, self.saves = learner, path, rows, 0
        self._every, self._acknowledge, self._progress = seconds, acknowledge, progress
        self._safe = learner.standing.position
        self._stamp = _stamp(path) if own and path is not None else None
        self._last, self._wait = time.monotonic(), seconds or 0.0

    def begin(self) -> None:
        """Clear away what a killed update has left, and acknowledge what was learned before."""
        if self.path is not None:
            for leftover in self.path.parent.glob(f".{self.path.name}.*{PART}"):
                leftover.unlink(missing_ok=True)
        self._tell()

    def due(self) -> bool:
        """Whether it is time to save."""
        unsafe = self.learner.standing.position - self._safe
        if unsafe == 0 or self.path is None:
            return False
        if self.rows is not None:
            return self.learner.standing.position % self.rows == 0
        return time.monotonic() - self._last >= self._wait

    def save(self, last: bool = False) -> None:
        """Save if there is anything new; only the last one must succeed, others are told of and tried again."""
        position = self.learner.standing.position
        if self.path is None or (position == self._safe and not (last and not self.path.exists())):
            return
        begun = time.monotonic()
        self._refuse_changed()
        try:
            self.learner.model().save(self.path)
        except OutputError as error:
            if last:
                raise
            if self._progress is not None:
                self._progress({"event": "notice", "message": f"not saved, learning goes on: {error}"})
        else:
            self._stamp, self._safe, self.saves = _stamp(self.path), position, self.saves + 1
            self._tell()
        self._last = time.monotonic()
        if self._every is not None:
            self._wait = max(self._every, PATIENCE * (self._last - begun))

    def _tell(self) -> None:
        if self._acknowledge is not None:
            self._acknowledge(self._safe)

    def _refuse_changed(self) -> None:
        """Raise OutputError where somebody else has written the file since it was read or saved here."""
        if self._stamp is not None and self.path is not None and _stamp(self.path) != self._stamp:
            raise OutputError(f"'{self.path}' was changed meanwhile by another process, which this one would undo")


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _status(learner: Learner, seconds: float) -> dict[str, Any]:
    """Say how the rows so far were answered."""
    progress = learner.progress
    mean = progress.loss / progress.learned if progress.learned else None
    recent = float(progress.recent.mean()) if len(progress.recent) else None
    return {
        "rows": progress.rows,
        "rows_per_second": progress.rows / max(seconds, 1e-9),
        "loss": mean,
        "recent_loss": recent,
        "seconds": seconds,
    }


def _summary(rows: _Rows, saver: _Saver, outcome: str, seconds: float) -> dict[str, Any]:
    """Give what `--json` prints."""
    learner = rows.learner
    standing, progress = learner.standing, learner.progress
    status = _status(learner, seconds)
    return {
        "rows": progress.rows,
        "learned": progress.learned,
        "skipped_rows": progress.rows - progress.learned,
        "bad_rows": rows.skipping.bad,
        "unseen": progress.unseen,
        "loss": status["loss"],
        "recent_loss": status["recent_loss"],
        **progress.tally.metrics(),
        "position": standing.position,
        "learned_ever": standing.learned,
        "loss_ever": standing.loss / standing.learned if standing.learned else None,
        "outcome": outcome,
        "saves": saver.saves,
        "seconds": seconds,
        "rows_per_second": status["rows_per_second"],
        "peak_memory_bytes": peak_memory(),
        "model": None if saver.path is None else str(saver.path),
    }
