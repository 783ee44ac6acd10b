"""The part of a script that reads the rows with pandas, and selects those that the run used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from squarely.data import PandasReadCall, Source, iter_batches, named_kind, pandas_read_call, pandas_read_csv_call
from squarely.descent.codegen.expressions import Fields, evaluate_constant, expression_code
from squarely.descent.codegen.python_text import BracketedText, call, dict_literal, list_literal, literal, remark, statement
from squarely.design import (
    COMPARISONS,
    BooleanOperation,
    Comparison,
    Condition,
    Design,
    IsIn,
    Name,
    Number,
    column_names,
)
from squarely.errors import OptionError
from squarely.numerics import EXACT_INTEGERS
from squarely.storage.disk import printable_name

_GAPS = ("", "NA", "NULL", "<gap>")  # candidates for gaps in a file that the user writes
_NAN = ("nan", "NaN", "NAN")
_TRUTH = 'truth = {"true": 1.0, "false": 0.0, "t": 1.0, "f": 0.0, "yes": 1.0, "no": 0.0}'
_NARROW_FLOATS: Mapping[str, np.dtype] = {"float": np.dtype("float32"), "halffloat": np.dtype("float16")}  # by Arrow's names


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnUses:
    """What a script needs from the rows; a use is "number", "truth" (a boolean) or "text"."""

    by_column: Mapping[str, tuple[str, ...]]  # name -> its uses
    complete_columns: tuple[tuple[str, str], ...]  # (name, use) of the columns in which a row of the fit has no gap

    @property
    def fields(self) -> Fields:
        """The key in the script's frame of each (name, use)."""
        keys = {(name, kinds[0]): name for name, kinds in self.by_column.items()}
        for name, kinds in self.by_column.items():
            for kind in kinds[1:]:
                key = f"{name} as {kind}"
                while key in keys.values() or key in self.by_column:
                    key += " "
                keys[name, kind] = key
        return keys


def column_uses(design: Design, source: Source) -> ColumnUses:
    """Return which columns a design needs, and how it uses them."""
    used = [(name, numeric_use(source, name)) for name in design.inputs.numbers]
    used += [(coding.column, level_use(coding.levels)) for coding in design.categories.values()]
    in_where = [] if design.where is None else _condition_uses(design.where.condition, source)
    by_column: dict[str, set[str]] = {}
    for name, use in [*used, *in_where]:
        by_column.setdefault(name, set()).add(use)
    # Text comes first: a column that is read as text can be converted to numbers, but not the other way round.
    ordered = {name: tuple(sorted(kinds, key=("text", "number", "truth").index)) for name, kinds in by_column.items()}
    return ColumnUses(by_column=ordered, complete_columns=tuple(dict.fromkeys(used)))


def widen_floats(design: Design, source: Source) -> Design:
    """Replace the numbers that columns of narrow floats are compared with by the doubles that a script reads.

    A condition with arithmetic stays as it is: the script counts its rows, and ends if they are not those of the run.
    """
    codings = design.categories
    named = {coding.column for coding in codings.values() if isinstance(coding.levels[0], float)}
    named |= set() if design.where is None else {*design.where.numbers, *design.where.labels}
    narrow = _narrow_types(source, [], sorted(named)) if named else {}
    if not narrow:
        return design
    levels = {
        text: replace(coding, levels=tuple(float(narrow[coding.column].type(level)) for level in coding.levels))
        for text, coding in codings.items()
        if coding.column in narrow
    }
    where = design.where and replace(design.where, condition=_widen_condition(design.where.condition, narrow))
    return replace(design, where=where, learned=replace(design.learned, contrasts={**codings, **levels}))


def _widen_condition(condition: Condition, narrow: Mapping[str, np.dtype]) -> Condition:
    if isinstance(condition, BooleanOperation):
        return replace(condition, conditions=tuple(_widen_condition(part, narrow) for part in condition.conditions))
    if isinstance(condition, Comparison):
        kind = next((narrow[side.name] for side in condition.sides if isinstance(side, Name) and side.name in narrow), None)
        if kind is None:
            return condition
        left, right = (Number(float(kind.type(side.value))) if isinstance(side, Number) else side for side in condition.sides)
        return replace(condition, sides=(left, right))
    if condition.name.name in narrow:
        kind = narrow[condition.name.name]
        return replace(condition, values=tuple(float(kind.type(float(value))) for value in condition.values))
    return condition


def level_use(levels: tuple[Any, ...]) -> str:
    """Return how a column is compared with its levels. Integers beyond 2**53 differ as text only."""
    if all(isinstance(level, bool) for level in levels):
        return "truth"
    is_text = isinstance(levels[0], str) or any(isinstance(level, int) and abs(level) >= EXACT_INTEGERS for level in levels)
    return "text" if is_text else "number"


def numeric_use(source: Source, name: str) -> str:
    """Return how a script reads a column that the fit uses as a number."""
    return "truth" if source.kind(name) == "boolean" else "number"


