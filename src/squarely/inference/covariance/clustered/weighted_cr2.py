"""CR2 for weighted least squares, with an identity working model (Pustejovsky and Tipton 2018), from the sums of each cluster.

With x the whitened rows before they are multiplied by the roots of the weights w, a cluster has S_j = sum of w^j x x' for j = 0,
1, 2, a = sum of x e and b = sum of w x e. With N the sum of all S_2, U'U = [S_0 S_1; S_1 S_2] and K = [N -I; -I 0], its adjusted
score is the lower half of (I + U'U K)^(-1/2) [a; b]. For U'U = L L' this power is L (I + L'K L)^(-1/2) L^+, with a symmetric matrix
in the middle.
"""

from __future__ import annotations

import numpy as np

from squarely.inference.covariance.clustered.cluster_sums import ClusterGroups
from squarely.inference.covariance.clustered.satterthwaite import AdjustedClusters, SingularClusters, iter_stacks, to_symmetric
from squarely.numerics import ROUNDOFF, Array

_EIGENVALUE_TOLERANCE = 1e-10  # an eigenvalue of I + L'K L below this is zero up to rounding


def adjust_weighted_scores(groups: ClusterGroups, q: int) -> AdjustedClusters:
    """Return the sums over the clusters, from tables with the sums b, a, S_1, S_0 and S_2 of each cluster."""
    N = sum((to_symmetric(table.sums[:, -(q * (q + 1) // 2) :].sum(axis=0), q) for table in groups), np.zeros((q, q)))
    K = np.block([[N, -np.eye(q)], [-np.eye(q), np.zeros((q, q))]])
    meat, singular, margin = np.zeros((q, q)), SingularClusters(), 1.0
    for table in groups:
        for at in iter_stacks(len(table.sums), 2 * q):
            scores, gram = _stack(table.sums[at], q)
            squares, Q = np.linalg.eigh(gram)
            is_zero = squares <= 2 * q * ROUNDOFF * squares[:, -1:]
            roots = np.sqrt(np.where(is_zero, 1.0, squares))
            c = np.where(is_zero, 0.0, np.einsum("gji,gj->gi", Q, scores) / roots)
            L = Q * np.where(is_zero, 0.0, roots)[:, None, :]
            values, P = np.linalg.eigh(np.eye(2 * q) + np.swapaxes(L, 1, 2) @ K @ L)
            is_zero = values <= _EIGENVALUE_TOLERANCE
            singular.add(table, np.flatnonzero(is_zero.any(axis=1)) + at.start)
            margin = min(margin, float(values[~is_zero].min(initial=1.0)))
            powers = np.where(is_zero, 0.0, np.where(is_zero, 1.0, values) ** -0.5)
            adjusted = np.einsum("gij,gj->gi", L @ P, powers * np.einsum("gji,gj->gi", P, c))[:, q:]
            meat += adjusted.T @ adjusted
    return AdjustedClusters(meat, singular, margin=margin)


def _stack(sums: Array, q: int) -> tuple[Array, Array]:
    """Return [a; b] (g, 2q) and U'U (g, 2q, 2q) of the sums of clusters."""
    triangle = q * (q + 1) // 2
    S1, S0, S2 = (to_symmetric(sums[:, start : start + triangle], q) for start in range(2 * q, sums.shape[1], triangle))
    return np.hstack([sums[:, q : 2 * q], sums[:, :q]]), np.block([[S0, S1], [S1, S2]])
