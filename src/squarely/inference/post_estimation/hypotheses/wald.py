"""Tests of several constraints at once: `Wald`, by the F or the chi-squared distribution, and one for each term of the model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import chdtrc

from squarely.data import to_frame
from squarely.errors import DataError, OptionError, pluralize, show_value
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.covariance.clustered.htz import htz_degrees
from squarely.inference.covariance.f_statistic import f_p_value, hotelling_f, wald_f
from squarely.inference.covariance.robust import known_meat
from squarely.inference.post_estimation.hypotheses.constraints import (
    Constraints,
    coefficients_are_zero,
    constraint_root,
    differences,
    independent_constraints,
    read_constraints,
)
from squarely.inference.post_estimation.hypotheses.terms import term_label, terms_of
from squarely.numerics import Array
from squarely.reprs import short_repr
from squarely.show import KeyValueTable, Page

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Wald:
    """The test that constraints on the coefficients hold, under statsmodels' names.

    Attributes
    ----------
    statistic : F, or chi-squared. `fvalue` is the F statistic in both cases.
    pvalue : the probability of a larger statistic if the constraints hold.
    df_num, df_denom : the number of independent constraints, and the degrees of freedom of the residuals; infinite for chi-squared.
    distribution : "F" or "chi2".
    rank : the number of independent constraints. Others follow from them, and do not count.
    constraints : the constraints as text.
    cov_type : the covariance of the coefficients.
    notes : sentences for the page.
    """

    __repr__ = short_repr

    statistic: float
    fvalue: float
    pvalue: float
    df_num: float
    df_denom: float
    distribution: str
    rank: int
    constraints: tuple[str, ...]
    cov_type: str
    notes: tuple[str, ...] = ()

    def summary(self) -> Page:
        """Return the test as a page."""
        is_f = self.distribution == "F"
        df = [("Df Num:", f"{self.df_num:g}"), ("Df Denom:", f"{self.df_denom:,.6g}")] if is_f else [("Df:", f"{self.df_num:g}")]
        pairs = [("F:" if is_f else "Chi-squared:", f"{self.statistic:#.4g}"), ("P-value:", f"{self.pvalue:#.4g}")]
        return Page(
            "Wald Test",
            [KeyValueTable([*pairs, ("Covariance Type:", self.cov_type)], df)],
            notes=self.notes,
            lead=[f"H0: {', '.join(self.constraints)}"],
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers as plain Python values."""
        names = ("statistic", "fvalue", "pvalue", "df_num", "df_denom", "distribution", "rank", "cov_type")
        return {"constraints": list(self.constraints), **{name: getattr(self, name) for name in names}, "notes": list(self.notes)}

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


def wald_test(fit: CoefficientStatistics, hypothesis: object, *, use_f: bool = True) -> Wald:
    """Test a hypothesis; the public method documents it."""
    if not isinstance(use_f, bool):
        raise OptionError(f"use_f={show_value(use_f)} is not a boolean. Give True for F, False for chi-squared.")
    constraints = read_constraints(hypothesis, fit.solution)
    independent = independent_constraints(constraints, fit.solution)
    r, notes = len(independent.texts), []
    if r < len(constraints.texts):
        notes.append(f"{len(constraints.texts)} constraints have rank {r}: the others follow from these, and do not count.")
    require_rank(fit, r)
    if not is_defined(fit, independent):
        notes.append("The rows do not show the standard error of a coefficient in it, so the statistic is NaN.")
    f, df_num, df_denom = f_test_of(fit, independent) if use_f else (_wald_f(fit, independent), r, math.inf)
    if math.isnan(df_denom):
        notes.append(f"The clusters have too few degrees of freedom for {r} constraints at once, so the statistic is NaN.")
    pvalue = f_p_value(f, df_num, df_denom) if use_f else float(chdtrc(r, r * f))
    return Wald(
        statistic=f if use_f else r * f,
        fvalue=f,
        pvalue=pvalue,
        df_num=df_num,
        df_denom=df_denom,
        distribution="F" if use_f else "chi2",
        rank=r,
        constraints=constraints.texts,
        cov_type=fit.cov_type,
        notes=tuple(notes),
    )


