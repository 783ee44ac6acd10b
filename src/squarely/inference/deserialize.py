"""Read a saved fit field by field, each with a bound on its shape. What does not fit is refused, and nothing in it is run."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from squarely.data import DetachedSource, RowAccount, Source
from squarely.design import Design, design_from_json, formula_of, learned_from_json, parse_formula, parse_where
from squarely.errors import DataError, InputError
from squarely.exact import (
    TEN_DIGITS,
    Dependency,
    Factorization,
    InverseRoot,
    MergeRecord,
    ResidualSums,
    Solution,
    Span,
    natural_sizes,
    span_by_sums,
    standard_error_scale,
    to_data_units,
    totals_of,
    unit_errors,
)
from squarely.inference.serialize import FORMAT, MAX_COEFFICIENTS, RESIDUAL_KEYS
from squarely.inference.statistics import statistics_of
from squarely.moments import EngineRecord, Moments
from squarely.numerics import ROUNDOFF, Array
from squarely.storage.json_fields import as_bool, as_choice, as_int, as_number, as_numbers, as_size, as_text, as_triangle

_MOST_FITS = 100_000
_MAX_VALUE = 1e100  # far beyond what a fit accepts, and its square is still a number
_TOLERANCE = 1e-6  # the relative difference between what is said and what is worked out again


class _EarlierFormatError(Exception):
    """What a file of an earlier version does not tell."""


def solution_from_json(text: str, label: str) -> tuple[Solution, Source]:
    """Read a solution and its source, which has no rows, from JSON; `label` names the file in messages.

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
        return _read_document(document, label)
    except _EarlierFormatError as error:
        raise DataError(
            f"The file {label!r} was saved by an earlier version and {error}. Fit the data again and save that fit."
        ) from None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        said = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        raise DataError(f"The file {label!r} is damaged or was changed by hand: {said} Save the fit again.") from None


def _read_document(document: Mapping[str, Any], label: str) -> tuple[Solution, Source]:
    was = document["source"]
    columns = {as_text(name): as_text(kind) for name, kind in was["columns"].items()}
    source = DetachedSource(as_text(was["label"]), columns, tuple(as_text(note) for note in was["notes"]), label)
    source.index_columns = frozenset(as_text(name) for name in was.get("index_columns", ()))  # not in the files of earlier versions
    arrays = document["arrays"]
    if arrays is None:
        formula = parse_formula(as_text(document["formula"]), source.dot_columns)
    else:
        formula = formula_of([as_text(n) for n in arrays["X"]], as_text(arrays["y"]), intercept=as_bool(document["intercept"]))
    where = None if document["where"] is None else parse_where(as_text(document["where"]))
    factors, learnt = learned_from_json(formula, document["learnt"])
    k = len(document["centres"])
    if k > MAX_COEFFICIENTS:
        raise ValueError(f"it has {k:,} columns.")
    centres, scales = as_numbers(document["centres"], (k,)), as_numbers(document["scales"], (k,))
    if not ((scales > 1 / _MAX_VALUE) & (scales < _MAX_VALUE) & (np.abs(centres) < _MAX_VALUE)).all():
        raise ValueError("its centres and scales are not those of columns.")
    design = design_from_json(
        formula=formula,
        where=where,
        factors=factors,
        learned=learnt,
        centers=centres,
        scales=scales,
        scans=as_int(document["design_scans"]),
    )
    upper = as_triangle(document["gram"], k + 1)
    moments = Moments(
        design=design,
        gram=upper + np.triu(upper, 1).T,
        account=_read_account(document["rows"]),
        passes=as_int(document["passes"]),
        engine_record=_read_engine_record(document["aggregated"]),
        remarks=tuple(as_text(remark) for remark in document["remarks"]),
    )
    if moments.gram[0, 0] != moments.n or not (np.diag(moments.gram) >= 0).all() or not _is_gram(moments.gram):
        raise ValueError("its cross-products are not those of its rows.")
    solution = _check_consistency(_read_solution(document, moments, design))
    statistics_of(solution)  # raises if its numbers are beyond what a fit can have
    return solution, source


def _is_gram(gram: Array) -> bool:
    """Tell whether no cross-product exceeds the lengths of its columns, up to rounding."""
    lengths = np.sqrt(np.diag(gram))
    return bool(
        np.abs(gram).max() < _MAX_VALUE
        and (np.abs(gram) <= _TOLERANCE * gram[0, 0] + (1 + _TOLERANCE) * np.outer(lengths, lengths)).all()
    )


