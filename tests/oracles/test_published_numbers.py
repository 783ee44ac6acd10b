"""Numbers of textbooks and manuals, as printed: each must be that of squarely, rounded to the places that are printed.

Sources: Stock and Watson, Introduction to Econometrics, chapters 4 to 9 (California schools, HC1); Greene, Econometric
Analysis, chapter on heteroscedasticity (credit cards); Baltagi, Econometric Analysis of Panel Data (Grunfeld); Baltagi and
Pinnoi 1995 and the vignette of plm (Produc); James et al., An Introduction to Statistical Learning, lab of chapter 3 (Boston);
Fox and Weisberg, An R Companion (Duncan), and the help page of car's Anova (Moore); the help page of R's npk; R's summary of lm
(stackloss, airquality, cars, women, mtcars). Three numbers of the books are rounded twice or truncated in their last place:
they are here as Stata prints them, or with a place less.
"""

import functools
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
import statsmodels.datasets

import squarely as sq

DATA = Path(__file__).parents[1] / "data"


@functools.cache
def read(name):
    if name == "ccard":
        return statsmodels.datasets.ccard.load_pandas().data
    if name == "grunfeld":  # the ten firms of Grunfeld and Griliches
        data = statsmodels.datasets.grunfeld.load_pandas().data
        return data[data["firm"] != "American Steel"]
    folder = "inference" if (DATA / "inference" / f"{name}.csv").exists() else "r"
    data = pd.read_csv(DATA / folder / f"{name}.csv")
    if name == "caschools":
        data = data.assign(high=(data["english"] >= 10).astype(float), expn=data["expenditure"] / 1000)
    return data


def as_printed(value, text):
    """Return whether a number rounds to a text such as "-2.28"; half a unit more allows for rounding half in either way."""
    unit = Decimal(1).scaleb(Decimal(text).as_tuple().exponent)
    return abs(Decimal(float(value)) - Decimal(text)) <= unit * Decimal("0.5001")


