"""The frames of broom: `tidy`, `glance` and `augment`, against R and statsmodels, in the library of the rows."""

import duckdb
import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import statsmodels.formula.api as smf

import squarely as sq
from squarely.errors import DataError, OptionError
from tests.support.checks import CARS, assert_close, need
from tests.support.inference_oracles import CASES, fit_of

ROWS, FORMULA = sq.datasets.cars(), "mpg ~ displacement + C(origin)"
ADDED = [".fitted", ".resid", ".hat", ".sigma", ".cooksd", ".std.resid"]  # broom's names in broom's order


@pytest.fixture(scope="module")
def theirs():
    return smf.ols(FORMULA, ROWS).fit()


def test_tidy_has_the_names_of_broom_and_the_numbers_of_statsmodels(theirs):
    frame = sq.ols(FORMULA, ROWS).tidy()
    assert list(frame.columns) == ["term", "estimate", "std.error", "statistic", "p.value", "conf.low", "conf.high"]
    frame = frame.set_index("term").loc[theirs.params.index]
    for column, attribute in {"estimate": "params", "std.error": "bse", "statistic": "tvalues", "p.value": "pvalues"}.items():
        assert_close(frame[column], getattr(theirs, attribute), rtol=1e-8)
    assert_close(frame[["conf.low", "conf.high"]], theirs.conf_int(), rtol=1e-8)


def test_tidy_follows_the_covariance_and_alpha(theirs):
    robust, frame = theirs.get_robustcov_results("HC3"), sq.ols(FORMULA, ROWS, vcov="HC3").tidy(alpha=0.1)
    order = [theirs.params.index.get_loc(name) for name in frame["term"]]
    assert_close(frame["std.error"], robust.bse[order], rtol=1e-8)
    assert_close(frame[["conf.low", "conf.high"]], robust.conf_int(0.1)[order], rtol=1e-8)
    with pytest.raises(OptionError, match=r"alpha=95 is not between 0 and 1"):
        sq.ols(FORMULA, ROWS).tidy(alpha=95)


def test_tidy_has_a_row_for_a_dropped_column():
    frame = sq.ols("mpg ~ weight + I(2 * weight)", ROWS).tidy()
    assert list(frame["term"]) == ["Intercept", "weight", "I(2 * weight)"]
    assert frame.iloc[2, 1:].isna().all()


def test_glance_is_one_row_with_the_names_of_broom(theirs):
    frame = sq.ols(FORMULA, ROWS).glance()
    expected = {
        "r.squared": theirs.rsquared, "adj.r.squared": theirs.rsquared_adj, "sigma": np.sqrt(theirs.scale),
        "statistic": theirs.fvalue, "p.value": theirs.f_pvalue, "df": theirs.df_model, "logLik": theirs.llf, "AIC": theirs.aic,
        "BIC": theirs.bic, "deviance": theirs.ssr, "df.residual": theirs.df_resid, "nobs": theirs.nobs,
    }  # fmt: skip
    assert list(frame.columns) == list(expected)
    assert_close(frame.iloc[0].astype(float), list(expected.values()), rtol=1e-8)


R_NAMES = {"infl.hat": ".hat", "infl.rstandard": ".std.resid", "infl.cooks": ".cooksd", "infl.sigma": ".sigma"}


@pytest.mark.parametrize("name", R_NAMES)
def test_augment_has_the_numbers_of_r(name):
    case = CASES[name]
    column = fit_of(case).augment()[R_NAMES[name]].to_numpy()
    expected = {int(key[3:]): value for key, value in case["values"].items() if key.startswith("row")}
    assert len(expected) == 6
    assert_close(column[[row - 1 for row in expected]], list(expected.values()), rtol=1e-9)


def test_augment_of_a_weighted_fit_has_the_numbers_of_r():
    case = CASES["infl.w"]
    fit = fit_of(case)
    frame = fit.augment()
    for key, column in {"hat": ".hat", "rstandard": ".std.resid"}.items():
        expected = {int(text.split()[-1]): value for text, value in case["values"].items() if text.startswith(f"{key} row")}
        assert len(expected) == 3
        assert_close(frame[column].to_numpy()[[row - 1 for row in expected]], list(expected.values()), rtol=1e-9)
    assert frame[".resid"].tolist() == fit.resid.tolist()  # as residuals() in R: without the weights


