"""HAC and Driscoll-Kraay: laws, statsmodels live, order, weights, and what is refused."""

from functools import reduce

import duckdb
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf

import squarely as sq
from squarely.errors import DataError, OptionError
from squarely.inference.covariance.serial_correlation.automatic_lag import Autocovariances
from squarely.inference.covariance.serial_correlation.moving_sums import MovingSums
from tests.support.checks import assert_close, need


def series(n=300, seed=0):
    """Return rows with autocorrelated errors and predictors."""
    rng = np.random.default_rng(seed)
    x, e = np.cumsum(rng.normal(size=(2, n)), axis=1) / 5
    return pd.DataFrame({"t": np.arange(n), "x": x, "z": 2000 + rng.normal(size=n), "w": rng.uniform(0.1, 5, n), "y": x + e})


def panel(periods=12, firms=9, seed=0):
    rng = np.random.default_rng(seed)
    year = np.repeat(np.arange(2000, 2000 + periods), firms)
    x = rng.normal(size=len(year))
    common = np.repeat(np.cumsum(rng.normal(size=periods)), firms)
    return pd.DataFrame({"year": year, "x": x, "y": x + common + rng.normal(size=len(year))})


def weighted_products(scores, lags):
    """Return the sum with Bartlett weights by its definition: (1 - j/(L+1)) (G_j + G_j')."""
    total = scores @ scores.T
    for j in range(1, min(lags, scores.shape[1] - 1) + 1):
        G = scores[:, j:] @ scores[:, :-j].T
        total = total + (1 - j / (lags + 1)) * (G + G.T)
    return total


def merge_at_random(parts, rng):
    """Merge neighbors in a random order."""
    parts = list(parts)
    while len(parts) > 1:
        i = rng.integers(len(parts) - 1)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts[0]


