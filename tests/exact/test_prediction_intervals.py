"""Standard errors and limits of predictions: laws, the libraries of the rows, files, lazy tables, and what is refused."""

import dask
import dask.dataframe as dd
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import statsmodels.api as sm

import squarely as sq
from squarely.errors import DataError, OptionError
from tests.support.checks import CARS, assert_close

COLUMNS = ["mean", "mean_se", "mean_ci_lower", "mean_ci_upper", "obs_ci_lower", "obs_ci_upper"]
SUFFIXES = {
    "csv": pd.read_csv,
    "parquet": pd.read_parquet,
    "feather": pd.read_feather,
    "jsonl": lambda p: pd.read_json(p, lines=True, precise_float=True),
}


def rows(n=80, seed=0):
    rng = np.random.default_rng(seed)
    x, g = rng.normal(size=n), rng.choice(list("abc"), n)
    return pd.DataFrame({"x": x, "z": rng.normal(size=n), "g": g, "w": rng.uniform(0.5, 4, n), "y": x + rng.normal(size=n)})


DATA = rows()
NEW = rows(30, seed=1).drop(columns="y").set_index(np.arange(100, 130))
FIT = sq.ols("y ~ x * g + z", DATA)
EXPECTED = FIT.get_prediction(NEW).summary_frame()


@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize("formula", ["y ~ x * g + z", "y ~ x + g - 1", "y ~ x:g + bs(z, df=4)"])
def test_at_a_row_of_the_fit_the_variance_is_the_leverage_times_the_residual_variance(formula, weights):
    fit = sq.ols(formula, DATA, weights=weights)
    w = np.ones(len(DATA)) if weights is None else DATA["w"].to_numpy()
    X = sm.WLS.from_formula(formula, DATA, weights=w).exog
    Q = np.linalg.qr(X * np.sqrt(w)[:, None])[0]
    leverage = (Q**2).sum(axis=1)
    for prediction in (fit.get_prediction(), fit.get_prediction(DATA, weights=weights)):
        assert_close(prediction.se_mean**2, leverage * fit.mse_resid / w, rtol=1e-10)
        assert_close(prediction.se_obs**2, (1 + leverage) * fit.mse_resid / w, rtol=1e-10)
        assert_close(prediction.predicted_mean, fit.fittedvalues, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"vcov": "HC3"}, {"df": 7}, {"vcov": "HC2", "use_t": False}, {"cluster": "g"}])
def test_the_prediction_at_one_is_the_coefficient_with_its_limits(options):
    """Also where the degrees of freedom are not those of the residuals, which statsmodels 0.15 forgets under clusters."""
    fit = sq.ols("y ~ x - 1", DATA).vcov(**options)
    prediction = fit.get_prediction({"x": 1.0})
    for alpha in (0.05, 0.3):
        assert_close(prediction.conf_int(alpha=alpha), fit.conf_int(alpha).to_numpy(), rtol=1e-13)
    assert_close(prediction.se_mean, fit.bse, rtol=1e-13)
    assert prediction.df == fit.df_resid_inference


@pytest.mark.parametrize("vcov", ["nonrobust", "HC3"])
def test_the_units_and_the_origin_of_a_column_change_nothing(vcov):
    fine = DATA.assign(x=np.round(DATA["x"] * 1024) / 1024)  # exact after a shift, too
    new = NEW.assign(x=np.round(NEW["x"] * 1024) / 1024)
    for scale, shift in [(2.0**40, 0.0), (2.0**-30, 0.0), (1.0, 2.0**33)]:
        there, here = (table.assign(x=table["x"] * scale + shift) for table in (fine, new))
        # Products with a shifted column are nearly dependent, and robust covariances are computed in plain doubles.
        formula = "y ~ x + g + z" if shift and vcov == "HC3" else "y ~ x * g + z"
        near, far = (sq.ols(formula, a, vcov=vcov).get_prediction(b).summary_frame() for a, b in ((fine, new), (there, here)))
        assert_close(far.to_numpy(), near.to_numpy(), rtol=1e-10, atol=1e-13)


