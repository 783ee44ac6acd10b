"""Effects: what is refused, what needs rows, weights, offsets, what the rows do not determine, degrees of freedom, the figure."""

from unittest import mock

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import squarely as sq
from squarely.errors import DataError, OptionError
from squarely.inference.post_estimation.effects import averages
from tests.support.checks import assert_close

RNG = np.random.default_rng(17)
N = 90
ROWS = pd.DataFrame(
    {
        "x": RNG.uniform(1, 5, N),
        "z": RNG.normal(size=N),
        "a": RNG.choice(["p", "q", "r"], N),
        "flag": RNG.random(N) < 0.5,
        "dose": RNG.integers(1, 4, N),
        "firm": np.arange(N) % 11,
        "area": RNG.choice(["n", "s"], N),
        "w": RNG.uniform(0.2, 3, N),
        "k": RNG.integers(1, 4, N),
    }
)
ROWS["y"] = np.log(ROWS["x"]) + ROWS["z"] * (ROWS["a"] == "q") + RNG.normal(size=N)
FORMULA = "y ~ log(x) * a + z * flag + C(dose)"


@pytest.fixture(scope="module")
def fit():
    return sq.ols(FORMULA, ROWS)


def test_a_frame_has_statistics_that_follow_from_each_other(fit):
    frame = fit.effects(["x", "a"], at={"z": [0, 1]}, by="area")
    assert list(frame.columns) == ["variable", "contrast", "z", "area", "estimate", "se", "t", "pvalue", "low", "high"]
    assert frame[["variable", "contrast", "z", "area"]].to_numpy().tolist() == [
        [variable, contrast, z, area]
        for variable, contrast in (("x", "dy/dx"), ("a", "q - p"), ("a", "r - p"))
        for z in (0, 1)
        for area in ("n", "s")
    ]
    t = stats.t(fit.df_resid)
    assert_close(frame["t"], frame["estimate"] / frame["se"], rtol=1e-14)
    assert_close(frame["pvalue"], 2 * t.sf(np.abs(frame["t"])), rtol=1e-10)
    assert_close(frame["high"] - frame["estimate"], t.ppf(0.975) * frame["se"], rtol=1e-10)
    narrow = fit.effects(["x", "a"], at={"z": [0, 1]}, by="area", alpha=0.3)
    assert_close(narrow["estimate"] - narrow["low"], t.ppf(0.85) * frame["se"], rtol=1e-10)
    assert not np.isnan(narrow["estimate"]).any()


def test_a_category_is_named_by_its_column_or_by_its_factor(fit):
    assert fit.effects("C(dose)").equals(fit.effects("dose"))
    assert fit.effects("dose").contrast.tolist() == ["2 - 1", "3 - 1"]
    assert fit.margins(at={"C(dose)": "2"}).equals(fit.margins(at={"dose": [2]}))
    assert fit.margins(at={"flag": [True, False]}).flag.tolist() == [True, False]
    other = sq.ols("y ~ C(a, Treatment(reference='r')) + C(dose, Sum)", ROWS)
    assert other.effects("a").contrast.tolist() == ["p - r", "q - r"]
    assert other.effects("dose").contrast.tolist() == ["2 - 1", "3 - 1"]


def test_contrasts_do_not_depend_on_the_contrasts_of_the_formula():
    one, other = (sq.ols(f"y ~ C(a{contrast}) * z + x", ROWS) for contrast in ("", ", Sum"))
    for by in (None, "area", "a"):
        assert_close(other.effects("a", by=by)[["estimate", "se"]], one.effects("a", by=by)[["estimate", "se"]], rtol=1e-10)
    assert_close(other.margins(at="mean", by="a")["se"], one.margins(at="mean", by="a")["se"], rtol=1e-10)


def test_at_mean_sets_numbers_to_their_means_and_weights_levels_equally(fit):
    grid = pd.DataFrame(
        [(a, flag, dose, ROWS["x"].mean(), ROWS["z"].mean()) for a in "pqr" for flag in (False, True) for dose in (1, 2, 3)],
        columns=["a", "flag", "dose", "x", "z"],
    )
    predictions = grid.assign(mean=fit.predict(grid))
    assert_close(fit.margins(at="mean").estimate, [predictions["mean"].mean()], rtol=1e-12)
    by = fit.margins(at="mean", by=["flag", "a"])
    assert by[["flag", "a"]].to_numpy().tolist() == [[flag, a] for flag in (False, True) for a in "pqr"]
    assert_close(by.estimate, predictions.groupby(["flag", "a"])["mean"].mean(), rtol=1e-12)
    words = {"x": "mean", "z": "mean", "flag": "mean", "dose": "mean"}
    assert_close(fit.margins(at={**words, "a": ["p", "q", "r"]})[["estimate", "se"]],
                 fit.margins(at="mean", by="a")[["estimate", "se"]], rtol=1e-12)  # fmt: skip
    assert_close(fit.margins(at=words).x, [ROWS["x"].mean()], rtol=1e-14)


