"""The part of a script that reads the rows: with pandas, as we read them, and only those that were used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from squarely.data import PandasReadCall, Source, iter_batches, pandas_read_call, pandas_read_csv_call
from squarely.descent.codegen.expressions import Fields, evaluate_constant, expression_code
from squarely.descent.codegen.python_text import BracketedText, add_prefix, call, list_literal, literal, remark, statement
from squarely.design import (
    COMPARISONS,
    BooleanColumn,
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

_GAPS = ("", "NA", "NULL", "<gap>")  # what may stand for a gap in a file that is yet to be written
_NAN = ("nan", "NaN", "NAN")
_TRUTH = 'truth = {"true": 1.0, "false": 0.0, "t": 1.0, "f": 0.0, "yes": 1.0, "no": 0.0}'
_NARROW_FLOATS = {
    "float": "float32",
    "halffloat": "float16",
}  # Arrow's names of the floats that a CSV file would not bring back bit by bit
_OPPOSITE_CONNECTIVES = {"and": " | ", "or": " & "}
_CONNECTIVES = {"and": " & ", "or": " | "}


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnUses:
    """What a script needs of the rows.

    Attributes
    ----------
    uses : name -> the ways in which the column is used: "number", "truth" or "text".
    complete_columns : the columns, as (name, use), in which a row of the fit may have no gap.
    """

    uses: Mapping[str, tuple[str, ...]]
    complete_columns: tuple[tuple[str, str], ...]

    @property
    def fields(self) -> Fields:
        """The key in the script's frame of each (name, use)."""
        keys = {(name, kinds[0]): name for name, kinds in self.uses.items()}
        for name, kinds in self.uses.items():
            for kind in kinds[1:]:
                key = f"{name} as {kind}"
                while key in keys.values() or key in self.uses:
                    key += " "
                keys[name, kind] = key
        return keys


def column_uses(design: Design, source: Source) -> ColumnUses:
    """Find out which columns a design needs, and as what."""
    used = [(name, _numeric_use(source, name)) for name in design.inputs.numbers]
    used += [(coding.column, level_use(coding.levels)) for coding in design.categories.values()]
    filtered = [] if design.where is None else _condition_uses(design.where.condition, source)
    uses: dict[str, list[str]] = {}
    for name, use in [*used, *filtered]:
        uses.setdefault(name, []).append(use)
    # Text comes first: what is read as text can become a number after that, and not the other way round.
    ordered = {name: tuple(sorted(set(kinds), key=("text", "number", "truth").index)) for name, kinds in uses.items()}
    return ColumnUses(uses=ordered, complete_columns=tuple(dict.fromkeys(used)))


def widen_floats(design: Design, source: Source) -> Design:
    """Give the design with the doubles that a script reads in the place of numbers that columns of narrow floats are compared with.

    A condition with arithmetic stays as it is: a script counts its rows, and says so if they are not those of the run.
    """
    codings = design.categories
    named = {coding.column for coding in codings.values() if isinstance(coding.levels[0], float)}
    named |= set() if design.where is None else {*design.where.numbers, *design.where.labels}
    types = [str(kind) for kind in next(iter(source.read([], sorted(named)))).schema.types] if named else []
    narrow = {
        name: np.dtype(_NARROW_FLOATS[kind]) for name, kind in zip(sorted(named), types, strict=False) if kind in _NARROW_FLOATS
    }
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
        sides = condition.left, condition.right
        kind = next((narrow[side.name] for side in sides if isinstance(side, Name) and side.name in narrow), None)
        if kind is None:
            return condition
        left, right = (Number(float(kind.type(side.value))) if isinstance(side, Number) else side for side in sides)
        return replace(condition, left=left, right=right)
    if isinstance(condition, IsIn) and condition.name.name in narrow:
        kind = narrow[condition.name.name]
        return replace(condition, values=tuple(float(kind.type(float(value))) for value in condition.values))
    return condition


def level_use(levels: tuple[Any, ...]) -> str:
    """Tell as what a column is compared with its levels; integers beyond 2**53 are told apart as text only."""
    if all(isinstance(level, bool) for level in levels):
        return "truth"
    is_text = isinstance(levels[0], str) or any(isinstance(level, int) and abs(level) >= EXACT_INTEGERS for level in levels)
    return "text" if is_text else "number"


def _numeric_use(source: Source, name: str) -> str:
    return "truth" if source.kind(name) == "boolean" else "number"


def _condition_uses(condition: Condition, source: Source) -> list[tuple[str, str]]:
    if isinstance(condition, BooleanOperation):
        return [use for part in condition.conditions for use in _condition_uses(part, source)]
    if isinstance(condition, Comparison):
        found = [name.name for side in (condition.left, condition.right) for name in column_names(side)]
        return [(name, _numeric_use(source, name)) for name in found]
    return [(condition.name.name, _membership_use(condition, source))]


def _membership_use(condition: IsIn | BooleanColumn, source: Source) -> str:
    if isinstance(condition, IsIn) and all(isinstance(value, str) for value in condition.values):
        return "text"
    return _numeric_use(source, condition.name.name)


