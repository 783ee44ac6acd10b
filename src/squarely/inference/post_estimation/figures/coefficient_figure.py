"""The figure of the coefficients of one or several fits, with their limits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from squarely.errors import InputError, OptionError, join_words, pluralize, show_value
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.figures.line_figure import describe_fit
from squarely.inference.statistics import confidence_limits
from squarely.show import Intervals, Level, Panel, cut_middle

ALPHA = 0.05
_MOST_ROWS = 60
_DIFFERENT_UNITS = 50.0  # of the widest limits to the narrowest ones, which a symbol then covers
_ROW, _INTERVAL, _AROUND = 0.26, 0.14, 1.9  # inches: of a row, of each interval in it, of title and axis
_SPREAD = 0.7  # of a row, in which the intervals of several fits are


@dataclass(frozen=True, slots=True, kw_only=True)
class _Estimate:
    """A coefficient with its limits, and the standard deviation of its column."""

    value: float
    low: float
    high: float
    deviation: float

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "dropped"
        limits = f"[{_digits(self.low)}, {_digits(self.high)}]" if math.isfinite(self.width) else "(no limits)"
        return f"{_digits(self.value)} {limits}"

    @property
    def width(self) -> float:
        """The distance of the limits; NaN if there are none."""
        return self.high - self.low


def _digits(value: float) -> str:
    return f"{value:#.4g}".rstrip(".").replace("-", "−")


_Estimates = Mapping[str, _Estimate]


def coefficient_panel(fits: Sequence[CoefficientStatistics], names: Sequence[str] | None = None) -> Panel:
    """Draw the coefficients one above another; `names` are those of the fits in the legend.

    Raises
    ------
    InputError : there is no fit, or one of them is not a fit.
    OptionError : `names` are not a different text for each fit.
    """
    _require_fits(fits)
    labels = _label_fits(fits) if names is None else _require_names(names, len(fits))
    estimates = [_estimates_of(fit) for fit in fits]
    rows = _choose_rows(estimates)
    is_scaled = _have_different_units(rows, estimates)
    marks = [_intervals(each, rows, k, len(fits), is_scaled=is_scaled, label=labels[k]) for k, each in enumerate(estimates)]
    responses = list(dict.fromkeys(fit.design.response for fit in fits))
    return Panel(
        title=fits[0].design.formula.text if len(fits) == 1 else f"Coefficients of {join_words(responses)}",
        x_label=f"coefficient{' × standard deviation of its column' if is_scaled else ''}, with limits at {100 * (1 - ALPHA):g} %",
        y_label="",
        marks=[Level(0.0, "", across="x"), *marks],
        rows=rows,
        note="\n".join(_notes(fits, estimates, rows, is_scaled=is_scaled)),
        height=_AROUND + len(rows) * max(_ROW, _INTERVAL * len(fits)),
    )


def _require_fits(fits: Sequence[object]) -> None:
    if not fits:
        raise InputError("There is no fit to draw. Give at least one, such as sq.plot_coefficients(fit, fit.vcov('HC3')).")
    for fit in fits:
        if not isinstance(fit, CoefficientStatistics):
            hint = " Write sq.plot_coefficients(*fits) for the fits of a list." if isinstance(fit, list | tuple) else ""
            raise InputError(
                f"{show_value(fit)} of type {type(fit).__name__} is not a fit, so it has no coefficients to draw. Give results of "
                f"sq.ols or sq.load.{hint}"
            )


def _require_names(names: Sequence[str], count: int) -> Sequence[str]:
    if isinstance(names, str) or not all(isinstance(name, str) for name in names) or not len(set(names)) == len(names) == count:
        raise OptionError(
            f"names={show_value(names)} does not name {pluralize(count, 'fit')}. Give a list with a different text for each."
        )
    return names


def _label_fits(fits: Sequence[CoefficientStatistics]) -> list[str]:
    """Return what tells fits apart: formula, covariance and data, as far as they differ, or else their numbers."""
    sides = [fit.design.formula.text.partition("~") for fit in fits]
    is_common = len({fit.design.response for fit in fits}) == 1  # which the title has
    aspects = [[cut_middle(right.strip() if is_common else "".join((left, tilde, right))) for left, tilde, right in sides]]
    aspects += [[fit.cov_type for fit in fits], [fit.source.label for fit in fits]]
    labels = [", ".join(texts) for texts in zip(*(each for each in aspects if len(set(each)) > 1), strict=True)]
    if len(set(labels)) == len(fits):
        return labels
    return [f"fit {i}" + (f": {labels[i - 1]}" if labels else "") for i in range(1, len(fits) + 1)]


def _estimates_of(fit: CoefficientStatistics) -> _Estimates:
    low, high = confidence_limits(fit.solution.params, fit.standard_errors, fit.df_of_t, ALPHA)
    deviations = np.sqrt(fit.solution.moments.variances[:-1])
    if fit.design.intercept:
        deviations = np.append(1.0, deviations)
    table = np.stack([fit.solution.params, low, high, deviations]).T.tolist()
    return {
        name: _Estimate(value=value, low=low, high=high, deviation=deviation)
        for name, (value, low, high, deviation) in zip(fit.design.names, table, strict=True)
    }


def _choose_rows(estimates: Sequence[_Estimates]) -> list[str]:
    """Return the names of the coefficients, without the intercept if there are others; of many, those that are most significant."""
    names = list(dict.fromkeys(name for each in estimates for name in each))
    if len(names) > 1:
        names = [name for name in names if name != "Intercept"]

    def significance(name: str) -> float:
        found = [each[name] for each in estimates if name in each]
        return max((abs(e.value) / e.width for e in found if e.width > 0), default=0.0)

    chosen = set(sorted(names, key=significance, reverse=True)[:_MOST_ROWS])
    return [name for name in names if name in chosen]


def _have_different_units(rows: Sequence[str], estimates: Sequence[_Estimates]) -> bool:
    """Return whether some limits would be too narrow to see, and are not if each column has a deviation of one."""
    found = [each[name] for each in estimates for name in rows if name in each and 0 < each[name].width < math.inf]
    plain, scaled = [e.width for e in found], [e.width * e.deviation for e in found if e.deviation]
    if not scaled or max(plain) <= _DIFFERENT_UNITS * min(plain):
        return False
    return max(scaled) / min(scaled) < max(plain) / min(plain) / 2


def _intervals(each: _Estimates, rows: Sequence[str], k: int, count: int, *, is_scaled: bool, label: str) -> Intervals:
    """Return the intervals of the k-th of some fits; a single fit has numbers next to them instead of a legend."""
    shift = _SPREAD * ((k + 0.5) / count - 0.5)
    found = [(i + shift, each[name]) for i, name in enumerate(rows) if name in each]
    factors = [e.deviation if is_scaled else 1.0 for _, e in found]
    values, low, high = (
        [getattr(e, part) * factor for (_, e), factor in zip(found, factors, strict=True)] for part in ("value", "low", "high")
    )
    texts = [str(e) for _, e in found] if count == 1 else ()
    at = [height for height, _ in found]
    return Intervals(at=at, values=values, low=low, high=high, label=label if count > 1 else "", texts=texts, color=k)


def _notes(
    fits: Sequence[CoefficientStatistics], estimates: Sequence[_Estimates], rows: Sequence[str], *, is_scaled: bool
) -> Iterator[str]:
    """Yield what the figure does not show by itself."""
    if len(fits) == 1:
        (fit,) = fits
        limits = "" if fit.robust is None else f" The limits follow the {fit.cov_type} covariance."
        yield f"{describe_fit(fit)}{limits}"
    if is_scaled:
        numbers = "; the numbers are per unit" if len(fits) == 1 else ""
        yield f"Drawn per standard deviation of each column, because the units differ{numbers}."
    names = dict.fromkeys(name for each in estimates for name in each)
    if len(rows) < len([name for name in names if name != "Intercept"]):
        yield f"These are the {len(rows)} most significant of {len(names):,} coefficients."
    if "Intercept" in names and "Intercept" not in rows:
        yield "The intercept is not drawn" + (f": {estimates[0]['Intercept']}." if len(fits) == 1 else ".")
