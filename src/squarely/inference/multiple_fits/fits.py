"""`Fits`: the fits of many groups of rows, or of several responses, by their keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from squarely.data import to_frame
from squarely.errors import DataError, pluralize, short_traceback, suggest_name
from squarely.inference.coefficients import require_alpha
from squarely.inference.fit import Fit
from squarely.inference.multiple_fits.group_estimates import GroupEstimates
from squarely.inference.statistics import confidence_limits, p_values, t_values
from squarely.numerics import Array
from squarely.reprs import public_dir
from squarely.show import KeyValueTable, Page, Table

if TYPE_CHECKING:
    import pandas as pd

_SHOWN, _SHOWN_REASONS = 60, 12  # groups and reasons on a page


class Fits(Mapping[Any, Any]):
    """The fits of groups of rows (`by=`), or of several responses, as a mapping from a key to a `Fit`.

    The value of a group that has no fit is its error, a DataError. A fit of a group is made when it is asked for, which reads all
    rows again, so use `frame()` for the coefficients of many groups: these are ready.

    Examples
    --------
    >>> import squarely as sq
    >>> fits = sq.ols("mpg ~ weight", sq.datasets.cars(), by="origin")
    >>> list(fits), fits[3].nobs
    ([1, 2, 3], 79)
    >>> fits.frame().query("term == 'weight'")[["origin", "estimate", "std_err", "n"]].round(5).to_dict("list")
    {'origin': [1, 2, 3], 'estimate': [-0.00681, -0.00722, -0.01072], 'std_err': [0.00027, 0.00142, 0.00179], 'n': [249, 70, 79]}
    """

    __dir__ = public_dir()

    def __init__(self, text: str, by: Sequence[str], estimates: GroupEstimates, make: Callable[[Any], Fit], cov_type: str) -> None:
        self.formula, self.by, self.cov_type = text, tuple(by), cov_type
        self._estimates, self._make = estimates, make
        self._places = {key: place for place, key in enumerate(estimates.keys)}
        self._made: dict[Any, Fit | DataError] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._places)

    def __contains__(self, key: object) -> bool:
        return key in self._places

    @short_traceback
    def __getitem__(self, key: Any) -> Any:
        if key not in self._places:
            raise KeyError(f"{key!r} is not a key of these fits. {suggest_name(key, map(str, self._places), '')}".rstrip())
        if key not in self._made:
            reason = self._estimates.reasons[self._places[key]]
            self._made[key] = DataError(f"{self._name(key)} has no fit. {reason}") if reason else self._make(key)
        return self._made[key]

    @property
    def failed(self) -> dict[Any, str]:
        """The groups without a fit, each with the reason."""
        return {key: reason for key, reason in zip(self._places, self._estimates.reasons, strict=True) if reason}

    @property
    def rows(self) -> Any:
        """Rows read, used and dropped, by column and cause, as `Fit.rows`."""
        return self._estimates.account

    @short_traceback
    def frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return a row for each key and coefficient, and one row for a group that failed, with its reason.

        The columns are those of the key (with "by_" before a name that is also one of the others), then `term`, `estimate`,
        `std_err`, `t`, `p`, the limits `ci_lower` and `ci_upper` at level 1 - alpha, and `n`, `rsquared`, `dropped` (the columns
        that a group drops) and `reason`, which are of the group.

        Raises
        ------
        OptionError : alpha is not above 0, or is above 0.5.
        """
        require_alpha(alpha)
        e, p = self._estimates, len(self._estimates.names)
        has_failed = np.array([bool(reason) for reason in e.reasons], dtype=bool)
        rows = np.where(has_failed, 1, p)
        group = np.repeat(np.arange(len(rows)), rows)  # of each row of the frame
        column = np.arange(len(group)) - np.repeat(np.cumsum(rows) - rows, rows)
        params, bse, df = (values[group, column] for values in (e.params, e.bse, e.df))
        low, high = confidence_limits(params, bse, np.where(df > 0, df, np.nan), alpha)
        terms = np.where(has_failed[group], None, np.array(e.names, dtype=object)[column])
        dropped = np.array(self._dropped_names(), dtype=object)
        reasons = np.array(e.reasons, dtype=object)
        numbers = {
            "term": terms, "estimate": params, "std_err": bse, "t": t_values(params, bse), "p": p_values(params, bse, df),
            "ci_lower": low, "ci_upper": high, "n": e.nobs[group], "rsquared": e.rsquared[group],
            "dropped": dropped[group], "reason": reasons[group],
        }  # fmt: skip
        keys = {f"by_{name}" if name in numbers else name: labels for name, labels in self._key_columns(group).items()}
        return to_frame({**keys, **numbers})

    def summary(self) -> Page:
        """Return a page with the coefficients of the first groups, and why others have none."""
        e, failed = self._estimates, self.failed
        fitted = [place for place, reason in enumerate(e.reasons) if not reason]
        shown = fitted[:_SHOWN]
        header = [", ".join(self.by), "n", "R-squared", *e.names]
        rows = [
            [self._shown(e.keys[i]), f"{e.nobs[i]:,}", f"{e.rsquared[i]:.3f}", *map(_cell, e.params[i].tolist(), e.bse[i].tolist())]
            for i in shown
        ]
        what = "response" if self.by == ("response",) else "group"
        left = [("Model:", "OLS"), ("Covariance Type:", self.cov_type)]
        right = [(f"No. {what.capitalize()}s:", f"{len(self):,}"), ("Failed:", f"{len(failed):,}")]
        footer = [" ".join(e.account.lines()).strip(), "Standard errors are in parentheses."]
        if len(fitted) > len(shown):
            footer.append(f"{len(fitted) - len(shown):,} more: frame() has all.")
        counts = Counter(failed.values())
        notes = [f"{self._name(key)} has no fit. {reason}" for key, reason in list(failed.items())[:_SHOWN_REASONS]]
        if len(failed) > len(notes):
            notes.append(
                f"{len(failed) - len(notes):,} more have none, for {pluralize(len(counts), 'reason')}: `failed` lists them."
            )
        dropped = [(key, names) for key, names in zip(e.keys, self._dropped_names(), strict=True) if names]
        if dropped:
            notes.append(
                f"{pluralize(len(dropped), what)} {'drops' if len(dropped) == 1 else 'drop'} columns, such as {dropped[0][1]} in "
                f"{self._name(dropped[0][0])}: they are zero or constant there, or depend on columns before."
            )
        if what == "response":
            total = self.formula.partition("~")[0].strip()
            notes.append(f"R reads {total} on the left as a sum, and statsmodels as here. For the sum write I({total}).")
        return Page(self.formula, [KeyValueTable(left, right), Table(header, rows)], notes=notes, footer=footer)

    def as_dict(self) -> Mapping[str, Any]:
        """Return the numbers of all fits as plain Python values, as `--json` prints them."""
        e = self._estimates
        groups = []
        for i, (key, dropped) in enumerate(zip(e.keys, self._dropped_names(), strict=True)):
            numbers = {
                name: dict(zip(e.names, values[i].tolist(), strict=True))
                for name, values in {"params": e.params, "bse": e.bse, "tvalues": t_values(e.params, e.bse)}.items()
            }
            numbers["pvalues"] = dict(zip(e.names, p_values(e.params[i], e.bse[i], e.df[i]).tolist(), strict=True))
            parts = key if len(self.by) > 1 else (key,)
            of_group = {"nobs": int(e.nobs[i]), "rsquared": float(e.rsquared[i]), "dropped": dropped, "reason": e.reasons[i]}
            groups.append({**dict(zip(self.by, parts, strict=True)), **of_group, **numbers})
        rows = {"read": e.account.read, "used": e.account.used, "dropped": e.account.dropped}
        return {"formula": self.formula, "by": list(self.by), "cov_type": self.cov_type, "rows": rows, "fits": groups}

    def _dropped_names(self) -> list[str]:
        names, failed = self._estimates.names, np.array([bool(reason) for reason in self._estimates.reasons], dtype=bool)
        dropped = self._estimates.dropped & ~failed[:, None]
        texts = [""] * len(dropped)
        for i in np.flatnonzero(dropped.any(axis=1)).tolist():
            texts[i] = ", ".join(name for name, gone in zip(names, dropped[i].tolist(), strict=True) if gone)
        return texts

    def _key_columns(self, group: np.ndarray) -> dict[str, Array]:
        keys = self._estimates.keys
        parts = list(zip(*keys, strict=True)) if len(self.by) > 1 else [keys]
        return {name: _as_column(values)[group] for name, values in zip(self.by, parts, strict=True)}

    def _name(self, key: Any) -> str:
        parts = key if len(self.by) > 1 else (key,)
        return ", ".join(f"{name} = {part!r}" for name, part in zip(self.by, parts, strict=True))

    def _shown(self, key: Any) -> str:
        return ", ".join(map(str, key)) if len(self.by) > 1 else str(key)

    def _repr_html_(self) -> str:
        return self.summary().shorten()._repr_html_()

    def __repr__(self) -> str:
        what = f"{len(self):,} groups by {', '.join(self.by)}" if self.by != ("response",) else f"{len(self):,} responses"
        failed = f", {len(self.failed):,} failed" if self.failed else ""
        return f"<Fits {self.formula!r}: {what}{failed}; frame() has all coefficients>"


def _cell(value: float, error: float) -> str:
    return "" if value != value else f"{value:.4g} ({error:.3g})"


def _as_column(values: Sequence[Any]) -> Any:
    """Return labels as an array: of their own type if all have one, else of objects."""
    if len({type(value) for value in values}) == 1 and isinstance(values[0], bool | int):
        return np.array(values)
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
