"""Tests of single linear combinations of the coefficients, each by its own t statistic: `Contrasts`."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from squarely.data import to_frame
from squarely.inference.coefficients import CoefficientStatistics, require_alpha
from squarely.inference.covariance.clustered.htz import satterthwaite_degrees
from squarely.inference.post_estimation.hypotheses.constraints import Constraints, constraint_root, differences, read_constraints
from squarely.inference.post_estimation.hypotheses.wald import meat_of
from squarely.inference.statistics import confidence_limits, p_values, t_values
from squarely.inference.summary.table import coefficient_table
from squarely.numerics import Array
from squarely.reprs import short_repr
from squarely.show import Page

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Contrasts:
    """Linear combinations L beta of the coefficients and the tests that each is its value, under statsmodels' names.

    Attributes
    ----------
    effect : (r,) the combinations L beta.
    sd : (r,) their standard errors.
    tvalue : (r,) (L beta - v) / sd. `statistic` is the same.
    pvalue : (r,) two-sided.
    df_denom : the degrees of freedom; infinite for the normal distribution. (r,) with vcov="CR2", where they differ.
    distribution : "t" or "norm".
    constraints : (r,) the constraints as text.
    cov_type : the covariance of the coefficients.
    """

    __repr__ = short_repr

    effect: Array
    sd: Array
    tvalue: Array
    pvalue: Array
    df_denom: float | Array
    distribution: str
    constraints: tuple[str, ...]
    cov_type: str

    @property
    def statistic(self) -> Array:
        """The t statistics (r,)."""
        return self.tvalue

    def conf_int(self, alpha: float = 0.05) -> Array:
        """Return confidence limits (r, 2) of the combinations at level 1 - alpha.

        Raises
        ------
        OptionError : alpha is not between 0 and 1.
        """
        require_alpha(alpha)
        return np.column_stack(confidence_limits(self.effect, self.sd, self.df_denom, alpha))

    def summary_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return a row for each combination: coef, std err, t, P>|t|, Conf. Int. Low and Conf. Int. Upp."""
        low, high = self.conf_int(alpha).T
        t = "t" if self.distribution == "t" else "z"
        columns = {"coef": self.effect, "std err": self.sd, t: self.tvalue, f"P>|{t}|": self.pvalue}
        return to_frame({**columns, "Conf. Int. Low": low, "Conf. Int. Upp.": high}, list(self.constraints))

    def summary(self) -> Page:
        """Return the tests as a page."""
        counts = Counter(self.constraints)
        names = [f"{text} [{i}]" if counts[text] > 1 else text for i, text in enumerate(self.constraints)]
        columns = {
            "params": self.effect,
            "bse": self.sd,
            "tvalues": self.tvalue,
            "pvalues": self.pvalue,
            "conf_int": self.conf_int(),
        }
        numbers: dict[str, Any] = {key: dict(zip(names, values.tolist(), strict=True)) for key, values in columns.items()}
        table = coefficient_table({**numbers, "use_t": self.distribution == "t"})
        df = np.unique(self.df_denom).tolist()
        of = f"; t with {df[0]:,.6g} degrees of freedom" if len(df) == 1 and math.isfinite(df[0]) else ""
        return Page("Test for Constraints", [table], footer=[f"Covariance Type: {self.cov_type}{of}."])

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers as plain Python values."""
        arrays = {name: getattr(self, name).tolist() for name in ("effect", "sd", "tvalue", "pvalue")}
        numbers = {"conf_int": self.conf_int().tolist(), "df_denom": np.asarray(self.df_denom).tolist()}
        return {
            "constraints": list(self.constraints),
            **arrays,
            **numbers,
            "distribution": self.distribution,
            "cov_type": self.cov_type,
        }

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


def t_test(fit: CoefficientStatistics, hypothesis: object) -> Contrasts:
    """Test each constraint of a hypothesis; the public method documents it."""
    return contrasts_of(fit, read_constraints(hypothesis, fit.solution))


def contrasts_of(fit: CoefficientStatistics, constraints: Constraints) -> Contrasts:
    """Test each of some constraints by its t statistic."""
    zero = Constraints(L=constraints.L, v=np.zeros_like(constraints.v), texts=constraints.texts)
    sd, df = _standard_errors(fit, constraints), _degrees_of_freedom(fit, constraints)
    difference = differences(constraints, fit.solution)
    return Contrasts(
        effect=differences(zero, fit.solution),
        sd=sd,
        tvalue=t_values(difference, sd),
        pvalue=p_values(difference, sd, df),
        df_denom=df,
        distribution="t" if fit.use_t else "norm",
        constraints=constraints.texts,
        cov_type=fit.cov_type,
    )


def _standard_errors(fit: CoefficientStatistics, constraints: Constraints) -> Array:
    B, M = constraint_root(constraints, fit.solution), meat_of(fit)
    if np.ndim(M) == 0:
        return np.asarray(math.sqrt(float(M)) * np.linalg.norm(B, axis=1))
    sd: Array = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", B, M, B), 0.0))
    if fit.robust is not None and fit.robust.undefined is not None:
        sd[constraints.L[:, fit.solution.factor.selected][:, fit.robust.undefined].any(axis=1)] = math.nan
    return sd


def _degrees_of_freedom(fit: CoefficientStatistics, constraints: Constraints) -> float | Array:
    robust, L = fit.robust, constraints.L[:, fit.solution.factor.selected]
    if robust is None or robust.df_t is None:
        return fit.df_resid_inference
    single = np.count_nonzero(L, axis=1) == 1
    df = robust.df_t[np.abs(L).argmax(axis=1)]
    if not single.all():
        B = constraint_root(constraints, fit.solution)
        df[~single] = satterthwaite_degrees(fit.solution, fit.source, robust, B[~single])
    return np.asarray(df)
