"""Fits of shards, merged, are the fit of all rows; a shard taken out was never there; what does not belong together is refused."""

import json
import random
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import squarely as sq
from squarely.errors import DataError, FormulaError, InputError
from tests.support.checks import assert_close, digits, exact_solution, exact_standard_errors, need

seeds = st.integers(0, 10**6)
FORMULAS = [
    "y ~ x + year",
    "y ~ x * g + year",
    "y ~ x + C(g, Sum) * h",
    "y ~ g:h + x - 1",
    "log(z) ~ x:g + h + offset(year / 100)".replace("year / 100", "I(year / 100)"),
    "y ~ C(g, Treatment('b')) + poly(x, 2, raw=True)",
    "y ~ x + g:x:h + year",
    "y ~ g + x - 1",
]
TAKEN = ("a", "b", "c", "d", "e")


def shard(rng, number, levels):
    """Make rows of one year, with gaps, an offset of their own and some of the levels; 'b' is always among them."""
    n = int(rng.integers(40, 70))
    g = np.resize(np.array(levels, dtype=object), n)
    h = np.resize(np.array(["u", "u", "v", "v", "w", "w"][: 4 + 2 * int(rng.integers(0, 2))], dtype=object), n)[rng.permutation(n)]
    x = rng.normal(rng.uniform(-2, 2), 1, n)
    y = 3 + 2 * x + (g == "b") + 0.5 * (h == "v") * x + 0.3 * number + rng.normal(size=n)
    data = {"x": x, "g": g, "h": h, "year": np.full(n, 2000.0 + number), "y": y, "z": np.exp(0.1 * y)}
    data["x"][rng.integers(0, n, 3)] = np.nan
    data["g"][rng.integers(0, n)] = None
    return data


def shards_of(seed, count):
    rng = np.random.default_rng(seed)
    return [shard(rng, i, ["b", *rng.choice(["a", "c", "d", "e"], int(rng.integers(1, 3)), replace=False)]) for i in range(count)]


def together(shards):
    return {name: np.concatenate([s[name] for s in shards]) for name in shards[0]}


def assert_same(fit, whole, *, rtol=1e-12):
    """Compare what two fits claim; what may be near zero is measured in its standard error."""
    assert list(fit.params.index) == list(whole.params.index)
    assert (fit.rows, fit.nobs, fit.rank, fit.df_model, fit.k_constant) == (
        whole.rows, whole.nobs, whole.rank, whole.df_model, whole.k_constant
    )  # fmt: skip
    assert list(fit.params.isna()) == list(whole.params.isna())
    kept = ~whole.params.isna().to_numpy()
    bse = whole.bse.to_numpy()[kept]
    assert np.all(np.abs(fit.params - whole.params)[kept] <= rtol * (np.abs(whole.params[kept]) + bse))
    assert_close(fit.bse[kept], bse, rtol=rtol)
    assert np.all(np.abs(fit.conf_int() - whole.conf_int())[kept] <= rtol * (np.abs(whole.conf_int()[kept]) + bse[:, None]))
    both = [one.cov_params().to_numpy()[np.ix_(kept, kept)] for one in (fit, whole)]
    assert np.all(np.abs(both[0] - both[1]) <= 2 * rtol * np.outer(bse, bse))
    for name in ("ssr", "centered_tss", "uncentered_tss", "mse_resid", "rsquared", "rsquared_adj", "fvalue", "llf", "aic", "bic"):
        assert_close(getattr(fit, name), getattr(whole, name), rtol=10 * rtol if name == "fvalue" else rtol)
    assert_close(fit.f_pvalue, whole.f_pvalue, rtol=1e-8)  # a p-value near 1e-100 magnifies F by its logarithm
    assert_close(fit.condition_number, whole.condition_number, rtol=1e-9)


@given(seeds, st.integers(1, 5), st.sampled_from(FORMULAS), st.sampled_from([None, "x > -3 and h != 'w'"]))
def test_merged_shards_are_the_whole(seed, count, formula, where):
    shards = shards_of(seed, count)
    fits = [sq.ols(formula, s, where=where) for s in shards]
    merged, whole = sq.merge(fits), sq.ols(formula, together(shards), where=where)
    assert_same(merged, whole)
    new = shards[0]
    assert_close(merged.predict(new, unseen="nan"), whole.predict(new, unseen="nan"), rtol=1e-11, atol=1e-12)
    near_zero = np.log10(np.maximum(merged.bse / merged.params.abs(), 1.0))  # its digits are those of its standard error
    assert (np.nan_to_num(merged.digits + near_zero, nan=15) >= 9).all()


