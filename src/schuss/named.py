"""What a user names as `module:Name`: the only way in which code that is not schuss's own is ever run."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import OptionError, ResumeError

__all__ = ["load", "only"]

_let_run: ContextVar[frozenset[str] | None] = ContextVar("let_run", default=None)


@contextlib.contextmanager
def only(names: Iterable[str]) -> Iterator[None]:
    """Let nothing be imported but these names: others come from files, and a file alone lets nothing run.

    >>> with only(["math:pi"]):
    ...     load("math:e", "option '--x'")
    Traceback (most recent call last):
    schuss.errors.ResumeError: this run needs code that its files only name: option '--x' with 'math:e' lets it run
    """
    token = _let_run.set(frozenset(names))
    try:
        yield
    finally:
        _let_run.reset(token)


def load(name: str, option: str) -> Any:
    """Import what `module:Name` or `path/to/file.py:Name` names; modules of the working folder are found too.

    option : what took the name, for the sentence. Raises OptionError when there is no such module or name in it, and
    when importing it fails; ResumeError for a name that is not among `only` those that may run.

    >>> load("math:pi", "--x")
    3.141592653589793
    """
    module, colon, attribute = name.rpartition(":")
    if not colon or not module or not attribute:
        raise OptionError(f"{option} takes MODULE:NAME or FILE.py:NAME, not '{name}'")
    let_run = _let_run.get()
    if let_run is not None and name not in let_run:
        shown = name[:80]
        raise ResumeError(f"this run needs code that its files only name: {option} with '{shown}' lets it run")
    found: Any = _module(module, option)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise OptionError(f"{option} names '{name}', and '{module}' has no '{attribute}'")
        found = getattr(found, part)
    return found


def _module(name: str, option: str) -> ModuleType:
    """Import a module by its name, or by the path of its file."""
    file = Path(name)
    if file.suffix == ".py" and not file.is_file():
        raise OptionError(f"{option} names '{name}', and there is no such file")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return _from_file(file) if file.suffix == ".py" else importlib.import_module(name)
    except Exception as error:
        raise OptionError(f"{option} names '{name}', which cannot be imported: {_said(error)}") from error


def _from_file(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module  # where dataclasses and pickle look for it
    spec.loader.exec_module(module)
    return module


def _said(error: Exception) -> str:
    """Give an error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
