"""The wild cluster bootstrap of one constraint, from the sums of each cluster: no draw reads a row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from squarely.errors import OptionError, pluralize, show_value, suggest_name
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.covariance.clustered.cluster_sums import read_clusters
from squarely.inference.post_estimation.bootstrap.random_weights import (
    keys_of_labels,
    rademacher,
    read_count,
    uniform_bits,
    webb,
)
from squarely.inference.post_estimation.fixed_effects.refusal import require_no_effects
from squarely.inference.post_estimation.hypotheses.constraints import (
    constraint_root,
    differences,
    independent_constraints,
    read_constraints,
)
from squarely.numerics import Array
from squarely.reprs import short_repr
from squarely.show import KeyValueTable, Page

_WEIGHTS = {"rademacher": rademacher, "webb": webb}
_MOST_ENUMERATED = 12  # clusters
_CELLS = 2**20  # of weights at once
_TIE = 1e-9  # relative: a sign vector that repeats the sample gives its t again, up to rounding


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class WildTest:
    """A wild cluster bootstrap test of one constraint.

    Attributes
    ----------
    hypothesis : the constraint as text.
    statistic : t with the CR1 standard error.
    pvalue : the share of draws whose |t| is larger; NaN if the statistic is not defined.
    estimates : (draws,) the t statistics of the draws.
    draws : their number; 2^clusters if all sign vectors were taken.
    exact : whether they were.
    weights, impose_null, seed : as they were given.
    cluster, clusters : the column, and the number of clusters.
    """

    __repr__ = short_repr

    hypothesis: str
    statistic: float
    pvalue: float
    estimates: Array
    draws: int
    exact: bool
    weights: str
    impose_null: bool
    seed: int
    cluster: str
    clusters: int

    def summary(self) -> Page:
        """Return the test as a page."""
        left = [("Statistic (t):", f"{self.statistic:#.4g}"), ("P-value:", f"{self.pvalue:#.4g}")]
        right = [("Draws:", f"{self.draws:,}"), ("Weights:", self.weights)]
        draws = (
            f"All {self.draws:,} sign vectors are taken, so the p-value is a multiple of {2.0 ** (1 - self.clusters):.4g}"
            if self.exact
            else "Draws are random"
        )
        null = "imposes the constraint (WCR)" if self.impose_null else "does not impose the constraint (WCU)"
        note = f"{draws}. The bootstrap draws {self.clusters:,} clusters of {self.cluster}, and {null}."
        if self.exact and self.impose_null:
            note += " Those that repeat the sample do not count as larger, as in wildboottest."
        return Page(f"Wild Cluster Bootstrap Test: {self.hypothesis}", [KeyValueTable(left, right)], notes=[note])

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers, without those of each draw, as plain Python values."""
        names = ("hypothesis", "statistic", "pvalue", "draws", "exact", "weights", "impose_null", "seed", "cluster", "clusters")
        return {name: getattr(self, name) for name in names}

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


