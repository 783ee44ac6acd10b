"""Dask's schedulers: what the tasks of all partitions give, in their order, from a cluster or from threads or processes here.

Tasks of a cluster are functions of squarely, which unpickle only where it is: so it is sent to its scheduler and workers first.
"""

from __future__ import annotations

import os
import pydoc
import sys
import time
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from squarely._version import __version__
from squarely.data.engines.partitions import build_py_files
from squarely.errors import DataError, SquarelyError, first_line

_MAX_TASKS = (
    128  # outcomes of a scheduler in this process that are in memory at once; a new pool of processes pays with that many tasks
)
_MAX_RESULTS = 16  # outcomes that come from a cluster together, if they are ready: a request each would take its time
_POLL_SECONDS, _WORKER_TIMEOUT = (
    5.0,
    60.0,
)  # seconds between looks at a cluster that is slow, and without a worker until it is given up
_COMPILED_PACKAGES = ("numpy", "scipy", "pandas", "pyarrow")  # what cannot be sent
_SERVED_CLIENTS: weakref.WeakSet[Any] = weakref.WeakSet()  # the clients whose workers have squarely


def compute(tasks: Sequence[Any], label: str, *, max_tasks: int | None = None) -> Iterator[Any]:
    """Yield what delayed tasks give, in their order, worked out by the scheduler that Dask would use; at most so many at once.

    Raises
    ------
    DataError : the scheduler, a worker or the user's own graph fails; the error of Dask is its cause.
    """
    from dask.base import compute

    with translate_errors(label):
        client = client_with_modules(tasks[0], label) if tasks else None
        size = max_tasks or (_MAX_TASKS if client is None else len(tasks)) or 1
        for start in range(0, len(tasks), size):
            wave = tasks[start : start + size]
            yield from compute(*wave) if client is None else _gather(client, client.compute(list(wave)))


def _gather(client: Any, futures: Sequence[Any]) -> Iterator[Any]:
    """Yield results in order, as soon as those before them are there; what is used is given up on the cluster."""
    waiting = deque(futures)
    del futures
    while waiting:
        ready = [waiting.popleft()]
        while waiting and len(ready) < _MAX_RESULTS and waiting[0].done():
            ready.append(waiting.popleft())
        _await(client, ready)
        yield from client.gather(ready)


def _await(client: Any, futures: Sequence[Any]) -> None:
    """Wait until all are done, unless no worker is left to do them, for which Dask itself would wait for ever."""
    from distributed import wait

    seen = time.monotonic()
    while any(not future.done() for future in futures):
        with client.as_current(), suppress(TimeoutError):
            wait(futures, timeout=_POLL_SECONDS)  # type: ignore[no-untyped-call]  # Dask's are
            return
        now = time.monotonic()
        seen = now if client.nthreads() else seen
        if now - seen > _WORKER_TIMEOUT:
            raise DataError(
                f"The cluster has had no worker for {_WORKER_TIMEOUT:.0f} seconds, and work is waiting for one. See "
                f"why its workers "
                "ended, and start some before you begin again."
            )


def client_with_modules(collection: Any, label: str) -> Any:
    """Give the client of the cluster that would compute a collection, after its workers were given squarely; None without one."""
    from dask.base import get_scheduler

    distributed = sys.modules.get("distributed")
    with translate_errors(label):
        client = getattr(get_scheduler(collections=[collection]), "__self__", None)  # a cluster's is a method of the client
        if distributed is None or not isinstance(client, distributed.Client):
            return None
        if client not in _SERVED_CLIENTS:
            _prepare_workers(client, label)
            _SERVED_CLIENTS.add(client)
    return client


def _prepare_workers(client: Any, label: str) -> None:
    """Send squarely to the workers of a cluster, unless they have this version of it."""
    for name in _COMPILED_PACKAGES:
        lacking = [worker for worker, found in _locate(client, f"{name}.__version__").items() if not isinstance(found, str)]
        if lacking:
            raise DataError(
                f"The cluster that is to work on {label} lacks {name}: it is not there, or does not import, on {lacking[0]!r}"
                f"{f' and {len(lacking) - 1:,} more' if lacking[1:] else ''}. Install {', '.join(_COMPILED_PACKAGES)} there."
            )
    wanted = {
        "squarely.__version__": __version__,
        "narwhals.__name__": "narwhals",
        "threadpoolctl.__name__": "threadpoolctl",
    }
    there = [_locate(client, path) for path in wanted]
    if not there[0] or any(set(found.values()) != {value} for found, value in zip(there, wanted.values(), strict=True)):
        _send(client, build_py_files())


def _send(client: Any, file: Path) -> None:
    """Send modules to the workers, those to come as well, and to the scheduler, unless it is in this process.

    What is sent takes the place of what was imported, which must not befall the squarely that is at work here.
    """
    from distributed.diagnostics.plugin import SchedulerUploadFile, UploadFile

    client.register_plugin(UploadFile(str(file)), name=f"{file.name} on workers")
    if client.run_on_scheduler(os.getpid) != os.getpid():
        client.register_plugin(SchedulerUploadFile(str(file)), name=f"{file.name} on the scheduler")


def _locate(client: Any, path: str) -> dict[str, Any]:
    """Import something on the scheduler and every worker and give what it is there: None, or an error, where that fails."""
    found: dict[str, Any] = client.run(pydoc.locate, path, on_error="return")
    return {"the scheduler": client.run_on_scheduler(pydoc.locate, path), **found}


@contextmanager
def translate_errors(label: str) -> Iterator[None]:
    """Say what has failed where Dask raises something."""
    try:
        yield
    except SquarelyError:
        raise
    except Exception as error:  # the user's own graph runs here and may raise anything
        said = f"{type(error).__name__}: {first_line(error)}"
        raise DataError(f"{label[:1].upper()}{label[1:]} cannot be worked on: {_explain(error)}. Dask says: {said}.") from error


def _explain(error: Exception) -> str:
    """Say what an error of Dask's means."""
    distributed = sys.modules.get("distributed")
    if distributed is not None:
        if isinstance(error, distributed.scheduler.KilledWorker):
            return (
                "the workers that had one of its partitions ended again and again, most often for lack of memory. Make the "
                "partitions smaller with repartition(partition_size='100MB'), or give the workers more memory"
            )
        if isinstance(error, distributed.CancelledError | distributed.comm.CommClosedError):
            return "its scheduler is gone, or the work was cancelled there. Start the cluster and the client anew"
    return "one of its tasks failed. See that its compute() works"