def _condition_uses(condition: Condition, source: Source) -> list[tuple[str, str]]:
    if isinstance(condition, BooleanOperation):
        return [use for part in condition.conditions for use in _condition_uses(part, source)]
    if isinstance(condition, Comparison):
        return [(name.name, numeric_use(source, name.name)) for name in column_names(*condition.sides)]
    name = condition.name.name
    return [(name, "text" if all(isinstance(value, str) for value in condition.values) else numeric_use(source, name))]


def file_of(source: Source, uses: ColumnUses, data: str | None, *, name: str = "frame") -> tuple[PandasReadCall, list[str]]:
    """Return how the script reads its file; if the rows are in memory, with comments on how to write the frame `name` to it."""
    own = source.pandas_call
    if own is not None:
        if data is None:
            for each in (own, *own.further_calls):
                if each.function == "read_parquet" and printable_name(each.path) != each.path:
                    raise OptionError(
                        f"The path {each.path!r} is not UTF-8, and pandas.read_parquet cannot open it. Rename the file, or give "
                        "code(data=...) another path."
                    )
            return own, []
        other = pandas_read_call(data, named_kind(data))
        is_same = other.function == own.function
        return (PandasReadCall(path=data, function=own.function, options=own.options, gaps=own.gaps) if is_same else other), []
    gap = _choose_gap(source, uses)
    path = data or ("data.csv" if name == "frame" else f"{name}.csv")
    file = pandas_read_call(path, named_kind(path))
    if file.typed:
        write = file.function.replace("read", "to")
        return file, [f"# The rows were in memory. As a pandas DataFrame, write them first: {name}.{write}(...)"]
    numbers = [column for column, kinds in uses.by_column.items() if kinds == ("number",)]
    casts = dict_literal(dict.fromkeys(_narrow_types(source, numbers, []), '"float64"'))
    cast = f".astype({casts})" if casts.items else ""
    option = f", na_rep={literal(gap)}" if gap else ""
    return pandas_read_csv_call(file.path, nulls=(gap,)), [
        "# The rows were in memory. As a pandas DataFrame, write them first:",
        f"#     {name}{cast}.to_csv({literal(file.path)}, index=False{option})",
    ]


def _choose_gap(source: Source, uses: ColumnUses) -> str:
    """Choose a text for gaps that is not a level."""
    texts = [name for name, kinds in uses.by_column.items() if "text" in kinds]
    levels = {value for batch in iter_batches(source, [], texts) for name in texts for value in batch.labels[name].values}
    gap = next((word for word in _GAPS if word not in levels), _GAPS[-1])
    while gap in levels:
        gap += ">"
    return gap


def _narrow_types(source: Source, numbers: list[str], labels: list[str]) -> dict[str, np.dtype]:
    """Return the types of the columns that have floats which a CSV file does not restore exactly."""
    types = map(str, next(iter(source.read(numbers, labels))).schema.types)
    return {name: _NARROW_FLOATS[kind] for name, kind in zip([*numbers, *labels], types, strict=False) if kind in _NARROW_FLOATS}


def read_code(file: PandasReadCall, uses: ColumnUses) -> list[str]:
    """Write the statements that read the file, or the files, and convert each column to the type of its use."""
    lines, first = _call_code(file, uses, literal(file.path))
    files = (file, *file.further_calls)
    if len(files) == 1:
        lines.append(statement("rows = ", first))
    elif all((each.options, each.gaps) == (file.options, file.gaps) and not _constant_columns(each, uses) for each in files):
        lines.append(statement("files = ", list_literal(each.path for each in files)))
        reading = statement("return ", _call_code(file, uses, "file")[1], indent=4)
        lines += ["", "", "def read(file):", reading, "", ""]
        lines.append("rows = pd.concat(map(read, files), ignore_index=True)")
    else:
        calls = [_call_code(each, uses, literal(each.path))[1] for each in files]
        lines.append(statement("rows = ", call("pd.concat", [list_literal(calls), "ignore_index=True"])))
    fields = uses.fields
    # The key of the column itself comes last: the others are computed from what was read.
    conversions = [(name, kind) for name, kinds in uses.by_column.items() for kind in reversed(kinds)]
    converted = [_conversion_code(name, kind, fields, file) for name, kind in conversions]
    if any("map(truth)" in line for line in converted):
        converted.insert(0, _TRUTH)
    return lines + [line for line in converted if line]


def _call_code(file: PandasReadCall, uses: ColumnUses, path: str) -> tuple[list[str], BracketedText]:
    """Write the call that reads one file, whose path is Python text, and the statements before it."""
    option = "usecols" if not file.typed else "columns" if file.function != "read_json" else None
    arguments: list[str | BracketedText] = [path]
    added = _constant_columns(file, uses)
    read = {name: kinds for name, kinds in uses.by_column.items() if name not in added}
    if option:
        arguments.append(list_literal(read, f"{option}="))
    if not file.typed:
        types = {name: '"float64"' if kinds == ("number",) else '"str"' for name, kinds in read.items()}
        arguments.append(dict_literal(types, "dtype="))
    lines: list[str] = []
    for name, value in file.options.items():
        if name == "na_values":
            lines, words = _gap_words_code(value, uses)
            arguments.append(words)
        else:
            arguments.append(f"{name}={literal(value)}")
    code = call(f"pd.{file.function}", arguments)
    if file.gaps:
        code = call("pd.DataFrame.replace", [code, list_literal(file.gaps), "np.nan"])
    if added:
        values = {name: literal(value) for name, value in added.items()}
        code = call("pd.DataFrame.assign", [code, dict_literal(values, "**")])
    return lines, code


