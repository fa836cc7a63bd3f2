"""What of a training does not change, as its checkpoints keep it: data, options, encoder, versions."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .. import __version__
from ..data.encoder import Encoder
from ..data.files import look_at
from ..data.holdout import Holdout
from ..data.reader import Reader
from ..data.saved import Saved, together
from ..data.source import Source
from ..errors import OptionError, ResumeError
from ..runs.folder import RunFolder
from ..versions import version_of
from .lineup import Constant, available_threads
from .preparation import Prepared, open_data, open_held_out
from .settings import Settings

__all__ = [
    "load_constant",
    "load_prepared",
    "place_of",
    "places_for_workers",
    "require_same_versions",
    "save_basis",
    "versions",
]


def place_of(data: Any) -> list[str] | None:
    """Give the files, folders and addresses that the data of a training are, as they are called from anywhere.

    None for data in memory, "-" for standard input.

    >>> place_of("-"), place_of("s3://bucket/a.parquet"), place_of([[1.0]])
    (['-'], ['s3://bucket/a.parquet'], None)
    """
    places = [data] if isinstance(data, str | os.PathLike) else data
    if not isinstance(places, list | tuple) or not all(isinstance(one, str | os.PathLike) for one in places):
        return None
    return [_from_anywhere(os.fspath(one)) for one in places]


def places_for_workers(data: Any) -> list[str]:
    """Give the files of a training by names that hold on every machine; refuse what only this process has."""
    places = place_of(data)
    if places is None or "-" in places:
        what = "data in memory" if places is None else "standard input"
        raise OptionError(f"option '--workers' needs files that every worker can read, not {what}")
    return places


def _from_anywhere(place: str) -> str:
    fixed = place == "-" or "://" in place
    return place if fixed else str(Path(place).expanduser().absolute())


def save_basis(prepared: Prepared, data: Any, constant: Constant) -> Saved:
    """Save what was settled before the race began."""
    settings, source, encoder, reader = prepared.settings, prepared.source, prepared.encoder, prepared.reader
    described, arrays = encoder.to_state()
    place, holdout = place_of(data), reader.holdout
    plain = {each.name: getattr(reader, each.name) for each in fields(reader)}
    if reader.class_weights is not None:
        arrays = {**arrays, "class_weights": reader.class_weights}
    values = {
        "place": place,
        "fingerprint": _fingerprint(source, place),
        "held_out": None if reader.held_out is None else _fingerprint(reader.held_out, []),
        "versions": versions(settings.network is not None),
        "threads": {"arrow": pa.cpu_count(), "training": available_threads(settings.threads)},
        "settings": {**settings.as_given(), "target": settings.target},
        "loss": prepared.loss,
        "notices": list(prepared.notices),
        "encoder": described,
        "holdout": {
            "kind": holdout.kind,
            "share": holdout.share,
            "column": holdout.column,
            "file": None if holdout.file is None else _from_anywhere(holdout.file),
        },
        "reader": {name: value for name, value in plain.items() if value is None or isinstance(value, int | float)},
        "constant": constant.loss,
    }
    own = {"constant": constant.scores}
    return together(values, own=Saved({}, own), encoder_arrays=Saved({}, arrays))


@cache
def versions(network: bool = False) -> dict[str, str]:
    """Give all that the bits of a model depend on besides the data and the options: versions, and the processor."""
    import llvmlite.binding as llvm

    names = ("numpy", "numba", "scipy", "pyarrow", *(["torch"] if network else []))
    libraries = {name: version_of(name) for name in names}
    processor = f"{platform.machine()} {llvm.get_host_cpu_name()}"
    return {"schuss": __version__, "python": platform.python_version(), **libraries, "machine": processor}


def require_same_versions(basis: Saved) -> None:
    """Raise ResumeError where another version, or another kind of processor, would give other bits."""
    then = basis.values["versions"]
    now = versions(basis.values["settings"]["network"] is not None)
    other = [
        f"{name} {then.get(name)} (now {now.get(name)})" for name in {**then, **now} if then.get(name) != now.get(name)
    ]
    if other:
        where = "the same versions, on the same kind of machine"
        raise ResumeError(f"this run began with {', '.join(other)}: it can only go on with {where}")


def load_constant(basis: Saved) -> Constant:
    """Give the constant prediction of the run."""
    scores = basis.part("own").arrays["constant"]
    if scores.dtype != np.float64 or scores.ndim != 1 or not np.isfinite(scores).all():
        raise ValueError("its constant prediction is none")
    return Constant(scores, basis.values["constant"])


def load_prepared(basis: Saved, data: Any, folder: RunFolder, listener: Any) -> Prepared:
    """Settle everything as it was before the race began, without looking at the data again.

    data : those in memory, passed again; None for files, which are found where they were.
    Raises ResumeError where they are not the same any more.
    """
    values = basis.values
    given = {name: value for name, value in values["settings"].items() if name != "threads"}
    settings = Settings(**given, threads=values["threads"]["training"], force=True, progress=listener)
    source = open_data(_data(values["place"], data), settings)
    _require_same(values["fingerprint"], _fingerprint(source, values["place"]))
    arrays = dict(basis.part("encoder_arrays").arrays)
    class_weights = arrays.pop("class_weights", None)
    encoder = Encoder.from_state(values["encoder"], arrays)
    holdout = Holdout(**values["holdout"])
    held_out = None if holdout.file is None else open_held_out(holdout.file, source, encoder, settings)
    if held_out is not None:
        _require_same(values["held_out"], _fingerprint(held_out, []))
    plain: Mapping[str, Any] = values["reader"]
    special = {"class_weights": class_weights, "held_out": held_out}
    reader = Reader(source, encoder, holdout, **{**plain, **special})
    return Prepared(settings, source, encoder, values["loss"], reader, folder, tuple(values["notices"]))


def _data(place: list[str] | None, data: Any) -> Any:
    """Give what is to be opened: the data passed again, or files where they were."""
    if place is None and data is None:
        raise ResumeError("this run learns from data in memory: schuss.resume(run, data) in Python goes on with it")
    if place is None:
        return data
    if data is not None:
        raise ResumeError(f"this run learns from {place[0]}: it goes on without being told so again")
    return place if len(place) > 1 else place[0]


def _fingerprint(source: Source, place: list[str] | None) -> list[dict[str, object]]:
    """Describe the data so that a change is noticed: files by path, size, time and a look, data in memory by a hash."""
    if place is None:
        return [{"sha256": _digest(source), "rows": source.rows}]
    stamps, files = source.fingerprint(), getattr(source, "files", ())
    looks = look_at(files) if files else [_digest(source)] * len(stamps)  # .npz files are in memory
    return [
        {**stamp, "path": _from_anywhere(str(stamp["path"])), "look": look}
        for stamp, look in zip(stamps, looks, strict=True)
    ]


def _digest(source: Source) -> str:
    """Hash all rows."""
    sink = _Hashed()
    with pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), source.schema) as stream:
        for batch in source.batches():
            stream.write_batch(batch.table)
    return sink.digest.hexdigest()


class _Hashed:
    """A file of which only the hash is kept."""

    def __init__(self) -> None:
        self.digest, self.closed = hashlib.sha256(), False

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return len(data)

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        self.closed = True


def _require_same(then: list[dict[str, Any]], now: list[dict[str, Any]]) -> None:
    """Raise ResumeError at the first difference between two descriptions of the data."""
    if len(then) != len(now):
        raise ResumeError(f"this run began with {len(then)} files, and there are {len(now)} now")
    for old, new in zip(then, now, strict=True):
        if old == new:
            continue
        if "sha256" in old:
            raise ResumeError("the data passed are not those that this run began with")
        if old["path"] != new["path"]:
            raise ResumeError(f"this run began with {old['path']}, where there is {new['path']} now")
        words = {"size": "size is", "mtime_ns": "time of change is", "look": "content is"}
        what = next(words[name] for name in words if old[name] != new[name])
        raise ResumeError(f"{old['path']} has been changed since this run began: its {what} another one")
