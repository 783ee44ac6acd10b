"""The columns of the data that predict the response of a fit."""

from __future__ import annotations

from squarely.design import Categorical, argument_of, column_names
from squarely.inference.coefficients import CoefficientStatistics


def predictors_of(fit: CoefficientStatistics) -> tuple[list[str], list[str]]:
    """Return the columns of the data on the right side of the formula: those of numbers, and those of categories."""
    factors = fit.design.factors.values()
    expressions = [argument_of(f) for f in factors if not isinstance(f, Categorical)]
    expressions += [numeric.expression for numeric in fit.design.formula.offsets]
    numbers = [part.name for part in column_names(*expressions)]
    labels = [f.name.name for f in factors if isinstance(f, Categorical)]
    return list(dict.fromkeys(numbers)), list(dict.fromkeys(labels))
