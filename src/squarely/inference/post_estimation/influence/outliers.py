"""The test for outliers: externally studentized residuals, with p-values corrected for their number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import stdtr

from squarely.data import labeled_frame
from squarely.errors import OptionError, show_value, suggest_name
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.influence.influence import Influence
from squarely.numerics import Array

_SYNONYMS = {"b": "bonf", "bonferroni": "bonf", "s": "sidak", "h": "holm", "holm-sidak": "hs"}
_METHODS = ("bonf", "sidak", "holm", "hs")


def outlier_test(fit: CoefficientStatistics, method: object, k: object) -> Any:
    """Test the k rows with the largest residuals; the public method documents it."""
    name = _SYNONYMS.get(method, method) if isinstance(method, str) else method
    if name not in _METHODS:
        raise OptionError(f"method={show_value(method)} is not known. {suggest_name(name, _METHODS)}")
    influence = Influence(fit)
    rows = influence.find_largest(k, "student_resid")
    residuals = rows.influence(influence.model).measure("student_resid")
    p = 2 * stdtr(influence.model.df - 1, -np.abs(residuals))
    tests = fit.nobs - rows.one_count
    columns = {"student_resid": residuals, "unadj_p": p, f"{str(name)[:4]}(p)": _correct(p, str(name), tests)}
    return labeled_frame(fit.source, columns, rows.positions)


def _correct(p: Array, method: str, tests: float) -> Array:
    """Correct the smallest p-values (k,), in ascending order, of a number of tests."""
    left = tests - np.arange(len(p))
    steps: dict[str, Callable[[], Array]] = {
        "bonf": lambda: tests * p,
        "sidak": lambda: -np.expm1(tests * np.log1p(-p)),
        "holm": lambda: np.maximum.accumulate(left * p),
        "hs": lambda: np.maximum.accumulate(-np.expm1(left * np.log1p(-p))),
    }
    with np.errstate(divide="ignore"):  # a p-value of one
        return np.minimum(steps[method](), 1.0)
