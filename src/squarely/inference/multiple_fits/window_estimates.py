"""Coefficients, standard errors and digits of windows of rows, from their sums, or from the rows where these have few digits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import compress

import numpy as np

from squarely.errors import join_words
from squarely.inference.multiple_fits.batched_solve import solve_batch, spans_constant
from squarely.inference.multiple_fits.window_sums import OrderedRows, WindowSums
from squarely.numerics import ROUNDING, ROUNDOFF, Array

_TEN_DIGITS = 1e-10
_CELLS = 2**21  # numbers of the rows of windows that are solved again at once, 16 MB
_MOST_CELLS = 2**30  # numbers that are read again in total, some ten seconds


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class WindowEstimates:
    """The fits of m windows as arrays.

    Attributes
    ----------
    starts, stops : (m,) the first complete row of a window, and the one after its last.
    params, bse : (m, p), NaN for a window that failed.
    ssr, tss : (m,) the sums of squares of the residuals, and of the response: about its mean if the columns span a constant.
    digits : (m,) decimal digits of R-squared, of standard errors, and of coefficients beside these; NaN for a perfect fit.
    failed : (m, p) the columns that are constant or depend on others.
    """

    starts: np.ndarray
    stops: np.ndarray
    params: Array
    bse: Array
    ssr: Array
    tss: Array
    digits: Array
    failed: np.ndarray


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class _Slopes:
    """Slopes (m, p), P (m, p, p) with P P' = (X'X)^-1, squared residuals (m,), their error (m,), and columns without rank."""

    slopes: Array
    root: Array
    ssr: Array
    error: Array
    failed: np.ndarray

    def replace_rows(self, at: np.ndarray, other: _Slopes) -> None:
        """Take the values of another one for some windows."""
        for name in ("slopes", "root", "ssr", "error", "failed"):
            getattr(self, name)[at] = getattr(other, name)


def estimate_windows(rows: OrderedRows, parts: Iterable[WindowSums], *, intercept: bool) -> WindowEstimates:
    """Solve the least squares problem of every window; windows with fewer than ten digits are solved again from their rows."""
    budget, estimates = float(_MOST_CELLS), []
    for sums in parts:
        solved = _solve_sums(sums, intercept=intercept)
        doubtful = np.flatnonzero((solved.error > _TEN_DIGITS) | solved.failed.any(axis=1))
        cells = np.cumsum((sums.stops - sums.starts)[doubtful]) * sums.means.shape[1]
        again = doubtful[cells <= budget]
        budget -= float(cells[len(again) - 1]) if len(again) else 0.0
        for at in _cut(again, sums, rows.columns.shape[1]):
            solved.replace_rows(at, _solve_rows(rows, sums, at, intercept=intercept))
        estimates.append(_finish(sums, solved, intercept=intercept))
    names = WindowEstimates.__dataclass_fields__
    return WindowEstimates(**{name: np.concatenate([getattr(each, name) for each in estimates]) for name in names})


def _cut(windows: np.ndarray, sums: WindowSums, k: int) -> list[np.ndarray]:
    """Cut windows into runs of one length that fit into memory."""
    lengths = (sums.stops - sums.starts)[windows]
    most = max(1, _CELLS // (int(lengths.max(initial=1)) * k))
    places = np.flatnonzero(np.diff(lengths)) + 1
    runs = np.split(windows, places) if len(windows) else []
    return [run[i : i + most] for run in runs for i in range(0, len(run), most)]


def _solve_sums(sums: WindowSums, *, intercept: bool) -> _Slopes:
    S = sums.products
    p = S.shape[1] - 1
    solution = solve_batch(sums.weights, sums.means, S, intercept=intercept)
    explained = np.square(np.einsum("gji,gj->gi", solution.root, S[:, :p, p])).sum(axis=1)
    ssr = np.maximum(S[:, p, p] - explained, 0.0)
    error = _relative_error(S, solution.slopes, ssr, (p + 4) * ROUNDOFF * sums.loss * solution.condition)
    return _Slopes(slopes=solution.slopes, root=solution.root, ssr=ssr, error=error, failed=solution.dropped)


def _relative_error(S: Array, slopes: Array, ssr: Array, unit: Array) -> Array:
    """Bound the error of the squared residuals, and of the slopes in standard errors, for products of relative error `unit`."""
    p = slopes.shape[1]
    lengths = np.sqrt(np.einsum("gjj->gj", S))
    size = lengths[:, p] + np.einsum("gj,gj->g", np.abs(slopes), lengths[:, :p])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = size / np.sqrt(ssr)
    return np.asarray(unit * np.where(ratio > 1, ratio**2, 1.0))


def _solve_rows(rows: OrderedRows, sums: WindowSums, at: np.ndarray, *, intercept: bool) -> _Slopes:
    """Solve windows of one length from their rows by QR. A column is dependent if less than rounding is left of it."""
    places = sums.starts[at][:, None] + np.arange(int(sums.stops[at[0]] - sums.starts[at[0]]))
    Z, weights = rows.columns[places], None if rows.weights is None else rows.weights[places]
    if intercept:
        center = Z[:, :1] + np.average(Z - Z[:, :1], axis=1, weights=_spread(weights, Z), keepdims=True)
        Z = Z - center
    if weights is not None:
        Z = Z * np.sqrt(weights)[:, :, None]
    X, y, p = Z[:, :, :-1], Z[:, :, -1], Z.shape[2] - 1
    lengths = np.linalg.norm(X, axis=1)
    stored = lengths + np.abs(sums.means[at, :p]) * np.sqrt(sums.weights[at])[:, None]
    Q, R = np.linalg.qr(X)
    remainders = np.abs(np.einsum("gjj->gj", R))
    failed = np.less_equal(remainders, ROUNDING * ROUNDOFF * stored * np.sqrt(p))
    R = np.where(failed.any(axis=1)[:, None, None], np.eye(p), R)
    root = np.linalg.solve(R, np.broadcast_to(np.eye(p), R.shape))
    slopes = np.einsum("gij,gj->gi", root, np.einsum("gmi,gm->gi", Q, y))
    residuals = y - np.einsum("gmj,gj->gm", X, slopes)
    ssr = np.square(residuals).sum(axis=1)
    floor = ROUNDING * ROUNDOFF * (np.abs(sums.means[at, p]) * np.sqrt(sums.weights[at]) + np.linalg.norm(y, axis=1))
    condition = np.sqrt(p) * np.linalg.norm(root * lengths[:, :, None], axis=(1, 2))
    S = np.einsum("gmi,gmj->gij", Z, Z)
    unit = (p + 4) * ROUNDOFF * condition
    error = np.sqrt(_relative_error(S, slopes, ssr, unit**2))
    return _Slopes(slopes=slopes, root=root, ssr=np.where(np.sqrt(ssr) <= floor, 0.0, ssr), error=error, failed=failed)


def _spread(weights: Array | None, Z: Array) -> Array | None:
    return None if weights is None else np.broadcast_to(weights[:, :, None], Z.shape)


def _finish(sums: WindowSums, solved: _Slopes, *, intercept: bool) -> WindowEstimates:
    means, weights, root = sums.means, sums.weights, solved.root
    p = means.shape[1] - 1
    params, lengths = solved.slopes, np.linalg.norm(root, axis=2)
    failed: np.ndarray = solved.failed
    if intercept:
        first = np.einsum("gj,gjk->gk", means[:, :p], root)
        lengths = np.column_stack([np.sqrt(1 / weights + np.square(first).sum(axis=1)), lengths])
        params = np.column_stack([means[:, p] - np.einsum("gj,gj->g", means[:, :p], params), params])
        failed = np.column_stack([np.zeros(len(failed), dtype=bool), failed])
    tss = sums.products[:, p, p]
    if not intercept:
        tss = np.where(spans_constant(weights, means[:, :p], root), tss - weights * means[:, p] ** 2, tss)
    df = sums.stops - sums.starts - params.shape[1]
    unknown = np.asarray(failed.any(axis=1))
    with np.errstate(divide="ignore"):
        digits = np.clip(-np.log10(np.maximum(solved.error, 1e-16)), 0.0, 15.0)
    return WindowEstimates(
        starts=sums.starts,
        stops=sums.stops,
        params=np.where(unknown[:, None], np.nan, params),
        bse=np.where(unknown[:, None], np.nan, np.sqrt(solved.ssr / df)[:, None] * lengths),
        ssr=np.where(unknown, np.nan, solved.ssr),
        tss=tss,
        digits=np.where(unknown | (solved.ssr == 0), np.nan, digits),
        failed=failed,
    )


def describe_failure(names: tuple[str, ...], failed: np.ndarray) -> str:
    """Say which columns (p,) of a window have no coefficient of their own."""
    found = list(compress(names, failed.tolist()))
    if len(found) > 1:
        return f"{join_words(found)} are constant or depend on other columns."
    return f"{found[0]} is constant or depends on other columns." if found else ""
