"""One row of the table of bad input: what a user gives, and the error that it ends in.

In `says`, <data> is what messages call the data: the name of the file, "the data frame" or "the dict of arrays".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

import squarely as sq
from squarely.errors import DataError, FormulaError, InputError, OptionError, SquarelyError

USUAL = dict.fromkeys(("file", "frame", "value", "name", "encoding"), DataError) | {
    "formula": FormulaError,
    "option": OptionError,
    "hypothesis": FormulaError,
    "prediction": OptionError,
    "diagnostic": OptionError,
    "effect": OptionError,
    "loop": InputError,
    "answer": InputError,
    "loss": DataError,
}
NO_OBJECTS = "the command line has paths and text only"
NOT_IN_CSV = "a CSV file cannot hold it"


@dataclass(frozen=True)
class File:
    """A file that the row writes."""

    content: str | bytes
    name: str = "data.csv"


@dataclass(frozen=True)
class Files:
    """Files that the row writes into a folder called data."""

    contents: Mapping[str, str | bytes]


@dataclass(frozen=True)
class At:
    """A path at which the row writes nothing."""

    path: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """One mistake, or something odd that is fine.

    `data` is a File, Files, an At, a table (in Python as it is, on the command line as CSV), a function that makes an object, or
    any other object. What is right has `params` in place of an error. `cli_says` is for messages that are others there.
    `python_only` and `cli_only` say why.
    """

    name: str
    data: Any
    formula: Any = "y ~ x"
    call: str = "ols"
    options: Mapping[str, Any] = field(default_factory=dict)
    says: str = ""
    params: tuple[float, ...] | None = None
    raises: type[SquarelyError] | None = None
    cli_says: str = ""
    python_only: str = ""
    cli_only: str = ""
    kind: str = ""

    @property
    def error(self) -> type[SquarelyError]:
        """The kind of error that is expected."""
        return self.raises or USUAL[self.kind]


def is_table(data: object) -> bool:
    """Tell whether the same data can be given as a CSV file."""
    return isinstance(data, Mapping | pd.DataFrame)


def for_python(row: Row) -> Any:
    """Give what Python is given; files are written into the current folder."""
    if isinstance(row.data, File):
        _write(Path(row.data.name), row.data.content)
        return row.data.name
    if isinstance(row.data, Files):
        for name, content in row.data.contents.items():
            _write(Path("data", name), content)
        return "data"
    if isinstance(row.data, At):
        return row.data.path
    return row.data() if callable(row.data) else row.data


def run_in_python(row: Row, data: Any) -> Any:
    """Make the call of a row; `test`, `typ`, `against`, `new` and `group` among its options are not those of the call."""
    options = dict(row.options)
    if row.call == "checkup":
        return sq.checkup(row.formula, **options)
    if row.call == "checkup_losses":
        return sq.checkup_losses(data, **options)
    if row.call not in ("anova", "ols", "preview", "rolling", "expanding", "train", "sweep", "certify"):
        return _call_fit(row, data, options)
    test, typ, against = (options.pop(name, None) for name in ("test", "typ", "against"))
    if row.call == "anova":
        fits = [sq.ols(formula, data, **options) for formula in (row.formula, against) if formula]
        return sq.anova(*fits, **({} if typ is None else {"typ": typ}))
    group = options.pop("group", None)
    result = getattr(sq, row.call)(row.formula, data, **options)
    if group is not None:
        raise result[group]
    return result if test is None else result.f_test(test)


def _call_fit(row: Row, data: Any, options: dict[str, Any]) -> Any:
    """Fit, and make a call with the result."""
    fit = sq.ols(row.formula, data, **{name: options.pop(name) for name in ("frequencies",) if name in options})
    calls = {
        "diagnose": lambda: getattr(fit, options.pop("method", "diagnostics"))(**options),
        "predict": lambda: fit.predict(options.pop("new", data), **options),
        "influence": lambda: fit.get_influence().top(**options),
        "table": lambda: sq.table(fit, **options),
        "effects": lambda: fit.effects(options.pop("variable"), **options),
        "margins": lambda: fit.margins(**options),
    }
    return calls[row.call]() if row.call in calls else getattr(fit, row.call.removeprefix("fit."))(**options)


def _write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def for_cli(row: Row) -> str:
    """Give the path that the command line is given; a table is written into the current folder as data.csv."""
    if is_table(row.data):
        pd.DataFrame(row.data).to_csv("data.csv", index=False)
        return "data.csv"
    return for_python(row)


def label(row: Row, *, cli: bool) -> str:
    """Give what messages call the data."""
    if isinstance(row.data, File | At):
        return row.data.name if isinstance(row.data, File) else row.data.path
    if isinstance(row.data, Files):
        return "data"
    if cli:
        return "data.csv"
    return "the data frame" if isinstance(row.data, pd.DataFrame) else "the dict of arrays"


LINE = "1,2\n2,4\n3,6\n4,8\n"
ON_A_LINE = (0.0, 2.0)
TABLE = {
    "x": [1.0, 2, 3, 5, 7, 8],
    "z": [3.0, 1, 2, 2, 5, 1],
    "y": [1.0, 2, 3, 4, 6, 9],
    "origin": ["usa", "japan", "europe", "usa", "japan", "usa"],
    "model year": [1.0, 1, 2, 2, 3, 4],
}
SMALL = {"x": [1.0, 2, 3, 5], "y": [1.0, 2, 3, 4]}


def with_columns(**columns: Any) -> dict[str, Any]:
    return {**SMALL, **columns}


def file_of(*values: str) -> File:
    return File("x,y\n" + "".join(f"{value},{i}\n" for i, value in enumerate(values, start=1)))
