"""What every table of results says beside its figures, and where it is kept: RESULTS.md, a section per benchmark."""

from __future__ import annotations

import os
import platform
import re
import sys
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")
PACKAGES = ("schuss", "numpy", "numba", "pyarrow", "scipy", "scikit-learn", "pandas")


def machine() -> str:
    """Describe this machine: processor, cores this process may use, memory, system."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [processor(), f"{cores} cores"]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        parts.append(f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB")
    return ", ".join([*parts, f"{platform.system()} {platform.machine()}"])


def processor() -> str:
    """Name the processor; on Linux with its family and model, which a virtual machine's name may leave out."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return platform.processor()
    found = dict(re.findall(r"^(model name|cpu family|model)\s*: (.*)$", cpuinfo.read_text(), flags=re.MULTILINE))
    name = found.get("model name", platform.machine())
    return f"{name} (family {found['cpu family']}, model {found['model']})" if "cpu family" in found else name


def versions() -> dict[str, str]:
    """Give the versions of Python and of the packages that the figures depend on."""
    return {"Python": platform.python_version(), **{package: version(package) for package in PACKAGES}}


def packages() -> str:
    """Tell these versions in one line."""
    return ", ".join(f"{name} {number}" for name, number in versions().items())


def command() -> str:
    """Tell the command that was given."""
    return " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])


def write_section(title: str, body: str) -> None:
    """Replace a section of RESULTS.md, or add it at the end."""
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else "# Results of the benchmarks\n"
    section = f"## {title}\n{body.strip()}\n"
    pattern = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", flags=re.MULTILINE | re.DOTALL)
    text, count = pattern.subn(lambda _: section + "\n", text)
    if count == 0:
        text = f"{text.rstrip()}\n\n{section}"
    RESULTS.write_text(text.rstrip() + "\n", encoding="utf-8")
