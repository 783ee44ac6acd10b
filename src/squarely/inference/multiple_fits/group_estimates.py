"""Coefficients, standard errors and R-squared of all groups, and why a group has none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from squarely.data import RowAccount, Source
from squarely.design import Design, no_rows_error
from squarely.errors import join_words, pluralize
from squarely.inference.multiple_fits.batched_solve import BatchedSolution, solve_batch, spans_constant
from squarely.inference.multiple_fits.group_moments import GroupMoments, read_group_moments, require_few_products
from squarely.inference.multiple_fits.group_residuals import GroupModel, GroupResiduals, read_group_residuals
from squarely.numerics import CONSTANT_TOLERANCE, ROUNDOFF, Array

_CHUNK = 2**21  # numbers of all matrices that are solved at once, 16 MB
_MOST_SCANS = 3
_ENOUGH = 1e-11  # of the length of the residuals: a step of refinement that matters less is the last
_TINY = 1e-8  # of a row of A: its part along a row with a leverage of one


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class GroupEstimates:
    """The fits of G groups as arrays, in the order of `keys`.

    Attributes
    ----------
    keys : the labels, of several columns as tuples.
    names : the coefficients (p,).
    nobs, rank, rsquared : (G,).
    params, bse : (G, p), NaN for a dropped column and for a group that failed.
    df : (G, p) the degrees of freedom of their t statistics.
    zero, dropped : (G, p) which columns are zero in all rows of a group, and which are dropped, these included.
    reasons : (G,) why a group failed, "" if it did not.
    account : of the rows.
    scans : how often the rows were read.
    """

    keys: list[Any]
    names: tuple[str, ...]
    nobs: np.ndarray
    rank: np.ndarray
    rsquared: Array
    params: Array
    bse: Array
    df: Array
    zero: np.ndarray
    dropped: np.ndarray
    reasons: list[str]
    account: RowAccount
    scans: int

    def take(self, order: Sequence[int], keys: list[Any]) -> GroupEstimates:
        """Return the groups in another order, with other labels."""
        at = np.asarray(order, dtype=int)
        arrays = ("nobs", "rank", "rsquared", "params", "bse", "df", "zero", "dropped")
        taken = {name: getattr(self, name)[at] for name in arrays}
        return replace(self, keys=keys, reasons=[self.reasons[i] for i in order], **taken)


def estimate_groups(design: Design, source: Source, *, kind: str, collinear: str) -> GroupEstimates:
    """Fit the model to each group of rows, in two scans, or a few more if columns are nearly collinear.

    The columns of X are those of `design` in all groups. Coefficients come from the products about the means of a group, and are
    corrected by its residuals.

    Raises
    ------
    DataError : no row is complete, or a label cannot be used.
    """
    require_few_products(design.names)
    moments, account = read_group_moments(design, source)
    if moments is None:
        raise no_rows_error(source, account, [*design.columns_read[0], *design.columns_read[1]], design.where)
    intercept = design.intercept
    solution = _solve_in_chunks(moments, intercept=intercept)
    model = _make_model(design, moments, solution, kind)
    model, sums, ssr, scans = _refine(design, source, model, solution.condition, account.used)
    length = np.sqrt(_centered_squares(moments)) + np.abs(moments.means[:, -1]) * np.sqrt(moments.weights)
    ssr = np.where(np.sqrt(ssr) <= 32 * moments.means.shape[1] * ROUNDOFF * length, 0.0, ssr)
    zero, dropped = (_with_intercept(mask, intercept=intercept) for mask in (solution.zero, solution.dropped))
    needed = len(design.names) - zero.sum(axis=1)
    reasons = _reasons(design, moments, needed, dropped, collinear)
    failed = np.array([bool(reason) for reason in reasons])
    unknown, df = dropped | failed[:, None], model.nobs - model.rank
    params = model.slopes
    if intercept:
        first = moments.means[:, -1] - np.einsum("gj,gj->g", moments.means[:, :-1], params)
        params = np.column_stack([first, params])
    return GroupEstimates(
        keys=list(moments.places),
        names=design.names,
        nobs=model.nobs,
        rank=model.rank,
        rsquared=np.where(failed, np.nan, _rsquared(moments, solution, model, ssr)),
        params=np.where(unknown, np.nan, params),
        bse=np.where(unknown, np.nan, _standard_errors(model, moments, sums, ssr, df)),
        df=np.repeat(df[:, None].astype(float), len(design.names), axis=1),
        zero=zero,
        dropped=dropped,
        reasons=reasons,
        account=account,
        scans=design.scans + 1 + scans,
    )


def _make_model(design: Design, moments: GroupMoments, solution: BatchedSolution, kind: str) -> GroupModel:
    has_frequencies, intercept = design.formula.has_frequencies, design.intercept
    return GroupModel(
        places=moments.places,
        centers=moments.means if intercept else np.zeros_like(moments.means),
        slopes=solution.slopes,
        root=solution.root,
        weights=moments.weights,
        nobs=np.rint(moments.weights).astype(np.int64) if has_frequencies else moments.counts,
        rank=intercept + (~solution.dropped).sum(axis=1),
        intercept=intercept,
        has_frequencies=has_frequencies,
        kind=kind,
    )


def _centered_squares(moments: GroupMoments) -> Array:
    """Return the sums of squares (G,) of the response about its mean."""
    return np.asarray(moments.products[:, -1])


def _rsquared(moments: GroupMoments, solution: BatchedSolution, model: GroupModel, ssr: Array) -> Array:
    """Return R-squared (G,): about the mean if a constant is in the span of the columns, else about zero."""
    centered = _centered_squares(moments)
    about_mean = (
        np.ones(len(ssr), dtype=bool) if model.intercept else spans_constant(moments.weights, moments.means[:, :-1], solution.root)
    )
    tss = np.where(about_mean, centered, centered + moments.weights * moments.means[:, -1] ** 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(model.rank > about_mean, 1 - ssr / tss, 0.0)


def _solve_in_chunks(moments: GroupMoments, *, intercept: bool) -> BatchedSolution:
    k = moments.means.shape[1]
    size = max(1, _CHUNK // k**2)
    parts = []
    for start in range(0, len(moments), size):
        at = slice(start, start + size)
        S, means, weights = moments.matrices(at), moments.means[at], moments.weights[at]
        if not intercept:
            S += weights[:, None, None] * means[:, :, None] * means[:, None, :]
        parts.append(solve_batch(weights, means, S, intercept=intercept))
    names = BatchedSolution.__dataclass_fields__
    return BatchedSolution(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _refine(
    design: Design, source: Source, model: GroupModel, condition: Array, rows: int
) -> tuple[GroupModel, GroupResiduals, Array, int]:
    """Correct the slopes by the residuals: d = P P'X'r. Returns the sums of the last scan, the squared residuals and the scans."""
    error = np.minimum(1.0, model.slopes.shape[1] * ROUNDOFF * condition**2)
    scans, is_enough = 0, False
    while not is_enough and scans < _MOST_SCANS:
        scans += 1
        sums = read_group_residuals(design, source, model, rows)
        u = np.einsum("gij,gi->gj", model.root, sums.gradient)
        model = replace(model, slopes=model.slopes + np.einsum("gij,gj->gi", model.root, u))
        step = np.linalg.norm(u, axis=1)
        squares = sums.squares - (sums.totals**2 / model.weights if model.intercept else 0.0)
        ssr = np.maximum(squares - step**2, 0.0)
        is_enough = bool((error * step <= _ENOUGH * np.sqrt(ssr) + 64 * ROUNDOFF * np.sqrt(sums.squares)).all())
    return model, sums, ssr, scans


def _standard_errors(model: GroupModel, moments: GroupMoments, sums: GroupResiduals, ssr: Array, df: np.ndarray) -> Array:
    """Return the standard errors (G, p) of all coefficients."""
    A = model.root
    if model.intercept:
        first = -np.einsum("gj,gjk->gk", moments.means[:, :-1], model.root)
        A = np.zeros((len(first), first.shape[1] + 1, first.shape[1] + 1))
        A[:, 0, 0], A[:, 0, 1:], A[:, 1:, 1:] = 1 / np.sqrt(moments.weights), first, model.root
    with np.errstate(divide="ignore", invalid="ignore"):
        if model.kind == "nonrobust":
            return np.asarray(np.sqrt(ssr / df)[:, None] * np.linalg.norm(A, axis=2))
        factor = np.where(df > 0, model.nobs / df, np.nan) if model.kind == "HC1" else np.ones(len(df))
    variances = _quadratic_forms(A, sums.meat) * factor[:, None]
    undefined = np.sqrt(_quadratic_forms(A, sums.singular)) > _TINY * np.linalg.norm(A, axis=2)
    return np.where(undefined, np.nan, np.sqrt(np.maximum(variances, 0.0)))


def _quadratic_forms(A: Array, triangles: Array) -> Array:
    """Return the diagonals (G, p) of A M A' for M as upper triangles by rows."""
    q = A.shape[2]
    total, place = np.zeros(A.shape[:2]), 0
    for i in range(q):
        for j in range(i, q):
            total += (1 if i == j else 2) * A[:, :, i] * A[:, :, j] * triangles[:, place, None]
            place += 1
    return np.maximum(total, 0.0)


