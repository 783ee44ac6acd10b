"""Results as pandas Series and DataFrames, the form that users of statsmodels expect. pandas is imported when asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def to_series(values: object, index: Any, name: str | None = None) -> pd.Series:
    """Label values.

    >>> to_series([1.5], ["x"])["x"]
    np.float64(1.5)
    """
    import pandas as pd

    return pd.Series(values, index=index, name=name)


def to_frame(columns: Mapping[Any, object], index: Any = None) -> pd.DataFrame:
    """Put named columns side by side."""
    import pandas as pd

    return pd.DataFrame(dict(columns), index=index)


def to_square_frame(values: object, labels: Sequence[str]) -> pd.DataFrame:
    """Label a matrix with the same names on both sides, such as a covariance matrix."""
    import pandas as pd

    return pd.DataFrame(values, index=list(labels), columns=list(labels))


def read_csv(file: Any) -> pd.DataFrame:
    """Read one of the package's own CSV files."""
    import pandas as pd

    return pd.read_csv(file)


_CSV_FUNCTION = "read_csv"
_FUNCTIONS = {
    ".parquet": "read_parquet", ".pq": "read_parquet",
    ".arrow": "read_feather", ".feather": "read_feather", ".ipc": "read_feather",
    ".json": "read_json", ".jsonl": "read_json", ".ndjson": "read_json",
}  # fmt: skip
_EXACT_BY_DEFAULT = (3, 1)  # the pandas that reads each number as the nearest double unasked, and warns when asked


@dataclass(frozen=True, slots=True, kw_only=True)
class PandasReadCall:
    """A call of pandas that reads a file as it was read here.

    Attributes
    ----------
    path : of the file.
    function : of pandas, such as "read_csv".
    options : its arguments besides the path and the choice of columns and their types.
    constants : columns that the file does not have, each with the one value that all of its rows have.
    further_calls : the calls that read the files whose rows come after those of this one.
    """

    path: str
    function: str
    options: Mapping[str, Any] = field(default_factory=dict)
    constants: Mapping[str, int | float | str | None] = field(default_factory=dict)
    further_calls: tuple[PandasReadCall, ...] = ()

    @property
    def typed(self) -> bool:
        """Whether the file knows the types of its columns."""
        return self.function != _CSV_FUNCTION


def pandas_read_csv_call(
    path: str,
    *,
    delimiter: str = ",",
    nulls: tuple[str, ...] = ("",),
    decimal: str = ".",
    encoding: str = "utf-8",
    is_gzip: bool = False,
    has_extra_field: bool = False,
) -> PandasReadCall:
    """Say how pandas reads a CSV file; `nulls` are the words that stand for gaps, `is_gzip` tells a gzipped one.

    With `has_extra_field` every line ends in one delimiter too many, for which pandas would take the first column for an index.
    """
    options: dict[str, Any] = {"sep": delimiter} if delimiter != "," else {}
    if decimal != ".":
        options["decimal"] = decimal
    if encoding != "utf-8":
        options["encoding"] = encoding
    if is_gzip != (Path(path).suffix.lower() == ".gz"):  # pandas goes by the name
        options["compression"] = "gzip" if is_gzip else None
    if has_extra_field:
        options["index_col"] = False
    options |= {"na_values": list(nulls), "keep_default_na": False}
    if _is_old():
        options["float_precision"] = "round_trip"
    return PandasReadCall(path=path, function=_CSV_FUNCTION, options=options)


def pandas_read_call(path: str, function: str | None = None) -> PandasReadCall:
    """Say how pandas reads a file, by a known function of its, or by the one that the name tells.

    >>> pandas_read_call("cars.parquet").function, pandas_read_call("cars.csv").function, pandas_read_call("cars", "read_feather").function
    ('read_parquet', 'read_csv', 'read_feather')
    """
    function = function or _FUNCTIONS.get(Path(path.lower().removesuffix(".gz")).suffix, _CSV_FUNCTION)
    if function == _CSV_FUNCTION:
        return pandas_read_csv_call(path)
    exact: dict[str, Any] = {"lines": True, "dtype": False, "precise_float": True}
    if _is_old():  # a newer one leaves dates alone with dtype=False, and warns when asked to
        exact["convert_dates"] = False
    return PandasReadCall(path=path, function=function, options=exact if function == "read_json" else {})


def _is_old() -> bool:
    """Tell whether pandas is older than the one that reads numbers exactly and leaves dates alone unasked."""
    return tuple(int(part) for part in version("pandas").split(".")[:2]) < _EXACT_BY_DEFAULT
