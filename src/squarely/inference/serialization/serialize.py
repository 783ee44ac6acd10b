"""Write a fit as JSON: formula, learned state, cross-products and solution; names of levels, but no rows and no code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from squarely._version import __version__
from squarely.data import Source
from squarely.design import effects_to_json
from squarely.errors import DataError
from squarely.exact import Solution
from squarely.inference.covariance.robust import RobustCovariance
from squarely.moments import MAX_SAVED_COLUMNS, moments_to_json, upper_rows
from squarely.storage.json_fields import to_json

FORMAT, EXTENDED_FORMAT = (
    2,
    3,
)  # the second has weights, a robust covariance or fixed effects, which earlier versions would overlook


def solution_to_json(solution: Solution, source: Source, robust: RobustCovariance | None) -> str:
    """Return a solution as strict JSON, with numbers that are not finite as text, unless it is too large to be read back."""
    moments, factor, root = solution.moments, solution.factor, solution.inverse_root
    columns = len(moments.design.centers)
    if columns > MAX_SAVED_COLUMNS:
        raise DataError(
            f"The fit has {columns:,} columns, and a file holds the square of their number: at most "
            f"{MAX_SAVED_COLUMNS:,} are saved. Group levels, or keep fit.params and fit.bse instead."
        )
    absorbed = moments.design.absorbed
    is_plain = robust is None and moments.design.formula.weights is None and absorbed is None
    document = {
        "squarely": FORMAT if is_plain else EXTENDED_FORMAT,
        "versions": {"squarely": __version__, "numpy": np.__version__},
        **moments_to_json(moments, source),
        "factor": {
            **(_to_keys(factor, _FACTORIZATION_KEYS) or {}),
            "R": upper_rows(factor.R),
            "triangle": None if factor.triangle is None else upper_rows(factor.triangle),
        },
        "residuals": _to_keys(solution.residuals, RESIDUAL_KEYS),
        "root": root
        and {
            "P": upper_rows(root.P) if (np.triu(root.P) == root.P).all() else root.P,
            "U": upper_rows(root.U),
            "error": root.error,
        },
        "solution": _to_keys(solution, _SOLUTION_KEYS),
        "span": _to_keys(solution.span, _SPAN_KEYS),
        "merged": _to_keys(solution.merge_record, _MERGE_KEYS),
        **({} if absorbed is None else {"absorbed": effects_to_json(absorbed, solution.effects)}),
        "covariance": robust and {**(_to_keys(robust, _COVARIANCE_KEYS) or {}), "meat": upper_rows(robust.meat)},
    }
    return json.dumps(to_json(document), allow_nan=False, separators=(",", ":"))


# The keys of a saved fit and the fields that they hold; a field may be renamed, a key never changes.
_FACTORIZATION_KEYS = {
    "columns": "columns", "kept": "selected", "rhs": "rhs", "condition": "condition", "road": "method",
    "dependencies": "dependencies", "left": "remainders", "doubt": "error_factor", "zero": "zeros",
}  # fmt: skip
_SOLUTION_KEYS = {
    "params": "params", "b": "scaled_params", "unit_bse": "unit_bse", "ssr": "ssr", "ssr_off": "ssr_error",
    "centered_tss": "centered_tss", "tss_off": "tss_error", "mean": "mean", "digits": "digits", "digits_bse": "digits_bse",
    "precision": "precision", "scans": "scans", "settled": "converged", "blur": "fitted_error", "rough": "input_rounding",
}  # fmt: skip
_SPAN_KEYS = {"b": "b", "left": "remainder", "blur": "remainder_error"}
_MERGE_KEYS = {"rows": "rows", "taken_out": "removed_rows", "shards": "shards", "log_weights": "log_weights"}
RESIDUAL_KEYS = {
    "n": "n", "sums": "sums", "gradient": "gradient", "gradient_low": "gradient_low", "spread": "response_sums",
    "squares": "squares", "powers": "powers", "steps": "sum_squared_differences", "first": "first_residual",
    "last": "last_residual", "top": "top", "log_weights": "log_weights",
}  # fmt: skip
_COVARIANCE_KEYS = {
    "type": "cov_type", "df": "df", "kwds": "cov_kwds", "df_t": "df_t", "htz_df": "htz_df", "products": "products",
    "undefined": "undefined", "margin": "margin", "gross": "gross", "rank": "rank", "notes": "notes",
}  # fmt: skip


def _to_keys(part: object | None, keys: Mapping[str, str]) -> dict[str, Any] | None:
    return None if part is None else {key: getattr(part, field) for key, field in keys.items()}
