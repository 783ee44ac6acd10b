"""`Diagnostics`: all tests that apply to a fit, from one scan of the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from squarely.data import DetachedSource, to_frame
from squarely.errors import DataError
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.diagnostics import heteroscedasticity as spread
from squarely.inference.post_estimation.diagnostics import specification as form
from squarely.inference.post_estimation.diagnostics.autocorrelation import breusch_godfrey, durbin_watson, ljung_box
from squarely.inference.post_estimation.diagnostics.collinearity import variance_inflation
from squarely.inference.post_estimation.diagnostics.row_order import has_order, require_readable_rows
from squarely.inference.post_estimation.diagnostics.row_tests import RowTest, run_row_tests
from squarely.inference.post_estimation.diagnostics.test_result import Test, describe_distribution, sentence, write_p
from squarely.inference.post_estimation.fixed_effects.refusal import require_no_effects
from squarely.reprs import short_repr
from squarely.show import Page, Table

if TYPE_CHECKING:
    import pandas as pd

_MOST_INFLATED = 10.0  # a variance inflation factor that textbooks call large
_WIDE = 30  # columns of X: beyond, White's special form takes the place of its products


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Diagnostics:
    """The diagnostic tests of a fit, with one sentence each.

    Attributes
    ----------
    tests : the tests that apply.
    vif : the variance inflation factors of the terms; None without a constant or without slopes.
    notes : what was left out, and columns that depend on each other.
    """

    __repr__ = short_repr

    title: str
    tests: tuple[Test, ...]
    vif: pd.DataFrame | None = None
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Test]:
        return iter(self.tests)

    def __len__(self) -> int:
        return len(self.tests)

    def __getitem__(self, name: str) -> Test:
        """Return a test by its name."""
        return next(test for test in self.tests if test.name == name)

    @property
    def frame(self) -> pd.DataFrame:
        """One row for each test: statistic, df, pvalue and says."""
        rows = [(test.statistic, test.df, test.pvalue, test.says) for test in self.tests]
        return to_frame(rows, [test.name for test in self.tests], ["statistic", "df", "pvalue", "says"])

    def summary(self) -> Page:
        """Return the tests as a page."""
        header = ("Test", "statistic", "distribution", "p")
        rows = [
            (test.name, f"{test.statistic:#.4g}", describe_distribution(test.distribution, test.df), write_p(test.pvalue))
            for test in self.tests
        ]
        says = [f"{test.name}: {test.says}" for test in self.tests]
        blocks = [Table(header, rows)]
        if self.vif is not None:
            inflated = [(term, f"{gvif:.4g}", f"{df:.0f}", f"{scaled:.4g}") for term, gvif, df, scaled in self.vif.itertuples()]
            blocks.append(Table(("Term", *self.vif.columns), inflated))
        return Page(f"Diagnostics of {self.title}", blocks, footer=says, notes=self.notes)

    def as_dict(self) -> dict[str, Any]:
        """Return the tests as plain Python values."""
        tests = [test.as_dict() for test in self.tests]
        return {"tests": tests, "vif": None if self.vif is None else self.vif.to_dict("index"), "notes": list(self.notes)}

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


def diagnose(fit: CoefficientStatistics, *, order_by: str | None = None, white: bool = True) -> Diagnostics:
    """Run all tests that apply; the public method documents it."""
    require_no_effects(fit, "diagnostics()")
    require_readable_rows(fit)
    if isinstance(fit.source, DetachedSource):
        fit.source.read([])
    notes: list[str] = []
    makers: list[Callable[[], RowTest]] = [partial(spread.breusch_pagan, fit)] if fit.df_model else []
    if white and fit.df_model:
        makers.append(partial(spread.white, fit, special=len(fit.solution.factor.columns) > _WIDE))
    if has_order(fit) or (order_by is not None and not fit.source.partitioned):
        makers += [partial(maker, fit, order_by=order_by) for maker in (spread.arch, breusch_godfrey, ljung_box, durbin_watson)]
    else:
        notes.append("Tests of neighboring rows are left out, because the rows have no order.")
    makers += [partial(form.reset, fit)] if fit.df_model else []
    row_tests: list[RowTest] = []
    for maker in makers:
        with suppress(DataError):  # too few rows for one of them
            row_tests.append(maker())
    tests = [*run_row_tests(fit, row_tests), *_ordered_tests(fit, order_by)]
    tests.append(_jarque_bera(fit))
    vif = variance_inflation(fit) if fit.df_model and fit.k_constant else None
    if vif is not None:
        notes += _describe_inflation(vif)
    return Diagnostics(title=fit.design.formula.text, tests=tuple(tests), vif=vif, notes=tuple(notes))


def _ordered_tests(fit: CoefficientStatistics, order_by: str | None) -> list[Test]:
    """Return the tests that compare rows in the order of a column."""
    if order_by is None:
        return []
    tests = [spread.goldfeld_quandt(fit, order_by=order_by)]
    if fit.df_model:
        tests.append(form.rainbow(fit, order_by=order_by))
        if not fit.source.partitioned:
            tests.append(form.harvey_collier(fit, order_by=order_by))
    return tests


def _jarque_bera(fit: CoefficientStatistics) -> Test:
    pvalue = fit.normality.jarque_bera_pvalue
    return Test(
        name="Jarque-Bera",
        statistic=fit.normality.jarque_bera,
        pvalue=pvalue,
        df=2,
        distribution="chi2",
        says=sentence(
            pvalue,
            "The errors are not normal ({p}): p-values and limits are approximate, which matters in small samples.",
            "No sign that the errors are not normal ({p}).",
        ),
    )


def _describe_inflation(vif: pd.DataFrame) -> list[str]:
    """Say which term has the most inflated variance if that is much."""
    factors = vif["GVIF^(1/(2*Df))"] ** 2
    if not factors.max() > _MOST_INFLATED:
        return []
    return [
        f"The columns of {factors.idxmax()} depend on the others, which makes the variances of its coefficients "
        f"{factors.max():.3g} times larger. Tests of such coefficients have little power alone: "
        "test them together, or leave one out."
    ]