def _constant_columns(file: PandasReadCall, uses: ColumnUses) -> dict[str, int | float | str | None]:
    """Return the values of the columns that the file itself does not have, with the type that its kind of file gives."""
    values = {name: value for name, value in file.constants.items() if name in uses.by_column}
    if file.typed:
        return values
    return {name: float(value) if value and uses.by_column[name] == ("number",) else value for name, value in values.items()}


def _gap_words_code(words: list[str], uses: ColumnUses) -> tuple[list[str], BracketedText]:
    """Write the texts that mean a gap: nan is one in a column of numbers, but a level in a column of text."""
    numeric = [name for name, kinds in uses.by_column.items() if kinds == ("number",)]
    if len(numeric) in (0, len(uses.by_column)):
        return [], list_literal([*words, *_NAN] if numeric else words, "na_values=")
    lines = [
        statement("gaps = ", list_literal(words)),
        statement("", BracketedText("not_numbers = [", ("*gaps", *map(literal, _NAN)), "]")),
    ]
    return lines, dict_literal({name: "not_numbers" if name in numeric else "gaps" for name in uses.by_column}, "na_values=")


def _conversion_code(name: str, kind: str, fields: Fields, file: PandasReadCall) -> str:
    field, column = f"rows[{literal(fields[name, kind])}]", f"rows[{literal(name)}]"
    if kind == "text":
        return f'{field} = {column}.astype("object")' if file.typed else ""
    if not file.typed and kind == "truth":
        return f"{field} = {column}.str.lower().map(truth)"
    return f'{field} = {column}.astype("float64")' if file.typed or fields[name, kind] != name else ""


def filter_code(design: Design, uses: ColumnUses) -> list[str]:
    """Write the statements that select the rows of the fit: those that meet the condition and have no gap."""
    fields, lines = uses.fields, []
    if design.where is not None:
        condition = design.where.condition
        parts = condition.conditions if isinstance(condition, BooleanOperation) and condition.word == "and" else (condition,)
        lines += [
            "",
            f"# Only the rows where {remark(design.where.text)}.",
            "# A comparison with a gap is not true.",
            *(f"{'selected &=' if i else 'selected ='} {_condition_code(part, fields, True)}" for i, part in enumerate(parts)),
            "rows = rows[selected]",
        ]
    texts = [fields[name, use] for name, use in uses.complete_columns if use == "text"]
    others = [fields[name, use] for name, use in uses.complete_columns if use != "text"]
    lines += [
        "",
        "# Rows with a gap or an infinity in one of these columns are left out.",
        statement("numbers = ", list_literal(others)),
        "complete = np.isfinite(rows[numbers]).all(axis=1)",
        *(f"complete &= rows[{literal(key)}].notna()" for key in texts),
        "rows = rows[complete]",
    ]
    return lines


def _condition_code(condition: Condition, fields: Fields, is_true: bool) -> str:
    """Write that a condition is true, or that it is false, which is not the same as "not true" if there are gaps."""
    if isinstance(condition, BooleanOperation):
        if condition.word == "not":
            return _condition_code(condition.conditions[0], fields, not is_true)
        sign = " & " if (condition.word == "and") is is_true else " | "
        return sign.join(f"({_condition_code(part, fields, is_true)})" for part in condition.conditions)
    if isinstance(condition, Comparison):
        return _comparison_code(condition, fields, is_true)
    return _membership_code(condition, fields, is_true)


def _comparison_code(condition: Comparison, fields: Fields, is_true: bool) -> str:
    codes = [expression_code(side, fields, {}) for side in condition.sides]
    is_finite = [f" & np.isfinite({code})" for code, side in zip(codes, condition.sides, strict=True) if column_names(side)]
    if not is_finite:  # two numbers, which are compared here
        left, right = map(evaluate_constant, condition.sides)
        holds = math.isfinite(left) and math.isfinite(right) and COMPARISONS[condition.sign](left, right) is is_true
        return f"np.full(len(rows), {holds})"
    return f"{'' if is_true else '~'}({f' {condition.sign} '.join(codes)}){''.join(is_finite)}"


def _membership_code(condition: IsIn, fields: Fields, is_true: bool) -> str:
    values, is_negated, name = condition.values, condition.is_negated is is_true, condition.name.name
    if all(isinstance(value, str) for value in values):
        key = f"rows[{literal(fields[name, 'text'])}]"
        inside, has_value = f"{key}.isin({literal(values)})", f"{key}.notna()"
    else:
        key = f"rows[{literal(fields[name, 'number' if (name, 'number') in fields else 'truth'])}]"
        numbers = [float(value) for value in values if not isinstance(value, str)]
        inside, has_value = f"{key}.isin({literal(numbers)})", f"np.isfinite({key})"
    return f"~{inside} & {has_value}" if is_negated else inside
