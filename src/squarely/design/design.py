"""The Design: what the columns of X are, frozen once learnt, and how rows become them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from squarely.data import Block, Source, complete_blocks
from squarely.design.formula import Formula
from squarely.errors import DataError
from squarely.numerics import Array, power_of_two, short, two_sum


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Design:
    """What the columns are. With k = p + 1 variables, the predictors x_1 ... x_p and the response last.

    Attributes
    ----------
    formula : the formula as read.
    centres : (k,) short numbers near the middle of each variable, in its unit; zero when the model has no intercept.
    scales : (k,) powers of two near the spread of each variable, in its unit.
    """

    formula: Formula
    centres: Array
    scales: Array

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the coefficients: the intercept first, if there is one."""
        return self.formula.names

    @property
    def variables(self) -> tuple[str, ...]:
        """The columns that are read: predictors, then the response."""
        return (*self.formula.predictors, self.formula.response)

    @property
    def column_centres(self) -> Array:
        """The centres (k + 1,) of the columns [1, x, y] that `scaled` makes: zero for the constant."""
        return np.concatenate([[0.0], self.centres])

    @property
    def column_scales(self) -> Array:
        """The scales (k + 1,) of the columns [1, x, y] that `scaled` makes: one for the constant."""
        return np.concatenate([[1.0], self.scales])

    def scaled(self, values: Array) -> tuple[Array, Array]:
        """Turn values (m, k) into columns [1, (x - c) / s, (y - c) / s] of shape (m, k + 1), as double-double.

        Scaling by a power of two is exact and the subtraction is kept with its error, so nothing is lost.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # a sum that is not finite is an error of its own, in moments
            hi, lo = two_sum(values, -self.centres)
            one = np.ones((len(values), 1))
            return np.hstack([one, hi / self.scales]), np.hstack([0.0 * one, lo / self.scales])


def learn(formula: Formula, source: Source) -> Design:
    """Learn centres and scales from a pilot, the first rows that are complete.

    A centre from a pilot serves as well as the mean; `moments` folds again when the pilot turns out to be far off.

    Raises
    ------
    DataError : a column is missing or not numeric, there are no rows, or none is complete.
    """
    variables = (*formula.predictors, formula.response)
    read = 0
    for block in complete_blocks(source, variables):
        read += block.account.read
        if len(block.values):
            with np.errstate(over="ignore", invalid="ignore"):
                peak = np.abs(block.values).max(axis=0)
                unit = np.array([power_of_two(x) for x in peak])  # keeps the squares within range
                small = block.values / unit
                return frozen(formula, mean=small.mean(axis=0) * unit, spread=small.std(axis=0) * unit)
    if read == 0:
        raise DataError(f"{source.label} has column names but no rows. Give at least {len(formula.names) + 1} rows.")
    raise DataError(f"None of the {read:,} rows of {source.label} is complete in the columns {', '.join(map(repr, variables))}.")


def frozen(formula: Formula, *, mean: Array, spread: Array) -> Design:
    """Make a design from the mean and spread (k,) of each variable."""
    # A constant up to rounding counts as one: its spread is noise, and its centre its value.
    spread = np.where(spread > 1e-14 * np.abs(mean), spread, 0.0)
    centres = np.array([short(m, s) for m, s in zip(mean.tolist(), spread.tolist(), strict=True)])
    if not formula.intercept:
        centres = np.zeros_like(centres)  # moving a column would change a model whose span lacks the constant
        spread = np.hypot(mean, spread)
    size = np.where(spread > 0, spread, np.abs(mean))
    return Design(formula=formula, centres=centres, scales=np.array([power_of_two(s) for s in size.tolist()]))


def rows(design: Design, source: Source) -> Iterator[Block]:
    """Yield the complete rows of the design's variables, values (m, k) in their own units."""
    return complete_blocks(source, design.variables)


def linear_predictor(source: Source, names: Sequence[str], level: float, slopes: Array, centre: Array) -> Array:
    """Predict for every row of a source (m,): level + (x - centre) slopes; rows that lack a named column give NaN.

    Written about a centre, with `level` the prediction there, it keeps its digits on columns far from zero.
    """
    pieces, first = [np.empty(0)], 0
    for block in complete_blocks(source, names):
        values = np.full(block.account.read, np.nan)
        values[block.rows - first] = (block.values - centre) @ slopes + level
        pieces.append(values)
        first += block.account.read
    return np.concatenate(pieces)