@given(seeds, st.permutations(range(4)), st.sampled_from(FORMULAS))
def test_order_and_chaining_do_not_matter(seed, order, formula):
    fits = [sq.ols(formula, s) for s in shards_of(seed, 4)]
    a, b, c, d = (fits[i] for i in order)
    chained = a.merge(b).merge(c.merge(d))
    assert_same(chained, sq.merge(fits))
    assert sorted(chained.solution.merge_record.rows) == sorted(fit.nobs for fit in fits)


@given(seeds, st.integers(2, 5), st.integers(0, 4), st.sampled_from(FORMULAS))
def test_a_shard_taken_out_was_never_there(seed, count, which, formula):
    """Differences of cross-products have the rounding of the whole: with at most five shards of like size that is a digit."""
    shards = shards_of(seed, count)
    fits = [sq.ols(formula, s) for s in shards]
    out = which % count
    rest = [s for i, s in enumerate(shards) if i != out]
    assert_same(sq.merge(fits).remove(fits[out]), sq.ols(formula, together(rest)))
    assert_same(sq.merge(fits, remove=[fits[out]]), sq.ols(formula, together(rest)))


@given(seeds, st.sampled_from(FORMULAS))
def test_loaded_fits_merge_as_live_ones(seed, formula):
    with tempfile.TemporaryDirectory() as folder:
        compare_loaded(seed, formula, Path(folder))


def compare_loaded(seed, formula, folder):
    fits = [sq.ols(formula, s) for s in shards_of(seed, 3)]
    for i, fit in enumerate(fits):
        fit.save(folder / f"{i}.json")
    loaded = [sq.load(folder / f"{i}.json") for i in range(3)]
    live, back = sq.merge(fits), sq.merge(loaded)
    back.save(folder / "all.json")
    again = sq.load(folder / "all.json")
    for one in (back, again):
        assert_same(one, live, rtol=1e-13)  # not the same bits: BLAS adds in another order where a matrix lies otherwise in memory
        assert_close(one.digits, live.digits, rtol=1e-6)
        for name in ("formula", "categories", "rows", "dropped_columns", "method", "precision", "scans", "merged"):
            assert one.as_dict()[name] == live.as_dict()[name]
    assert_same(again.remove(loaded[0]), sq.merge(fits[1:]))


@pytest.mark.parametrize(
    "formula", ["y ~ x + year", "y ~ x * g", "y ~ C(g, Sum) * h + x", "y ~ C(g, Treatment('b')):x + h", "y ~ g + x - 1"]
)
def test_statsmodels_agrees(formula):
    smf = need("statsmodels.formula.api")
    shards = shards_of(7, 4)
    merged = sq.merge(sq.ols(formula, s) for s in shards)
    other = smf.ols(formula, pd.DataFrame(together(shards))).fit()
    assert list(merged.params.index) == list(other.params.index)
    assert_close(merged.params, other.params, rtol=1e-9, atol=1e-11)
    assert_close(merged.bse, other.bse, rtol=1e-9)
    assert_close(merged.cov_params(), other.cov_params(), rtol=1e-8, atol=1e-11)
    assert_close(merged.conf_int(), other.conf_int(), rtol=1e-8, atol=1e-10)
    for name in ("ssr", "rsquared", "rsquared_adj", "fvalue", "llf", "aic", "bic", "centered_tss"):
        assert_close(getattr(merged, name), getattr(other, name), rtol=1e-9)