def test_augment_of_frequencies_is_that_of_one_copy():
    data = {"x": [0.0, 1.0, 2.0, 5.0], "y": [1.0, 2.0, 2.5, 7.0], "f": [1, 3, 2, 1]}
    copies = {name: np.repeat(data[name], data["f"]) for name in "xy"}
    influence = smf.ols("y ~ x", pd.DataFrame(copies)).fit().get_influence()
    frame = sq.ols("y ~ x", data, frequencies="f").augment()
    first = [0, 1, 4, 6]
    assert_close(frame[".hat"], influence.hat_matrix_diag[first], rtol=1e-10)
    assert_close(frame[".cooksd"], influence.cooks_distance[0][first], rtol=1e-10)
    assert_close(frame[".std.resid"], influence.resid_studentized_internal[first], rtol=1e-10)
    assert_close(frame[".sigma"], np.sqrt(influence.sigma2_not_obsi)[first], rtol=1e-10)


def test_a_leverage_of_one_as_in_r():
    """R: hat is 1, rstandard and cooks.distance are NaN, sigma is that of the other rows with n - k - 1."""
    data = {"x": [0.0, 1.0, 2.0, 3.0, 4.0], "one": [0.0, 0.0, 1.0, 0.0, 0.0], "y": [1.0, 2.0, 2.5, 7.0, 3.0]}
    fit = sq.ols("y ~ x + one", data)
    row = fit.augment().iloc[2]
    assert row[".hat"] == 1.0
    assert np.isnan([row[".std.resid"], row[".cooksd"]]).all()
    assert_close(row[".sigma"], np.sqrt(fit.ssr / (fit.df_resid - 1)), rtol=1e-12)


def test_one_degree_of_freedom_leaves_no_sigma():
    frame = sq.ols("y ~ x", {"x": [0.0, 1.0, 2.0], "y": [1.0, 2.0, 2.5]}).augment()
    assert frame[".sigma"].isna().all()
    assert_close(frame[".hat"], [5 / 6, 1 / 3, 5 / 6], rtol=1e-14)


# The library of the rows


GAPS = ROWS.assign(origin=ROWS["origin"].map({1: "usa", 2: "europe", 3: "japan"}), name=[f"car {i}" for i in range(len(ROWS))])
GAPS.loc[5, "displacement"] = np.nan
GAPS.loc[9, "origin"] = None
GAPS["origin"] = GAPS["origin"].astype("category")
KEPT = GAPS.dropna(subset=["displacement", "origin"])
LIBRARIES = {
    "pandas": lambda rows: rows, "polars": pl.from_pandas, "polars lazy": lambda rows: pl.from_pandas(rows).lazy(),
    "arrow": pa.Table.from_pandas, "duckdb": lambda rows: duckdb.from_arrow(pa.Table.from_pandas(rows)),
}  # fmt: skip
TYPES = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "polars lazy": pl.DataFrame, "arrow": pa.Table, "duckdb": pa.Table}


@pytest.mark.parametrize("library", LIBRARIES)
def test_augment_has_the_rows_used_in_their_library(library):
    data = LIBRARIES[library](GAPS)
    fit = sq.ols("mpg ~ displacement + origin", data)
    frame = fit.augment()
    assert type(frame) is TYPES[library]
    found = nw.from_native(frame)
    assert found.columns == ["mpg", "displacement", "origin", *ADDED]
    assert_close(found["displacement"].to_numpy(), KEPT["displacement"], rtol=0)
    assert found["origin"].to_list() == KEPT["origin"].tolist()
    theirs = smf.ols("mpg ~ displacement + origin", KEPT).fit()
    influence = theirs.get_influence()
    for name, values in {
        ".fitted": theirs.fittedvalues, ".resid": theirs.resid, ".hat": influence.hat_matrix_diag,
        ".std.resid": influence.resid_studentized_internal,
    }.items():  # fmt: skip
        assert_close(found[name].to_numpy(), values, rtol=1e-8, atol=1e-11)


