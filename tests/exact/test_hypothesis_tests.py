"""Tests of hypotheses and analysis of variance: the grammar, the rank of constraints, equations between tests, and refusals."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import squarely as sq
from squarely.errors import DataError, FormulaError, InputError, OptionError
from tests.support.checks import assert_close
from tests.support.inference_oracles import table

RNG = np.random.default_rng(5)
N = 120
ROWS = pd.DataFrame(
    {
        "x": RNG.normal(size=N),
        "z": RNG.normal(size=N),
        "a": RNG.choice(["p", "q", "r"], N),
        "b": RNG.choice(["u", "v"], N),
        "model year": RNG.integers(70, 80, N).astype(float),
        "firm": np.arange(N) % 17,
    }
)
ROWS["y"] = 1 + ROWS["x"] - ROWS["z"] + (ROWS["a"] == "q") + RNG.normal(size=N) + RNG.normal(size=17)[ROWS["firm"]]
FORMULA = "y ~ x + z + a * b + `model year` + I(x ** 2)"
NAMES = ["Intercept", "a[T.q]", "a[T.r]", "b[T.v]", "a[T.q]:b[T.v]", "a[T.r]:b[T.v]", "x", "z", "model year", "I(x ** 2)"]


@pytest.fixture(scope="module")
def fit():
    made = sq.ols(FORMULA, ROWS)
    assert list(made.params.index) == NAMES
    return made


def combination(fit, weights):
    return sum(weight * fit.params[name] for name, weight in weights.items())


@pytest.mark.parametrize(
    ("text", "weights", "value"),
    [
        ("x", {"x": 1}, 0),
        ("x = 3", {"x": 1}, 3),
        ("3 = x", {"x": -1}, -3),
        ("x - z = 1.5e0", {"x": 1, "z": -1}, 1.5),
        ("-x + 2 * (z - 1) = x / 4", {"x": -1.25, "z": 2}, 2),
        ("I(x**2) = `model year`", {"I(x ** 2)": 1, "model year": -1}, 0),
        ("model year", {"model year": 1}, 0),
        ("a[T.q]:b[T.v] = a[q] : b[v] / 2", {"a[T.q]:b[T.v]": 0.5}, 0),
        ("b[v]:a[r]", {"a[T.r]:b[T.v]": 1}, 0),
        ("a[r] - a[p] = 1", {"a[T.r]": 1}, 1),
        ("a['q'] - a[q] + a[T.r]", {"a[T.r]": 1}, 0),
        ("+x - -z = .5 - 1/3", {"x": 1, "z": 1}, 0.5 - 1 / 3),
    ],
)
def test_what_a_text_means(fit, text, weights, value):
    test = fit.t_test(text)
    assert_close(test.effect, [combination(fit, weights)], rtol=1e-13, atol=1e-15)
    if value:
        assert_close(test.tvalue * test.sd, [combination(fit, weights) - value], rtol=1e-11)
    names = list(weights)
    covariance = fit.cov_params().loc[names, names].to_numpy()
    w = np.array(list(weights.values()))
    assert_close(test.sd, [np.sqrt(w @ covariance @ w)], rtol=1e-10)


def test_other_forms_of_a_hypothesis(fit):
    one = fit.f_test("x = 1, z = 2")
    L = np.zeros((2, len(NAMES)))
    L[0, NAMES.index("x")] = L[1, NAMES.index("z")] = 1
    for same in ({"x": 1, "z": 2}, (L, [1, 2]), (pd.DataFrame(L), np.array([1.0, 2.0])), ["x = 1", "z = 2"], "z = 2, x - 1 = 0"):
        assert_close(fit.f_test(same).fvalue, one.fvalue, rtol=1e-12)
    assert_close(fit.f_test(L[0]).fvalue, fit.tvalues["x"] ** 2, rtol=1e-12)
    assert fit.t_test("x = z = 1").constraints == ("x = z", "z = 1")


def test_levels_of_sums_to_zero():
    fit = sq.ols("y ~ C(a, Sum) + b - 1", ROWS)
    mean, p, q = fit.params[["C(a, Sum)[mean]", "C(a, Sum)[S.p]", "C(a, Sum)[S.q]"]]
    assert_close(fit.t_test("a[r], a[q], C(a,Sum)[S.q]").effect, [mean - p - q, mean + q, q], rtol=1e-13)
    assert_close(sq.ols("y ~ C(a, Sum) + b", ROWS).t_test("a[r]").effect, [-p - q], rtol=1e-12)


@pytest.mark.parametrize(
    ("text", "says", "under"),
    [
        ("xx = 0", "no coefficient 'xx'. Did you mean 'x'?", "xx"),
        ("x = 0, a = 0", "a is a category, and its levels have coefficients. Write one, such as a[q]", "a "),
        ("a[s]", "a has no level 's'.", "a[s]"),
        ("x[1]", "x is a column of numbers in this fit, so it has no levels. Write C(x)", "x[1]"),
        ("x * z", "a product of coefficients, and a hypothesis is linear", "x * z"),
        ("z = 1 / x", "a ratio, and a hypothesis is linear", "1 / x"),
        ("x ** 2 = 1", "The sign '**' is not understood in a hypothesis.", "**"),
        ("x == 1", "An equality is written with one =.", "=="),
        ("x < 1", "Tests here are two-sided", "<"),
        ("x; z", "separated by commas", ";"),
        ("x + (z", "opened and not closed", "(z"),
        ("x z", "There is no sign before this.", "z"),
        ("x = 0,", "Something is missing at the end.", ","),
        ("1 = 2", "This names no coefficient.", "1 = 2"),
        ("x / 0", "divides by zero", "0"),
        ("x = 1e999", "beyond the range of doubles", "x = "),
    ],
)
def test_an_error_points_at_its_place(fit, text, says, under):
    with pytest.raises(FormulaError) as caught:
        fit.f_test(text)
    first, shown, carets = str(caught.value).split("\n")
    assert says in first
    assert shown[4:] == text
    place = carets.index("^") - 4
    assert text[place:].startswith(under) or text[place:].startswith(under.strip())


def test_a_name_with_a_sign_is_the_longest_that_fits():
    rows = ROWS.assign(**{"x-z": ROWS["x"] * 2 + RNG.normal(size=N)})
    fit = sq.ols("y ~ x + z + `x-z`", rows)
    assert fit.t_test("x-z").effect == fit.params["x-z"]
    assert_close(fit.t_test("x - z").effect, [fit.params["x"] - fit.params["z"]], rtol=1e-14)
    assert fit.t_test("`x-z` = x-z").effect == 0


@pytest.mark.parametrize("hypothesis", ["", "  ", []])
def test_an_empty_hypothesis(fit, hypothesis):
    with pytest.raises(FormulaError, match="The hypothesis is empty"):
        fit.t_test(hypothesis)


@pytest.mark.parametrize(
    ("hypothesis", "says"),
    [
        (None, "is not understood"),
        (3, "is not understood"),
        ({}, "is empty"),
        ({"x": "one"}, "not a mapping of names to numbers"),
        ({"x = 1": 1}, "is not the name of one coefficient"),
        (np.ones((2, 3)), "has 3 columns, and the fit has 10 coefficients"),
        ((np.ones((1, 10)), [1, 2]), "1 constraint and 2 values"),
        (np.full(10, np.nan), "not finite"),
        ({"x": float("inf")}, "not finite"),
    ],
)
def test_other_hypotheses_are_refused(fit, hypothesis, says):
    with pytest.raises(OptionError, match=says):
        fit.f_test(hypothesis)


@pytest.mark.parametrize("scale", [1e-7, 1.0, 1e9])
@pytest.mark.parametrize("kind", ["nonrobust", "HC3"])
def test_redundant_constraints_count_once(scale, kind):
    fit = sq.ols("y ~ x + z", ROWS.assign(x=ROWS["x"] * scale)).vcov(kind)
    two = fit.f_test("x = 0, z = 1")
    three = fit.f_test(f"x = 0, z = 1, {scale!r} * x - z / 3 = -1 / 3")
    assert (three.rank, three.df_num) == (2, 2)
    assert "3 constraints have rank 2" in three.notes[0]
    assert_close(three.fvalue, two.fvalue, rtol=1e-12)


def test_contradictions(fit):
    with pytest.raises(DataError, match=r"The constraint 'x = 2' contradicts 'x = 1'. Leave one of them out."):
        fit.f_test("x = 1, x = 2")
    with pytest.raises(DataError, match=r"'x \+ z = 4' contradicts 'x = 1' and 'z = 2'"):
        fit.f_test("x = 1, I(x ** 2), z = 2, x + z = 4")
    with pytest.raises(DataError, match="holds for any coefficients, so it tests nothing"):
        fit.f_test("a[p] = 0")
    with pytest.raises(DataError, match=r"'a\[p\] = 1' contradicts what the fit estimates"):
        fit.f_test("a[p] = 1")


def test_near_collinear_columns_are_not_redundant_constraints():
    rows = ROWS.assign(w=ROWS["x"] + 1e-9 * ROWS["z"])
    test = sq.ols("y ~ x + w", rows).f_test("x = 0, w = 0")
    assert test.rank == 2
    assert_close(test.fvalue, sq.ols("y ~ x + z", ROWS).f_test("x = 0, z = 0").fvalue, rtol=1e-5)


def test_a_dropped_column_is_refused():
    fit = sq.ols("y ~ x + w", ROWS.assign(w=2 * ROWS["x"]))
    with pytest.raises(DataError, match=r"uses 'w', which the fit has dropped: w = 2 x. Leave it out"):
        fit.t_test("x + w = 0")
    assert list(fit.wald_test_terms().index) == ["Intercept", "x"]


@pytest.mark.parametrize("options", [{}, {"vcov": "HC3"}, {"cluster": "firm"}, {"vcov": "CR2", "cluster": "firm"}])
def test_the_f_of_one_constraint_is_t_squared(options):
    fit = sq.ols("y ~ x + z + a", ROWS, **options)
    for text in ("x = 1", "x - z = 1", "a[q] = a[r]"):
        t, f = fit.t_test(text), fit.f_test(text)
        assert_close(f.fvalue, t.tvalue[0] ** 2, rtol=1e-9)
        assert_close(f.pvalue, t.pvalue[0], rtol=1e-8)
    assert_close(fit.t_test("x").pvalue, [fit.pvalues["x"]], rtol=1e-10)
    assert_close(fit.t_test("x").conf_int(0.1)[0], fit.conf_int(0.1).loc["x"], rtol=1e-10)


def test_degrees_of_freedom_by_cr2_follow_a_change_of_columns():
    one = sq.ols("y ~ x + z + a", ROWS, vcov="CR2", cluster="firm")
    other = sq.ols("y ~ x + I(z - x) + a", ROWS, vcov="CR2", cluster="firm")  # its x is x + z of the first
    test = one.t_test("x + z, z")
    assert_close(test.df_denom, [other.df_t["x"], one.df_t["z"]], rtol=1e-9)
    assert_close(test.sd[0], other.bse["x"], rtol=1e-9)
    joint = one.f_test("x = z = 0")
    assert 0 < joint.df_denom < one.df_resid_inference
    assert_close(other.f_test("x = 0, I(z - x) = 0").df_denom, joint.df_denom, rtol=1e-9)
    assert_close(one.vcov("CR2", cluster="firm", df=9).f_test("x = z = 0").df_denom, 9, rtol=0)


@pytest.mark.parametrize("options", [{"vcov": "HC3"}, {"vcov": "CR2", "cluster": "firm"}], ids=str)
def test_type_2_inside_an_interaction_tests_a_combination_of_coefficients(options):
    """It is that of car's Anova: b1 - S12 / S22 b2, with the degrees of freedom of this combination under CR2."""
    fit = sq.ols("y ~ x * z", ROWS, **options)
    table, S = sq.anova(fit, typ=2), fit.cov_params()
    for name in ("x", "z"):
        row = {"x": 0.0, "z": 0.0, name: 1.0, "x:z": -S.loc[name, "x:z"] / S.loc["x:z", "x:z"]}
        test = fit.t_test([[0.0, row["x"], row["z"], row["x:z"]]])
        assert_close([table.loc[name, "F"], table.loc[name, "PR(>F)"]], [test.tvalue[0] ** 2, test.pvalue[0]], rtol=1e-8)
    both = sq.anova(sq.ols("y ~ a * b", ROWS, **options), typ=2)
    assert np.isfinite(both["F"].iloc[:-1]).all()


