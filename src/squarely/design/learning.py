"""Learning a design from rows: levels, means, knots and ranges, each by a fold, over the rows that the fit will use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from squarely.data import Batch, RowAccount, Source, batches, not_usable, require_columns
from squarely.design.basis import chebyshev, inner_knots, orthogonal, spline
from squarely.design.categories import MOST_LEVELS, coding, found_in, merged
from squarely.design.condition import Where, met, require_where
from squarely.design.design import Column, Design, Learnt, Part, columns_needed, recentred
from squarely.design.expression import Expression, Moved, Moving, Name, names, parts
from squarely.design.factor import Bare, Basis, Categorical, Contrast, Factor, Numeric, expression_of
from squarely.design.formula import Formula
from squarely.design.reading import pointer
from squarely.design.rows import Evaluated, evaluated, rows
from squarely.design.terms import Term, codings, ordered
from squarely.errors import DataError, counted
from squarely.numerics import Array, power_of_two

_MOST_COLUMNS = 5_000
_NO_VALUE = " An expression has no value where it divides by zero, or takes a root or logarithm of a number that is too small."
_GAPS = {"null": "empty", "nan": "not a number", "inf": "infinite"}


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class _Lesson:
    """One thing to learn: a fold over the rows, and what becomes of its total."""

    step: Callable[[Batch, Evaluated], Any]
    merge: Callable[[Any, Any], Any]
    finish: Callable[[Learnt, Any], Learnt]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class _Subject:
    """What is to be learnt of, and where its rows are; `numbers` and `labels` are the columns that it needs."""

    formula: Formula
    factors: Mapping[str, Factor]
    source: Source
    where: Where | None
    numbers: Sequence[str]
    labels: Sequence[str]

    @property
    def moved(self) -> dict[str, Moved]:
        """Every `center` and `scale`, by its text."""
        expressions = [expression_of(f) for f in self.factors.values() if not isinstance(f, Categorical)]
        inside = (part for e in (*expressions, *self.formula.outside.values()) for part in parts(e))
        return {part.text: part for part in inside if isinstance(part, Moved)}


def learn(formula: Formula, source: Source, where: Where | None = None) -> Design:
    """Learn what the columns are, and centres and scales from a pilot, the first rows that are complete.

    A centre from a pilot serves as well as the mean; `moments` folds again when the pilot turns out to be far off.

    Raises
    ------
    DataError : a column is missing or cannot be used, there are no rows, or none is complete.
    FormulaError : the formula names a level that is not there.
    """
    _require_named(formula, source)
    if where:
        require_where(where, source)
    _require_numeric_response(formula, source)
    factors = {text: _told(factor, source) for text, factor in formula.factors.items()}
    numbers, labels = columns_needed(factors.values(), formula.outside.values())
    subject = _Subject(formula=formula, factors=factors, source=source, where=where, numbers=numbers, labels=labels)
    learnt, scans = Learnt(), 0
    while lessons := list(_lessons(subject, learnt)):
        for lesson, total in zip(lessons, _taught(lessons, subject, learnt), strict=True):
            learnt = lesson.finish(learnt, total)
        scans += 1
    columns = columns_of(formula, factors, learnt)
    k = len(columns) + 1
    design = Design(
        formula=formula,
        where=where,
        factors=factors,
        learnt=learnt,
        columns=columns,
        centres=np.zeros(k),
        scales=np.ones(k),
        scans=scans,
    )
    return _piloted(design, source)


def _require_named(formula: Formula, source: Source) -> None:
    """Raise a DataError that points into the formula when a column that it names is not there."""
    for expression in [*formula.outside.values(), *map(expression_of, formula.factors.values())]:
        for name in names(expression):
            try:
                require_columns(source, [name.name])
            except DataError as error:
                raise DataError(f"{error}{pointer(formula.text, name.at) if name.at[1] else ''}") from None


def _require_numeric_response(formula: Formula, source: Source) -> None:
    response = formula.response.expression
    if isinstance(response, Name) and (kind := source.kind(response.name)) in ("text", "other"):
        held = "text" if kind == "text" else f"{source.columns[response.name]} values"
        at = pointer(formula.text, response.at) if response.at[1] else ""
        raise DataError(
            f"The response {response.name!r} of {source.label} holds {held}, and a regression explains numbers. "
            f"Make numbers of it, such as 0 and 1 for two groups.{at}"
        )


def _told(factor: Factor, source: Source) -> Factor:
    """Let the data say whether a column named alone holds numbers or categories."""
    if not isinstance(factor, Bare):
        return factor
    kind = source.kind(factor.name.name)
    if kind == "other":
        raise not_usable(source, factor.name.name, source.columns[factor.name.name])
    if kind in ("text", "boolean"):
        return Categorical(text=factor.text, name=factor.name, contrast=Contrast())
    return Numeric(text=factor.text, expression=factor.name)


def _lessons(subject: _Subject, learnt: Learnt) -> Iterator[_Lesson]:
    """Yield what can be learnt next, given what is learnt."""
    for text, factor in subject.factors.items():
        if isinstance(factor, Categorical) and text not in learnt.codings:
            yield _levels(factor, subject.source, bare=isinstance(subject.formula.factors[text], Bare))
    for text, part in subject.moved.items():
        if text not in learnt.moves and _is_known(part.argument, learnt):
            yield _moving(part)
    for text, factor in subject.factors.items():
        waits = isinstance(factor, Basis) and factor.kind != "powers" and text not in learnt.bases
        if isinstance(factor, Basis) and waits and _is_known(factor.argument, learnt):
            yield _basis(factor, learnt)


def _is_known(expression: Expression, learnt: Learnt) -> bool:
    return all(part.text in learnt.moves for part in parts(expression) if isinstance(part, Moved))


def _taught(lessons: Sequence[_Lesson], subject: _Subject, learnt: Learnt) -> list[Any]:
    """Scan the rows once for several lessons, over the rows that are complete as far as that is known, and give their totals."""
    # What still waits for a mean cannot be evaluated yet; its columns must be complete all the same.
    ready = [f for f in subject.factors.values() if isinstance(f, Categorical) or _is_known(expression_of(f), learnt)]
    inside = {part.text: part.argument for part in subject.moved.values()}
    now = {text: e for text, e in {**subject.formula.outside, **inside}.items() if _is_known(e, learnt)}
    where, numbers, labels = subject.where, subject.numbers, subject.labels
    also = (where.numbers, where.labels) if where else ((), ())
    totals: list[Any] = [None] * len(lessons)
    account = RowAccount()
    for batch in batches(subject.source, list(dict.fromkeys((*numbers, *also[0]))), list(dict.fromkeys((*labels, *also[1])))):
        among = met(where, batch) if where else None
        complete = batch.complete(numbers, labels, among)
        seen = evaluated(batch, ready, now, learnt, complete)
        if not account.used:  # the gaps are told only if no row is left
            gaps = batch.account(numbers, labels, among)
            account += replace(gaps, used=int(seen.keep.sum()), dropped={**gaps.dropped, **seen.account.dropped})
        if seen.keep.any():
            for i, lesson in enumerate(lessons):
                new = lesson.step(batch, seen)
                totals[i] = new if totals[i] is None else lesson.merge(totals[i], new)
    if not account.used:
        raise _nothing(subject.source, account, [*numbers, *labels], where)
    return totals


def _nothing(source: Source, account: RowAccount, columns: Sequence[str], where: Where | None) -> DataError:
    if account.read == 0:
        return DataError(f"There are column names but no rows in {source.label}. Give at least {len(columns) + 1} rows.")
    left = account.read - account.filtered
    if where and not left:
        return DataError(
            f"None of the {counted(account.read, 'row')} of {source.label} meets where={where.text!r}. Mend the condition."
        )
    causes = "; ".join(
        f"{name!r} is {' or '.join(_GAPS[cause] for cause, met in causes.items() if met)} in {counted(sum(causes.values()), 'row')}"
        for name, causes in list(account.dropped.items())[:12]
    )
    meeting = f" that meet where={where.text!r}" if where else ""
    return DataError(
        f"None of the {counted(left, 'row')} of {source.label}{meeting} is complete in the columns {_listed(columns)}: {causes}. "
        "Fill these gaps, or leave out what has them." + (_NO_VALUE if account.dropped.keys() - columns else "")
    )


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(map(repr, columns[:12])) + (", ..." if len(columns) > 12 else "")  # enough to see which


def _levels(factor: Categorical, source: Source, *, bare: bool) -> _Lesson:
    name = factor.name.name

    def merge(a: dict[Any, int], b: dict[Any, int]) -> dict[Any, int]:
        return a if len(a) > MOST_LEVELS else merged(a, b)  # enough to be refused

    def finish(learnt: Learnt, found: dict[Any, int]) -> Learnt:
        made = coding(factor, found, source, bare=bare)
        return replace(learnt, codings={**learnt.codings, factor.text: made})

    return _Lesson(step=lambda batch, seen: found_in(batch.labels[name], seen.keep, batch.first), merge=merge, finish=finish)


def _moving(part: Moved) -> _Lesson:
    """Mean and deviation, merged by the formula of Chan, Golub and LeVeque (1983), doi:10.1080/00031305.1983.10483115."""

    def step(batch: Batch, seen: Evaluated) -> tuple[int, float, float]:
        x = seen.numbers[part.argument][0]
        mean = float(x.mean())
        return len(x), mean, float(np.square(x - mean).sum())

    def merge(a: tuple[int, float, float], b: tuple[int, float, float]) -> tuple[int, float, float]:
        n, away = a[0] + b[0], b[1] - a[1]
        return n, a[1] + away * b[0] / n, a[2] + b[2] + away**2 * a[0] * b[0] / n

    def finish(learnt: Learnt, total: tuple[int, float, float]) -> Learnt:
        n, mean, squares = total
        deviation = float(np.sqrt(squares / (n - part.ddof))) if n > part.ddof else 0.0
        if part.scaled and not deviation > 0:
            raise DataError(
                f"{part.text} divides by a standard deviation that is zero: its argument is {mean:g} in every row that is used. "
                "Leave it out."
            )
        return replace(learnt, moves={**learnt.moves, part.text: Moving(mean=mean, deviation=deviation)})

    return _Lesson(step=step, merge=merge, finish=finish)


def _basis(factor: Basis, learnt: Learnt) -> _Lesson:
    """Learn the range first; a polynomial then needs a QR of the rows, a spline with `df` the quantiles of all values."""
    if factor.kind != "poly" and factor.df is not None:
        return _quantiles(factor)
    if factor.text in learnt.ranges:
        return _orthogonal(factor, *learnt.ranges[factor.text])

    def step(batch: Batch, seen: Evaluated) -> tuple[float, float]:
        x = seen.numbers[factor.argument][0]
        return float(x.min()), float(x.max())

    def finish(learnt: Learnt, ends: tuple[float, float]) -> Learnt:
        if factor.kind != "poly":
            return _with_spline(learnt, factor, np.array(factor.knots), ends)
        if not ends[0] < ends[1]:
            raise _too_few(factor)
        return replace(learnt, ranges={**learnt.ranges, factor.text: ends})

    return _Lesson(step=step, merge=lambda a, b: (min(a[0], b[0]), max(a[1], b[1])), finish=finish)


def _orthogonal(factor: Basis, low: float, high: float) -> _Lesson:
    def step(batch: Batch, seen: Evaluated) -> Array:
        return _qr(chebyshev(seen.numbers[factor.argument][0], low, high, factor.degree))

    def finish(learnt: Learnt, R: Array) -> Learnt:
        sizes = np.abs(np.diag(R))
        if len(R) <= factor.degree or sizes.min() <= 1e-13 * sizes.max() * len(R):
            raise _too_few(factor)
        return replace(learnt, bases={**learnt.bases, factor.text: orthogonal(R, low, high)})

    return _Lesson(step=step, merge=lambda a, b: _qr(np.vstack([a, b])), finish=finish)


def _qr(table: Array) -> Array:
    R: Array = np.linalg.qr(table, mode="r")  # type: ignore[assignment]  # with this mode it is R alone
    return R


def _too_few(factor: Basis) -> DataError:
    return DataError(
        f"{factor.text} wants more than {factor.degree} different values of its argument in the rows that are used, and there are "
        "not so many. Lower the degree."
    )


def _quantiles(factor: Basis) -> _Lesson:
    def finish(learnt: Learnt, values: list[Array]) -> Learnt:
        x, df = np.concatenate(values), factor.df or 0
        inner = df - factor.degree if factor.kind == "bs" else df - 1
        return _with_spline(learnt, factor, inner_knots(x, inner - factor.intercept), (float(x.min()), float(x.max())))

    return _Lesson(
        step=lambda batch, seen: [seen.numbers[factor.argument][0]],
        merge=lambda a, b: [*a, *b],  # the quantiles are exact, and need all values of this one column
        finish=finish,
    )


def _with_spline(learnt: Learnt, factor: Basis, inner: Array, ends: tuple[float, float]) -> Learnt:
    made = spline(
        text=factor.text,
        kind=factor.kind,
        inner=inner,
        low=ends[0],
        high=ends[1],
        degree=factor.degree,
        intercept=factor.intercept,
    )
    return replace(learnt, bases={**learnt.bases, factor.text: made})


def columns_of(formula: Formula, factors: Mapping[str, Factor], learnt: Learnt) -> tuple[Column, ...]:
    """List the columns of X in patsy's order: groups of terms with the same numeric factors, the first factor varying fastest."""
    categorical = set(learnt.codings)
    terms: list[Term] = [*([()] if formula.intercept else []), *formula.terms]
    columns: list[Column] = []
    for group in ordered(terms, categorical):
        for term, blocks in codings(group, categorical).items():
            for block in blocks:
                here = [text for text in term if text in block or text not in categorical]
                if here:
                    columns += _products([_choices(factors[text], learnt, full=block.get(text, False)) for text in here])
                if len(columns) > _MOST_COLUMNS:
                    raise DataError(
                        f"The formula {formula.text!r} makes more than {_MOST_COLUMNS:,} columns. Group levels, or leave terms out."
                    )
    return tuple(columns)


