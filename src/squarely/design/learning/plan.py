"""The plan of what a design learns: factors, columns that it reads, and what each pass learns; the error where no row is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from squarely.data import RowAccount, Source, require_columns, unsupported_column_error
from squarely.design.design import Design, RowInputs, formula_inputs, row_inputs
from squarely.design.encoding.learned_state import LearnedState
from squarely.design.encoding.numbers_as_text import first_text, numbers_hint, unit_of
from squarely.design.formula.expression import Name, Standardize, column_names, standardizations_in
from squarely.design.formula.factors import Basis, Categorical, Factor, Numeric, UntypedColumn, argument_of
from squarely.design.formula.formula import Formula, needs_backticks
from squarely.design.formula.source_text import caret_line
from squarely.design.formula.where import Where, bind_where
from squarely.errors import DataError, listed, option_hint, pluralize, show_value

_KIND_TEXTS = {"means": "mean", "levels": "levels", "ranges": "range", "knots": "knots", "polynomials": "orthogonal polynomials"}
_NO_VALUE = " An expression has no value where it divides by zero, or takes a root or logarithm of a number that is too small."
_GAPS = {"null": "empty", "nan": "not a number", "inf": "infinite"}


@dataclass(frozen=True, slots=True)
class LearningTask:
    """One thing to learn: the "means" (and deviations), "levels", "ranges", "knots" or "polynomials" of a subject."""

    kind: str
    subject: Standardize | Categorical | Basis

    def __str__(self) -> str:
        return f"the {_KIND_TEXTS[self.kind]} of {self.subject.text}"


LearningPass = tuple[LearningTask, ...]


def describe_pass(tasks: LearningPass) -> str:
    """Describe in a word or two what a pass learns.

    >>> from squarely.design.formula.formula import parse_formula
    >>> factors = parse_formula("y ~ C(a) + C(b) + ns(x, df=3)").factors
    >>> describe_pass(tuple(LearningTask("knots" if text[0] == "n" else "levels", factor) for text, factor in factors.items()))
    'levels, knots'
    """
    return ", ".join(dict.fromkeys(task.kind for task in tasks))


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class DesignPlan:
    """What each pass over the rows is to learn. Among `factors` each column named alone is resolved to numbers or categories."""

    formula: Formula
    factors: Mapping[str, Factor]
    source: Source
    where: Where | None
    inputs: RowInputs
    passes: tuple[LearningPass, ...]

    @property
    def columns_read(self) -> tuple[str, ...]:
        """The columns of the data that are read, those of the condition included."""
        numbers, labels = self.inputs.columns(self.where)
        return tuple(dict.fromkeys((*numbers, *labels)))

    @property
    def names(self) -> tuple[str, ...] | None:
        """The names of the coefficients, the intercept first if there is one; None if they depend on levels."""
        has_levels = any(isinstance(factor, Categorical) for factor in self.factors.values())
        return None if has_levels else self.design(LearnedState(), scans=0).names

    def ready(self, state: LearnedState) -> RowInputs:
        """Return the inputs, and the arguments of standardizations, that do not wait for a mean."""
        standardizations = standardizations_in(self.inputs.expressions.values())
        candidates = {**self.inputs.expressions, **{text: part.argument for text, part in standardizations.items()}}
        waiting = standardizations.keys() - state.standardizations.keys()
        ready = {text: e for text, e in candidates.items() if waiting.isdisjoint(standardizations_in([e]))}
        factors = [f for f in self.factors.values() if isinstance(f, Categorical) or f.text in ready]
        weights = self.inputs.weights
        return row_inputs(factors, ready, self.formula.label_columns, weights if weights and weights.text in ready else None)

    def design(self, state: LearnedState, scans: int) -> Design:
        """Make the design of what is learned, without centers and scales as yet."""
        return Design(formula=self.formula, where=self.where, factors=self.factors, learned=state, scans=scans)


def plan_design(formula: Formula, source: Source, where: Where | None = None, *, read_rows: bool = True) -> DesignPlan:
    """Plan how to learn a design. With `read_rows`, an error for a response of text names its first value; no other rows are read.

    Raises DataError if a column is missing or cannot be used.
    """
    require_named(formula, source)
    where = where and bind_where(where, source)
    _require_numeric_response(formula, source, reading=read_rows and not source.partitioned)
    factors = {text: _resolve_type(factor, source) for text, factor in formula.factors.items()}
    inputs = formula_inputs(formula, factors)
    return DesignPlan(formula=formula, factors=factors, source=source, where=where, inputs=inputs, passes=_plan_passes(inputs))


def _plan_passes(inputs: RowInputs) -> tuple[LearningPass, ...]:
    """Plan the passes, means first: an expression with a mean may have no value in rows that everything else must leave out."""
    passes: list[LearningPass] = []
    waiting = standardizations_in(inputs.expressions.values())
    while waiting:
        ready = [part for part in waiting.values() if waiting.keys().isdisjoint(standardizations_in([part.argument]))]
        passes.append(tuple(LearningTask("means", part) for part in ready))
        waiting = {text: part for text, part in waiting.items() if part not in ready}
    levels = [LearningTask("levels", factor) for factor in inputs.factors if isinstance(factor, Categorical)]
    bases = [factor for factor in inputs.factors if isinstance(factor, Basis) and factor.kind != "powers"]
    polynomials = [LearningTask("polynomials", factor) for factor in bases if factor.kind == "poly"]
    first = [LearningTask("ranges" if f.kind == "poly" or f.df is None else "knots", f) for f in bases]
    return tuple(tasks for tasks in (*passes, (*levels, *first), tuple(polynomials)) if tasks)


def require_named(formula: Formula, source: Source) -> None:
    """Raise a DataError unless the source has every column of a formula."""
    if formula.weights:
        try:
            require_columns(source, [name.name for name in column_names(formula.weights.expression)])
        except DataError as error:
            ((option, text),) = formula.weights_option.items()
            raise DataError(f"{option}={text!r} is not a column with values. {error}") from None
    for name in column_names(*formula.response_and_offsets.values(), *map(argument_of, formula.factors.values())):
        try:
            require_columns(source, [name.name])
        except DataError as error:
            odd = [each for each in source.columns if needs_backticks(each) and f"Did you mean {each!r}?" in str(error)]
            write = f" Write it in backticks: `{odd[0]}`." if odd and odd[0].isprintable() else ""
            raise DataError(f"{error}{write}{caret_line(formula.text, name.span) if name.span[1] else ''}") from None
    require_columns(source, formula.label_columns)


def _require_numeric_response(formula: Formula, source: Source, *, reading: bool) -> None:
    """Raise a DataError if the response is a column that does not hold numbers; `reading` rows names its first value."""
    response = formula.response.expression
    if not isinstance(response, Name) or source.kind(response.name) not in ("text", "category", "other"):
        return
    if source.kind(response.name) == "other":
        raise unsupported_column_error(source.label, response.name, source.columns[response.name])
    value, row, has_numbers = first_text(source, response.name) if reading else ("", 0, False)
    kind = "text" if isinstance(value, str) else "categories"
    first = f", {show_value(value)} in data row {row:,}" if reading else ""
    if hint := numbers_hint(value, source):
        advice = hint
    elif isinstance(value, str) and (source.parses_as_number(value) or unit_of(value) is not None):
        advice = "Write its values as numbers, such as 1234.5"
    elif not has_numbers:
        advice = "Make numbers of its groups, such as 0 and 1 of two"
    elif not source.takes_na_values:
        advice = "Correct or clear that value"
    elif row == 1 and any(" skipped" in note for note in source.notes):
        advice = "Correct that value, or skip its line, too, if it is not a row of data"
    elif row == 1 and not source.typed:  # it may have units
        advice = f"Correct that value, or give {option_hint('skip_rows', [2])} if line 2 is not a row of data"
    else:
        advice = f"Correct that value, or give {option_hint('na_values', [value])} if it means a missing value"
    at = caret_line(formula.text, response.span) if response.span[1] else ""
    raise DataError(
        f"The response {response.name!r} of {source.label} holds {kind}{first}, and a regression explains numbers. {advice}.{at}"
    )


def _resolve_type(factor: Factor, source: Source) -> Factor:
    if not isinstance(factor, UntypedColumn):
        return factor
    kind = source.kind(factor.name.name)
    if kind == "other":
        raise unsupported_column_error(source.label, factor.name.name, source.columns[factor.name.name])
    if kind in ("text", "boolean", "category"):
        return Categorical(text=factor.text, name=factor.name, is_untyped=True)
    return Numeric(text=factor.text, expression=factor.name)


def no_rows_error(source: Source, account: RowAccount, columns: Sequence[str], where: Where | None) -> DataError:
    """Return the error that says why no row is complete in these columns."""
    if account.read == 0:
        return DataError(f"There are column names but no rows in {source.label}. Give at least {len(columns) + 1} rows.")
    remaining = account.read - account.filtered
    if where and not remaining:
        return DataError(
            f"None of the {pluralize(account.read, 'row')} of {source.label} meets where={where.text!r}. Change the condition."
        )
    causes = "; ".join(
        f"{name!r} is {' or '.join(_GAPS[cause] for cause, n in causes.items() if n)} in {pluralize(sum(causes.values()), 'row')}"
        for name, causes in list(account.dropped.items())[:12]
    )
    meeting = f" that meet where={where.text!r}" if where else ""
    if account.weightless:
        gaps = f", and in the others {causes}" if causes else ""
        return DataError(
            f"None of the {pluralize(remaining, 'row')} of {source.label}{meeting} has a weight above zero: "
            f"{pluralize(account.weightless, 'row')} of weight zero{gaps}. Give some rows a weight."
        )
    return DataError(
        f"None of the {pluralize(remaining, 'row')} of {source.label}{meeting} is complete in the columns "
        f"{listed(map(repr, columns))}: {causes}. "
        "Fill these gaps, or leave these columns out." + (_NO_VALUE if account.dropped.keys() - columns else "")
    )
