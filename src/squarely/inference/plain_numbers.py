"""The numbers of a fit as plain Python values, for `Fit.as_dict`, `--json` and the summary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from squarely.exact import Solution
from squarely.inference.normality import Normality
from squarely.inference.statistics import Statistics
from squarely.numerics import Array

_SCALARS = [field.name for field in fields(Statistics) if field.name not in {"constant_response", "normality", "standard_errors"}]


def to_plain_numbers(statistics: Statistics, solution: Solution, columns: Mapping[str, Array]) -> dict[str, Any]:
    """Return every number but the covariances; `columns` has arrays (p, ...) with a row for each coefficient."""
    moments, merged = solution.moments, solution.merge_record
    design, account = moments.design, moments.account
    return {
        "formula": design.formula.text,
        "response": design.response,
        **{name: dict(zip(design.names, values.tolist(), strict=True)) for name, values in columns.items()},
        **{name: getattr(statistics, name) for name in _SCALARS},
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
