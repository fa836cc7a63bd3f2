"""How kernels are compiled and kept: once, in a folder for the sources as they are; no read out of bounds."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numba import njit
from numba.core import config
from tests.cases import (
    LOSSES_BY_NAME,
    RULE_CASES,
    RULES_BY_NAME,
    RuleCase,
    chunk_of,
    dense_rows,
    ids,
    learn,
    runs_of,
    targets_for,
    to_sparse,
)

from schuss import descent
from schuss.kernels import dense, sparse
from schuss.kernels.options import FAST
from schuss import kernels
from schuss.population.linear import Linear
from schuss.population.warmup import warmup

KERNELS = [
    dense.advance_dense, dense.losses_dense, dense.step_features,
    sparse.advance_lazily, sparse.advance_fully, sparse.catch_up, sparse.losses_sparse,
]  # fmt: skip

SCRIPT = """
import json, sys
import numpy as np
from numba.core import config
from schuss.data.chunk import Chunk, SparseRows
from schuss.descent.losses import Hinge, Softmax
from schuss.descent.optimizers import OPTIMIZERS
from schuss.kernels import dense, sparse
from schuss.population.linear import Linear
from schuss.population.population import Run

def csr(rows):
    at = np.nonzero(rows)
    indptr = np.concatenate([[0], np.cumsum((rows != 0).sum(1))]).astype(np.int64)
    return SparseRows(indptr, at[1].astype(np.int32), rows[at].astype(np.float32), rows.shape[1])

rows = np.random.default_rng(0).normal(size=(11, 6)).astype(np.float32)
rows[:, 5] = 0; rows[3] = 0; rows[rows < -0.5] = 0
weights = {}
for name, loss, outputs, layout, batch in json.loads(sys.argv[1]):
    loss = {"hinge": Hinge(), "softmax": Softmax()}[loss]
    population = Linear(OPTIMIZERS[name](), loss, 6, outputs, batch, layout == "sparse")
    state = population.start(tuple(Run(i, name, 0.1, 0.01, "linear", batch) for i in range(3)))
    for part in (rows[:7], rows[7:], rows[:1]):
        goals, ones = np.ones(len(part), np.int32), np.ones(len(part), np.float32)
        chunk = Chunk(csr(part) if layout == "sparse" else part, goals, ones)
        state, tallies = population.advance(state, chunk)
    state = population.up_to_date(state)
    weights[f"{name} {layout}"] = population.take(state, 1).weights.tolist()
    population.losses(state, chunk)
counts = {f.__name__: [sum(f.stats.cache_hits.values()), sum(f.stats.cache_misses.values())] for f in
          (dense.advance_dense, dense.losses_dense, sparse.advance_lazily, sparse.advance_fully, sparse.losses_sparse)}
