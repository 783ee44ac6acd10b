"""Formulas against statsmodels with patsy, number by number and name by name, on public data."""

import json
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from statsmodels.formula.api import ols as peer_ols

import squarely as sq
from squarely.data import open_source
from squarely.design import iter_blocks, learn_from_rows, parse_formula
from tests.support.checks import assert_close, need

FOLDER = Path(__file__).parents[1] / "data" / "r"


def cars():
    """Auto-mpg, with a text, a boolean, an ordered categorical and a column whose name needs quotes."""
    data = sq.datasets.cars().dropna().reset_index(drop=True)
    data["region"] = data["origin"].map({1: "America", 2: "Europe", 3: "Japan"})
    data["heavy"] = data["weight"] > 2200  # some of every region on both sides
    data["make"] = pd.Categorical(data["region"], ["Japan", "America", "Europe"])
    data["model year"] = data["model"]
    return data


def cars_with_gaps():
    """As `cars`, with the six rows that lack horsepower, and gaps in a text and a number."""
    data = sq.datasets.cars()
    data["region"] = data["origin"].map({1: "America", 2: "Europe", 3: "Japan"})
    data.loc[[5, 77, 200], "region"] = None
    data.loc[[5, 8, 301], "weight"] = np.nan
    data.loc[[9, 300], "mpg"] = np.nan
    return data


def grunfeld():
    """Investment of eleven firms over twenty years; the names of firms have spaces and dots. Public domain."""
    data = sm.datasets.grunfeld.load_pandas().data
    data["war"] = data["year"].between(1942, 1945)
    return data.assign(firm=data["firm"].astype(object))


def anes96():
    """American national election study of 1996: numbers 0.0, 1.0, ... that are categories. Public domain."""
    return sm.datasets.anes96.load_pandas().data


def from_r(name, **levels):
    data = pd.read_csv(FOLDER / f"{name}.csv")
    return data.assign(**{column: pd.Categorical(data[column], order) for column, order in levels.items()})


DATA = {
    "cars": cars(),
    "cars with gaps": cars_with_gaps(),
    "grunfeld": grunfeld(),
    "anes96": anes96(),
    "warpbreaks": from_r("warpbreaks", tension=["L", "M", "H"]),
    "ToothGrowth": from_r("ToothGrowth"),
}
CONTINUOUS = ["displacement", "horsepower", "weight", "acceleration", "value", "capital", "age", "logpopul"]

