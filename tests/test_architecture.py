"""What holds for the code as a whole: the order of imports, light start, pinned names, readable sizes."""

from __future__ import annotations

import ast
import subprocess
import sys
import types
from pathlib import Path

import pytest

import schuss

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "src" / "schuss").rglob("*.py"))
HEAVY = {"numba", "sklearn", "pyarrow", "scipy", "matplotlib", "rich", "torch", "pandas", "ray"}


def imported(path: Path) -> set[str]:
    """Names of the outside packages that a module imports anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names


def test_imports_go_one_way() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT / "src").as_posix())
def test_numba_and_torch_stay_in_their_rooms(path: Path) -> None:
    rooms = ROOT / "src" / "schuss"
    assert path.is_relative_to(rooms / "kernels") or "numba" not in imported(path)
    with_torch = (rooms / "population" / "network", rooms / "torch")
    assert any(path.is_relative_to(room) for room in with_torch) or "torch" not in imported(path)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT / "src").as_posix())
def test_modules_can_be_read(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a module starts with a sentence that says what it is"
    assert text.count("\n") < 450
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    long = [node.name for node in functions if (node.end_lineno or 0) - node.lineno >= 70]
    assert not long, f"too long to read at a glance: {long}"


def test_exported_names() -> None:
    assert schuss.__all__ == [
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
    for name in schuss.__all__:
        assert not isinstance(getattr(schuss, name), types.ModuleType)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        schuss.trian  # noqa: B018


@pytest.mark.parametrize(
    "start",
    ["import schuss", "schuss --version", "schuss --help", "schuss train --help", "schuss predict --nonsense"],
)
def test_starts_without_heavy_imports(start: str) -> None:
    code = start if start.startswith("import") else f"from schuss.cli.main import main; main({start.split()[1:]!r})"
    code += "; import sys; print(' '.join(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(done.stdout.splitlines()[-1].split())


def test_a_warm_training_imports_no_more_than_it_needs(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("a,b,y\n" + "".join(f"{i % 7},{i % 5},{i % 3 % 2}\n" for i in range(300)), encoding="utf-8")
    code = """
import sys
from schuss.cli.main import main
sys.argv = ["schuss", *sys.argv[1:]]
assert main() == 0
names = {name.partition(".")[0] for name in sys.modules} | {"numpy.ma"} & sys.modules.keys()
print(" ".join(sorted(names)))
"""
    run = tmp_path / "run"
    training = ["train", str(table), "--target", "y", "--out", str(run), "--force"]
    prediction = ["predict", str(run), str(table), "--out", str(tmp_path / "predictions.csv")]
    roots = []
    for arguments in (training, training, prediction):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, cwd=tmp_path
        )
        roots.append(set(done.stdout.splitlines()[-1].split()))
    for found in roots[1:]:  # the first training may have compiled kernels
        assert found & HEAVY == {"pyarrow"}
    assert "numpy.ma" not in roots[1], "15 ms: np.unique and np.quantile look for it, and so does Arrow at an array"
