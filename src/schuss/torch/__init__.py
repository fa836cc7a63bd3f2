"""Users' own PyTorch modules: their losses as objectives; needs `pip install 'schuss[torch]'`."""

from __future__ import annotations

from schuss.errors import OptionError

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError:
    raise OptionError("schuss.torch needs PyTorch: pip install 'schuss[torch]'") from None

from schuss.torch import optim
from schuss.torch.objective import ModuleObjective

__all__ = ["ModuleObjective", "optim"]