def test_a_saved_fit_by_cr2_with_few_clusters_has_its_tests(tmp_path, monkeypatch):
    fit = sq.ols("y ~ x * a + z", ROWS, vcov="CR2", cluster="firm")
    fit.save(tmp_path / "fit.json")
    loaded = sq.load(tmp_path / "fit.json")
    for act in (
        lambda each: each.f_test("x = z = 0").pvalue,
        lambda each: each.t_test("x + z").df_denom,
        lambda each: sq.anova(each, typ=2)["PR(>F)"],
        lambda each: sq.anova(each, typ=3)["PR(>F)"],
    ):
        assert_close(act(loaded), act(fit), rtol=1e-12)
    monkeypatch.setattr("squarely.inference.covariance.clustered.one_way.MOST_PRODUCTS", 10)
    many = sq.ols("y ~ x * a + z", ROWS, vcov="CR2", cluster="firm")
    assert_close(many.f_test("x = z = 0").pvalue, fit.f_test("x = z = 0").pvalue, rtol=1e-9)
    many.save(tmp_path / "fit.json")
    with pytest.raises(DataError, match="rows"):
        sq.load(tmp_path / "fit.json").f_test("x = z = 0")


def test_more_constraints_than_clusters():
    rows = ROWS.assign(few=np.arange(N) % 3)
    fit = sq.ols("y ~ x + z + a", rows, cluster="few")
    assert fit.f_test("x = z = 0").fvalue > 0
    with pytest.raises(
        DataError, match=r"has 3 constraints, and the CR1 covariance from 3 clusters has rank 2.* at most 2 at once"
    ):
        fit.f_test("x = z = a[q] = 0")
    assert np.isnan(sq.anova(sq.ols("y ~ x + C(firm)", rows, cluster="few"), typ=3).loc["C(firm)", "F"])


