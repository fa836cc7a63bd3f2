"""What a user names as `module:Name`: the only way in which code that is not schuss's own is ever run."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import OptionError

__all__ = ["load"]


def load(name: str, option: str) -> Any:
    """Import what `module:Name` or `path/to/file.py:Name` names; modules of the working folder are found too.

    option : what took the name, for the sentence. Raises OptionError when there is no such module or name in it, and
    when importing it fails.

    >>> load("math:pi", "--x")
    3.141592653589793
    """
    module, colon, attribute = name.rpartition(":")
    if not colon or not module or not attribute:
        raise OptionError(f"{option} takes MODULE:NAME or FILE.py:NAME, not '{name}'")
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