@pytest.mark.parametrize("offset", [0.0, 1e3, 1.7e9])
@pytest.mark.parametrize("near", [1.0, 1e-2, 1e-4, 1e-6])
def test_digits_that_are_claimed_are_there(offset, near):
    """The truth is the exact solution for the stored doubles. Shards far apart, and columns next to each other in each of them."""
    rng = np.random.default_rng(3)
    shards = []
    for i in range(3):
        a = offset * (i + 1) + rng.normal(size=40)
        b = a + near * rng.normal(size=40)
        shards.append({"a": a, "b": b, "y": 1 + a + 2 * b + rng.normal(size=40)})
    data = together(shards)
    fits = [sq.ols("y ~ a + b", s) for s in shards]
    merged = sq.merge(fits)
    X = np.column_stack([np.ones(120), data["a"], data["b"]])
    if merged.dropped_columns:
        assert sq.ols("y ~ a + b", data).dropped_columns
        return
    assert np.all(merged.digits <= np.ceil(digits(merged.params, exact_solution(X, data["y"]))))
    assert np.all(merged.digits_bse <= np.ceil(digits(merged.bse, exact_standard_errors(X, data["y"]))))
    if (near, offset) == (1.0, 0.0):
        assert np.all(merged.digits >= 9)
    rest = merged.remove(fits[2])
    keep = slice(0, 80)
    exact = exact_solution(X[keep], data["y"][keep])
    held = ~rest.params.isna().to_numpy()
    if held.all():
        assert np.all(rest.digits <= np.ceil(digits(rest.params, exact)))


def test_nearly_dependent_shards_go_by_the_triangle():
    rng = np.random.default_rng(0)
    shards = []
    for _ in range(3):
        a = rng.normal(size=50)
        shards.append({"a": a, "b": a + 1e-6 * rng.normal(size=50), "y": a + rng.normal(size=50)})
    merged, data = sq.merge(sq.ols("y ~ a + b", s) for s in shards), together(shards)
    assert merged.solution.factor.method == "triangle"
    X = np.column_stack([np.ones(150), data["a"], data["b"]])
    got = digits(merged.params, exact_solution(X, data["y"]))
    assert np.all(got >= 8)  # cross-products alone leave 16 - 2 * 6 = 4
    assert np.all(merged.digits <= got + 1)
    assert np.all(digits(merged.bse, exact_standard_errors(X, data["y"])) >= 8)


def test_dependent_columns_are_dropped_and_come_back():
    rng = np.random.default_rng(1)
    shards = [{"a": a, "b": 2 * a, "t": np.full(30, t), "y": a + rng.normal(size=30)}
              for t, a in enumerate(rng.normal(size=(3, 30)))]  # fmt: skip
    fits = [sq.ols("y ~ a + b + t", s) for s in shards]
    assert [fit.dropped_columns[0] for fit in fits] == ["b = 2 a"] * 3
    assert [len(fit.dropped_columns) for fit in fits] == [2, 2, 2]
    merged = sq.merge(fits)
    assert merged.dropped_columns == ("b = 2 a",)  # t varies over the shards
    assert_same(merged, sq.ols("y ~ a + b + t", together(shards)))
    assert_same(merged.remove(fits[0], fits[1]), fits[2])


def test_a_perfect_line_stays_one():
    shards = [{"x": np.arange(5.0) + 5 * i, "y": 2 * (np.arange(5.0) + 5 * i) + 1} for i in range(3)]
    merged = sq.merge(sq.ols("y ~ x", s) for s in shards)
    assert (merged.ssr, merged.rsquared, merged.bse.tolist()) == (0.0, 1.0, [0.0, 0.0])
    assert_close(merged.params, [1, 2], rtol=1e-15)


def test_the_summary_says_what_was_put_together():
    fits = [sq.ols("y ~ x + g", s) for s in shards_of(5, 3)]
    n = [fit.nobs for fit in fits]
    merged = sq.merge(fits)
    message = " ".join(str(merged.summary()).split())
    assert f"Merged from 3 fits (rows {n[0]}, {n[1]}, {n[2]}); no row was read again." in message
    assert "need the residuals of all rows, which merged fits do not have. Fit all rows at once" in message
    assert "Durbin-Watson:" not in message
    assert f"1 removed (rows {n[1]})" in " ".join(str(merged.remove(fits[1]).summary()).split())
    assert np.isnan([merged.durbin_watson, merged.normality.omnibus, merged.normality.skew, merged.normality.jarque_bera]).all()
    assert "<table" in merged.summary()._repr_html_()
    for use in (lambda: merged.resid, lambda: merged.fittedvalues, lambda: merged.predict()):
        with pytest.raises(DataError, match="needs the rows of 3 merged fits"):
            use()