def test_an_undefined_standard_error_gives_no_test():
    rows = ROWS.assign(one=(np.arange(N) == 4).astype(float))
    fit = sq.ols("y ~ x + one", rows, vcov="HC3")
    test = fit.f_test("x = 0, one = 0")
    assert np.isnan(test.fvalue)
    assert "do not show the standard error" in test.notes[0]
    assert np.isnan(fit.t_test("one, x").pvalue[0])
    assert fit.f_test("x = 0").fvalue > 0


def test_normal_and_chi_squared(fit):
    z = fit.vcov(use_t=False)
    assert_close(z.bse, fit.bse, rtol=1e-13)
    assert_close(z.pvalues, 2 * stats.norm.sf(np.abs(fit.tvalues)), rtol=1e-10)
    assert_close([z.fvalue, z.f_pvalue], [fit.fvalue, stats.chi2.sf(9 * fit.fvalue, 9)], rtol=1e-10)
    assert_close(fit.vcov(df=5).pvalues, 2 * stats.t.sf(np.abs(fit.tvalues), 5), rtol=1e-10)
    assert "t and F have 5 degrees of freedom" in fit.vcov(df=5).notes[0]
    assert_close(sq.anova(fit.vcov(df=5), typ=1)["PR(>F)"].iloc[0], stats.f.sf(sq.anova(fit)["F"].iloc[0], 1, 5), rtol=1e-10)
    test = z.t_test("x = 1")
    assert test.distribution == "norm"
    assert "z" in test.summary_frame().columns
    assert_close(z.f_test("x = z = 0").pvalue, z.wald_test("x = z = 0", use_f=False).pvalue, rtol=1e-12)
    with pytest.raises(OptionError, match="use_f=1 is not a boolean"):
        fit.wald_test("x", use_f=1)