def scans_of(fit, read):
    with mock.patch.object(averages, "scan_sums", side_effect=averages.scan_sums) as scan:
        read(fit)
    return scan.call_count


def test_the_rows_are_read_once_at_most(fit):
    linear = sq.ols("y ~ x * a + z + I(z ** 2) + a:z", ROWS)
    for read in (
        lambda fit: fit.effects(),
        lambda fit: fit.effects(by="a"),
        lambda fit: fit.margins(at="mean", by="a"),
        lambda fit: fit.margins(by="a", at={"z": [1, 2]}),
        lambda fit: fit.effects("z", at={"x": [1, 2]}),
    ):
        assert scans_of(linear, read) == 0
    for read, scans in {
        lambda fit: fit.effects("z"): 0,
        lambda fit: fit.effects("a", at={"x": [2, 3]}): 0,
        lambda fit: fit.margins(at={"x": np.linspace(1, 5, 40)}): 0,
        lambda fit: fit.effects(): 1,
        lambda fit: fit.effects(by=["area", "a"], at={"z": [0, 1, 2]}): 1,
        lambda fit: fit.margins(at="mean"): 1,
        lambda fit: fit.margins(at={"x": "mean"}, by="area"): 1,
    }.items():
        assert scans_of(fit, read) == scans


def test_averages_are_weighted(fit):
    weighted, repeated = sq.ols(FORMULA, ROWS, weights="w"), ROWS.loc[ROWS.index.repeat(ROWS["k"])]
    assert_close(weighted.margins(at={"z": 1}).estimate,
                 [np.average(weighted.predict(ROWS.assign(z=1.0)), weights=ROWS["w"])], rtol=1e-12)  # fmt: skip
    assert any("by its weight, w, as Stata's margins does." in note for note in weighted.effects("x").summary().notes)
    counted, copies = sq.ols(FORMULA, ROWS, frequencies="k"), sq.ols(FORMULA, repeated.reset_index(drop=True))
    numbers = ["estimate", "se", "pvalue", "low", "high"]
    for read in (lambda fit: fit.effects(by="area"), lambda fit: fit.margins(at="mean", by="a")):
        assert_close(read(counted)[numbers], read(copies)[numbers], rtol=1e-9)


def test_an_offset_counts_in_predictions_and_slopes():
    fit, plain = sq.ols("y ~ z + a + offset(log(x)) + offset(x)", ROWS), sq.ols("y ~ z * a + x", ROWS)
    assert_close(fit.effects("x").estimate, [(1 / ROWS["x"]).mean() + 1], rtol=1e-12)
    assert_close(fit.effects("x").se, [0.0], rtol=0)
    assert_close(fit.margins(at={"x": [2, 3]}).estimate.diff()[1], np.log(1.5) + 1, rtol=1e-10)
    assert_close(fit.margins().estimate, [fit.predict(ROWS).mean()], rtol=1e-12)
    assert_close(plain.effects("x").estimate, [plain.params["x"]], rtol=1e-14)


def test_what_the_rows_do_not_determine_is_nan_and_named():
    rows = ROWS[["x", "y"]].assign(a=np.where(np.arange(N) % 2, "p", "q"), b=np.where(np.arange(N) % 4 < 3, "u", "v"))
    fit = sq.ols("y ~ a * b + x + I(2 * x)", rows)
    assert (fit.params.isna()).sum() == 2
    slope = fit.effects("x")
    other = sq.ols("y ~ a + b + x", rows)
    assert_close(slope[["estimate", "se"]], other.effects("x")[["estimate", "se"]], rtol=1e-9)
    with pytest.warns(
        UserWarning, match=r"^1 estimate is NaN, because the rows do not determine it: a = q, b = v\. Dropped columns"
    ):
        cells = fit.margins(at="mean", by=["a", "b"]).set_index(["a", "b"])
    assert cells.isna().all(axis=1).to_dict() == {("p", "u"): False, ("p", "v"): False, ("q", "u"): False, ("q", "v"): True}
    assert len(fit.margins(by=["a", "b"])) == 3
    with pytest.warns(UserWarning, match=r"determine it: b v - u\. Dropped"):
        assert fit.effects("b").estimate.isna().all()