def test_a_row_far_from_zero_keeps_its_digits():
    x = np.arange(40.0)
    y = x + np.random.default_rng(0).normal(size=40)
    near, far = (
        sq.ols("y ~ x", {"x": x + shift, "y": y}).get_prediction({"x": [3.5 + shift, 90.0 + shift]}) for shift in (0.0, 2.0**40)
    )
    for name in ("predicted_mean", "se_mean", "se_obs"):
        assert_close(getattr(far, name), getattr(near, name), rtol=1e-11)


@pytest.mark.parametrize("degree", [2, 3, 4, 5, 6])
def test_powers_of_years_leave_the_standard_errors_their_digits(degree):
    """Statsmodels has none left from degree 3 on. Truth: the same space of columns, spanned by orthogonal polynomials."""
    x = np.linspace(1990, 2020, 200)
    y = np.sin(x) + x
    fit = sq.ols(" + ".join(["y ~ x", *(f"I(x**{k})" for k in range(2, degree + 1))]), {"x": x, "y": y})
    Q = np.linalg.qr(np.polynomial.chebyshev.chebvander((x - 2005) / 15, degree))[0]
    assert_close(fit.get_prediction().se_mean ** 2, (Q**2).sum(axis=1) * fit.mse_resid, rtol=1e-11)


def test_many_levels():
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"g": rng.integers(0, 400, 20_000), "h": rng.choice(list("pq"), 20_000), "x": rng.normal(size=20_000)})
    data["y"] = data["g"] / 100 + data["x"] + rng.normal(size=20_000)
    fit = sq.ols("y ~ C(g) + x:h", data)
    new = data.head(500)
    frame = fit.get_prediction(new).summary_frame()
    X = sm.OLS.from_formula("y ~ C(g) + x:h", data).exog
    Q = np.linalg.qr(X)[0][:500]
    assert_close(frame["mean_se"] ** 2, (Q**2).sum(axis=1) * fit.mse_resid, rtol=1e-9)


@pytest.mark.parametrize("vcov", ["nonrobust", "HC3"])
def test_the_frame_is_in_the_library_of_the_rows(vcov, tmp_path):
    fit = FIT.vcov(vcov)
    expected = fit.get_prediction(NEW).summary_frame(0.1)
    assert expected.columns.tolist() == COLUMNS
    assert expected.index.tolist() == NEW.index.tolist()
    NEW.to_csv(tmp_path / "new.csv", index=False)
    pq.write_table(pa.Table.from_pandas(NEW, preserve_index=False), tmp_path / "new.parquet", row_group_size=7)
    table = pa.Table.from_pandas(NEW, preserve_index=False)
    forms = {
        "polars": (pl.from_arrow(table), pl.DataFrame),
        "lazy": (pl.from_arrow(table).lazy(), pl.DataFrame),
        "arrow": (table, pa.Table),
        "duckdb": (duckdb.from_arrow(table), pa.Table),
        "dict": (NEW.to_dict("list"), pd.DataFrame),
        "csv": (tmp_path / "new.csv", pd.DataFrame),
        "parquet": (tmp_path / "new.parquet", pd.DataFrame),
    }
    for form, (data, kind) in forms.items():
        for found, names in (
            (fit.get_prediction(data).summary_frame(0.1), COLUMNS),
            (fit.predict(data, interval="prediction", level=0.9), ["predicted", "lower", "upper"]),
        ):
            assert isinstance(found, kind), form
            shown = found.to_pandas() if hasattr(found, "to_pandas") else found
            assert shown.columns.tolist() == names
            wanted = expected if names == COLUMNS else expected[["mean", "obs_ci_lower", "obs_ci_upper"]]
            assert_close(shown.to_numpy(), wanted.to_numpy(), rtol=1e-12)


