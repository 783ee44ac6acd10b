"""What a least squares fit is going to read and to cost, told without reading the rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from squarely.data import BATCH_ROWS, is_aggregate_only
from squarely.design import DesignPlan, describe_pass
from squarely.errors import join_words
from squarely.exact import require_precision
from squarely.exact.whitening import CHEAP_CELLS
from squarely.moments import prefers_engine, require_fold
from squarely.show import KeyValueTable, Page

_MOST_NAMES = 12
_COPIES = 8  # of a batch of the columns of X that are held at a time at most, measured on 5 to 80 of them


@dataclass(frozen=True, eq=False, slots=True, kw_only=True, repr=False)
class Preview:
    """The plan of a fit and what it costs. Made by `squarely.preview`; whatever waits for the rows is None.

    Attributes
    ----------
    formula, response, source : the formula as given; what the response and the data are called.
    passes : the purpose of each pass over all rows, and what it gathers. `further` the same for passes that may be added, and when.
    columns_read : the columns of the data that are read.
    names : of the coefficients, the intercept first if there is one.
    rows, cells : of the data; rows x coefficients.
    cross_products_bytes, memory_bytes : of the cross-products; at a time, in squarely's own hands, as estimated.
    precision : "extended" or "double", of residuals and X'r in the refinement.
    fold : how the rows are met. `expressions` how many expressions an engine is sent for it, at least.
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
        """How many coefficients there are."""
        return None if self.names is None else len(self.names)

    def as_dict(self) -> Mapping[str, Any]:
        """Give everything as plain Python values: what `--json` prints."""
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
        """Lay the plan out."""
        return _build_page(self)

    def __repr__(self) -> str:
        return f"<Preview {self.formula!r}: {len(self.passes)} passes over the rows; print(preview.summary())>"


def build_preview(outline: DesignPlan, *, fold: str = "auto", precision: str = "auto") -> Preview:
    """Work out what a fit is going to do from its outline, with the options `fold` and `precision` of `ols`."""
    require_fold(fold)
    require_precision(precision)
    names, rows = outline.names, outline.source.rows
    p = None if names is None else len(names)
    gram = None if p is None else 8 * (p + (1 if outline.formula.intercept else 2)) ** 2  # the columns of X, a constant, y
    cells = None if p is None or rows is None else rows * p
    inside = fold == "aggregates" or is_aggregate_only(outline.source)
    double = inside or precision == "double"
    return Preview(
        formula=outline.formula.text,
        response=outline.formula.response.text,
        source=outline.source.label,
        passes=_list_passes(outline),
        further=_list_further_passes(outline, inside=inside),
        columns_read=outline.columns_read,
        names=names,
        rows=rows,
        cells=cells,
        cross_products_bytes=gram,
        memory_bytes=None if p is None or gram is None else _estimate_memory(outline, p, gram),
        precision="double" if double else "extended" if precision == "extended" else _choose_precision(cells),
        fold=_describe_fold(outline, fold),
        expressions=None if inside and p is None else _count_expressions(p or 0) if inside else 0,
    )


def _choose_precision(cells: int | None) -> str | None:
    return None if cells is None else "extended" if cells <= CHEAP_CELLS else "double"


def _describe_fold(outline: DesignPlan, fold: str) -> str:
    """Tell how the rows are going to be met."""
    if fold == "aggregates" or is_aggregate_only(outline.source):
        return f"aggregates in {outline.source.require_engine().name}"
    if fold == "auto" and prefers_engine(outline.source, outline.formula):
        return "by number of rows"
    return "ordered batches"


def _count_expressions(p: int) -> int:
    """Count the sums that cross-products of p coefficients take: of each pair among the columns, a constant and the response."""
    return (p + 1) * (p + 2) // 2 + 1


def _list_passes(outline: DesignPlan) -> tuple[tuple[str, str], ...]:
    response = outline.formula.response.text
    return (
        *((describe_pass(topics), join_words([str(topic) for topic in topics])) for topics in outline.passes),
        ("cross-products", f"the columns of X with each other and with {response}"),
        ("residuals", "the refinement of the coefficients, and the statistics of the residuals"),
    )


def _list_further_passes(outline: DesignPlan, *, inside: bool) -> tuple[tuple[str, str], ...]:
    """Say what may turn out to be needed besides."""
    again = [("cross-products", "if the first rows are far from the others")] if outline.formula.intercept else []
    if inside:
        return (
            *again,
            ("rounding", "if the formula computes something: how many digits that leaves"),
            ("residuals", "up to five times more, while the coefficients still move"),
        )
    return (
        *again,
        ("triangle", "if the columns of X are so nearly dependent that cross-products leave fewer than ten digits"),
        ("residuals", "up to three times more, while the coefficients still move"),
        ("standard errors", "if these have fewer than twelve digits, and the data are small"),
    )


def _estimate_memory(outline: DesignPlan, p: int, gram: int) -> int:
    """Estimate the bytes that are held at a time; the buffers of an engine come on top."""
    rows = BATCH_ROWS if outline.source.rows is None else min(outline.source.rows, BATCH_ROWS)
    return 8 * rows * (len(outline.columns_read) + _COPIES * (p + 1)) + 3 * gram


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
    names = "unknown before the levels are read" if preview.names is None else _list_names(preview.names)
    notes = [
        "A fit may turn out to need more passes: "
        + "; ".join(f"{aim}, {when}" for aim, when in preview.further)
        + ". Its summary says how often the rows were read.",
    ]
    if preview.fold == "by number of rows":
        notes.append("Beyond ten million cells the engine is asked for aggregates; up to there the rows are read in batches.")
    if preview.precision is None:
        notes.append(f"The refinement is in double-double up to {CHEAP_CELLS:,} cells, and beyond where the digits need it.")
    return Page(
        "Preview: nothing was fitted",
        [KeyValueTable(left, right)],
        footer=[*passes, f"Columns read: {_list_names(preview.columns_read)}.", f"Columns of X: {names}."],
        notes=notes,
    )


def _format_expressions(number: int | None) -> str:
    return "unknown" if number is None else f"at least {number:,}" if number else "0"


def _list_names(names: tuple[str, ...]) -> str:
    return ", ".join(names[:_MOST_NAMES]) + (f", ... ({len(names):,} in all)" if len(names) > _MOST_NAMES else "")


def _format_bytes(number: int | None) -> str:
    if number is None:
        return "unknown"
    size, unit = next(
        (number / 1000**i, unit) for i, unit in enumerate(("bytes", "kB", "MB", "GB", "TB")) if number < 1000 ** (i + 1)
    )
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