def _with_intercept(mask: np.ndarray, *, intercept: bool) -> np.ndarray:
    return np.column_stack([np.zeros(len(mask), dtype=bool), mask]) if intercept else mask


def _reasons(design: Design, moments: GroupMoments, needed: np.ndarray, dropped: np.ndarray, collinear: str) -> list[str]:
    """Say for each group why it has no fit, "" if it has one. The columns of the `needed` (G,) coefficients are not zero."""
    reasons = [""] * len(needed)
    for i in np.flatnonzero(dropped.all(axis=1)).tolist():
        reasons[i] = "No column is left: all are zero."
    if collinear == "raise":
        for i in np.flatnonzero(dropped.any(axis=1)).tolist():
            names = [name for name, gone in zip(design.names, dropped[i].tolist(), strict=True) if gone]
            reasons[i] = (
                f"The columns before {join_words(names)} span it." if len(names) == 1 else f"{join_words(names)} depend on others."
            )
    sizes = np.abs(moments.means[:, -1]) * np.sqrt(moments.weights)
    for i in np.flatnonzero(np.sqrt(_centered_squares(moments)) <= CONSTANT_TOLERANCE * sizes).tolist():
        reasons[i] = f"{design.response} is constant ({moments.means[i, -1]:.6g})."
    for i in np.flatnonzero(moments.counts <= needed).tolist():
        n, q = int(moments.counts[i]), int(needed[i])
        reasons[i] = f"There {'is' if n == 1 else 'are'} {pluralize(n, 'complete row')} for {pluralize(q, 'coefficient')}."
    return reasons
