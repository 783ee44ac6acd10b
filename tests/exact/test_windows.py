"""`rolling` and `expanding`: every window is a fit of its rows, whatever the rows before it were."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.regression.rolling import RollingOLS, RollingWLS

import squarely as sq
from squarely.errors import DataError, OptionError
from tests.support.checks import assert_close, need
from tests.support.engines import ibis_duckdb


def series(n=400, seed=0):
    rng = np.random.default_rng(seed)
    data = pd.DataFrame(
        {"x": rng.normal(size=n).cumsum(), "z": rng.normal(size=n), "w": rng.uniform(0.5, 2, n)},
        index=pd.date_range("2020-01-01", periods=n),
    )
    return data.assign(y=3 + data["x"] * np.linspace(0, 1, n) - data["z"] + rng.normal(size=n))


@pytest.mark.parametrize("window", [4, 20, 133, 400])
@pytest.mark.parametrize("intercept", [True, False])
def test_rolling_is_rolling_ols(window, intercept):
    data = series()
    X = data[["x", "z"]]
    there = RollingOLS(data["y"], sm.add_constant(X) if intercept else X, window=window).fit(use_t=True)
    here = sq.rolling("y ~ x + z" if intercept else "y ~ x + z - 1", data, window=window)
    last = there.params.index[window - 1 :]
    for name in ("params", "bse", "tvalues"):
        ours, theirs = getattr(here, name), getattr(there, name).loc[last]
        assert ours.index.equals(theirs.index)
        assert_close(ours, theirs, rtol=1e-8, atol=1e-8)
    assert_close(here.rsquared, there.rsquared[last], rtol=1e-8)
    assert_close(here.mse_resid, there.mse_resid[last], rtol=1e-8)
    assert_close(here.pvalues, np.asarray(there.pvalues)[window - 1 :], rtol=1e-6, atol=1e-12)
    assert (here.digits > 9).all()


def test_weights_and_steps_are_rolling_wls():
    data = series()
    there = RollingWLS(data["y"], sm.add_constant(data[["x", "z"]]), window=50, weights=data["w"]).fit()
    here = sq.rolling("y ~ x + z", data, window=50, step=7, weights="w")
    assert_close(here.params, there.params.iloc[49::7], rtol=1e-8)
    assert_close(here.bse, there.bse.iloc[49::7], rtol=1e-8)


def refits(formula, data, starts, stops, **options):
    return [sq.ols(formula, data.iloc[start:stop], **options) for start, stop in zip(starts, stops, strict=True)]


def assert_refits(result, places, fits, rtol=1e-9):
    for i, fit in zip(places, fits, strict=True):
        if fit.dropped_columns:
            assert result.params.iloc[i].isna().all()
        else:
            assert_close(result.params.iloc[i], fit.params, rtol=rtol, atol=rtol * fit.bse.max())
            assert_close(result.bse.iloc[i], fit.bse, rtol=rtol)
            assert_close(result.rsquared.iloc[i], fit.rsquared, rtol=rtol)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(5, 60), st.integers(1, 9), st.sampled_from(["none", "outlier", "far", "drift", "fit"]))
def test_windows_are_fits_of_their_rows(seed, window, step, trouble):
    data = series(80, seed)
    data.iloc[30, 0] += {"outlier": 1e9}.get(trouble, 0.0)
    data["z"] += {"far": 1e7}.get(trouble, 0.0)
    data["x"] += np.arange(80.0) ** 3 * (trouble == "drift")
    data["y"] = data["x"] + 1e-4 * data["y"] if trouble == "fit" else data["y"]
    starts = [start for start in (0, 3 * step, 7 * step) if start + window <= 80]
    result = sq.rolling("y ~ x + z", data, window=window, step=step)
    assert len(result) == len(range(0, 80 - window + 1, step))
    places = [start // step for start in starts]
    assert_refits(result, places, refits("y ~ x + z", data, starts, [start + window for start in starts]))
    grown = sq.expanding("y ~ x + z", data, min_rows=window, step=step)
    assert_refits(grown, places, refits("y ~ x + z", data, [0] * len(starts), [start + window for start in starts]))


def test_expanding_over_many_rows():
    data = series(3000)
    stops = [5, 64, 65, 700, 3000]
    result = sq.expanding("y ~ x + z", data)
    fits = refits("y ~ x + z", data, [0] * len(stops), stops)
    assert list(result.nobs) == list(range(4, 3001))
    assert_close(result.params.iloc[[stop - 4 for stop in stops]], [fit.params for fit in fits], rtol=1e-9)


def test_a_window_without_rank_is_nan_with_its_reason():
    data = series(300)
    data.iloc[50:100, 0] = 5.3
    data.iloc[150:200, 1] = 2 * data.iloc[150:200, 0] + 0.1
    result = sq.rolling("y ~ x + z", data, window=40)
    assert result.failed.value_counts().to_dict() == {
        "x is constant or depends on other columns.": 11,
        "z is constant or depends on other columns.": 11,
    }
    assert result.failed.index[0] == data.index[89]
    frame = result.frame().query("reason != ''")
    assert frame[["estimate", "std_err", "t", "p", "ci_lower", "rsquared", "digits"]].isna().all(axis=None)
    assert "11 windows without a fit: x is constant" in str(result.summary())


def test_nearly_collinear_windows_are_solved_from_their_rows():
    data = series(120)
    data["near"] = data["x"] + 1e-9 * data["z"]
    result = sq.rolling("y ~ x + near", data, window=60, step=20)
    assert_refits(result, range(4), refits("y ~ x + near", data, range(0, 61, 20), range(60, 121, 20)), rtol=1e-6)
    assert not len(result.failed)


def test_rows_with_gaps_are_left_out_first_and_counted():
    data = series(100)
    data.iloc[[10, 40], 0] = np.nan
    result, complete = sq.rolling("y ~ x + z", data, window=30), data.dropna()
    assert dict(result.rows.dropped) == {"x": {"null": 0, "nan": 2, "inf": 0}}
    assert_close(result.params, sq.rolling("y ~ x + z", complete, window=30).params, rtol=1e-13)
    assert list(result.params.index) == list(complete.index[29:])
    with pytest.raises(DataError, match="missing='raise'"):
        sq.rolling("y ~ x + z", data, window=30, missing="raise")


def test_categories_files_and_conditions(tmp_path):
    data = series(200).assign(g=lambda d: np.where(d["z"] > 0, "a", "b")).reset_index(drop=True)
    data.to_csv(tmp_path / "rows.csv", index=False)
    here = sq.rolling("y ~ 0 + g + x", data, window=50, where="w > 0.6")
    assert_close(sq.rolling("y ~ 0 + g + x", tmp_path / "rows.csv", window=50, where="w > 0.6").params, here.params, rtol=1e-12)
    fit = sq.ols("y ~ 0 + g + x", data[data["w"] > 0.6].iloc[:50])
    assert_close(here.rsquared.iloc[0], fit.rsquared, rtol=1e-12)


def test_rows_without_an_order_need_one():
    need("ibis")
    data = series(90).reset_index(drop=True).assign(t=lambda d: d.index * 2)
    table = ibis_duckdb(pa.Table.from_pandas(data.sample(frac=1, random_state=0), preserve_index=False), None)
    with pytest.raises(OptionError, match="Give order_by= with a column that sorts them"):
        sq.rolling("y ~ x", table, window=9)
    assert_close(sq.rolling("y ~ x", table, window=9, order_by="t").params, sq.rolling("y ~ x", data, window=9).params, rtol=1e-10)


def test_frame_limits_and_figure():
    data = series(60)
    result = sq.rolling("y ~ x", data, window=30)
    frame, limits = result.frame(alpha=0.1), result.conf_int(alpha=0.1)
    assert set(frame.columns) - set(sq.ols("y ~ x", data.assign(g=1), by="g").frame().columns) == {"first", "last", "digits"}
    fit = sq.ols("y ~ x", data.iloc[:30])
    assert_close(frame[["ci_lower", "ci_upper"]].head(2), fit.conf_int(0.1), rtol=1e-10)
    assert_close(limits.iloc[0], fit.conf_int(0.1).to_numpy().ravel(), rtol=1e-10)
    assert (frame["first"][0], frame["last"][0]) == (data.index[0], data.index[29])
    figure = result.plot()
    assert [axes.get_title() for axes in figure.axes] == ["x, rolling, 30 rows"]
    with pytest.raises(OptionError, match="'v' is not a coefficient"):
        result.plot("v")
