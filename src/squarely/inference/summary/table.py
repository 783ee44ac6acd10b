"""The table of coefficients on the summary page, as statsmodels lays it out, with more digits where three places hide a number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from squarely.show import Table

_LARGE, _SMALL = 1e4, 1e-4  # between these a number has decimal places, and beyond them a power of ten
_LEAST_SHOWN = 5e-4  # three places show a smaller number as 0.000
_MAX_DIGITS = 10  # after the point, or of a number with a power of ten


def coefficient_table(numbers: Mapping[str, Any]) -> Table:
    """Lay out the coefficients in `numbers`, which are those of `Fit.as_dict`.

    A column has three places, and coefficients have four, as in statsmodels. It has as many more as show four digits of a number
    that would be 0.000, and two digits of the standard error in coefficients and limits. p-values keep three places.
    """
    names, errors = list(numbers["params"]), list(numbers["bse"].values())
    low, high = zip(*numbers["conf_int"].values(), strict=True)
    unknown = [math.nan] * len(names)
    columns = [
        format_column(list(numbers["params"].values()), errors, places=4),
        format_column(errors, unknown, places=3),
        [_format_number(t, 3) for t in numbers["tvalues"].values()],
        [f"{p:.3f}" for p in numbers["pvalues"].values()],
        format_column(low, errors, places=3),
        format_column(high, errors, places=3),
    ]
    dropped = ("dropped", *[""] * (len(columns) - 1))
    rows = [
        (name, *(dropped if math.isnan(numbers["params"][name]) else texts)) for name, *texts in zip(names, *columns, strict=True)
    ]
    t = "t" if numbers["use_t"] else "z"
    return Table(("", "coef", "std err", t, f"P>|{t}|", "[0.025", "0.975]"), rows)


def format_column(values: Sequence[float], errors: Sequence[float], *, places: int) -> list[str]:
    """Format numbers with standard errors, NaN if they are unknown, in the places that all of them need, `places` at least."""
    pairs = list(zip(values, errors, strict=True))
    places = max(places, *(_count_places(x, error) for x, error in pairs))
    return [_format_number(x, places, _count_digits(x, error)) for x, error in pairs]


def _count_places(x: float, error: float) -> int:
    """Return the decimal places that show four digits of a number below 0.0005, and two of a standard error below it."""
    if not _SMALL <= abs(x) < _LARGE:
        return 0
    own = 3 - _magnitude(x) if abs(x) < _LEAST_SHOWN else 0
    by_error = 1 - _magnitude(error) if 0 < error < _LEAST_SHOWN else 0
    return max(own, by_error if by_error <= _MAX_DIGITS else 0)


def _count_digits(x: float, error: float) -> int:
    """Return the digits of a number with a power of ten that show two of its standard error."""
    if x == 0 or not math.isfinite(x) or not 0 < error < math.inf:
        return 0
    return min(_magnitude(x) - _magnitude(error) + 2, _MAX_DIGITS)


def _magnitude(x: float) -> int:
    return math.floor(math.log10(abs(x)))


def _format_number(x: float, places: int, digits: int = 0) -> str:
    """Format as statsmodels does: fixed places, or significant digits beyond 1e4 and below 1e-4.

    >>> _format_number(2.5, 3), _format_number(40218.3, 3), _format_number(40218.3, 3, 6), _format_number(-7.6e-6, 3)
    ('2.500', '4.02e+04', '40218.3', '-7.600e-06')
    """
    if _SMALL <= abs(x) < _LARGE or x == 0 or math.isnan(x):
        return f"{x:.{places}f}"
    return f"{x:#.{max(digits, 4)}g}" if abs(x) < 1 else f"{x:.{max(digits, min(places, 4))}g}"