def wild_test(
    fit: CoefficientStatistics, hypothesis: object, *, draws: object, weights: object, seed: object, impose_null: bool
) -> WildTest:
    """Test a constraint; the public method documents it.

    In whitened coordinates N_g sums to the identity and the scores s_g to zero, and the constraint is a'd = -theta. Under it the
    scores are r_g = s_g + N_g a theta / a'a. A draw w has the estimate sum w_g a'r_g, and its clusters the scores
    w_g a'r_g - a'N_g sum w_h r_h.
    """
    require_no_effects(fit, "The wild cluster bootstrap")
    draws, seed = read_count("draws", draws, least=1, usual=9999), read_count("seed", seed, least=0, usual=0)
    if weights not in _WEIGHTS:
        raise OptionError(f"weights={show_value(weights)} is not known. {suggest_name(weights, tuple(_WEIGHTS))}")
    cluster = _cluster_of(fit)
    constraints = independent_constraints(read_constraints(hypothesis, fit.solution), fit.solution)
    if len(constraints.v) != 1:
        raise OptionError(
            f"The hypothesis has {pluralize(len(constraints.v), 'constraint')}, and wild_test tests one. Test each alone, or all "
            "at once by f_test."
        )
    theta, a = float(differences(constraints, fit.solution)[0]), constraint_root(constraints, fit.solution)[0]
    keys, scores, products = _read_clusters(fit, cluster, a)  # (G,), (G, q), (G, q)
    G, n, q = len(keys), fit.solution.moments.nobs, len(a)
    factor = G / (G - 1) * (n - 1) / (n - q)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = float(theta / np.sqrt(factor * np.sum((scores @ a) ** 2)))
    if impose_null:
        scores = scores + products * (theta / (a @ a))
    exact = weights == "rademacher" and G <= _MOST_ENUMERATED
    blocks = _sign_vectors(G) if exact else _random_weights(str(weights), seed, draws, keys)
    estimates = np.concatenate([_t_statistics(w, scores, products, a, factor) for w in blocks])
    known = np.isfinite(statistic) and not fit.solution.has_hidden_residuals
    return WildTest(
        hypothesis=constraints.texts[0],
        statistic=statistic if known else np.nan,
        pvalue=float(np.mean(np.abs(estimates) > abs(statistic) * (1 + _TIE))) if known else np.nan,
        estimates=estimates,
        draws=len(estimates),
        exact=exact,
        weights=str(weights),
        impose_null=bool(impose_null),
        seed=seed,
        cluster=cluster,
        clusters=G,
    )


def _t_statistics(w: Array, scores: Array, products: Array, a: Array, factor: float) -> Array:
    """Return t (d,) of draws with the weights w (d, G)."""
    own = w * (scores @ a)
    errors = own - (w @ scores) @ products.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(own.sum(axis=1) / np.sqrt(factor * np.einsum("dg,dg->d", errors, errors)))


def _sign_vectors(G: int) -> Iterator[Array]:
    """Yield all 2^G vectors of signs, as one block (2^G, G)."""
    yield np.where(np.arange(2**G)[:, None] >> np.arange(G) & 1, 1.0, -1.0)


def _random_weights(weights: str, seed: int, draws: int, keys: np.ndarray) -> Iterator[Array]:
    step = max(_CELLS // len(keys) // 2 * 2, 2)  # even: a number of 64 bits makes two draws
    for first in range(0, draws, step):
        yield _WEIGHTS[weights](uniform_bits(seed, range(first, min(first + step, draws)), keys))


def _read_clusters(fit: CoefficientStatistics, cluster: str, a: Array) -> tuple[np.ndarray, Array, Array]:
    """Return of each cluster its key (G,), the scores s_g (G, q) and N_g a (G, q), in an order that no cut of the rows changes."""
    q = len(a)
    i, j = np.triu_indices(q)
    (groups,) = read_clusters(fit.solution, fit.source, [(cluster,)], "plain")
    keys, scores, products = [], [], []
    for table in groups:
        N = np.empty((len(table.counts), q, q))
        N[:, i, j] = N[:, j, i] = table.sums[:, q:]
        keys.append(keys_of_labels(table.labels[0].to_pylist()))
        scores.append(table.sums[:, :q])
        products.append(N @ a)
    key = np.concatenate(keys)
    order = np.argsort(key, kind="stable")
    return key[order], np.concatenate(scores)[order], np.concatenate(products)[order]


def _cluster_of(fit: CoefficientStatistics) -> str:
    """Return the column of clusters of the fit, or raise an OptionError unless there is one."""
    names = [] if fit.robust is None else fit.robust.cov_kwds.get("cluster", [])
    if len(names) != 1:
        found = f"has clusters of {' and '.join(map(repr, names))}" if names else "has no clusters"
        raise OptionError(
            f"The wild cluster bootstrap draws one column of clusters, and the fit {found}. "
            "Name one column, such as sq.ols(..., cluster='firm') or fit.vcov(cluster='firm')."
        )
    return str(names[0])
