"""Differences between all pairs of levels of a category, with p-values that are corrected for their number."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from squarely.errors import DataError, OptionError, show_value, suggest_name
from squarely.inference.coefficients import CoefficientStatistics, require_alpha
from squarely.inference.post_estimation.hypotheses.coefficient_names import CoefficientNames
from squarely.inference.post_estimation.hypotheses.constraints import Constraints
from squarely.inference.post_estimation.hypotheses.contrasts import Contrasts, contrasts_of
from squarely.numerics import Array

if TYPE_CHECKING:
    import pandas as pd

METHODS = ("none", "bonferroni", "sidak", "holm", "hs", "fdr_bh", "tukey")
_SYNONYMS = {"b": "bonferroni", "s": "sidak", "h": "holm", "holm-sidak": "hs", "fdr_i": "fdr_bh", "BH": "fdr_bh"}
_MOST_PAIRS = 100_000


def t_test_pairwise(fit: CoefficientStatistics, term: str, *, method: str, alpha: float) -> pd.DataFrame:
    """Compare all levels of a category; the public method documents it."""
    require_alpha(alpha)
    method = _SYNONYMS.get(method, method) if isinstance(method, str) else method
    if method not in METHODS:
        raise OptionError(f"method={show_value(method)} is not known. {suggest_name(method, METHODS)}")
    text = _find_factor(fit, term)
    constraints = _differences_of_levels(fit, text)
    contrasts = contrasts_of(fit, constraints)
    frame = contrasts.summary_frame(alpha)
    if method != "none":
        corrected = _correct(contrasts, method, len(fit.design.categories[text].levels))
        frame[f"pvalue-{method}"] = corrected
        frame[f"reject-{method}"] = corrected <= alpha
    return frame


def _find_factor(fit: CoefficientStatistics, term: str) -> str:
    """Return the text of the categorical factor that is called so, as in the formula or by its column."""
    codings = fit.design.categories
    name = term.strip("` ") if isinstance(term, str) else ""
    texts = [text for text in codings if text == name] or [text for text, coding in codings.items() if coding.column == name]
    if len(texts) != 1 or (texts[0],) not in fit.design.formula.terms:
        names = [text for text in codings if (text,) in fit.design.formula.terms]
        if not names:
            raise DataError(
                f"{show_value(term)} has no levels to compare: the fit has no category as a term. Add one, such as C(x)."
            )
        raise DataError(f"{show_value(term)} is not a category that is a term of the fit. {suggest_name(term, names)}")
    return texts[0]


def _differences_of_levels(fit: CoefficientStatistics, text: str) -> Constraints:
    design, levels = fit.design, [str(level) for level in fit.design.categories[text].levels]
    if len(levels) * (len(levels) - 1) // 2 > _MOST_PAIRS:
        raise DataError(f"{text} has {len(levels):,} levels, and more than {_MOST_PAIRS:,} pairs of them. Group levels.")
    effects = np.zeros((len(levels), len(design.names)))
    for row, form in zip(effects, CoefficientNames(design).levels(text), strict=True):
        for position, weight in form.items():
            row[position] = float(weight)
    dropped = effects[:, ~fit.solution.factor.selected].any(axis=1)
    if dropped.any():
        raise DataError(
            f"The rows do not determine the effect of {text}[{levels[int(np.argmax(dropped))]}], whose column was dropped. Leave "
            "out the term that spans it."
        )
    pairs = list(combinations(range(len(levels)), 2))
    return Constraints(
        L=np.array([effects[j] - effects[i] for i, j in pairs]),
        v=np.zeros(len(pairs)),
        texts=tuple(f"{levels[j]}-{levels[i]}" for i, j in pairs),
    )


def _correct(contrasts: Contrasts, method: str, levels: int) -> Array:
    p, m = contrasts.pvalue, len(contrasts.pvalue)
    if method == "tukey":
        from scipy.stats import studentized_range  # here, because it takes half a second to import

        df = np.minimum(contrasts.df_denom, 1e6)  # beyond, the distribution has its limit to all digits
        return np.asarray(studentized_range.sf(math.sqrt(2) * np.abs(contrasts.tvalue), levels, df))
    one_step: dict[str, Callable[[Array], Array]] = {
        "bonferroni": lambda p: np.minimum(m * p, 1.0),
        "sidak": lambda p: -np.expm1(m * np.log1p(-p)),
    }
    if method in one_step:
        with np.errstate(divide="ignore"):  # a p-value of one
            return one_step[method](p)
    order, corrected = np.argsort(p), np.empty(m)
    left = np.arange(m, 0, -1)
    with np.errstate(divide="ignore"):
        if method == "fdr_bh":
            steps = np.minimum.accumulate((p[order] * m / np.arange(1, m + 1))[::-1])[::-1]
        else:
            steps = np.maximum.accumulate(p[order] * left if method == "holm" else -np.expm1(left * np.log1p(-p[order])))
    corrected[order] = np.minimum(steps, 1.0)
    return corrected
