"""What holds for all tests: which files come first, and how many threads there are.

BLAS and PyTorch have one thread where a test does not ask for more. Nothing here is large enough for a second one to
help, and on a busy machine each waits for the other: a hundred steps of Adam on 31 weights took 1.65 s of processor
time with two threads and 0.16 s with one.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from types import SimpleNamespace

import pytest

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")  # which PyTorch takes for its own; Arrow would take OMP_NUM_THREADS too

LONG = (
    "tests/test_wheel.py", "tests/cluster/test_on_ray.py", "tests/estimators/test_scikit_learn_suite.py",
    "tests/report/test_browser.py", "tests/docs/test_lessons.py", "tests/test_optimizers_by_name.py",
    "tests/training/test_resume.py", "tests/landscape/test_networks.py", "tests/test_warmup.py",
    "tests/estimators/test_conformance.py", "tests/population/test_linear.py", "tests/training/test_networks.py",
    "tests/test_trust.py",
)  # fmt: skip
"""Files of long tests. `make test` gives whole files to its workers: what comes last leaves one of them idle."""

ROOMS = ("data", "finish", "fitting", "population", "race")
"""Rooms whose modules are partly imported when they are needed."""


def import_rooms() -> None:
    """Import them now, as all of `pytest` does for their doctests, and a single file of tests does not.

    A test that gives a constant another value for its while (rows of a batch, say) would leave that value in every
    module that is first imported meanwhile and takes the constant by its name.
    """
    for room in ROOMS:
        package = importlib.import_module(f"schuss.{room}")
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            if not module.ispkg:  # population.network needs PyTorch
                importlib.import_module(module.name)


import_rooms()


@pytest.fixture
def uncompiled_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let linear models learn by kernels that stay Python.

    Each rule with each loss takes seconds to compile; that compiled kernels do the same is tested in tests/kernels.
    """
    from tests.cases import uncompiled

    from schuss.population import dense, sparse

    monkeypatch.setattr(dense, "run", uncompiled)
    monkeypatch.setattr(sparse, "store", SimpleNamespace(run=uncompiled))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files of long tests."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))
