"""One small Ray cluster for all tests of a file: those of the next one may be about clusters that are not there."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tests.cluster.faults import STORE

from schuss.cluster.on_ray import _imported


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Two workers on this machine, which trainings find and leave running."""
    ray = _imported(None)
    ray.init(
        address="local", num_cpus=2, include_dashboard=False, object_store_memory=STORE, log_to_driver=False,
        configure_logging=False,
    )  # fmt: skip
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    yield
    ray.shutdown()
