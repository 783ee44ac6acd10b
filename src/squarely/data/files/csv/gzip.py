"""Gzipped files: check their checksums and lengths, which DuckDB does not, and remove trailing zeros, which DuckDB refuses."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

from squarely.data.files.csv.encoding import TemporaryCopy

_PIECE = 2**22  # bytes


def read_gzip(path: Path) -> Iterator[tuple[bytes, int]]:
    """Yield the decompressed bytes in pieces, each with the place in the file where the last complete member ends.

    Checksums and lengths are checked. Zeros behind a member are ignored, as gzip does.

    Raises
    ------
    EOFError, zlib.error : the file was cut short, is damaged, or something other than a member follows.
    """
    end = 0
    with path.open("rb") as file:
        stream, rest, inside = zlib.decompressobj(wbits=31), b"", False
        while piece := rest or file.read(_PIECE):
            if not inside:
                piece = piece.lstrip(b"\0") if end else piece
                rest = b""
                if not piece:
                    continue
                stream, inside = zlib.decompressobj(wbits=31), True
            text = stream.decompress(piece, _PIECE)
            rest = stream.unconsumed_tail
            if stream.eof:
                rest, inside = stream.unused_data, False
                end = file.tell() - len(rest)
            yield text, end
        if inside:
            raise EOFError("it ends before the end of its gzip stream")


def strip_padding(path: Path) -> TemporaryCopy | None:
    """Copy a gzipped file without the zeros behind its last member; return None if there are none."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(-1, 2)
        if file.read(1) != b"\0":
            return None  # a member of less than 16 MiB itself ends in a zero, so its end must be found
        end = max(place for _, place in read_gzip(path))
        if end == size:
            return None
        copy = TemporaryCopy()
        file.seek(0)
        with copy.path.open("wb") as out:
            while piece := file.read(min(_PIECE, end - file.tell())):
                out.write(piece)
    return copy
