"""At which addresses the processes of a Ray cluster listen, by what Linux tells of their sockets.

python -m tests.cluster.ports    imports Ray, starts the cluster of a training, and prints them, one a line
"""

from __future__ import annotations

import importlib
import ipaddress
import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from schuss.cluster.on_ray import started

LISTENS = "0A"


def descendants(process: int) -> set[int]:
    """The process and all that it has begun, directly or not."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found = {process}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def sockets_of(process: int) -> Iterator[str]:
    """The numbers of its sockets."""
    for link in Path(f"/proc/{process}/fd").iterdir():
        with suppress(OSError):
            if match := re.fullmatch(r"socket:\[(\d+)\]", str(link.readlink())):
                yield match[1]


def listening(processes: set[int]) -> list[tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int, str]]:
    """The addresses and ports where some processes listen, with the name of the process."""
    owners: dict[str, str] = {}
    for process in processes:
        with suppress(OSError):
            name = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")[0].decode()
            owners |= dict.fromkeys(sockets_of(process), Path(name).name)
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            address, port = fields[1].split(":")
            if fields[3] == LISTENS and fields[9] in owners:
                words = [bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8)]
                found.append((ipaddress.ip_address(b"".join(words)), int(port, 16), owners[fields[9]]))
    return found


def is_local(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether only this machine reaches it."""
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


if __name__ == "__main__":
    importlib.import_module("ray")  # which reads the environment then
    with started(2, None) as workers:
        workers.end([workers.begin(lambda number: (None, number), number) for number in range(4)])
        for address, port, name in listening(descendants(os.getpid())):
            print("this machine" if is_local(address) else "ANYBODY", address, port, name)
    sys.exit()
