"""Moments as JSON values and back: formula, learned state and cross-products, as saved fits and saved runs have them.

Every value is checked as it is read. Nothing in a file is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from squarely.data import DetachedSource, RowAccount, Source
from squarely.design import (
    Design,
    effects_from_json,
    formula_of,
    learned_from_json,
    learned_to_json,
    parse_formula,
    parse_weights,
    parse_where,
)
from squarely.moments.engine.gram import EngineRecord
from squarely.moments.moments import Moments
from squarely.numerics import Array
from squarely.storage.json_fields import as_bool, as_int, as_numbers, as_optional, as_text, as_texts, as_triangle, read_fields

MAX_SAVED_COLUMNS = 5_000  # a file holds the square of their number
_MAX_VALUE = 1e100  # far beyond what a fit accepts, and its square is still a number
_TOLERANCE = 1e-6  # the relative difference between a value and the same value computed from others


def moments_to_json(moments: Moments, source: Source) -> dict[str, Any]:
    """Return moments and the source of their rows as values that `to_json` accepts. A key never changes its meaning."""
    design, engine = moments.design, moments.engine_record
    formula = design.formula
    return {
        "formula": formula.text,
        "arrays": None if formula.names is None else {"X": list(formula.names), "y": formula.response.text},
        "intercept": formula.intercept,
        **({"row_weights": formula.weights_text, "are_frequencies": formula.has_frequencies} if formula.weights else {}),
        **({"row_groups": list(formula.groups)} if formula.groups else {}),
        "where": design.where.text if design.where else None,
        "source": {
            "label": source.label,
            "columns": source.columns,
            "notes": source.notes,
            "index_columns": source.indexes,
        },
        "learnt": learned_to_json(design),
        "centres": design.centers,
        "scales": design.scales,
        "design_scans": design.scans,
        "rows": account_to_json(moments.account),
        "gram": upper_rows(moments.gram),
        "passes": moments.passes,
        "aggregated": engine and {"engine": engine.engine, "scans": engine.scans, "expressions": engine.expressions},
        "remarks": list(moments.remarks),
    }


def moments_from_json(document: Mapping[str, Any], label: str) -> tuple[Moments, Source]:
    """Read moments and their source, which has no rows; `label` is the name of the file.

    Raises KeyError, TypeError, ValueError, AttributeError or IndexError for anything that `moments_to_json` does not write.
    """
    written = document["source"]
    columns = {as_text(name): as_text(kind) for name, kind in written["columns"].items()}
    source = DetachedSource(as_text(written["label"]), columns, as_texts(written["notes"]), label)
    source.index_columns = frozenset(as_text(name) for name in written.get("index_columns", ()))  # earlier versions lack it
    arrays, where = document["arrays"], document["where"]
    if arrays is None:
        formula = parse_formula(as_text(document["formula"]), source.dot_columns)
    else:
        formula = formula_of([as_text(n) for n in arrays["X"]], as_text(arrays["y"]), intercept=as_bool(document["intercept"]))
    weights = as_optional(document.get("row_weights"), lambda text: parse_weights(as_text(text)))
    has_frequencies = weights is not None and as_bool(document["are_frequencies"])
    groups = as_texts(document.get("row_groups", ()))
    formula = replace(formula, weights=weights, has_frequencies=has_frequencies, groups=groups)
    factors, learned = learned_from_json(formula, document["learnt"])
    k = len(document["centres"])
    if k > MAX_SAVED_COLUMNS:
        raise ValueError(f"it has {k:,} columns.")
    centers, scales = as_numbers(document["centres"], (k,)), as_numbers(document["scales"], (k,))
    if not ((scales > 1 / _MAX_VALUE) & (scales < _MAX_VALUE) & (np.abs(centers) < _MAX_VALUE)).all():
        raise ValueError("its centers and scales are not those of columns.")
    design = Design(
        formula=formula,
        where=None if where is None else parse_where(as_text(where)),
        factors=factors,
        learned=learned,
        centers=centers,
        scales=scales,
        scans=as_int(document["design_scans"]),
        absorbed=effects_from_json(formula.effects, k, document["absorbed"]) if formula.effects else None,
    )
    if len(design.columns) + 1 != k:
        raise ValueError(f"the formula makes {len(design.columns)} columns, and {k - 1} are written.")
    upper = as_triangle(document["gram"], k + 1)
    moments = Moments(
        design=design,
        gram=upper + np.triu(upper, 1).T,
        account=account_from_json(document["rows"]),
        passes=as_int(document["passes"]),
        engine_record=as_optional(document["aggregated"], partial(read_fields, EngineRecord, engine_gram=None, solution=None)),
        remarks=as_texts(document["remarks"]),
    )
    if not _is_sum_of_weights(moments) or not (np.diag(moments.gram) >= 0).all() or not _is_gram(moments.gram):
        raise ValueError("its cross-products are not those of its rows.")
    return moments, source


def account_to_json(account: RowAccount) -> dict[str, Any]:
    """Return an account of rows as JSON values."""
    return {**account.as_dict(), "rounded": dict(account.rounded), "casts": dict(account.casts)}


def account_from_json(written: Mapping[str, Any]) -> RowAccount:
    """Read an account of rows."""
    return read_fields(
        RowAccount,
        {"weightless": 0, **written},  # earlier versions have no weights
        dropped={as_text(name): {as_text(c): as_int(x) for c, x in causes.items()} for name, causes in written["dropped"].items()},
        rounded={as_text(name): as_int(x) for name, x in written["rounded"].items()},
        casts={as_text(name): as_text(kind) for name, kind in written["casts"].items()},
    )


def upper_rows(M: Array) -> list[Array]:
    """Return the rows of a symmetric or triangular matrix from the diagonal on."""
    return [row[i:] for i, row in enumerate(M)]


def _is_sum_of_weights(moments: Moments) -> bool:
    """Return whether the first cross-product is the number of rows, the sum of their frequencies or a sum of weights."""
    formula, weight = moments.design.formula, moments.weight
    if formula.weights is None:
        return weight == moments.n
    return weight >= moments.n and weight.is_integer() if formula.has_frequencies else weight > 0


def _is_gram(gram: Array) -> bool:
    """Return whether no cross-product exceeds the lengths of its columns, up to rounding."""
    lengths = np.sqrt(np.diag(gram))
    return bool(
        np.abs(gram).max() < _MAX_VALUE
        and (np.abs(gram) <= _TOLERANCE * gram[0, 0] + (1 + _TOLERANCE) * np.outer(lengths, lengths)).all()
    )
