"""Merging two by two, in a tree whose shape goes by the number of parts alone: its branches are merged wherever the parts are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")

Branch = tuple[int, T]  # of how many parts that follow each other, and what they are merged to

# Seconds of a pass of Spark on local[2], outcomes of 83 kB, all merged here and in blocks, the best of five, the machine busy (load
# 8): 8 partitions 0.59 and 1.13, 64 partitions 2.57 and 2.71. A fit on a cluster of two Dask workers: 16
# partitions, 40 columns 0.67 and 0.76, 64 partitions, 100 columns 5.2 and 4.6.
_MIN_PARTS = 64
_ASSUMED_PARTS = 1024  # parts, where nobody knows how many


def reduce_tree(branches: Iterable[Branch[T]], merge: Callable[[T, T], T]) -> list[Branch[T]]:
    """Merge branches in their order, as long as two neighbours are of as many parts; what is left has ever fewer.

    The first 2^k parts, the next 2^k and so on grow to the same branches by themselves, be the last of them fewer: whoever merges
    these branches on does what all parts would have come to, to the bit.

    >>> reduce_tree([(1, letter) for letter in "abcdefg"], lambda x, y: f"({x}{y})")
    [(4, '((ab)(cd))'), (2, '(ef)'), (1, 'g')]
    >>> reduce_tree([(2, "(ab)"), (2, "(cd)"), (2, "(ef)"), (1, "g")], lambda x, y: f"({x}{y})")
    [(4, '((ab)(cd))'), (2, '(ef)'), (1, 'g')]
    """
    waiting: list[Branch[T]] = []
    for size, total in branches:
        while waiting and waiting[-1][0] == size:
            total = merge(waiting.pop()[1], total)
            size *= 2
        waiting.append((size, total))
    return waiting


def reduce_all(branches: Iterable[Branch[T]], merge: Callable[[T, T], T], start: T) -> T:
    """Merge branches to one outcome: of many parts rounding grows with the logarithm of their number.

    >>> reduce_all([(1, letter) for letter in "abcde"], lambda x, y: f"({x}{y})" if x and y else x or y, "")
    '(((ab)(cd))e)'
    """
    total = start
    for _, before in reversed(reduce_tree(branches, merge)):
        total = merge(before, total)
    return total


def leaves(outcomes: Iterable[T]) -> Iterable[Branch[T]]:
    """Take what came of each part as a branch of one part."""
    return ((1, outcome) for outcome in outcomes)


def block_size(parts: int | None) -> int:
    """Give the number of parts, a power of two, that are merged where they are; 1 where this is not worth its while.

    It is about the square root: then those who merge blocks hold about as many outcomes as whoever merges what comes of them.

    >>> block_size(63), block_size(64), block_size(20_000), block_size(10**6)
    (1, 8, 256, 1024)
    """
    known = _ASSUMED_PARTS if parts is None else parts
    return 1 if known < _MIN_PARTS else int(2 ** math.ceil(math.log2(known) / 2))


def chunked(parts: Sequence[T], size: int) -> list[Sequence[T]]:
    """Cut parts into blocks of a size."""
    return [parts[first : first + size] for first in range(0, len(parts), size)]
