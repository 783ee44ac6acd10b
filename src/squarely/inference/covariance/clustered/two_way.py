"""Clusters by two columns: the covariances of both less that of their pairs (Cameron, Gelbach and Miller 2011)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squarely.data import Source
from squarely.errors import pluralize
from squarely.exact import Solution
from squarely.inference.covariance.clustered.absorbed_parameters import count_parameters
from squarely.inference.covariance.clustered.cluster_sums import ClusterCounts, Way, read_clusters
from squarely.inference.covariance.clustered.one_way import describe_few, name_in_r, require_clusters, sum_scores
from squarely.inference.covariance.options import CovarianceOptions
from squarely.inference.covariance.robust import RobustCovariance
from squarely.inference.covariance.root import covariance_root
from squarely.numerics import Array

_NEGATIVE = 1e-12  # of the trace: an eigenvalue below minus this is not rounding
_ELSEWHERE = {
    "usual": "vcovCL(cluster=~{0}+{1}) in R, statsmodels' cov_type='cluster' with two columns of groups and use_t=True",
    "min": "feols(vcov=~{0}+{1}) in R and pyfixest, reghdfe in Stata",
    "none": "vcovCL(cluster=~{0}+{1}, type='HC0', cadjust=FALSE) in R",
}


@dataclass(frozen=True, eq=False, slots=True)
class _SemidefiniteMeat:
    """A positive semi-definite meat (q, q), its rank, and the smallest eigenvalue if it was negative, as a share of the trace."""

    meat: Array
    rank: int
    eigenvalue: float | None


def two_way_covariance(solution: Solution, source: Source, options: CovarianceOptions) -> RobustCovariance:
    """Return CR0 or CR1 for two columns of clusters, from one scan.

    The difference may be indefinite. Its negative eigenvalues are then set to zero in whitened coordinates, so the result does not
    depend on the units of the columns.

    Raises
    ------
    DataError : a column has one value, or a label cannot be used.
    """
    n, q, absorbed = solution.moments.nobs, len(solution.factor.columns), solution.moments.design.absorbed
    parameters, nested = count_parameters(solution, source, options)
    first, second = options.cluster
    ways: list[Way] = [(first,), (second,), (first, second)]
    parts = read_clusters(solution, source, ways)
    meats = [sum_scores(groups, q) for groups in parts]
    counts = [require_clusters(groups, way, source) for groups, way in zip(parts, ways, strict=True)]
    how = "none" if options.kind == "CR0" else options.correction
    used = {"usual": counts, "min": [min(counts[:2])] * 3, "none": []}[how]
    factors = [G / (G - 1) * (n - 1) / (n - parameters) for G in used] or [1.0] * 3
    meat = factors[0] * meats[0] + factors[1] * meats[1] - factors[2] * meats[2]
    gross = float(np.linalg.eigvalsh(sum((f * part for f, part in zip(factors, meats, strict=True)), np.zeros((q, q))))[-1])
    projected, fewest = _project_on_semidefinite(meat), min(counts[:2])
    clusters = [groups.cluster_counts for groups in parts]
    notes = [_note(options, how, clusters, projected, is_absorbed=absorbed is not None)]
    notes += [*(nested if how != "none" else []), *describe_few(solution, options, fewest, projected.rank)]
    if projected.eigenvalue is not None:
        notes.append(_describe_negative_eigenvalue(covariance_root(solution), meat, projected))
    return RobustCovariance(
        cov_type=options.kind,
        meat=projected.meat,
        df=fewest - 1,
        gross=gross,
        rank=projected.rank,
        cov_kwds={
            "cluster": [first, second],
            "groups": {first: counts[0], second: counts[1]},
            "correction": factors[0] if how != "usual" else dict(zip([first, second, f"{first}, {second}"], factors, strict=True)),
            "fixed": projected.eigenvalue is not None,
        },
        notes=tuple(notes),
    )


def _project_on_semidefinite(meat: Array) -> _SemidefiniteMeat:
    values, Q = np.linalg.eigh((meat + meat.T) / 2)
    trace, largest = float(np.abs(values).sum()), float(np.abs(values).max(initial=0.0))
    rank = int((values > _NEGATIVE * largest).sum())
    if values[0] >= -_NEGATIVE * trace:
        return _SemidefiniteMeat(meat, rank, None)
    return _SemidefiniteMeat((Q * np.maximum(values, 0.0)) @ Q.T, rank, float(values[0]) / trace)


def _note(
    options: CovarianceOptions, how: str, counts: list[ClusterCounts], projected: _SemidefiniteMeat, *, is_absorbed: bool
) -> str:
    first, second = options.cluster
    fewest = min(each.clusters for each in counts[:2])
    factor = {
        "usual": "each part times its G/(G-1) * (n-1)/(n-k)",
        "min": f"all parts times {fewest:,}/{fewest - 1:,} * (n-1)/(n-k)",
        "none": "no factor",
    }[how]
    tests = options.describe_df(f"t and F have {pluralize(fewest - 1, 'degree')} of freedom")
    elsewhere = (
        ""
        if projected.eigenvalue is not None or (is_absorbed and how != "min")
        else f" The same numbers: {_ELSEWHERE[how].format(name_in_r(first), name_in_r(second))}."
    )
    return (
        f"Standard errors are robust to heteroscedasticity and to correlation within {first} ({options.kind}, {counts[0]}) and "
        f"within {second} ({counts[1]}), {factor}; {tests}.{elsewhere}"
    )


def _describe_negative_eigenvalue(A: Array, before: Array, projected: _SemidefiniteMeat) -> str:
    """Say which eigenvalue was negative, and how much a standard error changed."""
    was, now = (np.einsum("ij,jk,ik->i", A, meat, A) for meat in (before, projected.meat))
    change = "a variance was negative"
    if (was > 0).all():
        change = f"the standard errors changed by at most {np.abs(np.sqrt(now / was) - 1).max():.2%}"
    return (
        f"The covariance was indefinite, as those for two columns of clusters may be: its smallest eigenvalue was "
        f"{projected.eigenvalue:.2g} times the sum of their sizes. It was set to zero, and {change}."
    )
