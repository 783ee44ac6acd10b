"""Moments: cross-products of the design's columns, the one thing about the rows that both roads share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from squarely.data import BATCH_ROWS, RowAccount, Source, scanning
from squarely.design import Block, Design, fold_rows, pieces, recentred
from squarely.errors import DataError
from squarely.moments.aggregated import Aggregated
from squarely.moments.indicators import IndicatorSums, indicator_sums
from squarely.numerics import Array

_CELLS = 2**22  # of a piece, 32 megabytes: few long steps gain more than caches do
_LEAST = 1_024  # rows
_NARROW = 64  # columns; wider products are shared out by BLAS itself, and threads of ours would fight its own
_LARGEST = 1e75  # coefficients are ratios of two columns and variances their squares: up to 1e300 all stays representable
FAR = 8.0  # a centre so many standard deviations off the mean costs digits: the rows are folded again
Fold = Callable[[Design, Source], tuple[Array, RowAccount]]  # what works out the products of rows


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Moments:
    """Cross-products of Z = [1, (x - c) / s, (y - c) / s], where c and s are the design's centres and scales.

    Attributes
    ----------
    design : the frozen design.
    gram : (k + 1, k + 1), Z'Z; its first entry is n.
    account : the rows that the fold has met.
    passes : scans of the rows that it took.
    aggregated : how an engine was asked, None for rows that came in batches.
    remarks : sentences for the summary on how the rows were read.
    """

    design: Design
    gram: Array
    account: RowAccount
    passes: int = 1
    aggregated: Aggregated | None = None
    remarks: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """The number of complete rows."""
        return self.account.used

    @property
    def means(self) -> Array:
        """The mean of each variable (k,), in its own unit."""
        return self.design.centres + self.design.scales * (self.gram[0, 1:] / self.n)

    @property
    def variances(self) -> Array:
        """The population variance (divisor n) of each variable (k,), in its unit squared."""
        first = self.gram[0, 1:] / self.n
        return self.design.scales**2 * np.maximum(np.diag(self.gram)[1:] / self.n - first**2, 0.0)

    @property
    def covariances(self) -> Array:
        """The population covariances (divisor n) of the variables (k, k), in the products of their units."""
        first = self.gram[0, 1:] / self.n
        return np.outer(self.design.scales, self.design.scales) * (self.gram[1:, 1:] / self.n - np.outer(first, first))

    @property
    def constant(self) -> np.ndarray:
        """Which variables (k,) have the same value in every row, as far as doubles can tell."""
        # Squares of magnitude m**2 are summed with errors near n u m**2 (m in scaled units, about one when centred).
        sizes = np.diag(self.gram)[1:]
        spread = sizes - self.gram[0, 1:] ** 2 / self.n
        constant: np.ndarray = spread <= 1e-14 * sizes
        return constant


def piece_rows(design: Design) -> int:
    """Tell how many rows of a design are worked on at once."""
    return max(_LEAST, min(BATCH_ROWS, _CELLS // (len(design.layout.dense) + 1)))


def in_threads(design: Design) -> bool:
    """Tell whether the batches of a design are shared out to threads."""
    return len(design.layout.dense) < _NARROW


@dataclass(frozen=True, eq=False, slots=True)
class _Sums:
    """What a fold of cross-products gathers: of the dense columns (d + 1, d + 1), and of the indicators."""

    dense: Array
    indicators: IndicatorSums | None
    account: RowAccount


def fold_moments(design: Design, source: Source, fold: Fold | None = None) -> Moments:
    """Fold the rows into Moments, in the order of the batches, which fixes every bit of the result."""
    gram, account = (fold or fold_products)(design, source)
    require_range(design, source, gram, account.used)
    return Moments(design=design, gram=gram, account=account)


@scanning("cross-products")
def fold_products(design: Design, source: Source) -> tuple[Array, RowAccount]:
    """Fold the rows into the cross-products (k + 1, k + 1) of Moments and an account; there may be no row."""
    size, grouped = len(design.layout.dense) + 1, len(design.layout.grouped)

    def step(block: Block) -> _Sums:
        dense, indicators = np.zeros((size, size)), None
        with np.errstate(over="ignore", invalid="ignore"):
            for piece in pieces(design, block, piece_rows(design)):
                dense += np.dot(piece.Z, piece.Z.T)  # np.dot and not @, which would keep other threads waiting
                if grouped:
                    indicators = _joined(indicators, indicator_sums(piece, grouped))
        return _Sums(dense, indicators, block.account)

    start = _Sums(np.zeros((size, size)), None, RowAccount())
    total = fold_rows(design, source, step, _add, start, threads=in_threads(design))
    return _whole(design, total), total.account


def _whole(design: Design, total: _Sums) -> Array:
    """Put the cross-products into the order of the columns [1, x_1 ... x_p, y]."""
    if total.indicators is None:
        return total.dense
    layout = design.layout
    dense, grouped = np.concatenate([[0], layout.dense + 1]), layout.grouped + 1
    gram = np.zeros((len(dense) + len(grouped),) * 2)
    gram[np.ix_(dense, dense)] = total.dense
    gram[np.ix_(grouped, dense)] = total.indicators.across
    gram[np.ix_(dense, grouped)] = total.indicators.across.T
    total.indicators.put(gram, grouped)
    return gram


def gather(design: Design, source: Source, fold: Fold | None = None) -> Moments:
    """Fold the rows into Moments; fold again about better centres if the pilot's were far off."""
    moments = fold_moments(design, source, fold)
    means, spreads = moments.means, np.sqrt(moments.variances)
    off = np.abs(means - design.centres) > FAR * spreads
    off[design.layout.grouped] = False  # indicators are not centred
    if not design.intercept or not (off & (spreads > 0)).any():
        return moments
    better = recentred(design, mean=means, spread=spreads)
    return replace(fold_moments(better, source, fold), passes=2)


def require_range(design: Design, source: Source, gram: Array, n: int) -> None:
    """Refuse columns so large or small that a variance, in the square of their unit, would over- or underflow in silence."""
    with np.errstate(over="ignore", invalid="ignore"):
        sizes = np.abs(design.centres) + design.scales * np.sqrt(np.diag(gram)[1:] / n)
    for name, size in zip(design.labels, sizes.tolist(), strict=True):
        if not size < _LARGEST or 0.0 < size < 1 / _LARGEST:
            raise DataError(
                f"The values of column {name!r} of {source.label} are {_about(size)}, and their squares leave the range of "
                f"double precision: between {1 / _LARGEST:.0e} and {_LARGEST:.0e} is safe. Rescale the column, or look for a "
                "wrong value in it."
            )


def _about(size: float) -> str:
    return f"near {size:.1g}" if np.isfinite(size) else "too large"


def _add(a: _Sums, b: _Sums) -> _Sums:
    return _Sums(a.dense + b.dense, _joined(a.indicators, b.indicators), a.account + b.account)


def _joined(a: IndicatorSums | None, b: IndicatorSums | None) -> IndicatorSums | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b
