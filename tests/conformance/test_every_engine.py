"""One suite: every statistic of the summary, on every engine, is that of the same rows in memory."""

import functools
import math
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

import squarely as sq
from tests.support.checks import assert_close, need
from tests.support.engines import ENGINES
from tests.support.spark import WARNINGS

N = 400
ODD = ('x"; drop table held; --', "a.b `c", "sélect", "X")


@functools.cache
def table():
    """Give rows with columns of every type, gaps of every kind and names of every kind."""
    rng = np.random.default_rng(11)
    x = rng.normal(5, 2, N)
    gaps = [None if i % 31 == 3 else math.nan if i == 44 else math.inf if i in (50, 51) else v
            for i, v in enumerate(rng.normal(size=N).tolist())]  # fmt: skip
    return pa.table(
        {
            "time": rng.permutation(N).astype(np.int64),
            "x": x,
            "z": rng.integers(-30, 30, N),
            "gaps": pa.array(gaps, from_pandas=False),
            "group": pa.array([None if i % 97 == 5 else "äbc d'e"[i % 7] for i in rng.integers(0, 1000, N).tolist()]),
            "when": pa.array(rng.choice(["am", "pm"], N).tolist()),
            "dose": rng.integers(1, 4, N).astype(np.int16),
            "small": rng.normal(size=N).astype(np.float32),
            "money": pa.array([Decimal(int(v)).scaleb(-2) for v in rng.integers(-99999, 99999, N)], type=pa.decimal128(12, 2)),
            "flag": rng.random(N) < 0.4,
            **{name: rng.normal(size=N) for name in ODD},
            "y": 3 + x + rng.normal(size=N) ** 3,
        }
    ).sort_by("time")


CASES = {
    "numeric": ("y ~ x + z", None),
    "no intercept": ("y ~ x + z - 1", None),
    "categorical": ("y ~ group + C(dose, Sum)", None),
    "interaction": ("y ~ group * when + C(dose) * x", None),
    "polynomial": ("y ~ poly(x, 3) + poly(z, 2, raw=True) + x:z", None),
    "spline": ("y ~ bs(x, df=6) + ns(z, df=4)", None),
    "functions": ("log(y + 40) ~ log1p(x**2) + sqrt(abs(x)) + exp(-x) + scale(z) + offset(x / 100)", None),
    "missing rows": ("y ~ gaps + group", None),
    "conditions": ("y ~ x + when", "gaps < 1 and (group in ['ä', 'b', ' '] or flag) and not (dose == 2 or z < -20)"),
    "integers": ("y ~ z + dose + I(z * z)", None),
    "float32": ("y ~ small + x:small", None),
    "decimals": ("y ~ money + I(money / 100 * x)", None),
    "booleans": ("y ~ flag + I(flag * x) + C(flag, Sum):z", None),
    "odd names": ('y ~ `x"; drop table held; --` + Q("a.b `c") + x + `sélect`', None),
    "twins but for case": ("y ~ x + X", None),
    "dropped columns": ("y ~ x + I(2 * x) + when + I(x + z) + z", None),
    "weights": ("y ~ x * when + C(dose)", "z > -25"),
    "weights, gaps and zeros": ("y ~ gaps + group - 1", None),
    "weights and curves": ("y ~ poly(x, 2) + bs(z, df=4)", None),
    "frequencies": ("y ~ x * when + gaps", None),
    "frequencies, no intercept": ("y ~ x + z - 1", None),
}
OPTIONS = {
    "weights": {"weights": "dose"},
    "weights, gaps and zeros": {"weights": "I(flag * x**2)"},
    "weights and curves": {"weights": "I(exp(small))"},
    "frequencies": {"frequencies": "I(dose - 1)"},
    "frequencies, no intercept": {"frequencies": "dose"},
}
SCALARS = ("nobs", "df_model", "df_resid", "rank", "rsquared", "rsquared_adj", "fvalue", "f_pvalue", "llf", "aic", "bic", "ssr",
           "ess", "centered_tss", "uncentered_tss", "mse_resid", "mse_model", "mse_total", "durbin_watson", "omnibus",
           "omnibus_pvalue", "skew", "kurtosis", "jarque_bera", "jarque_bera_pvalue", "condition_number")  # fmt: skip

EACH_ENGINE = [pytest.param(name, marks=WARNINGS if name.startswith("spark") else ()) for name in ENGINES]


