"""Reading ahead: a file is decoded in a thread of its own while whoever asked for its rows computes with those before them.

One thread, so that the order is that of the file; a few items, so that memory stays bounded. The thread waits for orders and not
for a place to put things, so it never hangs. It is no daemon: an interpreter that ended under an engine at work would crash it, so
its end waits for the item that is being decoded.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")

DEPTH = 2  # items: one that is being decoded and one that waits; more gained nothing
_POLL_SECONDS = 0.5  # seconds for an item that is still being decoded when nobody wants it any more


def prefetch(items: Iterator[T], depth: int = DEPTH) -> Generator[T, None, None]:
    """Yield what an iterator yields, in its order, while it runs at most `depth` items ahead in another thread.

    Its errors are raised where its next item would have come. When the consumer stops early, by `close` or by an error or an
    interrupt of its own, the iterator, if a generator, is closed in the thread, which then ends; half a second later control goes
    on in any case.

    >>> list(prefetch(i * i for i in range(5)))
    [0, 1, 4, 9, 16]
    """
    orders: SimpleQueue[bool] = SimpleQueue()
    done: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()
    thread = threading.Thread(target=_decode, args=(items, orders, done), name="squarely-ahead")
    thread.start()
    try:
        for _ in range(depth):
            orders.put(True)
        while True:
            item, error = done.get()
            if error is not None:
                raise error
            if item is None:
                return
            orders.put(True)
            yield item
    finally:
        while not orders.empty():
            orders.get()
        orders.put(False)
        if threading.current_thread() is not thread:  # Python may collect this generator as garbage in the thread that it owns
            thread.join(_POLL_SECONDS)


def _decode(items: Iterator[T], orders: SimpleQueue[bool], done: SimpleQueue[tuple[T | None, BaseException | None]]) -> None:
    try:
        while _wait_for_request(orders):
            try:
                done.put((next(items, None), None))
            except BaseException as error:  # it is raised again by whoever reads
                done.put((None, error))
    finally:
        if isinstance(items, Generator):
            items.close()


def _wait_for_request(orders: SimpleQueue[bool]) -> bool:
    """Wait for an order. A scan that was left half-way gives none, and must not keep an interpreter from ending."""
    while threading.main_thread().is_alive():
        try:
            return orders.get(timeout=_POLL_SECONDS)
        except Empty:
            continue
    return False
