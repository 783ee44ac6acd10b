"""Laws of the formula language: what two ways of writing, or two tables, have in common. The truth is the other way, or NIST."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.formula.api import ols as peer_ols

import squarely as sq
from squarely.data import open_source
from squarely.design import iter_blocks, learn_from_rows, parse_formula
from squarely.design.encoding.categories import ContrastCoding
from squarely.errors import DataError, FormulaError
from tests.laws.test_laws import Chunked
from tests.support.checks import assert_close, digits, nist

seeds = st.integers(0, 10**6)


def table(seed=0, n=90):
    """Two numbers, two texts, whole numbers, a boolean, and a response that depends on all; every cell of levels is there."""
    rng = np.random.default_rng(seed)
    g, h, t = np.resize(["b", "a", "c"], n), np.resize(["u"] * 3 + ["v"] * 3, n), np.resize([True] * 6 + [False] * 6, n)
    k = np.resize([2, 10, 2, 7, 7], n)
    x, z = rng.uniform(1, 9, n), rng.normal(40, 10, n)
    y = 20 + x - 0.1 * z + (g == "a") * 2 * x - (h == "v") + 0.2 * k + 0.5 * t + rng.normal(size=n)
    return pd.DataFrame({"x": x, "z": z, "g": g.astype(object), "h": h.astype(object), "k": k, "t": t, "y": y})


TABLE = table()
FORMULAS = [
    "y ~ x",
    "y ~ x - 1",
    "y ~ g",
    "y ~ g - 1",
    "y ~ x * g",
    "y ~ g / x - 1",
    "y ~ C(k) * t",
    "y ~ t:x + h",
    "y ~ (x + g + h)**2",
    "y ~ C(g, Sum) * C(h, Treatment('v'))",
    "y ~ log(x) + I(z**2) + exp(-x)",
    "log(y) ~ center(x) * scale(z)",
    "y ~ scale(log(x), ddof=1) + center(center(z) * x)",
    "y ~ poly(x, 3) * g",
    "y ~ poly(z, 4, raw=True)",
    "y ~ bs(x, df=5) + h",
    "y ~ bs(scale(z), df=4) - 1",
    "y ~ ns(x, df=3) * C(k, Sum)",
    "y ~ ns(log(x), knots=[1, 1.5]) + poly(center(z), 2)",
    "y ~ x + offset(z / 10) + g",
    "y ~ x * z * g * h * t",
]


def same(one, other, rtol=1e-9):
    """Say that two fits are one: names and numbers."""
    assert list(one.params.index) == list(other.params.index)
    assert_close(other.params, one.params, rtol=rtol)
    assert_close(other.bse, one.bse, rtol=rtol)
    same_space(one, other, rtol=rtol)


def same_space(one, other, rtol=1e-9):
    """Say that two fits span the same space, whatever their columns."""
    assert (one.rank, one.nobs, one.df_model, one.df_resid) == (other.rank, other.nobs, other.df_model, other.df_resid)
    assert_close(
        [other.rsquared, other.rsquared_adj, other.fvalue, other.llf, other.aic, other.bic, other.ssr],
        [one.rsquared, one.rsquared_adj, one.fvalue, one.llf, one.aic, one.bic, one.ssr],
        rtol=rtol,
    )
    assert_close(other.fittedvalues, one.fittedvalues, rtol=rtol)


WRITINGS = [
    ("y ~ x * g", "y ~ x + g + x:g"),
    ("y ~ x * g * h", "y ~ x + g + h + x:g + x:h + g:h + x:g:h"),
    ("y ~ (x + g + h)**2", "y ~ x + g + h + x:g + x:h + g:h"),
    ("y ~ (x + g + h)^2", "y ~ (x + g + h)**2"),
    ("y ~ (x + g + h)**3", "y ~ x * g * h"),
    ("y ~ (x + g)**7", "y ~ x * g"),
    ("y ~ g / x", "y ~ g + g:x"),
    ("y ~ g / h / x", "y ~ g + g:h + g:h:x"),
    ("y ~ (g + h) / x", "y ~ g + h + g:h:x"),
    ("y ~ g / (x + z)", "y ~ g + g:x + g:z"),
    ("y ~ (x + z):g", "y ~ x:g + z:g"),
    ("y ~ x + g + h - h", "y ~ x + g"),
    ("y ~ x * g * h - x:g:h", "y ~ (x + g + h)**2"),
    ("y ~ x * g * h - g:x:h", "y ~ (x + g + h)**2"),
    ("y ~ (x + g + h)**2 - (x + g):h", "y ~ x + g + h + x:g"),
    ("y ~ g - 1", "y ~ 0 + g"),
    ("y ~ g - 1", "y ~ g + 0"),
    ("y ~ x - 1 + 1", "y ~ x"),
    ("y ~ x + x + g + x:g + g:x", "y ~ x * g"),
    ("y ~ 1 + x", "y ~ x"),
    ("y ~ . - t - h - k", "y ~ x + z + g"),
    ("y ~ .", "y ~ x + z + g + h + k + t"),
    ("log(y) ~ . - 1", "log(y) ~ x + z + g + h + k + t - 1"),
    ("y~x*g", "y  ~  x  *  g"),
    ("y ~ (x + (g))", "y ~ x + g"),
]


@pytest.mark.parametrize(("one", "other"), WRITINGS)
def test_two_ways_of_writing(one, other):
    same(sq.ols(other, TABLE), sq.ols(one, TABLE), rtol=1e-12)


def test_the_order_of_writing_moves_columns_and_no_more():
    for one, other in [
        ("y ~ x * g * h", "y ~ h * x * g"),
        ("y ~ x + g + h", "y ~ h + g + x"),
        ("y ~ g:h + x - 1", "y ~ x + h:g - 1"),
        ("y ~ g / x", "y ~ g:x + g"),
        ("y ~ bs(x, df=4) * t + poly(z, 2)", "y ~ poly(z, 2) + t * bs(x, df=4)"),
    ]:
        same_space(sq.ols(one, TABLE), sq.ols(other, TABLE), rtol=1e-11)


@pytest.mark.parametrize("call", ["scale(x)", "scale(x, ddof=1)", "standardize(x)"])
def test_spellings_of_arithmetic(call):
    x = TABLE["x"]
    moved = (x - x.mean()) / x.std(ddof=1 if "1" in call else 0)
    expected = sq.ols("y ~ moved", TABLE.assign(moved=moved))
    assert_close(sq.ols(f"y ~ {call}", TABLE).params.to_numpy(), expected.params, rtol=1e-12)


def test_functions_are_numpys():
    for name in ("log", "log2", "log10", "log1p", "exp", "expm1", "sqrt", "abs"):
        expected = sq.ols("y ~ made + z", TABLE.assign(made=getattr(np, name)(TABLE["x"])))
        for written in (f"{name}(x)", f"np.{name}(x)"):
            fit = sq.ols(f"y ~ {written} + z", TABLE)
            assert list(fit.params.index) == ["Intercept", written, "z"]
            assert_close(fit.params.to_numpy(), expected.params, rtol=1e-11)
    made = TABLE.assign(made=-(TABLE["x"] ** 2) / 3 + 2 * TABLE["z"] - 0.5, half=TABLE["x"] ** 0.5, back=TABLE["x"] ** -2)
    fit = sq.ols("y ~ I(-x**2 / 3 + 2*z - 0.5) + I(x**0.5) + I(x**-2)", made)
    assert_close(fit.params.to_numpy(), sq.ols("y ~ made + half + back", made).params, rtol=1e-10)


# Contrasts and levels


@given(seeds, st.sampled_from(["g", "h", "k", "t"]), st.sampled_from(["y ~ {} + x", "y ~ {} * x", "y ~ {}:x", "y ~ {} * h + z"]))
def test_any_contrast_gives_the_same_fit(seed, name, formula):
    data = table(seed)
    one = sq.ols(formula.format(f"C({name})"), data)
    levels = data[name].unique().tolist()
    contrasts = [f"Treatment(reference={level!r})" for level in levels] + [f"Sum(omit={level!r})" for level in levels]
    contrasts += ["Sum", "Treatment", f"levels={sorted(levels, reverse=True)!r}"]
    for contrast in contrasts:
        same_space(one, sq.ols(formula.format(f"C({name}, {contrast})"), data))


def test_treatment_coefficients_are_differences_from_the_reference():
    means = TABLE.groupby("g")["y"].mean()
    for level in means.index:
        fit = sq.ols(f"y ~ C(g, Treatment(reference={level!r}))", TABLE)
        rest = [other for other in means.index if other != level]
        assert list(fit.params.index[1:]) == [f"C(g, Treatment(reference={level!r}))[T.{other}]" for other in rest]
        assert_close(fit.params, [means[level], *(means[rest] - means[level])], rtol=1e-11)
    fit = sq.ols("y ~ C(g, Sum)", TABLE)
    assert_close(fit.params, [means.mean(), *(means[["a", "b"]] - means.mean())], rtol=1e-10)


LEVELS = {
    "text": (["b", "a", "B", "ä"], ["B", "a", "b", "ä"]),
    "text that a person would sort otherwise": (["x10", "x9", "x1"], ["x1", "x10", "x9"]),
    "integers": ([10, 9, -1], ["-1", "9", "10"]),
    "floats": ([2.5, 10.0, -1.0], ["-1.0", "2.5", "10.0"]),
    "booleans": ([True, False], ["False", "True"]),
    "categories": (pd.Categorical(["low", "high", "mid"], ["low", "mid", "high"]), ["low", "mid", "high"]),
    "ordered categories": (pd.Categorical(["low", "high", "mid"], ["low", "mid", "high"], ordered=True), ["low", "mid", "high"]),
    "a category that no row has": (pd.Categorical(["low", "high"], ["low", "mid", "high"]), ["low", "high"]),
    "categories that are numbers": (pd.Categorical([3, 1, 2], [3, 2, 1]), ["3", "2", "1"]),
}


@pytest.mark.parametrize("kind", LEVELS)
def test_order_of_levels(kind):
    values, expected = LEVELS[kind]
    rng = np.random.default_rng(0)
    column = pd.Series(values).take(np.resize(np.arange(len(values)), 40)).reset_index(drop=True)
    data = pd.DataFrame({"f": column, "y": rng.normal(size=40)})
    full, less = sq.ols("y ~ C(f) - 1", data), sq.ols("y ~ C(f)", data)
    assert list(full.params.index) == [f"C(f)[{level}]" for level in expected]
    assert list(less.params.index) == ["Intercept", *(f"C(f)[T.{level}]" for level in expected[1:])]
    means = data.groupby(data["f"].astype(str))["y"].mean()[expected]
    assert_close(full.params, means, rtol=1e-10)
    assert_close(less.params, [means.iloc[0], *(means.iloc[1:] - means.iloc[0])], rtol=1e-9)


def test_a_file_has_the_levels_of_the_frame(tmp_path):
    path = tmp_path / "table.csv"
    TABLE.to_csv(path, index=False)
    for formula in ("y ~ g * x", "y ~ C(k) + t", "y ~ C(k, Treatment(reference=10)):x", "y ~ C(t, Sum) + h", "y ~ t:g"):
        fit, filed = sq.ols(formula, TABLE), sq.ols(formula, path)
        same(fit, filed, rtol=1e-12)
        assert_close(filed.predict(TABLE.head(7)), fit.predict(TABLE.head(7)), rtol=1e-13)
        assert_close(fit.predict(path), fit.fittedvalues, rtol=1e-12)


def test_names_in_backticks_and_in_q():
    data = TABLE.rename(columns={"x": "the x (m/s)", "g": "group 1", "y": "y:1"})
    plain = sq.ols("y ~ x * g + log(x)", TABLE)
    ticks = sq.ols("`y:1` ~ `the x (m/s)` * `group 1` + log(`the x (m/s)`)", data)
    quoted = sq.ols("Q('y:1') ~ Q('the x (m/s)') * Q(\"group 1\") + log(Q('the x (m/s)'))", data)
    for fit in (ticks, quoted):
        assert_close(fit.params.to_numpy(), plain.params, rtol=1e-12)
        assert_close(fit.predict(data), plain.fittedvalues, rtol=1e-12)


def test_columns_may_be_called_like_words_of_the_language():
    data = TABLE.rename(columns={"x": "log", "z": "C", "g": "np", "k": "class", "h": "I"})
    one = sq.ols("y ~ log + log(log) + C * np + C(`class`) + I + I(C**2)", data)
    other = sq.ols("y ~ x + log(x) + z * g + C(k) + h + I(z**2)", TABLE)
    assert_close(one.params.to_numpy(), other.params, rtol=1e-12)
    levels = {"b": "it's", "a": 'a "b" c', "c": "a:b [c]"}
    data = TABLE.assign(g=TABLE["g"].map(levels))
    fit = sq.ols('y ~ C(g, Treatment(reference="it\'s")) * x', data, where="g != 'zzz' and g in ['a:b [c]', 'a \"b\" c', \"it's\"]")
    assert_close(fit.fittedvalues, sq.ols("y ~ g * x", TABLE).fittedvalues, rtol=1e-11)


# What is inside a basis may be moved and rescaled


@given(seeds, st.floats(-1e3, 1e3), st.floats(1e-3, 1e3), st.sampled_from([1, -1]))
def test_moving_and_rescaling_inside_a_basis(seed, shift, size, sign):
    data = table(seed)
    data["moved"] = data["x"] * size * sign + shift
    calls = ["poly({}, 3)", "poly({}, 2, raw=True)", "bs({}, df=5)", "ns({}, df=4)", "scale({})", "center({})"]
    for call in calls:
        one, other = (sq.ols(f"y ~ {call.format(name)} + g", data) for name in ("x", "moved"))
        same_space(one, other, rtol=1e-8)
        if sign > 0 and "raw" not in call and "center" not in call and abs(shift) <= 100 * size:
            assert_close(other.params.to_numpy(), one.params, rtol=1e-7, atol=1e-9)  # the columns themselves are the same


LATE = ["t * x", "t * g", "g / t", "poly(t, 3) * g", "poly(t, 2, raw=True)", "t + I(t**2)", "bs(t, df=6)", "ns(t, df=4) * g",
        "center(t) * x", "scale(t) + I(scale(t)**2)", "I(t * x) + t + x"]  # fmt: skip


@pytest.mark.parametrize("right", LATE)
def test_trap_a_unix_time_in_a_formula(right):
    """Time counted from 1970 and from the first row, both exact in doubles, span the same in each of these."""
    rng = np.random.default_rng(0)
    hours = np.round(3.6 * np.arange(300) * 8) / 8
    x = np.round(rng.normal(size=300) * 1024) / 1024
    data = pd.DataFrame({"t": hours, "x": x, "g": np.resize(["a", "b", "c"], 300), "y": np.sin(hours / 200) + rng.normal(size=300)})
    one, other = sq.ols(f"y ~ {right}", data), sq.ols(f"y ~ {right}", data.assign(t=data["t"] + 1.334e9))
    assert other.rank == len(other.params)
    assert_close([other.ssr, other.llf], [one.ssr, one.llf], rtol=1e-10)
    assert_close(other.fittedvalues, one.fittedvalues, rtol=0, atol=1e-9)
    assert_close(other.predict(data.assign(t=data["t"] + 1.334e9)), one.fittedvalues, rtol=0, atol=1e-8)


def test_bases_span_what_they_should():
    raw = sq.ols("y ~ x + I(x**2) + I(x**3)", TABLE)
    same_space(raw, sq.ols("y ~ poly(x, 3)", TABLE), rtol=1e-10)
    same_space(raw, sq.ols("y ~ poly(x, 3, raw=True)", TABLE), rtol=1e-10)
    same_space(raw, sq.ols("y ~ bs(x, df=3)", TABLE), rtol=1e-10)
    same_space(raw, sq.ols("y ~ bs(x, df=4, include_intercept=True) - 1", TABLE), rtol=1e-10)
    same_space(sq.ols("y ~ x", TABLE), sq.ols("y ~ ns(x, df=1)", TABLE), rtol=1e-10)
    same_space(sq.ols("y ~ bs(x, df=5)", TABLE), sq.ols("y ~ bs(x, df=6, intercept=True) - 1", TABLE), rtol=1e-10)


def test_an_orthogonal_polynomial_is_orthonormal():
    design = learn_from_rows(parse_formula("y ~ poly(x, 6)"), open_source(TABLE))
    Q = np.vstack([block.values[:, :-1] for block in iter_blocks(design, open_source(TABLE))])
    assert_close(Q.T @ Q, np.eye(6), rtol=0, atol=1e-13)
    assert_close(Q.sum(axis=0), np.zeros(6), rtol=0, atol=1e-13)


# Predictions: what was learned is that of the fit


@pytest.mark.parametrize("formula", FORMULAS)
def test_predictions_are_those_of_the_fit(formula):
    fit = sq.ols(formula, TABLE)
    fitted = fit.fittedvalues.to_numpy()
    assert_close(fit.predict(TABLE), fitted, rtol=1e-12)
    order = np.random.default_rng(1).permutation(len(TABLE))
    shuffled = fit.predict(TABLE.iloc[order])
    assert list(shuffled.index) == order.tolist()
    assert_close(shuffled, fitted[order], rtol=1e-12)
    for i in (0, 17, 44, 89):  # a single row has neither spread nor levels
        assert_close(fit.predict(TABLE.iloc[[i]]), fitted[[i]], rtol=1e-12)
        one = {name: TABLE[name].to_numpy()[[i]] for name in TABLE.columns if name != "y"}
        assert_close(fit.predict(one), fitted[[i]], rtol=1e-12)
    assert_close(fit.fittedvalues + fit.resid, np.log(TABLE["y"]) if formula.startswith("log") else TABLE["y"], rtol=1e-12)


@pytest.mark.parametrize("formula", FORMULAS)
def test_any_table_gives_the_same(formula):
    import pyarrow as pa

    fit = sq.ols(formula, TABLE)
    for data in (pa.Table.from_pandas(TABLE), {name: TABLE[name].to_numpy() for name in TABLE.columns}):
        assert sq.ols(formula, data).solution.params.tobytes() == fit.solution.params.tobytes()


@pytest.mark.parametrize("formula", FORMULAS)
def test_any_cut_into_batches_gives_the_same(formula):
    """Levels, means, knots and polynomials are folds: a batch may be empty, a single row, or lack levels."""
    whole, cut = sq.ols(formula, TABLE), sq.ols(formula, Chunked(TABLE, [0, 1, 2, 40]))
    assert list(cut.params.index) == list(whole.params.index)
    assert_close(cut.params, whole.params, rtol=1e-10)
    assert_close(cut.bse, whole.bse, rtol=1e-10)
    assert_close(cut.fittedvalues, whole.fittedvalues, rtol=1e-12)


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_saved_fit_predicts_the_same(formula, tmp_path):
    fit = sq.ols(formula, TABLE, where="z > 25")
    fit.save(tmp_path / "fit.json")
    loaded = sq.load(tmp_path / "fit.json")
    assert list(loaded.params.index) == list(fit.params.index)
    assert loaded.params.tolist() == fit.params.tolist()
    inside = TABLE[TABLE["z"] > 25]
    assert loaded.predict(inside).tolist() == fit.predict(inside).tolist()


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_condition_is_a_filter_before(formula):
    kept = TABLE[(TABLE["z"] > 35) & (TABLE["g"] != "c") & TABLE["k"].isin([2, 7])]
    formula = formula.replace("* g * h * t", "* g")  # every cell has rows in what is left
    fit = sq.ols(formula, TABLE, where="z > 35 and g != 'c' and k in [2, 7]")
    same(sq.ols(formula, kept), fit, rtol=1e-12)
    assert fit.rows.filtered == len(TABLE) - len(kept)
    assert fit.resid.index.equals(kept.index)


SQL = [
    ("a > 1", "a > 1"),
    ("not a > 1", "not a > 1"),
    ("a != 1", "a <> 1"),
    ("a > 1 or b > 1", "a > 1 or b > 1"),
    ("not (a > 1 and b > 1)", "not (a > 1 and b > 1)"),
    ("not (a > 1 or b < 1)", "not (a > 1 or b < 1)"),
    ("a < b <= 2", "a < b and b <= 2"),
    ("s == 'u'", "s = 'u'"),
    ("s != 'u'", "s <> 'u'"),
    ("not s == 'u'", "not s = 'u'"),
    ("s in ['u', 'w']", "s in ('u', 'w')"),
    ("s not in ['u', 'w']", "s not in ('u', 'w')"),
    ("not s not in ['u', 'w'] or a == 2", "not s not in ('u', 'w') or a = 2"),
    ("f", "f"),
    ("not f", "not f"),
    ("f == True and not (a == 0)", "f = true and not a = 0"),
    ("f != False", "f <> false"),
    ("a + b > 2 * a - 1", "a + b > 2 * a - 1"),
    ("abs(a - 1) >= 1 and s != 'v' or not f", "abs(a - 1) >= 1 and s <> 'v' or not f"),
    ("log(a) > -1", "case when a > 0 then ln(a) > -1 end"),
]


@pytest.mark.parametrize(("where", "condition"), SQL)
def test_conditions_treat_gaps_as_sql_does(where, condition):
    import duckdb
    import pyarrow as pa

    grid = [
        (a, b, s, f) for a in (0, 1, 2, None) for b in (0, 1, 2, None) for s in ("u", "v", "w", None) for f in (True, False, None)
    ]
    columns = dict(zip("absf", map(list, zip(*grid, strict=True)), strict=True))
    n = len(grid)
    data = pa.table({**columns, "i": range(n), "y": np.random.default_rng(0).normal(size=n)})
    with duckdb.connect() as connection:
        connection.register("data", data)
        expected = [row[0] for row in connection.execute(f"select i from data where {condition} order by i").fetchall()]
    fit = sq.ols("y ~ i", data, where=where)
    assert fit.resid.index.tolist() == expected
    assert fit.rows.filtered == n - len(expected)


def test_an_offset_is_taken_from_the_response():
    for formula, offset in (("y ~ x * g + offset(z / 10)", TABLE["z"] / 10), ("y ~ x - 1 + offset(log(z)) + offset(-2 * x)", None)):
        offset = np.log(TABLE["z"]) - 2 * TABLE["x"] if offset is None else offset
        fit = sq.ols(formula, TABLE)
        less = sq.ols(re.sub(r" \+ offset\([^~]*\)$", "", formula), TABLE.assign(y=TABLE["y"] - offset))
        assert list(fit.params.index) == list(less.params.index)
        assert_close(fit.params, less.params, rtol=1e-10)
        assert_close(fit.bse, less.bse, rtol=1e-10)
        assert_close([fit.llf, fit.rsquared, fit.fvalue], [less.llf, less.rsquared, less.fvalue], rtol=1e-10)
        assert_close(fit.resid, less.resid, rtol=0, atol=1e-12)
        assert_close(fit.fittedvalues, less.fittedvalues + offset, rtol=1e-12)
        assert_close(fit.predict(TABLE), less.fittedvalues + offset, rtol=1e-12)


def test_gaps_can_be_refused():
    data = TABLE.astype({"x": float})
    data.loc[[3, 8], "x"] = np.nan
    data.loc[5, "g"] = None
    with pytest.raises(DataError, match=r"missing='raise'.*g: 1 null.*x: 2 nan|missing='raise'.*x: 2 nan.*g: 1 null"):
        sq.ols("y ~ x + g", data, missing="raise")
    assert sq.ols("y ~ z + h", data, missing="raise").nobs == 90  # gaps in columns that are not used do not matter
    assert sq.ols("y ~ x + g", data, where="x > 0 and g != 'zzz'", missing="raise").nobs == 87
    with pytest.raises(DataError, match="log"):
        sq.ols("y ~ log(x - 5)", TABLE, missing="raise")
    fit = sq.ols("y ~ log(x - 5)", TABLE)
    same_space(sq.ols("y ~ w", TABLE[TABLE["x"] > 5].assign(w=lambda d: np.log(d["x"] - 5))), fit)


def test_arrays_are_the_formula_that_names_them():
    X = TABLE[["x", "z", "k"]]
    same(sq.ols("y ~ x + z + k", TABLE), sq.ols(X=X, y=TABLE["y"]), rtol=1e-13)
    same(sq.ols("y ~ x + z + k - 1", TABLE), sq.ols(X=X, y=TABLE["y"], intercept=False), rtol=1e-13)
    plain = sq.ols(X=X.to_numpy(), y=TABLE["y"].to_numpy())
    assert_close(plain.params.to_numpy(), sq.ols("y ~ x + z + k", TABLE).params, rtol=1e-13)


def test_names_of_coefficients():
    cases = {
        "y ~ x*g": ["Intercept", "g[T.b]", "g[T.c]", "x", "x:g[T.b]", "x:g[T.c]"],
        "y ~ g:t - 1": ["g[a]:t[False]", "g[b]:t[False]", "g[c]:t[False]", "g[a]:t[True]", "g[b]:t[True]", "g[c]:t[True]"],
        "y ~ I(x+z) + np.log( x )": ["Intercept", "I(x + z)", "np.log(x)"],
        "y ~ poly(x,2)": ["Intercept", "poly(x, 2)[1]", "poly(x, 2)[2]"],
        "y ~ C(h, Sum)": ["Intercept", "C(h, Sum)[S.u]"],
        "y ~ C(h, Sum) - 1": ["C(h, Sum)[mean]", "C(h, Sum)[S.u]"],
        "y ~ 1": ["Intercept"],
    }
    for formula, expected in cases.items():
        assert list(sq.ols(formula, TABLE).params.index) == expected


# Trap F: a level that the fit does not know


@pytest.mark.parametrize(
    ("formula", "name", "unseen", "known"),
    [
        ("y ~ x * g", "g", "d", "'a', 'b', 'c'"),
        ("y ~ C(k) + x", "k", 3, "2, 7, 10"),
        ("y ~ C(g, Sum):x", "g", "", "'a', 'b', 'c'"),
        ("y ~ C(g, Treatment('b')) + z", "g", "B", "'a', 'b', 'c'"),
    ],
)
def test_trap_f_unseen_levels(formula, name, unseen, known, tmp_path):
    fit = sq.ols(formula, TABLE)
    new = TABLE.head(6).copy()
    new.loc[[2, 4], name] = unseen
    path = tmp_path / "new.csv"
    new.to_csv(path, index=False)
    for rows_ in (new, {c: new[c].tolist() for c in new.columns}, *([path] if unseen else [])):
        with pytest.raises(DataError) as caught:
            fit.predict(rows_)
        message = str(caught.value)
        assert all(word in message for word in (repr(name), str(unseen), "data row 3", f"known levels: {known}", "unseen='nan'"))
        predicted = np.asarray(fit.predict(rows_, unseen="nan"))
        assert np.isnan(predicted).tolist() == [False, False, True, False, True, False]
        assert_close(predicted[[0, 1, 3, 5]], fit.fittedvalues.iloc[[0, 1, 3, 5]], rtol=1e-12)
    with pytest.raises(sq.errors.OptionError, match="unseen='zero'"):
        fit.predict(new, unseen="zero")
    gap = TABLE.head(4).astype({name: object})
    gap.loc[1, name] = None  # a gap is no level: it gives NaN without an error
    assert np.isnan(fit.predict(gap)).tolist() == [False, True, False, False]


def test_trap_f_levels_that_only_rows_left_out_have():
    data = TABLE.copy()
    data.loc[:9, "g"] = "d"
    data.loc[:9, "x"] = np.nan
    for fit in (sq.ols("y ~ x + g", data), sq.ols("y ~ z + g", data, where="g != 'd'")):
        assert not any("d" in name for name in fit.params.index)
        with pytest.raises(DataError, match="'d'"):
            fit.predict(TABLE.assign(g="d"))


# Trap I: what is aligned with the rows stays so


@pytest.mark.parametrize("formula", ["y ~ x", "y ~ x * g", "log(y) ~ bs(x, df=4) + log(z - 30)", "y ~ C(k) + offset(z)"])
def test_trap_i_rows_stay_aligned(formula):
    data = TABLE.assign(cluster=np.arange(90) // 7)
    data.loc[[0, 13, 50], "x"] = np.nan
    data.loc[[1, 50, 89], "g"] = None
    data.loc[[2, 60], "y"] = np.inf
    data.loc[[4], "z"] = np.nan
    data.index = [f"row {i}" for i in range(90)]
    named = [name for name in ("x", "z", "g", "k", "y") if re.search(rf"\b{name}\b", formula)]
    gaps = data[named].isna().any(axis=1) | np.isinf(data["y"])
    if "log(z - 30)" in formula:
        gaps |= ~(data["z"] > 30)
    expected = np.flatnonzero(~gaps)
    fit = sq.ols(formula, data)
    assert fit.resid.index.equals(data.index[expected])
    assert fit.fittedvalues.index.equals(data.index[expected])
    positions = np.concatenate([block.rows for block in iter_blocks(fit.design, fit.source)])
    assert positions.tolist() == expected.tolist()
    response = np.concatenate(
        [block.values[:, -1] + (0 if block.offset is None else block.offset) for block in iter_blocks(fit.design, fit.source)]
    )
    y = data["y"].iloc[positions]
    assert_close(response, np.log(y) if formula.startswith("log") else y, rtol=1e-15)
    assert_close(fit.predict(data).iloc[positions], fit.fittedvalues, rtol=1e-12)
    assert fit.rows.used == len(expected)


# NIST: powers written in the formula reach the digits that powers formed beforehand cannot

POWERS = {"Filip": 13.5, "Wampler1": 14.5, "Wampler2": 13.0, "Wampler3": 14.5, "Wampler4": 14.5, "Wampler5": 14.5}


WRITTEN = {
    "poly": lambda degree: f"y ~ poly(x, {degree}, raw=True)",
    "I()": lambda degree: " + ".join(["y ~ x", *(f"I(x**{k})" for k in range(2, degree + 1))]),
    "products": lambda degree: " + ".join(["y ~ x", *(f"I({'*'.join('x' * k)})" for k in range(2, degree + 1))]),
}


def polynomial(name):
    problem = nist(name)
    return problem, {"x": np.array(problem["predictors"][0], float), "y": np.array(problem["response"], float)}


@pytest.mark.parametrize("name", POWERS)
@pytest.mark.parametrize("written", WRITTEN)
def test_nist_polynomials(name, written):
    problem, data = polynomial(name)
    certified = problem["certified"]
    fit = sq.ols(WRITTEN[written](problem["polynomial_degree"]), data)
    assert digits(fit.params, certified["coefficients"]).min() >= POWERS[name]
    if float(certified["residual_sd"]) == 0:
        assert np.sqrt(fit.mse_resid) < 1e-9 * data["y"].std()
    else:
        assert digits(fit.rsquared, certified["r_squared"]) >= 12
        assert digits(np.sqrt(fit.mse_resid), certified["residual_sd"]) >= 12


@pytest.mark.parametrize("name", ["Filip", "Wampler3", "Wampler4", "Wampler5"])
@pytest.mark.parametrize("written", WRITTEN)
def test_nist_standard_errors(name, written):
    problem, data = polynomial(name)
    fit = sq.ols(WRITTEN[written](problem["polynomial_degree"]), data)
    assert digits(fit.bse, problem["certified"]["std_errors"]).min() >= 12


@pytest.mark.parametrize("name", ["Filip", "Wampler3", "Wampler4", "Wampler5"])
def test_nist_by_an_orthogonal_polynomial(name):
    problem, data = polynomial(name)
    fit, certified = sq.ols(f"y ~ poly(x, {problem['polynomial_degree']})", data), problem["certified"]
    assert digits(fit.rsquared, certified["r_squared"]) >= 12
    assert digits(np.sqrt(fit.mse_resid), certified["residual_sd"]) >= 10


def test_one_power_under_two_names_is_one_column():
    """What is written in two ways has the same bits, so one of them is dropped and not fitted to rounding."""
    fit = sq.ols("y ~ I(x**3) + I(x*x*x)", TABLE)
    assert len(fit.dropped_columns) == 1


def test_the_same_offset_twice():
    """R counts an offset that is written twice once."""
    fit = sq.ols("y ~ x + offset(z) + offset(z)", TABLE)
    assert_close(fit.params, sq.ols("y ~ x + offset(z)", TABLE).params, rtol=1e-12)


@pytest.mark.parametrize("where", ["center(x) > 0", "scale(x) > 0"])
def test_a_condition_on_a_mean_is_refused(where):
    with pytest.raises(FormulaError, match="learned from the rows that the condition chooses"):
        sq.ols("y ~ x", TABLE, where=where)


MEANINGLESS = [
    ("y ~ C(g, Treatment(reference='zz'))", "names 'zz', not among the"),
    ("y ~ C(g, levels=['a', 'b'])", "lacks '"),
    ("y ~ x - z", "no term z to remove"),
    ("y ~ y + x", "is on both sides"),
    ("y ~ C(k, Sum(omit=3))", "names 3, not among the"),
    ("y ~ x:x", r"Write it once, or I\(x\*\*2\) for the square"),
    ("y ~ x*x", r"Write it once, or I\(x\*\*2\) for the square"),
    ("y ~ x:offset(z)", "cannot interact"),
    ("y ~ C(g, contr.treatment(base=0))", "base is a place from 1 to"),
    ("y ~ [x]", "Group terms in round ones"),
    ("y ~ log(x) + `log(x)`", "as a column of that name and as a call"),
    ("y ~ offset(x) + `offset(x)`", "as a column of that name and as a call"),
]


@pytest.mark.parametrize(("formula", "message"), MEANINGLESS)
def test_formulas_that_mean_less_than_they_say_are_refused(formula, message):
    with pytest.raises(FormulaError, match=message):
        sq.ols(formula, {**TABLE, "log(x)": TABLE["x"], "offset(x)": TABLE["x"]})


def test_two_coefficients_never_have_one_name():
    data = {**TABLE, "x:z": TABLE["x"], "Intercept": TABLE["z"]}
    for formula in ("y ~ x:z + `x:z`", "y ~ Intercept + x"):
        with pytest.raises((DataError, FormulaError), match=r"would have the name 'x:z'|the name of the intercept"):
            sq.ols(formula, data)
    with pytest.raises(DataError, match="would have the name 'Intercept'"):
        sq.ols(X=pd.DataFrame({"Intercept": TABLE["x"]}), y=TABLE["y"])


def test_base_counts_places_as_in_r():
    data = {"k": [1, 2, 3] * 5, "y": np.arange(15.0) ** 2}
    fit = sq.ols("y ~ C(k, contr.treatment(base=2))", data)
    same = sq.ols("y ~ C(k, Treatment(reference=2))", data)
    assert [name[-5:] for name in fit.params.index[1:]] == ["[T.1]", "[T.3]"]
    assert fit.params.tolist() == same.params.tolist()


def test_a_pandas_categorical_of_numbers_is_a_category():
    frame = pd.DataFrame({"g": pd.Categorical([3, 1, 2] * 5, categories=[3, 1, 2]), "y": np.arange(15.0) ** 2})
    peer = peer_ols("y ~ g", frame).fit()
    fit = sq.ols("y ~ g", frame)
    assert list(fit.params.index) == list(peer.params.index) == ["Intercept", "g[T.1]", "g[T.2]"]
    assert_close(fit.params, peer.params, rtol=1e-12)


def test_conditions_compare_like_with_like(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("x,y,g\n" + "".join(f"{i},{i * i},{'ab'[i % 2]}\n" for i in range(12)))
    for data in (path, pd.read_csv(path)):
        for where in ("x != 'USA'", "not x == 'USA'", "x == '3'"):
            with pytest.raises(DataError, match="is compared with text"):
                sq.ols("y ~ x", data, where=where)
        for where in ("x in (1, '2')", "g not in [None]", "g not in [['a']]"):
            with pytest.raises(FormulaError, match="A list in a condition"):
                sq.ols("y ~ x", data, where=where)
        with pytest.raises(DataError, match="is used as true or false"):
            sq.ols("y ~ x", data, where="x == True")


def test_ids_in_a_text_file_stay_apart(tmp_path):
    path = tmp_path / "ids.csv"
    path.write_text("k,h,y\n" + "".join(f"{['007', '7', '12'][i % 3]},{2**53 + i % 2},{i * i}\n" for i in range(12)))
    assert list(sq.ols("y ~ C(k)", path).params.index) == ["Intercept", "C(k)[T.12]", "C(k)[T.7]"]
    assert len(sq.ols("y ~ C(h)", path).params) == 2


def test_a_column_of_numbers_and_text_is_never_silently_a_category(tmp_path):
    path = tmp_path / "mixed.csv"
    path.write_text("y,h\n" + "".join(f"{i * i},{'?' if i == 3 else i % 4}\n" for i in range(12)))
    with pytest.raises(DataError, match=r"text among numbers: '\?' in data row 4"):
        sq.ols("y ~ h", path)
    with pytest.raises(DataError, match="holds numbers in every row that is used, and text in others"):
        sq.ols("y ~ h", path, where="h != '?'")


def test_bases_and_levels_are_learned_from_the_rows_used():
    """The last rows have no value in an expression that waits for a mean; they must not stretch the spline or give a level."""
    rng = np.random.default_rng(0)
    x, z = np.r_[rng.normal(size=50), [100.0] * 5], np.r_[0.1 * rng.normal(size=50), [-100.0] * 5]
    g = np.array(["a", "b"] * 25 + ["c"] * 5)
    fit = sq.ols("y ~ bs(x, df=4) + g + log(center(z) + 20)", {"x": x, "z": z, "g": g, "y": rng.normal(size=55)})
    assert fit.nobs == 50
    assert [name for name in fit.params.index if name.startswith("g")] == ["g[T.b]"]
    fit.predict({"x": [x[:50].min(), x[:50].max()], "z": [0.0, 0.0], "g": ["a", "b"]})
    with pytest.raises(DataError, match="is not defined at"):
        fit.predict({"x": [100.0], "z": [0.0], "g": ["a"]})


def test_arrays_fitted_predict_arrays():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(20, 2))
    y = X @ [1.0, 2.0] + 3 + rng.normal(size=20)
    fit = sq.ols(X=X, y=y)
    b = np.linalg.lstsq(np.column_stack([np.ones(20), X]), y, rcond=None)[0]
    assert_close(fit.predict(X[:3]), np.column_stack([np.ones(3), X[:3]]) @ b, rtol=1e-12)
    with pytest.raises(DataError, match="The new rows have 1 column, and X had 2"):
        fit.predict(X[:, :1])


@pytest.mark.parametrize("kind", ["treatment", "sum"])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("position", [0, 1, 3])
def test_columns_of_codes_are_rows_of_the_contrast(kind, full, position):
    coding = ContrastCoding(column="g", levels=("a", "b", "c", "d"), kind=kind, position=position)
    codes = np.array([3, 0, 1, 1, 2, 0])
    np.testing.assert_array_equal(coding.columns(codes, full=full), coding.matrix(full=full)[codes])
    assert coding.columns(codes, full=full).shape[1] == len(coding.names(full=full))
