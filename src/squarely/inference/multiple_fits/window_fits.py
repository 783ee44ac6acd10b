"""`WindowFits`: the fits of moving or growing windows of rows, as frames."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from squarely.data import RowAccount, Source, require_local, to_frame, to_series
from squarely.design import Design, no_rows_error
from squarely.errors import OptionError, pluralize, short_traceback, show_value
from squarely.inference.coefficients import require_alpha
from squarely.inference.multiple_fits.window_estimates import WindowEstimates, describe_failure, estimate_windows
from squarely.inference.multiple_fits.window_sums import OrderedRows, expanding_sums, read_ordered_rows, rolling_sums
from squarely.inference.statistics import confidence_limits, p_values, t_values
from squarely.moments import require_value_range
from squarely.numerics import Array
from squarely.reprs import public_dir
from squarely.show import Band, Curve, KeyValueTable, Page, Panel, Table, draw

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 12  # windows at both ends of a page


class WindowFits:
    """The fits of windows of rows, made by `squarely.rolling` and `squarely.expanding`. Each is labeled by its last row.

    Attributes
    ----------
    formula : its text.
    kind : such as "rolling, 250 rows".
    rows : rows read, used and dropped, by column and cause.
    """

    __dir__ = public_dir()

    def __init__(self, design: Design, kind: str, estimates: WindowEstimates, account: RowAccount, labels: tuple[Any, Any]) -> None:
        self.formula, self.kind, self.rows = design.formula.text, kind, account
        self._names, self._estimates = design.names, estimates
        self._first, self._index = labels

    def __len__(self) -> int:
        return len(self._estimates.params)

    @property
    def params(self) -> pd.DataFrame:
        """The coefficients, a row for each window; NaN for a window without a fit."""
        return self._label(self._estimates.params)

    @property
    def bse(self) -> pd.DataFrame:
        """The standard errors of the coefficients."""
        return self._label(self._estimates.bse)

    @property
    def tvalues(self) -> pd.DataFrame:
        """Coefficients over their standard errors."""
        return self._label(t_values(self._estimates.params, self._estimates.bse))

    @property
    def pvalues(self) -> pd.DataFrame:
        """Two-sided p-values of t with `df_resid` degrees of freedom."""
        return self._label(p_values(self._estimates.params, self._estimates.bse, self._df[:, None]))

    @short_traceback
    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return confidence limits at level 1 - alpha, with columns of pairs such as ("x", "lower").

        Raises
        ------
        OptionError : alpha is not above 0, or is above 0.5.
        """
        require_alpha(alpha)
        low, high = self._limits(alpha)
        columns = {(name, end): part[:, j] for j, name in enumerate(self._names) for end, part in (("lower", low), ("upper", high))}
        return to_frame(columns, self._index)

    @property
    def rsquared(self) -> pd.Series:
        """R-squared, about the mean if a constant is in the span of the columns, else about zero."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return to_series(1 - self._estimates.ssr / self._estimates.tss, self._index, "rsquared")

    @property
    def ssr(self) -> pd.Series:
        """The sums of squared residuals."""
        return to_series(self._estimates.ssr, self._index, "ssr")

    @property
    def mse_resid(self) -> pd.Series:
        """The sums of squared residuals over `df_resid`."""
        return to_series(self._estimates.ssr / self._df, self._index, "mse_resid")

    @property
    def nobs(self) -> pd.Series:
        """The numbers of rows."""
        return to_series(self._estimates.stops - self._estimates.starts, self._index, "nobs")

    @property
    def df_resid(self) -> pd.Series:
        """The degrees of freedom of the residuals."""
        return to_series(self._df, self._index, "df_resid")

    @property
    def digits(self) -> pd.Series:
        """Decimal digits that can be trusted of R-squared, of standard errors, and of coefficients beside their standard errors."""
        return to_series(self._estimates.digits, self._index, "digits")

    @property
    def failed(self) -> pd.Series:
        """The windows without a fit, each with the reason."""
        at = np.flatnonzero(self._estimates.failed.any(axis=1))
        reasons = np.array([describe_failure(self._names, self._estimates.failed[i]) for i in at.tolist()], dtype=object)
        return to_series(reasons, self._index[at], "failed")

    @short_traceback
    def frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return a row for each window and coefficient, with the columns of `Fits.frame`.

        `first` and `last` are the labels of the first and the last row of a window, and `digits` what can be trusted of it.

        Raises
        ------
        OptionError : alpha is not above 0, or is above 0.5.
        """
        require_alpha(alpha)
        e, m, p = self._estimates, len(self), len(self._names)
        window = np.repeat(np.arange(m), p)
        low, high = self._limits(alpha)
        reasons = np.array([describe_failure(self._names, failed) for failed in e.failed], dtype=object)
        columns = {
            "first": np.asarray(self._first)[window], "last": np.asarray(self._index)[window],
            "term": np.tile(np.array(self._names, dtype=object), m), "estimate": e.params.ravel(), "std_err": e.bse.ravel(),
            "t": t_values(e.params, e.bse).ravel(), "p": p_values(e.params, e.bse, self._df[:, None]).ravel(),
            "ci_lower": low.ravel(), "ci_upper": high.ravel(), "n": (e.stops - e.starts)[window],
            "rsquared": self.rsquared.to_numpy()[window], "digits": e.digits[window], "reason": reasons[window],
        }  # fmt: skip
        return to_frame(columns)

    @short_traceback
    def plot(self, *terms: str, ax: Any = None) -> Any:
        """Draw coefficients over the windows with their limits at 95 %, a panel for each; by default all but the intercept.

        Raises
        ------
        OptionError : there is no such coefficient.
        MissingExtraError : matplotlib is not installed.

        Examples
        --------
        >>> import squarely as sq
        >>> rolling = sq.rolling("mpg ~ weight", sq.datasets.cars(), window=100)
        >>> rolling.plot("weight").axes[0].get_title()
        'weight, rolling, 100 rows'
        """
        chosen = terms or [name for name in self._names if name != "Intercept"] or list(self._names)
        for name in chosen:
            if name not in self._names:
                raise OptionError(f"{name!r} is not a coefficient. The coefficients are {', '.join(map(repr, self._names))}.")
        low, high = self._limits(0.05)
        x, panels = self._estimates.stops, []
        for name in chosen:
            j = self._names.index(name)
            band = Band(x=x, low=low[:, j], high=high[:, j], label="limits at 95 %", color=1, opacity=0.2)
            curve = Curve(x=x, y=self._estimates.params[:, j], label="coefficient")
            panels.append(Panel(title=f"{name}, {self.kind}", x_label="rows so far", y_label="coefficient", marks=[band, curve]))
        return draw(panels, ax)

    def summary(self) -> Page:
        """Return a page with the coefficients of the first and the last windows."""
        e, m = self._estimates, len(self)
        shown = list(range(m)) if m <= 2 * _SHOWN else [*range(_SHOWN), *range(m - _SHOWN, m)]
        rsquared, index = self.rsquared.to_numpy(), [str(label) for label in self._index]
        rows = [
            [index[i], f"{rsquared[i]:.3f}", *(f"{x:.4g} ({error:.3g})" for x, error in zip(e.params[i], e.bse[i], strict=True))]
            for i in shown
        ]
        failed = self.failed
        notes = [f"{pluralize(n, 'window')} without a fit: {reason}" for reason, n in Counter(failed.to_list()).most_common(5)]
        if len(shown) < m:
            notes.append(f"{m - len(shown):,} windows between these are in frame().")
        least = np.nanmin(e.digits) if np.isfinite(e.digits).any() else math.nan
        footer = [" ".join(self.rows.lines()), "Standard errors are in parentheses."]
        footer += [] if math.isnan(least) else [f"Digits: at least {math.floor(least)} can be trusted in every window."]
        pairs = KeyValueTable([("Windows:", self.kind)], [("No. Windows:", f"{m:,}")])
        return Page(self.formula, [pairs, Table(["last row", "R-squared", *self._names], rows)], notes=notes, footer=footer)

    def as_dict(self) -> Mapping[str, Any]:
        """Return the numbers as plain Python values."""
        rows = {"read": self.rows.read, "used": self.rows.used, "dropped": self.rows.dropped}
        return {"formula": self.formula, "kind": self.kind, "rows": rows, "windows": self.frame().to_dict("records")}

    @property
    def _df(self) -> np.ndarray:
        return np.asarray(self._estimates.stops - self._estimates.starts - len(self._names))

    def _limits(self, alpha: float) -> tuple[Array, Array]:
        e = self._estimates
        low, high = confidence_limits(e.params.ravel(), e.bse.ravel(), np.repeat(self._df, len(self._names)), alpha)
        return low.reshape(e.params.shape), high.reshape(e.params.shape)

    def _label(self, values: Array) -> pd.DataFrame:
        return to_frame(values, self._index, list(self._names))

    def _repr_html_(self) -> str:
        return self.summary().shorten()._repr_html_()

    def __repr__(self) -> str:
        return f"<WindowFits {self.formula!r}: {len(self):,} windows, {self.kind}; params, bse and frame() have them>"


