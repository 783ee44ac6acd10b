"""R's lm, poly, bs and ns as an oracle: every case of tests/data/r, where R and squarely agree by intention, at 1e-9.

Where they differ by intention, the case is named below with its reason, and what can be compared is compared.
"""

import json
import re
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import squarely as sq
from squarely.data import open_source
from squarely.design import iter_blocks, learn_from_rows, parse_formula
from tests.support.checks import assert_close

FOLDER = Path(__file__).parents[1] / "data" / "r"
R = json.loads((FOLDER / "r_lm.json").read_text())
BASES = json.loads((FOLDER / "r_basis.json").read_text())
TOLERANCE = 1e-9

# All levels are coded and there is no intercept, so the constant is in the span. R takes R2 and F about zero as there is no column
# of ones; statsmodels, and so squarely, about the mean.
SPANS_THE_CONSTANT = {
    "mpg ~ C(cyl) / wt - 1",
    "len ~ 0 + supp:C(dose)",
    "breaks ~ 0 + tension + wool",
    "breaks ~ tension / wool - 1",
    "breaks ~ wool + wool:tension - 1",
    "weight ~ feed - 1",
    "log1p(count) ~ 0 + spray",
    "`Petal.Width` ~ . - 1",
    "log(`Petal.Length`) ~ Species / `Sepal.Width` - 1",
}
# The same space with other columns, so coefficients are not comparable, all else is.
CODED_OTHERWISE = {
    "breaks ~ wool:tension": "R codes both factors fully beside the intercept and drops a column; patsy codes a full rank",
    "mpg ~ C(am, Sum):bs(hp, knots=[120, 200], degree=2) + wt": "R drops the contrast where it codes all levels, and uses dummies",
    "sqrt(Ozone) ~ C(Month, Sum) / Wind": "R drops the contrast where it codes all levels, and uses dummies",
}


def table(name):
    """Load a data set of R, its factors with their levels in R's order."""
    frame = pd.read_csv(FOLDER / f"{name}.csv")
    return frame.assign(**{c: pd.Categorical(frame[c], levels) for c, levels in R["levels"].get(name, {}).items()})


CASES = [pytest.param(case, id=case["sq"]) for case in R["cases"]]
LEARNED_ELSEWHERE, POLYNOMIAL_AND_SCALE, BEYOND = R["extra"]


@pytest.fixture(scope="module")
def fitted():
    """Fit each case once."""
    fits = {}

    def fit(case):
        key = case["data"], case["sq"]
        if key not in fits:
            fits[key] = sq.ols(case["sq"], table(case["data"]))
        return fits[key]

    return fit


# From R's names of coefficients to ours. R writes a level or a number right behind the factor, and does not tell whether all levels
# are coded; it puts the factors of a product in another order. So a name becomes the set of its parts, each with one or two
# candidates, and exactly one combination of them must be a name of ours.


def translated(text):
    """Write R's text of an expression as ours."""
    text = text.replace("TRUE", "True").replace(" = ", "=")
    text = re.sub(r"\bc\(([^)]*)\)", r"[\1]", text)
    text = re.sub(r"\s*([/^])\s*", lambda sign: " ** " if sign[1] == "^" else " / ", text)
    text = re.sub(r"scale\((\w+), scale=FALSE\)", r"center(\1)", text)
    text = re.sub(r"scale\((\w+)\)", r"scale(\1, ddof=1)", text)
    return re.sub(r"([A-Za-z]+\.[A-Za-z]+)", r"`\1`", text) if "(" in text else text


def levels_of(column):
    """Give the levels of a factor, in order."""
    return column.cat.categories.tolist() if isinstance(column.dtype, pd.CategoricalDtype) else sorted(column.unique().tolist())


def candidates(part, case, data):
    """Give what one part of R's name may be called here."""
    column = r"\((?:factor\()?([A-Za-z.]+)\)?"
    if made := re.fullmatch(r"factor\((\w+)\)(.+)", part):
        level = made[2] if data[made[1]].dtype == int else str(float(made[2]))  # R writes the number 1 as 1, Python as 1.0
        return [f"C({made[1]})[{prefix}{level}]" for prefix in ("T.", "")]
    if made := re.fullmatch(rf"C{column}, contr\.sum\)(\d+)", part):
        return [f"C({made[1]}, Sum)[S.{levels_of(data[made[1]])[int(made[2]) - 1]}]"]
    if made := re.fullmatch(rf"relevel{column}, ref = \"\w+\"\)(.+)", part):
        return [re.search(rf"C\({made[1]}, Treatment\([^)]*\)\)", case["sq"])[0] + f"[T.{made[2]}]"]
    if made := re.fullmatch(r"((poly|bs|ns)\(.+\))(\d+)", part):
        return [f"{translated(made[1])}[{int(made[3]) - (made[2] != 'poly')}]"]
    for name in R["levels"].get(case["data"], {}):
        if part.startswith(name):
            return [f"{name}[{prefix}{part.removeprefix(name)}]" for prefix in ("T.", "")]
    return ["Intercept" if part == "(Intercept)" else translated(part)]


