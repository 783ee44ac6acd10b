"""Degrees of freedom of tests by CR2, from the clusters of the rows: Satterthwaite's, and those of the approximate Hotelling test.

The F test of several constraints is HTZ of Pustejovsky and Tipton (2018, doi:10.1080/07350015.2016.1247004), as in clubSandwich.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from squarely.data import Source
from squarely.exact import Solution
from squarely.inference.covariance.clustered.cluster_scores import read_cluster_products
from squarely.inference.covariance.clustered.cluster_sums import ClusterTable
from squarely.inference.covariance.clustered.satterthwaite import adjust_clusters, adjust_scores, stack_clusters
from squarely.inference.covariance.robust import RobustCovariance
from squarely.numerics import Array


def satterthwaite_degrees(solution: Solution, source: Source, robust: RobustCovariance, B: Array) -> Array:
    """Return the degrees of freedom (r,) of linear combinations with B = L A (r, q), NaN for a row of zeros."""
    df = np.full(len(B), np.nan)
    rows = np.flatnonzero(B.any(axis=1))
    if len(rows):
        df[rows] = adjust_scores(_read(solution, source, robust), B[rows], -0.5).df
    return df


def htz_degrees(solution: Solution, source: Source, robust: RobustCovariance, B: Array) -> float:
    """Return eta, the degrees of freedom of the covariance of r constraints with B = L A (r, q)."""
    degrees = HotellingDegrees(B)
    for table in _read(solution, source, robust):
        for _, _, products in stack_clusters(table.sums, B.shape[1]):
            degrees.add(*adjust_clusters(products, -0.5))
    return degrees.finish()


class HotellingDegrees:
    """Sum over clusters what eta, the degrees of freedom of the covariance of r constraints, needs.

    Their covariance is about a Wishart matrix with eta degrees of freedom: (eta - r + 1) / (eta r) times the Wald statistic has an
    F distribution with r and eta - r + 1. With orthonormal contrasts a_s (rows of `a`), eta is r (r + 1) over the sum of the
    variances of the entries of that matrix, under errors of one variance.
    """

    def __init__(self, B: Array) -> None:
        """Test constraints with B = L A (r, q)."""
        self._a = np.linalg.qr(B.T)[0].T
        r, q = self._a.shape
        self._first, self._K = 0.0, np.zeros((r, r, q, q))

    def add(self, values: Array, powers: Array, Q: Array) -> None:
        """Add clusters, as `adjust_clusters` returns them with the power -1/2."""
        Y = np.swapaxes(self._a @ Q, 1, 2)  # (g, q, r)
        Z = (powers * (1 - values))[:, :, None] * Y
        d = np.einsum("gi,gir,gis->grs", powers**2 * (1 - values), Y, Y)
        z = np.einsum("gir,gis->grs", Z, Z)
        trace, squares = np.trace(d, axis1=1, axis2=2), np.trace(z, axis1=1, axis2=2)
        self._first += float((trace * (trace - 2 * squares)).sum() + (d * (d - 2 * z)).sum())
        Z = Q @ Z
        self._K += np.einsum("gir,gjs->rsij", Z, Z, optimize=True)

    def finish(self) -> float:
        """Return eta."""
        r, K = len(self._a), self._K
        variance = self._first + float((K * K).sum() + (K * np.swapaxes(K, 2, 3)).sum())
        return r * (r + 1) / variance if variance > 0 else np.nan


def _read(solution: Solution, source: Source, robust: RobustCovariance) -> Iterable[ClusterTable]:
    """Return the clusters with their products, from one scan unless the covariance has them, without scores and labels."""
    if robust.products is not None:
        sums = np.hstack([np.zeros((len(robust.products), len(robust.meat))), robust.products])
        return [ClusterTable((), np.ones(len(sums), dtype=np.int64), sums)]
    return read_cluster_products(solution, source, tuple(robust.cov_kwds["cluster"]), "plain")
