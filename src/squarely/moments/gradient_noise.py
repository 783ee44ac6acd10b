"""What theory asks of mini-batches: the moments of single rows' gradients, folded in the eigenbasis of the standardised problem."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from squarely.data import Source, scan_purpose
from squarely.design import Block, Design, fold_blocks
from squarely.moments.cross_products import fold_in_threads
from squarely.moments.standardized import StandardizedProblem
from squarely.numerics import Array
from squarely.theory import Noise, Pairs, Spectrum, gaussian_square, pairs_of, weights_of

_MAX_FOURTH_MOMENT_COLUMNS = 24  # columns have 300 products and 90,000 fourth moments; beyond, these cost more than an epoch tells
_CELLS = 2**20  # of a piece's products: 8 megabytes in each thread


@dataclass(frozen=True, eq=False, slots=True)
class _NoiseSums:
    """Sums over rows x in the eigenbasis with residuals r, where u are the products x_a x_b that `Noise.pairs` names.

    Attributes
    ----------
    squares : r^2, ().
    gradient, skew : (d,) u r^2 and (d, m) u r x'. `fourth_moments` (d, d) u u', None where they are not asked for.
    """

    squares: Array
    gradient: Array
    skew: Array
    fourth_moments: Array | None = None

    def __add__(self, other: _NoiseSums) -> _NoiseSums:
        fourth = None if self.fourth_moments is None or other.fourth_moments is None else self.fourth_moments + other.fourth_moments
        return _NoiseSums(self.squares + other.squares, self.gradient + other.gradient, self.skew + other.skew, fourth)


@scan_purpose("gradient noise")
def fold_gradient_noise(
    design: Design,
    source: Source,
    problem: StandardizedProblem,
    lam: Spectrum,
    w: Array,
    *,
    all_reduce: Callable[[Sequence[Array]], Sequence[Array]] = tuple,
) -> Noise:
    """Scan the rows once for the noise of their gradients about w (p,), the optimum in standardised columns.

    `lam` is the spectrum of `problem.H`. Up to 24 columns the fourth moments are the rows' own; beyond, those of Gaussian columns
    with this H beside the intercept, and the result says so. A few digits of w are enough. `all_reduce` adds sums over the rows of this
    source to those over others.
    """
    V, values = lam.vectors[:, lam.flat_directions :], lam.values[lam.flat_directions :]
    gaussian = len(values) > _MAX_FOURTH_MOMENT_COLUMNS
    pairs = pairs_of(len(values), gaussian=gaussian)
    level, slopes = (V[0], V[1:]) if problem.intercept else (np.zeros(len(values)), V)
    best = np.dot(V.T, w)
    size = max(1, _CELLS // len(pairs[0]))

    def step(block: Block) -> _NoiseSums:
        table, total = problem.columns(block.values), _zero_sums(len(values), len(pairs[0]), gaussian=gaussian)
        for first in range(0, len(table), size):
            piece = table[first : first + size].T
            total += _sums(np.dot(slopes.T, piece[:-1]) + level[:, None], piece[-1], best, pairs, gaussian=gaussian)
        return total

    start = _zero_sums(len(values), len(pairs[0]), gaussian=gaussian)
    here = fold_blocks(design, source, step, _NoiseSums.__add__, start, threads=fold_in_threads(design))
    total = _NoiseSums(
        *all_reduce([here.squares, here.gradient, here.skew, *([] if here.fourth_moments is None else [here.fourth_moments])])
    )
    scale, weights = 4.0 / problem.n, weights_of(pairs)
    constant = level if problem.intercept else None
    return Noise(
        values=values,
        n=problem.n,
        sigma2=float(total.squares) / problem.n,
        pairs=pairs,
        gradient=scale * weights * total.gradient,
        skew=scale * weights[:, None] * total.skew,
        square=gaussian_square(values, constant)
        if total.fourth_moments is None
        else scale * np.outer(weights, weights) * total.fourth_moments,
        gaussian=gaussian,
    )


def noise_cost(problem: StandardizedProblem) -> int:
    """Tell about how many multiplications `fold_gradient_noise` takes."""
    m = len(problem.names)
    d = m if m > _MAX_FOURTH_MOMENT_COLUMNS else m * (m + 1) // 2
    return problem.n * d * (m if m > _MAX_FOURTH_MOMENT_COLUMNS else d)


def expected_noise(problem: StandardizedProblem, lam: Spectrum, w: Array) -> Noise:
    """Give the noise that Gaussian columns with errors of one variance would have, without looking at a row."""
    V, values = lam.vectors[:, lam.flat_directions :], lam.values[lam.flat_directions :]
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


def _zero_sums(m: int, d: int, *, gaussian: bool) -> _NoiseSums:
    return _NoiseSums(np.zeros(()), np.zeros(d), np.zeros((d, m)), None if gaussian else np.zeros((d, d)))


def _sums(x: Array, y: Array, best: Array, pairs: Pairs, *, gaussian: bool) -> _NoiseSums:
    r = y - np.dot(best, x)
    u = x[pairs[0]] * x[pairs[1]]  # (d, rows)
    return _NoiseSums(np.dot(r, r), np.dot(u, r * r), np.dot(u, (r * x).T), None if gaussian else np.dot(u, u.T))