def _check_consistency(solution: Solution) -> Solution:
    """Give the solution, if what can be worked out of its other parts is what it says.

    Files of earlier versions may lack a part of the root; then R serves, if it has the digits.

    Raises
    ------
    ValueError : it is not.
    """
    moments, factor = solution.moments, solution.factor
    params, _ = to_data_units(moments, factor, solution.scaled_params, np.zeros(len(factor.R)))
    natural = natural_sizes(moments, factor.columns)
    said = solution.params[factor.selected]
    if not ((said == 0) | (np.abs(said - params) <= _TOLERANCE * (np.abs(params) + TEN_DIGITS * natural))).all():
        raise ValueError("its coefficients are not those of its solution.")
    scale, residuals = float(moments.design.scales[-1]), solution.residuals
    if residuals and solution.converged and not abs(solution.ssr / scale**2 - residuals.squares) <= _TOLERANCE * residuals.squares:
        raise ValueError("its sum of squares is not that of its residuals.")
    for root in dict.fromkeys((solution.inverse_root, None)):
        errors, told = unit_errors(moments, factor, standard_error_scale(moments, factor), root), solution.unit_bse[factor.selected]
        if (np.abs(errors - told) <= _TOLERANCE * told).all():
            return replace(solution, inverse_root=root)
    raise ValueError("its standard errors are not those of its columns, and its covariances would be wrong.")


def _read_solution(document: Mapping[str, Any], moments: Moments, design: Design) -> Solution:
    p = len(design.names)
    written = document["factor"]
    kept = np.array([as_bool(x) for x in written["kept"]], dtype=bool)
    q = int(kept.sum())
    columns = np.array([as_int(x) for x in written["columns"]], dtype=int)
    first = 0 if design.intercept else 1
    if kept.shape != (p,) or columns.tolist() != (np.flatnonzero(kept) + first).tolist() or not 0 < q < moments.n:
        raise ValueError("its columns do not fit its formula.")
    left = tuple(as_size(x) for x in written["left"])
    if not left and document["aggregated"] is not None:  # earlier versions did not write it: what is left is below the least told
        left = tuple(1e-5 * np.sqrt(np.diag(moments.gram)[first:-1][~kept]))
    messages = tuple(as_text(sentence) for sentence in written["dependencies"])
    # Files of earlier versions say that a column is zero in the sentence alone.
    zeros = tuple(as_bool(x) for x in written.get("zero", [text.endswith(" is constant (0)") for text in messages]))
    if not len(left) == len(messages) == len(zeros) == p - q:
        raise ValueError("its dropped columns do not fit its formula.")
    factor = Factorization(
        columns=columns,
        names=design.names,
        selected=kept,
        R=as_triangle(written["R"], q),
        rhs=as_numbers(written["rhs"], (q,)),
        condition=as_number(written["condition"]),
        method=as_choice(written["road"], ("moments", "triangle")),
        dropped=tuple(Dependency(*each) for each in zip(messages, left, zeros, strict=True)),
        triangle=None if written["triangle"] is None else as_triangle(written["triangle"], len(moments.gram)),
        error_factor=as_size(written["doubt"]),
    )
    residuals = _read_residuals(document["residuals"], len(design.labels) + 1, q)
    read = document["solution"]
    params = as_numbers(read["params"], (p,))
    b = as_numbers(read["b"][0], (q,)), as_numbers(read["b"][1], (q,))
    merged = _read_merge_record(document["merged"])
    if not np.isfinite([*params[kept], *b[0], *b[1]]).all():
        raise ValueError("its coefficients are not there.")
    counts = [part.n for part in (residuals, merged) if part is not None]
    if counts != [moments.n]:
        raise ValueError("its residuals or rows do not fit together.")
    digits_bse = as_numbers(read["digits_bse"], (p,))
    ssr, centered = as_size(read["ssr"]), as_size(read["centered_tss"])
    relative = 2 * 10 ** -float(np.nanmin([*digits_bse, 15.0]))  # what earlier versions tell of the errors of sums of squares
    return Solution(
        moments=moments,
        factor=factor,
        scaled_params=b,
        inverse_root=_read_root(document["root"], q),
        params=params,
        residuals=residuals,
        unit_bse=as_numbers(read["unit_bse"], (p,)),
        ssr=ssr,
        ssr_error=as_size(read.get("ssr_off", relative * ssr)),
        centered_tss=centered,
        tss_error=as_size(read.get("tss_off", relative * centered)),
        mean=_read_mean(read.get("mean"), moments, residuals),
        span=_read_span(document, moments, factor),
        digits=as_numbers(read["digits"], (p,)),
        digits_bse=digits_bse,
        precision=as_choice(read["precision"], ("extended", "double")),
        scans=as_int(read["scans"]),
        converged=as_bool(read["settled"]),
        fitted_error=as_size(read["blur"]),
        input_rounding=as_size(read.get("rough", 0.0)),
        merge_record=merged,
    )