print(json.dumps({"counts": counts, "weights": weights, "folder": config.CACHE_DIR}))
"""


def run_script(cases: list[Any], folder: Path, **environment: str) -> dict[str, Any]:
    environment = {**os.environ, "SCHUSS_CACHE": str(folder), **environment}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, json.dumps(cases)],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_new_process_finds_every_kernel(tmp_path: Path) -> None:
    cases = [["sgd", "hinge", 1, "dense", 4], ["sgd", "hinge", 1, "sparse", 4]]
    package = Path(kernels.__file__).parent
    before = set(package.rglob("*.nb?"))
    first, second = (run_script(cases, tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "users own")) for _ in range(2))
    assert all(misses for name, (_, misses) in first["counts"].items() if name != "advance_fully")
    assert all((hits, misses) == (1, 0) for name, (hits, misses) in second["counts"].items() if name != "advance_fully")
    assert second["weights"] == first["weights"]
    # All of them in the folder named by the sources, and the user's own setting of numba as it was.
    assert first["folder"] == str(tmp_path / "users own")
    assert not (tmp_path / "users own").exists()
    assert set(package.rglob("*.nb?")) == before, "kernels beside their source would outlive an edited formula"
    found = {path.name.split(".")[0] for path in tmp_path.rglob("*.nbi")}
    assert found == {"dense", "sparse"}


def test_no_read_out_of_bounds(tmp_path: Path) -> None:
    cases = [["adagrad", "softmax", 3, "sparse", batch] for batch in (1, 4)] + [["momentum", "hinge", 1, "sparse", 4]]
    checked = run_script(cases, tmp_path, NUMBA_BOUNDSCHECK="1")
    assert np.isfinite([value for weights in checked["weights"].values() for row in weights for value in row]).all()


@pytest.mark.parametrize("room", ["descent", "kernels"])
def test_an_edited_source_has_a_folder_of_its_own(room: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = kernels.cache_folder()
    owner = descent if room == "descent" else kernels
    copy = tmp_path / "copy"
    shutil.copytree(Path(owner.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    if room == "descent":
        monkeypatch.setattr(kernels, "descent", SimpleNamespace(__file__=str(copy / "__init__.py")))
    else:
        monkeypatch.setattr(kernels, "__file__", str(copy / "__init__.py"))
    assert room == "kernels" or kernels.cache_folder() == now, "the sources count, not where they lie"
    now = kernels.cache_folder()
    edited = copy / ("losses.py" if room == "descent" else "dense.py")
    edited.write_text(edited.read_text(encoding="utf-8") + "\n# edited\n", encoding="utf-8")
    assert kernels.cache_folder() != now


def test_the_folder_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHUSS_CACHE", str(tmp_path))
    assert kernels.cache_folder().parent == tmp_path
    monkeypatch.delenv("SCHUSS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert kernels.cache_folder().parent == tmp_path / "schuss"


def test_importing_the_kernels_leaves_numbas_setting_alone() -> None:
    assert os.environ.get("NUMBA_CACHE_DIR", "") == config.CACHE_DIR


def test_nothing_is_compiled_twice() -> None:
    rows = dense_rows(70, 5)
    y = targets_for(LOSSES_BY_NAME["log_loss"], rows)

    def use(count: int, runs: int, batch: int, seed: int) -> None:
        for name in ("sgd", "adam"):
            for layout in (rows[:count], to_sparse(rows[:count])):
                ours = Linear(
                    RULES_BY_NAME[name].rule,
                    LOSSES_BY_NAME["log_loss"].loss,
                    5,
                    1,
                    batch,
                    not isinstance(layout, np.ndarray),
                )
                chunk = chunk_of(layout, y[:count])
                state, _ = learn(ours, runs_of([0.1] * runs, l2=seed / 10), [chunk] * 2, planned=seed + 1)
                ours.losses(state, chunk)

    use(70, 3, 7, 0)
    known = {kernel.__name__: list(kernel.signatures) for kernel in KERNELS}
    for count, runs, batch in ((70, 3, 7), (1, 1, 1), (33, 8, 100), (70, 20, 32)):
        use(count, runs, batch, count)
    assert {kernel.__name__: list(kernel.signatures) for kernel in KERNELS} == known


def test_warming_up_compiles_what_is_used_by_default() -> None:
    warmup()
    known = {kernel.__name__: list(kernel.signatures) for kernel in KERNELS}
    rows = dense_rows(70, 5)
    for name in ("log_loss", "softmax", "squared_error"):
        case = LOSSES_BY_NAME[name]
        for rule, layout in (("adam", rows), ("adagrad", to_sparse(rows))):
            ours = Linear(RULES_BY_NAME[rule].rule, case.loss, 5, case.outputs, 1, not isinstance(layout, np.ndarray))
            chunk = chunk_of(layout, targets_for(case, rows))
            state, _ = learn(ours, runs_of([0.1] * 16), [chunk] * 2)
            ours.losses(state, chunk)
    assert {kernel.__name__: list(kernel.signatures) for kernel in KERNELS} == known


def assembly_of_the_update(case: RuleCase) -> str:
    """The machine code of one step of all features, of one output and sixteen runs."""
    compiled = njit(**FAST)(dense.step_features.py_func)  # the assembly of cached code cannot be seen
    ours = Linear(case.rule, LOSSES_BY_NAME["log_loss"].loss, 5, 1, 5, False)
    scalars = np.full((len(case.rule.scalar_names), 16), 0.1, np.float32)
    slots = np.zeros((len(case.rule.slot_names), 6, 16), np.float32)
    weights, gradient = np.zeros((2, 6, 16), np.float32)
    compiled(case.rule, ours._like, scalars, weights, slots, gradient, 0, 5)
    return compiled.inspect_asm(compiled.signatures[-1])


on_x86 = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="another set of instructions")


@on_x86
@pytest.mark.parametrize("case", RULE_CASES, ids=ids(RULE_CASES))
def test_the_update_stays_in_single_precision(case: RuleCase) -> None:
    found = re.search(r"v?cvtps2pd|v?cvtss2sd|v?mulpd|v?mulsd", assembly_of_the_update(case))
    assert not found, "a literal widened the formula"


@on_x86
def test_adaptive_updates_are_vectorised() -> None:
    assert re.search(r"v?sqrtps", assembly_of_the_update(RULES_BY_NAME["adam"]))
