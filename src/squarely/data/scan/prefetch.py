"""Prefetch: one thread decodes up to two items ahead of the consumer, in order.

The thread waits for requests, so it never blocks on a full queue. It is not a daemon thread: the interpreter would crash if it
ended while an engine works. So closing the iterator waits up to half a second for the item in progress.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")

_POLL_SECONDS = 0.5


def prefetch_items(items: Iterator[T], depth: int = 2) -> Generator[T, None, None]:
    """Yield the items of an iterator in order, while a thread runs it at most `depth` items ahead; more than two gained nothing.

    Errors are raised in place of the next item. If the consumer stops early, the thread closes a generator, and ends.

    >>> list(prefetch_items(i * i for i in range(5)))
    [0, 1, 4, 9, 16]
    """
    requests: SimpleQueue[bool] = SimpleQueue()
    results: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()
    thread = threading.Thread(target=_decode, args=(items, requests, results), name="squarely-prefetch")
    thread.start()
    try:
        for _ in range(depth):
            requests.put(True)
        while True:
            item, error = results.get()
            if error is not None:
                raise error
            if item is None:
                return
            requests.put(True)
            yield item
    finally:
        with suppress(Empty):
            while True:
                requests.get_nowait()  # a request that the thread has taken meanwhile is not waited for
        requests.put(False)
        if threading.current_thread() is not thread:  # garbage collection may run this in the thread itself
            thread.join(_POLL_SECONDS)


def _decode(items: Iterator[T], requests: SimpleQueue[bool], results: SimpleQueue[tuple[T | None, BaseException | None]]) -> None:
    try:
        while threading.main_thread().is_alive():  # an abandoned scan must not keep the interpreter alive
            try:
                if not requests.get(timeout=_POLL_SECONDS):
                    return
            except Empty:
                continue
            try:
                results.put((next(items, None), None))
            except BaseException as error:  # the consumer raises it again
                results.put((None, error))
    finally:
        if isinstance(items, Generator):
            items.close()
