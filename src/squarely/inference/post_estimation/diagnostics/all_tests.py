"""`Diagnostics`: all tests that apply to a fit, from one scan of the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from squarely.data import DetachedSource, to_frame
from squarely.errors import DataError, OptionError, show_value, suggest_name
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.diagnostics import heteroscedasticity as spread
from squarely.inference.post_estimation.diagnostics import specification as form
from squarely.inference.post_estimation.diagnostics.autocorrelation import breusch_godfrey, durbin_watson, ljung_box
from squarely.inference.post_estimation.diagnostics.collinearity import variance_inflation
from squarely.inference.post_estimation.diagnostics.row_order.ordering import has_order, read_column_ordering, require_readable_rows
from squarely.inference.post_estimation.diagnostics.row_tests import RowTest, run_row_tests
from squarely.inference.post_estimation.diagnostics.test_result import Test, describe_distribution, sentence, write_p
from squarely.inference.post_estimation.fixed_effects.refusal import require_no_effects
from squarely.reprs import short_repr
from squarely.show import Page, Table

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

_MOST_INFLATED = 10.0  # a variance inflation factor that textbooks call large
_WIDE = 30  # columns of X: beyond, White's special form takes the place of its products


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Diagnostics:
    """The diagnostic tests of a fit, with one sentence each.

    Attributes
    ----------
    tests : the tests that apply.
    vif : the variance inflation factors of the terms; None without a constant and at least two slopes.
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
        """Return a test by its name, or raise an OptionError that has the names."""
        tests = {test.name: test for test in self.tests}
        if name not in tests:
            raise OptionError(f"There is no test {show_value(name)} among these diagnostics. {suggest_name(name, tests)}")
        return tests[name]

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
    if order_by is not None:
        read_column_ordering(fit, "order_by=", order_by)
    notes: list[str] = []
    has_neighbors = has_order(fit) if order_by is None else not fit.source.partitioned
    if not has_neighbors:
        why = "the rows are in other processes" if order_by is not None else "the rows have no order"
        why = "copies of a row have no order" if fit.design.formula.has_frequencies else why
        notes.append(f"Tests of neighboring rows are left out, because {why}.")
    tests = _row_tests(fit, order_by, notes, white=white, has_neighbors=has_neighbors)
    if order_by is not None:
        tests += _range_tests(fit, order_by, notes)
    tests.append(_jarque_bera(fit))
    vif = variance_inflation(fit) if fit.df_model > 1 and fit.k_constant else None
    if vif is not None:
        notes += _describe_inflation(vif)
    return Diagnostics(title=fit.design.formula.text, tests=tuple(tests), vif=vif, notes=tuple(notes))


def _row_tests(
    fit: CoefficientStatistics, order_by: str | None, notes: list[str], *, white: bool, has_neighbors: bool
) -> list[Test]:
    """Return the tests that one scan gives; a note says why one is left out."""
    makers: dict[str, Callable[[], RowTest]] = {}
    if fit.df_model:
        makers["Breusch-Pagan"] = partial(spread.breusch_pagan, fit)
        if white:
            makers["White"] = partial(spread.white, fit, special=len(fit.solution.factor.columns) > _WIDE)
    if has_neighbors:
        makers["ARCH"] = partial(spread.arch, fit, order_by=order_by)
        makers["Breusch-Godfrey"] = partial(breusch_godfrey, fit, order_by=order_by)
        makers["Ljung-Box"] = partial(ljung_box, fit, order_by=order_by)
        makers["Durbin-Watson"] = partial(durbin_watson, fit, order_by=order_by)
    if fit.df_model:
        makers["RESET"] = partial(form.reset, fit)
    made = {name: _try(name, maker, notes) for name, maker in makers.items()}
    row_tests = {name: test for name, test in made.items() if test is not None}
    results = dict(zip(row_tests, run_row_tests(fit, [*row_tests.values()]), strict=True))
    notes += [f"{name} is left out: {error}" for name, error in results.items() if isinstance(error, DataError)]
    return [test for test in results.values() if isinstance(test, Test)]


def _range_tests(fit: CoefficientStatistics, order_by: str, notes: list[str]) -> list[Test]:
    """Return the tests that fit rows separately in the order of a column; a note says why one is left out."""
    makers: dict[str, Callable[[], Test]] = {"Goldfeld-Quandt": partial(spread.goldfeld_quandt, fit, order_by=order_by)}
    if fit.df_model:
        makers["Rainbow"] = partial(form.rainbow, fit, order_by=order_by)
        if not fit.source.partitioned:
            makers["Harvey-Collier"] = partial(form.harvey_collier, fit, order_by=order_by)
    return [test for name, maker in makers.items() if (test := _try(name, maker, notes)) is not None]


def _try(name: str, maker: Callable[[], T], notes: list[str]) -> T | None:
    """Return a test, or None with a note if the rows do not support it."""
    try:
        return maker()
    except DataError as error:
        notes.append(f"{name} is left out: {error}")
        return None


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
        f"{factors.max():.3g} times larger. Tests of one alone have little power: test them together, or leave one out."
    ]
