"""The file of a model: which arrays there must be, before any is read, and whose code may run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.state import array_names
from ..descent.losses import is_loss
from ..errors import OptionError
from ..named import load
from ..population.architecture import Architecture
from ..population.outside import Outside
from ..sealed import Sealed

__all__ = ["allowed", "arrays_of", "network_of_values", "require_arrays", "require_fit", "under"]


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


def network_of_values(told: Mapping[str, Any]) -> Architecture | Outside:
    """Give the network that a file tells of; raises TypeError or ValueError where there can be none."""
    return (Outside if "factory" in told else Architecture).from_values(told)


def allowed(model: Any, network: str | Callable[[int, int], Any] | None) -> Any:
    """Give a model whose module may be made by the factory that the user has named; raises OptionError without use."""
    if network is None:
        return model
    if not isinstance(model.network, Outside):
        raise OptionError("option '--network' lets the code of a module run, and this model needs none")
    make: Any = load(network, "option '--network'") if isinstance(network, str) else network
    return replace(model, network=model.network.allowed(make))


def require_fit(model: Any, outputs: int) -> None:
    """Raise ValueError unless the parts of a model, of so many scores, fit together."""
    sizes = model.encoder.width + 1, outputs
    wanted = {"weights": sizes}
    if model.network is not None:
        if (model.network.features + 1, model.network.outputs) != sizes:
            raise ValueError("its network is not one of its features and outputs")
        reach = sizes[0] - 1, sizes[1]
        wanted = {"weights": (len(model.weights), model.network.size), "slopes": sizes, "reach": reach}
    for name, shape in wanted.items():
        array = getattr(model, name)
        if array.shape != shape or not len(array) or not np.isfinite(array).all():
            raise ValueError(f"its {name} are not {shape[0]:,} times {shape[1]:,} finite numbers")
    if not isinstance(model.loss, str) or not is_loss(model.loss, model.task):
        raise ValueError(f"the loss '{str(model.loss)[:40]}' is unknown in {model.task}")
    if not (isinstance(model.settings, dict) and isinstance(model.versions, dict)):
        raise ValueError("its settings and versions are not named")
    if model.svmlight_base not in (None, 0, 1):
        raise ValueError("its svmlight files count from neither 0 nor 1")