def _choices(factor: Factor, learnt: Learnt, *, full: bool) -> list[tuple[str, Part]]:
    """Give the columns of one factor, each with the name that statsmodels prints."""
    text = factor.text
    if isinstance(factor, Categorical):
        return [(f"{text}[{name}]", (text, full, j)) for j, name in enumerate(learnt.codings[text].names(full=full))]
    if not isinstance(factor, Basis):
        return [(text, (text, False, 0))]
    if factor.kind in ("poly", "powers"):
        return [(f"{text}[{j + 1}]", (text, False, j)) for j in range(factor.degree)]
    made = learnt.bases[text]
    width = made.columns(np.array([made.boundary[0]])).shape[1]  # type: ignore[union-attr]  # a spline has a boundary
    return [(f"{text}[{j}]", (text, False, j)) for j in range(width)]


def _products(choices: Sequence[Sequence[tuple[str, Part]]]) -> list[Column]:
    combinations = product(*reversed(choices))  # the last varies fastest here, so the first factor does in the end
    return [Column(":".join(name for name, _ in c[::-1]), tuple(part for _, part in c[::-1])) for c in combinations]


def _piloted(design: Design, source: Source) -> Design:
    """Give the design centres and scales from the first block that has complete rows."""
    account = RowAccount()
    for block in rows(design, source):
        account += block.account
        if len(block.values):
            with np.errstate(over="ignore", invalid="ignore"):
                peak = np.abs(block.values).max(axis=0)
                unit = np.array([power_of_two(x) for x in peak])  # keeps the squares within range
                small = block.values / unit
                return recentred(design, mean=small.mean(axis=0) * unit, spread=small.std(axis=0) * unit)
    numbers, labels = columns_needed(design.factors.values(), design.formula.outside.values())
    raise _nothing(source, account, [*numbers, *labels], design.where)
