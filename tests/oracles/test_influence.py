"""Influence: the numbers of R and statsmodels, and those of fits without a row."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

import squarely as sq
from tests.support.checks import CARS, assert_close
from tests.support.inference_oracles import CASES, assert_values, fit_of, table

# The cases with a value a row, and the attribute that has it.
BY_ROW = {
    "infl.hat": lambda i: i.hat_matrix_diag,
    "infl.rstandard": lambda i: i.resid_studentized_internal,
    "infl.rstudent": lambda i: i.resid_studentized_external,
    "infl.cooks": lambda i: i.cooks_distance[0],
    "infl.dffits": lambda i: i.dffits[0],
    "infl.covratio": lambda i: i.cov_ratio,
    "infl.sigma": lambda i: np.sqrt(i.sigma2_not_obsi),
    "sm.cooks.p": lambda i: i.cooks_distance[1],
}


def row_of(key):
    return int(key.rpartition("row")[2]) - 1


@pytest.mark.parametrize("name", BY_ROW)
def test_a_value_a_row(name):
    case = CASES[name]
    values = BY_ROW[name](fit_of(case).get_influence())
    assert_values(case, {key: values.sum() if key == "sum" else values[row_of(key)] for key in case["values"]})


@pytest.mark.parametrize("name", ["dfbetas", "dfbeta"])
def test_changes_of_coefficients(name):
    case = CASES[f"infl.{name}"]
    fit = fit_of(case)
    changes, names = getattr(fit.get_influence(), name), fit.params.index.tolist()
    assert_values(case, {key: changes[row_of(key), names.index(key.split(" ")[0])] for key in case["values"]})


def test_press():
    case = CASES["infl.press"]
    assert_values(case, {"value": fit_of(case).get_influence().ess_press})


def test_weights():
    case = CASES["infl.w"]
    influence = fit_of(case).get_influence()
    arrays = {
        "hat": influence.hat_matrix_diag,
        "rstandard": influence.resid_studentized_internal,
        "rstudent": influence.resid_studentized_external,
        "cook": influence.cooks_distance[0],
    }
    assert_values(case, {key: arrays[key.split(" ")[0]][row_of(key)] for key in case["values"]})


def test_the_frame_is_that_of_statsmodels():
    case = CASES["sm.influence"]
    frame = fit_of(case).get_influence().summary_frame()
    places = {key: key.split(" | ") for key in case["values"]}
    assert_values(case, {key: frame[column].iloc[int(row) - 1] for key, (row, column) in places.items()})


def test_the_outlier_test_is_that_of_statsmodels():
    case = CASES["sm.outlier"]
    frame = fit_of(case).outlier_test(k=3)
    places = {key: key.split(" | ") for key in case["values"]}
    assert_values(case, {key: frame[column].loc[row_of(row)] for key, (row, column) in places.items()})


def test_the_outlier_test_is_that_of_r():
    case = CASES["infl.outlier"]  # car lets corrected p-values exceed one
    frame = fit_of(case).outlier_test(k=5)
    columns = {"rstudent": "student_resid", "p": "unadj_p", "bonf": "bonf(p)"}
    places = {key: key.split(" ") for key in case["values"]}
    values = {key: frame[columns[word]].loc[int(row) - 1] for key, (word, row) in places.items()}
    over_one = {key for key, value in case["values"].items() if key.startswith("bonf") and value > 1}
    assert_values(case, {key: value for key, value in values.items() if key not in over_one})
    assert [values[key] for key in over_one] == [1.0] * 3


def test_a_leverage_of_one_is_undefined_and_named():
    case = CASES["infl.one"]
    data = table("duncan").assign(one=lambda rows: (rows.index == 5).astype(float))
    fit = sq.ols("prestige ~ income + education + one", data)
    influence = fit.get_influence()
    frame = influence.summary_frame()
    assert frame["hat_diag"].iloc[5] == case["values"]["hat"]
    assert frame.drop(columns="hat_diag").iloc[5].isna().all()
    assert frame.drop(index=5).notna().all(axis=None)
    assert influence.notes == ("Row 6 has a leverage of one: without it a coefficient has no value, so no other measure has one.",)
    assert 5 not in influence.top(45).index
    assert influence.top(1, by="hat_diag").index.tolist() == [5]
    rest = sq.ols("prestige ~ income + education", data.drop(index=5)).get_influence().summary_frame()
    columns = ["standard_resid", "student_resid", "hat_diag", "dfb_income"]
    assert_close(frame.drop(index=5)[columns], rest[columns], rtol=1e-10)  # the other rows are as without it
    tests = fit.outlier_test(k=1)
    assert_close(tests["bonf(p)"], 44 * tests["unadj_p"], rtol=1e-12)


FORMULAS = {
    "mpg ~ weight + horsepower": {},
    "np.log(mpg) ~ np.log(weight) * C(origin)": {},
    "mpg ~ weight - 1": {},
    "mpg ~ bs(weight, df=5) + cylinders": {},
}


@pytest.mark.parametrize("formula", FORMULAS)
def test_every_column_is_that_of_statsmodels(formula):
    data = pd.read_csv(CARS).dropna().reset_index(drop=True)
    peer = smf.ols(formula, data).fit().get_influence()
    frame = sq.ols(formula, data).get_influence().summary_frame()
    theirs = peer.summary_frame().assign(cov_ratio=peer.cov_ratio)
    assert sorted(frame.columns) == sorted(theirs.columns)
    for name in frame:
        assert_close(frame[name], theirs[name], rtol=1e-8, atol=1e-8 * np.abs(theirs[name]).max())


ATTRIBUTES = (
    "hat_matrix_diag", "resid_studentized_internal", "resid_studentized_external", "cooks_distance", "dffits",
    "dffits_internal", "dfbetas", "dfbeta", "cov_ratio", "resid_press", "ess_press", "influence", "sigma2_not_obsi",
)  # fmt: skip


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_every_attribute_is_that_of_statsmodels(name):
    data = pd.read_csv(CARS).head(60)
    ours, theirs = (
        getattr(fit.get_influence(), name)
        for fit in (sq.ols("mpg ~ weight + cylinders", data), smf.ols("mpg ~ weight + cylinders", data).fit())
    )
    for mine, other in zip(*((each if isinstance(each, tuple) else (each,)) for each in (ours, theirs)), strict=True):
        assert_close(mine, other, rtol=1e-8, atol=1e-9 * np.abs(other).max())


@pytest.mark.parametrize("method", ["bonf", "bonferroni", "sidak", "holm", "hs", "holm-sidak"])
def test_every_correction_is_that_of_statsmodels(method):
    data = pd.read_csv(CARS)
    theirs = smf.ols("mpg ~ weight", data).fit().outlier_test(method=method).sort_values("unadj_p").head(30)
    ours = sq.ols("mpg ~ weight", data).outlier_test(method, k=30)
    assert ours.index.tolist() == theirs.index.tolist()
    assert_close(ours, theirs, rtol=1e-8)


WITHOUT_A_ROW = {
    "mpg ~ displacement + C(origin)": {},
    "mpg ~ displacement * cylinders": {"weights": "weight"},
    "mpg ~ displacement + I(weight**2)": {"frequencies": "cylinders"},
    "mpg ~ weight + I(2 * weight) + offset(acceleration)": {"where": "origin != 1"},
}


@pytest.mark.parametrize("formula", WITHOUT_A_ROW)
def test_a_fit_without_the_row_has_what_the_measures_say(formula):
    data, options = pd.read_csv(CARS), WITHOUT_A_ROW[formula]
    fit = sq.ols(formula, data, **options)
    influence = fit.get_influence()
    frame, changes = influence.summary_frame(), influence.dfbeta
    kept = fit.params.notna().to_numpy()
    names, units = fit.params.index[kept], fit.bse[kept].to_numpy()
    assert np.isnan(changes[:, ~kept]).all()
    for place in np.random.default_rng(3).choice(len(frame), 10, replace=False):
        row = data.loc[[frame.index[place]]]
        without = data.drop(index=row.index)
        if "frequencies" in options:
            without = pd.concat([without, row.assign(cylinders=row["cylinders"] - 1)])
        other = sq.ols(formula, without, **options)
        assert_close(changes[place, kept] / units, (fit.params - other.params)[names] / units, rtol=1e-7, atol=1e-9)
        ours, theirs = (each.cov_params().loc[names, names] / np.outer(units, units) for each in (fit, other))
        assert_close(frame["cov_ratio"].iloc[place], np.linalg.det(theirs) / np.linalg.det(ours), rtol=1e-7)
        assert_close(influence.sigma2_not_obsi[place], other.mse_resid, rtol=1e-9)
        root = np.sqrt(row["weight"].iloc[0]) if "weights" in options else 1.0
        change = root * (fit.predict(row).iloc[0] - other.predict(row).iloc[0])
        assert_close(influence.influence[place], change, rtol=1e-7, atol=1e-9)
        error = np.sqrt(other.mse_resid * influence.hat_matrix_diag[place])
        assert_close(frame["dffits"].iloc[place], change / error, rtol=1e-7, atol=1e-9)
        press = root * (row["mpg"].iloc[0] - other.predict(row).iloc[0])
        assert_close(influence.resid_press[place], press, rtol=1e-9)
