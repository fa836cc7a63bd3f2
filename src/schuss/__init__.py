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
    from .comparison import Comparison, compare
    from .estimators import NetworkClassifier, NetworkRegressor, SGDClassifier, SGDRegressor
    from .landscape.gradcheck import gradcheck
    from .model import Model
    from .resuming import resume
    from .surveying import Survey, survey_run
    from .training import Result, train
    from .updating import Updated, update

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
    "Comparison": "comparison",
    "Model": "model",
    "NetworkClassifier": "estimators",
    "NetworkRegressor": "estimators",
    "Result": "training",
    "SGDClassifier": "estimators",
    "SGDRegressor": "estimators",
    "Updated": "updating",
    "compare": "comparison",
    "gradcheck": "landscape.gradcheck",
    "resume": "resuming",
    "Survey": "surveying",
    "survey_run": "surveying",
    "train": "training",
    "update": "updating",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module 'schuss' has no attribute {name!r}")
    return getattr(import_module(f".{_LAZY[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
