"""Workers on a Ray cluster: Ray places work, moves what it needs, and does again what a lost machine did.

Work is pure, so that whatever is done twice gives the same bits.
"""

from __future__ import annotations

import logging
import os
import platform
import signal
import socket
import statistics
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..errors import ClusterError, OptionError, SchussError
from ..process import available_cores, limited_threads
from ..versions import version_of
from .workers import Work

__all__ = ["OnRay", "started"]

RETRIES = 16
"""So often Ray does work again whose process was lost; work that ends so many processes is to blame itself."""

LATE, KNOWN, LEAST_SECONDS = 4.0, 3, 0.5
"""Work that takes so many times as long as half of its kind does, of which so many are known, is begun a second time.

Whichever ends first is taken. The other is left alone: while it runs, its slow machine gets no more work.
"""

OBJECTS = 1 << 30
"""Bytes of shared memory for a cluster of this machine alone; what goes beyond them Ray moves to the disk."""

ANSWER = 10.0
"""Seconds within which a cluster must answer."""

GRACE = 30.0
"""Seconds that workers have to tell something after an end was asked for, and between one thing and the next."""

LOOK = 1.0
"""Seconds after which it is looked whether an end was asked for."""

SEVERAL_MACHINES = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""What tells Ray whether it may span several machines; where it may, it listens on all addresses of this one, also with
`--node-ip-address=127.0.0.1`."""

MACHINES = os.environ.get(SEVERAL_MACHINES)
"""What whoever began this process has to say of that, which then holds."""

COMPARED = ("python", "schuss", "numpy", "numba", "pyarrow")


@dataclass
class _Job:
    """Work that was begun, once or twice: references to what stays and what is told, and since when it has run."""

    work: Work
    arguments: tuple[Any, ...]
    begun: float
    tries: list[Any] = field(default_factory=list)


class OnRay:
    """So many workers on the Ray cluster that this process is connected to."""

    def __init__(self, count: int, interrupted: Callable[[], bool] = lambda: False) -> None:
        import ray

        self.count, self._interrupted = count, interrupted
        self._ray: Any = ray
        self._do = ray.remote(num_cpus=1, max_retries=RETRIES, num_returns=2)(_do)
        self._took: defaultdict[Work, deque[float]] = defaultdict(lambda: deque(maxlen=64))
        self._versions = _versions()

    def put(self, value: Any) -> Any:
        """Put a value into the object store; raises OptionError where it cannot be sent to another process."""
        try:
            return self._ray.put(value)
        except TypeError as error:  # Ray explains at length what of a value cannot be pickled
            reason = str(error.__cause__ or error).strip().splitlines()[0].rstrip(".")
            raise OptionError(f"what workers need cannot be sent to other processes: {reason}") from error

    def begin(self, work: Work, *arguments: Any) -> _Job:
        """Have work begun."""
        job = _Job(work, arguments, time.monotonic())
        self._try(job)
        return job

    def _try(self, job: _Job) -> None:
        job.tries.append(self._do.remote(job.work, self._versions, *job.arguments))

    def end(self, begun: Sequence[_Job]) -> list[tuple[Any, Any]]:
        """Wait for work; what is late is begun a second time.

        Raises KeyboardInterrupt when an end was asked for and nothing comes any more.
        """
        waiting = list(begun)
        ended: dict[int, tuple[Any, Any]] = {}
        silent_since = None
        while waiting:
            open_tries = [told for job in waiting for _, told in job.tries]
            ready, _ = self._ray.wait(open_tries, num_returns=1, timeout=self._patience(waiting))
            silent_since = self._silent_since(None if ready else silent_since)
            for job in list(waiting):
                done = [(kept, told) for kept, told in job.tries if told in ready]
                if done:
                    kept, told = done[0]
                    ended[id(job)] = kept, self._get(told)
                    self._took[job.work].append(time.monotonic() - job.begun)
                    waiting.remove(job)
                elif len(job.tries) == 1 and time.monotonic() - job.begun > self._late(job.work):
                    self._try(job)
        return [ended[id(job)] for job in begun]

    def _silent_since(self, before: float | None) -> float | None:
        """Give since when nothing has come although an end was asked for; after too long wait no more."""
        if not self._interrupted():
            return None
        now = time.monotonic()
        if before is not None and now - before > GRACE:
            raise KeyboardInterrupt(f"no worker has answered for {GRACE:.0f} s")
        return before or now

    def _late(self, work: Work) -> float:
        """Give the seconds from which on work of a kind is late."""
        took = self._took[work]
        return max(LATE * statistics.median(took), LEAST_SECONDS) if len(took) >= KNOWN else float("inf")

    def _patience(self, waiting: list[_Job]) -> float:
        """Give the seconds until the first of some work is late, or it is time to look whether to wait on."""
        times = [job.begun + self._late(job.work) - time.monotonic() for job in waiting if len(job.tries) == 1]
        return max(min([LOOK, *times]), 0.01)

    def _get(self, told: Any) -> Any:
        """Give what is told; raises what work has raised, and ClusterError where it was lost for good."""
        try:
            return self._ray.get(told)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, SchussError):
                raise error.cause from None
            raise
        except self._ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[0].rstrip(".")
            raise ClusterError(f"the workers are lost, or {RETRIES + 1} of them at the same rows: {reason}") from error


def _do(work: Work, versions: dict[str, str], *arguments: Any) -> tuple[Any, Any]:
    """Do work in a process of a worker, which must have the same versions as the one that asks for it."""
    own = _versions()
    other = [f"{name} {own[name]} where {version} asks" for name, version in versions.items() if own[name] != version]
    if other:
        raise ClusterError(f"a worker on {platform.node()} has {', '.join(other)}: all machines need the same versions")
    with limited_threads(1):
        return work(*arguments)


def _versions() -> dict[str, str]:
    """Give the versions that the bits of a model depend on."""
    from .. import __version__

    own = {"python": platform.python_version(), "schuss": __version__}
    return {name: own.get(name) or version_of(name) for name in COMPARED}


@contextmanager
def started(count: int, address: str | None, interrupted: Callable[[], bool] = lambda: False) -> Iterator[OnRay]:
    """Connect to a Ray cluster, or start one on this machine, while training lasts; one in use is used and left.

    Raises OptionError without Ray, ClusterError where the cluster cannot be reached or has another version.
    """
    ray = _imported(address)
    if ray.is_initialized():
        yield OnRay(count, interrupted)
        return
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        _connect(ray, count, address)
        if threading.current_thread() is threading.main_thread():  # Ray puts its own in the place of ours
            for number, handler in kept.items():
                signal.signal(number, handler)
        yield OnRay(count, interrupted)
    finally:
        ray.shutdown()


def _imported(address: str | None) -> Any:
    """Import Ray, which learns from the environment to tell nobody of its use, and to stay on this machine."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise OptionError("option '--workers' needs Ray: pip install 'schuss[ray]'") from None
    logging.getLogger("ray").setLevel(logging.ERROR)
    # Ray has no setting for this: it prints what it does again to standard output, which may be one JSON object.
    private: Any = ray._private  # pyright: ignore[reportPrivateImportUsage]
    private.worker._worker_logs_enabled = False
    if MACHINES is None:  # the processes that Ray begins read the one, this process has read it into the other
        several = address is not None and sys.platform.startswith("linux")
        os.environ[SEVERAL_MACHINES] = str(int(several))
        private.ray_constants.ENABLE_RAY_CLUSTER = several
    return ray