def test_accounts_add_and_come_off():
    one = {"x": [1.0, 5, 3, 4, 2, 9], "y": [True, False, True, True, False, True], "w": [1.0, None, 3, 1, 2, float("inf")]}
    two = {"x": [2**53 + 1, 5, 7, 8, 2], "y": [True, False, True, False, True], "w": [1.0, 2, 3, 3, 3]}
    fits = [sq.ols("I(1 * y) ~ x + w", s, where="x != 9") for s in (one, two)]
    merged = sq.merge(fits)
    assert (merged.rows.read, merged.rows.used, merged.rows.filtered) == (11, 9, 1)
    assert merged.rows.dropped == fits[0].rows.dropped == {"w": {"null": 1, "nan": 0, "inf": 0}}
    assert merged.rows.rounded == {"x": 1}
    assert merged.rows.casts == {"y": "bool"}
    assert merged.remove(fits[0]).rows == fits[1].rows
    with pytest.raises(DataError, match="there is nothing to fit"):
        merged.remove(*fits)
    message = merged.remove(fits[1]).dropped_columns[0]  # beside 2**53 nothing is left of 1 to 5
    assert message == "x cannot be distinguished from a constant: its values were much larger in the removed rows"


# What does not belong together.


def two(change, formula="y ~ x + g", other=None, **options):
    a, b = shards_of(11, 2)
    return sq.ols(formula, a, **options), sq.ols(other or formula, change(b), **options)


def same(data):
    return data


@pytest.mark.parametrize(
    ("formula", "other", "message"),
    [
        ("y ~ x + g", "y ~ x", r"first fit is of 'y ~ x \+ g' and fit 2 of 'y ~ x'. Only fits of one formula"),
        ("y ~ x", "log(z) ~ x", "Only fits of one formula"),
        ("y ~ x + C(g)", "y ~ x + C(g, Sum)", "Only fits of one formula"),
        ("y ~ x", "y ~ x - 1", "Only fits of one formula"),
        ("y ~ scale(x)", None, r"scale\(x\) has the mean .* Write numbers in its place, such as I\(x - 30\)"),
        ("y ~ center(x)", None, r"center\(x\) has the mean"),
        ("y ~ poly(x, 2)", None, r"orthogonal columns from the rows of the first fit.*Write poly\(x, 2, raw=True\)"),
        ("y ~ bs(x, df=4)", None, r"has knots, .*Write knots=\[\.\.\.\] and give every shard the same smallest and largest"),
        ("y ~ ns(x, knots=[0])", None, "has knots"),
    ],
)
def test_other_models_are_refused(formula, other, message):
    fits = two(same, formula, other)
    for act in (lambda: fits[0].merge(fits[1]), lambda: sq.merge(fits)):
        with pytest.raises(DataError, match=message):
            act()
    with pytest.raises(DataError, match=message.replace("fit 2", "the fit to remove")):
        fits[0].remove(fits[1])


def test_spaces_in_a_formula_do_not_matter():
    fits = two(same, "y ~ x + g", "y~x+g")
    assert sq.merge(fits).nobs == fits[0].nobs + fits[1].nobs


def test_other_rows_types_and_orders_are_refused():
    a, b = shards_of(11, 2)
    one = sq.ols("y ~ x", a, where="x > -1")
    with pytest.raises(DataError, match="no condition in fit 2"):
        one.merge(sq.ols("y ~ x", b))
    with pytest.raises(DataError, match=r"where='x > 0' in fit 2\. Fit them with the same where="):
        one.merge(sq.ols("y ~ x", b, where="x > 0"))
    numbers = {**b, "g": np.arange(len(b["g"])) % 3}
    with pytest.raises(DataError, match="holds categories in the first fit and numbers in fit 2"):
        sq.ols("y ~ g", a).merge(sq.ols("y ~ g", numbers))
    with pytest.raises(DataError, match="have different kinds, such as"):
        sq.ols("y ~ C(g)", a).merge(sq.ols("y ~ C(g)", numbers))
    with pytest.raises(InputError, match=r".a\.json. of type str is not a fit"):
        sq.merge(["a.json"])
    with pytest.raises(InputError, match="There is no fit to merge"):
        sq.merge([])