def file_of(source: Source, need: ColumnUses, data: str | None, *, name: str = "frame") -> tuple[PandasReadCall, list[str]]:
    """Say which file the script reads and how, with the comments that say how to write it where the rows are in memory.

    There, `name` is what the comments call the frame.
    """
    at_hand = source.pandas_call
    if at_hand is not None:
        if data is None:
            _require_name(at_hand)
            return at_hand, []
        other = pandas_read_call(data)
        same = other.function == at_hand.function
        return (PandasReadCall(path=data, function=at_hand.function, options=at_hand.options) if same else other), []
    gap = _choose_gap(source, need)
    file = pandas_read_call(data or ("data.csv" if name == "frame" else f"{name}.csv"))
    if file.typed:
        write = file.function.replace("read", "to")
        return file, [f"# The rows were in memory. As a pandas DataFrame, write them first: {name}.{write}(...)"]
    narrow = _narrow_columns(source, need)
    casts = ", ".join(literal(column) + ': "float64"' for column in narrow)
    cast = f".astype({{{casts}}})" if narrow else ""
    option = f", na_rep={literal(gap)}" if gap else ""
    how = f"#     {name}{cast}.to_csv({literal(file.path)}, index=False{option})"
    return pandas_read_csv_call(file.path, nulls=(gap,)), [
        "# The rows were in memory. As a pandas DataFrame, write them first:",
        how,
    ]


def _require_name(file: PandasReadCall) -> None:
    """Raise an OptionError where pandas cannot open a file by its name."""
    for each in (file, *file.further_calls):
        if each.function == "read_parquet" and printable_name(each.path) != each.path:
            raise OptionError(
                f"The path {each.path!r} is not UTF-8, and pandas.read_parquet opens no such file. Rename it, or give "
                "code(data=...) another path."
            )


def _choose_gap(source: Source, need: ColumnUses) -> str:
    """Choose a word for gaps that is no level."""
    texts = [name for name, kinds in need.uses.items() if "text" in kinds]
    met = {value for batch in iter_batches(source, [], texts) for name in texts for value in batch.labels[name].values}
    gap = next((word for word in _GAPS if word not in met), _GAPS[-1])
    while gap in met:
        gap += ">"
    return gap


def _narrow_columns(source: Source, need: ColumnUses) -> list[str]:
    numbers = [name for name, kinds in need.uses.items() if kinds == ("number",)]
    types = [str(kind) for kind in next(iter(source.read(numbers))).schema.types]
    return [name for name, kind in zip(numbers, types, strict=False) if kind in _NARROW_FLOATS]


def read_code(file: PandasReadCall, need: ColumnUses) -> list[str]:
    """Write the statements that read the file, or the files, and give every column the type in which it is used."""
    lines, first = _call_code(file, need, literal(file.path))
    if not file.further_calls:
        lines.append(statement("rows = ", first))
    elif not any(_constant_columns(each, need) for each in (file, *file.further_calls)) and all(
        o.options == file.options for o in file.further_calls
    ):
        lines.append(statement("files = ", list_literal([file.path, *(other.path for other in file.further_calls)])))
        reading = statement("return ", _call_code(file, need, "file")[1], indent=4)
        lines += ["", "", "def read(file):", reading, "", ""]
        lines.append("rows = pd.concat(map(read, files), ignore_index=True)")
    else:
        calls = [first, *(_call_code(other, need, literal(other.path))[1] for other in file.further_calls)]
        lines.append(statement("rows = ", call("pd.concat", [list_literal(calls), "ignore_index=True"])))
    fields = need.fields
    # The column's own key last: the others are made from what was read.
    conversions = [(name, kind) for name, kinds in need.uses.items() for kind in reversed(kinds)]
    made = [_conversion_code(name, kind, fields, file) for name, kind in conversions]
    if any("map(truth)" in line for line in made):
        made.insert(0, _TRUTH)
    return lines + [line for line in made if line]


def _call_code(file: PandasReadCall, need: ColumnUses, path: str) -> tuple[list[str], BracketedText]:
    """Write the call that reads one file, whose path is given as Python text, and the statements that go before it."""
    chosen = "usecols" if not file.typed else "columns" if file.function != "read_json" else None
    arguments: list[str | BracketedText] = [path]
    added = _constant_columns(file, need)
    there = {name: kinds for name, kinds in need.uses.items() if name not in added}
    if chosen:
        arguments.append(add_prefix(f"{chosen}=", list_literal(there)))
    if not file.typed:
        kinds = {name: "float64" if kinds == ("number",) else "str" for name, kinds in there.items()}
        items = tuple(f"{literal(name)}: {literal(kind)}" for name, kind in kinds.items())
        arguments.append(BracketedText("dtype={", items, "}"))
    lines = []
    for name, value in file.options.items():
        if name == "na_values":
            told, words = _gap_words_code(value, need)
            lines += told
            arguments.append(add_prefix("na_values=", words))
        else:
            arguments.append(f"{name}={literal(value)}")
    made = call(f"pd.{file.function}", arguments)
    if added:
        items = tuple(f"{literal(name)}: {literal(value)}" for name, value in added.items())
        made = call("pd.DataFrame.assign", [made, BracketedText("**{", items, "}")])
    return lines, made