def _is_node(ray: Any) -> bool:
    """Whether a node of Ray runs on this machine, or soon does: where none does, Ray waits for one for a minute."""
    find = getattr(ray._private.services, "find_node_ids", None)  # older versions have none
    until = time.monotonic() + ANSWER
    while find is not None and not find():
        if time.monotonic() > until:
            return False
        time.sleep(0.5)
    return True


def _connect(ray: Any, count: int, address: str | None) -> None:
    """Connect to a cluster, or start one."""
    quiet = {"log_to_driver": False, "configure_logging": False, "logging_level": logging.ERROR}
    try:
        if address is None:
            cores = min(count, available_cores())
            ray.init(address="local", num_cpus=cores, include_dashboard=False, object_store_memory=OBJECTS, **quiet)
        else:
            # Ray itself would try for minutes, "auto" also at a cluster of which it only remembers where it was.
            far = "://" in address
            place = address if far else ray._private.services.canonicalize_bootstrap_address(address)
            if place is not None:
                host, _, port = place.rpartition("://")[2].rpartition(":")
                socket.create_connection((host, int(port)), timeout=ANSWER).close()
            if not far and not _is_node(ray):
                raise RuntimeError("this machine does not belong to it; 'ray start --address=HOST:PORT' lets it join")
            ray.init(address=address, **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        where = "on this machine" if address is None else f"at '{address}'"
        reason = " ".join(str(error).split()).rstrip(".")
        raise ClusterError(f"there is no Ray cluster {where} to be used: {reason}") from error
