"""CR0 to CR3: covariances that are robust to correlation within clusters (Liang and Zeger 1986; Bell and McCaffrey 2002)."""

from __future__ import annotations

import numpy as np

from squarely.data import Source
from squarely.errors import DataError, pluralize
from squarely.exact import Solution
from squarely.inference.covariance.clustered.absorbed_parameters import count_parameters
from squarely.inference.covariance.clustered.cluster_scores import read_cluster_products, sum_cluster_scores
from squarely.inference.covariance.clustered.cluster_sums import ClusterCounts, ClusterGroups, Way
from squarely.inference.covariance.clustered.htz import HotellingDegrees
from squarely.inference.covariance.clustered.satterthwaite import SingularClusters, adjust_scores
from squarely.inference.covariance.clustered.weighted_cr2 import adjust_weighted_scores
from squarely.inference.covariance.f_statistic import slope_constraints
from squarely.inference.covariance.options import CovarianceOptions
from squarely.inference.covariance.robust import MOST_PRODUCTS, RobustCovariance, describe_rank
from squarely.inference.covariance.root import covariance_root
from squarely.numerics import Array

_FEW_CLUSTERS = 10
_MOST_SLOPES = 60  # whose HTZ test is cheap: it takes the fourth power of their number
_ELSEWHERE = {
    "CR0": "vcovCL(cluster=~{0}, type='HC0', cadjust=FALSE) in R",
    "CR1": "vce(cluster {0}) in Stata, feols(vcov=~{0}) and vcovCL(cluster=~{0}, type='HC1') in R; statsmodels' cov_type='cluster' "
    "with use_t=True",
    "CR2": "vcovCR(cluster={0}, type='CR2') of clubSandwich and lm_robust(clusters={0}) of estimatr in R",
    "CR3": "vcovCL(cluster=~{0}, type='HC3', cadjust=FALSE) in R, statsmodels' cov_type='cluster-crv3' with use_t=True",
}


_ELSEWHERE_ABSORBED = {
    "CR0": "feols(vcov=~{0}, ssc=ssc(K.adj=FALSE, G.adj=FALSE)) of fixest in R",
    "CR1": "feols(vcov=~{0}) of fixest in R and pyfixest, and reghdfe with vce(cluster {0}) in Stata",
}


def cluster_covariance(solution: Solution, source: Source, options: CovarianceOptions) -> RobustCovariance:
    """Return the covariance of a kind, "CR0" to "CR3", for one column of clusters, from one scan.

    Raises
    ------
    DataError : there is one cluster, or a label cannot be used.
    """
    kind, (name,) = options.kind, options.cluster
    n, q, formula = solution.moments.nobs, len(solution.factor.columns), solution.moments.design.formula
    is_weighted = kind == "CR2" and formula.weights is not None and not formula.has_frequencies
    parameters, nested = count_parameters(solution, source, options)
    adjusted, htz, kept = None, None, None
    if kind in ("CR0", "CR1"):
        ((meat, counts),) = sum_cluster_scores(solution, source, [(name,)])
    else:
        groups = read_cluster_products(solution, source, (name,), "weighted" if is_weighted else "plain")
        A, power = covariance_root(solution), -0.5 if kind == "CR2" else -1.0
        if kind == "CR2" and not is_weighted and 0 < len(slopes := slope_constraints(solution)) <= _MOST_SLOPES:
            htz = HotellingDegrees(slopes @ A)
        add_clusters = None if htz is None else htz.add
        adjusted = adjust_weighted_scores(groups, q) if is_weighted else adjust_scores(groups, A, power, add_clusters)
        meat, counts = adjusted.meat, groups.cluster_counts
        kept = _keep_products(groups, q) if adjusted.df is not None else None
    htz_df, df_t = htz.finish() if htz else None, adjusted.df if adjusted else None
    G = require_clusters(counts, (name,), source)
    usual = kind == "CR1" and options.correction == "usual"
    factor = G / (G - 1) * (n - 1) / (n - parameters) if usual else (G - 1) / G if kind == "CR3" else 1.0
    how = (
        f"times {G:,}/{G - 1:,} * {n - 1:,}/{n - parameters:,}"
        if usual
        else f"times {G - 1:,}/{G:,}"
        if kind == "CR3"
        else "no factor"
    )
    tests = options.describe_df(_describe_df("CR1" if is_weighted else kind, G))
    words = _ELSEWHERE if solution.moments.design.absorbed is None else _ELSEWHERE_ABSORBED
    elsewhere = words["CR0" if how == "no factor" and kind == "CR1" else kind].format(name_in_r(name))
    notes = [
        f"Standard errors are robust to heteroscedasticity and to correlation within {name} ({kind}, {counts}), "
        f"{how}; {tests}. The same numbers: {elsewhere}.",
        *(nested if usual else []),
        *describe_few(solution, options, G, min(q, G - 1)),
    ]
    if df_t is not None and htz_df is None and solution.moments.design.columns:
        notes.append(
            f"With more than {_MOST_SLOPES} slopes F has {G - 1:,} degrees of freedom in the denominator, not those of HTZ."
        )
    if is_weighted:
        notes.append("With weights, CR2 has no degrees of freedom for each coefficient here, so t uses those of CR1.")
    undefined = None
    if adjusted is not None and adjusted.singular.count:
        if kind == "CR3" and adjusted.undefined is not None and adjusted.undefined.any():
            undefined = adjusted.undefined
        notes.append(_describe_singular(adjusted.singular, name, kind))
    return RobustCovariance(
        cov_type=kind,
        meat=factor * meat,
        df=G - 1,
        df_t=df_t,
        products=kept,
        htz_df=htz_df,
        undefined=undefined,
        margin=adjusted.margin if adjusted else 1.0,
        rank=min(q, G - 1),
        cov_kwds={"cluster": [name], "groups": {name: G}, "correction": factor},
        notes=tuple(notes),
    )