# data, formula, vcov, then for each coefficient in order its value and standard error
COEFFICIENTS = [
    ("caschools", "score ~ stratio", "HC1", "698.9 10.4 -2.28 0.52"),
    ("caschools", "score ~ stratio + english", "HC1", "686.0 8.7 -1.10 0.43 -0.650 0.031"),
    ("caschools", "score ~ stratio + english + lunch", "HC1", "700.15 5.6 -1.00 0.27 -0.122 0.033 -0.547 0.024"),
    ("caschools", "score ~ stratio + english + calworks", "HC1", "698.0 6.9 -1.31 0.34 -0.488 0.030 -0.790 0.068"),
    ("caschools", "score ~ stratio + english + lunch + calworks", "HC1",
     "700.4 5.5 -1.01 0.27 -0.130 0.036 -0.529 0.038 -0.048 0.059"),
    ("caschools", "score ~ stratio + expn + english", "HC1", "649.6 15.5 -0.29 0.48 3.87 1.5807 -0.656 0.032"),
    ("caschools", "score ~ income + I(income**2)", "HC1", "607.3 2.9 3.85 0.27 -0.0423 0.0048"),
    ("caschools", "score ~ income + I(income**2) + I(income**3)", "HC1", "600.1 5.1 5.02 0.71 -0.096 0.029 0.00069 0.00035"),
    ("caschools", "score ~ log(income)", "HC1", "557.8 3.8 36.42 1.40"),
    ("caschools", "log(score) ~ income", "HC1", "6.439 0.003 0.00284 0.00018"),
    ("caschools", "log(score) ~ log(income)", "HC1", "6.336 0.006 0.0554 0.0021"),
    ("caschools", "score ~ stratio * high", "HC1", "682.2 11.9 -0.97 0.59 5.6 19.5 -1.28 0.97"),
    ("caschools", "score ~ stratio * english", "HC1", "686.3 11.8 -1.12 0.59 -0.67 0.37 0.0012 0.019"),
    ("ccard", "AVGEXP ~ AGE + OWNRENT + INCOME + INCOMESQ", None,
     "-237.15 199.35 -3.0818 5.5147 27.941 82.922 234.35 80.366 -14.997 7.4693"),
    ("ccard", "AVGEXP ~ AGE + OWNRENT + INCOME + INCOMESQ", "HC0",
     "-237.15 212.99 -3.0818 3.3017 27.941 92.188 234.35 88.866 -14.997 6.9446"),
    ("ccard", "AVGEXP ~ AGE + OWNRENT + INCOME + INCOMESQ", "HC1",
     "-237.15 220.79 -3.0818 3.423 27.941 95.566 234.35 92.12 -14.997 7.199"),
    ("ccard", "AVGEXP ~ AGE + OWNRENT + INCOME + INCOMESQ", "HC2",
     "-237.15 221.09 -3.0818 3.4477 27.941 95.672 234.35 92.08 -14.997 7.1995"),
    ("produc", "log(gsp) ~ log(pcap) + log(pc) + log(emp) + unemp", None,
     "1.643 0.058 0.155 0.017 0.309 0.010 0.594 0.014 -0.007 0.001"),
    ("grunfeld", "invest ~ value + capital", None, "-42.714 9.512 0.1156 0.0058 0.2307 0.0255"),
    ("boston", "medv ~ lstat", None, "34.55384 0.56263 -0.95005 0.03873"),
    ("boston", "medv ~ lstat + age", None, "33.22276 0.73085 -1.03207 0.04819 0.03454 0.01223"),
    ("boston", "medv ~ lstat + I(lstat**2)", None, "42.862007 0.872084 -2.332821 0.123803 0.043547 0.003745"),
    ("duncan", "prestige ~ income + education", None, "-6.06466 4.27194 0.59873 0.11967 0.54583 0.09825"),
    ("stackloss", "`stack.loss` ~ `Air.Flow` + `Water.Temp` + `Acid.Conc.`", None,
     "-39.9197 11.8960 0.7156 0.1349 1.2953 0.3680 -0.1521 0.1563"),
    ("airquality", "Ozone ~ `Solar.R` + Wind + Temp", None,
     "-64.34208 23.05472 0.05982 0.02319 -3.33359 0.65441 1.65209 0.25353"),
    ("cars", "dist ~ speed", None, "-17.5791 6.7584 3.9324 0.4155"),
    ("women", "weight ~ height", None, "-87.51667 5.93694 3.45000 0.09114"),
    ("mtcars", "mpg ~ wt", None, "37.2851 1.8776 -5.3445 0.5591"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "formula", "vcov", "printed"), COEFFICIENTS, ids=lambda value: str(value)[:40])
def test_coefficients_and_standard_errors(data, formula, vcov, printed):
    fit = sq.ols(formula, read(data), vcov=vcov)
    found = [value for pair in zip(fit.params, fit.bse, strict=True) for value in pair]
    wrong = [(text, value) for text, value in zip(printed.split(), found, strict=True) if not as_printed(value, text)]
    assert wrong == []


def test_fixed_effects_of_firms_as_dummies():
    fit = sq.ols("invest ~ value + capital + C(firm)", read("grunfeld"))
    found = [fit.params["value"], fit.bse["value"], fit.params["capital"], fit.bse["capital"]]
    assert all(map(as_printed, found, ["0.1101", "0.0119", "0.3101", "0.0174"]))


def test_fixed_effects_of_states_as_dummies():
    fit = sq.ols("log(gsp) ~ log(pcap) + log(pc) + log(emp) + unemp + C(state)", read("produc"))
    names = ["log(pcap)", "log(pc)", "log(emp)", "unemp"]
    found = [value for name in names for value in (fit.params[name], fit.bse[name])]
    printed = "-0.02614965 0.02900158 0.29200693 0.02511967 0.76815947 0.03009174 -0.00529774 0.00098873"
    assert all(map(as_printed, found, printed.split()))