def declared(values, order):
    rng = np.random.default_rng(len(values))
    n = 8 * len(values)
    g = pd.Categorical(np.resize(values, n), categories=order)
    return pd.DataFrame({"g": g, "x": rng.normal(size=n), "y": rng.normal(size=n)})


def test_declared_orders_are_kept_where_they_are_compatible():
    order = ["low", "mid", "high", "top"]
    shards = [declared(v, order) for v in (["low", "high"], ["mid", "high", "top"], ["low", "mid"])]
    merged = sq.merge(sq.ols("y ~ x * g", s) for s in shards)
    whole = sq.ols("y ~ x * g", pd.concat(shards))
    assert merged.design.categories["g"].levels == ("low", "mid", "high", "top")
    assert_same(merged, whole)
    with pytest.raises(DataError, match=r"contradict each other: \['low', 'mid'\] and \['mid', 'low'\].*C\(g, levels"):
        sq.merge(sq.ols("y ~ g", declared(["low", "mid"], o)) for o in (["low", "mid"], ["mid", "low"]))
    with pytest.raises(DataError, match=r"do not determine a common one.*levels=\[\.\.\.\]"):
        sq.merge(sq.ols("y ~ g", declared(["mid", other], ["mid", other])) for other in ("high", "low"))
    written = "y ~ C(g, levels=['mid', 'low', 'high'])"
    fits = [sq.ols(written, declared(["mid", other], ["mid", other])) for other in ("high", "low")]
    assert sq.merge(fits).design.categories["C(g, levels=['mid', 'low', 'high'])"].levels == ("mid", "low", "high")


def test_numbers_as_levels():
    shards = [declared(v, None) for v in ([1, 2], [2, 3], [1.5, 2])]
    shards = [s.assign(g=s.g.astype(float if 1.5 in s.g.to_list() else int)) for s in shards]
    merged, whole = sq.merge(sq.ols("y ~ C(g)", s) for s in shards), sq.ols("y ~ C(g)", pd.concat(shards))
    assert_same(merged, whole)
    assert merged.predict({"g": [3]}).shape == (1,)


# What never was in.


def test_what_was_never_in_is_refused_where_it_is_visible():
    a, b, c = shards_of(13, 3)
    formula = "y ~ x + g + year"
    fits = [sq.ols(formula, s) for s in (a, b, c)]
    merged = sq.merge(fits[:2])
    for other, message in (
        (sq.merge(fits), r"never in: it has \d+ more rows"),
        (sq.ols(formula, {**c, "year": c["year"] + 50}), "never in: "),
        (sq.ols(formula, {**a, "y": 1000 * a["y"]}), "never in: the cross-products"),
        (sq.ols(formula, {**a, "g": np.where(a["g"] == "b", "zz", a["g"].astype(str))}), "never in: it has the level"),
    ):
        with pytest.raises(DataError, match=message):
            merged.remove(other)
    with pytest.raises(DataError, match="never in"):
        merged.remove(fits[0]).remove(fits[0])
    with pytest.raises(DataError, match=r"All \d+ rows are removed, so there is nothing to fit"):
        merged.remove(*fits[:2])


def test_too_few_rows_or_levels_are_left():
    rng = np.random.default_rng(0)
    small = {"g": ["b", "b", "b", "a", "b"], "x": rng.normal(size=5), "y": rng.normal(size=5)}
    large = {"g": ["a", "c"] * 20, "x": rng.normal(size=40), "y": rng.normal(size=40)}
    formula = "y ~ C(g, Treatment('a')) + x"
    merged = sq.merge(sq.ols(formula, s) for s in (small, large))
    whole = sq.ols(formula, {name: [*small[name], *large[name]] for name in small})
    assert_same(merged, whole)
    rows = [{name: values[5 * i : 5 * i + 5] for name, values in large.items()} for i in range(8)]
    fits = [sq.ols(formula, s) for s in rows]
    with pytest.raises(DataError, match="There are 2 complete rows for 3 coefficients in all"):
        merged.remove(*fits[:-1]).remove(sq.ols(formula, {n: [*small[n], *rows[-1][n][:3]] for n in small}))