def our_names(case, ours):
    """Give our name of each coefficient of R."""
    data = table(case["data"])
    known = {frozenset(name.split(":")): name for name in ours}
    found = []
    for name in case["coef"]["names"]:
        parts = [candidates(part, case, data) for part in name.split(":")]
        (one,) = {known[frozenset(c)] for c in product(*parts) if frozenset(c) in known}  # exactly one
        found.append(one)
    assert sorted(found) == sorted(ours)
    return found


@pytest.mark.parametrize("case", CASES)
def test_coefficients(case, fitted):
    fit, theirs = fitted(case), case["coef"]
    if case["sq"] in CODED_OTHERWISE:
        assert fit.rank == case["rank"]
        return
    names = our_names(case, fit.params.index)
    for actual, name in ((fit.params, "values"), (fit.bse, "se"), (fit.tvalues, "t"), (fit.pvalues, "p")):
        expected = np.array(theirs[name], float)  # NaN where a column was dropped, in R as here
        # A p-value of 1e-80 has the error of its t statistic t times over.
        assert_close(actual[names], expected, rtol=TOLERANCE, atol=1e-30 if name == "p" else 0.0)
    assert list(fit.params.index[fit.params.isna()]) == [n for n in fit.params.index if n in aliased(case, names)]


def aliased(case, names):
    return {ours for ours, theirs in zip(names, case["coef"]["names"], strict=True) if theirs in case.get("aliased", [])}


@pytest.mark.parametrize("case", CASES)
def test_numbers(case, fitted):
    fit = fitted(case)
    assert (fit.nobs, fit.df_resid, fit.rank) == (case["nobs"], case["df_resid"], case["rank"])
    actual = [np.sqrt(fit.mse_resid), fit.ssr, fit.llf]
    assert_close(actual, [case["sigma"], case["rss"], case["loglik"]], rtol=TOLERANCE)
    # R's criteria count the variance among the parameters.
    assert_close([fit.aic + 2, fit.bic + np.log(fit.nobs)], [case["aic_r"], case["bic_r"]], rtol=TOLERANCE)


@pytest.mark.parametrize("case", CASES)
def test_share_explained(case, fitted):
    fit, r2, f = fitted(case), case["r2"], case["fstat"]
    df = case["rank"] - int(case["intercept"])
    adjusted = case["adj_r2"]
    if case["sq"] in SPANS_THE_CONSTANT:
        y = response(case)
        tss, df, adjusted = float(np.square(y - y.mean()).sum()), case["rank"] - 1, None
        r2, f = 1 - case["rss"] / tss, (tss - case["rss"]) / df / (case["rss"] / case["df_resid"])
    if case["has_offset"]:  # R2 and F are here those of the regression of what the offset leaves
        alternative, adjusted = case["offset_alt"], None
        r2, f = alternative["r2_without_offset"], alternative["fstat_without_offset"]
    assert fit.df_model == df
    assert_close(fit.rsquared, r2, rtol=TOLERANCE, atol=1e-12)
    if adjusted is not None:
        assert_close(fit.rsquared_adj, adjusted, rtol=TOLERANCE, atol=1e-12)
    if f is not None:
        assert_close(fit.fvalue, f, rtol=TOLERANCE)
        assert_close(fit.f_pvalue, stats.f.sf(f, df, case["df_resid"]), rtol=1e-7, atol=1e-30)
    else:
        assert np.isnan(fit.fvalue)


def response(case):
    """Compute the response with pandas."""
    plain = table(case["data"]).rename(columns=lambda name: name.replace(".", "_"))
    return plain.eval(case["formula"].split("~")[0].strip().replace(".", "_"))


