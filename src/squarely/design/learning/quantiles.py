"""Exact quantiles of partitioned values, by counting a few bits of the values at a time.

Doubles have the order of their bits, once those of negative numbers are inverted. So the bits of the value of a given rank follow
from counts of how many values begin with certain bits, and counts from several partitions add up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from squarely.numerics import Array

_WIDTHS = (13, 13, 13, 13, 12)  # bits of a double in one scan: counts of 64 KB for each rank
Counts = dict[int, np.ndarray]  # first bits -> how often each value of the next few bits follows


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Search:
    """The state of a search for the quantiles (type 7) of n values at some places, after some scans.

    `prefixes` has for each rank the bits that its value begins with, and how many values that begin with them come before it.
    """

    n: int
    places: Array
    prefixes: Mapping[int, tuple[int, int]]
    scans: int = 0

    @property
    def is_finished(self) -> bool:
        """Whether every bit is known."""
        return self.scans == len(_WIDTHS)

    def counter(self) -> Callable[[Array], Counts]:
        """Return the function that counts, among values (m,) that begin like those of the ranks, their next bits."""
        width, shift = _WIDTHS[self.scans], sum(_WIDTHS[self.scans + 1 :])
        prefixes = sorted({bits for bits, _ in self.prefixes.values()})

        def count(x: Array) -> Counts:
            keys = _keys(x) >> np.uint64(shift)
            before, after = keys >> np.uint64(width), keys & np.uint64(2**width - 1)
            return {bits: np.bincount(after[before == bits].astype(np.intp), minlength=2**width) for bits in prefixes}

        return count

    def narrow(self, counts: Counts) -> Search:
        """Return the search after one more scan, with the counts of all values."""
        width, prefixes = _WIDTHS[self.scans], {}
        for rank, (bits, before) in self.prefixes.items():
            until = np.cumsum(counts[bits])
            place = int(np.searchsorted(until, before, side="right"))
            prefixes[rank] = bits << width | place, before - (int(until[place - 1]) if place else 0)
        return replace(self, prefixes=prefixes, scans=self.scans + 1)

    def quantiles(self) -> Array:
        """Return the quantiles, when the search is finished."""
        keys = np.array([bits for bits, _ in self.prefixes.values()], dtype=np.uint64)
        return interpolate_quantiles(self.n, self.places, dict(zip(self.prefixes, _doubles(keys).tolist(), strict=True)))


def start_search(n: int, places: Array) -> Search:
    """Start a search for quantiles (type 7) of n values.

    >>> search = start_search(4, np.array([0.5]))
    >>> while not search.is_finished:
    ...     search = search.narrow(search.counter()(np.array([3.0, -1.0, 8.0, 2.5])))
    >>> search.quantiles().tolist()
    [2.75]
    """
    return Search(n=n, places=places, prefixes={rank: (0, rank) for rank in quantile_ranks(n, places)})


def quantile_ranks(n: int, places: Array) -> list[int]:
    """Return the ranks, counted from 0, of the values between which quantiles (type 7) of n values lie."""
    below = np.floor((n - 1) * places).astype(int)
    return sorted({*below.tolist(), *np.minimum(below + 1, n - 1).tolist()})


def interpolate_quantiles(n: int, places: Array, values: Mapping[int, float]) -> Array:
    """Return the quantiles (type 7) of n values at these places, as NumPy does, from the values of their ranks."""
    at = (n - 1) * places
    below = np.floor(at).astype(int)
    low, high = (np.array([values[rank] for rank in ranks.tolist()]) for ranks in (below, np.minimum(below + 1, n - 1)))
    with np.errstate(over="ignore", invalid="ignore"):
        fraction, gap = at - below, high - low
        quantiles: Array = np.where(fraction < 0.5, low + gap * fraction, high - gap * (1 - fraction))
    return quantiles


def _keys(x: Array) -> np.ndarray:
    bits = np.ascontiguousarray(x + 0.0).view(np.uint64)  # + 0.0 makes one zero of the two
    return np.where(bits >> np.uint64(63), ~bits, bits | np.uint64(1 << 63))


def _doubles(keys: np.ndarray) -> Array:
    bits = np.where(keys >> np.uint64(63), keys & np.uint64((1 << 63) - 1), ~keys)
    return bits.view(np.float64)
