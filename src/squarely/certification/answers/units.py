"""Find the units of an answer: standardized columns, or another unit of one column."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from squarely.certification.answers.answer import Answer
from squarely.certification.answers.mismatch import Mismatch
from squarely.numerics import Array

_MOST_REMAINING = 3.0  # standard errors: an answer that is farther away in other units is not in these
_LEAST_GAIN = 0.01  # of the gap: other units have to remove the rest


@dataclass(frozen=True, eq=False, slots=True)
class OtherUnits:
    """The answer in the units of the data, and the units that it was in."""

    answer: Answer
    description: str


def find_units(case: Mismatch, extremes: tuple[Array, Array] | None) -> list[OtherUnits]:
    """Return the answer in the units of the data for each scaling in which it is near least squares, the nearest first.

    `extremes` are the smallest and the largest values (k + 1,) of the columns and the response, if they are known.
    """
    if case.answer.intercept is None and not case.has_intercept:
        return []  # the columns are not centered
    most = min(_LEAST_GAIN * case.gap, _MOST_REMAINING)
    scaled = [OtherUnits(*each) for each in _in_data_units(case, extremes)]
    distances = {id(each): case.with_answer(each.answer).gap for each in scaled}
    near = [each for each in scaled if distances[id(each)] < most]
    return sorted(near, key=lambda each: distances[id(each)])


def _in_data_units(case: Mismatch, extremes: tuple[Array, Array] | None) -> Iterator[tuple[Answer, str]]:
    """Yield the answer in the units of the data for every scaling that it may be in."""
    moments = case.fit.solution.moments
    mean, deviation, k = moments.means, np.sqrt(moments.variances), len(moments.means) - 1
    sample = deviation * np.sqrt(moments.n / max(moments.n - 1, 1))
    zero, one = np.zeros(k + 1), np.ones(k + 1)
    scalings = {
        "": (zero, one),
        "centered": (mean, one),
        "standardized": (mean, deviation),
        "standardized (with divisor n - 1)": (mean, sample),
        "divided by their standard deviations": (zero, deviation),
    }
    if extremes is not None:
        low, high = extremes
        scalings["scaled to the range from 0 to 1"] = (low, np.where(high > low, high - low, 1.0))
        scalings["divided by their largest absolute values"] = (zero, np.where(high != low, np.maximum(abs(low), abs(high)), 1.0))
    for of_columns, (center, scale) in scalings.items():
        for of_response, (level, size) in scalings.items():
            if of_columns or of_response:
                answer = case.answer.unscale(center[:k], scale[:k], (float(level[k]), float(size[k])))
                yield answer, _describe(of_columns, of_response)


def _describe(columns: str, response: str) -> str:
    if columns == response:
        return f"columns and a response that are {columns}"
    own = response.replace("their", "its").replace("values", "value").replace("deviations", "deviation")
    parts = [f"columns that are {columns}"] if columns else []
    return " and ".join([*parts, *([f"a response that is {own}"] if response else [])])


def find_rescaled_column(case: Mismatch) -> tuple[str, float] | None:
    """Return the column whose coefficient alone differs, and the factor: the column was in another unit."""
    near = np.abs(case.given - case.exact) <= case.tolerance(1e-4) * case.unit
    first = 1 if case.has_intercept else 0
    if len(near) < 2 or (~near).sum() != 1 or not (~near)[first:].any() or case.gap < 1.0:
        return None
    j = int(np.flatnonzero(~near)[0])
    return case.fit.design.names[j], float(case.given[j] / case.exact[j])
