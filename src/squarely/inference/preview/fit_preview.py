"""What a least squares fit will read and cost, before any row is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from squarely.data import BATCH_ROWS, is_aggregate_only, read_cache_limit
from squarely.design import DesignPlan, describe_pass
from squarely.errors import join_words, listed
from squarely.exact import require_precision, require_rows_for_effects
from squarely.inference.covariance.options import CLASSICAL, CovarianceOptions
from squarely.inference.preview.data_preview import DataPreview
from squarely.moments import CHEAP_CELLS, prefers_engine, require_fold
from squarely.reprs import NO_SIGNATURE, public_dir
from squarely.show import Block, KeyValueTable, Page

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
    parses, storage_bytes : how often a fit parses a file of text, and how many bytes of the columns that it reads stay in memory
        between the passes, with the rest in a temporary file; None if the rows are not text.
    data : the first rows of a file; None for other data.
    """

    __signature__ = NO_SIGNATURE
    __dir__ = public_dir()

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
    parses: int | None = None
    storage_bytes: int | None = None
    data: DataPreview | None = None

    @property
    def coefficients(self) -> int | None:
        """The number of coefficients."""
        return None if self.names is None else len(self.names)

    def as_dict(self) -> Mapping[str, Any]:
        """Return everything as plain Python values, as `--json` prints it."""
        numbers = (
            "rows",
            "cells",
            "cross_products_bytes",
            "memory_bytes",
            "precision",
            "fold",
            "expressions",
            "parses",
            "storage_bytes",
        )
        return {
            "formula": self.formula,
            "source": self.source,
            "passes": [{"purpose": aim, "gathers": what} for aim, what in self.passes],
            "further": [{"purpose": aim, "when": when} for aim, when in self.further],
            "columns_read": list(self.columns_read),
            "coefficients": self.coefficients,
            "names": None if self.names is None else list(self.names),
            **{name: getattr(self, name) for name in numbers},
            "data": None if self.data is None else self.data.as_dict(),
        }

    def summary(self) -> Page:
        """Return the plan as a page."""
        sent = "unknown" if self.expressions is None else f"at least {self.expressions:,}" if self.expressions else "0"
        left = [
            ("Dep. Variable:", self.response),
            ("Data:", self.source),
            ("Passes over the rows:", str(len(self.passes))),
            ("Rows:", _format_count(self.rows)),
            ("Columns read:", f"{len(self.columns_read):,}"),
            ("Coefficients:", _format_count(self.coefficients)),
        ]
        right = [
            ("Fold:", self.fold),
            ("Expressions sent:", sent),
            ("Refined in:", {"extended": "double-double", "double": "double", None: "unknown"}[self.precision]),
            ("Cells (rows x coefficients):", _format_count(self.cells)),
            ("Cross-products:", _format_bytes(self.cross_products_bytes)),
            ("Memory, about:", _format_bytes(self.memory_bytes)),
        ]
        passes = [f"Pass {i}, {aim}: {what}." for i, (aim, what) in enumerate(self.passes, start=1)]
        names = "unknown before the levels are read" if self.names is None else listed(self.names)
        further = "; ".join(f"{aim}, {when}" for aim, when in self.further)
        notes = [f"A fit may need more passes: {further}. Its summary says how often the rows were read."]
        if self.fold == "by number of rows":
            notes.append("Beyond ten million cells the engine computes aggregates; otherwise the rows are read in batches.")
        if self.precision is None:
            notes.append(f"The refinement is in double-double up to {CHEAP_CELLS:,} cells, and beyond if the digits need it.")
        if self.storage_bytes is not None:
            passes.append(
                "The file is parsed once: the columns that are read stay in memory between the passes, up to "
                f"{_format_bytes(self.storage_bytes)}, and beyond that in a temporary file. SQUARELY_CACHE_BYTES sets the limit."
            )
        footer = [*passes, f"Columns read: {listed(self.columns_read)}.", f"Columns of X: {names}."]
        blocks: list[Block] = [KeyValueTable(left, right)]
        if self.data is not None:
            found = self.data.summary()
            blocks += found.blocks
            footer, notes = [*found.footer, *footer], [*found.notes, *notes]
        return Page("Preview: nothing was fitted", blocks, footer=footer, notes=notes)

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def __repr__(self) -> str:
        return f"<Preview {self.formula!r}: {len(self.passes)} passes over the rows; print(preview.summary())>"