def _constant_columns(file: PandasReadCall, need: ColumnUses) -> dict[str, int | float | str | None]:
    """Give the values of the columns that the file itself does not have, as the file's kind has its columns."""
    values = {name: value for name, value in file.constants.items() if name in need.uses}
    if file.typed:
        return values
    return {name: float(value) if value and need.uses[name] == ("number",) else value for name, value in values.items()}


def _gap_words_code(words: list[str], need: ColumnUses) -> tuple[list[str], BracketedText]:
    """Write the words that stand for gaps: in a column of numbers nan is one, in a column of text it is a text."""
    numeric = [name for name, kinds in need.uses.items() if kinds == ("number",)]
    everywhere = list_literal([*words, *_NAN]) if numeric else list_literal(words)
    if len(numeric) in (0, len(need.uses)):
        return [], everywhere
    told = [
        statement("gaps = ", list_literal(words)),
        statement("", BracketedText("not_numbers = [", ("*gaps", *map(literal, _NAN)), "]")),
    ]
    items = (f"{literal(name)}: {'not_numbers' if name in numeric else 'gaps'}" for name in need.uses)
    return told, BracketedText("{", tuple(items), "}")


def _conversion_code(name: str, kind: str, fields: Fields, file: PandasReadCall) -> str:
    field, column = f"rows[{literal(fields[name, kind])}]", f"rows[{literal(name)}]"
    if kind == "text":
        return f'{field} = {column}.astype("object")' if file.typed else ""
    if not file.typed and kind == "truth":
        return f"{field} = {column}.str.lower().map(truth)"
    return f'{field} = {column}.astype("float64")' if file.typed or fields[name, kind] != name else ""


def filter_code(design: Design, need: ColumnUses) -> list[str]:
    """Write the statements that keep the rows of the fit: those that meet the condition and have no gap."""
    fields, lines = need.fields, []
    if design.where is not None:
        condition = design.where.condition
        parts = condition.conditions if isinstance(condition, BooleanOperation) and condition.word == "and" else (condition,)
        lines += [
            "",
            f"# Only the rows where {remark(design.where.text)}.",
            "# A comparison with a gap is not true.",
            *(f"{'chosen &=' if i else 'chosen ='} {_condition_code(part, fields, True)}" for i, part in enumerate(parts)),
            "rows = rows[chosen]",
        ]
    texts = [fields[name, use] for name, use in need.complete_columns if use == "text"]
    others = [fields[name, use] for name, use in need.complete_columns if use != "text"]
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
    """Write a condition, or that it is false, which with gaps is not the same as not being true."""
    if isinstance(condition, BooleanOperation):
        if condition.word == "not":
            return _condition_code(condition.conditions[0], fields, not is_true)
        sign = (_CONNECTIVES if is_true else _OPPOSITE_CONNECTIVES)[condition.word]
        return sign.join(f"({_condition_code(part, fields, is_true)})" for part in condition.conditions)
    if isinstance(condition, Comparison):
        return _comparison_code(condition, fields, is_true)
    return _membership_code(condition, fields, is_true)


def _comparison_code(condition: Comparison, fields: Fields, is_true: bool) -> str:
    sides = [expression_code(side, fields, {}) for side in (condition.left, condition.right)]
    known = [
        f" & np.isfinite({text})" for text, side in zip(sides, (condition.left, condition.right), strict=True) if column_names(side)
    ]
    if not known:  # two numbers, whose comparison is worked out here: it has a value for each row all the same
        left, right = (evaluate_constant(side) for side in (condition.left, condition.right))
        holds = math.isfinite(left) and math.isfinite(right) and COMPARISONS[condition.sign][0](left, right) is is_true
        return f"np.full(len(rows), {holds})"
    return f"{'' if is_true else '~'}({sides[0]} {condition.sign} {sides[1]}){''.join(known)}"


def _membership_code(condition: IsIn | BooleanColumn, fields: Fields, is_true: bool) -> str:
    values: tuple[Any, ...] = (True,) if isinstance(condition, BooleanColumn) else condition.values
    is_negated = (isinstance(condition, IsIn) and condition.is_negated) is is_true
    name = condition.name.name
    if all(isinstance(value, str) for value in values):
        key = f"rows[{literal(fields[name, 'text'])}]"
        inside, has_value = f"{key}.isin({literal(values)})", f"{key}.notna()"
    else:
        key = f"rows[{literal(fields[name, 'number' if (name, 'number') in fields else 'truth'])}]"
        wanted_numbers = [float(value) for value in values if not isinstance(value, str)]
        inside, has_value = f"{key}.isin({literal(wanted_numbers)})", f"np.isfinite({key})"
    return f"~{inside} & {has_value}" if is_negated else inside
