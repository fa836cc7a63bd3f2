"""What holds for all tests: BLAS and PyTorch have one thread, where a test does not ask for more.

Nothing here is large enough for a second thread to help, and on a busy machine each waits for the other: a hundred
steps of Adam on 31 weights took 1.65 s of processor time with two threads and 0.16 s with one.
"""

from __future__ import annotations

import sys

from threadpoolctl import threadpool_limits


def pytest_collection_finish() -> None:
    """Set the threads of what the test modules have imported."""
    threadpool_limits(1, user_api="blas")
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