def test_the_reference_goes_with_its_last_row():
    rng = np.random.default_rng(2)
    first, second = ({"g": g * 20, "x": rng.normal(size=40), "y": rng.normal(size=40)} for g in (["b", "c"], ["a", "c"]))
    rest = sq.ols("y ~ g * x", first).merge(sq.ols("y ~ g * x", second)).remove(sq.ols("y ~ g * x", second))
    assert rest.design.categories["g"].levels == ("b", "c")
    assert_same(rest, sq.ols("y ~ g * x", first))
    named = "y ~ C(g, Treatment('c')) + x"
    fits = [sq.ols(named, data) for data in (first, second)]
    assert fits[0].merge(fits[1]).design.categories["C(g, Treatment('c'))"].position == 2
    alone = {"g": ["b", "d"] * 20, "x": first["x"], "y": first["y"]}
    whole = sq.ols(named, {name: [*first[name], *alone[name]] for name in first})
    with pytest.raises(FormulaError, match="names 'c', not among the 2 levels"):
        whole.remove(fits[0])
    with pytest.raises(DataError, match="'c' in every row that remains, and one level cannot be compared"):
        sq.ols("y ~ g", {"g": ["a", "b"] * 9 + ["c"] * 9, "y": np.arange(27.0) % 5}).remove(
            sq.ols("y ~ g", {"g": ["a", "b"] * 9, "y": np.arange(18.0) % 5})
        )


# Fits on disk.


def saved(tmp_path, count=3):
    fits = [sq.ols("y ~ x * g + year", s) for s in shards_of(17, count)]
    for i, fit in enumerate(fits):
        fit.save(tmp_path / f"{i}.json")
    return fits


def test_ten_coefficients_are_ten_kilobytes(tmp_path):
    rng = np.random.default_rng(0)
    sizes = []
    for p in (9, 18, 36):
        data = {f"x{i}": rng.normal(size=200) for i in range(p)}
        data["y"] = rng.normal(size=200)
        formula = "y ~ " + " + ".join(f"x{i}" for i in range(p))
        data["x1"] = data["x0"] + 1e-7 * data["x1"]  # the triangle too
        sq.ols(formula, data).save(tmp_path / "fit.json")
        sizes.append((tmp_path / "fit.json").stat().st_size)
    assert sizes[0] < 10_000
    assert sizes[2] < 16 * sizes[0]


def test_files_cut_anywhere_are_refused(tmp_path):
    saved(tmp_path, 1)
    path, rng = tmp_path / "0.json", random.Random(0)  # noqa: S311  # where files are cut
    text = path.read_text()
    for _ in range(200):
        path.write_text(text[: rng.randrange(len(text))])
        with pytest.raises(DataError, match="It may be incomplete"):
            sq.load(path)


def changed(document, case, value):
    part = document
    for key in case[:-1]:
        part = part[key]
    part[case[-1]] = value(part[case[-1]]) if callable(value) else value
    return document


@pytest.mark.parametrize(
    ("case", "value"),
    [
        (["centres"], lambda c: [*c, *[0.0] * 10_000]),
        (["centres"], 10**9),
        (["gram"], lambda g: g[:-1]),
        (["gram", 0], lambda row: row * 2),
        (["gram", 0, 0], 1e9),
        (["gram", 1, 0], "nan"),
        (["gram", 1, 0], -1.0),
        (["gram", 1, 0], 10**400),
        (["factor", "R", 1, 0], "inf"),
        (["factor", "triangle"], [[1.0]]),
        (["factor", "triangle"], [[1.0]] * 1_000_000),
        (["factor", "road"], "scenic"),
        (["factor", "doubt"], -1.0),
        (["factor", "doubt"], "nan"),
        (["solution", "blur"], None),
        (["solution", "precision"], "very"),
        (["solution", "b"], [["nan"] * 9, [0.0] * 9]),
        (["residuals"], None),
        (["merged"], {"rows": [3], "taken_out": []}),
        (["rows", "used"], 2**63),
        (["rows", "used"], 10**4000),
        (["learnt", "codings", "g", "levels"], list(range(20_000))),
        (["learnt", "codings", "g", "levels"], lambda levels: [*levels, "more"]),
        (["arrays"], {"X": [f"x{i}" for i in range(6000)], "y": "y"}),
    ],
)
def test_hostile_files_are_refused(case, value, tmp_path):
    saved(tmp_path, 1)
    path = tmp_path / "0.json"
    path.write_text(json.dumps(changed(json.loads(path.read_text()), case, value)))
    with pytest.raises(DataError, match="damaged or was changed by hand"):
        sq.load(path)