def test_pairs(fit):
    frame = fit.t_test_pairwise("a", method="none")
    assert list(frame.index) == ["q-p", "r-p", "r-q"]
    assert_close(frame.loc["r-q", "coef"], fit.params["a[T.r]"] - fit.params["a[T.q]"], rtol=1e-13)
    with pytest.raises(DataError, match="'x' is not a category that is a term of the fit"):
        fit.t_test_pairwise("x")
    with pytest.raises(OptionError, match=r"method='tukay' is not known. Did you mean 'tukey'?"):
        fit.t_test_pairwise("a", method="tukay")
    with pytest.raises(OptionError, match="alpha=95 is not between 0 and 1"):
        fit.t_test_pairwise("a", alpha=95)


def test_pairs_do_not_depend_on_the_coding():
    expected = sq.ols("y ~ x + a", ROWS).t_test_pairwise("a", method="tukey")
    for coded in ("C(a, Sum)", "C(a, Treatment('r'))"):
        assert_close(sq.ols(f"y ~ x + {coded}", ROWS).t_test_pairwise("a", method="tukey"), expected, rtol=1e-9)
    assert_close(sq.ols("y ~ x + a - 1", ROWS).t_test_pairwise("a", method="tukey"), expected, rtol=1e-9)


def test_the_squares_of_type_1_add_up(fit):
    frame = sq.anova(fit)
    assert_close(frame["sum_sq"].sum(), fit.centered_tss, rtol=1e-12)
    assert frame["df"].sum() == N - 1
    assert list(frame.index) == ["x", "z", "a", "b", "model year", "I(x ** 2)", "a:b", "Residual"]


