"""Bases of several columns: orthogonal polynomials as R's `poly`, and the splines `bs` and `ns`."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from squarely.design.formula.factors import Basis
from squarely.errors import DataError, listed
from squarely.numerics import ROUNDOFF, Array, is_constant
from squarely.reprs import short_repr

_ROUNDINGS = 4 * ROUNDOFF  # of a value of a basis, for each degree


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Polynomial:
    """Polynomials that are orthonormal over the rows of the fit, with positive leading terms.

    Attributes
    ----------
    low, high : the range of the argument, which is mapped onto [-1, 1].
    weights : (k + 1, k) the columns in terms of the Chebyshev polynomials 0 to k of the mapped argument.
    """

    __repr__ = short_repr

    low: float
    high: float
    weights: Array

    def columns(self, x: Array) -> Array:
        """Return the columns (m, k)."""
        table: Array = chebyshev_polynomials(x, self.low, self.high, len(self.weights) - 1) @ self.weights
        return table

    def derivatives(self, x: Array) -> Array:
        """Return the derivatives (m, k) of the columns."""
        slopes = np.polynomial.chebyshev.chebder(self.weights)  # (k, k), in terms of the polynomials 0 to k - 1
        table: Array = chebyshev_polynomials(x, self.low, self.high, len(slopes) - 1) @ slopes
        return table * (2 / (self.high - self.low))

    def rounding(self, x: Array | None = None) -> Array:
        """Bound the rounding (1, k) of a value in each column: of the Chebyshev polynomials, and of the weights from the QR.

        Large weights, as beside an outlier, have terms that cancel. The bound holds for any `x` within the range.
        """
        sizes: Array = np.cumsum(np.abs(self.weights).sum(axis=0))
        return _ROUNDINGS * len(self.weights) * sizes[None, :]

    def slopes(self) -> Array:
        """Bound the derivatives (k,) within the range: k**2 divided by half of the range for the Chebyshev polynomial k."""
        slopes = np.arange(len(self.weights)) ** 2 @ np.abs(self.weights)
        return np.asarray(2 / (self.high - self.low) * slopes, dtype=np.float64)


def chebyshev_polynomials(x: Array, low: float, high: float, degree: int) -> Array:
    """Return the Chebyshev polynomials 0 to `degree` of x mapped onto [-1, 1]: (m, degree + 1)."""
    middle = low + (high - low) / 2
    return np.asarray(np.polynomial.chebyshev.chebvander((x - middle) / ((high - low) / 2), degree), dtype=np.float64)


def orthogonal_polynomials(R: Array, low: float, high: float) -> Polynomial:
    """Make the polynomials from R (k + 1, k + 1) of the QR of the Chebyshev columns over the rows.

    They are the columns of Q, with signs such that the leading coefficients are positive, as in R's `poly`.
    """
    signs = np.sign(np.diag(R))
    weights = np.asarray(np.linalg.solve(R * signs[:, None], np.eye(len(R))), dtype=np.float64)
    return Polynomial(low=low, high=high, weights=weights[:, 1:])


def too_near_values_error(factor: Basis) -> DataError:
    """Return the error for a polynomial with too few values that doubles can tell apart."""
    return DataError(
        f"{factor.text} needs more than {factor.degree} different values of its argument, far enough apart relative to its range, "
        "and the rows have too few of them. Lower the degree, or leave outlying rows out with where=."
    )


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Spline:
    """A B-spline basis, or a natural one: linear beyond the boundary.

    Attributes
    ----------
    knots : all knots, those of the boundary repeated degree + 1 times.
    first_column : the first column of the B-spline basis that is used: 0 with the constant in the span, 1 without.
    natural_weights : (w, w - 2) the combinations without curvature at the boundary, for `ns`; None for `bs`.
    errors : bounds of the rounding of the inner knots if these are quantiles, or None.
    """

    __repr__ = short_repr

    text: str
    knots: Array
    degree: int
    first_column: int
    natural_weights: Array | None = None
    errors: Array | None = None

    @property
    def boundary(self) -> tuple[float, float]:
        """The range of the rows of the fit."""
        return float(self.knots[0]), float(self.knots[-1])

    def columns(self, x: Array) -> Array:
        """Return the columns (m, w).

        Raises DataError for `bs` beyond the boundary, where it is not defined; `ns` is linear there.
        """
        low, high = self.boundary
        outside = (x < low) | (x > high)
        if self.natural_weights is None:
            if outside.any():
                first = float(x[outside][0])
                is_near = f"{first:g}" in (f"{low:g}", f"{high:g}")
                shown = [repr(value) if is_near else f"{value:g}" for value in (low, high, first)]
                raise DataError(
                    f"{self.text} was fitted between {shown[0]} and {shown[1]} and is not defined at {shown[2]}. "
                    "Leave such rows out, or fit with ns(...), which is linear beyond."
                )
            return self._values(x)
        inside = np.clip(x, low, high)
        table = self._values(inside)
        if outside.any():
            ends = np.where(x < low, low, high)[outside]
            table[outside] += (x[outside] - ends)[:, None] * self._values(ends, derivative=1)
        natural: Array = table @ self.natural_weights
        return natural

    def derivatives(self, x: Array) -> Array:
        """Return the derivatives (m, w) of the columns.

        Raises DataError at a knot where the pieces meet at an angle or a step: a slope needs more than one degree above the knots
        in one place.
        """
        inner, counts = np.unique(self.knots[self.degree + 1 : len(self.knots) - self.degree - 1], return_counts=True)
        angles = inner[counts >= self.degree]
        at = np.isin(x, angles)
        if self.degree == 0 or at.any():
            where = "is a step function" if self.degree == 0 else f"has an angle at its knot {float(x[at][0]):g}"
            raise DataError(f"{self.text} {where}, so it has no slope there. Fit with a higher degree, or set other values in at=.")
        low, high = self.boundary
        if self.natural_weights is None:
            self.columns(x)  # refuses values beyond the boundary
        table = self._values(np.clip(x, low, high), derivative=1)
        return table if self.natural_weights is None else np.asarray(table @ self.natural_weights)

    def rounding(self, x: Array | None = None) -> Array:
        """Bound the rounding (m, w) of the values at x, or (1, w) that at any argument within the boundary.

        The effect of the rounding of a knot is measured by a second spline, whose knot is moved farther.
        """
        low, high = self.boundary
        if x is None:
            bounds: Array = self.rounding(np.linspace(low, high, 100 * len(self.knots))).max(axis=0)
            return bounds[None, :]
        x = np.clip(x, low, high)
        bound = _ROUNDINGS * (self.degree + 1) * np.abs(self._values(x))
        if self.natural_weights is not None:
            ends = self._values(np.array([low, high]), derivative=2)
            condition = float(np.linalg.cond(ends.T / np.linalg.norm(ends, axis=1)))
            bound = bound @ np.abs(self.natural_weights) + condition * bound.sum(axis=1)[:, None]
        columns, gaps = self.columns(x), np.diff(np.unique(self.knots))
        for i, error in enumerate([] if self.errors is None else self.errors.tolist(), start=self.degree + 1):
            knots, at = self.knots.copy(), np.searchsorted(np.unique(self.knots), self.knots[i])
            knots[i] += max(np.ldexp(gaps[at], -20), 32 * np.spacing(abs(knots[i])))
            step = float(knots[i] - self.knots[i])
            bound = bound + np.abs(_with_natural_weights(replace(self, knots=np.sort(knots))).columns(x) - columns) * (error / step)
        return bound

    def slopes(self) -> Array:
        """Bound the derivatives (w,) within the boundary."""
        spans = self.knots[self.degree :] - self.knots[: -self.degree or None]
        count = len(self.knots) - self.degree - 1 - self.first_column
        slopes = np.full(count, 2 * self.degree / spans[spans > 0].min(initial=np.inf))
        return slopes if self.natural_weights is None else np.asarray(slopes @ np.abs(self.natural_weights), dtype=np.float64)

    def pieces(self) -> tuple[Array, Array]:
        """Return the distinct knots (i + 1,), and the columns as polynomials about each but the last: (degree + 1, i, w)."""
        from scipy.interpolate import BSpline, PPoly

        units = np.eye(len(self.knots) - self.degree - 1)[self.first_column :]
        pieces = [PPoly.from_spline(BSpline(self.knots, unit, self.degree)).c for unit in units]
        table = np.stack(pieces, axis=2)[:, np.diff(self.knots) > 0]
        return np.unique(self.knots), table if self.natural_weights is None else table @ self.natural_weights

    def _values(self, x: Array, derivative: int = 0) -> Array:
        from scipy.interpolate import BSpline  # takes 0.3 s to import, and only splines need it

        units = np.eye(len(self.knots) - self.degree - 1)[:, self.first_column :]
        values: Array = BSpline(self.knots, units, self.degree)(x, nu=derivative) if len(x) else units[:0]
        return values


def require_varying(text: str, low: float, high: float) -> None:
    """Raise a DataError unless values between these ends vary by more than rounding."""
    if is_constant(low, high, (low + high) / 2, (high - low) / 2):
        rounding = ", up to rounding," if low < high else ""
        raise DataError(f"{text} has an argument that is {low:.6g}{rounding} in every row that is used. Leave it out.")


def make_spline(factor: Basis, inner: Array, low: float, high: float, *, errors: Array | None = None) -> Spline:
    """Make a spline from its inner knots and its boundary, with the columns of R's `bs` and `ns`.

    `errors` bound the rounding of knots that are quantiles. Raises DataError if a knot is not strictly inside the boundary, or the
    argument does not vary.
    """
    require_varying(factor.text, low, high)
    if errors is None and factor.df is not None:
        errors = 4 * ROUNDOFF * np.abs(inner)
    if len(inner) and not (low < inner[0] and inner[-1] < high):
        raise DataError(
            f"{factor.text} has inner knots {listed(f'{k:g}' for k in inner)}, not all strictly between the ends {low:g} and "
            f"{high:g} of the values. Choose knots inside, or fewer columns (df)."
        )
    ends = np.full(factor.degree + 1, low), np.full(factor.degree + 1, high)
    spline = Spline(
        text=factor.text,
        knots=np.concatenate([ends[0], inner, ends[1]]),
        degree=factor.degree,
        first_column=int(not factor.intercept),
        natural_weights=np.empty((0, 0)) if factor.kind == "ns" else None,
        errors=errors,
    )
    return _with_natural_weights(spline)


def range_or_spline(factor: Basis, inner: Array, low: float, high: float) -> Spline | tuple[float, float]:
    """Return the range of the argument of a polynomial, or the spline with these inner knots."""
    if factor.kind != "poly":
        return make_spline(factor, inner, low, high)
    require_varying(factor.text, low, high)
    return low, high


def _with_natural_weights(spline: Spline) -> Spline:
    if spline.natural_weights is None:
        return spline
    curvature = spline._values(np.array(spline.boundary), derivative=2)  # (2, w)
    Q = np.linalg.qr(curvature.T, mode="complete")[0]
    return replace(spline, natural_weights=Q[:, 2:])


def inner_knots(x: Array, factor: Basis) -> tuple[Array, Array]:
    """Return knots at equally spaced quantiles (type 7) of all values (n,), and bounds of their rounding."""
    places = inner_places(factor)
    inner = np.quantile(x, places)
    low, high = (np.quantile(x, places, method=method) for method in ("lower", "higher"))
    return inner, np.where(low == high, 0.0, ROUNDOFF * (np.abs(inner) + (len(x) + 2) * (high - low)))


def inner_places(factor: Basis) -> Array:
    """Return the fractions of the values below the inner knots of a spline with `df`; none for any other basis."""
    count = 0 if factor.df is None else factor.df - _columns_without_knots(factor)
    return np.linspace(0, 1, count + 2)[1:-1]


def column_count(factor: Basis) -> int:
    """Return the number of columns of a basis."""
    if factor.kind in ("poly", "powers"):
        return factor.degree
    return factor.df or len(factor.knots or ()) + _columns_without_knots(factor)


def _columns_without_knots(factor: Basis) -> int:
    return (factor.degree if factor.kind == "bs" else 1) + factor.intercept
