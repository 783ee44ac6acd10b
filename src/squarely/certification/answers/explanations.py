"""The cause of the gap between an answer and least squares. A cause is named only if it gives the answer, and the surest first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

import numpy as np

from squarely.certification.answers.intercepts import find_left_out, find_order, fit_through_origin, judge_intercept, predict_mean
from squarely.certification.answers.mismatch import Mismatch
from squarely.certification.answers.penalties import find_descent, find_lasso, find_ridge
from squarely.certification.answers.rows import Rows, find_rows, fit_unweighted, read_rows
from squarely.certification.answers.shortfall import explain_shortfall
from squarely.certification.answers.units import find_rescaled_column, find_units
from squarely.certification.certificate import largest_gap
from squarely.certification.discrepancy import in_standard_errors, join_sentences
from squarely.errors import join_words, pluralize
from squarely.numerics import Array
from squarely.types import Verdict

Finding = tuple[Verdict, str]
_MOST_UNITS = 4  # whose remaining gap is explained
_WITHOUT_FORMULA = ("disagree", "not converged")  # verdicts on an answer that no formula gives
Refit = Callable[[], list[tuple[str, Array]]]  # fits of other rows: which, and the coefficients (p,)


@dataclass(frozen=True, eq=False, kw_only=True)
class Inquiry:
    """A mismatch, and what is read again to find its cause: the rows, and fits of other rows."""

    case: Mismatch
    refit: Refit | None

    @cached_property
    def rows(self) -> Rows | None:
        """The rows, if they are here."""
        return read_rows(self.case)

    def with_case(self, case: Mismatch) -> Inquiry:
        """Return the inquiry for another answer."""
        return Inquiry(case=case, refit=self.refit)


def explain_answer(case: Mismatch, refit: Refit | None) -> Finding:
    """Return the verdict and its cause in sentences, for an answer that is more than tau standard errors away."""
    inquiry = Inquiry(case=case, refit=refit)
    verdict, cause = _first(inquiry, (_judge_loss, _judge_intercept, _judge_digits, _judge_units, _judge_order)) or _explain(
        inquiry
    )
    return verdict, f"{case.gap_sentence} {cause}"


def _explain(inquiry: Inquiry) -> Finding:
    judges = (_judge_origin, _judge_rows, _judge_column, _judge_penalty, _judge_other_rows)
    return _first(inquiry, judges) or explain_shortfall(inquiry.case)


def _first(inquiry: Inquiry, judges: tuple[Callable[[Inquiry], Finding | None], ...]) -> Finding | None:
    return next((found for judge in judges if (found := judge(inquiry))), None)


def _judge_loss(inquiry: Inquiry) -> Finding | None:
    origin = inquiry.case.answer.origin
    if not origin.loss:
        return None
    return "other loss", f"{origin.kind} does not minimize the squared error but {origin.loss}, so its answer is another one."


def _judge_intercept(inquiry: Inquiry) -> Finding | None:
    cause = judge_intercept(inquiry.case)
    return ("intercept", cause) if cause else None


def _judge_digits(inquiry: Inquiry) -> Finding | None:
    """Judge coefficients that are those of least squares to the digits that they have."""
    case, roundoff = inquiry.case, inquiry.case.answer.origin.roundoff
    decimals = [max(-int(Decimal(repr(float(each))).normalize().as_tuple().exponent), 0) for each in case.given]
    half_units = np.array([0.5 * 10.0**-each for each in decimals])
    if case.given.all() and (np.abs(case.given - case.exact) <= half_units * (1 + 1e-9)).all() and max(decimals) < 14:
        return "rounded", (
            "The coefficients are those of least squares, rounded to the digits that they have. Give more digits, at least "
            f"{_count_digits(case)} of each."
        )
    if roundoff > 1e-12 and (np.abs(case.given - case.exact) <= case.storage_rounding).all():
        return "float32 floor", (
            f"Storing these coefficients in {case.answer.origin.dtype} moves them by up to "
            f"{in_standard_errors(largest_gap(case.storage_rounding, case.unit))}. Keep them in float64."
        )
    return None


def _count_digits(case: Mismatch) -> int:
    """Count the significant digits with which rounding is below tau."""
    ratios = np.abs(case.exact) / (case.tau * case.unit)
    return int(np.ceil(np.log10(np.maximum(ratios, 1.0)).max())) + 1


def _judge_units(inquiry: Inquiry) -> Finding | None:
    case, rows = inquiry.case, inquiry.rows
    scaled = find_units(case, None if rows is None else (rows.values.min(axis=0), rows.values.max(axis=0)))
    if not scaled:
        return None
    found, cause = scaled[0], ""
    if case.with_answer(found.answer).gap > case.tau:  # several scalings may be as near: one with a cause explains the answer
        causes = {each: _explain(inquiry.with_case(case.with_answer(each.answer))) for each in scaled[:_MOST_UNITS]}
        found = next((each for each, (verdict, _) in causes.items() if verdict not in _WITHOUT_FORMULA), found)
        cause = causes[found][1]
    gap = case.with_answer(found.answer).gap
    remains = f"{gap:.2g}" if not cause else in_standard_errors(gap)
    what = f"The coefficients are those of {found.description}. In the units of the data the largest gap is {remains}."
    remedy = "Give the means and scales as scaler=, or convert the coefficients."
    return "other units", join_sentences(what, remedy, f"Beyond that: {cause}" if cause else "")


def _judge_order(inquiry: Inquiry) -> Finding | None:
    case = inquiry.case
    if names := find_order(case):
        return "other columns", (
            f"The coefficients are those of least squares in another order: {join_words([*map(repr, names)])}. Give them by name, "
            f"or in the order {join_words([*map(repr, case.fit.design.names)])}."
        )
    if names := find_left_out(case):
        columns = join_words([*map(repr, names)])
        return "other columns", (
            f"The answer has a coefficient of zero for {columns}, and is least squares without "
            f"{'it' if len(names) == 1 else 'them'}. "
            "Leave the same columns out of the formula."
        )
    return None


def _judge_origin(inquiry: Inquiry) -> Finding | None:
    case = inquiry.case
    point = fit_through_origin(case)
    if point is None or case.answer.intercept or not case.is_explained_by(point):
        return None
    return "intercept", (
        "The answer is that of the regression without an intercept, and the formula has one. Fit with an intercept "
        "(fit_intercept=True, bias=True or sm.add_constant), or write '- 1' in the formula."
    )


def _judge_rows(inquiry: Inquiry) -> Finding | None:
    case, rows = inquiry.case, inquiry.rows
    fit, nobs = case.fit, case.answer.origin.nobs
    if rows is not None and rows.weights is not None and case.is_explained_by(fit_unweighted(case, rows)):
        option = next(iter(fit.design.formula.weights_option))
        return (
            "different rows",
            f"The answer is that of the rows without weights, and the fit has {option}=. Give both the same.",
        )
    found = "" if rows is None else find_rows(case, rows)
    if found:
        return "different rows", f"The answer is that of least squares {found}. Give both the same rows."
    if nobs is not None and nobs != fit.nobs:
        return "different rows", describe_count(case, nobs)
    return None


def describe_count(case: Mismatch, nobs: int) -> str:
    """Say that the answer used another number of rows."""
    return (
        f"The {case.answer.origin.kind} used {pluralize(nobs, 'row')}, and least squares {case.fit.nobs:,}. Give both the same "
        "rows, such as with where=."
    )


def _judge_column(inquiry: Inquiry) -> Finding | None:
    found = find_rescaled_column(inquiry.case)
    if found is None:
        return None
    name, factor = found
    return "other units", (
        f"Only the coefficient of {name!r} differs, by the factor {factor:.6g}: other rows would change all. Its column was in "
        "another unit, or the coefficient is mistyped."
    )


def _judge_penalty(inquiry: Inquiry) -> Finding | None:
    case = inquiry.case
    if not case.given.any():
        return "not converged", "Every coefficient is zero, as before the first step. Train, or look at what was saved."
    if len(case.slopes) and case.has_intercept and case.is_explained_by(predict_mean(case)):
        return "disagree", (
            "The answer predicts the mean of the response in every row. That is what training gives if the outputs have the shape "
            "(n, 1) and the targets (n,), or if the targets are in another order than the rows. A very large penalty does so, too."
        )
    if len(case.given) < 2:  # some penalty has any answer that is between zero and least squares
        return None
    early = find_descent(case) if case.answer.origin.is_trained or len(case.slopes) == 1 else ""
    ridge = [f"alpha={alpha:.4g} {what}" for alpha, what in find_ridge(case)]
    if early and case.answer.origin.is_trained:
        also = f" Ridge with {join_words(ridge, 'or')} has the same answer." if ridge else ""
        return "not converged", (
            f"Descent from zero {early} passes the answer on its way to least squares. Take more steps, or a larger rate.{also}"
        )
    if ridge:
        steps = " So has descent from zero that ended early." if early else ""
        return "penalized", (
            f"Ridge regression with {join_words(ridge, 'or')} has this answer: it minimizes the squared residuals plus alpha "
            f"times those of the coefficients.{steps} Fit without a penalty."
        )
    lasso = find_lasso(case)
    return ("penalized", f"It is the answer of the {lasso}. Fit without a penalty.") if lasso else None


def _judge_other_rows(inquiry: Inquiry) -> Finding | None:
    for which, point in inquiry.refit() if inquiry.refit else ():
        if inquiry.case.is_explained_by(point):
            return "different rows", f"The answer is that of least squares for {which}. Give both the same rows."
    return None