def test_types_1_and_2_are_tests_of_nested_fits():
    fit = sq.ols("y ~ x + a * b", ROWS)
    without = {"x": "y ~ a * b", "a": "y ~ x + b", "b": "y ~ x + a", "a:b": "y ~ x + a + b"}
    main = sq.ols("y ~ x + a + b", ROWS)
    second = sq.anova(fit, typ=2)
    for term, formula in without.items():
        larger = fit if term in ("x", "a:b") else main
        assert_close(second.loc[term, "sum_sq"], sq.ols(formula, ROWS).ssr - larger.ssr, rtol=1e-9)
    first = sq.anova(fit)
    steps = ["y ~ 1", "y ~ x", "y ~ x + a", "y ~ x + a + b", "y ~ x + a * b"]
    nested = sq.anova(*[sq.ols(step, ROWS) for step in steps])
    assert_close(first["sum_sq"].iloc[:4], nested["ss_diff"].iloc[1:], rtol=1e-9)
    assert_close(first["PR(>F)"].iloc[:4], nested["Pr(>F)"].iloc[1:], rtol=1e-9)


@pytest.mark.parametrize("kind", ["nonrobust", "HC3"])
def test_type_3_does_not_depend_on_the_coding(kind):
    expected = None
    for a in ("a", "C(a, Sum)", "C(a, Treatment('r'))"):
        for b in ("b", "C(b, Sum)"):
            frame = sq.anova(sq.ols(f"y ~ x * {a} * {b}", ROWS).vcov(kind), typ=3)
            expected = frame if expected is None else expected
            assert_close(frame, expected, rtol=1e-8)


@pytest.mark.parametrize("kind", ["nonrobust", "HC2"])
def test_types_2_and_3_agree_without_interactions(kind):
    fit = sq.ols("y ~ x + a + b + poly(z, 2)", ROWS).vcov(kind)
    assert_close(sq.anova(fit, typ="II"), sq.anova(fit, typ="III").iloc[1:], rtol=1e-9)
    assert_close(
        sq.anova(fit, typ=2)["F"].iloc[:-1], fit.wald_test_terms()["statistic"].loc[["x", "a", "b", "poly(z, 2)"]], rtol=1e-9
    )