def test_a_coefficient_that_one_row_decides_has_no_standard_error():
    rows = pd.DataFrame({"x": [1.0, 2, 3, 4, 5, 6], "g": [*"aaaaa", "b"], "y": [1.0, 3, 2, 5, 4, 9]})
    frame = sq.ols("y ~ x + g", rows, vcov="HC3").effects()
    assert frame.se.isna().tolist() == [False, True]
    assert frame.estimate.notna().all()


def test_each_estimate_has_satterthwaites_degrees_of_freedom():
    fit = sq.ols("y ~ x * a + z", ROWS, vcov="CR2", cluster="firm")
    frame, test = fit.effects(["z", "x"], at={"a": "q"}), fit.t_test("z = 0, x + x:a[T.q] = 0")
    assert_close(frame.pvalue, test.pvalue, rtol=1e-8)
    assert_close(frame[["low", "high"]], test.conf_int(), rtol=1e-8)
    footer = frame.summary().footer[0]
    low, high = (f"{value:,.6g}" for value in np.sort(test.df_denom))
    assert f"t with {low} to {high} degrees of freedom" in footer
    assert "the normal distribution" in sq.ols("y ~ x", ROWS).vcov(use_t=False).effects().summary().footer[0]


def test_slopes_of_linear_terms_are_coefficients():
    fit = sq.ols("y ~ x + z + a", ROWS, vcov="HC3")
    frame = fit.effects(["x", "z"])
    assert_close(frame.estimate, fit.params[["x", "z"]], rtol=1e-14)
    assert_close(frame.se, fit.bse[["x", "z"]], rtol=1e-12)
    assert_close(frame.pvalue, fit.pvalues[["x", "z"]], rtol=1e-10)
    assert_close(fit.effects("a").estimate, fit.params[["a[T.q]", "a[T.r]"]], rtol=1e-13)


def test_a_fit_without_rows_has_what_its_means_give(fit, tmp_path):
    fit.save(tmp_path / "fit.json")
    loaded = sq.load(tmp_path / "fit.json")
    for read in (
        lambda fit: fit.effects(["z", "a", "flag"]),
        lambda fit: fit.effects("a", by="flag"),
        lambda fit: fit.effects("x", at={"x": [2, 3]}),
        lambda fit: fit.margins(by="a"),
    ):
        assert_close(read(loaded)[["estimate", "se"]], read(fit)[["estimate", "se"]], rtol=1e-9)
    message = r"^This averages over 'x'( and 'a')? in the rows of the data frame, which a loaded or merged fit does not have\. Give"
    for read in (lambda fit: fit.effects("x"), lambda fit: fit.margins(at="mean")):
        with pytest.raises(DataError, match=message):
            read(loaded)
    with pytest.raises(DataError, match=r"^This averages over groups of 'area' in .* Leave by= out, or fit the rows again\.$"):
        loaded.margins(by="area")


def test_rows_that_have_changed_are_refused():
    rows = {name: ROWS[name].to_numpy().copy() for name in "xy"}
    fit = sq.ols("y ~ log(x)", rows)
    rows["x"] += 1
    with pytest.raises(DataError, match="has changed since it was first read"):
        fit.effects("x")


def test_labels_of_text_files_are_numbers_where_they_can_be(tmp_path):
    ROWS.to_csv(tmp_path / "rows.csv", index=False)
    frame = sq.ols("y ~ log(x)", str(tmp_path / "rows.csv")).margins(by=["firm", "area"])
    assert frame.firm.tolist() == [firm for firm in range(11) for _ in "ns" if ((ROWS.firm == firm) & (ROWS.area == _)).any()]
    assert_close(frame.estimate, sq.ols("y ~ log(x)", ROWS).margins(by=["firm", "area"]).estimate, rtol=1e-12)


def test_a_gap_in_a_column_of_groups_is_refused(fit):
    gaps = ROWS.assign(area=ROWS["area"].where(ROWS.index > 3))
    with pytest.raises(
        DataError, match=r"^'area' of the data frame is missing in 4 rows of the 90 that the fit used, so they are in no"
    ):
        sq.ols(FORMULA, gaps).margins(by="area")


