"""The dependencies in all rows of a fit that dropped a column: the fit does not determine predictions for rows that break one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np

from squarely.design.matrix.block import PartialBlock, take_indicators
from squarely.errors import pluralize
from squarely.numerics import ROUNDOFF, Array

ALLOW_HINT = "rank_deficient='allow' predicts such rows too."
_ROUNDING = 32.0  # roundoffs that a stored value may be off by: it is itself the result of some arithmetic
_MOST_LISTED = 6


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Check:
    """The D dependencies in all rows of a fit, one for each dropped column: z @ weights = 0 for z = [1, (x - center) / scale].

    Attributes
    ----------
    dropped_columns : (D,) the positions in `design.columns` of the dropped columns; none where no column was dropped for them.
    weights : (p + 1, D) for [1, x_1 ... x_p]: one for the dropped column, minus its combination of the others.
    errors : (D,) bounds of |z @ weights| in a row of the fit.
    standard_error_scale : (p + 1,) times `errors`, bounds of the errors of the weights.
    centers, scales : (p + 1,) of [1, x_1 ... x_p].
    messages : (D,) the sentence for each of them. `reason` the part of a warning before those that are broken.
    """

    dropped_columns: np.ndarray
    weights: Array
    errors: Array
    standard_error_scale: Array
    centers: Array
    scales: Array
    messages: tuple[str, ...]
    zeros: tuple[bool, ...] = ()
    reason: str = "The fit dropped a column for each dependency that they break"

    def broken_rows(self, block: PartialBlock) -> np.ndarray:
        """Return which rows (m,) break which dependency (D,): none that the rounding of its values and of the weights explains."""
        ones = np.ones(block.size)
        z, magnitude = {0: ones}, {0: ones}  # the scaled dense columns, and what their rounding is relative to
        for j, (x, low) in block.dense.items():
            center, scale = self.centers[j + 1], self.scales[j + 1]
            z[j + 1] = ((x - center) if low is None else (x - center) + low) / scale
            magnitude[j + 1] = (np.abs(x) + abs(center)) / scale
        grouped = block.grouped + 1  # indicators are not centered

        def total(terms: Mapping[int, Array], weights: Array, *, absolute: bool = False) -> Array:
            value = np.zeros(block.size)
            for j, x in terms.items():
                if weights[j]:
                    value += x * weights[j]
            scaled = weights[grouped] / self.scales[grouped]
            for indicator in block.indicators if scaled.any() else ():
                term = take_indicators(scaled, indicator)
                value += np.abs(term) if absolute else term
            return value

        reach = total({j: np.abs(x) for j, x in z.items()}, self.standard_error_scale, absolute=True)
        broken = np.zeros((block.size, len(self.messages)), dtype=bool)
        for i, weights in enumerate(self.weights.T):
            tolerance = _ROUNDING * ROUNDOFF * total(magnitude, np.abs(weights), absolute=True) + self.errors[i] * (1.0 + reach)
            broken[:, i] = ~(np.abs(total(z, weights)) <= tolerance)
        return broken

    def without_columns(self, removed: np.ndarray) -> Check:
        """Return the check without the dependencies of some dropped columns, marked by (D,)."""
        return replace(
            self,
            dropped_columns=self.dropped_columns[~removed],
            weights=self.weights[:, ~removed],
            errors=self.errors[~removed],
            messages=tuple(compress(self.messages, ~removed)),
            zeros=tuple(compress(self.zeros, ~removed)),
        )

    def warning(self, rows: int, counts: np.ndarray) -> str:
        """Describe how many rows have no prediction, and which dependencies they break, in how many rows each (D,)."""
        broken = [f"{text} ({pluralize(int(n), 'row')})" for text, n in zip(self.messages, counts, strict=True) if n]
        return (
            f"{pluralize(rows, 'row')} {'has' if rows == 1 else 'have'} no prediction but NaN: the rows of the fit do not "
            f"determine one. {self.reason}: {join_texts(broken)}. {ALLOW_HINT}"
        )


def join_texts(texts: Sequence[str]) -> str:
    """Join sentences, and count those beyond the first ones."""
    more = len(texts) - _MOST_LISTED
    return "; ".join(texts[:_MOST_LISTED]) + (f"; and {more:,} more" if more > 0 else "")
