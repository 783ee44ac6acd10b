"""The `Certificate`: how far apart the two answers are, why, and what would bring them together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from squarely.certification.gaps import DistanceBound, GradientAtSolution
from squarely.data import RowAccount, to_frame
from squarely.errors import NumericalError
from squarely.numerics import Array
from squarely.reprs import NO_SIGNATURE, public_dir
from squarely.show import KeyValueTable, Page, Table
from squarely.types import Verdict

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, slots=True, kw_only=True, repr=False)
class Certificate:
    """How far a training run, or another answer, is from least squares. Made by `squarely.certify`.

    Attributes
    ----------
    names : of the p coefficients.
    exact, trained : (p,) the coefficients of both, in the units of the data. `trained` is also the answer of `params=`.
    bse : (p,) the standard errors of `exact`.
    predicted_gap : (p,) trained minus exact as theory predicts it; None if theory has no closed form.
    rounding_gap : the largest gap, in standard errors, that the rounding of `dtype` may leave: an estimate.
    dtype : the precision of the run's arithmetic, or of the numbers of `params=`.
    excess_loss : L(w) - L*, the standardized loss above its minimum.
    slope : loss and gradient on the rows at the trained coefficients, in float64; None for different rows.
    bound : what that gradient proves without knowledge of the optimum; None for different rows.
    same_rows : whether both used the same rows, by counts, means and covariances of all columns; None if that is not known.
    rows : the row accounts of the fit and of the run; None for `params=`. `validation_rows` is that of the rows the run only
        evaluated.
    tau : the tolerance, in standard errors.
    digits : the fewest digits of an exact coefficient or standard error that can be trusted.
    evidence : how independent the run is of the fit. A run on rows is independent, one on cross-products less so, and a closed
        form, which takes no step, not at all. For `params=`, what made them, if that is known.
    verdict : "agree", "not converged", "batch noise", "fixed order" (of batches), "penalized", "other loss", "frozen" (parameters),
        "ascent", "diverged", "not finite", "float32 floor", "float64 floor", "different rows", "other columns", "other units",
        "intercept", "rounded", "collinear" or "disagree".
    cause : the verdict in sentences, with what to do.
    notes : on levels of categories that look like numbers or like a missing value.
    """

    __signature__ = NO_SIGNATURE
    __dir__ = public_dir()

    names: tuple[str, ...]
    exact: Array
    trained: Array
    bse: Array
    predicted_gap: Array | None
    rounding_gap: float
    dtype: str
    excess_loss: float
    slope: GradientAtSolution | None
    bound: DistanceBound | None
    same_rows: bool | None
    rows: tuple[RowAccount, RowAccount | None]
    validation_rows: RowAccount | None
    tau: float
    digits: float
    evidence: str
    verdict: Verdict
    cause: str
    notes: tuple[str, ...] = ()

    @property
    def agree(self) -> bool:
        """Whether every coefficient is within tau standard errors; to rounding, if the data lie on the line exactly."""
        return self.verdict == "agree"

    @property
    def nobs(self) -> int:
        """The number of rows of the fit."""
        return self.rows[0].used

    @property
    def gap(self) -> Array:
        """Trained minus exact (p,), in the units of the data."""
        return self.trained - self.exact

    @property
    def gap_se(self) -> Array:
        """The gap in standard errors (p,)."""
        return _divide_gap(self.gap, self.bse)

    @property
    def table(self) -> pd.DataFrame:
        """One row for each coefficient: exact, trained, gap, relative, gap_se and predicted_gap_se."""
        return to_frame(self._table_columns(), list(self.names))

    def require(self) -> Certificate:
        """Return the certificate, or raise a NumericalError if the answers do not agree."""
        if not self.agree:
            raise NumericalError(self.cause)
        return self

    def as_dict(self) -> Mapping[str, Any]:
        """Return every number as plain Python values, as `--json` prints them."""
        columns, slope, bound = self._table_columns(), self.slope, self.bound
        return {
            **{name: getattr(self, name) for name in ("verdict", "agree", "cause", "tau", "nobs")},
            "coefficients": {name: {key: float(values[i]) for key, values in columns.items()} for i, name in enumerate(self.names)},
            "excess_loss": self.excess_loss,
            "gradient_norm": slope and slope.norm,
            "gradient_on": slope and slope.basis,
            "bound": bound and {"distance": bound.distance, "excess_loss": bound.excess, "gap_se": bound.standard_errors},
            "rounding_gap": None if slope is None else self.rounding_gap,
            "same_rows": self.same_rows,
            "rows": {"exact": self.rows[0].as_dict(), "trained": self.rows[1] and self.rows[1].as_dict()},
            "validation_rows": self.validation_rows and self.validation_rows.as_dict(),
            "digits": self.digits,
            "evidence": self.evidence,
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        return repr(self.summary())

    def _repr_html_(self) -> str:
        return self.summary().shorten()._repr_html_()

    def summary(self) -> Page:
        """Return the certificate as a page: the verdict, the coefficients, and what bounds and explains the gap."""
        rows = [
            (name, f"{a:.7g}", f"{b:.7g}", f"{gap:.2e}", f"{se:.1e}")
            for name, a, b, gap, _, se, _ in zip(self.names, *self._table_columns().values(), strict=True)
        ]
        table = Table(("", "exact", "trained" if self.rows[1] else "answer", "gap", "std errors"), rows)
        slope, bound, predicted = self.slope, self.bound, self.predicted_gap
        left = [self._describe_same_rows(), ("Digits of least squares:", str(int(self.digits)))]
        left += [] if self.evidence.startswith(("independent", "not known")) else [("Evidence:", self.evidence)]
        right = (
            []
            if bound is None or not np.isfinite(bound.standard_errors)
            else [(_label_bound(slope), f"{bound.standard_errors:.2e} std err")]
        )
        if predicted is not None:
            right.append(("Gap predicted:", f"{largest_gap(predicted, self.bse):.2e} std err"))
        if slope is not None:
            right.append((f"Rounding, {self.dtype}:", f"{self.rounding_gap:.2e} std err"))
        cause = self.cause.split(". ")[0].rstrip(".") + "." if self.agree else self.cause  # the lines below explain a small gap
        verdict = [f"Verdict: {self.verdict}. {cause}"]
        return Page(
            "Certificate", [table, KeyValueTable(left, right)], notes=self.notes, footer=self._describe_rows(), lead=verdict
        )

    def _describe_same_rows(self) -> tuple[str, str]:
        exact, other = self.rows
        used = f"{exact.used:,}" if other is None or other.used == exact.used else f"{exact.used:,} and {other.used:,}"
        return ("Rows:", used) if self.same_rows is None else ("Same rows:", f"{'yes' if self.same_rows else 'NO'} ({used})")

    def _describe_rows(self) -> list[str]:
        """Return the row accounts, if they say more than that every row was used."""
        exact, trained = (" ".join(account.lines()) if account else "" for account in self.rows)
        validation = [] if self.validation_rows is None else [f"Validation rows: {' '.join(self.validation_rows.lines())}"]
        if exact == trained or not trained:
            return validation if len(self.rows[0].lines()) == 1 else [f"Rows: {exact}", *validation]
        return [f"Rows of least squares: {exact}", f"Rows of the run: {trained}", *validation]

    def _table_columns(self) -> dict[str, Array]:
        predicted = np.full(len(self.names), np.nan) if self.predicted_gap is None else _divide_gap(self.predicted_gap, self.bse)
        return {
            "exact": self.exact,
            "trained": self.trained,
            "gap": self.gap,
            "relative": _divide_gap(self.gap, np.abs(self.exact)),
            "gap_se": self.gap_se,
            "predicted_gap_se": predicted,
        }


def _label_bound(slope: GradientAtSolution | None) -> str:
    """Return the label of the bound; it says that the gradient is that of the moments where there are no rows."""
    return "Gap at most, on moments:" if slope is not None and slope.basis == "moments" else "Gap at most:"


def _divide_gap(gap: Array, bse: Array) -> Array:
    """Divide a gap (p,) by standard errors (p,); with a standard error of zero any gap is infinite, and no gap is zero."""
    return np.divide(gap, bse, out=np.where(gap == 0, 0.0, np.copysign(np.inf, gap)), where=~(bse == 0))


def largest_gap(gap: Array, bse: Array) -> float:
    """Return the largest gap in standard errors, NaN only if no coefficient can be compared."""
    sizes = np.abs(_divide_gap(gap, bse))
    return float(np.nanmax(sizes)) if not np.isnan(sizes).all() else float("nan")
