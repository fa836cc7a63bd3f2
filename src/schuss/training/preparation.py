"""Everything before the race: the source, the roles of its columns, the encoder, and what reads its rows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..data.columns.categories import CategoryColumn
from ..data.columns.convert import in_one_piece, is_numeric, is_stringy
from ..data.columns.numbers import NumberColumn
from ..data.columns.place import Place
from ..data.doubts import large_numbers, look_alikes, numbers_as_words
from ..data.encoder import Encoder
from ..data.holdout import AT_MOST, Holdout, parse_holdout
from ..data.known import Known, known_of
from ..data.open import open_source
from ..data.parted import BATCH_ROWS
from ..data.reader import Reader
from ..data.schema import Role, Schema, infer_schema, require_columns
from ..data.source import Batch, Source
from ..data.target import row_weights
from ..data.unusable import checks_of_schema, checks_of_target, screened
from ..descent.losses import family_of
from ..errors import DataError, OptionError
from ..runs.folder import RunFolder
from .lineup import slow_on_sparse_rows, weights_bytes
from .networks import notices_of
from .settings import Settings

__all__ = ["Prepared", "open_data", "open_held_out", "prepare", "svmlight_base"]

SAMPLE_ROWS = 262_144

SAMPLE_VALUES = 1 << 24
FEWEST_SAMPLE_ROWS = 16_384
"""Of tables with very many columns the sample has fewer rows: it lies in memory as a whole."""


Labels = Callable[[], pa.ChunkedArray]


class Prepared(NamedTuple):
    """What is settled before the rows are read.

    settings : the options, resolved where the data decide; loss : its name; folder : None if nothing is written;
    reader : the source with its encoder; notices : what a person should know; all_classes : whether every class is
    known, also those that the sample may lack.
    """

    settings: Settings
    source: Source
    encoder: Encoder
    loss: str
    reader: Reader
    folder: RunFolder | None
    notices: tuple[str, ...]
    all_classes: bool = True


def prepare(place: Any, settings: Settings, *, all_classes: bool = True) -> Prepared:
    """Settle everything that a sample of the data decides; writes nothing.

    all_classes : whether to look for classes that the sample lacks, also where that is to parse all text once more.

    Raises DataError, OptionError or OutputError when the data, an option or the folder cannot be used.
    """
    holdout = parse_holdout(str(settings.holdout))
    source = open_data(place, settings)
    settings = replace(settings, target=settings.target or source.target)
    folder = _folder(settings, source)
    with _labels_beside(source, settings) as labels_if:
        sample, schema, sorted_by = _look(source, settings, holdout)
        lacking = _may_lack_classes(source, sample, schema, settings.scan)
        all_classes = all_classes or not lacking or not _may_wait(source)
        loss = settings.loss or ("squared_error" if schema.task == "regression" else "log_loss")
        labels = labels_if(lacking and all_classes)
        fit = partial(_fit, source, sample, schema, labels, family_of(loss).positive)
        settings, encoder, notices = _fit_into_memory(settings, fit)
    reader = _reader(source, encoder, holdout, settings, sample)
    if sorted_by is not None:
        reader = replace(reader, known=_targets(reader, sample))
    doubts = [*([] if sorted_by is None else [sorted_by]), *_doubts(source, sample, encoder, settings)]
    if source.bad is not None and source.rereadable:
        source.bad.clear()  # what was found so far will be found again
    told = (*schema.notices, *notices, *doubts, *notices_of(settings, encoder), *slow_on_sparse_rows(settings, encoder))
    return Prepared(settings, source, encoder, loss, reader, folder, told, all_classes)


def _look(source: Source, settings: Settings, holdout: Holdout) -> tuple[pa.Table, Schema, str | None]:
    """Take a sample of rows that can be used, and find the roles of its columns; say if one target alone came first."""
    sample = _sample(source, settings.scan)
    sorted_by = _only_target(source, sample, settings)
    if sorted_by is not None:
        sample = _even_sample(source)
    if source.bad is not None:
        sample = screened(sample, checks_of_target(sample, settings.target), source.parts[0])
    schema = _schema(source, sample, settings, holdout)
    if source.bad is not None:
        sample = screened(sample, checks_of_schema(schema), source.parts[0])
    return sample, schema, sorted_by


def _doubts(source: Source, sample: pa.Table, encoder: Encoder, settings: Settings) -> list[str]:
    """Say where the data may not be what was meant."""
    words = {column.name: column.known for column in encoder.features if isinstance(column, CategoryColumn)}
    if encoder.classes is not None and isinstance(encoder.classes[0], str):
        words[encoder.schema.target or ""] = tuple(encoder.classes)
    numbers = [column.name for column in encoder.features if isinstance(column, NumberColumn)]
    alike = [sentence for name, known in words.items() for sentence in look_alikes(known, name)]
    known_as_words = {*settings.categorical, *settings.text, *settings.ignore}
    unasked = [name for name in sample.column_names if name not in known_as_words]
    return [*source.notices, *alike, *numbers_as_words(sample, unasked), *large_numbers(sample, numbers)]


def open_data(place: Any, settings: Settings) -> Source:
    """Open the data of a training."""
    return open_source(
        place,
        target=settings.target,
        format=settings.format,
        header=settings.header,
        strings=(*settings.categorical, *settings.text),
        numbers=tuple(settings.numeric),
        on_bad_row=settings.on_bad_row,
    )


def _folder(settings: Settings, source: Source) -> RunFolder | None:
    """Name the folder of the run."""
    if settings.out is None:
        return None
    name = str(settings.out).replace("{name}", source.name).replace("{target}", str(settings.target))
    return RunFolder(Path(name), force=settings.force)


def _sample(source: Source, scan: bool) -> pa.Table:
    """Take the rows from which roles and statistics come: a sample, or all of them."""
    if scan and not source.rereadable:
        raise OptionError("option '--scan' reads the data twice, which standard input and streams do not allow")
    batches = [
        _readable(batch, source) for batch in (source.batches() if scan else source.sample(_sample_rows(source)))
    ]
    return pa.Table.from_batches(batches, schema=batches[0].schema if batches else source.schema)


def _only_target(source: Source, sample: pa.Table, settings: Settings) -> str | None:
    """Say that all rows of a sample, which are not all there are, have the same target; None where they differ."""
    target = settings.target
    if settings.scan or target not in sample.schema.names or _holds_all(sample, source):
        return None
    found = sample.column(target).unique().drop_null()
    if len(found) > 1 or len(sample) == 0:
        return None
    what = f"the same target, '{found[0].as_py()}'" if len(found) else "no target"
    same = f"the first {len(sample):,} rows have {what}"
    if not source.rereadable:
        raise DataError(f"{source.parts[0]}: {same}: write the rows to a file, so that later ones can be looked at too")
    return f"{same}: roles and statistics come from as many rows spread over all, for which all were read once more"


def _even_sample(source: Source) -> pa.Table:
    """Take rows from all of a source at even distances: every k-th, k being doubled when twice too many have come."""
    limit, step, seen = _sample_rows(source), 1, 0
    kept: list[pa.RecordBatch] = []
    for batch in source.batches():
        table = _readable(batch, source)
        kept.append(table.take(pa.array(np.arange(-seen % step, len(table), step))))
        seen += len(table)
        while -(-seen // step) >= 2 * limit:
            whole = pa.Table.from_batches(kept)
            step *= 2
            kept = whole.take(pa.array(np.arange(0, len(whole), 2))).to_batches()
    whole = pa.Table.from_batches(kept, schema=kept[0].schema if kept else source.schema)
    rows = min(limit, len(whole))
    return whole.take(pa.array(np.arange(rows) * len(whole) // max(rows, 1)))


def _targets(reader: Reader, sample: pa.Table) -> Known:
    """Give the targets of a sample, as those of rows that are learned from."""
    batches = [reader.prepared(Batch(batch, 0, 0)) for batch in sample.to_batches(max_chunksize=BATCH_ROWS)]
    there = [slice(None) if one.missing is None else ~one.missing for one in batches]
    targets, weights = ([getattr(one, name)[kept] for one, kept in zip(batches, there, strict=True)]
                        for name in ("targets", "weights"))  # fmt: skip
    return known_of(Known(np.concatenate(targets), np.concatenate(weights)))


def _readable(batch: Batch, source: Source) -> pa.RecordBatch:
    """Leave out the rows of a batch that could not be read."""
    if source.bad is None:
        return batch.table
    gone = [row.row - batch.row for row in source.bad.among(batch.part, batch.row, batch.table.num_rows)]
    keep = np.isin(np.arange(batch.table.num_rows), gone, invert=True)
    return batch.table.filter(pa.array(keep))


def _sample_rows(source: Source) -> int:
    """Give the rows of a sample at most."""
    return min(SAMPLE_ROWS, max(SAMPLE_VALUES // max(len(source.schema), 1), FEWEST_SAMPLE_ROWS))


def _schema(source: Source, sample: pa.Table, settings: Settings, holdout: Holdout) -> Schema:
    """Find the roles of the columns; refuse a loss that is not for the task."""
    asked = {
        Role.NUMBER: settings.numeric,
        Role.CATEGORY: settings.categorical,
        Role.TEXT: settings.text,
        Role.IGNORED: settings.ignore,
    }
    wanted = None if settings.loss is None else family_of(settings.loss).task
    counted = settings.task == "auto" and wanted == "regression" and _is_number(sample, settings.target)
    schema = infer_schema(
        sample,
        name=source.parts[0],
        target=settings.target,
        task="regression" if counted else settings.task,
        weight=settings.weight or getattr(source, "weight", None),
        group=holdout.column,
        overrides={column: role for role, columns in asked.items() for column in columns},
    )
    if wanted not in (None, schema.task):
        raise OptionError(f"loss '{settings.loss}' is for {wanted}, and the task is {schema.task}")
    return schema


def _is_number(sample: pa.Table, target: str | None) -> bool:
    """Say whether the target is a column of numbers: a loss of numbers then decides the task, also for few counts."""
    return target in sample.schema.names and is_numeric(sample.schema.field(target).type)


def _holds_all(sample: pa.Table, source: Source) -> bool:
    """Whether a sample is the whole: of several files it takes an equal share each, and of many files not all."""
    if source.rows is not None:
        return len(sample) >= source.rows
    return len(source.parts) <= 16 and len(sample) < _sample_rows(source) // len(source.parts)


def _may_lack_classes(source: Source, sample: pa.Table, schema: Schema, scanned: bool) -> bool:
    """Whether there may be classes that the sample lacks, and that can be looked for."""
    return schema.task == "classification" and source.rereadable and not scanned and not _holds_all(sample, source)


def _may_wait(source: Source) -> bool:
    """Whether classes that the sample lacks may be left to show up in training, which then begins anew.

    To read the target alone, all of a text must be parsed. Where rows may be skipped, one of an unknown class would be.
    """
    return getattr(source, "parsed", False) and source.bad is None


@contextmanager
def _labels_beside(source: Source, settings: Settings) -> Iterator[Callable[[bool], Labels | None]]:
    """Give what tells, once it is known whether labels are needed, how to wait for them: a thread reads them.

    It begins beside the sample where they will most likely be needed: the sample alone keeps two cores busy for three
    quarters, and statistics wait for the labels. When the block is left, nothing is read any more.
    """
    target, over = settings.target or "", threading.Event()
    with ThreadPoolExecutor(1, "schuss-labels") as beside:
        begun = beside.submit(_labels, source, target, over) if _has_labels(source, settings) else None

        def labels_if(needed: bool) -> Labels | None:
            if needed:
                return (begun or beside.submit(_labels, source, target, over)).result
            over.set()
            return None

        try:
            yield labels_if
        finally:
            over.set()


def _has_labels(source: Source, settings: Settings) -> bool:
    """Whether the target looks like one of classes, of which a sample may lack some."""
    known = source.rereadable and source.rows is not None and source.rows > _sample_rows(source)
    if not known or settings.scan or _may_wait(source) or settings.target not in source.schema.names:
        return False
    family = None if settings.loss is None else family_of(settings.loss).task
    if "regression" in (family, settings.task):
        return False
    kind = source.schema.field(settings.target).type
    return is_stringy(kind) or pa.types.is_boolean(kind) or pa.types.is_integer(kind)


def _labels(source: Source, target: str, over: threading.Event) -> pa.ChunkedArray:
    """Read the target alone to its end, or until nobody wants it any more.

    Of a million rows of CSV with 29 columns this took a fifth of the processor time of a training of one epoch.
    """
    found = list[pa.Array]()
    for batch in source.batches(columns=[target]):
        if over.is_set():
            break
        found.append(batch.table.column(target).unique())
    labels = pa.chunked_array([one.dictionary_decode() if hasattr(one, "dictionary") else one for one in found])
    if source.bad is None:
        return labels
    known = pa.table({target: labels})
    return screened(known, checks_of_target(known, target), source.parts[0]).column(target)


def _fit(
    source: Source,
    sample: pa.Table,
    schema: Schema,
    labels: Labels | None,
    positive: bool,
    hash_bits: int = 18,
) -> Encoder:
    """Take the statistics of the sample."""
    rows = _rows(source, sample)
    return Encoder.fit(
        sample,
        schema,
        name=source.parts[0],
        rows_expected=rows,
        hash_bits=hash_bits,
        labels=labels,
        positive=positive,
    )


def _rows(source: Source, sample: pa.Table) -> int:
    """Give the rows of a source, estimated from its bytes if need be: Arrow takes about what text takes."""
    if source.rows is not None:
        return source.rows
    if source.nbytes is None or _holds_all(sample, source):
        return len(sample)
    return max(int(source.nbytes / (sample.nbytes / len(sample))), len(sample))


def _fit_into_memory(settings: Settings, fit: Callable[..., Encoder]) -> tuple[Settings, Encoder, list[str]]:
    """Keep the weights within --memory by fewer runs, then by fewer hashed features, and say so."""
    notices: dict[str, str] = {}
    encoder = fit()
    while (size := weights_bytes(settings, encoder)) > settings.memory_bytes:
        if settings.runs > 4:
            settings = replace(settings, runs=max(settings.runs // 2, 4))
            notices["runs"] = f"only {settings.runs} runs race, so that the weights fit into --memory"
        elif encoder.hash_bits > 10:
            bits = encoder.hash_bits - 1
            encoder = fit(hash_bits=bits)
            notices["bits"] = (
                f"columns have at most {1 << bits:,} hashed features, so that the weights fit into --memory"
            )
        else:
            raise OptionError(f"the weights of {settings.runs} runs take {size:,} bytes, more than --memory allows")
    return settings, encoder, list(notices.values())


def _reader(source: Source, encoder: Encoder, holdout: Holdout, settings: Settings, sample: pa.Table) -> Reader:
    """Put together what reads the rows; a held-out share is lowered where it would be more than is of use."""
    rows_known = source.rows if source.rows is not None else (len(sample) if settings.scan else None)
    if holdout.kind == "last" and rows_known is None:
        if not source.rereadable:
            raise OptionError("option '--holdout last:…' needs the number of rows, which a stream does not tell")
        rows_known = sum(batch.table.num_rows for batch in source.batches(columns=[encoder.columns[-1]]))
    expected = rows_known or _rows(source, sample)
    if holdout.share * expected > AT_MOST:
        holdout = replace(holdout, share=AT_MOST / expected)
    weights = _class_weights(encoder, sample) if settings.class_weight else None
    held_out = None if holdout.file is None else open_held_out(holdout.file, source, encoder, settings)
    mean = _mean_weight(encoder, sample, source.parts[0])
    share = float(settings.max_bad_rows)
    return Reader(source, encoder, holdout, settings.seed, weights, rows_known, expected, held_out, mean, share)


def _mean_weight(encoder: Encoder, sample: pa.Table, name: str) -> float:
    """Give the mean weight of the sample's rows, one where they have none or all are zero."""
    column = encoder.schema.named(Role.WEIGHT)
    if column is None:
        return 1.0
    weights = row_weights(in_one_piece(sample.column(column)), Place(name, 0, column))
    return float(weights.mean(dtype=np.float64)) or 1.0