def _keep_products(groups: ClusterGroups, q: int) -> Array | None:
    """Return the products of each cluster, as triangles (G, q(q+1)/2), unless they are many."""
    if groups.cluster_counts.clusters * q * (q + 1) // 2 > MOST_PRODUCTS:
        return None
    return np.concatenate([table.sums[:, q:] for table in groups])


def require_clusters(counts: ClusterCounts, way: Way, source: Source) -> int:
    """Return the number of clusters, or raise a DataError for one, which has no covariance."""
    if counts.clusters < 2:
        name = " and ".join(map(repr, way))
        raise DataError(
            f"{name} of {source.label} has one value in all rows of the fit, and clusters need at least two. "
            "Name another column, or use vcov='HC3' if the rows are independent."
        )
    return counts.clusters


def describe_few(solution: Solution, options: CovarianceOptions, clusters: int, rank: int) -> list[str]:
    """Say what few clusters mean for tests; `clusters` is the number of the column with fewest."""
    notes = []
    if clusters < _FEW_CLUSTERS and options.kind != "CR2" and options.use_t and options.df is None:
        has_cr2 = len(options.cluster) == 1 and solution.moments.design.absorbed is None
        own = "; vcov='CR2' has its own degrees of freedom for each coefficient" if has_cr2 else ""
        degrees = pluralize(clusters - 1, "degree")
        notes.append(f"With {clusters} clusters the t distribution with {degrees} of freedom is a rough guide{own}.")
    return [*notes, *describe_rank(solution, f"{clusters:,} clusters", rank)]


def _describe_df(kind: str, clusters: int) -> str:
    if kind == "CR2":
        return "t has Satterthwaite's degrees of freedom (fit.df_t), and F is the HTZ test"
    return f"t and F have {pluralize(clusters - 1, 'degree')} of freedom"


def _describe_singular(singular: SingularClusters, name: str, kind: str) -> str:
    """Name the clusters without which a coefficient cannot be estimated."""
    labels, more = ", ".join(singular.labels), singular.count - len(singular.labels)
    found = f"Cluster {labels} of {name} alone determines a coefficient"
    if singular.count > 1:
        found = f"Clusters {labels}{f' and {more:,} more' if more else ''} of {name} determine coefficients, each of them alone"
    if kind == "CR3":
        return f"{found}: nothing shows the error of such a coefficient, so the standard errors that need it are NaN."
    return f"{found}: nothing shows the error of such a coefficient, and CR2 leaves its direction out."


def name_in_r(name: str) -> str:
    """Return the name of a column as R writes it.

    >>> name_in_r("yrs.service"), name_in_r("firm id")
    ('yrs.service', '`firm id`')
    """
    return name if name.replace(".", "_").isidentifier() else f"`{name}`"
