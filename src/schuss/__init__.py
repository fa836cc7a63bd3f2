"""schuss: stochastic gradient descent without guessing the learning rate.

>>> import schuss
>>> schuss.__version__.count(".")
2
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .errors import (
    ClusterError,
    DataError,
    InputError,
    ModelFileError,
    OptionError,
    OutputError,
    ResumeError,
    SchussError,
    TrainingError,
)

if TYPE_CHECKING:
    from .estimators import NetworkClassifier, NetworkRegressor, SGDClassifier, SGDRegressor
    from .ladder.comparison import Comparison, compare
    from .landscape.gradcheck import gradcheck
    from .model.model import Model
    from .surveying.surveying import Survey, survey_run
    from .training.resuming import resume
    from .training.training import Result, train
    from .updating.updating import Updated, update

__version__ = "0.1.0"

__all__ = [
    "ClusterError",
    "Comparison",
    "DataError",
    "InputError",
    "Model",
    "ModelFileError",
    "NetworkClassifier",
    "NetworkRegressor",
    "OptionError",
    "OutputError",
    "Result",
    "ResumeError",
    "SGDClassifier",
    "SGDRegressor",
    "SchussError",
    "Survey",
    "TrainingError",
    "Updated",
    "__version__",
    "compare",
    "gradcheck",
    "resume",
    "survey_run",
    "train",
    "update",
]

# Loaded when first asked for, so that `import schuss` and `schuss --help` stay instant: numba and pyarrow alone take a
# second to import.
_LAZY = {
    "Comparison": "ladder.comparison",
    "Model": "model.model",
    "NetworkClassifier": "estimators",
    "NetworkRegressor": "estimators",
    "Result": "training.training",
    "SGDClassifier": "estimators",
    "SGDRegressor": "estimators",
    "Updated": "updating.updating",
    "compare": "ladder.comparison",
    "gradcheck": "landscape.gradcheck",
    "resume": "training.resuming",
    "Survey": "surveying.surveying",
    "survey_run": "surveying.surveying",
    "train": "training.training",
    "update": "updating.updating",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module 'schuss' has no attribute {name!r}")
    return getattr(import_module(f".{_LAZY[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