FORMULAS = [
    ("cars", "mpg ~ weight + C(origin)"),
    ("cars", "mpg ~ region"),
    ("cars", "mpg ~ region - 1"),
    ("cars", "mpg ~ 0 + C(origin) + weight"),
    ("cars", "mpg ~ weight * region"),
    ("cars", "mpg ~ region / weight"),
    ("cars", "mpg ~ region / weight - 1"),
    ("cars", "mpg ~ weight:region"),
    ("cars", "mpg ~ weight:region - 1"),
    ("cars", "mpg ~ C(origin) * heavy + acceleration"),
    ("cars", "mpg ~ (weight + acceleration + region)**2"),
    ("cars", "mpg ~ (horsepower + acceleration + region + heavy)**3 - horsepower:acceleration"),
    ("cars", "mpg ~ C(region, Treatment(reference='Japan')) + displacement"),
    ("cars", "mpg ~ C(region, Treatment('Europe')):weight + heavy"),
    ("cars", "mpg ~ C(origin, Treatment(reference=2)) * weight"),
    ("cars", "mpg ~ C(region, Treatment(reference=1))"),
    ("cars", "mpg ~ C(region, Sum) * weight"),
    ("cars", "mpg ~ C(region, Sum) - 1"),
    ("cars", "mpg ~ C(region, Sum):C(heavy, Sum)"),
    ("cars", "mpg ~ weight + C(region, Sum):weight - 1"),
    ("cars", "mpg ~ make * heavy"),
    ("cars", "mpg ~ heavy"),
    ("cars", "mpg ~ heavy - 1"),
    ("cars", "mpg ~ heavy:weight + region:heavy"),
    ("cars", "mpg ~ make:heavy - 1"),
    ("cars", "mpg ~ C(make, levels=['Europe', 'Japan', 'America'])"),
    ("cars", 'mpg ~ Q("model year") + region:Q("model year")'),
    ("cars", 'mpg ~ C(Q("model year"))'),
    ("cars", "mpg ~ np.log(weight) + np.sqrt(horsepower)"),
    ("cars", "np.log(mpg) ~ np.log(weight) * region + I(acceleration**2)"),
    ("cars", "np.log(mpg) ~ np.log10(weight) + np.exp(-acceleration / 10) + np.log1p(displacement) + np.abs(model - 76)"),
    ("cars", "I(100 / mpg) ~ weight + I(horsepower / weight)"),
    ("cars", "mpg ~ acceleration + I(acceleration**2) + I(acceleration ** 3)"),
    ("cars", "mpg ~ bs(weight, df=5)"),
    ("cars", "mpg ~ bs(weight, df=4, degree=2) + region"),
    ("cars", "mpg ~ bs(horsepower, knots=[90, 120]) * region"),
    ("cars", "mpg ~ bs(weight, df=6, include_intercept=True) - 1"),
    ("cars", "mpg ~ region:bs(weight, df=4)"),
    ("cars", "mpg ~ center(weight) * center(acceleration)"),
    ("cars", "mpg ~ scale(weight) * region + standardize(horsepower)"),
    ("cars", "mpg ~ standardize(weight, ddof=1) + center(np.log(horsepower))"),
    ("cars", "mpg ~ horsepower + weight:acceleration + region + heavy:horsepower + region:heavy"),
    ("cars with gaps", "mpg ~ horsepower + weight"),
    ("cars with gaps", "mpg ~ horsepower * region"),
    ("cars with gaps", "np.log(mpg) ~ region / weight - 1"),
    ("cars with gaps", "mpg ~ C(cylinders, Treatment(8)) + np.log(horsepower)"),
    ("grunfeld", "invest ~ value + capital + firm"),
    ("grunfeld", "invest ~ value * firm"),
    ("grunfeld", "invest ~ firm / value - 1"),
    ("grunfeld", "np.log(invest) ~ np.log(value) + C(year)"),
    ("grunfeld", "np.log(invest) ~ np.log(value) * war + C(firm, Sum)"),
    ("grunfeld", "invest ~ C(firm, Treatment(reference='US Steel')) + center(year)"),
    ("grunfeld", "invest ~ war:firm + capital"),
    ("anes96", "age ~ C(educ) + C(PID)"),
    ("anes96", "age ~ C(educ) * C(vote)"),
    ("anes96", "TVnews ~ C(PID, Treatment(reference=3)) + age"),
    ("anes96", "TVnews ~ C(vote, Sum) * age + C(educ):age"),
    ("anes96", "TVnews ~ bs(age, df=5) + C(vote) * logpopul"),
    ("warpbreaks", "breaks ~ wool * tension"),
    ("warpbreaks", "breaks ~ wool:tension"),
    ("warpbreaks", "breaks ~ 0 + wool:tension"),
    ("warpbreaks", "breaks ~ wool / tension - 1"),
    ("warpbreaks", "breaks ~ tension + wool:tension"),
    ("warpbreaks", "breaks ~ C(wool, Sum):tension - 1"),
    ("warpbreaks", "np.log(breaks) ~ C(tension, Sum) * C(wool, Treatment('B'))"),
    ("ToothGrowth", "len ~ supp * C(dose)"),
    ("ToothGrowth", "len ~ supp:C(dose) - supp:C(dose) + supp / dose"),
    ("ToothGrowth", "len ~ (supp + C(dose, Sum))**2 - 1"),
]
NUMBERS = ["rsquared", "rsquared_adj", "fvalue", "llf", "aic", "bic", "df_model", "df_resid", "nobs", "mse_resid"]


@pytest.fixture(scope="module", params=[pytest.param(case, id=f"{case[0]}: {case[1]}") for case in FORMULAS])
def both(request):
    name, formula = request.param
    return sq.ols(formula, DATA[name]), peer_ols(formula, DATA[name]).fit(), DATA[name]


