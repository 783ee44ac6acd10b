"""Results as pandas objects, and the call of pandas that reads a file. Functions import pandas when they need it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def to_series(values: object, index: Any, name: str | None = None) -> pd.Series:
    """Make a Series.

    >>> to_series([1.5], ["x"])["x"]
    np.float64(1.5)
    """
    import pandas as pd

    return pd.Series(values, index=index, name=name)


def to_frame(values: object, index: Any = None, columns: Any = None) -> pd.DataFrame:
    """Make a DataFrame of named columns, or of a matrix with the names of its columns."""
    import pandas as pd

    return pd.DataFrame(values, index=index, columns=columns)


def to_page_frame(values: object, index: Any, columns: Any, page: Any) -> pd.DataFrame:
    """Make a DataFrame that shows itself as a page, with its title and notes. Its parts and copies are plain DataFrames."""
    frame = _page_frame_class()(values, index=index, columns=columns)
    frame.page = page
    return frame


@cache
def _page_frame_class() -> Any:
    import pandas as pd

    class PageFrame(pd.DataFrame):
        """A DataFrame with a page."""

        _metadata = ["page"]  # noqa: RUF012  # pandas reads this list

        def summary(self) -> Any:
            """Return the page."""
            return self.page

        def as_dict(self) -> dict[str, Any]:
            """Return title, rows and notes as plain Python values."""
            rows = [{"name": str(name), **row} for name, row in zip(self.index, self.to_dict("records"), strict=True)]
            return {"title": self.page.title, "table": rows, "notes": list(self.page.notes)}

        def __repr__(self) -> str:
            return repr(self.page)

        def _repr_html_(self) -> str:
            return str(self.page._repr_html_())

        def __reduce__(self) -> Any:
            return to_page_frame, (self.to_numpy(), list(self.index), list(self.columns), self.page)

    return PageFrame


def read_csv(file: Any) -> pd.DataFrame:
    """Read a CSV file that comes with the package."""
    import pandas as pd

    return pd.read_csv(file)


_CSV_FUNCTION = "read_csv"
_PANDAS_DEFAULTS = {"sep": ",", "decimal": ".", "encoding": "utf-8"}
_FUNCTIONS = {"Parquet": "read_parquet", "Arrow": "read_feather", "JSON lines": "read_json"}  # by the kind of file
_PANDAS_COMPRESSION = ("gzip", "bz2", "xz", "zstd", "zip")
_EXACT_BY_DEFAULT = (3, 1)  # this pandas reads each number as the nearest double by default, and warns when asked to


@dataclass(frozen=True, slots=True, kw_only=True)
class PandasReadCall:
    """A call of pandas that reads a file as squarely reads it.

    Attributes
    ----------
    path : of the file.
    function : of pandas, such as "read_csv".
    options : its arguments besides the path and the choice of columns and their types.
    constants : columns that the file does not have, each with the one value of all its rows.
    gaps : values that mean a missing one, if the function has no option for them.
    further_calls : the calls that read the files whose rows follow.
    """

    path: str
    function: str
    options: Mapping[str, Any] = field(default_factory=dict)
    constants: Mapping[str, int | float | str | None] = field(default_factory=dict)
    gaps: tuple[str | float, ...] = ()
    further_calls: tuple[PandasReadCall, ...] = ()

    @property
    def typed(self) -> bool:
        """Whether the file stores the types of its columns."""
        return self.function != _CSV_FUNCTION


def pandas_read_call(path: str, kind: str | None) -> PandasReadCall:
    """Return the call that reads a file of a kind, such as "Parquet"; an unknown kind is read as CSV.

    >>> pandas_read_call("cars.parquet", "Parquet").function, pandas_read_call("cars.csv", None).function
    ('read_parquet', 'read_csv')
    """
    if kind not in _FUNCTIONS:
        return pandas_read_csv_call(path)
    options: dict[str, Any] = {}
    if kind == "JSON lines":
        options = {"lines": True, "dtype": False, "precise_float": True}
        if _needs_exact_options():  # a newer pandas does not convert dates with dtype=False, and warns when told not to
            options["convert_dates"] = False
    return PandasReadCall(path=path, function=_FUNCTIONS[kind], options=options)


def pandas_read_csv_call(
    path: str,
    *,
    delimiter: str = ",",
    nulls: Sequence[str] = ("",),
    decimal: str = ".",
    encoding: str = "utf-8",
    is_gzip: bool = False,
    has_extra_field: bool = False,
    names: Sequence[str] | None = None,
    has_header: bool = True,
    skip_rows: int | Sequence[int] | None = None,
    thousands: str | None = None,
    comment: str | None = None,
    quote: str | None = None,
) -> PandasReadCall:
    """Return the call that reads a CSV file; `nulls` are the words for a missing value, `skip_rows` counts lines from 1.

    `has_extra_field`: every line ends in a delimiter too many, so pandas would take the first column for an index.
    """
    options: dict[str, Any] = {"sep": r"\s+" if delimiter == "whitespace" else delimiter, "decimal": decimal, "encoding": encoding}
    options = {name: value for name, value in options.items() if value != _PANDAS_DEFAULTS[name]}
    if names is not None:
        options |= {"header": 0 if has_header else None, "names": list(names)}
    if skip_rows:
        options["skiprows"] = skip_rows if isinstance(skip_rows, int) else [line - 1 for line in skip_rows]
    signs = {"thousands": thousands, "comment": comment, "quotechar": quote}
    options |= {name: sign for name, sign in signs.items() if sign is not None}
    if is_gzip != (Path(path).suffix.lower() == ".gz"):  # pandas infers compression from the name
        options["compression"] = "gzip" if is_gzip else None
    if has_extra_field:
        options["index_col"] = False
    options |= {"na_values": list(nulls), "keep_default_na": False}
    if _needs_exact_options():
        options["float_precision"] = "round_trip"
    return PandasReadCall(path=path, function=_CSV_FUNCTION, options=options)


def decompressing_call(call: PandasReadCall | None, method: str | None) -> PandasReadCall | None:
    """Return a call for a compressed file, None if pandas cannot decompress it.

    >>> decompressing_call(pandas_read_csv_call("cars.zip"), "zip").options["compression"]
    'zip'
    """
    if call is None or method not in _PANDAS_COMPRESSION or call.function not in (_CSV_FUNCTION, "read_json"):
        return None
    return replace(call, options={**call.options, "compression": method})


def _needs_exact_options() -> bool:
    return tuple(int(part) for part in version("pandas").split(".")[:2]) < _EXACT_BY_DEFAULT
