"""Gzipped files: their sums and lengths checked, which DuckDB does not, and zeros behind them taken off, which it refuses."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

from squarely.data.files.csv.dialect import TemporaryCopy

_PIECE = 2**22  # bytes


def read_gzip(path: Path) -> Iterator[tuple[bytes, int]]:
    """Yield the text of a gzipped file in pieces, each with the place where the members that are complete end.

    Sums and lengths are checked. As gzip does, take no notice of zeros behind a member.

    Raises
    ------
    EOFError, zlib.error : the file was cut short, is damaged, or something else follows in it.
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
    """Copy a gzipped file that has zeros behind its stream without them; give None where there are none."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(-1, 2)
        if file.read(1) != b"\0":
            return None  # a stream of less than 16 MiB ends in a zero of its own, so the end has to be found
        end = max(place for _, place in read_gzip(path))
        if end == size:
            return None
        copy = TemporaryCopy()
        file.seek(0)
        with copy.path.open("wb") as out:
            while piece := file.read(min(_PIECE, end - file.tell())):
                out.write(piece)
    return copy
