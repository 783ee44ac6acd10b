"""Search the bytes of a CSV file for short texts, and measure its lines, while its line ends are checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np


class ByteSearch:
    r"""Which of some texts occur anywhere below the first line, or in all of a file without a header; and the longest line.

    A text that is found is not searched for again, and one whose first byte does not occur costs a twentieth of reading.

    >>> search = ByteSearch(["NA", "_", "+-"], has_header=True)
    >>> [len(piece) for piece in search.watch([b"my_name,x\n1,N", b"A\n2,3\n"])]
    [13, 6]
    >>> search.found, search.longest_line
    (('NA',), 9)
    """

    def __init__(self, texts: Iterable[str], *, has_header: bool) -> None:
        self._texts = {text: text.encode() for text in texts if text}
        self._in_header = has_header  # column names are full of underscores
        self._found: set[str] = set()
        self.longest_line = 0  # bytes, of the lines that are not inside a single piece

    @property
    def found(self) -> tuple[str, ...]:
        """The texts that were found, in the order in which they were passed."""
        return tuple(text for text in self._texts if text in self._found)

    def watch(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the pieces of a file unchanged, and search each before it is yielded."""
        size = max(map(len, self._texts.values()), default=1) - 1
        end, line = b"", 0
        for piece in pieces:
            ends = b"\n" if b"\n" in piece else b"\r"
            first, last = piece.find(ends), piece.rfind(ends)
            self.longest_line = max(self.longest_line, line + (len(piece) if first < 0 else first))
            line = line + len(piece) if first < 0 else len(piece) - last - 1
            searched = end + piece
            if self._in_header:
                lines = re.split(rb"[\r\n]", piece, maxsplit=1)
                self._in_header, searched = len(lines) == 1, b"".join(lines[1:])
            for text, sought in self._texts.items():
                if text not in self._found and _occurs(sought, searched):
                    self._found.add(text)
            end = searched[max(len(searched) - size, 0) :]
            yield piece


def has_pair(block: bytes, pair: bytes) -> bool:
    r"""Return whether two bytes occur one after the other, by words of two bytes: `in` is slow for frequent bytes.

    >>> has_pair(b"1,\n2", b",\n"), has_pair(b"1,2\n", b",\n")
    (True, False)
    """
    word = int.from_bytes(pair, "little")
    if len(block) < 3:
        return pair in block
    return any((np.frombuffer(block, "<u2", (len(block) - first) // 2, first) == word).any() for first in (0, 1))


def _occurs(sought: bytes, block: bytes) -> bool:
    """Return whether a text occurs; its first bytes show in most blocks that it does not, in a fifth of the time."""
    return sought[:1] in block and (len(sought) < 3 or has_pair(block, sought[:2])) and sought in block


def measure_longest_line(pieces: Iterable[bytes]) -> int:
    """Return the size of the longest line in bytes, if it is longer than a piece."""
    search = ByteSearch((), has_header=False)
    for _ in search.watch(pieces):
        pass
    return search.longest_line