@pytest.mark.parametrize(
    ("value", "refused"),
    [
        ({"rows": [], "taken_out": []}, True),
        ({"rows": [10] * 200_000, "taken_out": []}, True),
        ({"rows": [-5], "taken_out": []}, True),
        ({"rows": ["5"], "taken_out": []}, True),
        ({"rows": 7}, True),
        (None, True),
    ],
)
def test_hostile_mergers_are_refused(value, refused, tmp_path):
    sq.merge(saved(tmp_path, 2)).save(tmp_path / "all.json")
    document = json.loads((tmp_path / "all.json").read_text())
    (tmp_path / "all.json").write_text(json.dumps({**document, "merged": value}))
    with pytest.raises(DataError, match="damaged or was changed by hand"):
        sq.load(tmp_path / "all.json")
    assert refused


def test_deep_nesting_is_refused(tmp_path):
    path = tmp_path / "deep.json"
    path.write_text('{"squarely": 2, "formula": ' + "[" * 200_000 + "]" * 200_000 + "}")
    with pytest.raises(DataError, match="is not JSON"):
        sq.load(path)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_whole(call, tmp_path, monkeypatch):
    fits = saved(tmp_path, 2)
    before = (tmp_path / "0.json").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"os.{call}", full)
    with pytest.raises(DataError, match=r"was not written: No space left on device\. A file of this name is unchanged"):
        sq.merge(fits).save(tmp_path / "0.json")
    monkeypatch.undo()
    assert (tmp_path / "0.json").read_bytes() == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["0.json", "1.json"]


# The command line.


def test_merge_on_the_command_line(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from squarely.cli import app

    fits = saved(tmp_path)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["merge", "0.json", "1.json", "2.json", "-o", "all.json", "--json"])
    assert done.exit_code == 0
    assert json.loads(done.output)["params"] == sq.merge(fits).params.to_dict()
    assert sq.load("all.json").nobs == sum(fit.nobs for fit in fits)
    done = CliRunner().invoke(app, ["merge", "all.json", "--remove", "0.json", "--remove", "1.json"])
    assert done.exit_code == 0
    assert "2 removed" in done.output
    done = CliRunner().invoke(app, ["merge", "0.json", "--remove", "all.json"])
    assert "never in" in str(done.exception)


# The same rows twice.

SAME = "have the same cross-products of 60 rows, so they seem to be fits of the same rows. Leave one of them out."


def rows_of(seed, n=60):
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(size=n), 2)
    return pd.DataFrame({"x": x, "g": np.resize(["a", "b", "c"], n), "y": np.round(2 * x + rng.normal(size=n), 2)})


def test_a_fit_is_not_merged_with_itself(tmp_path):
    one, other = (sq.ols("y ~ x * g + I(x**2)", rows_of(seed)) for seed in (1, 2))
    one.save(tmp_path / "one.json")
    loaded = [sq.load(tmp_path / "one.json") for _ in range(2)]
    with pytest.raises(DataError, match=f"Fit 1 and fit 2 {SAME}"):
        one.merge(one)
    with pytest.raises(DataError, match=rf"Fit 1 and fit 3 \('.*one.json'\) {SAME}"):
        sq.merge([one, other, loaded[0]])
    with pytest.raises(DataError, match=rf"Fit 2 \('.*one.json'\) and fit 3 \('.*one.json'\) {SAME}"):
        sq.merge([other, *loaded])
    with pytest.raises(DataError, match=r"Fit 1 and fit 2 have the same cross-products of 120 rows"):
        one.merge(other).merge(other.merge(one))


