"""CR2 and CR3 from the sums of each cluster, with Satterthwaite's degrees of freedom (Bell and McCaffrey 2002).

With V_g the whitened rows of a cluster (q, m), P_g = V_g V_g' and s_g = V_g r_g, the adjusted scores V_g (I - V_g'V_g)^p r_g are
(I - P_g)^p s_g: no two rows of a cluster are needed together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from squarely.inference.covariance.clustered.cluster_sums import ClusterTable
from squarely.numerics import Array

_EIGENVALUE_TOLERANCE = 1e-10  # an eigenvalue of I - P_g below this is zero up to rounding
_ALIGNMENT_TOLERANCE = 1e-8  # of a row of A: its part along a direction that one cluster determines
AddClusters = Callable[[Array, Array, Array], None]
_CELLS = 2**20  # of a stack of matrices


@dataclass(slots=True)
class SingularClusters:
    """The number of clusters that alone determine a direction of the coefficients, and the labels of up to three, in words."""

    count: int = 0
    labels: list[str] = field(default_factory=list)

    def add(self, table: ClusterTable, rows: np.ndarray) -> None:
        """Add the clusters in some rows (g,) of a table."""
        self.count += len(rows)
        few = rows[: 3 - len(self.labels)].tolist()
        self.labels += ["/".join(str(column[i].as_py()) for column in table.labels) for i in few]


@dataclass(frozen=True, eq=False, slots=True)
class AdjustedClusters:
    """The adjusted clusters of a fit, as sums over them.

    Attributes
    ----------
    meat : (q, q).
    singular : the clusters whose I - P_g is singular.
    df : (q,) Satterthwaite's degrees of freedom of each coefficient; None for CR2 with weights and CR3.
    undefined : (q,) the coefficients that cannot be estimated without some cluster; None for CR2 with weights.
    margin : the smallest eigenvalue of I - P_g that is not zero.
    """

    meat: Array
    singular: SingularClusters
    df: Array | None = None
    undefined: np.ndarray | None = None
    margin: float = 1.0


class ClusterAdjuster:
    """Adjust the scores of clusters by (I - P_g)^power, table by table.

    A zero eigenvalue of I - P_g is a direction that the cluster alone determines. It is left out, as by Moore and Penrose.
    """

    def __init__(self, A: Array, power: float, add_clusters: AddClusters | None = None) -> None:
        """Adjust for the coefficients whose covariance is A M A'; A (p, q). `add_clusters` gets what `adjust_clusters` returns."""
        q = A.shape[1]
        self._power, self._add_clusters = power, add_clusters
        self._A = A / np.linalg.norm(A, axis=1)[:, None]
        self._meat = np.zeros((q, q))
        self._sums = np.zeros((3, len(A)))  # of d - |z|^2, of d^2, and of d |z|^2
        self._ZZ = np.zeros((len(A) if power == -0.5 else 0, q, q))
        self._undefined = np.zeros(len(A), dtype=bool)
        self._singular = SingularClusters()
        self._margin = 1.0

    def add(self, table: ClusterTable) -> None:
        """Add the clusters of a table with sums of scores and products."""
        for at, scores, products in stack_clusters(table.sums, len(self._meat)):
            values, powers, Q = adjust_clusters(products, self._power)
            if self._add_clusters is not None:
                self._add_clusters(values, powers, Q)
            is_zero = values <= _EIGENVALUE_TOLERANCE
            self._margin = min(self._margin, float(values[~is_zero].min(initial=1.0)))
            adjusted = np.einsum("gij,gj->gi", Q, powers * np.einsum("gji,gj->gi", Q, scores))
            self._meat += adjusted.T @ adjusted
            Y = np.swapaxes(self._A @ Q, 1, 2)  # (g, q, p): Q'a for each coefficient
            if len(self._ZZ):
                self._add_degrees(values, powers, Q, Y)
            if is_zero.any():
                self._undefined |= (np.abs(Y) > _ALIGNMENT_TOLERANCE)[is_zero].any(axis=0)
                self._singular.add(table, np.flatnonzero(is_zero.any(axis=1)) + at.start)

    def _add_degrees(self, values: Array, powers: Array, Q: Array, Y: Array) -> None:
        """Add d = a'(I - P)^-1 P a and z = (I - P)^-1/2 P a of each cluster and coefficient."""
        Z = (powers * (1 - values))[:, :, None] * Y
        d = np.einsum("gi,gip->gp", powers**2 * (1 - values), Y * Y)
        squares = np.einsum("gip,gip->gp", Z, Z)
        self._sums += [(d - squares).sum(axis=0), (d * d).sum(axis=0), (d * squares).sum(axis=0)]
        Z = np.ascontiguousarray(np.transpose(Q @ Z, (2, 1, 0)))  # (p, q, g)
        self._ZZ += Z @ np.swapaxes(Z, 1, 2)

    def finish(self) -> AdjustedClusters:
        """Return the sums over all clusters."""
        df = None
        if len(self._ZZ):
            df = np.full(len(self._A), np.nan)
            first, squares, mixed = self._sums
            second = squares - 2 * mixed + np.einsum("pij,pij->p", self._ZZ, self._ZZ)
            df = np.divide(first**2, second, out=df, where=second > 0)
        return AdjustedClusters(self._meat, self._singular, df, self._undefined, self._margin)


def adjust_clusters(products: Array, power: float) -> tuple[Array, Array, Array]:
    """Return the eigenvalues (g, q) of I - P_g, their powers, and the eigenvectors (g, q, q); powers of zero are zero."""
    values, Q = np.linalg.eigh(np.eye(products.shape[1]) - products)
    is_zero = values <= _EIGENVALUE_TOLERANCE
    return values, np.where(is_zero, 0.0, np.where(is_zero, 1.0, values) ** power), Q


def stack_clusters(sums: Array, q: int) -> Iterator[tuple[slice, Array, Array]]:
    """Yield the scores (g, q) and the symmetric products (g, q, q) of clusters, in stacks that fit into a cache."""
    for at in iter_stacks(len(sums), q):
        yield at, sums[at, :q], to_symmetric(sums[at, q:], q)


def iter_stacks(count: int, q: int) -> Iterator[slice]:
    """Yield slices of `count` clusters, whose matrices (q, q) fit into a cache."""
    size = max(1, _CELLS // (q * q))
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def to_symmetric(triangles: Array, q: int) -> Array:
    """Return the symmetric matrices (..., q, q) of upper triangles by rows (..., q(q+1)/2)."""
    i, j = np.triu_indices(q)
    matrices = np.empty((*triangles.shape[:-1], q, q))
    matrices[..., i, j] = matrices[..., j, i] = triangles
    return matrices


def adjust_scores(
    groups: Iterable[ClusterTable], A: Array, power: float, add_clusters: AddClusters | None = None
) -> AdjustedClusters:
    """Return the sums over the clusters, adjusted by (I - P)^power; `add_clusters` as in `ClusterAdjuster`."""
    adjuster = ClusterAdjuster(A, power, add_clusters)
    for table in groups:
        adjuster.add(table)
    return adjuster.finish()