@pytest.mark.parametrize("lags", [0, 1, 4, 19, 39, 60])
@pytest.mark.parametrize("pieces", ["rows", "random", "one"])
def test_moving_sums_have_bartlett_weights_for_any_cut_and_bracketing(lags, pieces):
    rng = np.random.default_rng(lags)
    scores = rng.normal(size=(3, 40))
    for _ in range(5):
        cuts = {"rows": range(1, 40), "random": np.sort(rng.choice(np.arange(1, 40), 7, replace=False)), "one": ()}[pieces]
        parts = [MovingSums.of_rows(part, lags) for part in np.split(scores, list(cuts), axis=1)]
        for merged in (merge_at_random(parts, rng), reduce(MovingSums.__add__, parts)):
            assert_close(merged.bartlett(), weighted_products(scores, lags), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("lags", [0, 1, 7, 39])
def test_autocovariances_merge_for_any_cut_and_bracketing(lags):
    rng = np.random.default_rng(lags)
    f = rng.normal(size=40)
    expected = [f[j:] @ f[: len(f) - j] for j in range(lags + 1)]
    for cuts in (range(1, 40), [3, 4, 20], [39]):
        parts = [Autocovariances.of_rows(part, lags) for part in np.split(f, list(cuts))]
        assert_close(merge_at_random(parts, rng).products, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("formula", ["y ~ x + z", "y ~ x + z - 1", "y ~ x + I(3 * x) + z", "y ~ 1"])
@pytest.mark.parametrize("precision", ["double", "extended"])
def test_hac_is_that_of_statsmodels(formula, precision):
    data = series().eval("z = z - 1999")  # at 2000 statsmodels has seven digits
    peer = smf.ols(formula.replace(" + I(3 * x)", ""), data)
    for lags in (0, 1, 10, 299):
        kwds = {"maxlags": lags, "use_correction": True}
        expected = peer.fit(cov_type="HAC", cov_kwds=kwds, use_t=True)
        fit = sq.ols(formula, data, vcov="HAC", lags=lags, precision=precision)
        names = expected.params.index
        assert_close(fit.cov_params().loc[names, names], expected.cov_params(), rtol=1e-8)
        assert_close(fit.pvalues[names], expected.pvalues, rtol=1e-8)
        if formula == "y ~ x + z":
            assert_close(fit.fvalue, expected.fvalue, rtol=1e-8)
        assert (fit.cov_type, fit.cov_kwds["lags"], fit.cov_kwds["automatic"]) == ("HAC", lags, False)


def test_weighted_hac_is_that_of_statsmodels():
    data = series()
    expected = smf.wls("y ~ x + z", data, weights=data["w"]).fit(cov_type="HAC", cov_kwds={"maxlags": 6, "use_correction": True})
    assert_close(sq.ols("y ~ x + z", data, weights="w", vcov="HAC", lags=6).bse, expected.bse, rtol=1e-8)


def test_lag_zero_is_hc1():
    fit = sq.ols("y ~ x + z", series())
    assert_close(fit.vcov("HAC", lags=0).bse, fit.vcov("HC1").bse, rtol=1e-12)
    assert_close(fit.vcov("HAC", lags=0, correction="none").bse, fit.vcov("HC0").bse, rtol=1e-12)


def test_dropped_rows_leave_no_gap():
    data = series()
    data.loc[100:120, "x"] = np.nan
    fit, complete = (sq.ols("y ~ x", rows, vcov="HAC", lags=5) for rows in (data, data.dropna()))
    assert_close(fit.bse, complete.bse, rtol=1e-12)
    assert "leave no gap in the order" in " ".join(fit.notes)
    assert "leave no gap in the order" not in " ".join(complete.notes)


def test_hac_takes_the_order_of_a_column():
    data = series()
    expected = sq.ols("y ~ x", data, vcov="HAC", lags=5)
    mixed = data.sample(frac=1, random_state=1)
    relation = duckdb.from_df(mixed)
    assert_close(sq.ols("y ~ x", relation, order_by="t", vcov="HAC", lags=5).bse, expected.bse, rtol=1e-10)
    assert_close(sq.ols("y ~ x", relation, order_by="t", fold="aggregates").vcov("HAC", lags=5).bse, expected.bse, rtol=1e-10)
    assert abs(sq.ols("y ~ x", mixed, vcov="HAC", lags=5).bse["x"] / expected.bse["x"] - 1) > 0.1


def test_batches_and_files_give_the_same(tmp_path):
    data = series(20_000)
    data.to_parquet(tmp_path / "rows.parquet", row_group_size=777)
    for options in ({"vcov": "HAC"}, {"vcov": "HAC", "lags": 1_000}):
        expected, fit = (sq.ols("y ~ x + z", rows, **options) for rows in (data, tmp_path / "rows.parquet"))
        assert_close(fit.bse, expected.bse, rtol=1e-9)
        assert fit.cov_kwds["lags"] == expected.cov_kwds["lags"]


def test_partitions_of_dask_merge_in_their_order():
    frames = need("dask.dataframe")
    rows, periods = series(), panel().sample(frac=1, random_state=0)
    hac, dk = {"vcov": "HAC"}, {"vcov": "DK", "time": "year", "lags": 2}
    for parts in (2, 40):
        parallel = sq.ols("y ~ x", frames.from_pandas(rows, npartitions=parts), **hac)
        assert_close(parallel.bse, sq.ols("y ~ x", rows, **hac).bse, rtol=1e-10)
        parallel = sq.ols("y ~ x", frames.from_pandas(periods, npartitions=parts, sort=False), **dk)
        assert_close(parallel.bse, sq.ols("y ~ x", periods, **dk).bse, rtol=1e-10)


def test_the_automatic_lag_is_described():
    fit = sq.ols("y ~ x", series(), vcov="HAC")
    lags = fit.cov_kwds["lags"]
    assert fit.cov_kwds["automatic"]
    assert lags == int(fit.cov_kwds["bandwidth"])
    assert f"{lags} lags, chosen by Newey and West 1994), times 300/298; t and F have 298 degrees of freedom" in fit.notes[0]
    assert f"newey, lag({lags}) in Stata" in fit.notes[0]
    assert_close(sq.ols("y ~ x", series(), vcov="HAC", lags=lags).bse, fit.bse, rtol=1e-14)


def test_a_perfect_fit_has_lag_zero():
    data = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 3.0, 5.0, 7.0]})
    fit = sq.ols("y ~ x", data, vcov="HAC")
    assert (fit.cov_kwds["lags"], list(fit.bse)) == (0, [0.0, 0.0])


