"""Read a saved fit field by field, each with a check of its type and shape. Nothing in the file is run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from squarely.data import Source
from squarely.errors import DataError
from squarely.exact import (
    Dependency,
    Factorization,
    InverseRoot,
    MergeRecord,
    ResidualSums,
    Solution,
    Span,
    require_consistent,
    span_by_sums,
    totals_of,
)
from squarely.inference.covariance.options import KINDS
from squarely.inference.covariance.robust import MOST_PRODUCTS, RobustCovariance
from squarely.inference.serialization.serialize import EXTENDED_FORMAT, FORMAT, RESIDUAL_KEYS
from squarely.inference.statistics import Statistics, statistics_of
from squarely.moments import Moments, moments_from_json
from squarely.numerics import ROUNDOFF, Array
from squarely.storage.json_fields import (
    as_bool,
    as_choice,
    as_int,
    as_number,
    as_numbers,
    as_optional,
    as_size,
    as_text,
    as_texts,
    as_triangle,
    read_saved,
)

_MOST_FITS = 100_000


class _EarlierFormatError(Exception):
    """A file of an earlier version lacks something."""


SavedFit = tuple[Statistics, Solution, Source, RobustCovariance | None]


def solution_from_json(text: str, label: str) -> SavedFit:
    """Read a solution, its source, which has no rows, and its robust covariance from JSON.

    Raises a DataError, which calls the file `label`, for what is no saved fit.
    """
    try:
        return read_saved(
            text, label, "fit", ("squarely", (FORMAT, EXTENDED_FORMAT)), lambda document: _read_document(document, label)
        )
    except _EarlierFormatError as error:
        raise DataError(
            f"The file {label!r} was saved by an earlier version and {error}. Fit the data again and save that fit."
        ) from None


def _read_document(document: Mapping[str, Any], label: str) -> SavedFit:
    moments, source = moments_from_json(document, label)
    solution = require_consistent(_read_solution(document, moments))
    robust = as_optional(document.get("covariance"), lambda written: _read_covariance(written, len(solution.factor.columns)))
    return statistics_of(solution), solution, source, robust


def _read_factorization(document: Mapping[str, Any], moments: Moments) -> Factorization:
    p, first, written = len(moments.design.names), 0 if moments.design.intercept else 1, document["factor"]
    selected = np.array([as_bool(x) for x in written["kept"]], dtype=bool)
    q = int(selected.sum())
    columns = np.array([as_int(x) for x in written["columns"]], dtype=int)
    if selected.shape != (p,) or columns.tolist() != (np.flatnonzero(selected) + first).tolist() or not 0 < q < moments.n:
        raise ValueError("its columns do not fit its formula.")
    remainders = tuple(as_size(x) for x in written["left"])
    if not remainders and document["aggregated"] is not None:  # earlier versions lack it: remainders are below the threshold
        remainders = tuple(1e-5 * np.sqrt(np.diag(moments.gram)[first:-1][~selected]))
    messages = as_texts(written["dependencies"])
    # In files of earlier versions only the sentence says that a column is zero.
    zeros = tuple(as_bool(x) for x in written.get("zero", [text.endswith(" is constant (0)") for text in messages]))
    if not len(remainders) == len(messages) == len(zeros) == p - q:
        raise ValueError("its dropped columns do not fit its formula.")
    return Factorization(
        columns=columns,
        selected=selected,
        R=as_triangle(written["R"], q),
        rhs=as_numbers(written["rhs"], (q,)),
        condition=as_number(written["condition"]),
        method=as_choice(written["road"], ("moments", "triangle")),
        dropped=tuple(Dependency(*each) for each in zip(messages, remainders, zeros, strict=True)),
        triangle=as_optional(written["triangle"], lambda rows: as_triangle(rows, len(moments.gram))),
        error_factor=as_size(written["doubt"]),
    )


def _read_solution(document: Mapping[str, Any], moments: Moments) -> Solution:
    factor = _read_factorization(document, moments)
    p, q = len(factor.selected), len(factor.columns)
    residuals = as_optional(document["residuals"], lambda written: _read_residuals(written, len(moments.gram), q))
    saved = document["solution"]
    params = as_numbers(saved["params"], (p,))
    b = as_numbers(saved["b"], (2, q))
    merged = as_optional(document["merged"], _read_merge_record)
    if not np.isfinite([*params[factor.selected], *b.ravel()]).all():
        raise ValueError("its coefficients are not finite.")
    counts = [part.n for part in (residuals, merged) if part is not None]
    if counts != [moments.n]:
        raise ValueError("its residuals or rows do not fit together.")
    digits_bse = as_numbers(saved["digits_bse"], (p,))
    ssr, centered = as_size(saved["ssr"]), as_size(saved["centered_tss"])
    relative = 2 * 10 ** -float(np.nanmin([*digits_bse, 15.0]))  # earlier versions lack the errors of sums of squares
    return Solution(
        moments=moments,
        factor=factor,
        scaled_params=(b[0], b[1]),
        inverse_root=as_optional(document["root"], lambda written: _read_root(written, q)),
        params=params,
        residuals=residuals,
        unit_bse=as_numbers(saved["unit_bse"], (p,)),
        ssr=ssr,
        ssr_error=as_size(saved.get("ssr_off", relative * ssr)),
        centered_tss=centered,
        tss_error=as_size(saved.get("tss_off", relative * centered)),
        mean=_read_mean(saved.get("mean"), moments, residuals),
        span=_read_span(document, moments, factor),
        digits=as_numbers(saved["digits"], (p,)),
        digits_bse=digits_bse,
        precision=as_choice(saved["precision"], ("extended", "double")),
        scans=as_int(saved["scans"]),
        converged=as_bool(saved["settled"]),
        fitted_error=as_size(saved["blur"]),
        input_rounding=as_size(saved.get("rough", 0.0)),
        merge_record=merged,
    )


def _read_mean(written: Any, moments: Moments, residuals: ResidualSums | None) -> tuple[float, float, float]:
    if written is not None:
        hi, lo, off = as_numbers(written, (3,)).tolist()
        if not math.isfinite(hi + lo + as_size(off)):
            raise ValueError("the mean of its response is not finite.")
        return hi, lo, off
    if residuals is None:  # a merged fit of an earlier version: its sum of the response is rounded
        mean = float(moments.means[-1])
        return mean, 0.0, 8 * ROUNDOFF * abs(mean)
    design, middle = moments.design, float(moments.gram[0, -1] / moments.weight)
    return totals_of(moments.weight, (design.centers[-1], design.scales[-1], middle), residuals.response_sums, 16 * ROUNDOFF)[2]


def _read_span(document: Mapping[str, Any], moments: Moments, factor: Factorization) -> Span | None:
    if moments.design.intercept or moments.design.absorbed is not None:
        return None
    if "span" in document:
        written = document["span"]
        b = as_numbers(written["b"], (2, len(factor.columns)))
        if not np.isfinite(b).all():
            raise ValueError("the combination nearest to a constant is not finite.")
        return Span(b=(b[0], b[1]), remainder=as_size(written["left"]), remainder_error=as_size(written["blur"]))
    span = span_by_sums(moments, factor)
    if span is None:
        raise _EarlierFormatError("does not say whether its columns span a constant, on which R-squared and F depend")
    return span


def _read_residuals(written: Mapping[str, Any], size: int, q: int) -> ResidualSums:
    readers: dict[str, Callable[[Any], Any]] = dict.fromkeys(RESIDUAL_KEYS, as_number)
    lengths = {"sums": size, "gradient": q, "gradient_low": q, "spread": 2, "powers": 3}
    readers |= {name: partial(as_numbers, shape=(length,)) for name, length in lengths.items()} | {"n": as_int}
    written = {"log_weights": 0.0, **written}  # earlier versions have no weights
    return ResidualSums(**{RESIDUAL_KEYS[key]: reader(written[key]) for key, reader in readers.items()})


def _read_covariance(written: Mapping[str, Any], q: int) -> RobustCovariance:
    upper, df, rank = as_triangle(written["meat"], q), as_number(written["df"]), as_int(written["rank"])
    df_t = as_optional(written["df_t"], lambda values: as_numbers(values, (q,)))
    undefined = as_optional(written["undefined"], lambda values: np.array([as_bool(x) for x in values]))
    if (np.diag(upper) < 0).any() or not df > 0 or not 0 < rank <= q or (undefined is not None and undefined.shape != (q,)):
        raise ValueError("its covariance is not one of its coefficients.")
    return RobustCovariance(
        cov_type=as_choice(written["type"], KINDS),
        meat=upper + np.triu(upper, 1).T,
        df=int(df) if df.is_integer() else df,
        cov_kwds={as_text(name): _as_plain(value) for name, value in written["kwds"].items()},
        df_t=df_t,
        htz_df=as_optional(written.get("htz_df"), as_number),
        products=as_optional(written.get("products"), lambda rows: _read_products(rows, q)),
        undefined=undefined,
        margin=_read_margin(written.get("margin", 1.0)),  # earlier versions lack it
        gross=as_optional(written.get("gross"), as_size),
        rank=rank,
        notes=as_texts(written["notes"]),
    )


def _read_products(rows: Any, q: int) -> Array:
    products = as_numbers(rows, (len(rows), q * (q + 1) // 2))
    if len(products) < 2 or products.size > MOST_PRODUCTS or not np.isfinite(products).all():
        raise ValueError("the products of its clusters are not those of a covariance.")
    return products


def _read_margin(value: Any) -> float:
    margin = as_number(value)
    if not 0 < margin <= 1:
        raise ValueError("the smallest factor of its residuals is not between 0 and 1.")
    return margin


def _as_plain(value: Any) -> Any:
    """Return a text, a number, a truth value, a list or a mapping of these."""
    if isinstance(value, Mapping):
        return {as_text(name): _as_plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_as_plain(each) for each in value]
    return value if value is None or isinstance(value, str | bool | int) else as_number(value)


def _read_merge_record(written: Mapping[str, Any]) -> MergeRecord:
    rows, taken_out = written["rows"], written["taken_out"]
    if not 0 < len(rows) + len(taken_out) <= _MOST_FITS:
        raise ValueError(f"it was merged from {len(rows) + len(taken_out):,} fits.")
    shards = tuple((as_int(n), as_number(mean), as_number(tss), as_number(ssr)) for n, mean, tss, ssr in written.get("shards", ()))
    if len(shards) > _MOST_FITS or not all(n for n, *_ in shards):
        raise ValueError(f"it has {len(shards):,} shards, or one without rows.")
    return MergeRecord(
        rows=tuple(as_int(x) for x in rows),
        removed_rows=tuple(as_int(x) for x in taken_out),
        shards=shards,
        log_weights=as_number(written.get("log_weights", 0.0)),  # earlier versions have no weights
    )


def _read_root(written: Mapping[str, Any], q: int) -> InverseRoot:
    is_full = all(len(row) == q for row in written["P"])  # files of earlier versions have the upper triangle alone
    P = as_numbers(written["P"], (q, q)) if is_full else as_triangle(written["P"], q)
    if not np.isfinite(P).all():
        raise ValueError("a matrix has numbers that are not finite.")
    return InverseRoot(P=P, U=as_triangle(written["U"], q), error=as_size(written["error"]))
