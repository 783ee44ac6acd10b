"""The summary page of a fit, laid out as in statsmodels."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from squarely.errors import join_words, listed, pluralize
from squarely.exact import Solution
from squarely.inference.covariance.robust import RobustCovariance
from squarely.inference.statistics import Statistics
from squarely.inference.summary.table import coefficient_table
from squarely.show import KeyValueTable, Page

_LARGE_CONDITION = 1000.0
_PERFECT = 1e-30  # of the mean square of the response: R warns of a smaller variance of the residuals
_CROWDED_RATIO = 2  # a category with more levels than half the rows gets a note
_MIN_ROWS, _FEW_ROWS = 8, 20  # below these the omnibus test is undefined, and its p-value is rough


def summary_page(
    statistics: Statistics,
    solution: Solution,
    robust: RobustCovariance | None,
    source_notes: Sequence[str],
    numbers: Mapping[str, Any],
) -> Page:
    """Return the page; its numbers, formats and places are those of the OLS summary of statsmodels.

    `source_notes` says how the data were read; `numbers` are those of `Fit.as_dict`.
    """
    return Page(
        f"{numbers['model']} Regression Results",
        [_top_table(numbers), coefficient_table(numbers), _diagnostics_table(solution, numbers)],
        notes=_list_notes(statistics, solution, robust),
        footer=[_describe_rows(solution, source_notes), *_describe_merge(solution), _describe_digits(solution, numbers)],
    )


def _top_table(numbers: Mapping[str, Any]) -> KeyValueTable:
    effects = numbers.get("fixed_effects", {})
    about = "" if numbers["k_constant"] else " (uncentered)"
    return KeyValueTable(
        [
            ("Dep. Variable:", numbers["response"]),
            ("Model:", numbers["model"]),
            ("Method:", "Least Squares"),
            ("Date:", time.strftime("%a, %d %b %Y")),
            ("Time:", time.strftime("%H:%M:%S")),
            ("No. Observations:", f"{numbers['nobs']:,}"),
            ("Df Residuals:", f"{numbers['df_resid']:,}"),
            ("Df Model:", f"{numbers['df_model']:,}"),
            ("Covariance Type:", describe_covariance(numbers)),
            *([("Fixed Effects:", ", ".join(effects))] if effects else []),
        ],
        [
            (f"R-squared{about}:", f"{numbers['rsquared']:.3f}"),
            (f"Adj. R-squared{about}:", f"{numbers['rsquared_adj']:.3f}"),
            *([("Within R-squared:", f"{numbers['rsquared_within']:.3f}")] if effects else []),
            ("F-statistic:", f"{numbers['fvalue']:#.4g}"),
            ("Prob (F-statistic):", f"{numbers['f_pvalue']:#.3g}"),
            ("Log-Likelihood:", f"{numbers['llf']:#.5g}"),
            ("AIC:", f"{numbers['aic']:#.4g}"),
            ("BIC:", f"{numbers['bic']:#.4g}"),
        ],
    )


def describe_covariance(numbers: Mapping[str, Any]) -> str:
    """Return the type of the covariance with the columns of its clusters."""
    groups = numbers["cov_kwds"].get("groups", {})
    return f"{numbers['cov_type']} ({', '.join(groups)})" if groups else str(numbers["cov_type"])


def _diagnostics_table(solution: Solution, numbers: Mapping[str, Any]) -> KeyValueTable:
    if solution.residuals is None:
        return KeyValueTable([("Cond. No.", f"{numbers['condition_number']:#.3g}")])
    return KeyValueTable(
        [
            ("Omnibus:", f"{numbers['omnibus']:.3f}"),
            ("Prob(Omnibus):", f"{numbers['omnibus_pvalue']:.3f}"),
            ("Skew:", f"{numbers['skew']:.3f}"),
            ("Kurtosis:", f"{numbers['kurtosis']:.3f}"),
        ],
        [
            ("Durbin-Watson:", f"{numbers['durbin_watson']:.3f}"),
            ("Jarque-Bera (JB):", f"{numbers['jarque_bera']:.3f}"),
            ("Prob(JB):", f"{numbers['jarque_bera_pvalue']:#.3g}"),
            ("Cond. No.", f"{numbers['condition_number']:#.3g}"),
        ],
    )


def _list_notes(statistics: Statistics, solution: Solution, robust: RobustCovariance | None) -> list[str]:
    design, notes = solution.moments.design, []
    if not statistics.k_constant:
        notes.append("R-squared is computed without centering (uncentered) since the model does not contain a constant.")
    classical = ("Standard Errors assume that the covariance matrix of the errors is correctly specified.",)
    notes += classical if robust is None else robust.notes
    notes += [*_describe_effects(solution), *_describe_references(solution), *design.notes]
    if weights := design.formula.weights:
        notes.append(
            f"{weights.text} says how many rows each row stands for, so they count {statistics.nobs:,} observations."
            if design.formula.has_frequencies
            else f"Rows are weighted by {weights.text}. The tests of the residuals are those of the weighted residuals."
        )
    if offsets := [numeric.text for numeric in design.formula.offsets]:
        notes.append(
            f"{' and '.join(offsets)} enters with a coefficient of one; R-squared and F are those of {design.response} less it."
        )
    notes += _describe_dropped(solution)
    if statistics.constant_response:
        undefined = ", and R-squared is undefined" if statistics.k_constant else ""
        notes.append(f"The response {design.response} is constant: there is nothing to explain{undefined}.")
    notes += _describe_hidden(statistics, solution)
    if not statistics.constant_response and statistics.mse_resid < _PERFECT * statistics.uncentered_tss / statistics.nobs:
        notes.append(
            "The fit is essentially perfect: the residuals are rounding, so standard errors, t, P>|t|, F and the tests of the "
            "residuals mean little. Check whether a predictor was computed from the response."
        )
    if solution.residuals is None:
        notes.append(
            "Omnibus, Jarque-Bera, skewness, kurtosis and Durbin-Watson need the residuals of all rows, which merged fits do not "
            "have. Fit all rows at once for them."
        )
    elif statistics.nobs < _FEW_ROWS:
        missing = "; the omnibus test needs at least 8" if statistics.nobs < _MIN_ROWS else ""
        notes.append(f"Tests of normality mean little with {statistics.nobs} rows{missing}.")
    if statistics.condition_number > _LARGE_CONDITION:
        notes.append(
            f"The condition number is large, {statistics.condition_number:.3g}. In the solved columns, centered and of length one, "
            f"it is {solution.factor.condition:.3g}; the digits above say what that costs."
        )
    return notes


def _describe_dropped(solution: Solution) -> list[str]:
    """Say which columns were dropped and why, those that fixed effects absorb in one sentence."""
    absorbed, sentences = solution.moments.design.absorbed, solution.factor.dependencies
    if absorbed is None:
        return [f"Dropped, because the columns before it span it: {sentence}." for sentence in sentences]
    end = f" is absorbed by {' and '.join(absorbed.names)}"
    names = [sentence.removesuffix(end) for sentence in sentences if sentence.endswith(end)]
    others = [sentence for sentence in sentences if not sentence.endswith(end)]
    notes = [f"Dropped, because {join_words(absorbed.names)} {'absorbs' if len(absorbed.names) == 1 else 'absorb'} "
             f"{'it' if len(names) == 1 else 'them'}: {listed(names)}."] if names else []  # fmt: skip
    return [*notes, *(f"Dropped, because the effects and the columns before it span it: {sentence}." for sentence in others)]


def _describe_effects(solution: Solution) -> list[str]:
    """Say which effects were absorbed, with the number of their levels, and which levels have one row."""
    absorbed = solution.moments.design.absorbed
    if absorbed is None:
        return []
    levels = [f"{name} ({pluralize(len(index), 'level')})" for name, index in zip(absorbed.names, absorbed.levels, strict=True)]
    most = "" if absorbed.system.is_rank_exact else "at most "
    notes = [
        f"Absorbed: {join_words(levels)}, which count as {most}{pluralize(absorbed.rank, 'parameter')} with the constant. F tests "
        "the slopes alone; fit.fixed_effects() has the effects."
    ]
    single = [
        f"{pluralize(count, 'level')} of {name}" for name, count in zip(absorbed.names, absorbed.singletons, strict=True) if count
    ]
    if single:
        notes.append(
            f"Levels of one row: {join_words(single)}. Such rows count in n and do not change the coefficients; reghdfe and "
            "pyfixest drop them, and fixest keeps them."
        )
    return notes


def _describe_hidden(statistics: Statistics, solution: Solution) -> list[str]:
    """Say which sums of squares rounding hides, and what is therefore unknown."""
    notes = []
    if solution.merge_record is not None:
        other = "Fit the rows themselves for them."
    elif solution.precision == "double":
        in_engine = solution.moments.engine_record is not None
        other = f"{'Read the rows in batches with' if in_engine else 'Use'} precision='extended' for them."
    else:
        other = "Leave out the column that is so much larger than the others."
    if solution.has_hidden_residuals:
        notes.append(
            "The residuals are smaller than the rounding of what they are computed from. Standard errors, t, P>|t|, F and the "
            f"likelihood are unknown. {other}"
        )
    elif solution.residuals is not None and math.isnan(statistics.normality.skew) and statistics.ssr > 0:
        notes.append(f"The residuals are near rounding: their shape and order have too few digits. {other}")
    if not solution.is_span_certain:
        notes.append("Rounding hides whether the columns span a constant, so R-squared and F are unknown. Fit the rows themselves.")
    elif math.isnan(statistics.rsquared) and not statistics.constant_response:
        notes.append("Rounding hides the sum of squares that R-squared and F measure, so both are unknown.")
    return notes


def _describe_references(solution: Solution) -> list[str]:
    """Name the levels with which the coefficients of categories compare."""
    design, n = solution.moments.design, solution.moments.n
    used = {text for column in design.columns for text, full, _ in column.parts if not full}
    coded = [(text, c.kind, c.levels[c.position]) for text, c in design.categories.items() if text in used]
    base = [f"{text} {level}" for text, kind, level in coded if kind == "treatment"]
    sums = [f"{text} (left out: {level})" for text, kind, level in coded if kind == "sum"]
    notes = []
    if base:
        notes.append(f"Reference level{'s' if len(base) > 1 else ''}, with which the others are compared: {'; '.join(base)}.")
    for text, c in design.categories.items():
        if _CROWDED_RATIO * len(c.levels) > n and not isinstance(c.levels[0], bool):
            notes.append(f"{text} has {len(c.levels):,} levels for {n:,} rows: it may be an identifier and not a category.")
    if sums:
        notes.append(f"Effects that add up to zero over the levels: {'; '.join(sums)}.")
    return notes


def _describe_rows(solution: Solution, source_notes: Sequence[str]) -> str:
    moments = solution.moments
    condition = [f"Condition: {moments.design.where.text}."] if moments.design.where else []
    notes = [f"Read with {note}." for note in source_notes]
    return " ".join(["Rows:", *moments.account.lines(), *condition, *notes, *moments.remarks])


def _describe_merge(solution: Solution) -> list[str]:
    record = solution.merge_record
    if record is None:
        return []
    if len(record.rows) == 1 and not record.removed_rows:
        return ["Computed from the cross-products of one fit; no row was read again."]
    removed = f", {len(record.removed_rows):,} removed (rows {listed(record.removed_rows)})" if record.removed_rows else ""
    return [f"Merged from {pluralize(len(record.rows), 'fit')} (rows {listed(record.rows)}){removed}; no row was read again."]


def _describe_digits(solution: Solution, numbers: Mapping[str, Any]) -> str:
    counts = [*solution.digits.tolist(), *([] if solution.has_hidden_residuals else numbers["digits_bse"].values())]
    smallest = min((count for count in counts if not math.isnan(count)), default=15.0)
    found = zip(solution.moments.design.names, solution.digits, solution.params, strict=True)
    zero = [name for name, count, value in found if math.isnan(count) and not math.isnan(value)]
    but = f", and {join_words(zero)} {'is' if len(zero) == 1 else 'are'} zero up to rounding" if zero else ""
    precise = "double-double" if solution.precision == "extended" else "double"
    record = solution.moments.engine_record
    factor, scans = "cross-products" if solution.factor.method == "moments" else "a triangle", pluralize(solution.scans, "scan")
    if solution.merge_record:
        how = f"from {factor} and the solutions of the fits, at most {scans} of any row"
    elif record:
        asked = pluralize(record.expressions, "expression")
        how = f"from {factor} by aggregates in {record.engine}, refined in {precise}, {scans} and {asked} over the rows"
    else:
        how = f"from {factor}, refined in {precise}, {scans} of the rows"
    end = "" if solution.converged else " Refinement did not converge; the digits allow for it."
    of = "coefficient" if solution.has_hidden_residuals else "coefficient and standard error"
    return f"Digits: {int(smallest)} of every {of} can be trusted{but} ({how}).{end}"