def fit_rolling(design: Design, source: Source, window: object, step: object) -> WindowFits:
    """Fit the model to every `step`-th window of rows.

    Raises
    ------
    OptionError : a number is not one of rows, or is too small or too large for the data.
    """
    size, stride = read_rows("window", window, "window=250"), read_rows("step", step, "step=1")
    _require_more_rows("window", size, design.names)
    rows = _read_rows(design, source)
    n = len(rows.columns)
    if size > n:
        raise OptionError(
            f"window={size:,} is longer than the {pluralize(n, 'complete row')} of {source.label}. Give at most {n:,}."
        )
    sums = rolling_sums(rows, size, stride, intercept=design.intercept)
    estimates = estimate_windows(rows, sums, intercept=design.intercept)
    steps = "" if stride == 1 else f", a step of {stride:,}"
    return WindowFits(design, f"rolling, {size:,} rows{steps}", estimates, rows.account, _labels(source, rows, estimates))


def fit_expanding(design: Design, source: Source, min_rows: object, step: object) -> WindowFits:
    """Fit the model to the first `min_rows` rows, and to `step` more each time; errors are those of `fit_rolling`."""
    stride = read_rows("step", step, "step=1")
    least = len(design.names) + 1 if min_rows is None else read_rows("min_rows", min_rows, "min_rows=50")
    _require_more_rows("min_rows", least, design.names)
    rows = _read_rows(design, source)
    n = len(rows.columns)
    if least > n:
        raise OptionError(
            f"min_rows={least:,} is more than the {pluralize(n, 'complete row')} of {source.label}. Give at most {n:,}."
        )
    estimates = estimate_windows(rows, expanding_sums(rows, least, stride, intercept=design.intercept), intercept=design.intercept)
    steps = "" if stride == 1 else f", a step of {stride:,}"
    return WindowFits(design, f"expanding from {least:,} rows{steps}", estimates, rows.account, _labels(source, rows, estimates))