def test_augment_keeps_labels_and_types_of_pandas():
    rows = KEPT.set_index("name")
    frame = sq.ols("mpg ~ displacement + origin", GAPS.set_index("name"), where="weight > 3000").augment()
    expected = rows[rows["weight"] > 3000]
    assert frame.index.equals(expected.index)
    assert frame.index.name == "name"
    pd.testing.assert_frame_equal(
        frame[["mpg", "displacement", "origin", "weight"]], expected[["mpg", "displacement", "origin", "weight"]]
    )


def test_augment_of_a_file_has_numbers_and_text():
    frame = sq.ols("mpg ~ displacement + C(origin) + log(weight)", CARS).augment()
    assert list(frame.columns) == [name for name in ROWS.columns if name in ("mpg", "displacement", "origin", "weight")] + ADDED
    assert_close(frame[["mpg", "weight", "origin"]].astype(float), ROWS[["mpg", "weight", "origin"]], rtol=0)
    assert frame["origin"].dtype.kind in "if"


def test_augment_of_arrays():
    X, y = np.arange(12.0).reshape(6, 2) ** 2, np.array([1.0, 2.0, 4.0, 3.0, 5.0, 9.0])
    frame = sq.ols(X=X, y=y).augment()
    assert_close(frame[["x1", "x2"]], X, rtol=0)
    assert_close(frame[".fitted"] + frame[".resid"], y, rtol=1e-14)


def test_augment_says_what_it_cannot_do(tmp_path):
    fit = sq.ols("mpg ~ weight", CARS)
    fit.save(tmp_path / "fit.json")
    with pytest.raises(DataError, match=r"needs the rows of .*, which a loaded or merged result does not have"):
        sq.load(tmp_path / "fit.json").augment()
    assert sq.load(tmp_path / "fit.json").tidy().equals(fit.tidy())
    assert sq.load(tmp_path / "fit.json").glance().equals(fit.glance())
    with pytest.raises(DataError, match=r"have a column '.hat', which is a name of augment. Rename"):
        sq.ols("y ~ `.hat`", {"y": [1.0, 2.0, 4.0], ".hat": [1.0, 2.0, 3.0]}).augment()


def test_augment_does_not_fetch_rows_from_elsewhere():
    dd, ibis = need("dask.dataframe"), need("ibis")
    rows = ROWS[["mpg", "weight"]]
    for data, says in (
        (
            dd.from_pandas(rows, npartitions=2),
            "are in other processes, and to augment them would bring them here. Fit a sample, or",
        ),
        (
            ibis.memtable(rows),
            "stay in DuckDB, and to augment them would bring them here. Fit a sample, or",
        ),
    ):
        with pytest.raises(DataError, match=says):
            sq.ols("mpg ~ weight", data).augment()


def test_augment_keeps_types_that_arrow_does_not_have():
    data = pl.DataFrame({"y": [1.0, 2.0, 3.0, 5.0], "g": ["a", "b", "a", "b"]}, schema={"y": pl.Float32, "g": pl.Enum(["b", "a"])})
    assert sq.ols("y ~ g", data).augment().select("y", "g").equals(data)
    rows = pd.DataFrame({"y": [1.0, 2.0, 4.0, 5.0], "x": pd.array([1, 5, 3, None], dtype="Int64"), "z": [0.0, 1.0, 0.0, 1.0]})
    rows = rows.assign(g=pd.cut(rows["z"], [-1, 0.5, 2])).set_axis([7, 7, 8, 9])
    frame = sq.ols("y ~ x", rows[["y", "x"]]).augment()
    pd.testing.assert_frame_equal(frame[["y", "x"]], rows[["y", "x"]].iloc[:3])
    frame = sq.ols("y ~ g", rows).augment()
    pd.testing.assert_frame_equal(frame[["y", "g"]], rows[["y", "g"]])
