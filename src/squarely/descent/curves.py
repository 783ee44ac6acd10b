"""The curves that theory predicts for many runs at once: the recurrence of `theory.excess_curve`, with all runs side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from squarely import theory
from squarely.numerics import Array


def excess_curves(lam: theory.Spectrum, c: Array, descents: Sequence[theory.Descent], epochs: int) -> tuple[Array, Array]:
    """Return the loss above the optimum (K, epochs + 1) of K runs, and their errors (K, p) after the last update.

    c (K, p) is the error of each run at its start in the eigenbasis, at rest there.

    Examples
    --------
    >>> lam = theory.spectrum(2.0 * np.eye(1))
    >>> excess_curves(lam, np.array([[1.0], [1.0]]), [theory.Descent(lr=0.25), theory.Descent(lr=0.5)], 2)[0].tolist()
    [[1.0, 0.25, 0.0625], [1.0, 0.0, 0.0]]
    """
    M = np.stack([descent.step(lam.values) for descent in descents])  # (K, p, 2, 2)
    to_c, of_v, to_v, beta = (np.ascontiguousarray(M[:, :, i, j]) for i in (0, 1) for j in (0, 1))
    c, v = np.array(c), np.zeros_like(c)
    curves = np.empty((epochs + 1, len(c)))
    half = 0.5 * lam.values
    still = not any(descent.momentum for descent in descents)
    with np.errstate(over="ignore", invalid="ignore"):  # a diverging run is predicted to diverge
        for k in range(epochs + 1):
            np.dot(c * c, half, out=curves[k])
            if k == epochs:
                break
            if still:
                c *= to_c
            else:
                c, v = to_c * c + of_v * v, to_v * c + beta * v
    return np.ascontiguousarray(curves.T), c