def require_ordered_rows(source: Source) -> None:
    """Raise an error if the rows have no order, or are in other processes."""
    if not source.ordered:
        raise OptionError(
            f"Windows need rows in their order, and {source.label} has no order. Give order_by= with a column that sorts them, "
            "such as order_by='time'."
        )
    if source.partitioned:
        require_local(source, "put them into windows", "Give rows that are here, such as a sample")


def read_rows(name: str, value: object, example: str) -> int:
    """Read a number of rows of at least one."""
    if isinstance(value, bool) or not isinstance(value, Real) or not float(value).is_integer() or not float(value) >= 1:
        raise OptionError(
            f"{name}={show_value(value)} is not a number of rows. Give a whole number of at least 1, such as {example}."
        )
    return int(float(value))


def _require_more_rows(name: str, rows: int, names: Sequence[str]) -> None:
    p = len(names)
    if rows <= p:
        raise OptionError(
            f"{name}={rows:,} has {pluralize(rows, 'row')} for {pluralize(p, 'coefficient')}. Give at least {p + 1:,}."
        )


def _read_rows(design: Design, source: Source) -> OrderedRows:
    rows = read_ordered_rows(design, source)
    if not len(rows.columns):
        raise no_rows_error(source, rows.account, [*design.columns_read[0], *design.columns_read[1]], design.where)
    require_value_range(design, source, np.abs(rows.columns).max(axis=0))
    return rows


def _labels(source: Source, rows: OrderedRows, estimates: WindowEstimates) -> tuple[Any, Any]:
    """Return the labels of the first and of the last row of each window."""
    return source.index(rows.positions[estimates.starts]), source.index(rows.positions[estimates.stops - 1])