def test_driscoll_kraay_of_one_row_a_period_is_hac():
    data = series(80)
    hac, dk = (
        sq.ols("y ~ x + z", data, correction="none", lags=4, **more) for more in ({"vcov": "HAC"}, {"vcov": "DK", "time": "t"})
    )
    assert_close(dk.bse, hac.bse, rtol=1e-12)
    assert (dk.df_resid_inference, hac.df_resid_inference) == (79, 77)
    usual = sq.ols("y ~ x + z", data.sample(frac=1, random_state=0), vcov="DK", time="t", lags=4)
    assert_close(usual.bse, hac.bse * np.sqrt(80 / 79 * 79 / 77), rtol=1e-12)


def test_driscoll_kraay_without_lags_is_clusters_by_period():
    data = panel()
    fit = sq.ols("y ~ x", data)
    assert_close(fit.vcov("DK", time="year", lags=0).bse, fit.vcov("CR1", cluster="year").bse, rtol=1e-12)


def test_rows_of_a_period_have_no_order():
    data = panel()
    expected = sq.ols("y ~ x", data, vcov="DK", time="year", lags=2)
    mixed = sq.ols("y ~ x", data.sample(frac=1, random_state=2), vcov="DK", time="year", lags=2)
    assert_close(mixed.bse, expected.bse, rtol=1e-12)


@pytest.mark.parametrize(
    "convert",
    [
        lambda t: t / 4 - 500.25,
        lambda t: -(2.0**60) + 4096 * t,
        lambda t: "p" + t.astype(str),
        lambda t: (t - 1995).astype(str),
        str,
    ],
    ids=["fractions", "large", "text", "numbers as text", "unchanged text"],
)
def test_periods_are_sorted_by_value(convert):
    data = panel()
    year = data["year"].map(str) if convert is str else convert(data["year"])
    expected = sq.ols("y ~ x", data, vcov="DK", time="year", lags=3)
    fit = sq.ols("y ~ x", data.assign(year=year), vcov="DK", time="year", lags=3)
    assert_close(fit.bse, expected.bse, rtol=1e-12)


def test_categories_have_their_order():
    data = panel()
    names = [f"Q{i % 4 + 1} {2000 + i // 4}" for i in range(12)]
    quarter = pd.Categorical([names[i] for i in data["year"] - 2000], categories=names, ordered=True)
    expected = sq.ols("y ~ x", data, vcov="DK", time="year", lags=3)
    fit = sq.ols("y ~ x", data.assign(quarter=quarter), vcov="DK", time="quarter", lags=3)
    assert_close(fit.bse, expected.bse, rtol=1e-12)
    assert "12 periods of quarter, Q1 2000 to Q4 2002, in the order of its categories)" in fit.notes[0]


def test_large_whole_numbers_in_text_keep_their_order():
    data = panel()
    text = (data["year"] + 17 * 10**17).astype(str)  # neighbors are one double
    expected = sq.ols("y ~ x", data, vcov="DK", time="year", lags=3)
    fit = sq.ols("y ~ x", data.assign(t=text).iloc[::-1], vcov="DK", time="t", lags=3)
    assert_close(fit.bse, expected.bse, rtol=1e-12)


def test_driscoll_kraay_reads_a_csv_file(tmp_path):
    data = panel().assign(year=panel()["year"] - 1995)
    data.to_csv(tmp_path / "rows.csv", index=False)
    expected, fit = (sq.ols("y ~ x", rows, vcov="DK", time="year") for rows in (data, tmp_path / "rows.csv"))
    assert_close(fit.bse, expected.bse, rtol=1e-9)
    assert "12 periods of year, 5 to 16)" in fit.notes[0]


def test_driscoll_kraay_refuses_frequencies():
    data = panel().assign(k=2)
    for make in (
        lambda: sq.ols("y ~ x", data, frequencies="k", vcov="DK", time="year"),
        lambda: sq.ols("y ~ x", data, frequencies="k").vcov("DK", time="year"),
    ):
        with pytest.raises(OptionError, match=r"vcov='DK' and frequencies= do not go together.* Use cluster='year', or leave"):
            make()


