"""Jobs of several threads: who does which, and what is left of them."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from functools import partial

import numpy as np
import pytest
from tests.cases import LOSSES_BY_NAME, RULES_BY_NAME, chunk_of, dense_rows, runs_of

from schuss.population.linear import Linear
from schuss.population.workers import side_by_side


@pytest.mark.parametrize(("jobs", "threads", "used"), [(1, 2, 1), (3, 2, 2), (5, 3, 3), (2, 4, 2)])
def test_results_are_in_order_and_jobs_go_round_the_threads(jobs: int, threads: int, used: int) -> None:
    def job(number: int) -> tuple[int, int]:
        return number, threading.get_ident()

    numbers, by = zip(*side_by_side([partial(job, number) for number in range(jobs)], threads), strict=True)
    assert numbers == tuple(range(jobs))
    assert by == tuple(by[number % used] for number in range(jobs))
    assert by[0] == threading.get_ident()
    assert len(set(by)) == used


def test_a_thread_at_rest_holds_nothing_of_its_last_jobs() -> None:
    class Rows:
        def count(self) -> int:
            return 1

    rows = Rows()
    gone = weakref.ref(rows)
    assert side_by_side([rows.count, rows.count], 2) == [1, 1]
    del rows
    give_up = time.monotonic() + 10
    while gone() is not None and time.monotonic() < give_up:  # the thread hands over what it found, then lets go
        time.sleep(0.001)
        gc.collect()
    assert gone() is None


@pytest.mark.parametrize(("runs", "threads"), [(16, 1), (16, 2), (32, 2), (48, 2)])
def test_the_weights_of_a_chunk_are_added_up_once_and_in_double(runs: int, threads: int) -> None:
    rows = dense_rows(200, 3)
    weights = np.random.default_rng(0).uniform(0.5, 2.0, len(rows)).astype(np.float32)
    weights[0] = 2.0**25  # in float32 the others would vanish beside it
    chunk = chunk_of(rows, np.arange(200) % 2, weights)
    ours = Linear(RULES_BY_NAME["sgd"].rule, LOSSES_BY_NAME["log_loss"].loss, 3, 1, 32, False, threads=threads)
    _, tallies = ours.advance(ours.start(runs_of([1e-9] * runs)), chunk)
    assert len(tallies.loss) == runs
    assert tallies.weight == pytest.approx(weights.astype(np.float64).sum(), rel=1e-12)
