"""Coefficients per standard deviation, and the partial R-squared of terms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from squarely.data import to_series
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.hypotheses.anova import partial_squares
from squarely.inference.post_estimation.hypotheses.terms import term_label

if TYPE_CHECKING:
    import pandas as pd


def standardized(fit: CoefficientStatistics) -> pd.Series:
    """Return b sd(x) / sd(y); the public method documents it."""
    first, moments, absorbed = int(fit.design.intercept), fit.solution.moments, fit.design.absorbed
    deviations = np.sqrt(moments.variances) if absorbed is None else absorbed.sizes / np.sqrt(moments.weight)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = fit.solution.params[first:] * deviations[:-1] / (np.nan if fit.constant_response else deviations[-1])
    return to_series(values, list(fit.design.names[first:]), "standardized")


def partial_r2(fit: CoefficientStatistics) -> pd.Series:
    """Return SS / (SS + ssr) of each term; the public method documents it."""
    squares = {term_label(term): explained for term, (_, explained) in partial_squares(fit).items()}
    values = np.array(list(squares.values()))
    with np.errstate(invalid="ignore"):
        return to_series(values / (values + fit.ssr), list(squares), "partial_r2")