def test_the_order_is_said_where_it_matters():
    balanced = pd.DataFrame({"a": list("ppqq") * 6, "b": list("uv") * 12, "y": RNG.normal(size=24)})
    assert not sq.anova(sq.ols("y ~ a * b", balanced)).summary().notes
    page = sq.anova(sq.ols("y ~ a * b", ROWS)).summary()
    assert page.title == "Analysis of Variance, Type 1"
    assert page.notes[0].startswith("The order of the terms matters here: type 2 gives other sums of squares.")
    assert sq.anova(sq.ols("y ~ a * b", ROWS), typ=2).summary().title.endswith("Type 2")


def test_an_empty_cell():
    for level in ("u", "v"):  # of the reference level, and of the other
        rows = ROWS[(ROWS["a"] != "q") | (ROWS["b"] != level)]
        fit = sq.ols("y ~ a * b", rows)
        with pytest.raises(DataError, match=f"no row has a = 'q' and b = '{level}'. Use typ=2"):
            sq.anova(fit, typ=3)
        assert sq.anova(fit, typ=2).loc["a:b", "df"] == 1
    numeric = sq.ols("y ~ a * b + x + w", ROWS.assign(w=3 * ROWS["x"]))  # is dropped, and no category depends on it
    assert_close(sq.anova(numeric, typ=3), sq.anova(sq.ols("y ~ a * b + x", ROWS), typ=3), rtol=1e-9)
    with pytest.raises(DataError, match="typ=3 needs every coefficient of the categories"):
        sq.anova(sq.ols("y ~ a + C(same)", ROWS.assign(same=ROWS["a"])), typ=3)


def test_types_are_checked(fit):
    for typ in (4, 0, "two", None, True, [1]):
        with pytest.raises(OptionError, match=r"is not a type of analysis of variance. Use typ=1, typ=2 or typ=3."):
            sq.anova(fit, typ=typ)
    with pytest.raises(OptionError, match="typ=1 divides sums of squares, which the HC3 covariance does not have"):
        sq.anova(fit.vcov("HC3"))
    with pytest.raises(OptionError, match="typ=2 is for one fit"):
        sq.anova(fit, fit, typ=2)
    for wrong in ((), ("y ~ x",), (fit, None)):
        with pytest.raises(InputError, match="anova needs fits"):
            sq.anova(*wrong)


def test_fits_of_different_rows_or_responses(fit):
    small = sq.ols("y ~ x + z", ROWS)
    with pytest.raises(DataError, match="different rows, 119 and 120"):
        sq.anova(sq.ols("y ~ x", ROWS.iloc[1:]), small)
    with pytest.raises(DataError, match="both have 120, but 'y' has the mean"):
        small.compare_f_test(sq.ols("y ~ x", ROWS.assign(y=ROWS["y"] + (np.arange(N) == 3))))
    with pytest.raises(DataError, match="different responses, 'z' and 'y'"):
        fit.compare_f_test(sq.ols("z ~ x", ROWS))
    with pytest.raises(DataError, match=r"is the larger one. Exchange the two fits."):
        small.compare_f_test(fit)
    with pytest.raises(DataError, match="have 3 columns each"):
        small.compare_f_test(sq.ols("y ~ x + b", ROWS))
    with pytest.raises(DataError, match="different weights"):
        fit.compare_f_test(sq.ols("y ~ x", ROWS, weights="`model year`"))
    with pytest.raises(OptionError, match="The likelihood ratio assumes errors of one variance"):
        fit.compare_lr_test(small.vcov("HC1"))
    with pytest.raises(InputError, match="is not a fit"):
        fit.compare_lr_test("y ~ x")
    with pytest.raises(OptionError, match="different covariances, HC3 and nonrobust"):
        sq.anova(small, fit.vcov("HC3"))


