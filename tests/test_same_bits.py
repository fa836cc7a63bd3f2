"""The bits of what is learned do not depend on how many threads BLAS would take."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from schuss.process import available_cores, one_blas_thread

FITS = """
import hashlib, sys, warnings
import numpy as np, scipy.sparse
import schuss
from schuss import SGDClassifier, SGDRegressor

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)

def problem(rows, features, classes, dtype=np.float64):
    X = (rng.normal(size=(rows, features)) * rng.uniform(0.1, 10.0, features) + 1.0).astype(dtype)
    scores = X[:, :3] / X[:, :3].std(axis=0) + rng.gumbel(size=(rows, 3))
    return X, scores.argmax(axis=1) % classes if classes else scores.sum(axis=1)

def tell(name, *arrays):
    told = hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays))
    print(name, told.hexdigest()[:16])

def tell_linear(name, estimator):
    tell(name, estimator.coef_, estimator.intercept_, np.float64(estimator.alpha_), np.int64(estimator.n_iter_))

shapes = {(20_000, 60): (np.float64, np.float32), (400, 1500): (np.float64,), (100_000, 12): (np.float64,)}
for (rows, features), dtypes in shapes.items():
    for dtype in dtypes:
        X, y = problem(rows, features, 2, dtype)
        name = f"{rows} x {features}, {np.dtype(dtype).name}:"
        for loss in ("log_loss", "hinge"):
            tell_linear(f"{name} {loss}", SGDClassifier(loss, max_iter=10, random_state=0).fit(X, y))
        weighted = SGDClassifier(class_weight="balanced", max_iter=5, random_state=0)
        tell_linear(f"{name} class weights", weighted.fit(X, y))
        stopped = SGDClassifier("log_loss", early_stopping=True, max_iter=3, random_state=0)
        tell_linear(f"{name} early stopping", stopped.fit(X, y))
        online = SGDClassifier("log_loss", random_state=0).partial_fit(X, y, classes=[0, 1])
        tell(f"{name} online", online.coef_)
        tell(f"{name} online after fit", SGDRegressor(random_state=0).fit(X, y).partial_fit(X, y).coef_)
        X, y = problem(rows, features, 0, dtype)
        tell_linear(f"{name} two targets", SGDRegressor(random_state=0).fit(X, np.column_stack([y, y**2])))
X, y = problem(1000, 40, 2)
tell_linear("alpha by folds", SGDClassifier("log_loss", alpha="auto", max_iter=20, random_state=0).fit(X, y))
X, y = problem(2000, 40, 3)
tell_linear("softmax", SGDClassifier("log_loss", random_state=0).fit(X, y))
sparse = scipy.sparse.random(2000, 3000, density=0.01, format="csr", random_state=0)
tell_linear("CSR", SGDClassifier("hinge", random_state=0).fit(sparse, y > 0))
threads = int(sys.argv[1])
for rows, features in ((120_000, 12), (2000, 40)):
    X, y = problem(rows, features, 2, np.float32)
    tell(f"train on {rows} rows", schuss.train((X, y), runs=4, threads=threads).model.weights)
"""


LATER = """
from threadpoolctl import threadpool_info
import numpy as np
from schuss.finish.solve import minimise
from schuss.process import one_blas_thread

def threads():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

class Bowl:
    seen = set()

    def value_and_gradient(self, weights):
        self.seen |= threads()
        return float((weights**2).sum()) / 2, weights

before = len(threadpool_info())
with one_blas_thread:
    minimise(Bowl(), np.ones((3, 1)), passes=5, l1=0.1)
print(Bowl.seen, len(threadpool_info()) > before, threads())
"""


def told(code: str, *threads: int) -> list[str]:
    """Run code in processes of its own, in which BLAS has so many threads, and give what each prints."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(many)], env={**os.environ, "OPENBLAS_NUM_THREADS": str(many)},
            stdout=subprocess.PIPE, text=True,
        )
        for many in threads
    ]  # fmt: skip
    found = [process.communicate(timeout=300)[0] for process in running]
    assert [process.returncode for process in running] == [0] * len(running)
    return found


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


needs_two = pytest.mark.skipif(available_cores() < 2, reason="OpenBLAS takes no more threads than there are cores")


@needs_two
def test_what_is_learned_does_not_depend_on_threads() -> None:
    one, two = told(FITS, 1, 2)
    assert len(one.splitlines()) > 30
    assert one == two


@needs_two
def test_scipys_blas_has_one_thread_too_where_solving_loads_it() -> None:
    assert told(LATER, 2) == ["{1} True {2}\n"]


@needs_two
def test_threads_are_given_back_by_whoever_ends_last() -> None:
    with threadpool_limits(2, user_api="blas"):
        with ExitStack() as first, ExitStack() as last:
            first.enter_context(one_blas_thread)
            assert blas_threads() == {1}
            last.enter_context(one_blas_thread)
            first.close()
            assert blas_threads() == {1}
        assert blas_threads() == {2}


@needs_two
def test_threads_are_given_back_after_an_error() -> None:
    @one_blas_thread
    def fail() -> None:
        assert blas_threads() == {1}
        raise ZeroDivisionError

    with threadpool_limits(2, user_api="blas"):
        with pytest.raises(ZeroDivisionError):
            fail()
        assert blas_threads() == {2}