def open_held_out(file: str, source: Source, encoder: Encoder, settings: Settings) -> Source:
    """Open a file of held-out rows so that its columns are read as those of the source."""
    try:
        held_out = open_source(
            file,
            header=settings.header,
            svmlight_base=svmlight_base(source),
            on_bad_row=settings.on_bad_row,
            **encoder.reading(),
        )
    except DataError as error:
        raise OptionError(
            f"option '--holdout' takes a share such as 0.1, last:0.1, group:COLUMN, none or a file: {error}"
        ) from error
    require_columns(encoder.columns, held_out.schema.names, held_out.parts[0])
    return held_out


def svmlight_base(source: Source) -> int | None:
    """Give the index of the first feature in svmlight files, None in others."""
    base = (source.schema.metadata or {}).get(b"schuss.svmlight_base")
    return None if base is None else int(base)


def _class_weights(encoder: Encoder, sample: pa.Table) -> NDArray[np.float32]:
    """Weigh classes so that each counts the same: N / (classes · rows of the class)."""
    if encoder.classes is None:
        raise OptionError("option '--class-weight' is for classification")
    counts = np.zeros(len(encoder.classes))
    for batch in sample.to_batches(max_chunksize=65_536):
        targets = encoder.encode(batch, where="sample", first_row=0).targets
        counts += np.bincount(targets.astype(np.intp), minlength=len(counts))
    return (counts.sum() / (len(counts) * np.maximum(counts, 1))).astype(np.float32)
