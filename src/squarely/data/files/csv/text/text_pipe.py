"""A pipe to DuckDB: this process decompresses a text once, checks it, and hands it on without a copy on disk."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

_FOLDER = Path("/dev/fd")  # of the open files of a process, on Linux and macOS


class TextPipe:
    """A pipe that a thread fills with the pieces of a text, and a path under which DuckDB reads it, once.

    `work` receives the pieces, which are written as it takes them, and takes all of them. `result` is what it returns; None if it
    failed, or if the reader stopped early.
    """

    def __init__(self, pieces: Iterator[bytes], work: Callable[[Iterator[bytes]], Any]) -> None:
        self._pieces, self._work = pieces, work
        self._read_end, self._write_end = os.pipe()
        self._thread = threading.Thread(target=self._fill, name="squarely-pipe")
        self.path = f"{_FOLDER}/{self._read_end}"
        self.result: Any = None

    @staticmethod
    def is_available() -> bool:
        """Return whether the system has paths for open files."""
        return _FOLDER.is_dir()

    def __enter__(self) -> TextPipe:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop writing, and wait for the thread."""
        if self._read_end >= 0:
            os.close(self._read_end)
            self._read_end = -1
        self._thread.join()

    def _fill(self) -> None:
        try:
            with open(self._write_end, "wb", buffering=0) as file:
                self.result = self._work(self._write_pieces(file))
        except Exception:  # the caller reads the text again to raise the error of its damage
            self.result = None

    def _write_pieces(self, file: Any) -> Iterator[bytes]:
        for piece in self._pieces:
            rest = memoryview(piece)
            while rest:
                rest = rest[file.write(rest) :]
            yield piece
