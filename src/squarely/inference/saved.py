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

import squarely
from squarely.data import AbsentSource, RowAccount
from squarely.data.schema import as_count, as_number, as_numbers, as_size, as_text, as_triangle, as_truth, one_of
from squarely.design import Design, formula_of, parse_formula, parse_where
from squarely.design.frozen import learnt_from, plain_learnt, rebuilt
from squarely.errors import DataError, InputError
from squarely.exact import Factor, Merger, ResidualSums, Root, Solution
from squarely.inference.fit import Fit
from squarely.inference.statistics import infer
from squarely.moments import Aggregated, Moments
from squarely.numerics import Array

FORMAT = 2
_MOST_COEFFICIENTS = 5_000
_MOST_FITS = 100_000


def fit_to_json(fit: Fit) -> str:
    """Write a fit as strict JSON; what is not finite is written as text.

    Raises
    ------
    DataError : it has so many coefficients that it would not be read back.
    """
    design, solution, moments = fit.design, fit.solution, fit.solution.moments
    if len(design.centres) > _MOST_COEFFICIENTS:
        raise DataError(
            f"The fit has {len(design.centres):,} columns, and a file holds the square of their number: at most "
            f"{_MOST_COEFFICIENTS:,} are saved. Group levels, or keep fit.params and fit.bse instead."
        )
    formula, account, root = design.formula, moments.account, solution.root
    document = {
        "squarely": FORMAT,
        "versions": {"squarely": squarely.__version__, "numpy": np.__version__},
        "formula": formula.text,
        "arrays": None if formula.names is None else {"X": list(formula.names), "y": formula.response.text},
        "intercept": formula.intercept,
        "where": design.where.text if design.where else None,
        "source": {
            "label": fit.source.label,
            "columns": dict(fit.source.columns),
            "notes": list(fit.source.notes),
            "index_columns": fit.source.indexes,
        },
        "learnt": plain_learnt(design),
        "centres": design.centres,
        "scales": design.scales,
        "design_scans": design.scans,
        "rows": {**account.as_dict(), "rounded": dict(account.rounded), "casts": dict(account.casts)},
        "gram": _upper(moments.gram),
        "passes": moments.passes,
        "aggregated": None if moments.aggregated is None else {name: getattr(moments.aggregated, name) for name in _AGGREGATED},
        "remarks": list(moments.remarks),
        "factor": {
            **{name: getattr(solution.factor, name) for name in _FACTOR},
            "R": _upper(solution.factor.R),
            "triangle": None if solution.factor.triangle is None else _upper(solution.factor.triangle),
        },
        "residuals": _fields(solution.residuals),
        "root": root and {"P": _upper(root.P), "U": _upper(root.U), "error": root.error},
        "solution": {name: getattr(solution, name) for name in _SOLUTION},
        "merged": _fields(solution.merged),
    }
    return json.dumps(_plain(document), allow_nan=False)


_AGGREGATED = ("engine", "scans", "expressions")
_FACTOR = ("columns", "kept", "rhs", "condition", "road", "dependencies", "left", "doubt")
_SOLUTION = (
    "params",
    "b",
    "unit_bse",
    "ssr",
    "centered_tss",
    "digits",
    "digits_bse",
    "precision",
    "scans",
    "settled",
    "blur",
    "rough",
)


def _fields(part: ResidualSums | Merger | None) -> dict[str, Any] | None:
    return None if part is None else {field.name: getattr(part, field.name) for field in fields(part)}


def _upper(M: Array) -> list[Array]:
    """Give the rows of a symmetric or triangular matrix from the diagonal on."""
    return [row[i:] for i, row in enumerate(M)]


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
        earlier = document["squarely"] in range(FORMAT)
        raise DataError(
            f"The file {label!r} has format {document['squarely']!r}, and this version reads {FORMAT}. "
            + ("Fit the data again and save that fit." if earlier else "Update squarely.")
        )
    try:
        return _fit(document, label)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        said = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        raise DataError(f"The file {label!r} is damaged or was changed by hand: {said} Save the fit again.") from None


def _fit(document: Mapping[str, Any], label: str) -> Fit:
    was = document["source"]
    columns = {as_text(name): as_text(kind) for name, kind in was["columns"].items()}
    source = AbsentSource(as_text(was["label"]), columns, tuple(as_text(note) for note in was["notes"]), label)
    source.index_columns = frozenset(as_text(name) for name in was.get("index_columns", ()))  # not in the files of earlier versions
    arrays = document["arrays"]
    if arrays is None:
        formula = parse_formula(as_text(document["formula"]), source.dotted)
    else:
        formula = formula_of([as_text(n) for n in arrays["X"]], as_text(arrays["y"]), intercept=as_truth(document["intercept"]))
    where = None if document["where"] is None else parse_where(as_text(document["where"]))
    factors, learnt = learnt_from(formula, document["learnt"])
    k = len(document["centres"])
    if k > _MOST_COEFFICIENTS:
        raise ValueError(f"it has {k:,} columns.")
    scales = as_numbers(document["scales"], (k,))
    if not (scales > 0).all():
        raise ValueError("its scales are not positive.")
    design = rebuilt(
        formula=formula,
        where=where,
        factors=factors,
        learnt=learnt,
        centres=as_numbers(document["centres"], (k,)),
        scales=scales,
        scans=as_count(document["design_scans"]),
    )
    upper = as_triangle(document["gram"], k + 1)
    moments = Moments(
        design=design,
        gram=upper + np.triu(upper, 1).T,
        account=_account(document["rows"]),
        passes=as_count(document["passes"]),
        aggregated=_aggregated(document["aggregated"]),
        remarks=tuple(as_text(remark) for remark in document["remarks"]),
    )
    if moments.gram[0, 0] != moments.n or not (np.diag(moments.gram) >= 0).all():
        raise ValueError("its cross-products are not those of its rows.")
    return infer(_solution(document, moments, design), source)


