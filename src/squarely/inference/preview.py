"""What a least squares fit will read and cost, before any row is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from squarely.data import BATCH_ROWS, is_aggregate_only
from squarely.design import DesignPlan, describe_pass
from squarely.errors import join_words, listed
from squarely.exact import require_precision
from squarely.moments import CHEAP_CELLS, prefers_engine, require_fold
from squarely.show import KeyValueTable, Page

_COPIES = 8  # of a batch of the columns of X in memory at the same time, measured on 5 to 80 columns


@dataclass(frozen=True, eq=False, slots=True, kw_only=True, repr=False)
class Preview:
    """The plan of a fit and what it costs, made by `squarely.preview`. What only the rows can tell is None.

    Attributes
    ----------
    formula, response, source : the formula, and the names of the response and of the data.
    passes : the purpose of each pass over all rows, and what it gathers.
    further : the purpose of each pass that may be added, and when.
    columns_read : the columns of the data that are read.
    names : of the coefficients, the intercept first if there is one.
    rows, cells : of the data; rows x coefficients.
    cross_products_bytes, memory_bytes : the size of the cross-products; an estimate of the memory that squarely uses at a time.
    precision : "extended" or "double", of residuals and X'r in the refinement.
    fold : how the rows are summed.
    expressions : the number of expressions that an engine gets, at least.
    """

    formula: str
    response: str
    source: str
    passes: tuple[tuple[str, str], ...]
    further: tuple[tuple[str, str], ...]
    columns_read: tuple[str, ...]
    names: tuple[str, ...] | None
    rows: int | None
    cells: int | None
    cross_products_bytes: int | None
    memory_bytes: int | None
    precision: str | None
    fold: str
    expressions: int | None

    @property
    def coefficients(self) -> int | None:
        """The number of coefficients."""
        return None if self.names is None else len(self.names)

    def as_dict(self) -> Mapping[str, Any]:
        """Return everything as plain Python values, as `--json` prints it."""
        return {
            "formula": self.formula,
            "source": self.source,
            "passes": [{"purpose": aim, "gathers": what} for aim, what in self.passes],
            "further": [{"purpose": aim, "when": when} for aim, when in self.further],
            "columns_read": list(self.columns_read),
            "coefficients": self.coefficients,
            "names": None if self.names is None else list(self.names),
            "rows": self.rows,
            "cells": self.cells,
            "cross_products_bytes": self.cross_products_bytes,
            "memory_bytes": self.memory_bytes,
            "precision": self.precision,
            "fold": self.fold,
            "expressions": self.expressions,
        }

    def summary(self) -> Page:
        """Return the plan as a page."""
        return _build_page(self)

    def __repr__(self) -> str:
        return f"<Preview {self.formula!r}: {len(self.passes)} passes over the rows; print(preview.summary())>"


def build_preview(plan: DesignPlan, *, fold: str = "auto", precision: str = "auto") -> Preview:
    """Return the preview of a fit from the plan of its design, with the options `fold` and `precision` of `ols`."""
    require_fold(fold)
    require_precision(precision)
    names, rows = plan.names, plan.source.rows
    p = None if names is None else len(names)
    gram = None if p is None else 8 * (p + (1 if plan.formula.intercept else 2)) ** 2  # the columns of X, a constant, y
    cells = None if p is None or rows is None else rows * p
    in_engine = fold == "aggregates" or is_aggregate_only(plan.source)
    double = in_engine or precision == "double"
    return Preview(
        formula=plan.formula.text,
        response=plan.formula.response.text,
        source=plan.source.label,
        passes=_list_passes(plan),
        further=_list_further_passes(plan, in_engine=in_engine),
        columns_read=plan.columns_read,
        names=names,
        rows=rows,
        cells=cells,
        cross_products_bytes=gram,
        memory_bytes=None if p is None or gram is None else _estimate_memory(plan, p, gram),
        precision="double" if double else "extended" if precision == "extended" else _choose_precision(cells),
        fold=_describe_fold(plan, fold),
        expressions=None if in_engine and p is None else _count_expressions(p or 0) if in_engine else 0,
    )


def _choose_precision(cells: int | None) -> str | None:
    return None if cells is None else "extended" if cells <= CHEAP_CELLS else "double"


def _describe_fold(plan: DesignPlan, fold: str) -> str:
    """Say how the rows will be summed."""
    if fold == "aggregates" or is_aggregate_only(plan.source):
        return f"aggregates in {plan.source.require_engine().name}"
    if fold == "auto" and prefers_engine(plan.source, plan.formula):
        return "by number of rows"
    return "ordered batches"


def _count_expressions(p: int) -> int:
    """Count the sums of cross-products: one for each pair among p columns, a constant and the response."""
    return (p + 1) * (p + 2) // 2 + 1


def _list_passes(plan: DesignPlan) -> tuple[tuple[str, str], ...]:
    response = plan.formula.response.text
    return (
        *((describe_pass(topics), join_words([str(topic) for topic in topics])) for topics in plan.passes),
        ("cross-products", f"the columns of X with each other and with {response}"),
        ("residuals", "the refinement of the coefficients, and the statistics of the residuals"),
    )


def _list_further_passes(plan: DesignPlan, *, in_engine: bool) -> tuple[tuple[str, str], ...]:
    """List the passes that may be added, and when."""
    again = [("cross-products", "if the first rows are far from the others")] if plan.formula.intercept else []
    if in_engine:
        return (
            *again,
            ("rounding", "if the formula computes columns: how many digits they have"),
            ("residuals", "up to five times more, while the coefficients still change"),
        )
    return (
        *again,
        ("triangle", "if the columns of X are so nearly dependent that cross-products leave fewer than ten digits"),
        ("residuals", "up to three times more, while the coefficients still change"),
        ("standard errors", "if they have fewer than twelve digits and the data are small"),
    )


def _estimate_memory(plan: DesignPlan, p: int, gram: int) -> int:
    """Estimate the bytes in memory at a time, without the buffers of an engine."""
    rows = BATCH_ROWS if plan.source.rows is None else min(plan.source.rows, BATCH_ROWS)
    return 8 * rows * (len(plan.columns_read) + _COPIES * (p + 1)) + 3 * gram


def _build_page(preview: Preview) -> Page:
    unknown = "unknown"
    left = [
        ("Dep. Variable:", preview.response),
        ("Data:", preview.source),
        ("Passes over the rows:", str(len(preview.passes))),
        ("Rows:", unknown if preview.rows is None else f"{preview.rows:,}"),
        ("Columns read:", f"{len(preview.columns_read):,}"),
        ("Coefficients:", unknown if preview.coefficients is None else f"{preview.coefficients:,}"),
    ]
    right = [
        ("Fold:", preview.fold),
        ("Expressions sent:", _format_expressions(preview.expressions)),
        ("Refined in:", {"extended": "double-double", "double": "double", None: unknown}[preview.precision]),
        ("Cells (rows x coefficients):", unknown if preview.cells is None else f"{preview.cells:,}"),
        ("Cross-products:", _format_bytes(preview.cross_products_bytes)),
        ("Memory, about:", _format_bytes(preview.memory_bytes)),
    ]
    passes = [f"Pass {i}, {aim}: {what}." for i, (aim, what) in enumerate(preview.passes, start=1)]
    names = "unknown before the levels are read" if preview.names is None else listed(preview.names)
    notes = [
        "A fit may need more passes: "
        + "; ".join(f"{aim}, {when}" for aim, when in preview.further)
        + ". Its summary says how often the rows were read.",
    ]
    if preview.fold == "by number of rows":
        notes.append("Beyond ten million cells the engine computes aggregates; otherwise the rows are read in batches.")
    if preview.precision is None:
        notes.append(f"The refinement is in double-double up to {CHEAP_CELLS:,} cells, and beyond if the digits need it.")
    return Page(
        "Preview: nothing was fitted",
        [KeyValueTable(left, right)],
        footer=[*passes, f"Columns read: {listed(preview.columns_read)}.", f"Columns of X: {names}."],
        notes=notes,
    )


def _format_expressions(number: int | None) -> str:
    return "unknown" if number is None else f"at least {number:,}" if number else "0"


def _format_bytes(number: int | None) -> str:
    if number is None:
        return "unknown"
    size, unit = next(
        (number / 1000**i, unit) for i, unit in enumerate(("bytes", "kB", "MB", "GB", "TB")) if number < 1000 ** (i + 1)
    )
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
