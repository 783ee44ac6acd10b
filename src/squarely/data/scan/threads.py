"""Batches worked on in threads, with the outcomes in the order of the batches, so that the bits do not depend on luck.

NumPy and Arrow let go of Python's lock while they compute, except in `@` between matrices: `np.dot` does. Meanwhile BLAS keeps to
one thread each: its own threads, woken from two of ours at once, wait for each other (seen: a scan 50 x slower).
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from functools import cache
from itertools import chain
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

A = TypeVar("A")
B = TypeVar("B")

_MOST_WORKERS = 8  # memory feeds no more
_SINGLE_THREADED: ContextVar[bool] = ContextVar("alone", default=False)


def map_in_order(items: Iterable[A], step: Callable[[A], B], *, threads: bool = True) -> Iterator[B]:
    """Apply `step` to every item and yield the outcomes in the order of the items; a few items at most are under way.

    A single item, or no wish for threads, is worked on right here. An error of `step` is raised when its turn comes; what waits
    behind it is not begun.

    >>> list(map_in_order(range(5), lambda x: x * x))
    [0, 1, 4, 9, 16]
    """
    workers = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, _MOST_WORKERS)
    stream = iter(items)
    first = list(_take(stream, 2 if threads and workers > 1 and not _SINGLE_THREADED.get() else 0))
    if len(first) < 2:
        for item in chain(first, stream):
            yield step(item)
        return
    waiting: deque[Future[B]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="squarely") as pool, _limit_blas(pool):
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
    """Keep what is done in here to one thread, BLAS included: an engine has others at work beside it, and the bits stay the same.

    Several threads of a process may be in here at once: the first one in sets the limit of BLAS, and the last one out lifts it.
    """
    token = _SINGLE_THREADED.set(True)
    _LIMIT.enter()
    try:
        yield
    finally:
        _LIMIT.leave()
        _SINGLE_THREADED.reset(token)


class _Limit:
    """One thread for BLAS, as long as anybody wants it."""

    def __init__(self) -> None:
        self._lock, self._users, self._exit_stack = threading.Lock(), 0, ExitStack()

    def enter(self) -> None:
        """Set the limit, unless it is set."""
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._exit_stack.enter_context(_get_controller().limit(limits=1, user_api="blas"))

    def leave(self) -> None:
        """Lift the limit, if nobody else wants it."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._exit_stack.close()


_LIMIT = _Limit()


def _limit_blas(pool: ThreadPoolExecutor) -> AbstractContextManager[Any]:
    # Libraries are looked for in a thread, where no Ctrl-C arrives: the search calls back from C, which would swallow it.
    limits: AbstractContextManager[Any] = pool.submit(_get_controller).result().limit(limits=1, user_api="blas")
    return limits


@cache
def _get_controller() -> ThreadpoolController:
    return ThreadpoolController()  # looks through the loaded libraries, which takes some milliseconds


def _take(stream: Iterator[A], count: int) -> Iterator[A]:
    for _ in range(count):
        for item in stream:
            yield item
            break