@pytest.mark.parametrize("case", CASES)
def test_residuals_and_predictions(case, fitted):
    fit = fitted(case)
    assert_close(fit.resid.to_numpy()[:5], case["resid_head"], rtol=0, atol=TOLERANCE * case["sigma"])
    assert_close(fit.fittedvalues.to_numpy()[:5], case["fitted_head"], rtol=TOLERANCE)
    if "predict" in case:
        assert_close(fit.predict(case["predict"]["new"]), case["predict"]["fit"], rtol=TOLERANCE)


def test_every_exception_is_a_case():
    known = {case["sq"] for case in R["cases"]}
    assert known >= SPANS_THE_CONSTANT | set(CODED_OTHERWISE)
    assert len(R["cases"]) == 124


# R learns a basis on all rows that have its argument, and drops those with a gap elsewhere afterwards; here a basis is learned on
# the rows that are used. With the incomplete rows taken out before, the two agree: those are the cases with `na_omit_vars`.


def test_a_polynomial_learned_on_other_rows_spans_the_same():
    case = POLYNOMIAL_AND_SCALE
    fit = sq.ols(case["sq"], table(case["data"]))
    assert_close([fit.rsquared, fit.fvalue, fit.llf], [case["r2"], case["fstat"], case["loglik"]], rtol=TOLERANCE)
    assert_close(fit.fittedvalues.to_numpy()[:5], case["fitted_head"], rtol=TOLERANCE)
    assert_close(fit.predict(case["predict"]["new"]), case["predict"]["fit"], rtol=TOLERANCE)


def test_a_spline_learned_on_other_rows_is_another():
    """R's columns of all 153 rows give R's numbers; learned on the 116 rows that are used, its knots are others."""
    case, data = LEARNED_ELSEWHERE, table("airquality")
    with_rs = sq.ols(X=np.array(BASES["bases"]["ns_df4"]["matrix"]), y=data["Ozone"])
    assert_close(with_rs.params, case["coef"]["values"], rtol=TOLERANCE)
    assert_close([with_rs.rsquared, with_rs.llf], [case["r2"], case["loglik"]], rtol=TOLERANCE)
    fit, complete = sq.ols(case["sq"], data), data.dropna(subset=["Ozone"])
    knots = np.quantile(complete["Temp"], [0.25, 0.5, 0.75]).tolist()
    same = sq.ols(f"Ozone ~ ns(Temp, knots={knots})", complete)
    assert_close(fit.params, same.params, rtol=TOLERANCE)
    assert abs(fit.rsquared - case["r2"]) > 1e-4


def test_a_b_spline_is_not_extrapolated():
    """R goes on with the outermost pieces and warns; here, as in statsmodels, a value beyond the range is an error."""
    fit, new = sq.ols(BEYOND["sq"], table("cars")), BEYOND["predict"]
    assert_close(fit.params.to_numpy(), BEYOND["coef"]["values"], rtol=TOLERANCE)
    assert_close(fit.predict({"speed": new["new"]["speed"][1:2]}), new["fit"][1:2], rtol=TOLERANCE)
    for speed in (new["new"]["speed"][0], new["new"]["speed"][2]):
        with pytest.raises(sq.errors.DataError, match=rf"fitted between 4 and 25 and is not defined at {speed}"):
            fit.predict({"speed": [speed]})


BASIS = [pytest.param(basis, id=basis["call"]) for basis in BASES["bases"].values()]


def columns(design, x):
    """Give the columns of a design at x, the response left out."""
    blocks = iter_blocks(design, open_source({"x": np.array(x, float), "y": np.zeros(len(x))}))
    return np.vstack([block.values[:, :-1] for block in blocks])


@pytest.mark.parametrize("basis", BASIS)
def test_bases(basis):
    x = np.array(BASES["x"], float)
    design = learn_from_rows(parse_formula(f"y ~ {basis['call']}"), open_source({"x": x, "y": np.arange(float(len(x)))}))
    expected = np.array(basis["matrix"])
    for actual, theirs in zip(columns(design, x).T, expected.T, strict=True):  # column by column, against its own size
        assert_close(actual, theirs, rtol=TOLERANCE, atol=1e-13 * np.abs(theirs).max())
    largest = np.abs(expected).max()
    assert_close(columns(design, basis["newx"]), basis["predict"], rtol=TOLERANCE, atol=1e-13 * largest)
    if basis["call"].startswith("bs"):
        for outside in basis["newx_outside"]:
            with pytest.raises(sq.errors.DataError, match="is not defined at"):
                columns(design, [outside])
    else:
        assert_close(columns(design, basis["newx_outside"]), basis["predict_outside"], rtol=TOLERANCE, atol=1e-13 * largest)
