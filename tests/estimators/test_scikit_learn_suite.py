"""scikit-learn's own tests of its estimators, with schuss's in their place; docs/scikit-learn.md gives the reasons."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
DOCUMENT = HERE.parent.parent / "docs" / "scikit-learn.md"
LEAST_PASSED = 150

OTHERS = "neclass or OneClass or ocsvm or test_loss_ or test_gradient_ or backends or gridsearch"
"""What is not of these estimators (one-class machines, loss functions in Cython), or starts processes."""


def documented() -> set[str]:
    """The names of the tests that the documentation says do not pass."""
    return set(re.findall(r"^\|`(test_\w+)`\|", DOCUMENT.read_text(encoding="utf-8"), re.M))


def test_scikit_learns_tests_pass_but_for_those_that_are_documented(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "--pyargs", "sklearn.linear_model.tests.test_sgd", "-p",
               "in_place_of_sklearn", "-c", os.devnull, "--rootdir", str(tmp_path), "-p", "no:cacheprovider", "-q",
               "-rA", "--tb=no", "-k", f"not ({OTHERS})"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    passed, failed = (re.findall(rf"^{word} \S*::(test_\w+)", done.stdout, re.M) for word in ("PASSED", "FAILED"))
    assert len(passed) >= LEAST_PASSED, done.stdout[-3000:] + done.stderr
    assert set(failed) == documented(), done.stdout[-3000:]
