"""Fits of groups and of several responses, and gaps in rows, against R."""

import pytest

import squarely as sq
from tests.support.checks import assert_close
from tests.support.inference_oracles import CASES, assert_values, number_of, table


@pytest.mark.parametrize("group", ["bc", "prof", "wc"])
@pytest.mark.parametrize("from_frame", [True, False])
def test_groups_are_those_of_r(group, from_frame):
    case = CASES[f"by.{group}"]
    fits = sq.ols(case["formula"], table(case["data"]), by="type")
    if not from_frame:
        assert_values(case, {key: number_of(fits[group], key, "params") for key in case["values"]})
        return
    rows = fits.frame().query("type == @group").set_index("term")
    numbers = {**rows["estimate"], **{f"se {name}": error for name, error in rows["std_err"].items()}}
    assert_values(case, {**numbers, "n": rows["n"].iloc[0], "rsquared": rows["rsquared"].iloc[0]})


def test_rows_with_gaps_are_left_out_as_in_r():
    case = CASES["na.aq"]
    fit = sq.ols(case["formula"], table(case["data"]))
    clustered = fit.vcov(cluster="Month")
    errors = {f"CR1 {name}": clustered.bse[name] for name in fit.params.index}
    assert_values(case, {**fit.params, "n": fit.nobs, **errors})
    at_once = sq.ols(case["formula"], table(case["data"]), cluster="Month")
    assert_close(at_once.bse, clustered.bse, rtol=1e-12)


@pytest.mark.parametrize("formula", [None, "cbind(read, math) ~ stratio + english + lunch"])
def test_several_responses_are_those_of_r(formula):
    case = CASES["multi"]
    fits = sq.ols(formula or case["formula"], table(case["data"]))
    rows = fits.frame()
    names = rows["response"] + " " + rows["term"]
    numbers = {**dict(zip(names, rows["estimate"], strict=True)), **dict(zip("se " + names, rows["std_err"], strict=True))}
    assert_values(case, numbers | {"resid_cor": fits["read"].resid.corr(fits["math"].resid)})
