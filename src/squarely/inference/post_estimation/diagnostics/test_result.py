"""`Test`: the result of a diagnostic test, with a sentence that says what it means."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from scipy.special import chdtrc, fdtrc

from squarely.inference.coefficients import CoefficientStatistics
from squarely.reprs import short_repr
from squarely.show import KeyValueTable, Page

LEVEL = 0.05  # below it a sentence says that the assumption fails
_NO_RESIDUALS = "The residuals are zero, or rounding hides them, so nothing can be tested."
Df = int | tuple[int, int] | None  # of the distribution: (numerator, denominator) of F


class Form(NamedTuple):
    """Another form of a test, such as its F statistic."""

    statistic: float
    pvalue: float
    df: Df


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Test:
    """A diagnostic test. It unpacks as in statsmodels: `lm, lm_pvalue, fvalue, f_pvalue = fit.het_white()`.

    Attributes
    ----------
    name : of the test.
    statistic, pvalue : the statistic, and its probability to be at least as extreme if the assumption holds.
    df : the degrees of freedom of its distribution: a number, (numerator, denominator) of F, or None for the normal one.
    distribution : "chi2", "F", "t", "normal", or "exact" for a quadratic form in normal errors.
    says : one sentence on what the result means.
    f : its F form (statistic, pvalue, df); None if there is none.
    others : further forms by name.
    alternative : what a one-sided or two-sided test tests against; empty where there is no choice.
    notes : sentences for the page.
    """

    __repr__ = short_repr
    __test__ = False  # pytest would collect it

    name: str
    statistic: float
    pvalue: float
    df: Df
    distribution: str
    says: str
    f: Form | None = None
    others: Mapping[str, Form] = field(default_factory=dict)
    alternative: str = ""
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Any]:
        yield from (self.statistic, self.pvalue)
        if self.f is not None:
            yield from (self.f.statistic, self.f.pvalue)
        if self.alternative:
            yield self.alternative

    def summary(self) -> Page:
        """Return the test as a page."""
        left = [("Statistic:", f"{self.statistic:#.4g}"), ("P-value:", f"{self.pvalue:#.4g}")]
        right = [("Distribution:", describe_distribution(self.distribution, self.df))]
        if self.alternative:
            right.append(("Alternative:", self.alternative))
        for name, form in self._forms().items():
            left.append((f"{name}:", f"{form.statistic:#.4g}"))
            right.append((f"P ({name}):", f"{form.pvalue:#.4g}"))
        return Page(f"{self.name} Test", [KeyValueTable(left, right)], footer=[self.says], notes=self.notes)

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers and the sentence as plain Python values."""
        return {
            "test": self.name,
            "statistic": self.statistic,
            "pvalue": self.pvalue,
            "df": list(self.df) if isinstance(self.df, tuple) else self.df,
            "distribution": self.distribution,
            "alternative": self.alternative or None,
            "says": self.says,
            "others": {
                name: {"statistic": x, "pvalue": p, "df": list(df) if isinstance(df, tuple) else df}
                for name, (x, p, df) in self._forms().items()
            },
        }

    def _forms(self) -> dict[str, Form]:
        """Return the other forms by name, F first."""
        return ({} if self.f is None else {"F": self.f}) | dict(self.others)

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


def describe_distribution(distribution: str, df: Df) -> str:
    """Write a distribution with its degrees of freedom.

    >>> describe_distribution("F", (3, 98)), describe_distribution("chi2", 3)
    ('F(3, 98)', 'chi2(3)')
    """
    if df is None:
        return distribution
    return f"{distribution}({', '.join(f'{each:,}' for each in (df if isinstance(df, tuple) else (df,)))})"


def chi2_form(statistic: float, df: int) -> Form:
    """Return a chi-squared form with its upper tail."""
    return Form(statistic, float(chdtrc(df, statistic)), df)


def f_form(statistic: float, df: int, df_denom: int) -> Form:
    """Return an F form with its upper tail."""
    return Form(statistic, float(fdtrc(df, df_denom, statistic)), (df, df_denom))


def lagrange_multiplier_test(name: str, lm: float, f: Form, says: tuple[str, str]) -> Test:
    """Return a test by n R^2 of an auxiliary regression, with its F form; `says` is for a rejection and for none."""
    df = f.df[0] if isinstance(f.df, tuple) else f.df
    pvalue = float(chdtrc(df, lm))
    return Test(
        name=name,
        statistic=lm,
        pvalue=pvalue,
        df=df,
        distribution="chi2",
        f=f,
        says=sentence(pvalue, *says),
    )


def require_residuals(fit: CoefficientStatistics, test: Test) -> Test:
    """Return the test, or one of NaN if the residuals are zero or hidden by rounding."""
    if fit.mse_resid > 0:
        return test
    nothing = {name: Form(math.nan, math.nan, form.df) for name, form in test.others.items()}
    f = None if test.f is None else Form(math.nan, math.nan, test.f.df)
    return replace(test, statistic=math.nan, pvalue=math.nan, f=f, others=nothing, says=_NO_RESIDUALS)


def sentence(pvalue: float, rejected: str, accepted: str) -> str:
    """Write what a p-value means: `{p}` in both texts is the p-value."""
    if math.isnan(pvalue):
        return _NO_RESIDUALS
    return (rejected if pvalue < LEVEL else accepted).replace("{p}", f"p {write_p(pvalue, '= ')}")


def write_p(pvalue: float, equals: str = "") -> str:
    """Write a p-value to three decimal places, and a smaller one as such.

    >>> write_p(0.0412), write_p(1e-9)
    ('0.041', '< 0.001')
    """
    return "< 0.001" if pvalue < 0.001 else f"{equals}{pvalue:.3f}"


def remedy(fit: CoefficientStatistics, vcov: str, enough: tuple[str, ...]) -> str:
    """Say which standard errors to use; `enough` are the beginnings of the names of covariances that allow for it already."""
    if fit.cov_type.startswith(enough):
        return f"the {fit.cov_type} standard errors of this fit allow for that"
    return f"prefer vcov={vcov!r}"


def divide(a: float, b: float) -> float:
    """Return a / b, NaN where b is not above zero."""
    return a / b if b > 0 else math.nan