def test_coefficients(both):
    fit, peer, _ = both
    assert list(fit.params.index) == list(peer.params.index)
    assert_close(fit.params, peer.params, rtol=1e-9)
    assert_close(fit.bse, peer.bse, rtol=1e-9)
    assert_close(fit.tvalues, peer.tvalues, rtol=1e-9)
    assert_close(fit.conf_int(), peer.conf_int(), rtol=1e-9)


def test_numbers(both):
    fit, peer, _ = both
    for name in NUMBERS:
        assert_close(getattr(fit, name), getattr(peer, name), rtol=1e-9)
    assert_close(fit.condition_number, peer.condition_number, rtol=1e-6)


def test_residuals_and_predictions(both):
    fit, peer, data = both
    assert fit.resid.index.equals(peer.resid.index)
    assert_close(fit.resid, peer.resid, rtol=0, atol=1e-9 * np.sqrt(peer.mse_resid))
    assert_close(fit.fittedvalues, peer.fittedvalues, rtol=1e-9)
    rng = np.random.default_rng(0)
    new, other = (data.dropna().sample(9, random_state=rng) for _ in range(2))
    for name in set(CONTINUOUS) & set(data.columns):
        new[name] = (new[name].to_numpy() + other[name].to_numpy()) / 2
    assert_close(fit.predict(new), peer.predict(new), rtol=1e-9)
    assert fit.predict(new).index.equals(new.index)


# Empty cells and repeated columns: statsmodels shares an effect out among the columns that repeat it, here later ones are dropped,
# so that coefficients are not comparable; the fit is.
DEFICIENT = [
    ("cars", "mpg ~ C(cylinders) * region"),
    ("cars", "mpg ~ C(cylinders):region - 1"),
    ("cars", "mpg ~ C(region, Sum) / C(cylinders)"),
    ("cars", "mpg ~ weight + I(2 * weight) + region"),
    ("grunfeld", "invest ~ firm * war + C(year)"),
]


@pytest.mark.parametrize(("name", "formula"), DEFICIENT)
@pytest.mark.filterwarnings("ignore:The design matrix is rank-deficient")
def test_columns_that_repeat_others(name, formula):
    fit, peer = sq.ols(formula, DATA[name]), peer_ols(formula, DATA[name]).fit()
    assert list(fit.params.index) == list(peer.params.index)
    assert fit.rank == peer.model.rank
    assert len(fit.dropped_columns) == fit.params.isna().sum() == len(fit.params) - fit.rank
    for number in NUMBERS:
        assert_close(getattr(fit, number), getattr(peer, number), rtol=1e-9)
    assert_close(fit.fittedvalues, peer.fittedvalues, rtol=1e-9)


# What statsmodels has no word for gets R's columns there; R learned them on all 153 rows, none of which has a gap here.
@pytest.mark.parametrize(
    ("key", "formula"),
    [
        ("poly3", "Wind ~ poly(Temp, 3)"),
        ("poly3", "Wind ~ poly(Temp, 3) * C(Month)"),
        ("ns_df4", "Wind ~ ns(Temp, df=4) + C(Month)"),
        ("ns_df4", "np.log(Wind) ~ ns(Temp, df=4):C(Month, Sum) - 1"),
        ("bs_df6_deg2", "Wind ~ bs(Temp, df=6, degree=2)"),
    ],
)
def test_bases_with_the_columns_of_r(key, formula):
    air = from_r("airquality")
    basis = np.array(json.loads((FOLDER / "r_basis.json").read_text())["bases"][key]["matrix"])
    fit = sq.ols(formula, air)
    call = formula[formula.index("~ ") + 2 :].split(")")[0] + ")"
    peer = peer_ols(formula.replace(call, "basis"), air).fit()  # it finds `basis` among the variables here
    first = 1 if key == "poly3" else 0  # poly counts its columns from one, as R does; splines from nought, as patsy does
    names = [name.replace("basis[", call + "[") for name in peer.params.index]
    for j in reversed(range(basis.shape[1])):
        names = [name.replace(f"{call}[{j}]", f"{call}[{j + first}]") for name in names]
    assert list(fit.params.index) == names
    assert_close(fit.params, peer.params, rtol=1e-9)
    assert_close(fit.bse, peer.bse, rtol=1e-9)
    assert_close([getattr(fit, n) for n in NUMBERS], [getattr(peer, n) for n in NUMBERS], rtol=1e-9)
    assert_close(fit.fittedvalues, peer.fittedvalues, rtol=1e-9)