FITS = [
    ("caschools", "score ~ stratio", {"rsquared": "0.051"}, "18.6"),
    ("duncan", "prestige ~ income + education", {"rsquared": "0.8282", "rsquared_adj": "0.82", "fvalue": "101.2"}, "13.37"),
    ("boston", "medv ~ lstat", {"rsquared": "0.5441", "rsquared_adj": "0.5432", "fvalue": "601.6"}, "6.216"),
    ("stackloss", "`stack.loss` ~ `Air.Flow` + `Water.Temp` + `Acid.Conc.`",
     {"rsquared": "0.9136", "rsquared_adj": "0.8983", "fvalue": "59.9"}, "3.243"),
    ("airquality", "Ozone ~ `Solar.R` + Wind + Temp", {"rsquared": "0.6059", "rsquared_adj": "0.5948", "fvalue": "54.83"}, "21.18"),
    ("ccard", "AVGEXP ~ AGE + OWNRENT + INCOME + INCOMESQ", {"rsquared": "0.243578"}, "284.75"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "formula", "printed", "sigma"), FITS, ids=lambda value: str(value)[:40])
def test_statistics_of_fits(data, formula, printed, sigma):
    fit = sq.ols(formula, read(data))
    assert {name: text for name, text in printed.items() if not as_printed(getattr(fit, name), text)} == {}
    assert as_printed(fit.mse_resid**0.5, sigma)


def test_joint_tests_of_stock_and_watson():
    schools = read("caschools")
    spending = sq.ols("score ~ stratio + expn + english", schools, vcov="HC1")
    assert as_printed(spending.f_test("stratio = 0, expn = 0").fvalue, "5.43")
    assert as_printed(spending.vcov().f_test("stratio = 0, expn = 0").fvalue, "8.01")
    groups = sq.ols("score ~ stratio * high", schools, vcov="HC1")
    assert as_printed(groups.f_test("high = 0, stratio:high = 0").fvalue, "89.9")
    assert as_printed(groups.f_test("stratio = 0, stratio:high = 0").fvalue, "5.64")
    assert as_printed(sq.ols("score ~ income + I(income**2)", schools, vcov="HC1").tvalues["I(income ** 2)"], "-8.85")


def test_intervals_of_the_boston_lab():
    fit = sq.ols("medv ~ lstat", read("boston"))
    new = {"lstat": [5.0, 10.0, 15.0]}
    for interval, printed in {
        "confidence": "29.80359 29.00741 30.59978 25.05335 24.47413 25.63256 20.30310 19.73159 20.87461",
        "prediction": "29.80359 17.565675 42.04151 25.05335 12.827626 37.27907 20.30310 8.077742 32.52846",
    }.items():
        found = pd.DataFrame(fit.predict(new, interval=interval)).to_numpy().ravel()
        assert all(map(as_printed, found, printed.split()))
    squared = sq.ols("medv ~ lstat + I(lstat**2)", read("boston"))
    assert as_printed(sq.anova(fit, squared)["F"].iloc[1], "135.2")


def test_anova_of_moore_by_types_2_and_3():
    fit = sq.ols("conformity ~ C(fcategory) * C(`partner.status`)", read("moore"))
    expected = {
        2: {"fcategory": ("11.61", "0.2770"), "partner": ("212.21", "10.1207"), ":": ("175.49", "4.1846")},
        3: {"fcategory": ("36.0", "0.8589"), "partner": ("239.6", "11.4250"), ":": ("175.5", "4.1846")},
    }
    for typ, printed in expected.items():
        table = sq.anova(fit, typ=typ)
        for name, (squares, f) in printed.items():
            found = [label for label in table.index if (":" in label) == (name == ":") and (name == ":" or name in label)]
            assert len(found) == 1
            assert as_printed(table.loc[found[0], "sum_sq"], squares)
            assert as_printed(table.loc[found[0], "F"], f)


def test_anova_of_npk():
    table = sq.anova(sq.ols("yield ~ C(block) + C(N) * C(P) * C(K)", read("npk")))
    printed = {"block": ("343.3", "4.447"), "N": ("189.3", "12.259"), "P": ("8.4", "0.544"), "K": ("95.2", "6.166"),
               "N:P": ("21.3", "1.378"), "N:K": ("33.1", "2.146"), "P:K": ("0.5", "0.031")}  # fmt: skip
    for name, (squares, f) in printed.items():
        label = ":".join(f"C({part})" for part in name.split(":"))
        assert as_printed(table.loc[label, "sum_sq"], squares)
        assert as_printed(table.loc[label, "F"], f)
    assert as_printed(table.loc["Residual", "sum_sq"], "185.3")