@functools.cache
def expected(name):
    formula, where = CASES[name]
    rows = {column: table()[column].combine_chunks() for column in table().column_names}
    return sq.ols(formula, rows, where=where, **OPTIONS.get(name, {}))


@functools.cache
def engine_input(engine, folder):
    form = ENGINES[engine]
    rows = table() if form.ordered else table().take(np.random.default_rng(5).permutation(N))
    rows = rows.drop_columns(["X"]) if "twins but for case" in form.lacks else rows
    return form.make(rows, folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("conformance")


@pytest.mark.parametrize("engine", EACH_ENGINE)
@pytest.mark.parametrize("name", CASES)
def test_every_statistic_is_that_of_the_rows_in_memory(name, engine, folder):
    form, (formula, where) = ENGINES[engine], CASES[name]
    if name in form.lacks:
        pytest.skip(f"{engine}: {form.lacks[name]}")
    options = {"fold": form.fold, "order_by": None if form.ordered else "time", **OPTIONS.get(name, {})}
    fit = sq.ols(formula, engine_input(engine, folder), where=where, **options)
    here = expected(name)
    assert fit.params.index.tolist() == here.params.index.tolist()
    errors = here.standard_errors
    assert_close(fit.params / errors, here.params / errors, rtol=1e-10, atol=1e-10)
    assert_close(fit.conf_int() / errors[:, None], here.conf_int() / errors[:, None], rtol=1e-10, atol=1e-10)
    assert_close(fit.cov_params() / np.outer(errors, errors), here.cov_params() / np.outer(errors, errors), rtol=1e-10, atol=1e-10)
    for statistic in ("bse", "tvalues", "pvalues"):
        assert_close(getattr(fit, statistic), getattr(here, statistic), rtol=1e-10, atol=1e-10)
    mine, theirs = fit.as_dict(), here.as_dict()
    for statistic in SCALARS:
        if statistic not in form.lacks:
            assert_close(mine[statistic], theirs[statistic], rtol=1e-10, atol=1e-14)
    same_rows(mine["rows"], theirs["rows"], by_cause="causes" not in form.lacks)
    assert mine["dropped_columns"] == theirs["dropped_columns"]
    if here.df_model:
        assert_close(fit.ridge(3.0).params / errors, here.ridge(3.0).params / errors, rtol=1e-9, atol=1e-9)
    assert mine["categories"] == theirs["categories"]


def same_rows(mine, theirs, *, by_cause):
    for key in ("read", "filtered", "used", "weightless"):
        assert mine[key] == theirs[key]
    if by_cause:
        assert mine["dropped"] == theirs["dropped"]
    else:
        assert {n: sum(c.values()) for n, c in mine["dropped"].items()} == {
            n: sum(c.values()) for n, c in theirs["dropped"].items()
        }


@pytest.mark.parametrize("engine", EACH_ENGINE)
def test_residuals_are_those_of_the_rows_in_memory(engine, folder):
    form = ENGINES[engine]
    if "resid" in form.lacks:
        pytest.skip(f"{engine}: {form.lacks['resid']}")
    fit = sq.ols("y ~ x * when", engine_input(engine, folder), fold=form.fold, order_by=None if form.ordered else "time")
    here = sq.ols("y ~ x * when", table())
    assert_close(fit.resid, here.resid, rtol=1e-9, atol=1e-10)
    assert_close(fit.fittedvalues, here.fittedvalues, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("engine", EACH_ENGINE)
def test_a_figure_counts_the_rows_in_the_same_cells(engine, folder, monkeypatch):
    need("matplotlib")
    monkeypatch.setattr("squarely.inference.post_estimation.figures.drawn_rows.MOST_POINTS", 10)
    form, formula = ENGINES[engine], "log(y + 40) ~ poly(gaps, 2)"
    fit = sq.ols(formula, engine_input(engine, folder), where="z > -25", fold=form.fold)
    (axes,) = fit.plot().axes
    mesh = next(each for each in axes.collections if hasattr(each, "get_coordinates"))
    corners, counts = mesh.get_coordinates(), np.ma.filled(mesh.get_array(), np.nan)
    z, gaps, y = (table()[name].to_numpy() for name in ("z", "gaps", "y"))
    used = (z > -25) & np.isfinite(gaps)
    expected, _, _ = np.histogram2d(np.log(y[used] + 40), gaps[used], bins=[corners[:, 0, 1], corners[0, :, 0]])
    assert np.array_equal(np.nan_to_num(counts.reshape(expected.shape)), expected)
    assert expected.sum() == used.sum()