def build_preview(
    plan: DesignPlan,
    names: tuple[str, ...] | None,
    data: DataPreview | None = None,
    *,
    fold: str = "auto",
    precision: str = "auto",
    covariance: CovarianceOptions = CLASSICAL,
) -> Preview:
    """Return the preview of a fit from the plan of its design and the names of its coefficients, None if they are unknown.

    `data` are the first rows, None if they were not read. `fold`, `precision` and `covariance` are options of `ols`.
    """
    require_fold(fold)
    require_precision(precision)
    require_rows_for_effects(plan.formula, plan.source, fold)
    rows, response = plan.source.rows if data is None else data.rows, plan.formula.response.text
    in_engine = not plan.formula.effects and (fold == "aggregates" or is_aggregate_only(plan.source))
    if in_engine:
        how, precision = f"aggregates in {plan.source.require_engine().name}", "double"
    else:
        how = "by number of rows" if fold == "auto" and prefers_engine(plan.source, plan.formula) else "ordered batches"
    cells: int | None = None
    gram: int | None = None
    memory: int | None = None
    expressions = None if in_engine else 0
    if names is not None:
        p, batch = len(names), BATCH_ROWS if rows is None else min(rows, BATCH_ROWS)
        cells = None if rows is None else rows * p
        gram = 8 * (p + (1 if plan.formula.intercept else 2)) ** 2  # the columns of X, a constant, y
        memory = 8 * batch * (len(plan.columns_read) + _COPIES * (p + 1)) + 3 * gram  # without the buffers of an engine
        if in_engine:  # one sum for each pair among the columns of X, a constant and y
            expressions = (p + 1) * (p + 2) // 2 + 1
    automatic = None if cells is None else "extended" if cells <= CHEAP_CELLS else "double"
    return Preview(
        formula=plan.formula.text,
        response=response,
        source=plan.source.label,
        passes=(
            *((describe_pass(topics), join_words([str(topic) for topic in topics])) for topics in plan.passes),
            *_effects_pass(plan),
            ("cross-products", f"the columns of X with each other and with {response}"),
            ("residuals", "the refinement of the coefficients, and the statistics of the residuals"),
            *_list_covariance_passes(covariance),
        ),
        further=_list_further_passes(plan, in_engine=in_engine),
        columns_read=plan.columns_read,
        names=names,
        rows=rows,
        cells=cells,
        cross_products_bytes=gram,
        memory_bytes=memory,
        precision=automatic if precision == "auto" else precision,
        fold=how,
        expressions=expressions,
        parses=1 if plan.source.is_parsed else None,
        storage_bytes=read_cache_limit() if plan.source.is_parsed else None,
        data=data,
    )


def _list_covariance_passes(options: CovarianceOptions) -> list[tuple[str, str]]:
    """Return the passes of the standard errors: none for classical ones, one more to choose the lags of HAC."""
    if options.kind == "nonrobust":
        return []
    by = f" by {' and '.join(options.groups)}" if options.groups else ""
    lag = [("standard errors", "the number of lags")] if options.kind == "HAC" and options.lags is None else []
    return [*lag, ("standard errors", f"the {options.kind} covariance{by}")]


def _effects_pass(plan: DesignPlan) -> tuple[tuple[str, str], ...]:
    effects = ["^".join(effect) for effect in plan.formula.effects]
    return (("fixed effects", f"sums by level of {join_words(effects)}"),) if effects else ()


def _list_further_passes(plan: DesignPlan, *, in_engine: bool) -> tuple[tuple[str, str], ...]:
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


def _format_count(number: int | None) -> str:
    return "unknown" if number is None else f"{number:,}"


def _format_bytes(number: int | None) -> str:
    if number is None:
        return "unknown"
    if number < 1000:
        return f"{number} bytes"
    power = next(i for i in range(1, 5) if number < 1000 ** (i + 1))
    return f"{number / 1000**power:.1f} {('kB', 'MB', 'GB', 'TB')[power - 1]}"
