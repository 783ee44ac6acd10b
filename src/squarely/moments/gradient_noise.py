"""What theory asks of mini-batches: the moments of single rows' gradients, folded in the eigenbasis of the standardised problem."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from squarely.data import Source, scan_purpose
from squarely.design import Block, Design, fold_blocks
from squarely.moments.cross_products import in_threads
from squarely.moments.standardized import Standardised
from squarely.numerics import Array
from squarely.theory import Noise, Pairs, Spectrum, gaussian_square, pairs_of, weights_of

_FEW = 24  # columns have 300 products and 90,000 fourth moments; beyond, these cost more than an epoch tells
_CELLS = 2**20  # of a piece's products: 8 megabytes in each thread


@dataclass(frozen=True, eq=False, slots=True)
class _Sums:
    """Sums over rows x in the eigenbasis with residuals r, where u are the products x_a x_b that `Noise.pairs` names.

    Attributes
    ----------
    squares : r^2, ().
    gradient, skew : (d,) u r^2 and (d, m) u r x'. `fourth` (d, d) u u', None where they are not asked for.
    """

    squares: Array
    gradient: Array
    skew: Array
    fourth: Array | None = None

    def __add__(self, other: _Sums) -> _Sums:
        fourth = None if self.fourth is None or other.fourth is None else self.fourth + other.fourth
        return _Sums(self.squares + other.squares, self.gradient + other.gradient, self.skew + other.skew, fourth)


@scan_purpose("gradient noise")
def fold_noise(
    design: Design,
    source: Source,
    problem: Standardised,
    lam: Spectrum,
    w: Array,
    *,
    summed: Callable[[Sequence[Array]], Sequence[Array]] = tuple,
) -> Noise:
    """Scan the rows once for the noise of their gradients about w (p,), the optimum in standardised columns.

    `lam` is the spectrum of `problem.H`. Up to 24 columns the fourth moments are the rows' own; beyond, those of Gaussian columns
    with this H beside the intercept, and the result says so. A few digits of w are enough. `summed` adds sums over the rows of this
    source to those over others.
    """
    V, values = lam.vectors[:, lam.flat :], lam.values[lam.flat :]
    gaussian = len(values) > _FEW
    pairs = pairs_of(len(values), gaussian=gaussian)
    level, slopes = (V[0], V[1:]) if problem.intercept else (np.zeros(len(values)), V)
    best = np.dot(V.T, w)
    size = max(1, _CELLS // len(pairs[0]))

    def step(block: Block) -> _Sums:
        table, total = problem.columns(block.values), _nothing(len(values), len(pairs[0]), gaussian=gaussian)
        for first in range(0, len(table), size):
            piece = table[first : first + size].T
            total += _sums(np.dot(slopes.T, piece[:-1]) + level[:, None], piece[-1], best, pairs, gaussian=gaussian)
        return total

    start = _nothing(len(values), len(pairs[0]), gaussian=gaussian)
    here = fold_blocks(design, source, step, _Sums.__add__, start, threads=in_threads(design))
    total = _Sums(*summed([here.squares, here.gradient, here.skew, *([] if here.fourth is None else [here.fourth])]))
    scale, weights = 4.0 / problem.n, weights_of(pairs)
    constant = level if problem.intercept else None
    return Noise(
        values=values,
        n=problem.n,
        sigma2=float(total.squares) / problem.n,
        pairs=pairs,
        gradient=scale * weights * total.gradient,
        skew=scale * weights[:, None] * total.skew,
        square=gaussian_square(values, constant) if total.fourth is None else scale * np.outer(weights, weights) * total.fourth,
        gaussian=gaussian,
    )


def noise_cost(problem: Standardised) -> int:
    """Tell about how many multiplications `fold_noise` takes."""
    m = len(problem.names)
    d = m if m > _FEW else m * (m + 1) // 2
    return problem.n * d * (m if m > _FEW else d)


def expected_noise(problem: Standardised, lam: Spectrum, w: Array) -> Noise:
    """Give the noise that Gaussian columns with errors of one variance would have, without looking at a row."""
    V, values = lam.vectors[:, lam.flat :], lam.values[lam.flat :]
    sigma2 = problem.loss(w)
    return Noise(
        values=values,
        n=problem.n,
        sigma2=sigma2,
        pairs=pairs_of(len(values), gaussian=True),
        gradient=2.0 * sigma2 * values,  # S = 4 sigma^2 X'X/n
        skew=np.zeros((len(values), len(values))),
        square=gaussian_square(values, V[0] if problem.intercept else None),
        gaussian=True,
    )


def _nothing(m: int, d: int, *, gaussian: bool) -> _Sums:
    return _Sums(np.zeros(()), np.zeros(d), np.zeros((d, m)), None if gaussian else np.zeros((d, d)))


def _sums(x: Array, y: Array, best: Array, pairs: Pairs, *, gaussian: bool) -> _Sums:
    r = y - np.dot(best, x)
    u = x[pairs[0]] * x[pairs[1]]  # (d, rows)
    return _Sums(np.dot(r, r), np.dot(u, r * r), np.dot(u, (r * x).T), None if gaussian else np.dot(u, u.T))
