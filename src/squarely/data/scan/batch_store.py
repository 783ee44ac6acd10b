"""Batches that are read again: in memory up to a limit in bytes, beyond it in a temporary file."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import IO

import pyarrow as pa

from squarely.errors import OptionError

CACHE_VARIABLE = "SQUARELY_CACHE_BYTES"
_DEFAULT_BYTES = 10**9


def read_cache_limit() -> int:
    """Return how many bytes of decoded columns stay in memory: SQUARELY_CACHE_BYTES, by default 1 GB.

    Raises
    ------
    OptionError : the variable is not a number of bytes.
    """
    text = os.environ.get(CACHE_VARIABLE, "").strip()
    try:
        limit = float(text) if text else _DEFAULT_BYTES
        if limit >= 0:
            return int(limit)
    except (ValueError, OverflowError):
        pass
    raise OptionError(f"{CACHE_VARIABLE}={text!r} is not a number of bytes. Set it to a number such as 2e9, or unset it.")


class BatchStore:
    """Record batches in their order, each stored once.

    The file has no name where the system allows that, so that it is gone when the process ends, however it ends. Each of its
    batches is an Arrow stream, so that any of them can be read alone.
    """

    def __init__(self, limit: int) -> None:
        """Hold batches of `limit` bytes in memory."""
        self._limit = limit
        self._items: list[pa.RecordBatch | tuple[int, int]] = []  # a batch, or the place and size of one in the file
        self._file: IO[bytes] | None = None
        self._close: Callable[[], object] = lambda: None
        self.memory_bytes, self.file_bytes = 0, 0

    def __len__(self) -> int:
        return len(self._items)

    def append(self, batch: pa.RecordBatch) -> None:
        """Store a batch; raise an OSError if the disk is full."""
        if self.memory_bytes + batch.nbytes <= self._limit and not self.file_bytes:
            self.memory_bytes += batch.nbytes
            self._items.append(batch)
            return
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        content = sink.getvalue()
        file = self._open_file()
        file.seek(self.file_bytes)
        file.write(content)
        file.flush()
        self._items.append((self.file_bytes, content.size))
        self.file_bytes += content.size

    def __getitem__(self, number: int) -> pa.RecordBatch:
        item = self._items[number]
        if isinstance(item, pa.RecordBatch):
            return item
        place, size = item
        buffer, file = pa.allocate_buffer(size), self._open_file()
        file.seek(place)
        if file.readinto(memoryview(buffer)) != size:  # type: ignore[attr-defined]  # a buffered file reads all of it
            raise OSError("the temporary file was cut short")
        return pa.ipc.open_stream(buffer).read_next_batch()

    def _open_file(self) -> IO[bytes]:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="squarely-")  # noqa: SIM115  # `clear` closes it
            self._close = weakref.finalize(self, _close_file, self._file)
        return self._file

    def clear(self) -> None:
        """Free the memory and the file."""
        self._close()
        self._items, self._file, self.memory_bytes, self.file_bytes = [], None, 0, 0


def _close_file(file: IO[bytes]) -> None:
    with suppress(OSError):  # what is left to be written does not fit on the disk
        file.close()
