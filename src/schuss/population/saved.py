"""The state of a population for a checkpoint: every array and every number, whatever its optimizer."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from schuss.data.saved import Saved, from_plain, to_plain
from schuss.descent.schedules import Slowed
from schuss.population.population import Run

__all__ = ["load_state", "runs_of", "save_state"]


def save_state(state: Any) -> Saved:
    """Save a dataclass of runs, plain values and `blocks`, named tuples of arrays, of which `spare` is workspace."""
    values = {field.name: to_plain(getattr(state, field.name)) for field in fields(state) if field.name != "blocks"}
    arrays = {
        f"{number}.{name}": array
        for number, block in enumerate(state.blocks)
        for name, array in block._asdict().items()
        if name != "spare"
    }
    return Saved(values, arrays)


def runs_of(saved: Saved) -> tuple[Run, ...]:
    """Give the runs of a state that was saved."""
    return tuple(Run(*run) for run in from_plain(saved.values["runs"]))


def load_state(saved: Saved, fresh: Any) -> Any:
    """Give the state that was saved, in the memory of a fresh one with as many blocks of the same width.

    Raises ValueError where the arrays of the two differ in shape.
    """
    for number, block in enumerate(fresh.blocks):
        for name, array in block._asdict().items():
            if name == "spare":
                continue
            kept = saved.arrays[f"{number}.{name}"]
            if kept.shape != array.shape or kept.dtype != array.dtype:
                raise ValueError(f"'{name}' of its runs is {kept.dtype} {kept.shape}, not {array.dtype} {array.shape}")
            array[...] = kept
    plain = {name: from_plain(value) for name, value in saved.values.items() if name not in ("runs", "slowed")}
    slowed = tuple(Slowed(*values) for values in from_plain(saved.values.get("slowed", [])))
    return replace(fresh, runs=runs_of(saved), slowed=slowed, **plain)
