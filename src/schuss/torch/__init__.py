"""Users' own PyTorch modules: races, objectives and optimizers; needs `pip install 'schuss[torch]'`."""

from __future__ import annotations

from schuss.errors import OptionError

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError:
    raise OptionError("schuss.torch needs PyTorch: pip install 'schuss[torch]'") from None

from schuss.torch import optim
from schuss.torch.finder import FoundRate, find_learning_rate
from schuss.torch.objective import ModuleObjective
from schuss.torch.options import RaceOptions
from schuss.torch.race import RaceResult, race

__all__ = ["FoundRate", "ModuleObjective", "RaceOptions", "RaceResult", "find_learning_rate", "optim", "race"]
