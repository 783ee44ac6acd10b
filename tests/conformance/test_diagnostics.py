"""Every diagnostic test, on every engine, is that of the rows in memory; what an engine cannot give is refused in a sentence."""

import functools

import pytest

import squarely as sq
from squarely.errors import DataError, OptionError
from tests.conformance.test_covariances import EACH_ENGINE, IBIS, engine_input, folder, table  # noqa: F401
from tests.support.checks import assert_close
from tests.support.engines import ENGINES

FORMULA = "y ~ x * when + gaps"
OPTIONS = {"plain": {}, "weights": {"weights": "w", "where": "z < 3"}}
ANYWHERE = (
    ("het_breuschpagan", {}), ("het_breuschpagan", {"robust": False, "against": "fitted"}), ("het_white", {}),
    ("het_white", {"special": True}), ("linear_reset", {}), ("linear_reset", {"test_type": "exog"}),
    ("linear_rainbow", {"use_distance": True}), ("linear_rainbow", {"order_by": "z"}),
    ("het_goldfeldquandt", {"order_by": "time", "drop": 0.1}),
)  # fmt: skip
IN_ORDER = (("het_arch", {}), ("acorr_breusch_godfrey", {}), ("acorr_ljungbox", {}), ("durbin_watson_test", {}))
ONE_AFTER_ANOTHER = (
    ("linear_harvey_collier", {}), ("het_goldfeldquandt", {}), ("linear_rainbow", {}), ("acorr_breusch_godfrey", {"order_by": "z"}),
    ("linear_harvey_collier", {"order_by": "z"}),
)  # fmt: skip


@functools.cache
def here(kind):
    return sq.ols(FORMULA, {name: table()[name].combine_chunks() for name in table().column_names}, **OPTIONS[kind])


@pytest.mark.parametrize("engine", EACH_ENGINE)
@pytest.mark.parametrize("kind", OPTIONS)
def test_every_test_is_that_of_the_rows_in_memory(kind, engine, folder):  # noqa: F811
    form = ENGINES[engine]
    order = {} if form.ordered else {"order_by": "time"}
    fit = sq.ols(FORMULA, engine_input(engine, folder), fold=form.fold, **order, **OPTIONS[kind])
    is_remote = engine.startswith(("spark", "dask"))
    assert fit.source.partitioned == is_remote
    for method, options in (*ANYWHERE, *IN_ORDER, *(() if is_remote else ONE_AFTER_ANOTHER)):
        test, expected = (getattr(each, method)(**options) for each in (fit, here(kind)))
        assert (test.df, test.distribution) == (expected.df, expected.distribution)
        assert_close([*test][:2], [*expected][:2], rtol=1e-8, atol=1e-13)
    for method, options in ONE_AFTER_ANOTHER if is_remote else ():
        with pytest.raises(OptionError, match=r"which are in other processes\.|they are in other processes\."):
            getattr(fit, method)(**options)
    found = fit.diagnostics(order_by="z")
    expected = here(kind).diagnostics(order_by="z")
    missing = {"Harvey-Collier"} | ({"ARCH", "Breusch-Godfrey", "Ljung-Box", "Durbin-Watson"} if is_remote else set())
    assert set(expected.frame.index) - set(found.frame.index) == (missing if is_remote else set())


@pytest.mark.parametrize("engine", EACH_ENGINE)
def test_rows_without_an_order_or_out_of_reach_are_refused(engine, folder):  # noqa: F811
    form = ENGINES[engine]
    fit = sq.ols("y ~ x + z", engine_input(engine, folder), fold=form.fold)
    if engine in IBIS:
        for method, options in (*ANYWHERE, *IN_ORDER, *ONE_AFTER_ANOTHER):
            with pytest.raises(OptionError, match=r"^Diagnostics read the rows, which stay in \w+\. Give ols order_by= a column"):
                getattr(fit, method)(**options)
        assert_close(fit.vif()["GVIF"], sq.ols("y ~ x + z", table()).vif()["GVIF"], rtol=1e-9)
        return
    if not fit.source.ordered:
        for method, options in IN_ORDER:
            with pytest.raises(OptionError, match=r"needs rows in an order, and .* has none\. Give ols order_by="):
                getattr(fit, method)(**options)
        with pytest.raises(DataError, match=r"where several have the value .*Name a column without repeated values by order_by="):
            fit.het_goldfeldquandt(order_by="year")