def test_a_page_and_plain_numbers(fit):
    frame = fit.effects(by="area")
    page = frame.summary()
    assert page.title == "Average Slopes and Contrasts"
    assert page.footer == [f"{FORMULA}; Covariance Type: nonrobust; t with {fit.df_resid} degrees of freedom."]
    assert "Average Predictions" in repr(fit.margins().summary())
    assert "These are of log(x), the response of the formula." in repr(sq.ols("log(x) ~ z", ROWS).effects().summary())
    rows = frame.as_dict()["table"]
    assert (rows[0]["variable"], rows[0]["estimate"]) == ("x", frame.estimate[0])
    assert type(frame.query("variable == 'x'")) is pd.DataFrame


def test_standardized_coefficients_are_those_of_standardized_columns():
    scaled = ROWS[["x", "z", "y"]].apply(lambda column: (column - column.mean()) / column.std())
    assert_close(sq.ols("y ~ x + z", ROWS).standardized(), sq.ols("y ~ x + z", scaled).params.iloc[1:], rtol=1e-11)
    assert sq.ols("y ~ x + I(2 * x)", ROWS).standardized().isna().tolist() == [False, True]
    weighted = sq.ols("y ~ x + z", ROWS, weights="w")
    deviations = {c: np.sqrt(np.cov(ROWS[c], aweights=ROWS["w"])) for c in "xzy"}
    assert_close(weighted.standardized()["x"], weighted.params["x"] * deviations["x"] / deviations["y"], rtol=1e-11)
    assert sq.ols("one ~ x", ROWS.assign(one=1.0)).standardized().isna().all()


def test_partial_r2_follows_from_t():
    fit = sq.ols("y ~ x + z + a", ROWS)
    t = fit.tvalues[["x", "z"]]
    assert_close(fit.partial_r2()[["x", "z"]], t**2 / (t**2 + fit.df_resid), rtol=1e-11)
    assert list(fit.vcov("HC3").partial_r2().index) == ["x", "z", "a"]


def elasticity(b, rows, slope, weights):
    """Give the average elasticity of x in y ~ x + I(x ** 2) + z + a for coefficients b."""
    x, q, r = rows["x"], (rows["a"] == "q") * 1.0, (rows["a"] == "r") * 1.0
    y = b["Intercept"] + b["x"] * x + b["I(x ** 2)"] * x**2 + b["z"] * rows["z"] + b["a[T.q]"] * q + b["a[T.r]"] * r
    d = b["x"] + 2 * b["I(x ** 2)"] * x
    return np.average(d * (x if slope in ("eyex", "dyex") else 1) / (y if slope in ("eyex", "eydx") else 1), weights=weights)


@pytest.mark.parametrize("slope", ["eyex", "eydx", "dyex"])
def test_elasticities_and_their_errors_are_those_of_the_delta_method(slope):
    rows = ROWS.assign(y=ROWS["y"] + 20)
    fit = sq.ols("y ~ x + I(x ** 2) + z + a", rows, weights="w", vcov="HC3")
    frame, groups = fit.effects("x", slope=slope), fit.effects("x", slope=slope, by=["a", "area"], at={"z": 0.5})

    def gradient(rows):
        steps = 1e-5 * fit.bse
        sides = [[elasticity(fit.params + s * steps.where(steps.index == name, 0), rows, slope, rows["w"]) for s in (1, -1)]
                 for name in fit.params.index]  # fmt: skip
        return np.array([(up - down) for up, down in sides]) / (2 * steps.to_numpy())

    for row, some in [(frame.iloc[0], rows)] + [
        (row, rows.assign(z=0.5).query("a == @row['a'] and area == @row['area']")) for _, row in groups.iterrows()
    ]:
        assert_close(row["estimate"], elasticity(fit.params, some, slope, some["w"]), rtol=1e-10)
        g = gradient(some)
        assert_close(row["se"], np.sqrt(g @ fit.cov_params().to_numpy() @ g), rtol=1e-5)
    assert groups[["a", "area"]].to_numpy().tolist() == [[a, area] for a in "pqr" for area in "ns"]


def test_elasticities_at_a_point_need_no_rows(tmp_path):
    fit = sq.ols("log(y + 20) ~ log(x) * a", ROWS)
    fit.save(tmp_path / "fit.json")
    at = {"x": 2, "a": "q"}
    slope, mean = fit.effects("x", at=at).estimate[0], fit.margins(at=at).estimate[0]
    assert_close(sq.load(tmp_path / "fit.json").effects("x", at=at, slope="eyex").estimate, [2 * slope / mean], rtol=1e-12)
    with pytest.raises(DataError, match=r"^This averages over .* in the rows of the data frame, which a loaded"):
        sq.load(tmp_path / "fit.json").effects("x", slope="eyex")


