"""Results as pandas Series and DataFrames, the form that users of statsmodels expect. pandas is imported when asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def series(values: object, index: Any, name: str | None = None) -> pd.Series:
    """Label values.

    >>> series([1.5], ["x"])["x"]
    np.float64(1.5)
    """
    import pandas as pd

    return pd.Series(values, index=index, name=name)


def frame(columns: Mapping[Any, object], index: Any = None) -> pd.DataFrame:
    """Put named columns side by side."""
    import pandas as pd

    return pd.DataFrame(dict(columns), index=index)


def square(values: object, labels: Sequence[str]) -> pd.DataFrame:
    """Label a matrix with the same names on both sides, such as a covariance matrix."""
    import pandas as pd

    return pd.DataFrame(values, index=list(labels), columns=list(labels))


def read_csv(file: Any) -> pd.DataFrame:
    """Read one of the package's own CSV files."""
    import pandas as pd

    return pd.read_csv(file)
