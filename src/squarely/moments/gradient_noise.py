"""Moments of single rows' gradients in the eigenbasis of the standardized problem: what theory needs for mini-batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from squarely.data import Source, scan_purpose
from squarely.design import Block, Design, fold_blocks
from squarely.moments.cross_products import add_each, fold_in_threads
from squarely.moments.standardized import StandardizedProblem
from squarely.numerics import Array
from squarely.theory import Noise, Spectrum, gaussian_square, pairs_of, weights_of

_MAX_FOURTH_MOMENT_COLUMNS = 24  # these have 300 products and 90,000 fourth moments; more would cost more than an epoch
_CELLS = 2**20  # of a block's products: 8 megabytes in each thread


@scan_purpose("gradient noise")
def fold_gradient_noise(
    design: Design,
    source: Source,
    problem: StandardizedProblem,
    lam: Spectrum,
    w: Array,
    *,
    gaussian: bool = False,
    all_reduce: Callable[[Sequence[Array]], Sequence[Array]] = tuple,
) -> Noise:
    """Scan the rows once for the noise of their gradients about w (p,), the optimum in standardized columns.

    `lam` is the spectrum of `problem.H`. Up to 24 columns the fourth moments are those of the rows. Beyond, or with `gaussian`,
    they are those of Gaussian columns with this H beside the intercept and with independent weights, and the result says so. A few
    digits of w are enough. `all_reduce` adds the sums of all processes.
    """
    V, values = lam.vectors[:, lam.flat_directions :], lam.values[lam.flat_directions :]
    gaussian = gaussian or len(values) > _MAX_FOURTH_MOMENT_COLUMNS
    pairs = pairs_of(len(values), gaussian=gaussian)
    level, slopes = (V[0], V[1:]) if problem.intercept else (np.zeros(len(values)), V)
    optimum = np.dot(V.T, w)
    size = max(1, _CELLS // len(pairs[0]))
    m, d = len(values), len(pairs[0])
    start: Sequence[Array] = [np.zeros(()), np.zeros(()), np.zeros(d), np.zeros((d, m)), *([] if gaussian else [np.zeros((d, d))])]

    def step(block: Block) -> Sequence[Array]:
        """Sum r^2, u r^2 (d,), u r x' (d, m) and u u' (d, d) over rows x in the eigenbasis, with residuals r and products u.

        With weights w, x and r are multiplied by the root of w: the gradient of a row is w r x. The first sum is that of w^2.
        """
        table, total = problem.columns(block.values), start
        weights = np.ones(block.size) if block.weights is None else problem.relative_weights(block.weights)
        for first in range(0, len(table), size):
            piece = table[first : first + size].T
            x = np.dot(slopes.T, piece[:-1]) + level[:, None]
            r = piece[-1] - np.dot(optimum, x)
            w2 = np.square(weights[first : first + size]).sum()
            if block.weights is not None:
                root = np.sqrt(weights[first : first + size])
                x, r = x * root, r * root
            u = x[pairs[0]] * x[pairs[1]]  # (d, rows)
            sums = [w2, np.dot(r, r), np.dot(u, r * r), np.dot(u, (r * x).T), *([] if gaussian else [np.dot(u, u.T)])]
            total = add_each(total, sums)
        return total

    local = fold_blocks(design, source, step, add_each, start, threads=fold_in_threads(design))
    squared_weights, squares, gradient, skew, *fourth_moments = all_reduce(local)
    scale, weights = 4.0 / problem.n, weights_of(pairs)
    return Noise(
        values=values,
        n=problem.n,
        sigma2=float(squares) / problem.n,
        pairs=pairs,
        gradient=scale * weights * gradient,
        skew=scale * weights[:, None] * skew,
        square=gaussian_square(values, level if problem.intercept else None) * (float(squared_weights) / problem.n)
        if gaussian
        else scale * np.outer(weights, weights) * fourth_moments[0],
        gaussian=gaussian,
    )


def noise_cost(problem: StandardizedProblem) -> int:
    """Return about how many multiplications `fold_gradient_noise` takes."""
    m = len(problem.names)
    return problem.n * (m if m > _MAX_FOURTH_MOMENT_COLUMNS else m * (m + 1) // 2) ** 2


def expected_noise(problem: StandardizedProblem, lam: Spectrum, w: Array) -> Noise:
    """Return the noise that Gaussian columns with errors of one variance would have, without a scan of the rows."""
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
