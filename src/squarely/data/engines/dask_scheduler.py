"""Compute Dask's tasks with its own scheduler: a cluster, or threads or processes on this machine.

A cluster unpickles functions of squarely, so squarely is sent to its scheduler and workers first.
"""

from __future__ import annotations

import asyncio
import os
import pydoc
import sys
import time
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import wait
from contextlib import AbstractContextManager
from typing import Any

from squarely._version import __version__
from squarely.data.engines.partitions import build_py_files
from squarely.data.engines.query_source import translate_errors
from squarely.errors import DataError, first_line

_MAX_TASKS = 128  # results of a local scheduler in memory at once; with fewer, starting a pool of processes costs too much
_MAX_RESULTS = 16  # results that one request fetches from a cluster, if they are ready
_POLL_SECONDS, _WORKER_TIMEOUT = 5.0, 60.0
_COMPILED_PACKAGES = ("numpy", "scipy", "pandas", "pyarrow")  # these cannot be sent
_SERVED_CLIENTS: weakref.WeakSet[Any] = weakref.WeakSet()  # the clients whose workers have squarely


def compute_tasks(tasks: Sequence[Any], label: str, *, max_tasks: int | None = None) -> Iterator[Any]:
    """Yield the results of delayed tasks in order, computed by the scheduler that Dask would use, at most `max_tasks` at once.

    A failure of the scheduler, a worker or the user's own graph is a DataError, with Dask's error as its cause.
    """
    from dask.base import compute

    with translate_dask_errors(label):
        client = client_with_modules(tasks[0], label) if tasks else None
        size = max_tasks or (_MAX_TASKS if client is None else len(tasks)) or 1
        for start in range(0, len(tasks), size):
            wave = tasks[start : start + size]
            yield from compute(*wave) if client is None else _gather(client, client.compute(list(wave)))


def _gather(client: Any, futures: Sequence[Any]) -> Iterator[Any]:
    """Yield results in order, each as soon as those before it are ready, and release them on the cluster."""
    waiting = deque(futures)
    del futures
    while waiting:
        ready = [waiting.popleft()]
        while waiting and len(ready) < _MAX_RESULTS and waiting[0].done():
            ready.append(waiting.popleft())
        yield from _fetch(client, ready)


def _fetch(client: Any, futures: Sequence[Any]) -> Sequence[Any]:
    """Return results; raise a DataError if the cluster has no workers, for which Dask itself waits forever."""

    async def gather() -> Sequence[Any]:
        results: Sequence[Any] = await client.gather(futures, asynchronous=True)
        return results

    last_alive = time.monotonic()
    pending = asyncio.run_coroutine_threadsafe(gather(), client.loop.asyncio_loop)
    try:
        while not wait([pending], timeout=_POLL_SECONDS).done:
            now = time.monotonic()
            last_alive = now if client.nthreads() else last_alive
            if now - last_alive > _WORKER_TIMEOUT:
                raise DataError(
                    f"The cluster has had no worker for {_WORKER_TIMEOUT:.0f} seconds, and tasks are waiting. Check why its "
                    "workers ended, and start new ones before you run again."
                )
        return pending.result()
    finally:
        pending.cancel()


def client_with_modules(collection: Any, label: str) -> Any:
    """Return the client of the cluster that would compute a collection, with squarely on its workers; None without one."""
    from dask.base import get_scheduler

    distributed = sys.modules.get("distributed")
    with translate_dask_errors(label):
        client = getattr(get_scheduler(collections=[collection]), "__self__", None)  # a cluster's is a method of the client
        if distributed is None or not isinstance(client, distributed.Client):
            return None
        if client not in _SERVED_CLIENTS:
            _prepare_workers(client, label)
            _SERVED_CLIENTS.add(client)
    return client


def _prepare_workers(client: Any, label: str) -> None:
    """Send squarely to the scheduler and to present and future workers of a cluster, unless they have this version."""
    for name in _COMPILED_PACKAGES:
        lacking = [worker for worker, found in _locate(client, f"{name}.__version__").items() if not isinstance(found, str)]
        if lacking:
            raise DataError(
                f"The cluster for {label} lacks {name}: it cannot be imported on {lacking[0]!r}"
                f"{f' and {len(lacking) - 1:,} more' if lacking[1:] else ''}. Install {', '.join(_COMPILED_PACKAGES)} there."
            )
    expected = {"squarely.__version__": __version__, **{f"{name}.__name__": name for name in ("narwhals", "threadpoolctl")}}
    if any(set(_locate(client, path).values()) != {value} for path, value in expected.items()):
        from distributed.diagnostics.plugin import SchedulerUploadFile, UploadFile

        file = build_py_files()
        client.register_plugin(UploadFile(str(file)), name=f"{file.name} on workers")
        if client.run_on_scheduler(os.getpid) != os.getpid():  # the upload replaces modules, which must not happen to this process
            client.register_plugin(SchedulerUploadFile(str(file)), name=f"{file.name} on the scheduler")


def _locate(client: Any, path: str) -> dict[str, Any]:
    """Import a name on the scheduler and every worker, and return its values; None or an error where that fails."""
    return {"the scheduler": client.run_on_scheduler(pydoc.locate, path), **client.run(pydoc.locate, path, on_error="return")}


def translate_dask_errors(label: str) -> AbstractContextManager[None]:
    """Turn the errors of Dask into a DataError."""
    return translate_errors(
        lambda error: DataError(
            f"{label[:1].upper()}{label[1:]} cannot be processed: {_explain(error)} Dask says: {type(error).__name__}: "
            f"{first_line(error)}."
        )
    )


def _explain(error: Exception) -> str:
    """Return the meaning of an error of Dask, and advice."""
    distributed = sys.modules.get("distributed")
    if distributed is not None:
        if isinstance(error, distributed.scheduler.KilledWorker):
            return (
                "the workers of one partition ended again and again, most often for lack of memory. Make the partitions smaller "
                "with repartition(partition_size='100MB'), or give the workers more memory."
            )
        if isinstance(error, distributed.CancelledError | distributed.comm.CommClosedError):
            return "its scheduler is gone, or the work was canceled there. Restart the cluster and the client."
    return "one of its tasks failed. Check that its compute() works."