def test_elasticities_are_of_numbers(fit):
    assert fit.effects(slope="dyex").variable.tolist() == ["x", "z"]
    with pytest.raises(OptionError, match=r"^slope='eyex' is for numbers, and 'a' is a category\. Leave slope= out"):
        fit.effects(["x", "a"], slope="eyex")
    with pytest.raises(OptionError, match=r"^slope='elasticity' is not understood\. Use 'dydx', 'eyex', 'eydx' or 'dyex'\.$"):
        fit.effects("x", slope="elasticity")
    zero = sq.ols("y ~ x - 1", {"x": [0.0, 1, 2, 3], "y": [0.5, 1, 2, 4]})
    with pytest.raises(DataError, match=r"^slope='eyex' is relative to the prediction, which is zero in some rows\."):
        zero.effects("x", slope="eyex")


@pytest.mark.parametrize("terms", ["log(x)", "x * a + z", "x + I(x ** 2) + a:z", "log(x) * a"])
def test_effects_beside_absorbed_effects_are_those_beside_dummies(terms):
    rows = ROWS.assign(y=ROWS["y"] + np.sqrt(ROWS["firm"]))
    absorbed, dummies = sq.ols(f"y ~ {terms} | firm", rows), sq.ols(f"y ~ {terms} + C(firm)", rows)
    names = [name for name in ("x", "z", "a") if name in absorbed.effects().variable.unique()]
    assert names[0] == "x"
    for options in ({}, {"by": "a"}, {"by": "firm"}, {"at": {"x": [2, 3]}}, {"slope": "dyex"}):
        variable = [name for name in names if name not in options.get("at", {}) and not (name == "a" and "slope" in options)]
        one, other = (fit.effects(variable or "x", **options) for fit in (absorbed, dummies))
        assert_close(one[["estimate", "se", "pvalue"]], other[["estimate", "se", "pvalue"]], rtol=1e-8, atol=1e-12)


def test_averages_of_predictions_beside_absorbed_effects_are_refused():
    rows = ROWS.assign(size=ROWS["firm"] ** 2)
    fit = sq.ols("y ~ x + size | firm", rows)
    message = r"which have no standard errors with absorbed fixed effects\. Use effects, or write C\(firm\) before the '\|'"
    for read in (lambda: fit.margins(), lambda: fit.effects("x", slope="eyex"), lambda: fit.plot("effects")):
        with pytest.raises(OptionError, match=message):
            read()
    with pytest.warns(UserWarning, match=r"^1 estimate is NaN, .*: size dy/dx\. Dropped columns: size is absorbed by firm\.$"):
        assert fit.effects().estimate.isna().tolist() == [False, True]


def test_the_figure_has_a_panel_for_each_predictor(fit):
    axes = fit.plot("effects").axes
    assert [each.get_title() for each in axes[:5]] == ["x", "z", "a", "flag", "dose"]
    x, y = axes[0].lines[-1].get_data()
    assert_close([x[0], x[-1]], [ROWS["x"].min(), ROWS["x"].max()], rtol=1e-14)
    at = {"z": ROWS["z"].mean(), "a": "mean", "flag": "mean", "dose": "mean", "x": [x[0], x[-1]]}
    assert_close([y[0], y[-1]], fit.margins(at=at).estimate, rtol=1e-12)
    assert [text.get_text() for text in axes[2].get_yticklabels()] == ["q - p", "r - p"]


def test_the_figure_of_a_fit_without_rows(fit, tmp_path):
    linear = sq.ols("y ~ x + z * a", ROWS)
    linear.save(tmp_path / "fit.json")
    loaded = sq.load(tmp_path / "fit.json")
    axes = loaded.plot("effects").axes
    assert [each.get_title() for each in axes[:3]] == ["x", "z", "a"]
    fit.save(tmp_path / "log.json")
    loaded = sq.load(tmp_path / "log.json")
    with pytest.raises(DataError, match="This averages over 'x' in the rows"):
        loaded.plot("effects")


def test_a_figure_of_many_predictors_is_refused():
    many = sq.ols("y ~ .", {f"x{i}": RNG.normal(size=40) for i in range(13)} | {"y": RNG.normal(size=40)})
    with pytest.raises(OptionError, match=r"draws up to 12 predictors, and this fit has 13\. Use kind='coefficients'"):
        many.plot("effects")
