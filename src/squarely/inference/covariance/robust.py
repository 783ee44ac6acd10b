"""`RobustCovariance`: an estimated covariance of the coefficients beyond the classical one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from squarely.errors import pluralize
from squarely.exact import Solution
from squarely.inference.covariance.root import covariance_root, expand_selected
from squarely.numerics import Array
from squarely.reprs import short_repr

MOST_PRODUCTS = 2**14  # numbers of all clusters that a fit keeps, 300 kB in a file


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class RobustCovariance:
    """A covariance A M A' of the coefficients; see `covariance_root` for A.

    Attributes
    ----------
    cov_type : its name, such as "HC3" or "CR1".
    meat : (q, q) M in whitened coordinates and the squared scaled unit of the response, small-sample factors included.
    df : the degrees of freedom of t and F; infinite for the normal and the chi-squared distribution.
    cov_kwds : what it was computed with, such as the lags.
    df_t : (q,) the degrees of freedom of each coefficient, if they differ.
    htz_df : the degrees of freedom of the covariance of all slopes under CR2, for the HTZ test; None for the usual F test.
    products : (G, q(q+1)/2) the sums of v v' of each cluster under CR2, if they are few: tests have their own degrees of freedom.
    undefined : (q,) the coefficients whose standard error the rows do not show; None if there are none.
    margin : the smallest 1 - h by which residuals were divided, or eigenvalue of I - P_g of a cluster: digits depend on it.
    gross : the largest eigenvalue of the sum of the parts, if the meat is a difference of them: two columns of clusters.
    rank : the rank of the meat at most: no more constraints are tested at once.
    notes : sentences for the summary, the first of which says what the standard errors are robust to.
    """

    __repr__ = short_repr

    cov_type: str
    meat: Array
    df: float
    cov_kwds: Mapping[str, Any] = field(default_factory=dict)
    df_t: Array | None = None
    htz_df: float | None = None
    products: Array | None = None
    undefined: np.ndarray | None = None
    margin: float = 1.0
    gross: float | None = None
    rank: int
    notes: tuple[str, ...] = ()


def describe_rank(solution: Solution, found: str, rank: int) -> list[str]:
    """Say what a covariance of less rank than slopes means for tests; `found` is what limits it, as in "3 clusters"."""
    slopes = len(solution.factor.columns) - solution.moments.design.intercept
    if rank >= slopes:
        return []
    return [
        f"{slopes:,} slopes, {found}: the covariance has rank {rank:,}, so F is NaN, and at most "
        f"{pluralize(rank, 'constraint')} can be tested at once."
    ]


def known_meat(solution: Solution, robust: RobustCovariance) -> Array:
    """Return the meat (q, q), NaN if rounding hides the residuals."""
    return np.full_like(robust.meat, np.nan) if solution.has_hidden_residuals else robust.meat


def robust_covariance_matrix(solution: Solution, robust: RobustCovariance) -> Array:
    """Return the covariance (p, p) in the units of the data, NaN for dropped columns and undefined coefficients."""
    A = covariance_root(solution)
    covariance = A @ known_meat(solution, robust) @ A.T
    covariance = (covariance + covariance.T) / 2
    if robust.undefined is not None:
        covariance[robust.undefined] = covariance[:, robust.undefined] = np.nan
    return expand_selected(covariance, solution.factor.selected)
