"""Which columns stay: dependencies at any number of rows and in every form of data, and near ones that are none."""

import numpy as np
import pytest

import squarely as sq
from squarely.errors import DataError
from tests.support.checks import assert_close, need

pd = need("pandas")


def table(n, seed=0):
    """Make columns with dependencies of every kind: indicators, nested categories, sums, units and constants."""
    rng = np.random.default_rng(seed)
    month, kind = rng.integers(1, 13, n), rng.choice(4, n, p=[0.4, 0.3, 0.2, 0.1])
    kg, s1, s2 = rng.normal(20, 8, n).round(1), rng.normal(3, 1, n), rng.normal(size=n)
    d = {"month": month, "quarter": (month - 1) // 3 + 1, "kg": kg, "lb": kg * 2.20462, "s1": s1, "s2": s2, "total": s1 + s2}
    d |= {f"d{i}": (kind == i).astype(float) for i in range(4)} | {
        "w01": (month < 7).astype(float),
        "year": 1950.0 + kind * 7 + month,
    }
    d |= {"c": np.full(n, 14.62), "c2": np.full(n, 0.07), "tenth": 0.1 * s2, "k": kind, "y": rng.normal(size=n)}
    return pd.DataFrame(d)


DEPENDENT = {  # formula -> rank, and the columns of the data that span what the others do
    "d0 + d1 + d2 + d3": (4, ["d1", "d2", "d3"]),
    "C(month) + C(quarter)": (12, "month"),
    "C(quarter) + C(month)": (12, "month"),
    "s1 + s2 + total": (3, ["s1", "s2"]),
    "s1 + s2 + I(s1 + s2)": (3, ["s1", "s2"]),
    "kg + lb": (2, ["kg"]),
    "kg + I(kg * 2.20462)": (2, ["kg"]),
    "kg + I(1.8 * kg + 32)": (2, ["kg"]),
    "scale(kg) + kg": (2, ["kg"]),
    "center(kg) + kg": (2, ["kg"]),
    "I(kg / 10) + kg": (2, ["kg"]),
    "s2 + tenth": (2, ["s2"]),
    "year + I(year - 1999.5)": (2, ["year"]),
    "s1:s2 + I(0.1 * s1 * s2)": (2, None),
    "poly(kg, 2) + kg": (3, None),
    "C(month) * w01": (12, "month"),
    "C(k) * w01 + d1": (8, ["k", "w01"]),
    "s2 + I(c * 2)": (2, ["s2"]),
    "I(c + 1) + s2": (2, ["s2"]),
    "c:c2 + s2": (2, ["s2"]),
    "C(month) * I(c * 3)": (12, "month"),
    "poly(c, 2, raw=True) + s2": (2, ["s2"]),
}


def rsquared_of(d, columns):
    """R2 of numpy's least squares on columns that are known to be independent; of group means for a category."""
    y = d.y.to_numpy()
    if isinstance(columns, str) or "k" in columns:
        fitted = d.groupby(columns).y.transform("mean").to_numpy()
    else:
        X = np.column_stack([np.ones(len(d)), d[columns].to_numpy()])
        fitted = X @ np.linalg.lstsq(X, y, rcond=None)[0]
    return 1 - ((y - fitted) ** 2).sum() / ((y - y.mean()) ** 2).sum()


@pytest.mark.parametrize("n", [1_000, 100_000])
@pytest.mark.parametrize("formula", DEPENDENT)
def test_dependencies_are_found_at_any_number_of_rows(formula, n):
    rank, spanning = DEPENDENT[formula]
    d = table(n)
    fit = sq.ols(f"y ~ {formula}", d)
    assert (fit.rank, len(fit.dropped_columns)) == (rank, len(fit.params) - rank)
    assert fit.params.isna().sum() == len(fit.dropped_columns)
    assert fit.digits.min() > 10
    if spanning:
        assert_close(fit.rsquared, rsquared_of(d, spanning), rtol=1e-7)
    with pytest.raises(DataError, match="depend on each other"):
        sq.ols(f"y ~ {formula}", d, collinear="raise")


@pytest.mark.parametrize("formula", ["d0 + d1 + d2 + d3", "C(quarter) + C(month)", "s2 + tenth"])
def test_dependencies_are_found_in_a_million_rows(formula):
    rank, spanning = DEPENDENT[formula]
    d = table(1_000_000)
    fit = sq.ols(f"y ~ {formula}", d)
    assert fit.rank == rank
    assert_close(fit.rsquared, rsquared_of(d, spanning), rtol=1e-6)


def rates(n=300, seed=1):
    """Make columns that are constant up to rounding, each in another way."""
    rng = np.random.default_rng(seed)
    net = np.round(rng.uniform(5, 500, n), 2)
    a, angle, w = rng.uniform(0, 3, n), rng.uniform(0, 6, n), rng.uniform(size=(n, 5))
    d = {"net": net, "tax": net * 0.19, "rate": net * 0.19 / net, "a": a, "b": 3 - a, "y": 3 + 0.1 * net + rng.normal(size=n)}
    d["third"], d["million"] = np.where(a > 1, 0.3, 0.1 + 0.2), 1e6 + rng.integers(-3, 4, n) * np.spacing(1e6)
    d["shares"], d["steps"] = (w / w.sum(axis=1, keepdims=True)).sum(axis=1), np.diff(np.cumsum(np.full(n + 1, 0.1)))
    d["unit"], d["whole"] = np.cos(angle) ** 2 + np.sin(angle) ** 2, 1e15 + rng.integers(0, 5, n)
    return pd.DataFrame(d)


STILL = ["rate", "third", "million", "shares", "steps", "unit", "log(rate)", "I(rate * 100)", "I(rate + 1)", "I(rate**2)"]
STILL += ["center(rate)", "scale(rate)", "poly(rate, 2, raw=True)", "I(a + b)", "rate + third", "net:rate", "rate + rate:net + tax"]
FORMS = ["frame", "lazy", "aggregates", "duckdb", "csv", "parquet", "matrix"]


def through(form, formula, d, tmp_path):
    """Fit data in one of FORMS."""
    if form in ("lazy", "aggregates"):
        return sq.ols(formula, need("polars").from_pandas(d).lazy(), fold="aggregates" if form == "aggregates" else "batches")
    if form == "duckdb":
        return sq.ols(formula, need("duckdb").from_df(d))
    if form == "frame":
        return sq.ols(formula, d)
    path = tmp_path / f"d.{form}"
    d.to_csv(path, index=False) if form == "csv" else d.to_parquet(path)
    return sq.ols(formula, path)


@pytest.mark.parametrize("form", ["frame", "aggregates"])
@pytest.mark.parametrize("term", STILL)
def test_a_column_that_is_constant_up_to_rounding_is_dropped(term, form, tmp_path):
    d = rates()
    fit = through(form, f"y ~ net + {term}", d, tmp_path)
    slope, level = np.polyfit(d.net, d.y, 1)
    assert fit.rank == 2
    assert_close(fit.params.iloc[:2], [level, slope], rtol=1e-9)
    with pytest.raises(DataError, match="depend on each other"):
        sq.ols(f"y ~ net + {term}", d, collinear="raise")


def sums(n=300):
    """Add columns that others add up to, and others at which a difference is small but real."""
    d, rng = rates(n), np.random.default_rng(5)
    d["gross"], d["part"], d["x"], d["g"] = 1.19 * d.net, 0.7 * d.a, rng.normal(size=n), rng.choice(list("pqr"), n)
    d["all"], d["tenth"], d["k"] = d.a + d.part, 0.1 * d.x, rng.integers(0, 9, n).astype(float)
    d["clock"], d["start"] = 1.6e9 + rng.integers(0, 100, n), 1.6e9 + rng.uniform(0, 0.01, n)
    return d.assign(stop=d.start + rng.uniform(1e-4, 2e-4, n))


NOTHING = ["I(rate - 0.19)", "log(shares)", "I(gross - net - tax)", "I(a + part - all)", "I(tenth - 0.1 * x)", "I(x / 10 - tenth)"]
NOTHING += [
    "center(I(gross - net - tax))",
    "scale(I(a + part - all))",
    "x:I(rate - 0.19)",
    "g:I(rate - 0.19)",
    "I(net * rate - tax)",
]
NOTHING += ["I((rate - 0.19) * x)", "poly(I(a + part - all), 2, raw=True)", "g:x:log(shares)", "log10(shares)"]
SOMETHING = [
    "I(clock - 1.6e9)",
    "center(clock)",
    "I(start - 1.6e9)",
    "I(stop - start)",
    "I(whole - 1e15)",
    "I((whole - 1e15) * 0.5)",
]
SOMETHING += ["I(a - part)", "x:I(k - 3)", "g:I(k - 3)", "log(k + 1)", "I(0.1 * k - 0.3)", "log(I(1 + 1e-10 * x))", "log(x * x)"]


@pytest.mark.parametrize("form", ["frame", "aggregates"])
def test_a_column_of_which_rounding_alone_is_left_is_zero(form, tmp_path):
    d = sums()
    slope, level = np.polyfit(d.net, d.y, 1)
    for term in NOTHING:
        fit = through(form, f"y ~ net + {term}", d, tmp_path)
        assert fit.rank == 2
        assert all(message.endswith(" is constant (0)") for message in fit.dropped_columns), term
        assert_close(fit.predict(d), level + slope * d.net, rtol=1e-9)
    for term in SOMETHING:
        assert through(form, f"y ~ net + {term}", d, tmp_path).dropped_columns == (), term


def test_rounding_alone_is_zero_without_intercept_in_merged_fits_and_not_where_one_row_has_more():
    d = sums()
    assert sq.ols("y ~ 0 + I(rate - 0.19) + net", d).dropped_columns == ("I(rate - 0.19) is constant (0)",)
    parts = [sq.ols("y ~ net + x:log(shares)", part) for part in (d[:100], d[100:])]
    merged = sq.merge(parts)
    assert merged.dropped_columns == merged.remove(parts[1]).dropped_columns == ("x:log(shares) is constant (0)",)
    d.loc[299, "rate"] += 1e-12
    assert sq.ols("y ~ net + I(rate - 0.19)", d).rank == 3


def test_rows_in_which_rounding_alone_is_left_are_predicted():
    d = sums()
    fit = sq.ols("y ~ net + I(gross - net - tax)", d)
    net = np.array([1e9 + 1 / 3, 1e12 + 0.1])
    new = pd.DataFrame({"net": net, "gross": 1.19 * net, "tax": 0.19 * net})
    assert (new.gross - new.net - new.tax).abs().max() > 1e-7
    slope, level = np.polyfit(d.net, d.y, 1)
    assert_close(fit.predict(new), level + slope * net, rtol=1e-9)
    with pytest.warns(UserWarning, match="break"):
        assert fit.predict(new.assign(tax=new.tax + 1)).isna().sum() == 2


def test_what_bends_over_a_constant_is_refused():
    for term in ("poly(rate, 2)", "bs(rate, df=4)", "ns(rate, df=2)"):
        with pytest.raises(DataError, match=r"rate.* has an argument that is 0\.19, up to rounding, in every row"):
            sq.ols(f"y ~ net + {term}", rates())


@pytest.mark.parametrize("form", FORMS[:-1])
def test_every_form_decides_alike(form, tmp_path):
    d = rates().join(table(300)[["month", "quarter", "s1", "s2", "total"]])
    assert through(form, "y ~ net + rate", d, tmp_path).dropped_columns == ("rate is constant (0.19)",)
    assert through(form, "y ~ C(month) + C(quarter)", d, tmp_path).rank == 12
    assert through(form, "y ~ s1 + s2 + total", d, tmp_path).dropped_columns == ("total = s1 + s2",)
    whole = through(form, "y ~ whole", d, tmp_path)
    assert_close(whole.params["whole"], np.polyfit(d.whole - 1e15, d.y, 1)[0], rtol=1e-9)
    assert through(form, "y ~ whole + net + I(2 * net)", d, tmp_path).rank == 3  # by the triangle


def test_a_matrix_is_decided_alike():
    d = rates()
    fit = sq.ols(X=d[["net", "rate"]].to_numpy(), y=d.y.to_numpy())
    assert fit.rank == 2
    assert sq.ols(X=d[["rate", "net"]].to_numpy(), y=d.y.to_numpy(), intercept=False).rank == 2  # it stands for the intercept


def test_merged_fits_decide_as_one_fit():
    d = rates(900)
    for formula, rank in (("y ~ net + rate", 2), ("y ~ net + whole", 3), ("y ~ net + whole + I(3 * net)", 3)):
        shards = [sq.ols(formula, d[i::3]) for i in range(3)]
        merged = sq.merge(shards)
        assert merged.rank == sq.ols(formula, d).rank == rank
        assert merged.remove(shards[0]).rank == rank


def near():
    """Make columns that are near to each other, and independent."""
    rng = np.random.default_rng(7)
    n = 1_001
    x = rng.normal(size=n)
    d = pd.DataFrame({"x": x, "z": rng.normal(size=n), "time": 1.7e9 + np.arange(n) * 1e-3, "y": rng.normal(size=n)})
    d["twin"], d["once"], d["year"] = x + 1e-11 * d.z, x + (np.arange(n) == 500), 1980.0 + np.arange(n) % 41
    d["far"], d["far2"] = 1e8 + rng.uniform(size=n), (np.arange(n) % 7 == 0) + 1e15
    return d


@pytest.mark.parametrize(
    ("formula", "rank"),
    [
        ("x + twin", 3),
        ("x + once", 3),
        ("time + x", 3),
        ("far + I(far**2)", 3),
        ("far2 + far", 3),
        ("poly(year, 4, raw=True)", 5),
        ("I(1e9 + x) + x:z + x", 3),
    ],
)
@pytest.mark.parametrize("form", ["frame", "csv"])
def test_near_dependencies_are_none(formula, rank, form, tmp_path):
    assert through(form, f"y ~ {formula}", near(), tmp_path).rank == rank


def test_one_row_of_a_million_makes_a_column_independent():
    n = 1_000_000
    x = np.arange(n) % 10.0
    twin = x + (np.arange(n) == 777_777)
    y = x + np.random.default_rng(3).normal(size=n)
    fit = sq.ols("y ~ x + twin", {"x": x, "twin": twin, "y": y})
    others = np.arange(n) != 777_777
    slope, level = np.polyfit(x[others], y[others], 1)  # the twin's slope answers for the one row alone
    assert_close(fit.params, [level, slope - (y - level - slope * x)[777_777], (y - level - slope * x)[777_777]], rtol=1e-8)


@pytest.mark.parametrize("form", ["frame", "aggregates"])
def test_sentences_state_no_false_constant(form, tmp_path):
    rng = np.random.default_rng(2)
    n = 400
    g = rng.choice(["a", "b", "c"], n)
    d = pd.DataFrame({"t": 1.7e12 + rng.integers(0, 10**9, n), "g": g, "u": (g == "a") * 1.0, "x": rng.normal(size=n)})
    d["x2"], d["t2"], d["three"], d["y"] = d.x, d.t + 3.0, 3.0, rng.normal(size=n)
    message = {
        "t + g + u": "u = -g[T.b] - g[T.c] + 1",
        "t + x + x2": "x2 = x",
        "x + t + t2": "t2 = t + 3",
        "x + three + I(three**2)": "I(three ** 2) is constant (9)",
        "x + poly(three, 3, raw=True)": "poly(three, 3, raw=True)[3] is constant (27)",
    }
    for formula, sentence in message.items():
        assert through(form, f"y ~ {formula}", d, tmp_path).dropped_columns[-1] == sentence


@pytest.mark.parametrize("formula", ["d0 + d1 + d2 + d3", "C(month) + C(quarter)", "kg + lb"])
def test_a_wrong_decision_is_an_error_and_no_page(formula, monkeypatch):
    """Were a dependent column kept, no coefficient would have a digit, and a factorization may fail."""
    monkeypatch.setattr("squarely.exact.rank.ROUNDING", 0.0)
    with pytest.raises(DataError, match="no digit of any coefficient"):
        sq.ols(f"y ~ {formula}", table(3_000))


@pytest.mark.parametrize("n", [1_000, 30_000])
def test_powers_of_a_year_are_dropped_at_the_same_degree(n):
    year = np.random.default_rng(0).integers(1960, 2021, n).astype(float)
    y = 0.01 * year + np.random.default_rng(1).normal(size=n)
    fit = sq.ols("y ~ poly(year, 8, raw=True)", {"year": year, "y": y})
    assert fit.rank == 7
    fitted = np.polyval(np.polyfit((year - 1990) / 30, y, 6), (year - 1990) / 30)
    assert_close(fit.rsquared, 1 - ((y - fitted) ** 2).sum() / ((y - y.mean()) ** 2).sum(), rtol=1e-7)
    assert fit.digits.min() > 3


def test_integers_that_doubles_cannot_tell_apart_are_not_called_equal():
    d = {"y": [1.0, 2, 4, 3], "id": [2**60 + i for i in range(4)]}
    assert sq.ols("y ~ id", d).dropped_columns == ("id is constant to the 16 digits of double precision (1.15292e+18)",)
