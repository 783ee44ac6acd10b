"""CR0 to CR3: covariances that are robust to correlation within clusters (Liang and Zeger 1986; Bell and McCaffrey 2002)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squarely.data import Source
from squarely.errors import DataError, pluralize
from squarely.exact import Solution
from squarely.inference.covariance.cluster_sums import ClusterGroups, ClusterTable, Way, read_clusters
from squarely.inference.covariance.options import CovarianceOptions
from squarely.inference.covariance.robust import RobustCovariance
from squarely.inference.covariance.root import covariance_root
from squarely.inference.covariance.satterthwaite import AdjustedClusters, ClusterAdjuster
from squarely.numerics import Array

_FEW_CLUSTERS = 10
_ELSEWHERE = {
    "CR0": "vcovCL(cluster=~{0}, type='HC0', cadjust=FALSE) in R",
    "CR1": "vce(cluster {0}) in Stata, feols(vcov=~{0}) and vcovCL(cluster=~{0}, type='HC1') in R; statsmodels' cov_type='cluster' "
    "with use_t=True",
    "CR2": "vcovCR(cluster={0}, type='CR2') of clubSandwich and lm_robust(clusters={0}) of estimatr in R",
    "CR3": "vcovCL(cluster=~{0}, type='HC3', cadjust=FALSE) in R, statsmodels' cov_type='cluster-crv3' with use_t=True",
}


@dataclass(slots=True)
class Tally:
    """The number of clusters, and of rows in the smallest and the largest one."""

    clusters: int = 0
    smallest: int = 0
    largest: int = 0

    def add(self, table: ClusterTable) -> None:
        """Count the clusters of a table."""
        if len(table.counts):
            low, high = int(table.counts.min()), int(table.counts.max())
            self.smallest = min(self.smallest, low) if self.clusters else low
            self.largest = max(self.largest, high)
            self.clusters += len(table.counts)

    def __str__(self) -> str:
        sizes = f"{self.smallest:,} to {self.largest:,} rows"
        return f"{self.clusters:,} clusters of {pluralize(self.largest, 'row') if self.smallest == self.largest else sizes}"


def cluster_covariance(solution: Solution, source: Source, options: CovarianceOptions) -> RobustCovariance:
    """Return the covariance of a kind, "CR0" to "CR3", for one column of clusters, from one scan.

    Raises
    ------
    DataError : there is one cluster, or a label cannot be used.
    """
    kind, (name,) = options.kind, options.cluster
    n, q = solution.moments.nobs, len(solution.factor.columns)
    (groups,) = read_clusters(solution, source, [(name,)], products=kind in ("CR2", "CR3"))
    adjusted = None
    if kind in ("CR2", "CR3"):
        adjusted, tally = adjust_scores(groups, covariance_root(solution), -0.5 if kind == "CR2" else -1.0)
        meat = adjusted.meat
    else:
        meat, tally = sum_scores(groups, q)
    G = require_clusters(tally, (name,), source).clusters
    usual = kind == "CR1" and options.correction == "usual"
    factor = G / (G - 1) * (n - 1) / (n - q) if usual else (G - 1) / G if kind == "CR3" else 1.0
    how = f"times {G:,}/{G - 1:,} * {n - 1:,}/{n - q:,}" if usual else f"times {G - 1:,}/{G:,}" if kind == "CR3" else "no factor"
    tests = options.describe_df(_describe_df(kind, G))
    elsewhere = _ELSEWHERE["CR0" if how == "no factor" and kind == "CR1" else kind].format(name)
    notes = [
        f"Standard errors are robust to heteroscedasticity and to correlation within {name} ({kind}, {tally}), {how}; {tests}. "
        f"The same numbers: {elsewhere}.",
        *describe_few(solution, options, G, min(q, G - 1)),
    ]
    undefined = None
    if adjusted is not None and adjusted.deciding:
        undefined = adjusted.undefined if kind == "CR3" and adjusted.undefined.any() else None
        notes.append(_describe_deciding(adjusted, name, kind))
    return RobustCovariance(
        cov_type=kind,
        meat=factor * meat,
        df=G - 1,
        df_t=adjusted.df if adjusted is not None and kind == "CR2" else None,
        undefined=undefined,
        rank=min(q, G - 1),
        cov_kwds={"cluster": [name], "groups": {name: G}, "correction": factor},
        notes=tuple(notes),
    )


def sum_scores(groups: ClusterGroups, q: int) -> tuple[Array, Tally]:
    """Return the meat (q, q), the sum over clusters of s s', and the number of clusters."""
    meat, tally = np.zeros((q, q)), Tally()
    for table in groups:
        tally.add(table)
        meat += table.sums.T @ table.sums
    return meat, tally


def adjust_scores(groups: ClusterGroups, A: Array, power: float) -> tuple[AdjustedClusters, Tally]:
    """Return the clusters adjusted by (I - P)^power, and their number."""
    adjuster, tally = ClusterAdjuster(A, power), Tally()
    for table in groups:
        tally.add(table)
        adjuster.add(table)
    return adjuster.finish(), tally


def require_clusters(tally: Tally, way: Way, source: Source) -> Tally:
    """Return the tally, or raise a DataError for one cluster, which has no covariance."""
    if tally.clusters < 2:
        name = " and ".join(map(repr, way))
        raise DataError(
            f"{name} of {source.label} has one value in all rows of the fit, and clusters need at least two. "
            "Name another column, or use vcov='HC3' if the rows are independent."
        )
    return tally


def describe_few(solution: Solution, options: CovarianceOptions, clusters: int, rank: int) -> list[str]:
    """Say what few clusters mean for tests; `clusters` is the number of the column with fewest."""
    notes = []
    if clusters < _FEW_CLUSTERS and options.kind != "CR2" and options.use_t and options.df is None:
        own = "; vcov='CR2' has its own degrees of freedom for each coefficient" if len(options.cluster) == 1 else ""
        degrees = pluralize(clusters - 1, "degree")
        notes.append(f"With {clusters} clusters the t distribution with {degrees} of freedom is a rough guide{own}.")
    slopes = len(solution.factor.columns) - (solution.moments.design.intercept)
    if rank < slopes:
        notes.append(
            f"{slopes:,} slopes, {clusters:,} clusters: the covariance has rank {rank:,}, so F and joint tests of more than "
            f"{pluralize(rank, 'constraint')} are NaN."
        )
    return notes


def _describe_df(kind: str, clusters: int) -> str:
    if kind == "CR2":
        return f"t has Satterthwaite's degrees of freedom (fit.df_t), and F has {clusters - 1:,} in the denominator"
    return f"t and F have {pluralize(clusters - 1, 'degree')} of freedom"


def _describe_deciding(adjusted: AdjustedClusters, name: str, kind: str) -> str:
    which, more = ", ".join(adjusted.clusters), adjusted.deciding - len(adjusted.clusters)
    found = f"{name} {which}{f' and {more:,} more' if more else ''} alone decides a coefficient"
    if kind == "CR3":
        return f"{found}, which cannot be estimated without it: the standard errors that need it are NaN. Use CR1, or leave it out."
    return f"{found}, so nothing shows the error in that direction, and CR2 leaves the direction out."
