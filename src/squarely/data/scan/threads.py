"""Map over batches in threads, with the results in the order of the batches, so that the bits are reproducible.

NumPy and Arrow release the interpreter lock while they compute, also in `np.dot`, but not in `@` between matrices. BLAS is limited
to one thread meanwhile: its threads, started from two of ours at once, block each other (measured: a scan 50 x slower).
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar, Token
from functools import cache
from itertools import chain, islice
from typing import TypeVar

from threadpoolctl import ThreadpoolController

A = TypeVar("A")
B = TypeVar("B")

_MAX_WORKERS = 8  # more exceed the memory bandwidth
_SINGLE_THREADED: ContextVar[bool] = ContextVar("single_threaded", default=False)
_SINGLE_THREADED_CONTEXTS: list[Token[bool]] = []  # of all threads
_BLAS_LIMIT, _LOCK = ExitStack(), threading.Lock()


def map_in_order(items: Iterable[A], step: Callable[[A], B], *, threads: bool = True) -> Iterator[B]:
    """Apply `step` to every item and yield the results in order; only a few items are in progress at once.

    Without `threads`, and for a single item, it runs in this thread. An error of `step` is raised in order, and no further item is
    started.

    >>> list(map_in_order(range(5), lambda x: x * x))
    [0, 1, 4, 9, 16]
    """
    workers = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, _MAX_WORKERS)
    stream = iter(items)
    first = list(islice(stream, 2 if threads and workers > 1 and not _SINGLE_THREADED.get() else 0))
    if len(first) < 2:
        for item in chain(first, stream):
            yield step(item)
        return
    waiting: deque[Future[B]] = deque()
    with (
        ThreadPoolExecutor(workers, thread_name_prefix="squarely") as pool,
        # The search for libraries calls back from C, which would swallow Ctrl-C; no Ctrl-C arrives in a thread.
        pool.submit(_get_controller).result().limit(limits=1, user_api="blas"),
    ):
        try:
            for item in chain(first, stream):
                waiting.append(pool.submit(step, item))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


@contextmanager
def single_threaded() -> Iterator[None]:
    """Limit this context to one thread, with BLAS: an engine runs other tasks beside it, and the bits stay the same.

    Several threads may be in such a context: the first sets the limit of BLAS, and the last removes it.
    """
    token = _SINGLE_THREADED.set(True)
    with _LOCK:
        if not _SINGLE_THREADED_CONTEXTS:
            _BLAS_LIMIT.enter_context(_get_controller().limit(limits=1, user_api="blas"))
        _SINGLE_THREADED_CONTEXTS.append(token)
    try:
        yield
    finally:
        with _LOCK:
            _SINGLE_THREADED_CONTEXTS.remove(token)
            if not _SINGLE_THREADED_CONTEXTS:
                _BLAS_LIMIT.close()
        _SINGLE_THREADED.reset(token)


@cache
def _get_controller() -> ThreadpoolController:
    return ThreadpoolController()  # searches the loaded libraries, which takes milliseconds