def test_the_same_rows_in_another_order_or_file_are_the_same_rows(tmp_path):
    data, formula = rows_of(3), "y ~ x + g + I(x**2)"
    data.to_csv(tmp_path / "a.csv", index=False)
    data.sample(frac=1, random_state=5).to_parquet(tmp_path / "b.parquet", row_group_size=7)
    fits = [sq.ols(formula, path) for path in (tmp_path / "a.csv", tmp_path / "b.parquet")]
    for other in (fits[1], sq.ols(formula, data[::-1])):
        with pytest.raises(DataError, match=f"Fit 1 and fit 2 {SAME}"):
            fits[0].merge(other)


def test_a_shard_that_a_merged_fit_has_already_is_not_merged_again(tmp_path):
    a, b, c = (sq.ols("y ~ x + g", rows_of(seed)) for seed in (1, 2, 3))
    both = a.merge(b)
    both.save(tmp_path / "both.json")
    loaded = sq.load(tmp_path / "both.json")
    again = sq.ols("y ~ x + g", rows_of(1)[::-1])
    for fits in ([both, a], [again, loaded], [loaded, a.merge(c)], [c, loaded, b]):
        with pytest.raises(
            DataError,
            match="both have a shard of 60 rows with the same mean and sums of squares, so these seem to be the same rows",
        ):
            sq.merge(fits)
    assert sq.merge([both, a], duplicates="keep").nobs == 180
    assert both.merge(c).nobs == 180
    assert_same(both.remove(a).merge(a), both)  # it is out, and comes back


def test_equal_shards_are_kept_on_request():
    """Expected: every row twice."""
    data = rows_of(4)
    fit = sq.ols("y ~ x + g", data)
    both = fit.merge(fit, duplicates="keep")
    assert_same(both, sq.ols("y ~ x + g", pd.concat([data, data])))
    assert_same(sq.merge([fit, fit], duplicates="keep").remove(fit), fit)
    with pytest.raises(InputError, match=r"duplicates='drop' is not understood. Use 'raise' or 'keep'"):
        fit.merge(fit, duplicates="drop")


def test_shards_that_are_nearly_alike_are_two():
    data = rows_of(6)
    fit = sq.ols("y ~ x", data)
    changed = data.copy()
    changed.loc[17, "x"] += 0.01
    for other in (changed, data.assign(x=-data["x"]), data.assign(y=-data["y"]), data.assign(x=data["x"] + 1e-6)):
        assert fit.merge(sq.ols("y ~ x", other)).nobs == 120
    perfect = sq.ols("y ~ x", {"x": [1.0, 2.0, 3.0], "y": [2.0, 4.0, 6.0]})
    assert perfect.merge(sq.ols("y ~ x", {"x": [2.0, 3.0, 4.0], "y": [2.0, 4.0, 6.0]})).nobs == 6


def test_the_command_line_names_the_files(tmp_path):
    from typer.testing import CliRunner

    from squarely.cli import app

    path = str(tmp_path / "a.json")
    sq.ols("y ~ x", rows_of(1)).save(path)
    done = CliRunner().invoke(app, ["merge", path, path])
    assert str(done.exception).count(path) == 2
    done = CliRunner().invoke(app, ["merge", path, path, "--duplicates", "keep", "--json"])
    assert json.loads(done.output)["nobs"] == 120


def test_a_dot_means_the_same_after_loading(tmp_path):
    """The index of pandas in a file is not in the formula that is read again."""
    data = rows_of(1)[["y", "x"]]
    data[data["x"] > 0].to_parquet(tmp_path / "a.parquet")
    fit = sq.ols("y ~ .", tmp_path / "a.parquet")
    fit.save(tmp_path / "a.json")
    loaded = sq.load(tmp_path / "a.json")
    assert_same(loaded, fit)
    merged = loaded.merge(sq.ols("y ~ .", data[data["x"] <= 0]))
    merged.save(tmp_path / "b.json")
    assert_same(sq.load(tmp_path / "b.json"), sq.ols("y ~ .", data))


def test_a_shard_that_is_in_twice_and_removed_once_is_still_in():
    rows = sq.datasets.cars()
    a, b = (sq.ols("mpg ~ weight", part) for part in (rows[:200], rows[200:]))
    both = a.merge(b)
    rest = both.merge(both, duplicates="keep").remove(a)
    assert len(rest.solution.merge_record.shards) == 3
    with pytest.raises(DataError, match="both have a shard of 200 rows"):
        rest.merge(a)