@pytest.mark.parametrize(
    ("convert", "first", "last"),
    [
        (lambda t: t.dt.date, "2000-12-01", "2001-11-01"),
        (lambda t: t, "2000-12-01", "2001-11-01"),
        (lambda t: t + pd.Timedelta("90 min"), "2000-12-01 01:30:00", "2001-11-01 01:30:00"),
        (lambda t: t.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"), "2000-12-01", "2001-11-01"),
        (lambda t: t.dt.to_period("M"), "2000-12", "2001-11"),
        (lambda t: t.astype("category"), "2000-12-01", "2001-11-01"),
        (lambda t: t.dt.strftime("%Y-%m-%d"), "2000-12-01", "2001-11-01"),
    ],
    ids=["dates", "timestamps", "times", "zone", "periods", "categories", "text"],
)
def test_periods_that_are_dates_have_the_order_of_time(convert, first, last):
    data = panel()
    dates = pd.Series(pd.to_datetime("2000-12-01") + pd.tseries.offsets.DateOffset(months=1) * np.arange(12))
    expected = sq.ols("y ~ x", data, vcov="DK", time="year", lags=3)
    days = dates[(data["year"] - 2000).to_numpy()].reset_index(drop=True)
    fit = sq.ols("y ~ x", data.assign(t=convert(days)).sample(frac=1, random_state=1), vcov="DK", time="t", lags=3)
    assert_close(fit.bse, expected.bse, rtol=1e-12)
    assert f"12 periods of t, {first} to {last}" in fit.notes[0]
    assert ("in the order of text" in fit.notes[0]) == (convert(days).dtype == "str")


def test_dates_that_are_missing_drop_their_rows():
    data = panel()
    day = pd.to_datetime(data["year"].astype(str)).where(data["year"] != 2003)
    fit = sq.ols("y ~ x", data.assign(day=day), vcov="DK", time="day")
    assert fit.rows.dropped["day"]["null"] == 9
    assert_close(fit.bse, sq.ols("y ~ x", data[data["year"] != 2003], vcov="DK", time="year").bse, rtol=1e-12)


def test_dates_are_periods_and_not_predictors():
    data = panel()
    data["day"] = pd.to_datetime(data["year"].astype(str))
    for options in ({"formula": "y ~ x + day"}, {"formula": "y ~ C(day)"}, {"formula": "y ~ x", "where": "day == '2001-01-01'"}):
        with pytest.raises(DataError, match=r"'day' of the data frame holds .* values, which are neither numbers nor categories"):
            sq.ols(data=data, **options)


@pytest.mark.parametrize("as_file", [True, False])
def test_a_period_written_in_two_ways_is_refused(as_file, tmp_path):
    data = panel().assign(t=panel()["year"] - 1999)
    data["t"] = data["t"].map(str).where(np.arange(len(data)) % 2 == 0, data["t"].map("{:02d}".format))
    if as_file:
        data.to_csv(tmp_path / "rows.csv", index=False)
        data = tmp_path / "rows.csv"
    with pytest.raises(DataError, match=r"Column 't' has '0?1' and '0?1' among its labels, which are the same number"):
        sq.ols("y ~ x", data, vcov="DK", time="t")


def test_text_with_underscores_is_not_a_number():
    data = panel()
    names = (data["year"] - 2000).map({i: f"2024_{i + 1}" for i in range(12)})
    fit = sq.ols("y ~ x", data.assign(t=names), vcov="DK", time="t", lags=3)
    order = np.argsort([f"2024_{i + 1}" for i in range(12)])
    rank = data["year"].map({2000 + year: rank for rank, year in enumerate(order)})
    assert_close(fit.bse, sq.ols("y ~ x", data.assign(t=rank), vcov="DK", time="t", lags=3).bse, rtol=1e-12)
    assert "2024_1 to 2024_9, in the order of text)" in fit.notes[0]


def test_joint_tests_of_more_constraints_than_periods_are_refused():
    fit = sq.ols("y ~ x + I(x**2) + I(x**3)", panel(periods=3), vcov="DK", time="year")
    with pytest.raises(DataError, match=r"the DK covariance from 3 periods has rank 2, so they cannot be tested together"):
        fit.f_test("x, I(x**2), I(x**3)")


def test_gaps_among_periods_are_described():
    data = panel()
    notes = " ".join(sq.ols("y ~ x", data[data["year"] != 2004], vcov="DK", time="year").notes)
    assert "year has 1 gap, between 2003 and 2005: the periods on both sides of a gap count as neighbors." in notes
    notes = " ".join(sq.ols("y ~ x", data[~data["year"].isin([2004, 2008])], vcov="DK", time="year").notes)
    assert "year has 2 gaps, the first between 2003 and 2005" in notes
    for even in (data, data[data["year"] % 2 == 0]):
        assert "gap" not in " ".join(sq.ols("y ~ x", even, vcov="DK", time="year").notes)


def test_the_default_lags_of_driscoll_kraay():
    fit = sq.ols("y ~ x", panel(), vcov="DK", time="year")
    assert fit.cov_kwds["lags"] == 2  # 4 (12/100)^(2/9) = 2.50
    assert fit.cov_kwds["automatic"]
    assert fit.cov_kwds["groups"] == {"year": 12}
    assert sq.ols("y ~ x", panel(periods=2), vcov="DK", time="year").cov_kwds["lags"] == 0


def test_missing_periods_are_dropped_and_counted():
    data = panel().astype({"year": float})
    data.loc[3:7, "year"] = np.nan
    fit = sq.ols("y ~ x", data, vcov="DK", time="year")
    assert (fit.nobs, fit.rows.dropped["year"]["nan"] + fit.rows.dropped["year"]["null"]) == (103, 5)
    assert_close(fit.bse, sq.ols("y ~ x", data.dropna(), vcov="DK", time="year").bse, rtol=1e-12)


def test_few_periods_limit_joint_tests():
    data = panel(periods=3).assign(z=np.sin(np.arange(27)), v=np.cos(np.arange(27)))
    fit = sq.ols("y ~ x + z + v", data, vcov="DK", time="year", lags=1)
    assert np.isnan(fit.fvalue)
    assert "3 slopes, 3 periods: the covariance has rank 2" in " ".join(fit.notes)


@pytest.mark.parametrize("n", [3, 300])
def test_lags_beyond_the_rows_are_refused(n):
    with pytest.raises(OptionError, match=rf"lags={n} needs more than {n} rows. Give fewer, or leave lags out."):
        sq.ols("y ~ x", series(n), vcov="HAC", lags=n)
    assert np.isfinite(sq.ols("y ~ x", series(n), vcov="HAC", lags=n - 1).bse).all()


def test_too_many_lags_for_the_periods_are_refused():
    with pytest.raises(OptionError, match=r"lags=11 needs at least 13 periods, and 'year' has 12"):
        sq.ols("y ~ x", panel(), vcov="DK", time="year", lags=11)
    assert sq.ols("y ~ x", panel(), vcov="DK", time="year", lags=10).cov_kwds["lags"] == 10


def test_one_period_is_refused():
    with pytest.raises(DataError, match="'year' of the data frame has one value in all rows of the fit"):
        sq.ols("y ~ x", panel(periods=1), vcov="DK", time="year")


def test_hac_needs_an_order():
    ibis = need("ibis")
    rows = ibis.memtable(series())
    with pytest.raises(OptionError, match=r"has no order\. Give ols order_by= with a column that sorts them"):
        sq.ols("y ~ x", rows, vcov="HAC")
    with pytest.raises(OptionError, match="order_by="):
        sq.ols("y ~ x", rows).vcov("HAC", lags=2)


def test_hac_refuses_frequencies():
    data = series().assign(k=2)
    for make in (
        lambda: sq.ols("y ~ x", data, frequencies="k", vcov="HAC"),
        lambda: sq.ols("y ~ x", data, frequencies="k").vcov("HAC"),
    ):
        with pytest.raises(OptionError, match=r"vcov='HAC' and frequencies= do not go together"):
            make()


def test_a_column_of_any_unit_gives_the_same_t():
    data = series()
    plain = sq.ols("y ~ x + z", data, vcov="HAC", lags=7)
    shifted = sq.ols("y ~ x + z", data.assign(x=1e6 + 1e-3 * data["x"]), vcov="HAC", lags=7)
    assert_close(shifted.tvalues[["x", "z"]], plain.tvalues[["x", "z"]], rtol=1e-7)


def test_long_series_do_not_lose_digits():
    n = 100_000
    data = series(n)
    X = sm.add_constant(data["x"])
    expected = sm.OLS(data["y"], X).fit(cov_type="HAC", cov_kwds={"maxlags": 50, "use_correction": True}).bse
    assert_close(sq.ols("y ~ x", data, vcov="HAC", lags=50).bse, expected.rename({"const": "Intercept"}), rtol=1e-8)