def _solution(document: Mapping[str, Any], moments: Moments, design: Design) -> Solution:
    p = len(design.names)
    written = document["factor"]
    kept = np.array([as_truth(x) for x in written["kept"]], dtype=bool)
    q = int(kept.sum())
    columns = np.array([as_count(x) for x in written["columns"]], dtype=int)
    first = 0 if design.intercept else 1
    if kept.shape != (p,) or columns.tolist() != (np.flatnonzero(kept) + first).tolist() or not 0 < q < moments.n:
        raise ValueError("its columns do not fit its formula.")
    if len(written["left"]) != p - q:
        raise ValueError("its dropped columns do not fit its formula.")
    factor = Factor(
        columns=columns,
        names=design.names,
        kept=kept,
        R=as_triangle(written["R"], q),
        rhs=as_numbers(written["rhs"], (q,)),
        condition=as_number(written["condition"]),
        road=one_of(written["road"], ("moments", "triangle")),
        dependencies=tuple(as_text(sentence) for sentence in written["dependencies"]),
        triangle=None if written["triangle"] is None else as_triangle(written["triangle"], len(moments.gram)),
        left=tuple(as_size(x) for x in written["left"]),
        doubt=as_size(written["doubt"]),
    )
    residuals = _residuals(document["residuals"], len(design.labels) + 1, q)
    read = document["solution"]
    params = as_numbers(read["params"], (p,))
    b = as_numbers(read["b"][0], (q,)), as_numbers(read["b"][1], (q,))
    merged = _merger(document["merged"])
    if not np.isfinite([*params[kept], *b[0], *b[1]]).all():
        raise ValueError("its coefficients are not there.")
    counts = [part.n for part in (residuals, merged) if part is not None]
    if counts != [moments.n]:
        raise ValueError("its residuals or rows do not fit together.")
    return Solution(
        moments=moments,
        factor=factor,
        b=b,
        root=_root(document["root"], q),
        params=params,
        residuals=residuals,
        unit_bse=as_numbers(read["unit_bse"], (p,)),
        ssr=as_size(read["ssr"]),
        centered_tss=as_size(read["centered_tss"]),
        digits=as_numbers(read["digits"], (p,)),
        digits_bse=as_numbers(read["digits_bse"], (p,)),
        precision=one_of(read["precision"], ("extended", "double")),
        scans=as_count(read["scans"]),
        settled=as_truth(read["settled"]),
        blur=as_size(read["blur"]),
        rough=as_size(read.get("rough", 0.0)),
        merged=merged,
    )


def _residuals(written: Mapping[str, Any] | None, size: int, q: int) -> ResidualSums | None:
    if written is None:
        return None
    readers: dict[str, Callable[[Any], Any]] = {field.name: as_number for field in fields(ResidualSums)}
    lengths = {"sums": size, "gradient": q, "gradient_low": q, "spread": 2, "powers": 3}
    readers |= {name: partial(as_numbers, shape=(length,)) for name, length in lengths.items()} | {"n": as_count}
    parts = {name: reader(written[name]) for name, reader in readers.items()}
    return ResidualSums(**parts)


def _merger(written: Mapping[str, Any] | None) -> Merger | None:
    if written is None:
        return None
    rows, taken_out = written["rows"], written["taken_out"]
    if not 0 < len(rows) + len(taken_out) <= _MOST_FITS:
        raise ValueError(f"it was merged from {len(rows) + len(taken_out):,} fits.")
    return Merger(rows=tuple(as_count(x) for x in rows), taken_out=tuple(as_count(x) for x in taken_out))


def _aggregated(written: Mapping[str, Any] | None) -> Aggregated | None:
    if written is None:
        return None
    parts = as_text(written["engine"]), as_count(written["scans"]), as_count(written["expressions"])
    return Aggregated(engine=parts[0], scans=parts[1], expressions=parts[2])


def _root(written: Mapping[str, Any] | None, q: int) -> Root | None:
    if written is None:
        return None
    return Root(P=as_triangle(written["P"], q), U=as_triangle(written["U"], q), error=as_size(written["error"]))


def _account(written: Mapping[str, Any]) -> RowAccount:
    return RowAccount(
        read=as_count(written["read"]),
        used=as_count(written["used"]),
        filtered=as_count(written["filtered"]),
        dropped={
            as_text(name): {as_text(c): as_count(x) for c, x in causes.items()} for name, causes in written["dropped"].items()
        },
        rounded={as_text(name): as_count(x) for name, x in written["rounded"].items()},
        casts={as_text(name): as_text(kind) for name, kind in written["casts"].items()},
    )


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