def test_a_comparison_under_a_robust_covariance_is_its_wald_test(fit):
    robust, small = fit.vcov("HC3"), sq.ols("y ~ a * b + x + z", ROWS)
    f, p, df = robust.compare_f_test(small)
    test = robust.f_test("`model year` = 0, I(x ** 2) = 0")
    assert (f, p, df) == pytest.approx((test.fvalue, test.pvalue, 2), rel=1e-12)
    frame = sq.anova(small.vcov("HC3"), robust)
    assert list(frame.columns) == ["df_resid", "df_diff", "F", "Pr(>F)"]
    assert_close(frame.iloc[1], [N - 10, 2, f, p], rtol=1e-12)
    with pytest.raises(DataError, match=r"some columns of .* are not among those"):
        robust.compare_f_test(sq.ols("y ~ C(a, Sum)", ROWS))


def test_results_show_themselves_as_pages(fit):
    for result, word in (
        (fit.t_test("x = 1, z"), "Test for Constraints"),
        (fit.f_test("x = 1"), "Wald Test"),
        (sq.anova(fit), "Type 1"),
    ):
        assert word in str(result.summary())
        assert word in result._repr_html_()
        assert isinstance(result.as_dict(), dict)
    frame = sq.anova(fit, typ=2)
    assert type(frame[["F"]]) is pd.DataFrame
    assert type(frame.loc["x"]) is pd.Series
    assert repr(frame) == str(frame.summary())
    again = pickle.loads(pickle.dumps(frame))  # noqa: S301
    pd.testing.assert_frame_equal(pd.DataFrame(again), pd.DataFrame(frame))
    assert repr(again) == repr(frame)
    assert fit.t_test("x, x").summary().blocks[0].rows[1][0] == "x = 0 [1]"


def test_loaded_and_merged_fits_test_too(fit, tmp_path):
    fit.save(tmp_path / "fit.json")
    loaded = sq.load(tmp_path / "fit.json")
    merged = sq.merge([sq.ols(FORMULA, ROWS.iloc[:70]), sq.ols(FORMULA, ROWS.iloc[70:])])
    for other in (loaded, merged):
        assert_close(other.f_test("x = a[q] = 0").fvalue, fit.f_test("x = a[q] = 0").fvalue, rtol=1e-9)
        assert_close(sq.anova(other, typ=3), sq.anova(fit, typ=3), rtol=1e-8)
        assert_close(other.compare_lr_test(sq.ols("y ~ x", ROWS)), fit.compare_lr_test(sq.ols("y ~ x", ROWS)), rtol=1e-8)


@pytest.mark.parametrize(
    "formula", ["y ~ a:b", "y ~ x:a + b", "y ~ 0 + a * b + x", "y ~ bs(x, df=4) * a", "y ~ a / b", "y ~ 1", "y ~ x - 1"]
)
def test_any_formula_has_a_table(formula):
    fit = sq.ols(formula, ROWS)
    for typ in (1, 2, 3):
        frame = sq.anova(fit, typ=typ)
        intercept = 1 if typ == 3 and "- 1" not in formula and "0 +" not in formula else 0
        terms = frame.iloc[intercept:-1]
        assert terms["df"].sum() == fit.rank - fit.design.intercept
        assert (terms["F"] > 0).all()
    assert fit.wald_test_terms()["df_constraint"].sum() == fit.rank


def test_a_perfect_fit_warns_of_nothing():
    fit = sq.ols("y ~ x + a", ROWS.assign(y=2 * ROWS["x"]))
    assert fit.f_test("x = 2").rank == 1
    sq.anova(fit)
    fit.t_test("x = 2, a[q]").summary()
    fit.compare_lr_test(sq.ols("y ~ x", ROWS.assign(y=2 * ROWS["x"])))


def test_weights():
    rows = table("prestige").dropna(subset=["type"])
    fit = sq.ols("prestige ~ education + type", rows, weights="census")
    small = sq.ols("prestige ~ education", rows, weights="census")
    f, p, df = fit.compare_f_test(small)
    assert_close(f, (small.ssr - fit.ssr) / 2 / fit.mse_resid, rtol=1e-10)
    assert_close([f, p], sq.anova(fit, typ=2).loc["type", ["F", "PR(>F)"]], rtol=1e-10)
    assert_close(fit.compare_lr_test(small)[0], 2 * (fit.llf - small.llf), rtol=1e-9)
    assert df == 2
