"""Every covariance of the coefficients, on every engine, is that of the same rows in memory."""

import datetime
import functools
import math

import numpy as np
import pyarrow as pa
import pytest

import squarely as sq
from tests.support.checks import assert_close
from tests.support.engines import ENGINES
from tests.support.spark import WARNINGS

N = 240
EACH_ENGINE = [pytest.param(name, marks=WARNINGS if name.startswith("spark") else ()) for name in ENGINES]
IBIS = [name for name in ENGINES if name.startswith("ibis")]


@functools.cache
def table():
    """Give a panel of firms and years in the order of time, with gaps in a predictor and in both kinds of labels."""
    rng = np.random.default_rng(16)
    firm, year, x = rng.integers(0, 23, N), 1990 + rng.integers(0, 17, N), rng.normal(size=N).cumsum()
    return pa.table(
        {
            "time": np.arange(N) * 10,
            "x": x,
            "z": rng.normal(size=N) + 0.1 * firm,
            "gaps": [None if i % 37 == 3 else math.nan if i == 44 else v for i, v in enumerate(rng.normal(size=N).tolist())],
            "when": rng.choice(["am", "pm"], N).tolist(),
            "firm": [None if i % 53 == 5 else f"fïrm {v}" for i, v in enumerate(firm.tolist())],
            "unit": [None if i % 61 == 7 else v for i, v in enumerate(firm.tolist())],
            "year": year,
            "day": [None if i % 59 == 9 else datetime.date(v, 2, 1) for i, v in enumerate(year.tolist())],
            "moment": [datetime.datetime(2000 + v % 9, 2, 1, 13, 30 + v) for v in firm.tolist()],
            "w": rng.uniform(0.2, 3, N) * (rng.random(N) < 0.95),
            "k": rng.integers(0, 4, N),
            "y": 1 + x + rng.normal(size=23)[firm] + rng.normal(size=17)[year - 1990] + rng.normal(size=N) * (1 + abs(x)),
        }
    )


CASES = {
    "HC3": {"vcov": "HC3"},
    "HC3, weights": {"vcov": "HC3", "weights": "w"},
    "HC4": {"vcov": "HC4", "where": "z > -2"},
    "HC2, frequencies": {"vcov": "HC2", "frequencies": "k"},
    "CR1": {"cluster": "firm"},
    "CR1, weights": {"cluster": "unit", "weights": "I(w * exp(z / 10))"},
    "CR2": {"vcov": "CR2", "cluster": "unit"},
    "CR2, weights": {"vcov": "CR2", "cluster": "firm", "weights": "w"},
    "CR3": {"vcov": "CR3", "cluster": "year", "where": "year > 1991 and z > -1"},
    "two-way": {"cluster": ["firm", "year"]},
    "two-way, frequencies": {"cluster": ["when", "unit"], "correction": "min", "frequencies": "k"},
    "HAC": {"vcov": "HAC"},
    "HAC, weights": {"vcov": "HAC", "lags": 5, "weights": "w", "where": "z < 3"},
    "DK": {"vcov": "DK", "time": "year"},
    "DK, dates": {"vcov": "DK", "time": "day"},
    "two-way, dates": {"cluster": ["day", "moment"]},
    "DK, weights": {"vcov": "DK", "time": "unit", "lags": 2, "correction": "none", "weights": "w"},
}
STATISTICS = ("bse", "tvalues", "pvalues", "df_t", "df_resid_inference", "fvalue", "f_pvalue")


@functools.cache
def expected(name):
    return sq.ols(
        "y ~ x * when + gaps", {column: table()[column].combine_chunks() for column in table().column_names}, **CASES[name]
    )


@functools.cache
def engine_input(engine, folder):
    form = ENGINES[engine]
    return form.make(table() if form.ordered else table().take(np.random.default_rng(5).permutation(N)), folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("covariances")


def refuse_rows(monkeypatch):
    """Let each scan of the rows for standard errors fail."""

    def refuse(*arguments, **options):
        raise AssertionError("rows are read")

    monkeypatch.setattr("squarely.inference.scan.fold_blocks", refuse)


@pytest.mark.parametrize("engine", EACH_ENGINE)
@pytest.mark.parametrize("name", CASES)
def test_every_covariance_is_that_of_the_rows_in_memory(name, engine, folder, monkeypatch):
    form, here = ENGINES[engine], expected(name)
    order = {"order_by": "time"} if here.cov_type == "HAC" and not form.ordered else {}
    if form.aggregates and not (here.cov_type == "HAC" and engine.startswith("spark")):  # whose partitions have no windows
        refuse_rows(monkeypatch)
    fit = sq.ols("y ~ x * when + gaps", engine_input(engine, folder), fold=form.fold, **order, **CASES[name])
    assert fit.cov_type == here.cov_type == ("CR1" if name.startswith("two-way") else name.partition(",")[0])
    assert fit.nobs == here.nobs
    assert fit.params.index.tolist() == here.params.index.tolist()
    for statistic in STATISTICS:
        assert_close(getattr(fit, statistic), getattr(here, statistic), rtol=1e-10, atol=1e-14)
    units = np.outer(here.bse, here.bse)
    assert_close(fit.cov_params() / units, here.cov_params() / units, rtol=1e-10, atol=1e-10)
    mine = fit.f_test("x = 0, gaps = 0")
    monkeypatch.undo()
    theirs = here.f_test("x = 0, gaps = 0")
    assert_close([mine.statistic, mine.pvalue], [theirs.statistic, theirs.pvalue], rtol=1e-10, atol=1e-14)
    assert {key: v for key, v in fit.cov_kwds.items() if not isinstance(v, float)} == {
        key: v for key, v in here.cov_kwds.items() if not isinstance(v, float)
    }


@pytest.mark.parametrize("engine", EACH_ENGINE)
def test_a_fit_takes_another_covariance_afterwards(engine, folder, monkeypatch):
    fit, here = sq.ols("y ~ x + z", engine_input(engine, folder), fold=ENGINES[engine].fold), sq.ols("y ~ x + z", table())
    later = [{"vcov": "HC3"}, {"cluster": "year"}, {"vcov": "CR2", "cluster": "year"}]
    expected = [here.vcov(**options).bse for options in later]
    if ENGINES[engine].aggregates:
        refuse_rows(monkeypatch)
    for options, bse in zip(later, expected, strict=True):
        assert_close(fit.vcov(**options).bse, bse, rtol=1e-10)
