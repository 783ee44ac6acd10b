"""Reading ahead: a file is decoded in a thread of its own while whoever asked for its rows computes with those before them.

One thread, so that the order is that of the file; a few items, so that memory stays bounded. The thread waits for orders and not
for a place to put things: it never hangs, not even when an interpreter ends in the middle of a scan.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

DEPTH = 2  # items: one that is being decoded and one that waits; more gained nothing


def ahead(items: Iterator[T], depth: int = DEPTH) -> Iterator[T]:
    """Yield what an iterator yields, in its order, while it runs at most `depth` items ahead in another thread.

    Its errors are raised where its next item would have come. When the consumer stops early, by `close` or by an error or an
    interrupt of its own, the thread is ended and the iterator, if a generator, closed before control goes on.

    >>> list(ahead(i * i for i in range(5)))
    [0, 1, 4, 9, 16]
    """
    worker = ThreadPoolExecutor(1, thread_name_prefix="squarely-ahead")
    own = None
    try:
        own = worker.submit(threading.get_ident).result()
        waiting = deque(worker.submit(next, items, None) for _ in range(depth))
        while (item := waiting.popleft().result()) is not None:
            waiting.append(worker.submit(next, items, None))
            yield item
    finally:
        # Python may collect this generator as garbage in the very thread that it owns, which cannot wait for itself.
        may_wait = threading.get_ident() != own
        worker.shutdown(wait=may_wait, cancel_futures=True)
        if may_wait and isinstance(items, Generator):
            items.close()
