"""A pipe to DuckDB: this process decompresses a text once, checks it, and passes it on without a copy on disk."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TypeVar

T = TypeVar("T")
_FOLDER = Path("/dev/fd")  # of the open files of a process, on Linux and macOS


def has_pipes() -> bool:
    """Return whether the system has paths for open files."""
    return _FOLDER.is_dir()


@contextmanager
def open_pipe(pieces: Iterator[bytes], work: Callable[[Iterator[bytes]], T]) -> Iterator[tuple[str, list[T]]]:
    """Yield a path under which DuckDB reads a text once, while a thread writes its pieces.

    `work` receives the pieces, which are written as it takes them, and takes all of them. When this context has ended, the
    list that it yields has the result of `work`. It is empty if `work` failed, or if the reader stopped early.
    """
    read_end, write_end = os.pipe()
    results: list[T] = []

    def fill() -> None:
        with suppress(Exception), open(write_end, "wb", buffering=0) as file:  # the caller reads the text again to raise an error
            results.append(work(_write_pieces(pieces, file)))

    thread = threading.Thread(target=fill, name="squarely-pipe")
    thread.start()
    try:
        yield f"{_FOLDER}/{read_end}", results
    finally:
        os.close(read_end)
        thread.join()


def _write_pieces(pieces: Iterator[bytes], file: IO[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            rest = rest[file.write(rest) :]
        yield piece