def wald_test_terms(fit: CoefficientStatistics) -> pd.DataFrame:
    """Test for each term that all its coefficients are zero."""
    rows, labels = [], []
    for term, positions in terms_of(fit.solution).items():
        labels.append(term_label(term))
        f, df_num, df_denom = test_of_positions(fit, positions)
        rows.append((f, f_p_value(f, df_num, df_denom), len(positions), df_denom))
    return to_frame(rows, labels, ["statistic", "pvalue", "df_constraint", "df_denom"])


def test_of_positions(fit: CoefficientStatistics, positions: Sequence[int]) -> tuple[float, float, float]:
    """Return F and its degrees of freedom of the hypothesis that some coefficients are zero; F is NaN if it has no value."""
    return f_test_of(fit, coefficients_are_zero(fit.design.names, positions))


def test_given(fit: CoefficientStatistics, positions: Sequence[int], others: Sequence[int]) -> tuple[float, float, float]:
    """Return F and its degrees of freedom of the hypothesis that some coefficients are zero, given that others are.

    With the covariances S of both, it tests b1 - S12 S22^-1 b2: the Wald statistic that these coefficients add to that of the
    others, as in R's car.
    """
    first, given = (coefficients_are_zero(fit.design.names, each) for each in (positions, others))
    if fit.robust is None or fit.robust.rank < len(positions) + len(others):
        return math.nan, len(positions), fit.df_resid_inference
    B, G = (constraint_root(each, fit.solution) for each in (first, given))
    M, unit = fit.robust.meat, np.linalg.norm(G, axis=1)  # the units of the columns differ
    try:
        slopes = np.linalg.solve(G / unit[:, None] @ M @ (G / unit[:, None]).T, G / unit[:, None] @ M @ B.T).T / unit
    except np.linalg.LinAlgError:
        return math.nan, len(positions), fit.df_resid_inference
    return f_test_of(fit, Constraints(L=first.L - slopes @ given.L, v=first.v, texts=()))


def f_test_of(fit: CoefficientStatistics, constraints: Constraints) -> tuple[float, float, float]:
    """Return the F statistic of independent constraints and its degrees of freedom: by CR2, those of the HTZ test."""
    f, r = _wald_f(fit, constraints), len(constraints.L)
    if fit.robust is None or fit.robust.df_t is None or fit.robust.rank < r:
        return f, r, fit.df_resid_inference
    eta = htz_degrees(fit.solution, fit.source, fit.robust, constraint_root(constraints, fit.solution))
    statistic, rest = hotelling_f(f, r, eta)
    return statistic, r, rest


def _wald_f(fit: CoefficientStatistics, constraints: Constraints) -> float:
    """Return the Wald statistic of independent constraints over their number; NaN without a covariance of full rank."""
    if not is_defined(fit, constraints) or (fit.robust is not None and fit.robust.rank < len(constraints.L)):
        return math.nan
    B, difference = constraint_root(constraints, fit.solution), differences(constraints, fit.solution)
    with np.errstate(divide="ignore", invalid="ignore"):  # a perfect fit has a variance of zero
        return wald_f(B, meat_of(fit), difference)


def meat_of(fit: CoefficientStatistics) -> Array | float:
    """Return M (q, q), or the variance that stands for it, in the squared scaled unit of the response."""
    scale = float(fit.design.scales[-1])
    return fit.mse_resid / scale**2 if fit.robust is None else known_meat(fit.solution, fit.robust)


def is_defined(fit: CoefficientStatistics, constraints: Constraints) -> bool:
    """Return whether no coefficient of the constraints has an undefined standard error."""
    if fit.robust is None or fit.robust.undefined is None:
        return True
    return not constraints.L[:, fit.solution.factor.selected][:, fit.robust.undefined].any()


def require_rank(fit: CoefficientStatistics, r: int) -> None:
    """Raise a DataError for more constraints than a robust covariance has rank."""
    robust = fit.robust
    if robust is None or r <= robust.rank:
        return
    kind = "periods" if robust.cov_type == "DK" else "clusters"
    groups = [f"{count:,} {kind}" for count in robust.cov_kwds.get("groups", {}).values()]
    of = f" from {' and '.join(groups)}" if groups else ""
    raise DataError(
        f"The hypothesis has {pluralize(r, 'constraint')}, and the {robust.cov_type} covariance{of} has rank {robust.rank}, so "
        f"they cannot be tested together. Test at most {robust.rank} at once."
    )
