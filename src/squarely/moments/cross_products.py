"""Moments: cross-products of the design's columns, the one thing about the rows that both roads share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squarely.data import RowAccount, Source, fold
from squarely.design import Block, Design, recentred, rows
from squarely.errors import DataError
from squarely.moments.aggregated import Aggregated
from squarely.numerics import Array

BLOCK_ROWS = 8_192  # larger blocks wake BLAS threads that fight the engine's own
_LARGEST = 1e75  # coefficients are ratios of two columns and variances their squares: up to 1e300 all stays representable
FAR = 8.0  # a centre so many standard deviations off the mean costs digits: the rows are folded again


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


def fold_moments(design: Design, source: Source) -> Moments:
    """Fold the rows into Moments, in the order of the batches, which fixes every bit of the result."""
    size = len(design.labels) + 1

    def step(block: Block) -> tuple[Array, RowAccount]:
        gram = np.zeros((size, size))
        with np.errstate(over="ignore", invalid="ignore"):
            for values, low in block.pieces(BLOCK_ROWS):
                Z, _ = design.scaled(values, low)
                gram += Z.T @ Z
        return gram, block.account

    gram, account = fold(rows(design, source), step, _add, (np.zeros((size, size)), RowAccount()))
    require_range(design, source, gram, account.used)
    return Moments(design=design, gram=gram, account=account)


def gather(design: Design, source: Source) -> Moments:
    """Fold the rows into Moments; fold again about better centres if the pilot's were far off."""
    moments = fold_moments(design, source)
    means, spreads = moments.means, np.sqrt(moments.variances)
    off = np.abs(means - design.centres) > FAR * spreads
    if not design.intercept or not (off & (spreads > 0)).any():
        return moments
    better = recentred(design, mean=means, spread=spreads)
    again = fold_moments(better, source)
    return Moments(design=better, gram=again.gram, account=again.account, passes=2)


def require_range(design: Design, source: Source, gram: Array, n: int) -> None:
    """Refuse columns so large or small that a variance, in the square of their unit, would over- or underflow in silence."""
    with np.errstate(over="ignore", invalid="ignore"):
        sizes = np.abs(design.centres) + design.scales * np.sqrt(np.diag(gram)[1:] / n)
    for name, size in zip(design.labels, sizes.tolist(), strict=True):
        if not size < _LARGEST or 0.0 < size < 1 / _LARGEST:
            raise DataError(
                f"The values of column {name!r} of {source.label} are near {size:.1g}, and their squares leave the range of "
                f"double precision: between {1 / _LARGEST:.0e} and {_LARGEST:.0e} is safe. Rescale the column, or look for a "
                "wrong value in it."
            )


def _add(a: tuple[Array, RowAccount], b: tuple[Array, RowAccount]) -> tuple[Array, RowAccount]:
    return a[0] + b[0], a[1] + b[1]
