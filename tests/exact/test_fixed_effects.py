"""What a fit with fixed effects states: levels, ranks, gaps, dropped columns, predictions, and that it can be saved."""

import json

import numpy as np
import pandas as pd
import pytest

import squarely as sq
from squarely.errors import DataError, NumericalError, OptionError
from squarely.exact.fixed_effects import level_system
from tests.support.checks import assert_close, need


def panel(n=240):
    rng = np.random.default_rng(3)
    firm, year = rng.integers(0, 30, n), rng.integers(2001, 2008, n)
    data = pd.DataFrame({"firm": [f"f{i:02}" for i in firm], "year": year, "x": rng.normal(size=n) + firm, "z": rng.normal(size=n)})
    data["y"] = 2 * data["x"] - data["z"] + firm + np.sin(year) + rng.normal(size=n)
    return data.assign(industry=firm // 6, age=year - 1990, size=firm.astype(float))


def test_effects_are_those_of_dummies_without_a_constant():
    data = panel()
    effects = sq.ols("y ~ x + z | firm + year", data).fixed_effects()
    peer = sq.ols("y ~ x + z + C(firm) + C(year) - 1", data).params
    assert effects.columns.to_list() == ["effect", "level", "estimate", "n"]
    assert effects["level"].to_list() == [*sorted(data["firm"].unique()), *sorted(data["year"].unique())]
    expected = [*peer.filter(like="firm"), 0.0, *peer.filter(like="year")]
    assert_close(effects["estimate"], expected, rtol=1e-10, atol=1e-12)
    counts = pd.concat([data["firm"].value_counts(), data["year"].value_counts()])
    assert effects["n"].to_list() == [counts[level] for level in effects["level"]]


def test_effects_of_levels_that_share_no_row_have_a_zero_in_each_group():
    data = panel()
    apart = data.assign(year=np.where(data["firm"] < "f15", data["year"], data["year"] + 100))
    fit, peer = sq.ols("y ~ x | firm + year", apart), sq.ols("y ~ x + C(firm) + C(year)", apart)
    assert (fit.rank, fit.df_resid) == (peer.rank, peer.df_resid)
    effects = fit.fixed_effects().set_index("level")["estimate"]
    assert effects[2001] == effects[2101] == 0.0
    sums = effects[apart["firm"]].to_numpy() + effects[apart["year"]].to_numpy() + fit.params["x"] * apart["x"]
    assert_close(sums, peer.fittedvalues, rtol=1e-10)


def test_the_page_and_the_numbers_name_effects_levels_and_singletons():
    data = pd.concat([panel(), panel()[:1].assign(firm="alone")], ignore_index=True)
    fit = sq.ols("y ~ x + z | firm + year", data)
    page = str(fit.summary())
    text = " ".join(page.split())
    assert "Fixed Effects: firm, year" in text
    assert "Absorbed: firm (31 levels) and year (7 levels), which count as 37 parameters with the constant." in text
    assert "Levels of one row: 2 levels of firm. Such rows count in n and do not change the coefficients" in text
    numbers = fit.as_dict()
    assert numbers["fixed_effects"] == {"firm": 31, "year": 7}
    assert (numbers["fixed_effects_rank"], numbers["singletons"]) == (37, {"firm": 2, "year": 0})
    without = sq.ols("y ~ x + z | firm + year", data[:-1])
    assert_close([fit.params, fit.bse], [without.params, without.bse], rtol=1e-11)
    assert (fit.nobs, fit.df_resid) == (without.nobs + 1, without.df_resid)
    for kind in ("HC2", "HC3"):
        assert_close(fit.vcov(kind).bse, without.vcov(kind).bse, rtol=1e-9)
    assert "rsquared_within" not in sq.ols("y ~ x", data).as_dict()


def test_within_r_squared_is_that_of_demeaned_columns():
    data = panel()
    fit = sq.ols("y ~ x + z | firm", data)
    demeaned = data[["x", "y", "z"]] - data.groupby("firm")[["x", "y", "z"]].transform("mean")
    assert_close(fit.rsquared_within, sq.ols("y ~ x + z - 1", demeaned).rsquared, rtol=1e-12)
    wald = fit.f_test("x = 0, z = 0")
    assert_close([fit.fvalue, fit.f_pvalue], [wald.statistic, wald.pvalue], rtol=1e-10)


def test_gaps_in_an_effect_drop_the_row_and_are_counted():
    data = panel()
    data.loc[[3, 40, 41], "firm"] = None
    fit = sq.ols("y ~ x | firm", data)
    assert dict(fit.rows.dropped) == {"firm": {"null": 3, "nan": 0, "inf": 0}} or sum(fit.rows.dropped["firm"].values()) == 3
    assert_close(fit.params, sq.ols("y ~ x | firm", data.dropna()).params, rtol=1e-12)


@pytest.mark.parametrize("effects", ["firm", "firm + industry", "year + firm"])
def test_a_predictor_that_the_effects_absorb_is_dropped_and_named(effects):
    fit = sq.ols(f"y ~ x + size + z | {effects}", panel())
    assert np.isnan(fit.params["size"])
    assert fit.dropped_columns == (f"size is absorbed by {effects.replace(' + ', ' and ')}",)
    assert_close(fit.params[["x", "z"]], sq.ols(f"y ~ x + z | {effects}", panel()).params, rtol=1e-11)


def test_absorbed_predictors_are_one_note():
    fit = sq.ols("y ~ x + C(industry) + size | firm", panel())
    assert (
        "Dropped, because firm absorbs them: C(industry)[T.1], C(industry)[T.2], C(industry)[T.3], C(industry)[T.4], size."
        in fit.notes
    )


def test_a_predictor_that_others_and_the_effects_make_is_dropped_and_named():
    data = panel().assign(born=lambda rows: rows["age"] - rows["x"])
    fit = sq.ols("y ~ x + born + z | year", data)
    assert fit.dropped_columns == ("born = -x beside the effects of year",)


@pytest.mark.parametrize("effects", ["industry + firm", "firm + industry", "firm + industry + year"])
def test_nested_effects_count_once(effects):
    fit, peer = (
        sq.ols(f"y ~ x | {effects}", panel()),
        sq.ols("y ~ x | " + effects.replace(" + industry", "").replace("industry + ", ""), panel()),
    )
    assert fit.df_resid == peer.df_resid
    assert_close([fit.params, fit.bse], [peer.params, peer.bse], rtol=1e-11)


def test_an_effect_with_one_level_is_the_constant():
    data = panel().assign(one="a")
    fit, peer = sq.ols("y ~ x + z | one", data), sq.ols("y ~ x + z", data)
    for name in ("rsquared", "fvalue", "f_pvalue", "llf", "aic", "df_resid", "df_model", "mse_resid", "ess", "mse_model"):
        assert_close(getattr(fit, name), getattr(peer, name), rtol=1e-10)
    assert_close(fit.fixed_effects()["estimate"], [peer.params["Intercept"]], rtol=1e-10)
    for options in ({"vcov": "HC3"}, {"cluster": "firm"}, {"vcov": "HAC", "lags": 2}, {"vcov": "DK", "time": "year"}):
        mine, theirs = fit.vcov(**options), peer.vcov(**options)
        if "cluster" not in options:
            assert_close([mine.bse, mine.pvalues], [theirs.bse[1:], theirs.pvalues[1:]], rtol=1e-9)


@pytest.mark.parametrize(
    ("cluster", "effects", "K"),
    [
        ("firm", "firm + year", 2 + 7),
        ("industry", "firm + year", 2 + 7),  # each firm is in one industry
        ("year", "firm + year", 2 + 30),
        ("z_group", "firm + year", 2 + 36),  # neither is nested
        (["firm", "year"], "firm + year", 2 + 1),
    ],
)
def test_effects_nested_in_clusters_do_not_count(cluster, effects, K):
    data = panel().assign(z_group=np.arange(240) % 20)
    fit = sq.ols(f"y ~ x + z | {effects}", data, cluster=cluster, correction="min" if isinstance(cluster, list) else "usual")
    bare = sq.ols(f"y ~ x + z | {effects}", data, vcov="CR0", cluster=cluster)
    groups = min(fit.cov_kwds["groups"].values())
    assert_close((fit.bse / bare.bse) ** 2, np.full(2, groups / (groups - 1) * 239 / (240 - K)), rtol=1e-10)
    nested = any("nested in the clusters" in note for note in fit.notes)
    assert nested == (K != 38)


def test_an_unknown_level_is_an_error_or_nan():
    fit = sq.ols("y ~ x | firm + year", panel())
    new = pd.DataFrame({"x": [1.0, 1.0, 1.0], "firm": ["f01", "zz", None], "year": [2001, 2001, 2001]})
    with pytest.raises(DataError, match="has firm 'zz' in data row 2, and the effect firm of the fit has no such level"):
        fit.predict(new)
    found = fit.predict(new, unseen="nan")
    effects = fit.fixed_effects().set_index("level")["estimate"]
    assert_close(found[0], fit.params["x"] + effects["f01"] + effects[2001], rtol=1e-12)
    assert np.isnan(found[1:]).all()


@pytest.mark.parametrize(
    "formula", ["y ~ x | firm + year", "log(abs(y) + 1) ~ x + C(industry) | firm^year", "y ~ x + offset(z) | year"]
)
def test_a_saved_fit_predicts_and_has_its_page(formula, tmp_path):
    data = panel()
    fit = sq.ols(formula, data, cluster="firm")
    fit.save(tmp_path / "fit.json")
    loaded = sq.load(tmp_path / "fit.json")
    assert loaded.predict(data).equals(fit.predict(data))
    assert loaded.fixed_effects().equals(fit.fixed_effects())
    pages = [[line for line in str(each.summary()).splitlines() if "Time:" not in line] for each in (fit, loaded)]
    assert pages[0] == pages[1]
    with pytest.raises(DataError, match="Fits with absorbed fixed effects are not merged"):
        loaded.merge(fit)
    document = json.loads((tmp_path / "fit.json").read_text())
    for change in ({"rank": 10**6}, {"levels": [[["a", "a"]]]}, {"counts": [[1.0]]}, {"mean": None}):
        (tmp_path / "bad.json").write_text(json.dumps(document | {"absorbed": document["absorbed"] | change}))
        with pytest.raises(DataError, match="is damaged or was changed by hand"):
            sq.load(tmp_path / "bad.json")


def test_many_levels_iterate_and_refuse_leverages(monkeypatch):
    monkeypatch.setattr(level_system, "_MOST_FACTORED", 3)
    data = panel()
    fit, peer = sq.ols("y ~ x + z | firm + year", data), sq.ols("y ~ x + z + C(firm) + C(year)", data)
    assert_close([fit.params, fit.bse], [peer.params[["x", "z"]], peer.bse[["x", "z"]]], rtol=1e-11)
    with pytest.raises(OptionError, match="The leverages of these fixed effects take a table with the square of 7 levels"):
        fit.vcov("HC3")
    assert_close(fit.vcov("HC1").bse, peer.vcov("HC1").bse[["x", "z"]], rtol=1e-10)
    three = sq.ols("y ~ x + z | firm + year + industry", data)
    assert "which count as at most 40 parameters" in " ".join(str(three.summary()).split())
    monkeypatch.setattr(level_system, "_MOST_STEPS", 2)
    with pytest.raises(NumericalError, match="The system of 7 levels did not converge in 2 steps"):
        sq.ols("y ~ x + z | firm + year", data)


def test_long_chains_of_levels_are_solved(monkeypatch):
    """Each worker has two firms, the second of which is the first one of the next worker."""
    rng, n = np.random.default_rng(0), 800
    worker = np.repeat(np.arange(n), 4)
    firm = np.where(np.arange(4 * n) % 4 < 2, worker, worker + 1)
    x = rng.normal(size=4 * n)
    data = {"worker": worker, "firm": firm, "x": x, "y": x + worker % 7 - firm % 5 + rng.normal(size=4 * n)}
    one = sq.ols("y ~ x | worker + firm", data)
    monkeypatch.setattr(level_system, "_MOST_FACTORED", 3)
    other = sq.ols("y ~ x | worker + firm", data)
    assert (one.df_resid, other.df_resid) == (4 * n - 1 - 2 * n, 4 * n - 1 - 2 * n)
    assert_close([other.params, other.bse], [one.params, one.bse], rtol=1e-11)


def test_large_values_keep_their_digits():
    """The effects are a billion times as large as what varies within them."""
    data = panel()
    far = data.assign(y=data["y"] + 1e9 * data["industry"], x=data["x"] + 1e8)
    fit, near = sq.ols("y ~ x + z | firm + year", far), sq.ols("y ~ x + z | firm + year", data)
    assert_close([fit.params, fit.bse], [near.params, near.bse], rtol=1e-6)  # the stored values have no more digits
    exact = {name: [int(1e6 * v) for v in data[name]] for name in ("x", "y", "z")} | {"firm": data["firm"], "year": data["year"]}
    shifted = exact | {"y": [v + 10**12 * int(i) for v, i in zip(exact["y"], data["industry"], strict=True)]}
    one, other = (sq.ols("y ~ x + z | firm + year", rows) for rows in (exact, shifted))
    assert_close([other.params, other.bse], [one.params, one.bse], rtol=1e-12)


def test_tables_say_which_effects_each_fit_has():
    data = panel()
    fits = [sq.ols(formula, data) for formula in ("y ~ x", "y ~ x | firm", "y ~ x | firm + year")]
    lines = str(sq.table(*fits, rows=["rsquared_within"], labels={"firm": "Firm"})).splitlines()
    cells = {line[:22].strip(): line[22:].split() for line in lines}
    assert cells["Firm effects"] == ["No", "Yes", "Yes"]
    assert cells["year effects"] == ["No", "No", "Yes"]
    assert cells["Within R-squared"] == [f"{fit.rsquared_within:.3f}" for fit in fits[1:]]


def test_a_fit_with_effects_is_drawn_by_its_coefficients():
    need("matplotlib")
    fit = sq.ols("y ~ x | firm", panel())
    assert fit.plot().axes[0].get_xlabel() == "coefficient, with limits at 95 %"
    with pytest.raises(OptionError, match="this one has 'x' and 'firm', of which 'firm' has categories"):
        fit.plot("line")


def test_tests_and_analysis_of_variance_are_those_of_dummies():
    data = panel()
    fit, peer = sq.ols("y ~ x + z | firm + year", data), sq.ols("y ~ C(firm) + C(year) + x + z", data)
    for test in ("x = 2", "x = 2, z = -1", "x + z = 1"):
        mine, theirs = fit.f_test(test), peer.f_test(test)
        assert_close([mine.statistic, mine.pvalue], [theirs.statistic, theirs.pvalue], rtol=1e-9)
    assert_close(sq.anova(fit, typ=2), sq.anova(peer, typ=2).loc[["x", "z", "Residual"]], rtol=1e-9)
    with pytest.raises(OptionError, match=r"^typ=3 recodes the categories, which a fit with absorbed fixed effects cannot"):
        sq.anova(fit, typ=3)
    small = sq.ols("y ~ x | firm + year", data)
    assert_close(fit.compare_f_test(small), peer.compare_f_test(sq.ols("y ~ C(firm) + C(year) + x", data)), rtol=1e-9)
    with pytest.raises(OptionError, match="absorb different effects, so they cannot be compared"):
        fit.compare_f_test(sq.ols("y ~ x | firm", data))
    with pytest.raises(OptionError, match=r"^Predictions with absorbed fixed effects have no standard errors and limits"):
        fit.get_prediction(data)


def test_a_file_larger_than_a_batch_and_several_files(tmp_path):
    data = panel(5000)
    data.to_parquet(tmp_path / "all.parquet", row_group_size=700)
    for i, part in enumerate(np.array_split(np.arange(5000), 3)):
        data.iloc[part].to_csv(tmp_path / f"part{i}.csv", index=False)
    here = sq.ols("y ~ x + z | firm^year + industry", data, vcov="HC3")
    for path in (tmp_path / "all.parquet", str(tmp_path / "part*.csv")):
        fit = sq.ols("y ~ x + z | firm^year + industry", path, vcov="HC3")
        assert_close([fit.params, fit.bse], [here.params, here.bse], rtol=1e-10)
        assert fit.fixed_effects()["level"].to_list() == here.fixed_effects()["level"].to_list()
        assert_close(fit.predict(data), here.fittedvalues, rtol=1e-10)


def test_a_preview_counts_the_scan_of_the_effects():
    plan = sq.preview("y ~ x | firm + year", panel())
    assert [purpose for purpose, _ in plan.passes] == ["fixed effects", "cross-products", "residuals"]
    assert sq.ols("y ~ x | firm + year", panel()).solution.scans == 3


def test_influence_is_that_of_dummies():
    data = panel()
    fit, peer = sq.ols("y ~ x + z | firm + year", data), sq.ols("y ~ C(firm) + C(year) + x + z", data)
    mine, theirs = (each.get_influence().summary_frame() for each in (fit, peer))
    assert_close(mine, theirs[mine.columns], rtol=1e-8, atol=1e-9)
    assert_close(fit.outlier_test(k=3), peer.outlier_test(k=3), rtol=1e-8)
    assert_close(fit.augment().filter(regex=r"^\."), peer.augment().filter(regex=r"^\."), rtol=1e-8, atol=1e-9)


def test_what_is_computed_of_the_columns_of_x_alone_is_that_of_dummies():
    data = panel()
    fit, peer = sq.ols("y ~ x + z | firm + year", data), sq.ols("y ~ C(firm) + C(year) + x + z", data)
    for name in ("standardized", "partial_r2"):
        assert_close(getattr(fit, name)(), getattr(peer, name)()[["x", "z"]], rtol=1e-9)
    for name in ("het_arch", "acorr_ljungbox"):
        mine, theirs = (getattr(each, name)(3) for each in (fit, peer))
        assert_close([mine.statistic, mine.pvalue], [theirs.statistic, theirs.pvalue], rtol=1e-9)


@pytest.mark.parametrize(
    "call",
    [
        lambda fit: fit.diagnostics(),
        lambda fit: fit.het_breuschpagan(),
        lambda fit: fit.het_white(),
        lambda fit: fit.het_goldfeldquandt(),
        lambda fit: fit.acorr_breusch_godfrey(2),
        lambda fit: fit.durbin_watson_test(),
        lambda fit: fit.linear_reset(),
        lambda fit: fit.linear_harvey_collier(),
        lambda fit: fit.linear_rainbow(),
        lambda fit: fit.effects("x"),
        lambda fit: fit.margins(),
        lambda fit: fit.plot("effects"),
        lambda fit: fit.ridge(1.0),
        lambda fit: fit.lasso(1.0),
        lambda fit: fit.elastic_net(1.0),
        lambda fit: fit.without("x"),
    ],
)
def test_what_needs_the_columns_of_the_effects_is_refused(call):
    with pytest.raises(
        OptionError, match=r"needs the columns of the fixed effects, which 'y ~ x \| firm' absorbs\. Write few levels"
    ):
        call(sq.ols("y ~ x | firm", panel()))


@pytest.mark.parametrize(
    "call",
    [
        lambda data: sq.ols("y ~ x | firm", data, by="year"),
        lambda data: sq.rolling("y ~ x | firm", data, window=50),
        lambda data: sq.expanding("y ~ x | firm", data),
        lambda data: sq.ols("y + z ~ x | firm", data),
        lambda data: sq.sweep("y ~ x | firm", data, lr=[0.1]),
    ],
)
def test_many_fits_and_training_do_not_absorb_effects(call):
    with pytest.raises(OptionError, match=r"has fixed effects after '\|', which ols absorbs and .* does not"):
        call(panel())