def test_confidence_and_prediction_are_those_of_r():
    expected = FIT.get_prediction(NEW).summary_frame(0.2)
    for interval, word in (("confidence", "mean"), ("prediction", "obs")):
        frame = FIT.predict(NEW, interval=interval, level=0.8)
        assert_close(frame["lower"], expected[f"{word}_ci_lower"], rtol=1e-12)
        assert_close(frame["upper"], expected[f"{word}_ci_upper"], rtol=1e-12)
        assert frame.index.tolist() == NEW.index.tolist()
    assert_close(FIT.predict(interval="confidence")["predicted"], FIT.fittedvalues, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_has_the_limits_beside_the_columns_to_keep(suffix, tmp_path):
    pq.write_table(pa.Table.from_pandas(NEW, preserve_index=False), tmp_path / "new.parquet", row_group_size=7)
    path = tmp_path / f"p.{suffix}"
    assert FIT.write_predictions(tmp_path / "new.parquet", path, keep=["g"], level=0.95) == 30
    found = SUFFIXES[suffix](path)
    assert found.columns.tolist() == ["row", "g", "predicted", *COLUMNS[1:]]
    assert_close(found[["predicted", *COLUMNS[1:]]].to_numpy(), EXPECTED.to_numpy(), rtol=1e-12)
    assert found["g"].tolist() == NEW["g"].tolist()


def test_saved_and_merged_fits_have_the_same_limits(tmp_path):
    FIT.save(tmp_path / "fit.json")
    merged = sq.ols("y ~ x * g + z", DATA.iloc[:40]).merge(sq.ols("y ~ x * g + z", DATA.iloc[40:]))
    for fit in (sq.load(tmp_path / "fit.json"), merged):
        assert_close(fit.get_prediction(NEW).summary_frame().to_numpy(), EXPECTED.to_numpy(), rtol=1e-9)
        with pytest.raises(DataError, match="needs the rows"):
            fit.get_prediction()


def test_dask_gets_the_columns_lazily():
    with dask.config.set(scheduler="synchronous"):
        frame = dd.from_pandas(NEW, npartitions=3)
        lazy = FIT.get_prediction(frame)
        limits, found = FIT.predict(frame, interval="confidence"), lazy.summary_frame()
        assert isinstance(found, dd.DataFrame)
        assert (found.divisions, limits.divisions) == (frame.divisions, frame.divisions)
        assert "other processes" in repr(lazy)
        with pytest.raises(AttributeError, match=r"no 'conf_int'\. Use summary_frame\(\)"):
            lazy.conf_int()
        pd.testing.assert_frame_equal(found.compute(), EXPECTED, rtol=1e-12)
        expected = EXPECTED[["mean", "mean_ci_lower", "mean_ci_upper"]].set_axis(["predicted", "lower", "upper"], axis=1)
        pd.testing.assert_frame_equal(limits.compute(), expected, rtol=1e-12)


def test_rows_without_a_prediction_have_no_limits():
    new = NEW.head(3).assign(x=[1.0, np.nan, 1.0], g=["a", "b", "unknown"])
    frame = FIT.get_prediction(new, unseen="nan").summary_frame()
    assert frame.notna().all(axis=1).tolist() == [True, False, False]
    assert frame.isna().all(axis=1).tolist() == [False, True, True]
    gaps = new.assign(x=np.nan, g="a")  # a batch without a complete row
    assert FIT.get_prediction(gaps).summary_frame().isna().all(axis=None)
    assert FIT.predict(gaps, interval="confidence").shape == (3, 3)


def test_a_row_that_breaks_a_dependency_has_no_limits():
    data = DATA.assign(d=lambda t: t.x + 2)
    fit = sq.ols("y ~ x + d", data)
    new = {"x": [0.0, 0.0], "d": [2.0, 3.0]}
    with pytest.warns(UserWarning, match="1 row has no prediction but NaN"):
        frame = fit.get_prediction(new).summary_frame()
    assert frame.isna().all(axis=1).tolist() == [False, True]
    plain = sq.ols("y ~ x", DATA).get_prediction({"x": [0.0]}).summary_frame()
    assert_close(frame.head(1).to_numpy(), plain.to_numpy(), rtol=1e-10)
    assert fit.get_prediction(new, rank_deficient="allow").summary_frame().notna().all(axis=None)
    fit.get_prediction()  # the rows of the fit break none: a warning would be an error


def test_a_prediction_that_one_row_alone_decides_has_no_robust_error():
    data = pd.DataFrame({"g": list("aaabbbc"), "y": [1.0, 2, 4, 3, 5, 4, 9]})
    fit = sq.ols("y ~ g", data, vcov="HC3")
    prediction = fit.get_prediction({"g": ["a", "b", "c"]})
    assert np.isnan(prediction.se_mean).tolist() == [False, False, True]
    assert_close(prediction.predicted_mean, [7 / 3, 4.0, 9.0], rtol=1e-12)
    peer = sm.OLS.from_formula("y ~ g", data[data["g"] != "c"]).fit(cov_type="HC3")
    assert_close(prediction.se_mean[:2], peer.get_prediction(pd.DataFrame({"g": ["a", "b"]})).se_mean, rtol=1e-10)


def test_weights_of_new_rows():
    new = NEW.assign(w=[np.nan, 0.0, *NEW["w"][2:]])
    prediction = FIT.get_prediction(new, weights="w")
    assert_close(prediction.se_mean, EXPECTED["mean_se"], rtol=1e-13)
    assert_close(prediction.se_obs[2:] ** 2, prediction.se_mean[2:] ** 2 + FIT.mse_resid / NEW["w"][2:], rtol=1e-12)
    assert np.isnan(prediction.se_obs[0])
    assert prediction.conf_int(obs=True)[1].tolist() == [-np.inf, np.inf]
    assert_close(FIT.get_prediction(new, weights=4).se_obs ** 2, EXPECTED["mean_se"] ** 2 + FIT.mse_resid / 4, rtol=1e-12)
    inverse = FIT.get_prediction(NEW.assign(v=1 / NEW["w"]), weights="I(1 / v)")
    assert_close(inverse.se_obs, FIT.get_prediction(NEW, weights="w").se_obs, rtol=1e-12)


def test_a_weighted_fit_says_that_new_rows_have_weight_one(tmp_path):
    fit = sq.ols("y ~ x", DATA, weights="w")
    for call in (
        lambda: fit.get_prediction(NEW),
        lambda: fit.predict(NEW, interval="prediction"),
        lambda: fit.write_predictions(NEW, tmp_path / "p.csv", level=0.95),
    ):
        with pytest.warns(UserWarning, match=r"for a row of weight one\. Give weights="):
            found = call()
    with pytest.warns(UserWarning, match="weight one"):
        found = fit.get_prediction(NEW)
    assert "weight one" in " ".join(str(found.summary()).split())
    assert_close(found.se_obs, fit.get_prediction(NEW, weights=1).se_obs, rtol=1e-14)
    fit.predict(NEW, interval="confidence")  # the mean has no weight: a warning would be an error
    sq.ols("y ~ x", DATA.assign(k=2), frequencies="k").get_prediction(NEW)


def test_changed_rows_are_detected():
    data = rows()
    fit = sq.ols("y ~ x", data)
    data.loc[3, "x"] *= 1 + 1e-6
    with pytest.raises(DataError, match=r"has changed since it was first read: 80 complete rows then, 80 with other values now"):
        fit.get_prediction()
    data.loc[3, "x"] = np.nan
    with pytest.raises(DataError, match="80 complete rows then, 79 now"):
        fit.get_prediction()


def test_the_page_shows_the_first_and_last_rows():
    text = str(FIT.get_prediction(rows(500)).summary())
    assert "... 440 more: see summary_frame()" in text
    assert text.count("\n") < 80
    assert repr(FIT.get_prediction(NEW)) == "<Prediction of 30 rows; print(prediction.summary())>"
    assert "<table" in FIT.get_prediction(NEW)._repr_html_()
    numbers = FIT.get_prediction(NEW).as_dict()
    assert_close(numbers["obs_ci_upper"], EXPECTED["obs_ci_upper"], rtol=1e-13)
    assert FIT.get_prediction(NEW.head(0)).summary_frame().shape == (0, 6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interval": "obs"}, r"interval='obs' is not understood\. Use 'confidence' or 'prediction'\."),
        ({"interval": 95}, r"interval=95 is a level\. Write interval='prediction' and level=0\.95\."),
        ({"interval": 0.95}, r"interval=0\.95 is a level"),
        ({"interval": "prediction", "level": 95}, r"level=95 is not between 0 and 1\. Write 0\.95\."),
        ({"interval": "prediction", "level": 1}, r"level=1 is not between 0 and 1\. Write 0\.95\."),
        (
            {"interval": "prediction", "level": 0.05},
            r"level=0\.05 would give limits at the level of 5 %\. For 95 % limits write 0\.95\.",
        ),
        ({"interval": "prediction", "level": float("nan")}, r"level=nan is not between 0 and 1"),
        ({"interval": "prediction", "level": "95 %"}, r"level='95 %' is not between 0 and 1"),
        ({"level": 0.9}, r"level=0\.9 is for limits\. Give interval='prediction' with it, or leave it out\."),
        ({"weights": "w"}, r"weights='w' is for limits of new observations\. Give interval='prediction' with it"),
        ({"interval": "confidence", "weights": "w"}, r"weights= is for interval='prediction'"),
        ({"interval": "prediction", "weights": [1.0] * 30}, r"is neither a column of the new rows nor a positive number"),
        ({"interval": "prediction", "weights": -1}, r"weights=-1 is neither a column"),
        ({"interval": "prediction", "weights": True}, r"weights=True is neither a column"),
        ({"interval": "prediction", "weights": "scale(w)"}, r"weights='scale\(w\)' standardizes a column"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused(options, message):
    with pytest.raises(OptionError, match=message):
        FIT.predict(NEW, **options)


@pytest.mark.parametrize(
    ("alpha", "message"),
    [
        (0.95, r"alpha=0\.95 would give limits at the level of 5 %\. For 95 % limits write alpha=0\.05\."),
        (0.9, r"alpha=0\.9 would give limits at the level of 10 %\. For 90 % limits write alpha=0\.1\."),
        (5, r"alpha=5 is not between 0 and 1\. For 95 % limits write alpha=0\.05\."),
        (0, r"alpha=0 is not between 0 and 1"),
        ("0.05", r"alpha='0\.05' is not between 0 and 1"),
    ],
)
def test_alpha_is_one_minus_the_level_everywhere(alpha, message):
    for call in (
        FIT.conf_int,
        FIT.t_test("x = 0").conf_int,
        FIT.t_test("x = 0").summary_frame,
        FIT.get_prediction(NEW).summary_frame,
        FIT.get_prediction(NEW).summary,
        lambda value: FIT.get_prediction(NEW).conf_int(alpha=value),
    ):
        with pytest.raises(OptionError, match=message):
            call(alpha)


def test_a_bad_weight_is_named_with_its_row():
    new = NEW.assign(w=[1.0, 2.0, -3.0, *NEW["w"][3:]], i=np.inf)
    with pytest.raises(DataError, match=r"weights='w' is -3 in data row 3 of the data frame\. Give finite numbers of at least 0\."):
        FIT.get_prediction(new, weights="w")
    with pytest.raises(DataError, match=r"weights='i' is inf in data row 1"):
        FIT.get_prediction(new, weights="i")
    with pytest.raises(DataError, match="no column 'v'"):
        FIT.get_prediction(new, weights="v")
    with pytest.raises(DataError, match="holds text"):
        FIT.get_prediction(new, weights="g")
    with pytest.raises(OptionError, match="are those of the fit"):
        FIT.get_prediction(weights="w")
    with pytest.raises(OptionError, match=r"level=0\.95 with it"):
        FIT.write_predictions(new, "never.csv", weights="w")


def test_arrays_and_a_fit_to_x_and_y():
    fit = sq.ols(X=DATA[["x", "z"]].to_numpy(), y=DATA["y"].to_numpy())
    peer = sm.OLS(DATA["y"], sm.add_constant(DATA[["x", "z"]].to_numpy())).fit()
    expected = peer.get_prediction(sm.add_constant(NEW[["x", "z"]].to_numpy())).summary_frame()
    assert_close(fit.get_prediction(NEW[["x", "z"]].to_numpy()).summary_frame().to_numpy(), expected.to_numpy(), rtol=1e-10)


def test_a_condition_and_gaps_leave_rows_out_of_the_fitted_ones():
    cars = pd.read_csv(CARS)
    fit = sq.ols("mpg ~ horsepower", cars, where="weight > 3000")
    frame = fit.get_prediction().summary_frame()
    assert len(frame) == fit.nobs < (cars["weight"] > 3000).sum()
    assert frame.index.tolist() == fit.resid.index.tolist()
