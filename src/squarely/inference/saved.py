"""A Fit on disk: JSON with the formula, what was learnt, the cross-products and the solution; no rows, and no code.

The names of levels of categorical columns are in it. A file is taken apart field by field, each with a bound on its shape;
whatever does not fit is refused, and nothing in it is ever run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np

from squarely.data import AbsentSource, RowAccount
from squarely.design import Design, formula_of, parse_formula, parse_where
from squarely.design.frozen import learnt_from, plain_learnt, rebuilt
from squarely.errors import DataError, InputError
from squarely.exact import Factor, ResidualSums, Root, Solution
from squarely.inference.fit import Fit
from squarely.inference.statistics import infer
from squarely.moments import Aggregated, Moments
from squarely.numerics import Array

FORMAT = 1
_MOST_COEFFICIENTS = 5_000


def fit_to_json(fit: Fit) -> str:
    """Write a fit as strict JSON; what is not finite is written as text."""
    design, solution, moments = fit.design, fit.solution, fit.solution.moments
    formula, account = design.formula, moments.account
    document = {
        "squarely": FORMAT,
        "formula": formula.text,
        "arrays": None if formula.names is None else {"X": list(formula.names), "y": formula.response.text},
        "intercept": formula.intercept,
        "where": design.where.text if design.where else None,
        "source": {"label": fit.source.label, "columns": dict(fit.source.columns), "notes": list(fit.source.notes)},
        "learnt": plain_learnt(design),
        "centres": design.centres,
        "scales": design.scales,
        "design_scans": design.scans,
        "rows": {**account.as_dict(), "rounded": dict(account.rounded), "casts": dict(account.casts)},
        "gram": moments.gram,
        "passes": moments.passes,
        "aggregated": None if moments.aggregated is None else {name: getattr(moments.aggregated, name) for name in _AGGREGATED},
        "remarks": list(moments.remarks),
        "factor": {name: getattr(solution.factor, name) for name in _FACTOR},
        "residuals": {field.name: getattr(solution.residuals, field.name) for field in fields(ResidualSums)},
        "root": None if solution.root is None else {field.name: getattr(solution.root, field.name) for field in fields(Root)},
        "solution": {name: getattr(solution, name) for name in _SOLUTION},
    }
    return json.dumps(_plain(document), allow_nan=False)


_AGGREGATED = ("engine", "scans", "expressions")
_FACTOR = ("columns", "kept", "R", "rhs", "condition", "road", "dependencies")
_SOLUTION = ("params", "b", "ssr", "centered_tss", "digits", "digits_bse", "precision", "scans", "settled")


def fit_from_json(text: str, label: str) -> Fit:
    """Read a fit back; `label` is what messages call the file.

    Raises
    ------
    DataError : it is not a fit that squarely has saved, is damaged, or is of a later format.
    """
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise DataError(f"The file {label!r} is not JSON ({error}), so it is no saved fit. It may be cut short.") from None
    if not isinstance(document, dict) or "squarely" not in document:
        raise DataError(f"The file {label!r} is not a fit that squarely has saved. Save one with fit.save(path).")
    if document["squarely"] != FORMAT:
        raise DataError(
            f"The file {label!r} has format {document['squarely']!r}, and this version reads {FORMAT}. Update squarely."
        )
    try:
        return _fit(document)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        said = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        raise DataError(f"The file {label!r} is damaged or was changed by hand: {said} Save the fit again.") from None


def _fit(document: Mapping[str, Any]) -> Fit:
    was = document["source"]
    columns = {_text(name): _text(kind) for name, kind in was["columns"].items()}
    source = AbsentSource(_text(was["label"]), columns, tuple(_text(note) for note in was["notes"]))
    arrays = document["arrays"]
    if arrays is None:
        formula = parse_formula(_text(document["formula"]), list(source.columns))
    else:
        formula = formula_of([_text(n) for n in arrays["X"]], _text(arrays["y"]), intercept=_truth(document["intercept"]))
    where = None if document["where"] is None else parse_where(_text(document["where"]))
    factors, learnt = learnt_from(formula, document["learnt"])
    k = len(document["centres"])
    if k > _MOST_COEFFICIENTS:
        raise ValueError(f"it has {k:,} columns.")
    scales = _numbers(document["scales"], (k,))
    if not (scales > 0).all():
        raise ValueError("its scales are not positive.")
    design = rebuilt(
        formula=formula,
        where=where,
        factors=factors,
        learnt=learnt,
        centres=_numbers(document["centres"], (k,)),
        scales=scales,
        scans=_count(document["design_scans"]),
    )
    moments = Moments(
        design=design,
        gram=_numbers(document["gram"], (k + 1, k + 1)),
        account=_account(document["rows"]),
        passes=_count(document["passes"]),
        aggregated=_aggregated(document.get("aggregated")),
        remarks=tuple(_text(remark) for remark in document.get("remarks", [])),
    )
    return infer(_solution(document, moments, design), source)


def _solution(document: Mapping[str, Any], moments: Moments, design: Design) -> Solution:
    p = len(design.names)
    written = document["factor"]
    kept = np.array([_truth(x) for x in written["kept"]], dtype=bool)
    q = int(kept.sum())
    columns = np.array([_count(x) for x in written["columns"]], dtype=int)
    first = 0 if design.intercept else 1
    if kept.shape != (p,) or columns.tolist() != (np.flatnonzero(kept) + first).tolist() or not 0 < q < moments.n:
        raise ValueError("its columns do not fit its formula.")
    factor = Factor(
        columns=columns,
        names=design.names,
        kept=kept,
        R=_numbers(written["R"], (q, q)),
        rhs=_numbers(written["rhs"], (q,)),
        condition=_number(written["condition"]),
        road=_text(written["road"]),
        dependencies=tuple(_text(sentence) for sentence in written["dependencies"]),
    )
    readers: dict[str, Callable[[Any], Any]] = {field.name: _number for field in fields(ResidualSums)}
    lengths = {"sums": len(design.labels) + 1, "gradient": q, "gradient_low": q, "spread": 2, "powers": 3}
    readers |= {name: partial(_numbers, shape=(length,)) for name, length in lengths.items()} | {"n": _count}
    parts = {name: reader(document["residuals"][name]) for name, reader in readers.items()}
    residuals = ResidualSums(**parts)
    read = document["solution"]
    params = _numbers(read["params"], (p,))
    if not np.isfinite(params[kept]).all() or residuals.n != moments.n:
        raise ValueError("its coefficients or rows do not fit together.")
    return Solution(
        moments=moments,
        factor=factor,
        b=(_numbers(read["b"][0], (q,)), _numbers(read["b"][1], (q,))),
        root=_root(document["root"], q),
        params=params,
        residuals=residuals,
        ssr=_size(read["ssr"]),
        centered_tss=_size(read["centered_tss"]),
        digits=_numbers(read["digits"], (p,)),
        digits_bse=_numbers(read["digits_bse"], (p,)),
        precision=_text(read["precision"]),
        scans=_count(read["scans"]),
        settled=_truth(read["settled"]),
    )


def _aggregated(written: Mapping[str, Any] | None) -> Aggregated | None:
    if written is None:
        return None
    return Aggregated(engine=_text(written["engine"]), scans=_count(written["scans"]), expressions=_count(written["expressions"]))


def _root(written: Mapping[str, Any] | None, q: int) -> Root | None:
    if written is None:
        return None
    return Root(P=_numbers(written["P"], (q, q)), U=_numbers(written["U"], (q, q)), error=_size(written["error"]))


def _account(written: Mapping[str, Any]) -> RowAccount:
    return RowAccount(
        read=_count(written["read"]),
        used=_count(written["used"]),
        filtered=_count(written["filtered"]),
        dropped={_text(name): {_text(c): _count(x) for c, x in causes.items()} for name, causes in written["dropped"].items()},
        rounded={_text(name): _count(x) for name, x in written["rounded"].items()},
        casts={_text(name): _text(kind) for name, kind in written["casts"].items()},
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} stands where a text belongs.")
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} stands where true or false belongs.")
    return value


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TypeError(f"{value!r} stands where a count belongs.")
    return value


def _number(value: Any) -> float:
    if value in ("nan", "inf", "-inf"):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} stands where a number belongs.")
    return float(value)


def _size(value: Any) -> float:
    number = _number(value)
    if not number >= 0:
        raise ValueError(f"{value!r} stands where a sum of squares belongs.")
    return number


def _numbers(values: Any, shape: tuple[int, ...]) -> Array:
    flat = [_number(x) for row in values for x in row] if len(shape) == 2 else [_number(x) for x in values]
    if len(flat) != math.prod(shape) or len(values) != shape[0]:
        raise ValueError(f"{len(flat)} numbers stand where {' x '.join(map(str, shape))} belong.")
    return np.array(flat, dtype=np.float64).reshape(shape)


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item) for item in (value.tolist() if isinstance(value, np.ndarray) else value)]
    if isinstance(value, np.generic):
        value = value.item()
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
