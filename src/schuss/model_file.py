"""The arrays in the file of a model: which there must be, before any is read."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data.state import array_names
from .sealed import Sealed

__all__ = ["arrays_of", "require_arrays", "under"]


def require_arrays(file: Sealed) -> None:
    """Raise ValueError unless a file holds the arrays that its values name, and can be the ones they name."""
    encoder = {f"encoder.{name}" for name in array_names(file.values["encoder"])}
    given = {name for name in file.arrays if not name.startswith("state.")}
    own = arrays_of(file.values["network"] is not None)
    wanted = {*encoder, *own}
    if given != wanted:
        raise ValueError(f"it lacks, or should not have, the array '{min(given ^ wanted)[:80]}'")
    for name in own:
        weights = file.arrays[name]
        if weights.dtype != np.float32 or len(weights.shape) != 2:
            raise ValueError(f"its {name} are {weights.dtype} of {len(weights.shape)} dimensions, not float32 of 2")
    for name in encoder:
        if len(file.arrays[name].shape) != 1:
            raise ValueError(f"its array '{name}' has not one dimension")


def arrays_of(network: bool) -> tuple[str, ...]:
    """Name the arrays of a model itself: of networks those of its slopes beside its weights."""
    return ("weights", "slopes", "reach") if network else ("weights",)


def under(prefix: str, file: Sealed) -> dict[str, NDArray[Any]]:
    """Read the arrays whose names begin with a prefix, and name them without it."""
    return {name.removeprefix(prefix): file.load(name) for name in file.arrays if name.startswith(prefix)}