def _read_mean(written: Any, moments: Moments, residuals: ResidualSums | None) -> tuple[float, float, float]:
    if written is not None:
        hi, lo, off = as_numbers(written, (3,)).tolist()
        if not math.isfinite(hi + lo + as_size(off)):
            raise ValueError("the mean of its response is not there.")
        return hi, lo, off
    if residuals is None:  # a merged fit of an earlier version: its sum of the response is rounded
        mean = float(moments.means[-1])
        return mean, 0.0, 8 * ROUNDOFF * abs(mean)
    design, middle = moments.design, float(moments.gram[0, -1] / moments.n)
    return totals_of(moments.n, (design.centers[-1], design.scales[-1], middle), residuals.response_sums, 16 * ROUNDOFF)[2]


def _read_span(document: Mapping[str, Any], moments: Moments, factor: Factorization) -> Span | None:
    if moments.design.intercept:
        return None
    if "span" in document:
        written, q = document["span"], len(factor.columns)
        b = as_numbers(written["b"][0], (q,)), as_numbers(written["b"][1], (q,))
        if not np.isfinite(b).all():
            raise ValueError("the combination nearest to a constant is not there.")
        return Span(b=b, remainder=as_size(written["left"]), remainder_error=as_size(written["blur"]))
    span = span_by_sums(moments, factor)
    if span is None:
        raise _EarlierFormatError("does not say whether its columns span a constant, on which R-squared and F depend")
    return span


def _read_residuals(written: Mapping[str, Any] | None, size: int, q: int) -> ResidualSums | None:
    if written is None:
        return None
    readers: dict[str, Callable[[Any], Any]] = dict.fromkeys(RESIDUAL_KEYS, as_number)
    lengths = {"sums": size, "gradient": q, "gradient_low": q, "spread": 2, "powers": 3}
    readers |= {name: partial(as_numbers, shape=(length,)) for name, length in lengths.items()} | {"n": as_int}
    return ResidualSums(**{RESIDUAL_KEYS[key]: reader(written[key]) for key, reader in readers.items()})


def _read_merge_record(written: Mapping[str, Any] | None) -> MergeRecord | None:
    if written is None:
        return None
    rows, taken_out = written["rows"], written["taken_out"]
    if not 0 < len(rows) + len(taken_out) <= _MOST_FITS:
        raise ValueError(f"it was merged from {len(rows) + len(taken_out):,} fits.")
    shards = tuple(
        (as_int(n), as_number(mean), as_number(total), as_number(left)) for n, mean, total, left in written.get("shards", ())
    )
    if len(shards) > _MOST_FITS or not all(n for n, *_ in shards):
        raise ValueError(f"it has {len(shards):,} shards, or one without rows.")
    return MergeRecord(rows=tuple(as_int(x) for x in rows), removed_rows=tuple(as_int(x) for x in taken_out), shards=shards)


def _read_engine_record(written: Mapping[str, Any] | None) -> EngineRecord | None:
    if written is None:
        return None
    parts = as_text(written["engine"]), as_int(written["scans"]), as_int(written["expressions"])
    return EngineRecord(engine=parts[0], scans=parts[1], expressions=parts[2])


def _read_root(written: Mapping[str, Any] | None, q: int) -> InverseRoot | None:
    if written is None:
        return None
    whole = all(len(row) == q for row in written["P"])  # files of earlier versions have the upper triangle alone
    P = as_numbers(written["P"], (q, q)) if whole else as_triangle(written["P"], q)
    if not np.isfinite(P).all():
        raise ValueError("a matrix has numbers that are not finite.")
    return InverseRoot(P=P, U=as_triangle(written["U"], q), error=as_size(written["error"]))


def _read_account(written: Mapping[str, Any]) -> RowAccount:
    return RowAccount(
        read=as_int(written["read"]),
        used=as_int(written["used"]),
        filtered=as_int(written["filtered"]),
        dropped={as_text(name): {as_text(c): as_int(x) for c, x in causes.items()} for name, causes in written["dropped"].items()},
        rounded={as_text(name): as_int(x) for name, x in written["rounded"].items()},
        casts={as_text(name): as_text(kind) for name, kind in written["casts"].items()},
    )


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")