def test_means_and_knots_are_those_of_the_rows_that_are_used():
    """Patsy learns them before rows with a gap elsewhere are dropped; it agrees once those are taken out."""
    data = cars_with_gaps()
    complete = data.dropna(subset=["mpg", "weight", "region", "acceleration"])
    for formula in ("mpg ~ center(weight) * region + scale(acceleration)", "mpg ~ bs(weight, df=5) + region:center(acceleration)"):
        fit, peer = sq.ols(formula, data), peer_ols(formula, complete).fit()
        assert list(fit.params.index) == list(peer.params.index)
        assert_close(fit.params, peer.params, rtol=1e-9)
        assert_close(fit.bse, peer.bse, rtol=1e-9)
        assert fit.resid.index.equals(peer.resid.index)


def test_several_batches():
    """As many rows as make three batches, with levels that come up in the last one only."""
    rng = np.random.default_rng(0)
    n = 150_000
    data = pd.DataFrame({"x": rng.gamma(3, 2, n), "g": rng.choice(["u", "v"], n), "k": rng.integers(0, 4, n)})
    data.loc[140_000:, "g"] = rng.choice(["t", "w"], 10_000)
    data["y"] = np.log(data["x"]) + (data["g"] == "t") * data["k"] + rng.normal(size=n)
    formula = "y ~ bs(x, df=4):g + C(k) * g + scale(np.log(x))"
    fit, peer = sq.ols(formula, data), peer_ols(formula, data).fit()
    assert list(fit.params.index) == list(peer.params.index)
    assert_close(fit.params, peer.params, rtol=1e-9)
    assert_close(fit.bse, peer.bse, rtol=1e-9)
    assert_close([fit.rsquared, fit.llf, fit.fvalue], [peer.rsquared, peer.llf, peer.fvalue], rtol=1e-9)


# Formulas that nobody would write: operators at random

PIECES = ["displacement", "weight", "region", "heavy", "make", "C(origin)", "C(region, Sum)", 'C(region, Treatment("Japan"))',
          "np.log(weight)", "I(weight * displacement)", "center(weight)", "scale(horsepower)", "bs(horsepower, df=3)",
          "C(heavy, Sum)"]  # fmt: skip


def written(rng, depth):
    """Write the right side of a formula at random."""
    sign = rng.choice("+++:*/^")
    if depth == 0 or rng.random() < 0.25:
        return rng.choice(PIECES)
    if sign == "^":
        a, b = rng.sample(PIECES, 2)
        return f"({a} + {b} + {written(rng, depth - 1)})**{rng.choice([2, 3])}"
    left, right = written(rng, depth - 1), written(rng, depth - 1)
    if left in PIECES and left == right:
        sign = "+"  # a piece times itself is refused, because it would mean the piece
    both = f"{left} {sign} {right}"
    if rng.random() < 0.2:
        less = rng.choice(PIECES)
        return f"({both} + {less} - {less})"
    return both if rng.random() < 0.4 else f"({both})"


@pytest.mark.parametrize("seed", range(60))
def test_columns_of_formulas_at_random(seed):
    """Patsy's columns: their names, their order and their values."""
    patsy = need("patsy")
    rng, data = random.Random(seed), DATA["cars"].head(120)  # noqa: S311
    right = written(rng, 3) + rng.choice(["", "", " - 1", " + 0", " - 1 + 1"])
    expected = patsy.dmatrix(right, data)
    design = learn_from_rows(parse_formula(f"mpg ~ {right}"), open_source(data))
    assert list(design.names) == expected.design_info.column_names
    (block,) = iter_blocks(design, open_source(data))
    assert_close(block.values[:, :-1], np.asarray(expected)[:, int(design.intercept) :], rtol=1e-11, atol=1e-12)
