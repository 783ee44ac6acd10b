"""`Moments`: the cross-products of a design's columns, and the means and variances that follow from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squarely.data import RowAccount, Source
from squarely.design import Design
from squarely.errors import DataError
from squarely.moments.engine.gram import EngineRecord
from squarely.numerics import EXACT_INTEGERS, Array
from squarely.reprs import short_repr

_LARGEST_VALUE = 1e75  # coefficients are ratios of two columns and variances their squares: up to 1e300 all are representable
FAR_DEVIATIONS = 8.0  # a center so many standard deviations from the mean costs digits: the rows are folded again


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Moments:
    """Cross-products of Z = [1, (x - c) / s, (y - c) / s], where c and s are the design's centers and scales.

    Attributes
    ----------
    design : the frozen design.
    gram : (k + 1, k + 1), Z'Z, or Z'W Z with weights W on the diagonal; its first entry is n, or the sum of the weights.
    account : the rows that the scan read.
    passes : the scans of the rows that it took.
    engine_record : what an engine was asked; None if rows came in batches.
    remarks : sentences for the summary on how the rows were read.
    """

    __repr__ = short_repr

    design: Design
    gram: Array
    account: RowAccount
    passes: int = 1
    engine_record: EngineRecord | None = None
    remarks: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """The number of complete rows."""
        return self.account.used

    @property
    def weight(self) -> float:
        """The sum of the weights; the number of rows if they have none."""
        return float(self.gram[0, 0])

    @property
    def nobs(self) -> int:
        """The number of observations: the complete rows, or the sum of their frequencies."""
        return round(self.weight) if self.design.formula.has_frequencies else self.n

    @property
    def means(self) -> Array:
        """The mean of each variable (k,), in its own unit."""
        return self.design.centers + self.design.scales * (self.gram[0, 1:] / self.weight)

    @property
    def variances(self) -> Array:
        """The population variance (divisor n) of each variable (k,), in its unit squared."""
        first = self.gram[0, 1:] / self.weight
        return self.design.scales**2 * np.maximum(np.diag(self.gram)[1:] / self.weight - first**2, 0.0)

    @property
    def covariances(self) -> Array:
        """The population covariances (divisor n) of the variables (k, k), in the products of their units."""
        first = self.gram[0, 1:] / self.weight
        return np.outer(self.design.scales, self.design.scales) * (self.gram[1:, 1:] / self.weight - np.outer(first, first))

    @property
    def is_constant(self) -> np.ndarray:
        """Which variables (k,) have the same value in every row, as far as doubles can show."""
        # Sums of squares of magnitude m**2 have errors near n u m**2 (m in scaled units, about one when centered).
        sizes = np.diag(self.gram)[1:]
        return sizes - self.gram[0, 1:] ** 2 / self.weight <= 1e-14 * sizes


def require_range(design: Design, source: Source, gram: Array) -> None:
    """Raise a DataError for columns so large or small that a variance, in their unit squared, would over- or underflow.

    Likewise for weights, and for frequencies whose sum a double does not hold.
    """
    _require_weight_range(design, source, float(gram[0, 0]))
    with np.errstate(over="ignore", invalid="ignore"):
        sizes = np.abs(design.centers) + design.scales * np.sqrt(np.diag(gram)[1:] / gram[0, 0])
    require_value_range(design, source, sizes)


def require_value_range(design: Design, source: Source, sizes: Array) -> None:
    """Raise a DataError for the first column of sizes (k,), such as its root mean square, beyond what doubles can square."""
    for name, size in zip(design.labels, sizes.tolist(), strict=True):
        if not size < _LARGEST_VALUE or 0.0 < size < 1 / _LARGEST_VALUE:
            magnitude = f"near {size:.1g}" if np.isfinite(size) else "too large"
            raise DataError(
                f"The values of column {name!r} of {source.label} are {magnitude}, and their squares leave the "
                f"range of double precision: between {1 / _LARGEST_VALUE:.0e} and {_LARGEST_VALUE:.0e} is safe. Rescale the "
                "column, or look for a wrong value in it."
            )


def _require_weight_range(design: Design, source: Source, total: float) -> None:
    for option, text in design.formula.weights_option.items():
        if design.formula.has_frequencies and total >= EXACT_INTEGERS:
            raise DataError(
                f"{option}={text!r} of {source.label} add up to {total:.2g} observations, and at most 2**53 can be counted. Look "
                f"for a wrong value, or use weights={text!r}."
            )
        if not 1 / _LARGEST_VALUE < total < _LARGEST_VALUE:
            raise DataError(
                f"{option}={text!r} of {source.label} add up to {total:.1g}, and products with them leave the range of double "
                "precision. Multiply them by a constant: only their ratios matter."
            )
