"""The numbers of a fit as plain Python values, for `Fit.as_dict`, `--json` and the summary."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import numpy as np

from squarely.exact import Solution
from squarely.inference.covariance.digits import digits_of_errors
from squarely.inference.covariance.robust import RobustCovariance
from squarely.inference.normality import Normality
from squarely.inference.statistics import Statistics, confidence_limits, p_values, t_values
from squarely.numerics import Array

_ATTRIBUTES = {
    "params": "coef", "bse": "std_err", "tvalues": "t", "pvalues": "p", "digits": "digits", "digits_bse": "digits_std_err",
}  # fmt: skip
_SCALARS = [
    field.name
    for field in fields(Statistics)
    if field.name not in {"constant_response", "normality", "standard_errors", "df_of_t", "rsquared_within"}
]


def coefficient_columns(statistics: Statistics, solution: Solution, robust: RobustCovariance | None) -> dict[str, Array]:
    """Return the columns (p,) of `Fit.table`."""
    params, standard_errors = solution.params, statistics.standard_errors
    low, high = confidence_limits(params, standard_errors, statistics.df_of_t, 0.05)
    return {
        "coef": params,
        "std_err": standard_errors,
        "t": t_values(params, standard_errors),
        "p": p_values(params, standard_errors, statistics.df_of_t),
        "ci_lower": low,
        "ci_upper": high,
        "digits": solution.digits,
        "digits_std_err": digits_of_errors(solution, robust),
    }


def _effects_of(statistics: Statistics, solution: Solution) -> dict[str, Any]:
    """Return what absorbed effects add: their levels by name, their parameters, and R-squared within."""
    absorbed = solution.moments.design.absorbed
    if absorbed is None:
        return {}
    return {
        "fixed_effects": {name: len(index) for name, index in zip(absorbed.names, absorbed.levels, strict=True)},
        "fixed_effects_rank": absorbed.rank,
        "singletons": dict(zip(absorbed.names, absorbed.singletons, strict=True)),
        "rsquared_within": statistics.rsquared_within,
    }


def to_plain_numbers(statistics: Statistics, solution: Solution, robust: RobustCovariance | None) -> dict[str, Any]:
    """Return every number but the covariances, under the names of the attributes of a fit."""
    table = coefficient_columns(statistics, solution, robust)
    columns = {attribute: table[column] for attribute, column in _ATTRIBUTES.items()}
    columns["conf_int"] = np.column_stack([table["ci_lower"], table["ci_upper"]])
    moments, merged = solution.moments, solution.merge_record
    design, account = moments.design, moments.account
    return {
        "formula": design.formula.text,
        "response": design.response,
        "model": "WLS" if design.formula.weights and not design.formula.has_frequencies else "OLS",
        "weights": design.formula.weights and design.formula.weights.text,
        **{name: dict(zip(design.names, values.tolist(), strict=True)) for name, values in columns.items()},
        "table": [
            {"name": name, **dict(zip(table, numbers, strict=True))}
            for name, *numbers in zip(design.names, *(values.tolist() for values in table.values()), strict=True)
        ],
        **{name: getattr(statistics, name) for name in _SCALARS},
        **_effects_of(statistics, solution),
        "use_t": not math.isinf(statistics.df_resid_inference),
        "cov_type": robust.cov_type if robust else "nonrobust",
        "cov_kwds": dict(robust.cov_kwds) if robust else {},
        "df_t": dict(zip(design.names, statistics.df_of_t.tolist(), strict=True)),
        **{name: getattr(statistics.normality, name) for name in Normality.__slots__},
        "categories": {
            text: {"contrast": c.kind, "levels": list(c.levels), "reference": c.levels[c.position]}
            for text, c in design.categories.items()
        },
        "where": design.where.text if design.where else None,
        "rows": account.as_dict(),
        "rounded": dict(account.rounded),
        "casts": dict(account.casts),
        "dropped_columns": list(solution.factor.dependencies),
        "notes": list(design.notes),
        "method": solution.factor.method,
        "precision": solution.precision,
        "fold": "batches" if moments.engine_record is None else "aggregates",
        "scans": solution.scans,
        "converged": solution.converged,
        "merged": merged and {"rows": list(merged.rows), "removed": list(merged.removed_rows)},
    }
